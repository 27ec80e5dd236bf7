"""LIME over any game (Ribeiro, Singh & Guestrin 2016, equation 1).

xi(x) = argmin_g L(f, g, pi_x) + Omega(g), with g linear in which players are present, L the weighted squared error and
Omega a small ridge, or a limit on the number of players.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from xaijax._core import check
from xaijax._core.attribution import Surrogate
from xaijax._core.compile import compiled
from xaijax._core.game import Game, Value, as_game
from xaijax._core.model_game import ModelGame, prepare_players, reviewed
from xaijax._core.numerics import zero_where
from xaijax._core.typing import Array, Bool, Float, Ids, Key, KeyLike
from xaijax.lime._coalition_process import adjust
from xaijax.lime._coalitions import SAMPLINGS, coalition_layout, draw_coalitions, log_size_distribution
from xaijax.lime._explain import DEFINITIONS, Recipe, check_weights, explain, read_recipe
from xaijax.lime._neighborhood import DISTANCES, KERNEL_WIDTHS, Samples, check_width, too_narrow
from xaijax.lime._programs import draw_each, in_programs, solve_each, unsolved_fields


def fit(
    game: Game,
    *,
    key: KeyLike,
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
    ids: Ids = None,
    batch_size: int | None = None,
) -> Surrogate:
    """Fits a linear surrogate of a game around the grand coalition.

    Why: the effect of each part of an input near that input, with `r_squared`, how well a line describes the model
    there, and `std_errors` and `stability`, what another draw would change.

    Args:
      game: N games from `xai.game`, or one written by hand.
      key: a JAX random key. Each example's neighborhood depends only on the key and the example's id.
      num_samples: S coalitions, the grand coalition first. Default 1000, as in lime for images.
      sampling: "coins" is the paper's: each player is present by a fair coin, and the kernel weights the samples.
        "weighted" draws coalitions of weight one from the distribution with the kernel, which gives the same line at
        smaller error however narrow the kernel. "sizes" is lime's for text: the number of absent players is uniform, and
        the kernel weights the samples; a different line. Default "weighted".
      distance: D, the distance of a coalition from the grand coalition: "cosine" 1 - sqrt(|z|/M) as in lime for images
        and text, "euclidean" sqrt(1 - |z|/M), or "hamming" 1 - |z|/M. Default "cosine".
      kernel_width: sigma in pi = exp(-D²/sigma²). Default 0.25 for "cosine", 0.75 for "euclidean", 0.4 for "hamming".
      ridge: the penalty on the squared coefficients, relative to the variance of the columns. Default 1e-6.
      num_features: the largest number of players with coefficients other than 0. Default: all.
      feature_selection: how these are selected: "forward_selection", "highest_weights", "lasso_path", "none", or "auto":
        forward for at most 6, else highest weights, as in lime. Standard errors are those of the fit of the selected.
      surrogate: "linear", least squares, or "gaussian_process": the same line, estimated with a model of the game's
        interactions over all coalitions (see `_coalition_process.py`). Several times more exact at equal samples, for 25
        Cholesky factors of [S, S]; for "weighted" sampling and up to 4096 samples.
      until: a precision to reach: the largest standard error relative to the largest coefficient. Rounds of
        `num_samples` are drawn until then. Default: one round. Such a loop has no reverse-mode gradient.
      max_samples: the cap of `until`. Default 16 rounds. `converged` says whether the precision was reached.
      top: the number of largest coefficients that `stability` refers to. Default 5.
      definitions: "lime" for those of the package lime 0.2: pi = sqrt(exp(-D²/width²)), so that its width 0.25 is 0.35
        here; sampling "coins"; and ridge 1, added to the weighted sums of squares instead of their means, which shrinks
        coefficients where weights are small. Other options are read in these definitions.
      ids: [N] integers that name the examples for their randomness. Default: their positions in the batch.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      values [N, M] (one hand-written game: [M]; all outputs: [N, M, K]), the coefficients, with std_errors (of another
      draw, from independent blocks of samples; infinite for fewer samples than players); intercept; prediction, the
      surrogate at the input, to compare with the model's output; r_squared and held_out_r_squared; effective_samples;
      stability; num_evaluations; and converged.

    Raises:
      TypeError, ValueError: if an argument has the wrong type or is out of range, or the kernel is so narrow that only
        the input has weight; within a transformation such an example is NaN.

    References:
      Ribeiro, Singh & Guestrin (2016), "Why should I trust you?", arXiv:1602.04938, equation 1 and section 3.4.
      Tan, Tian & Li (2023), GLIME, arXiv:2311.15722, for sampling from the weighted distribution.
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
        coalition_layout(sampling, num_samples - 1),
        num_players=game.num_players,
        sampling=sampling,
        as_lime=as_lime,
        surrogate=surrogate,
        ridge=ridge,
        num_features=num_features,
        feature_selection=feature_selection,
        until=until,
        max_samples=max_samples,
        top=top,
    )
    batch_size = check.batch_size(batch_size)
    key, ids = check.random_key(key), check.example_ids(ids, game.num_examples)
    options: dict[str, Any] = {
        "recipe": recipe, "sampling": sampling, "distance": distance, "batch_size": batch_size,
    }  # fmt: skip
    if isinstance(game, ModelGame) and in_programs((game, key, ids), game.num_examples, game.num_players, recipe):
        attribution = _fit_in_programs(game, key, ids, width, **options)
    else:
        attribution = _fit(game, key, ids, width, **options)
    if sampling != "weighted":
        vanished = f"every one of the {recipe.samples(1)} samples but the input itself"
        check_weights(attribution, lambda _: too_narrow(width, distance, game.num_players, vanished))
    return reviewed(game, attribution)


