"""Names values inside a model, as JAX itself carries such names."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any

import jax
from jax.ad_checkpoint import checkpoint_name

from xaijax._core import check

_tags_outputs: contextvars.ContextVar[bool] = contextvars.ContextVar("tags_outputs", default=True)


@contextlib.contextmanager
def tags_outputs(active: bool) -> Iterator[None]:
    """Says whether adapters tag the outputs of modules: not those of a model that is called within another one."""
    token = _tags_outputs.set(active)
    try:
        yield
    finally:
        _tags_outputs.reset(token)


def tag(value: jax.Array, name: str) -> jax.Array:
    """Names an array inside a function, so that `layer=name` can tap it; the value is unchanged.

    The name is that of `jax.ad_checkpoint.checkpoint_name`: activations that a model already names for rematerialization
    can be tapped without a change.

    Args:
      value: any array [N, ...] computed inside the model.
      name: the name; a name used several times is addressed by call, `"name:0"`, `"name:1"`, ...

    Returns:
      The same array.

    Raises:
      TypeError: if `name` is not a string, or `value` is not an array.
    """
    if not isinstance(name, str):
        raise TypeError(f"`name` must be a string, got {check.shown(name)}.")
    return checkpoint_name(check.numeric_array("value", value) if not isinstance(value, jax.Array) else value, name)


def tag_outputs(outputs: Any, path: str) -> Any:
    """Tags a module's output by the module's path, and the arrays of a structured output by path and key."""
    if not _tags_outputs.get():
        return outputs

    def tag_leaf(key: Any, leaf: Any) -> Any:
        if not isinstance(leaf, jax.Array):
            return leaf
        return checkpoint_name(leaf, path + jax.tree_util.keystr(key))

    return jax.tree_util.tree_map_with_path(tag_leaf, outputs)
