"""Validation at the door: each function raises one sentence that says what was wrong, what it was and what to try."""

from __future__ import annotations

import difflib
import numbers
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer


def is_concrete(*trees: Any) -> bool:
    """Whether every leaf has a value now, i.e. nothing is being traced."""
    return not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(trees))


def positive_int(name: str, value: Any, *, least: int = 1) -> int:
    """A static whole number of at least `least`."""
    if isinstance(value, Tracer):
        raise TypeError(f"{name} must be known when compiling, but it is a traced array: pass a Python int.")
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an int of at least {least}, but it is {value!r}.")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, but it is {value}.")
    return int(value)


def positive_float(name: str, value: Any, *, zero_allowed: bool = False) -> float:
    """A static finite number above zero (or at zero)."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a positive number, but it is {value!r}.")
    value = float(value)
    if not np.isfinite(value) or value < 0 or (value == 0 and not zero_allowed):
        bound = "zero or more" if zero_allowed else "above zero"
        raise ValueError(f"{name} must be finite and {bound}, but it is {value}.")
    return value


def one_of(name: str, value: Any, choices: Iterable[str]) -> str:
    """A name from a short list; the message shows the list and the closest match."""
    choices = list(choices)
    if value in choices:
        return value
    raise ValueError(f"{name} must be one of {choices}, but it is {value!r}{did_you_mean(value, choices)}.")


def did_you_mean(value: Any, choices: Iterable[str]) -> str:
    """', did you mean ...?' for a misspelled name, or nothing."""
    close = difflib.get_close_matches(str(value), list(choices), n=3, cutoff=0.5)
    return f" (did you mean {' or '.join(repr(c) for c in close)}?)" if close else ""


def numeric_array(name: str, value: Any) -> jax.Array:
    """A JAX array of numbers or booleans."""
    try:
        with jax.ensure_compile_time_eval():  # what is known stays known inside a transformation, and is checked
            array = jnp.asarray(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be an array of numbers, but it is {type(value).__name__}: {error}") from error
    return array


def no_nan(name: str, array: Any) -> None:
    """No NaN, where that can be known; under a transformation NaN inputs give NaN explanations instead."""
    if not isinstance(array, (jax.Array, np.ndarray)):
        for path, leaf in jax.tree_util.tree_leaves_with_path(array):
            no_nan(name + jax.tree_util.keystr(path), leaf)
        return
    if not is_concrete(array) or not jnp.issubdtype(array.dtype, jnp.inexact):
        return
    with jax.ensure_compile_time_eval():
        found = bool(_any_nan(array))
    if found:
        rows = np.unique(np.argwhere(np.isnan(np.asarray(array, dtype=np.float32)))[:, 0])[:5].tolist()
        raise ValueError(
            f"{name} holds NaN (first rows concerned: {rows}): a model's answer to NaN cannot be explained; "
            "fill or drop these values first."
        )


@jax.jit
def _any_nan(array: jax.Array) -> jax.Array:
    return jnp.isnan(array).any()


def random_key(key: Any) -> Any:
    """A JAX random key, of the new or the old kind."""
    if isinstance(key, (jax.Array, np.ndarray)):
        if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) and key.shape == ():
            return key
        if key.dtype == jnp.uint32 and key.ndim == 1:
            return key
    raise TypeError(f"key must be one JAX random key, such as jax.random.key(0), but it is {key!r}.")


def example_ids(ids: Any, num_examples: int | None) -> Any:
    """Ids [N] that name the examples for their randomness; None for their positions."""
    if ids is None:
        return None
    ids = numeric_array("ids", ids)
    if num_examples is None:
        raise ValueError("ids are for the examples of a model's games; a game written by hand has none.")
    if ids.shape != (num_examples,) or not jnp.issubdtype(ids.dtype, jnp.integer):
        raise ValueError(
            f"ids must be integers [{num_examples}], one for each example, but it is {ids.dtype.name}{list(ids.shape)}."
        )
    return ids


def batch_size(value: Any) -> int | None:
    """A number of model rows, or None for the default."""
    return None if value is None else positive_int("batch_size", value)


def examples(x: Any) -> int:
    """The number of examples in an input PyTree: the one leading axis N that all its arrays share."""
    leaves = jax.tree.leaves(x)
    if not leaves:
        raise ValueError("x holds no arrays: pass inputs of shape [N, ...].")
    sizes = set()
    for leaf in leaves:
        if jnp.ndim(leaf) == 0:
            raise ValueError("x must have a leading batch axis [N, ...], but it is a scalar: pass x[None].")
        sizes.add(jnp.shape(leaf)[0])
    if len(sizes) > 1:
        raise ValueError(f"the arrays of x must share one leading batch axis, but their lengths are {sorted(sizes)}.")
    (num_examples,) = sizes
    if num_examples == 0:
        raise ValueError("x holds no examples: its leading axis has length 0.")
    return num_examples


def nan_where(bad: jax.Array, tree: Any) -> Any:
    """Replaces the floating leaves by NaN for every example that is `bad[N]`: never a plausible number."""

    def poison(leaf):
        if not jnp.issubdtype(leaf.dtype, jnp.inexact):
            return leaf
        return jnp.where(bad.reshape(bad.shape + (1,) * (leaf.ndim - bad.ndim)), jnp.nan, leaf)

    return jax.tree.map(poison, tree)


def rows_with_nan(x: Any) -> jax.Array:
    """Which examples of an input PyTree hold a NaN, [N]."""
    flags = [
        jnp.isnan(leaf).reshape(leaf.shape[0], -1).any(axis=1)
        for leaf in map(jnp.asarray, jax.tree.leaves(x))
        if jnp.issubdtype(leaf.dtype, jnp.inexact)
    ]
    return jnp.any(jnp.stack(flags), axis=0) if flags else jnp.zeros(examples(x), bool)
