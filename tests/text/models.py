"""A language model of one head, in JAX or NumPy, and the same with a cache."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import log_softmax

import xaijax as xai

VOCABULARY, WIDTH = 13, 8


@functools.cache
def parameters():
    keys = iter(jax.random.split(jax.random.key(0), 5))
    draw = lambda *shape: jax.random.normal(next(keys), shape) / np.sqrt(shape[0])  # noqa: E731
    return {
        "embed": 2 * draw(VOCABULARY, WIDTH), "query": draw(WIDTH, WIDTH), "key": draw(WIDTH, WIDTH),
        "value": draw(WIDTH, WIDTH), "head": 2 * draw(WIDTH, VOCABULARY),
    }  # fmt: skip


def transformer(parameters, ids, xp=jnp, positions=None):
    """One head of causal attention, with positions by sines: those of the tokens in the row, or others [N, L]."""
    order = xp.arange(ids.shape[1])
    positions = order if positions is None else positions
    x = parameters["embed"][ids] + xp.sin(positions[..., None] / (1.0 + xp.arange(WIDTH)))
    scores = xp.einsum("nid,njd->nij", x @ parameters["query"], x @ parameters["key"])
    weights = xp.where(order[:, None] >= order, xp.exp(scores - scores.max()), 0)
    weights = weights / weights.sum(axis=-1, keepdims=True)
    return (x + weights @ (x @ parameters["value"])) @ parameters["head"]


TRACED = []  # (rows, tokens, length of the cache) of each trace of `step`


def step(parameters, ids, positions, mask, cache):
    """The next tokens of each row, whose keys and values are written at their positions."""
    TRACED.append((*ids.shape, mask.shape[2]))
    x = parameters["embed"][ids] + jnp.sin(positions[:, :, None] / (1.0 + jnp.arange(WIDTH)))
    rows = jnp.arange(len(ids))[:, None]
    cache = {name: cache[name].at[rows, positions].set(x @ parameters[name]) for name in ("key", "value")}
    scores = jnp.einsum("nid,njd->nij", x @ parameters["query"], cache["key"])
    weights = jnp.where(mask, jnp.exp(scores - jnp.where(mask, scores, -jnp.inf).max()), 0)
    weights = weights / weights.sum(axis=-1, keepdims=True)
    return (x + weights @ cache["value"]) @ parameters["head"], cache


def empty_cache(rows, length):
    empty = jnp.zeros((rows, length, WIDTH))
    return {"key": empty, "value": empty}  # one array for both


@functools.cache
def model():
    return xai.function(transformer, parameters())


@functools.cache
def cached():
    return xai.text.cached(jax.tree_util.Partial(step, parameters()), empty_cache)


@functools.cache
def _in_float64():
    return {name: np.asarray(array, np.float64) for name, array in parameters().items()}


def at_positions(parameters, x):
    ids, positions = x
    return transformer(parameters, ids, positions=positions)


@functools.cache
def model_of_positions():
    return xai.function(at_positions, parameters())


def log_probabilities(prompt, present, response, *, gaps=False):
    """The text itself, alone and without padding, in NumPy's float64; with gaps, at the positions of the whole text."""
    ids = np.concatenate([prompt.ids(present), response]).astype(np.int32)
    positions = []
    if gaps:
        end = len(prompt.prefix)
        positions = list(range(end))
        for span, kept in zip(prompt.spans, present, strict=True):
            positions += [end + number for number in range(len(span))] if kept else []
            end += len(span)
        positions += [end + number for number in range(len(prompt.suffix) + len(response))]
    logits = transformer(_in_float64(), ids[None], np, np.array([positions]) if gaps else None)[0]
    positions = np.arange(len(ids) - len(response), len(ids))
    return log_softmax(logits[positions - 1], axis=-1)[np.arange(len(response)), response]


def all_coalitions(num_spans):
    return (np.arange(2**num_spans)[:, None] >> np.arange(num_spans) & 1).astype(bool)
