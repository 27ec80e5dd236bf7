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
from xaijax.text._prompt import Prompt

_SHORTEST = 8  # tokens of a row
_STEPS = 4  # lengths between one power of two and the next: rows are padded by at most a quarter


@dataclasses.dataclass
class Counts:
    """What the game has evaluated. coalitions: distinct ones; tokens: of their rows, and with padding."""

    coalitions: int = 0
    tokens: int = 0
    padded_tokens: int = 0


class Responses:
    """The answers of the game to coalitions [S, M]: log-probabilities of the response's tokens, [S, T]."""

    def __init__(self, model: Model, prompt: Prompt, response: np.ndarray, mask_id: int | None, batch_size: int | None):
        self.model, self.prompt, self.response = model, prompt, response
        self.mask_id, self.batch_size = mask_id, batch_size
        self.counts = Counts()
        self._known: dict[bytes, np.ndarray] = {}
        self._bytes_per_token: int | None = None

    def known(self, rows: np.ndarray) -> np.ndarray:
        """Returns the answers to coalitions, NaN where a coalition has none yet."""
        unknown = np.full(len(self.response), np.nan, np.float32)
        keys = np.packbits(rows.astype(bool), axis=1)
        return np.stack([self._known.get(key.tobytes(), unknown) for key in keys])

    def evaluate(self, rows: np.ndarray) -> None:
        """Evaluates the coalitions without answers: the shortest rows first, in blocks of equal lengths."""
        packed = np.packbits(rows.astype(bool), axis=1)
        missing = {
            key.tobytes(): row for key, row in zip(packed, rows, strict=True) if key.tobytes() not in self._known
        }
        if not missing:
            return
        texts = {key: self.ids(row) for key, row in missing.items()}
        by_length: dict[int, list[bytes]] = {}
        for key, ids in texts.items():
            by_length.setdefault(padded_length(len(ids) + len(self.response)), []).append(key)
        for length, keys in sorted(by_length.items()):
            at_once = self._rows_at_once(length)
            for start in range(0, len(keys), at_once):
                block = keys[start : start + at_once]
                size = min(at_once, power_of_two(len(block)))
                answers = self._score([texts[key] for key in block], length, size)
                self._known.update(zip(block, answers, strict=False))
                self.counts.padded_tokens += length * size
        self.counts.coalitions += len(missing)
        self.counts.tokens += sum(len(ids) + len(self.response) for ids in texts.values())

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
        return np.asarray(log_probabilities(self.model, ids, starts, self.response), np.float32)[: len(texts)]


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


def padded_length(length: int) -> int:
    """Returns the length that rows are padded to: 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, ..."""
    if length <= _SHORTEST:
        return _SHORTEST
    step = largest_power_of_two(length - 1) // _STEPS
    return -(-length // step) * step


def power_of_two(number: int) -> int:
    """Returns the least power of two that is not smaller."""
    return 1 << (number - 1).bit_length()


def largest_power_of_two(number: int) -> int:
    """Returns the largest power of two that is not larger."""
    return 1 << (number.bit_length() - 1)


def shapes_of(model: Model, length: int) -> Any:
    """Returns the shapes of the model's outputs for one row of token ids."""
    return jax.eval_shape(model, jax.ShapeDtypeStruct((1, length), jnp.int32))
