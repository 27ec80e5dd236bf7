"""The log-probabilities of a response for prompts without some spans: rows of equal lengths, packed by their own size.

A removed span is deleted: later tokens move up, as if its text had never been there. Rows are padded on the right, which
a causal model does not see, to one of few lengths, so that few programs are compiled.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core.blocks import bytes_per_row, rows_at_once
from xaijax._core.compile import compiled
from xaijax._core.typing import Array, Float, Int
from xaijax._model import Model
from xaijax.text._lengths import padded_length, pieces, power_below
from xaijax.text._log_probabilities import of_tokens
from xaijax.text._prefixes import Cached, Trie, call, count_tokens
from xaijax.text._prompt import Prompt

# A trie is used where it costs at most this share of the tokens of packed rows: its tokens take up to 1.9 times as long,
# as caches are copied, and attention takes time for positions that it may not see.
_WORTH = 0.55


@dataclasses.dataclass
class Counts:
    """What the game has evaluated: distinct coalitions, and tokens. Of the former, those by shared prefixes."""

    coalitions: int = 0
    tokens: int = 0
    by_prefixes: int = 0


class Responses:
    """The answers of the game to coalitions [S, M]: log-probabilities of the response's tokens, [S, T].

    mask_id: the token that replaces those of absent spans; None where they are deleted.
    gaps: whether the tokens after a deleted span keep their positions. The model then takes (ids, positions), unless it is
      `cached`, whose steps take positions.
    longest: the tokens of the longest rows, padding included. Default: padded as others are.
    """

    def __init__(
        self,
        model: Model,
        prompt: Prompt,
        response: np.ndarray,
        *,
        mask_id: int | None = None,
        gaps: bool = False,
        batch_size: int | None = None,
        cached: Cached | None = None,
        longest: int | None = None,
    ):
        self.model, self.prompt, self.response, self.cached = model, prompt, response, cached
        self.mask_id, self.gaps, self.batch_size = mask_id, gaps, batch_size
        self.takes_positions = gaps and cached is None
        self._num_whole = len(prompt.ids()) + len(response)
        self._longest = padded_length(self._num_whole) if longest is None else longest
        logits = shapes_of(model, len(response), with_positions=self.takes_positions)
        self.dtype = np.dtype(jnp.promote_types(logits.dtype, jnp.float32))
        self.trie = None
        if cached is not None:
            self.trie = Trie(cached, prompt, response, self.dtype, gaps=gaps, batch_size=batch_size)
        self.counts = Counts()
        self._known: dict[bytes, np.ndarray] = {}
        self._bytes_per_token: int | None = None

    def known(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the answers to coalitions, 0 where a coalition has none yet, and [S] which have one."""
        unknown = np.zeros(len(self.response), self.dtype)
        keys = _keys(rows)
        is_known = np.array([key in self._known for key in keys])
        return np.stack([self._known.get(key, unknown) for key in keys]), is_known

    def evaluate(self, rows: np.ndarray, *, packed: bool = False) -> None:
        """Evaluates the coalitions without answers; `packed`: all of them in rows of their own."""
        missing = {key: row.astype(bool) for key, row in zip(_keys(rows), rows, strict=True) if key not in self._known}
        if missing and self.trie is not None and not packed:
            missing = self._by_prefixes(self.trie, missing)
        self._packed(missing)

    def _by_prefixes(self, trie: Trie, missing: dict[bytes, np.ndarray]) -> dict[bytes, np.ndarray]:
        """Evaluates coalitions whose shared beginnings save tokens; returns the others."""
        keys = sorted(missing)  # so that neighbors share much
        left = {}
        for start in range(0, len(keys), trie.most_rows):
            chunk = keys[start : start + trie.most_rows]
            coalitions = np.stack([missing[key] for key in chunk])
            tokens = count_tokens(self.prompt, coalitions, len(self.response), with_prefix=not trie.has_prefix)
            if not self.gaps and tokens > _WORTH * sum(map(self._num_tokens, coalitions)):
                left |= {key: missing[key] for key in chunk}
                continue
            self._known.update(zip(chunk, trie.evaluate(coalitions), strict=True))
            self.counts.coalitions += len(chunk)
            self.counts.tokens += tokens
            self.counts.by_prefixes += len(chunk)
        return left

    def _packed(self, coalitions: dict[bytes, np.ndarray]) -> None:
        """Evaluates rows of their own lengths, the shortest first."""
        by_length: dict[int, list[bytes]] = {}
        for key, row in coalitions.items():
            by_length.setdefault(min(padded_length(self._num_tokens(row)), self._longest), []).append(key)
        for length, keys in sorted(by_length.items()):
            for count, size in pieces(len(keys), most=self._rows_at_once(length)):
                block, keys = keys[:count], keys[count:]
                rows = [coalitions[key] for key in block]
                self._known.update(zip(block, self._score(rows, length, size), strict=True))
                self.counts.coalitions += count
                self.counts.tokens += sum(map(self._num_tokens, rows))

    def _num_tokens(self, present: np.ndarray) -> int:
        """Returns the number of tokens of a coalition's row, those of the response included."""
        prompt = self.prompt
        spans = sum(
            len(span) for span, kept in zip(prompt.spans, present, strict=True) if kept or self.mask_id is not None
        )
        return len(prompt.prefix) + spans + len(prompt.suffix) + len(self.response)

    def _ids(self, present: np.ndarray) -> np.ndarray:
        """Returns the token ids of the prompt without the absent spans, or with the mask's id for each of their tokens."""
        if self.mask_id is None:
            return self.prompt.ids(present)
        spans = [
            span if is_present else np.full_like(span, self.mask_id)
            for span, is_present in zip(self.prompt.spans, present, strict=True)
        ]
        return np.concatenate([self.prompt.prefix, *spans, self.prompt.suffix])

    def _positions(self, present: np.ndarray) -> np.ndarray:
        """Returns the positions of a coalition's tokens in the whole prompt."""
        prompt = self.prompt
        lengths = [len(prompt.prefix), *map(len, prompt.spans), len(prompt.suffix) + len(self.response)]
        return np.flatnonzero(np.repeat([True, *present, True], lengths))

    def _rows_at_once(self, length: int) -> int:
        if self.batch_size is not None:
            return self.batch_size
        if self._bytes_per_token is None:  # of the longest rows, whose attention takes the most
            row = _rows_of(self._longest, with_positions=self.takes_positions)
            self._bytes_per_token = -(-bytes_per_row(self.model, row) // self._longest)
        return power_below(rows_at_once(None, self._bytes_per_token * length))

    def _score(self, rows: list[np.ndarray], length: int, size: int) -> np.ndarray:
        ids = np.zeros((size, length), np.int32)
        positions = np.broadcast_to(np.arange(length, dtype=np.int32), ids.shape).copy()
        starts = np.ones(size, np.int32)
        for number, row in enumerate(rows):
            text = np.concatenate([self._ids(row), self.response])
            ids[number, : len(text)], starts[number] = text, len(text) - len(self.response)
            if self.gaps:  # the padding goes on after the last position, but not beyond those of the whole prompt
                own = self._positions(row)
                positions[number] += own[-1] + 1 - len(own)
                positions[number, : len(own)] = own
                positions[number] = np.minimum(positions[number], self._num_whole - 1)
        inputs = (ids, positions) if self.takes_positions else ids
        return np.asarray(log_probabilities(self.model, inputs, starts, self.response), self.dtype)[: len(rows)]


def _keys(rows: np.ndarray) -> list[bytes]:
    return [key.tobytes() for key in np.packbits(rows.astype(bool), axis=1)]


@compiled(title="text.response_game")
def log_probabilities(
    model: Model, inputs: Any, starts: Int[Array, " B"], response: Int[Array, " T"]
) -> Float[Array, "B T"]:
    """Returns log p(response token t | all before it), where the response begins at `starts`.

    inputs: token ids [B, L], or these and their positions.

    The logits of its tokens alone are normalized: [B, T, V], not [B, L, V].
    """
    logits = model(inputs)
    before = starts[:, None] - 1 + jnp.arange(len(response))
    return of_tokens(jnp.take_along_axis(logits, before[:, :, None], axis=1), response)


def shapes_of(model: Model, length: int, *, with_positions: bool = False) -> Any:
    """Returns the shapes of the model's outputs for one row of token ids."""
    return jax.eval_shape(call, model, _rows_of(length, with_positions=with_positions))


def _rows_of(length: int, *, with_positions: bool) -> Any:
    row = jax.ShapeDtypeStruct((1, length), jnp.int32)
    return (row, row) if with_positions else row