@compiled(static_argnames=("recipe", "sampling", "distance", "batch_size"))
def _fit(
    game: Game,
    key: Key[Array, ""],
    ids: Any,
    width: Any,
    recipe: Recipe,
    sampling: str,
    distance: str,
    batch_size: int | None,
) -> Surrogate:
    def solve(v: Value, key: Any, active: Bool[Array, " M"], exists: Bool[Array, " M"]) -> dict[str, Array]:
        def draw(key: Array) -> tuple[Samples, Array]:
            samples = draw_coalitions(sampling, key, exists, distance, width, recipe.layout)
            return samples, _present(samples)

        return _surrogate(draw, v, key, active, exists, width, recipe, distance)

    return game.attribute(Surrogate, solve, key=key, ids=ids, with_existing=True, **_options(recipe, batch_size))


def _options(recipe: Recipe, batch_size: int | None) -> dict[str, Any]:
    """Returns the options of `Game.attribute`."""
    return {
        "coalitions_at_once": recipe.samples(1),
        "examples_at_once": recipe.most_examples(),
        "batch_size": batch_size,
        "method": "LIME",
        "estimator": "Gaussian process" if recipe.is_process else "least squares",
        "efficient": False,
    }


def _present(samples: Samples) -> Bool[Array, "S M"]:
    return samples.points > -0.5  # absent players are at -1


def _surrogate(
    draw: Callable[[Array], tuple[Samples, Any]],
    evaluate: Callable[[Any], Array],
    key: Key[Array, ""],
    active: Bool[Array, " M"],
    exists: Bool[Array, " M"],
    width: Any,
    recipe: Recipe,
    distance: str,
) -> dict[str, Array]:
    """Returns the fields of one example's surrogate."""

    def improve(samples: Samples, residuals: Array, *_: Any) -> tuple[Array, Array, Array]:
        log_sizes = log_size_distribution(exists.sum(), len(exists), distance, width)
        better = adjust(_present(samples), residuals, samples.weights, log_sizes, exists)
        return better.coefficients, better.prediction, better.scores

    fields = explain(draw, evaluate, key, recipe, active=exists, improve=improve)
    fields["values"] = zero_where(~active, fields["values"])  # they equal their background
    fields["std_errors"] = zero_where(~active, fields["std_errors"])
    return fields | {"intercept": fields["prediction"] - fields["values"].sum(axis=0)}


def _fit_in_programs(
    game: ModelGame, key: Any, ids: Any, width: Any, *, recipe: Recipe, sampling: str, distance: str, batch_size: Any
) -> Surrogate:
    """Does the same by several programs: those without the model are compiled once for all models."""
    prepared, active, exists = prepare_players(game.masker, game.x)
    samples = _draw(key, ids, exists, width, recipe=recipe, sampling=sampling, distance=distance)
    unsolved, values = _evaluate(game, prepared, samples.points, recipe=recipe, batch_size=batch_size)
    fields = _solve(key, ids, samples, values, active, exists, width, recipe=recipe, distance=distance)
    return dataclasses.replace(unsolved, **fields)


@compiled(static_argnames=("recipe", "sampling", "distance"), title="lime.fit", quick_to_compile=True)
def _draw(
    key: Key[Array, ""],
    ids: Any,
    exists: Bool[Array, "N M"],
    width: Any,
    recipe: Recipe,
    sampling: str,
    distance: str,
) -> Samples:
    """Draws the samples of every example."""

    def draw(key: Array, exists: Bool[Array, " M"]) -> Samples:
        return draw_coalitions(sampling, key, exists, distance, width, recipe.layout)

    return draw_each(draw, recipe, key, ids, exists)


@compiled(static_argnames=("recipe", "batch_size"), title="lime.fit")
def _evaluate(
    game: ModelGame, prepared: Any, points: Float[Array, "N S M"], recipe: Recipe, batch_size: int | None
) -> tuple[Surrogate, Float[Array, "N S ..."]]:
    """Evaluates every example's samples, and returns them with a surrogate whose fields are still unknown."""

    def solve(v: Value, _key: Any, _active: Any, points: Float[Array, "S M"]) -> dict[str, Array]:
        return unsolved_fields(v(points > -0.5))

    def with_values(evaluated: Array, **fields: Any) -> Any:
        return Surrogate(**fields), evaluated

    game = game.with_prepared(prepared)
    return game.attribute(with_values, solve, given=points, **_options(recipe, batch_size))


@compiled(static_argnames=("recipe", "distance"), title="lime.fit", quick_to_compile=True)
def _solve(
    key: Key[Array, ""],
    ids: Any,
    samples: Samples,
    values: Float[Array, "N S ..."],
    active: Bool[Array, "N M"],
    exists: Bool[Array, "N M"],
    width: Any,
    recipe: Recipe,
    distance: str,
) -> dict[str, Array]:
    """Fits the surrogate of every example to the values of its samples."""

    def solve(key: Array, own: Any) -> dict[str, Array]:
        samples, values, active, exists = own
        return _surrogate(lambda _: (samples, None), lambda _: values, key, active, exists, width, recipe, distance)

    return solve_each(solve, recipe, key, ids, (samples, values, active, exists))
