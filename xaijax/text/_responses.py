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
from xaijax._core.numerics import at_least_float32
from xaijax._core.typing import Array, Float, Int
from xaijax._model import Model
from xaijax.text._lengths import largest_power_of_two, padded_length, power_of_two
from xaijax.text._prefixes import Cached, Trie, count_tokens
from xaijax.text._prompt import Prompt


@dataclasses.dataclass
class Counts:
    """What the game has evaluated: distinct coalitions, and tokens. Of the former, those by shared prefixes."""

    coalitions: int = 0
    tokens: int = 0
    by_prefixes: int = 0


class Responses:
    """The answers of the game to coalitions [S, M]: log-probabilities of the response's tokens, [S, T]."""

    def __init__(
        self,
        model: Model,
        prompt: Prompt,
        response: np.ndarray,
        *,
        mask_id: int | None = None,
        batch_size: int | None = None,
        cached: Cached | None = None,
    ):
        self.model, self.prompt, self.response = model, prompt, response
        self.mask_id, self.batch_size = mask_id, batch_size
        self.cached = cached
        self._trie = None if cached is None else Trie(cached, prompt, response)
        self.dtype = np.dtype(jnp.promote_types(shapes_of(model, len(response)).dtype, jnp.float32))
        self.counts = Counts()
        self._known: dict[bytes, np.ndarray] = {}
        self._bytes_per_token: int | None = None

    def known(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the answers to coalitions, 0 where a coalition has none yet, and [S] which have one."""
        unknown = np.zeros(len(self.response), self.dtype)
        keys = [key.tobytes() for key in np.packbits(rows.astype(bool), axis=1)]
        is_known = np.array([key in self._known for key in keys])
        return np.stack([self._known.get(key, unknown) for key in keys]), is_known

    def evaluate(self, rows: np.ndarray) -> None:
        """Evaluates the coalitions without answers."""
        packed = np.packbits(rows.astype(bool), axis=1)
        keys = (key.tobytes() for key in packed)
        missing = {key: row for key, row in zip(keys, rows, strict=True) if key not in self._known}
        if not missing:
            return
        if self._trie is not None:
            missing = self._by_prefixes(self._trie, missing)
        self._packed({key: self.ids(row) for key, row in missing.items()})

    def _by_prefixes(self, trie: Trie, missing: dict[bytes, np.ndarray]) -> dict[bytes, np.ndarray]:
        """Evaluates coalitions whose shared beginnings save tokens; returns the others."""
        keys = sorted(missing)  # so that neighbors share much
        left = {}
        for start in range(0, len(keys), trie.most_rows):
            chunk = keys[start : start + trie.most_rows]
            coalitions = np.stack([missing[key] for key in chunk]).astype(bool)
            tokens = count_tokens(self.prompt, coalitions, len(self.response))
            if tokens >= sum(len(self.prompt.ids(row)) + len(self.response) for row in coalitions):
                left |= {key: missing[key] for key in chunk}
                continue
            self._known.update(zip(chunk, trie.evaluate(coalitions), strict=True))
            self.counts.coalitions += len(chunk)
            self.counts.tokens += tokens
            self.counts.by_prefixes += len(chunk)
        return left

    def _packed(self, texts: dict[bytes, np.ndarray]) -> None:
        """Evaluates rows of their own lengths, the shortest first."""
        by_length: dict[int, list[bytes]] = {}
        for key, ids in texts.items():
            by_length.setdefault(padded_length(len(ids) + len(self.response)), []).append(key)
        for length, keys in sorted(by_length.items()):
            at_once = self._rows_at_once(length)
            for start in range(0, len(keys), at_once):
                block = keys[start : start + at_once]
                size = min(at_once, power_of_two(len(block)))
                answers = self._score([texts[key] for key in block], length, size)
                self._known.update(zip(block, answers, strict=True))
                self.counts.coalitions += len(block)
                self.counts.tokens += sum(len(texts[key]) + len(self.response) for key in block)

    def ids(self, present: np.ndarray) -> np.ndarray:
        """Returns the token ids of the prompt without the absent spans, or with the mask's id in their place."""
        if self.mask_id is None:
            return self.prompt.ids(present)
        spans = [
            span if is_present else np.full_like(span, self.mask_id)
            for span, is_present in zip(self.prompt.spans, present, strict=True)
        ]
        return np.concatenate([self.prompt.prefix, *spans, self.prompt.suffix])

    def _rows_at_once(self, length: int) -> int:
        if self.batch_size is not None:
            return self.batch_size
        if self._bytes_per_token is None:  # of the longest rows, whose attention takes the most
            longest = padded_length(len(self.prompt.ids()) + len(self.response))
            row = jax.ShapeDtypeStruct((1, longest), jnp.int32)
            self._bytes_per_token = -(-bytes_per_row(self.model, row) // longest)
        return largest_power_of_two(rows_at_once(None, self._bytes_per_token * length))

    def _score(self, texts: list[np.ndarray], length: int, size: int) -> np.ndarray:
        ids = np.zeros((size, length), np.int32)
        starts = np.ones(size, np.int32)
        for number, text in enumerate(texts):
            ids[number, : len(text)] = text
            ids[number, len(text) : len(text) + len(self.response)] = self.response
            starts[number] = len(text)
        return np.asarray(log_probabilities(self.model, ids, starts, self.response), self.dtype)[: len(texts)]


@compiled(title="text.response_game")
def log_probabilities(
    model: Model, ids: Int[Array, "B L"], starts: Int[Array, " B"], response: Int[Array, " T"]
) -> Float[Array, "B T"]:
    """Returns log p(response token t | all before it), where the response begins at `starts`.

    The logits of its tokens alone are normalized: [B, T, V], not [B, L, V].
    """
    logits = model(ids)
    before = starts[:, None] - 1 + jnp.arange(len(response))
    chosen = at_least_float32(jnp.take_along_axis(logits, before[:, :, None], axis=1))
    tokens = jnp.broadcast_to(response[None, :, None], (*before.shape, 1))
    return jnp.take_along_axis(jax.nn.log_softmax(chosen), tokens, axis=2)[:, :, 0]


def shapes_of(model: Model, length: int) -> Any:
    """Returns the shapes of the model's outputs for one row of token ids."""
    return jax.eval_shape(model, jax.ShapeDtypeStruct((1, length), jnp.int32))
