"""LIME over any game (Ribeiro, Singh & Guestrin 2016, equation 1).

xi(x) = argmin_g L(f, g, pi_x) + Omega(g), with g linear in which players are present, L the weighted squared error and
Omega a small ridge, or few players.
"""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp

from xaijax._core import check
from xaijax._core.attribution import Surrogate
from xaijax._core.compile import compiled
from xaijax._core.game import Game, Value, as_game
from xaijax._core.typing import Array, Bool, Key
from xaijax.lime._coalitions import SAMPLINGS, draw, layout, size_law
from xaijax.lime._explain import Recipe, check_weights, explain, read_recipe
from xaijax.lime._gaussian_process import adjust
from xaijax.lime._kernel import DISTANCES, KERNEL_WIDTHS, check_width, too_narrow
from xaijax.lime._neighborhood import Samples
from xaijax.lime._surrogate import Ridge

RIDGE = 1e-6  # of each column's variance: keeps too few samples finite and changes the sixth digit of the others
DEFINITIONS = ["xaijax", "lime"]
SURROGATES = ["linear", "gaussian_process"]
_MOST_ROWS = 4096  # of the Gaussian process: a factor of these takes 23 GFLOP


def fit(
    game: Game,
    *,
    key: Any,
    num_samples: int = 1000,
    sampling: str | None = None,
    distance: str = "cosine",
    kernel_width: float | None = None,
    ridge: float | None = None,
    num_features: int | None = None,
    feature_selection: str = "auto",
    surrogate: str = "linear",
    until: float | None = None,
    max_samples: int | None = None,
    top: int = 5,
    definitions: str = "xaijax",
    ids: Any = None,
    batch_size: int | None = None,
) -> Surrogate:
    """LIME: a linear surrogate of a game around the coalition of all players.

    Why: shows the slope of the model around one input in terms of the presence of its parts, says by `r_squared` how
    far a line is a fair picture of it, and by `std_errors` and `stability` what another draw would change.

    Args:
      game: N games from `xai.game`, or one written by hand.
      key: a JAX random key. Each example's neighborhood depends on the key and its id alone.
      num_samples: S coalitions, that of all players first. Default 1000, as in lime for images.
      sampling: "coins" is the paper's: each player is there by a fair coin, and the kernel weighs the samples.
        "weighted" draws from the law that these weights make, each sample with weight one: the same line in the limit,
        at smaller error, far smaller where the kernel is narrow. "sizes" is lime's for text: the number of absent
        players is uniform, and the kernel weighs; another line. Default "weighted".
      distance: D, how far a coalition is from all players: "cosine" 1 - sqrt(|z|/M) as in lime for images and text,
        "euclidean" sqrt(1 - |z|/M), or "hamming" 1 - |z|/M. Default "cosine".
      kernel_width: sigma in pi = exp(-D²/sigma²). Default 0.25 for "cosine", 0.75 for "euclidean", 0.4 for "hamming".
      ridge: the penalty on the squared coefficients, relative to the variance of the columns. Default 1e-6.
      num_features: how many players may have coefficients other than 0. Default: all.
      feature_selection: how these are found: "forward_selection", "highest_weights", "lasso_path", "none", or "auto":
        forward for at most 6, else highest weights, as in lime. Standard errors are those of the fit of the chosen.
      surrogate: "linear", least squares, or "gaussian_process": the same line, estimated with a model of the game's
        interactions, whose values at all coalitions are what the line is of (see `_gaussian_process.py`). Several times
        more exact at equal samples, for 25 Cholesky factors of [S, S]; for "weighted" sampling and up to 4096 samples.
      until: a precision to reach: the largest standard error over the largest coefficient. Rounds of `num_samples` are
        drawn until then. Default: one round. Such a loop has no reverse-mode gradient.
      max_samples: the cap of `until`. Default 16 rounds. `converged` says whether the precision was reached before it.
      top: how many of the largest coefficients `stability` is about. Default 5.
      definitions: "lime" for those of the package lime 0.2: pi = sqrt(exp(-D²/width²)), so that its width 0.25 is 0.35
        here; sampling "coins"; and ridge 1, added to the weighted sums of squares instead of their means, which pulls
        coefficients to 0 where weights are small. What is given besides is taken in these definitions.
      ids: [N] integers that name the examples for their randomness. Default: their positions.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      values [N, M] (one hand-written game: [M]; all outputs: [N, M, K]) the coefficients, with std_errors (those of
      another draw, over independent blocks of samples; infinite for fewer samples than players), intercept, the
      surrogate's own prediction at the input beside the model's output, r_squared and held_out_r_squared,
      effective_samples, stability, num_evaluations, and converged.

    Raises:
      TypeError, ValueError: if an argument is of the wrong type, not positive, no name of those above, or the kernel so
        narrow that nothing but the input has weight; within a transformation such an example is NaN.

    References:
      Ribeiro, Singh & Guestrin (2016), "Why should I trust you?", arXiv:1602.04938, equation 1 and section 3.4.
      Tan, Tian & Li (2023), GLIME, arXiv:2311.15722, for sampling from the weighted law.
    """
    game = as_game(game)
    num_samples = check.positive_int("num_samples", num_samples, least=2)
    check.one_of("distance", distance, DISTANCES)
    as_lime = check.one_of("definitions", definitions, DEFINITIONS) == "lime"
    if sampling is None:
        sampling = "coins" if as_lime else "weighted"
    check.one_of("sampling", sampling, SAMPLINGS)
    width = KERNEL_WIDTHS[distance] if kernel_width is None else check.positive_float("kernel_width", kernel_width)
    width = width * math.sqrt(2) if as_lime else width
    check_width(width, distance, game.num_players)
    recipe = read_recipe(
        layout(sampling, num_samples - 1),
        read_ridge(ridge, as_lime),
        num_players=game.num_players,
        num_features=num_features,
        feature_selection=feature_selection,
        top=top,
        until=until,
        max_samples=max_samples,
        certain=sampling == "weighted",
    )
    if check.one_of("surrogate", surrogate, SURROGATES) == "gaussian_process":
        check_gaussian_process(recipe, sampling)
    batch_size = check.batch_size(batch_size)
    key, ids = check.random_key(key), check.example_ids(ids, game.num_examples)
    found = _fit(
        game, key, ids, width,
        recipe=recipe, sampling=sampling, distance=distance, surrogate=surrogate, batch_size=batch_size,
    )  # fmt: skip
    if sampling != "weighted":
        what = f"every one of the {recipe.samples(1)} samples but the input itself"
        check_weights(found, lambda _: too_narrow(width, distance, game.num_players, what))
    return found


