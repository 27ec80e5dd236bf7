"""A masker: absent features take the values of their mirror images in the row."""

import dataclasses

import jax
import jax.numpy as jnp

from xaijax._core.masker import Masker


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Mirrored(Masker):
    """Replaces absent features by the features of the reversed row."""

    def num_players(self, shape):
        return shape[0]

    def references(self, x, prepared):
        return jnp.flip(x)[None]

    def inputs(self, x, prepared):
        return x
