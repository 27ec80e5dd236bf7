"""A masker: absent features take the values of the reversed row.

The contract: derive from `xai.mask.Masker`, register the class as a PyTree, and override what differs. A masker must have

- `num_players(shape)`: M, for one example of this shape;
- `references(x, prepared)`: inputs [B, *input] that replace absent players; outputs are averaged over them.

Often also `owners(shape, prepared)`, the player that each entry belongs to (default: each entry is a player),
`prepare(x)`, which computes something for each example in advance, `names(shape)`, `inputs(x, prepared)`, and
`check(x)`, which refuses inputs that do not fit.
"""

import dataclasses

import jax
import jax.numpy as jnp

import xaijax as xai


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Mirrored(xai.mask.Masker):
    """Replaces absent features by those of the reversed row."""

    def check(self, x):
        if x.ndim != 2:
            raise ValueError(f"`x` must be rows [N, D], got shape {list(x.shape)}.")

    def num_players(self, shape):
        return shape[0]

    def references(self, x, prepared):
        return jnp.flip(x)[None]

    def inputs(self, x, prepared):
        return x  # the value of each feature, for plots and tables


def model(x):
    return x @ jnp.array([1.0, 10.0, 100.0])


x = jnp.array([[1.0, 2.0, 5.0]])
attribution = xai.shap.values(model, x, Mirrored())
print(attribution.values)  # 1 * (1 - 5), 10 * (2 - 2), 100 * (5 - 1)