def check_gaussian_process(recipe: Recipe, sampling: str) -> None:
    """Raises where there is no such surrogate."""
    if sampling != "weighted":
        raise ValueError(
            f"surrogate='gaussian_process' is for sampling='weighted', whose law it knows, but sampling is {sampling!r}."
        )
    if recipe.num_features is not None:
        raise ValueError(
            "surrogate='gaussian_process' gives every player a coefficient: leave num_features out, or use 'linear'."
        )
    if recipe.samples(recipe.rounds) > _MOST_ROWS:
        raise ValueError(
            f"surrogate='gaussian_process' takes at most {_MOST_ROWS} samples, as its cost grows with their cube, but "
            f"there may be {recipe.samples(recipe.rounds)}: lower num_samples or max_samples, or use 'linear'."
        )


def read_ridge(ridge: Any, as_lime: bool) -> Ridge:
    """The penalty, relative to the variances or, as in lime, absolute."""
    if ridge is None:
        return Ridge(1.0 if as_lime else RIDGE, as_lime)
    return Ridge(check.positive_float("ridge", ridge), as_lime)


@compiled(static_argnames=("recipe", "sampling", "distance", "surrogate", "batch_size"))
def _fit(
    game: Game,
    key: Key[Array, ""],
    ids: Any,
    width: Any,
    recipe: Recipe,
    sampling: str,
    distance: str,
    surrogate: str,
    batch_size: int | None,
) -> Surrogate:
    def explain_one(v: Value, key: Key[Array, ""], active: Bool[Array, " M"]) -> dict[str, Array]:
        def coalitions(key: Array) -> tuple[Any, Any]:
            samples = draw(sampling, key, active, distance, width, recipe.together)
            return samples, samples.points > -0.5  # present players: absent ones are at -1

        def improve(samples: Samples, residuals: Array, *_: Any) -> tuple[Array, Array, Array]:
            log_sizes = size_law(jnp.sum(active), len(active), distance, width)
            better = adjust(samples.points > -0.5, residuals, samples.weights, log_sizes, active)
            return better.coefficients, better.prediction, better.scores

        is_process = surrogate == "gaussian_process"
        fields = explain(coalitions, v, key, recipe, active=active, improve=improve if is_process else None)
        return fields | {"intercept": fields["prediction"] - fields["values"].sum(axis=0)}

    return game.attribute(
        Surrogate,
        explain_one,
        key=key,
        ids=ids,
        coalitions_at_once=recipe.samples(1),
        examples_at_once=recipe.most_examples(),
        batch_size=batch_size,
        method="LIME",
        estimator="least squares" if surrogate == "linear" else "Gaussian process",
        efficient=False,
    )
