"""LIME over any game (Ribeiro, Singh & Guestrin 2016, equation 1).

xi(x) = argmin_g L(f, g, pi_x) + Omega(g), with g linear in which players are present, L the weighted squared error and
Omega a small ridge.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from xaijax import _check
from xaijax._attribution import Surrogate
from xaijax._compile import compiled
from xaijax._game import Game, Value, as_game
from xaijax._typing import Array, Bool, Key
from xaijax.lime._kernel import DISTANCES, kernel
from xaijax.lime._surrogate import fit_ridge

RIDGE = 1e-6  # of each column's variance: keeps too few samples finite and changes the sixth digit of the others


def fit(
    game: Game,
    *,
    key: Any,
    num_samples: int = 1000,
    distance: str = "cosine",
    kernel_width: float = 0.25,
    ridge: float = RIDGE,
    ids: Any = None,
    batch_size: int | None = None,
) -> Surrogate:
    """LIME: a linear surrogate of a game around the coalition of all players.

    Why: shows the slope of the model around one input in terms of the presence of its parts, and says by `r_squared`
    how far a line is a fair picture of it.

    Args:
      game: N games from `xai.game`, or one written by hand.
      key: a JAX random key. Each example's neighbourhood depends on the key and its id alone.
      num_samples: S coalitions, the coalition of all players first, then each player present or absent by a fair coin,
        as in the paper. Default 1000, as in lime for images.
      distance: D, how far a coalition is from all players: "cosine" 1 - sqrt(|z|/M) as in lime for images and text,
        "euclidean" sqrt(1 - |z|/M), or "hamming" 1 - |z|/M. Default "cosine".
      kernel_width: sigma in pi = exp(-D²/sigma²). Default 0.25, as in lime for images; lime takes the square root of
        pi, so its width 0.25 is 0.35 here.
      ridge: the penalty on the squared coefficients, relative to the variance of the columns. Default 1e-6.
      ids: [N] integers that name the examples for their randomness. Default: their positions.
      batch_size: model rows in one evaluation; None for as many as suit the device (2 MB of inputs on a CPU).

    Returns:
      values [N, M] (one hand-written game: [M]; all outputs: [N, M, K]) the coefficients, with std_errors, intercept,
      the surrogate's own prediction at the input beside the model's output, and r_squared. Weights that all vanish
      (far too narrow a kernel) leave the original alone in the fit, with coefficients 0 and infinite errors.

    Raises:
      TypeError, ValueError: if an argument is of the wrong type, not positive, or no name of a distance.

    References:
      Ribeiro, Singh & Guestrin (2016), "Why should I trust you?", arXiv:1602.04938, equation 1 and section 3.4.
    """
    game = as_game(game)
    num_samples = _check.positive_int("num_samples", num_samples, least=2)
    _check.one_of("distance", distance, DISTANCES)
    kernel_width = _check.positive_float("kernel_width", kernel_width)
    ridge = _check.positive_float("ridge", ridge)
    batch_size = _check.batch_size(batch_size)
    key, ids = _check.random_key(key), _check.example_ids(ids, game.num_examples)
    return _fit(game, key, ids, kernel_width, ridge, num_samples=num_samples, distance=distance, batch_size=batch_size)


@compiled(static_argnames=("num_samples", "distance", "batch_size"))
def _fit(
    game: Game,
    key: Key[Array, ""],
    ids: Any,
    kernel_width: Any,
    ridge: Any,
    num_samples: int,
    distance: str,
    batch_size: int | None,
) -> Surrogate:
    num_players = game.num_players

    def surrogate(v: Value, key: Key[Array, ""], alive: Bool[Array, " M"]) -> dict[str, Array]:
        coalitions = jax.random.bernoulli(key, 0.5, (num_samples, num_players)).at[0].set(True) | ~alive
        worth = v(coalitions)
        share = jnp.mean(coalitions, axis=1, where=alive, dtype=worth.dtype)
        weights = kernel(DISTANCES[distance](share), kernel_width)
        line = fit_ridge(coalitions.astype(worth.dtype), worth, weights, ridge)
        return {
            "values": line.coefficients,
            "std_errors": line.std_errors,
            "intercept": line.intercept,
            "prediction": line.intercept + line.coefficients.sum(axis=0),
            "r_squared": line.r_squared,
            "output": worth[0],
        }

    return game.attribute(
        Surrogate,
        surrogate,
        key=key,
        ids=ids,
        coalitions_at_once=num_samples,
        batch_size=batch_size,
        method=f"LIME ({num_samples} samples)",
    )
