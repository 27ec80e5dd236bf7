"""The frozen game of a prompt: its spans are read once, all of them, and an absent span is only hidden from the answer.

v'(z) = log p(y_t | the suffix and y_1, ..., y_{t-1}, which attend to the prefix and to the spans of z alone)

The keys and values of a span are those of the whole prompt, at its positions in it, and hold what earlier spans put into
them. The response game v deletes absent spans instead. Since the spans are read once, a coalition costs the tokens of the
suffix and the response: P + (s_1 + ... + s_M) + N (q + T) tokens for N coalitions.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import xaijax as xai
from experiments._language_model import LanguageModel, Trained

_AT_ONCE = 256  # coalitions
_LENGTHS = 32  # prompts are padded to multiples of it, so that few programs are compiled


def count_frozen_tokens(prompt: xai.text.Prompt, num_coalitions: int, num_response: int) -> int:
    head = len(prompt.prefix) + sum(map(len, prompt.spans))
    return head + num_coalitions * (len(prompt.suffix) + num_response)


def frozen_values(
    trained: Trained, prompt: xai.text.Prompt, response: np.ndarray, coalitions: np.ndarray
) -> np.ndarray:
    """Returns the log-probabilities [S, T] of the response's tokens for coalitions [S, M]; the suffix must have a token."""
    head, tail = np.concatenate([prompt.prefix, *prompt.spans]), np.concatenate([prompt.suffix, response])
    owner = np.repeat(np.arange(len(prompt.spans)), [len(span) for span in prompt.spans])
    always = np.ones((len(coalitions), len(prompt.prefix)), bool)
    is_seen = np.concatenate([always, coalitions.astype(bool)[:, owner]], axis=1)

    length = -(-len(head) // _LENGTHS) * _LENGTHS
    ids = np.pad(head, (0, length - len(head)))
    cache = _read(trained.module, trained.variables, ids, len(tail))
    values = []
    for start in range(0, len(coalitions), _AT_ONCE):
        block = is_seen[start : start + _AT_ONCE]
        block = np.pad(block, [(0, min(_AT_ONCE, len(coalitions)) - len(block)), (0, length + len(tail) - len(head))])
        answers = _answer(trained.module, trained.variables, cache, block, tail, np.int32(len(head)), len(response))
        values.append(np.asarray(answers)[: len(coalitions) - start])
    return np.concatenate(values)


@functools.partial(jax.jit, static_argnums=(0, 3))
def _read(module: LanguageModel, variables: Any, ids: jax.Array, num_tail: int) -> Any:
    """Returns the cache of the whole prompt, with room for the tail. Padding is overwritten by the tail, or hidden."""
    length = len(ids)
    positions = jnp.arange(length)[None]
    mask = positions[:, :, None] >= jnp.arange(length + num_tail)
    _, cache = module.apply(variables, ids[None], positions, mask, module.empty_cache(1, length + num_tail))  # pyright: ignore
    return cache


@functools.partial(jax.jit, static_argnums=(0, 6))
def _answer(
    module: LanguageModel,
    variables: Any,
    cache: Any,
    is_seen: jax.Array,
    tail: jax.Array,
    start: jax.Array,
    num_response: int,
) -> jax.Array:
    """Returns the log-probabilities of the last tokens of the tail, which begins at position `start`, for each row."""
    rows, length = is_seen.shape
    positions = start + jnp.arange(len(tail))
    slots = jnp.arange(length)
    own = (slots >= start) & (slots <= positions[:, None])  # [n, L]
    mask = own | is_seen[:, None, :]
    cache = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (rows, *leaf.shape[1:])), cache)
    ids = jnp.broadcast_to(tail, (rows, len(tail)))
    outputs: Any = module.apply(variables, ids, jnp.broadcast_to(positions, ids.shape), mask, cache)
    logits = jax.nn.log_softmax(outputs[0][:, -num_response - 1 : -1])
    return jnp.take_along_axis(logits, ids[:, -num_response:, None], axis=2)[:, :, 0]
