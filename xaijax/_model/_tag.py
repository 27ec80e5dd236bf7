"""Names for values inside a model, as JAX itself carries them."""

from __future__ import annotations

from typing import Any

import jax
from jax.ad_checkpoint import checkpoint_name


def tag(value: jax.Array, name: str) -> jax.Array:
    """Names an array inside a function, so that `layer=name` can tap it; it changes nothing else.

    The name is the one of `jax.ad_checkpoint.checkpoint_name`: activations that a model already names for
    rematerialization can be tapped as they are.

    Args:
      value: any array [N, ...] computed inside the model.
      name: the name; a name used several times is addressed by call, `"name:0"`, `"name:1"`, ...

    Returns:
      The same array.
    """
    return checkpoint_name(value, name)


def tag_outputs(outputs: Any, path: str) -> Any:
    """Tags a module's output by the module's path; the arrays of a structured output by path and place in it."""

    def tag_leaf(place: Any, leaf: Any) -> Any:
        if not isinstance(leaf, jax.Array):
            return leaf
        return checkpoint_name(leaf, path + jax.tree_util.keystr(place))

    return jax.tree_util.tree_map_with_path(tag_leaf, outputs)
