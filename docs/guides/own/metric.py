"""A metric: the share of the output that the strongest player alone carries.

The contract: a function that takes what it needs by the names of its parameters, among `game`, `attribution`, `model`,
`x`, `explainer`, `masks`, `target`, `key`, `ids` and `batch_size`, and returns a `xai.metrics.Score` with one number for
each example. `xai.metrics.compare` and `xai.scale.compare_dataset` call it for each explainer.
"""

import jax
import jax.numpy as jnp

import xaijax as xai


def top_drop(game: xai.Game, attribution: xai.Attribution) -> xai.metrics.Score:
    """Computes (v(all) - v(all but the strongest player)) / (v(all) - v(empty)) of each example, [N]."""
    num_players = game.num_players
    grand, empty = jnp.ones((1, num_players), bool), jnp.zeros((1, num_players), bool)
    values = game(jnp.concatenate([~jnp.eye(num_players, dtype=bool), grand, empty]))  # [N, M + 2]
    strongest = jnp.argmax(jnp.abs(attribution.values), axis=1)
    without = jnp.take_along_axis(values, strongest[:, None], axis=1)[:, 0]
    drop = (values[:, -2] - without) / (values[:, -2] - values[:, -1])
    return xai.metrics.Score(drop, metric="top drop", better="higher", method=attribution.method)


def model(x):
    return x @ jnp.array([3.0, 2.0, 1.0])


x = jnp.array([[1.0, 1.0, 1.0], [0.0, 1.0, 2.0]])
masker = xai.mask.baseline(jnp.zeros(3))
explainers = [xai.gradient.saliency, xai.gradient.input_x_gradient]
comparison = xai.metrics.compare(explainers, model, x, [top_drop], key=jax.random.key(0), masker=masker)
print(comparison.table())
