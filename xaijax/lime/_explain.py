"""Fits the surrogate to samples around one input: xi(x) = argmin_g L(f, g, pi_x) + Omega(g)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.numerics import dot, power_of_two, ratio
from xaijax._core.typing import Array, Bool, Float, Key
from xaijax._core.until import read_until, repeat_until
from xaijax.lime._neighborhood import Layout, Pairs, Samples
from xaijax.lime._reliability import effective_samples, r_squared, reliability, stability
from xaijax.lime._surrogate import SELECTIONS, Line, Regression, Ridge, regression, regression_of_pairs, select, solve

# (samples, the line's residuals [S, K] and coefficients [M, K], the layout) -> the changes of the coefficients [M, K] and
# of the prediction [K], and scores [B, M, K] with scores'scores the covariance of the new coefficients
Improve = Callable[[Samples, Array, Array, Layout], tuple[Array, Array, Array]]

DEFINITIONS = ["xaijax", "lime"]
SURROGATES = ["linear", "gaussian_process"]
_RIDGE = 1e-6  # of each column's variance: keeps too few samples finite and changes only the sixth digit otherwise
_LARGEST_PROCESS = 4096  # samples of the Gaussian process: a factor of these takes 23 GFLOP
_MANY_SAMPLES = 512


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The options that all inputs share; compared by value.

    layout: how one round of samples is drawn.
    rounds: the largest number of rounds. until: the precision that ends them, or None.
    certain: whether the input's weight is its share of the distribution, which grows with the rounds.
    is_process: whether the surrogate is a Gaussian process.
    """

    layout: Layout
    ridge: Ridge
    num_features: int | None
    feature_selection: str
    top: int
    rounds: int = 1
    until: float | None = None
    certain: bool = True
    is_process: bool = False

    def samples(self, rounds: int) -> int:
        """Returns the number of samples in some rounds, with the input itself."""
        return 1 + rounds * self.layout.drawn

    def most_examples(self) -> int | None:
        """Returns how many inputs may be explained side by side; None for as many as there is room for.

        On CPUs one, if it has more than a few samples: these fill the caches, and inputs side by side would compute both
        branches of each condition.
        """
        return 1 if jax.default_backend() == "cpu" and self.samples(1) >= _MANY_SAMPLES else None


def read_recipe(
    layout: Layout,
    *,
    num_players: int,
    sampling: str,
    as_lime: bool,
    surrogate: Any,
    ridge: Any,
    num_features: Any,
    feature_selection: Any,
    until: Any,
    max_samples: Any,
    top: Any,
) -> Recipe:
    """Checks the options that all explainers of this folder share.

    as_lime: whether the ridge is lime's by default and its penalty absolute, as in lime.
    """
    check.one_of("feature_selection", feature_selection, SELECTIONS)
    if num_features is not None:
        num_features = min(check.positive_int("num_features", num_features), num_players)
    if num_features == num_players or feature_selection == "none":
        num_features = None
    rounds = 1
    until = read_until(until, "max_samples", max_samples)
    if until is not None:
        if max_samples is None:
            rounds = 16
        else:
            max_samples = check.positive_int("max_samples", max_samples, least=layout.drawn + 1)
            rounds = (max_samples - 1) // layout.drawn
    top = min(check.positive_int("top", top), num_players)
    default_ridge = 1.0 if as_lime else _RIDGE
    penalty = Ridge(default_ridge if ridge is None else check.positive_float("ridge", ridge), as_lime)
    is_process = check.one_of("surrogate", surrogate, SURROGATES) == "gaussian_process"
    recipe = Recipe(
        layout, penalty, num_features, feature_selection, top, rounds, until, sampling == "weighted", is_process
    )
    if is_process:
        _check_process(recipe, sampling)
    return recipe


def _check_process(recipe: Recipe, sampling: str) -> None:
    """Raises an error for options that a Gaussian process does not have."""
    if sampling != "weighted":
        raise ValueError(
            f"`sampling` must be 'weighted' with surrogate='gaussian_process', whose distribution it assumes, got {sampling!r}."
        )
    if recipe.num_features is not None:
        raise ValueError(
            f"`num_features` must be None with surrogate='gaussian_process', which gives every player a coefficient, got "
            f"{recipe.num_features}: use surrogate='linear'."
        )
    most = recipe.samples(recipe.rounds)
    if most > _LARGEST_PROCESS:
        raise ValueError(
            f"`num_samples` must be at most {_LARGEST_PROCESS} in all rounds with surrogate='gaussian_process', whose cost "
            f"grows with their cube, got {most}: lower num_samples or max_samples, or use surrogate='linear'."
        )


def check_weights(fields: Any, message: Callable[[int], str]) -> None:
    """Raises `message(row)`, where it can be known, if all samples of an example have weight 0."""
    if check.is_concrete(fields):
        vanished = np.flatnonzero(np.isnan(np.atleast_1d(fields.effective_samples)))
        if len(vanished):
            raise ValueError(message(int(vanished[0])))


def explain(
    draw: Callable[[Array], tuple[Samples, Any]],
    evaluate: Callable[[Any], Float[Array, "S ..."]],
    key: Key[Array, ""],
    recipe: Recipe,
    *,
    active: Bool[Array, " M"],
    improve: Improve,
    at: Float[Array, " M"] | None = None,
) -> dict[str, Array]:
    """Fits the surrogate around one input.

    Args:
      draw: key -> a round of samples, the input first, and the model inputs of these samples.
      evaluate: model inputs -> values [S] or [S, K].
      key: the input's key.
      recipe: the options.
      active: [M] which players can change anything; the others have the coefficient 0 without error.
      improve: computes the Gaussian process from the line's residuals.
      at: [M] factors of the coefficients by which players are ranked where the largest are kept; default 1.

    Returns:
      The fields of a Surrogate. Coefficients are per unit of the points, the prediction is at the points' 0.
    """
    draw_key, stability_key = jax.random.split(key)
    if recipe.until is not None:
        draw = _without_pairs(draw)  # rows that are reserved for later rounds have no weight
    samples, inputs = draw(draw_key)
    values = evaluate(inputs)
    shape, values = values.shape[1:], values.reshape(len(values), -1)
    drawn, rounds = recipe.layout.drawn, recipe.rounds
    layout = dataclasses.replace(recipe.layout, rounds=rounds)

    def fit(samples: Samples, values: Array) -> dict[str, Array]:
        scale = power_of_two(values)
        fields = _fit(samples, values / scale, layout, stability_key, recipe, active, improve, at)
        return fields | {name: fields[name] * scale for name in ("values", "std_errors", "prediction")}

    def reserve(leaf: Array) -> Array:
        return jnp.concatenate([leaf, jnp.zeros(((rounds - 1) * drawn, *leaf.shape[1:]), leaf.dtype)])

    def draw_round(number: Array, state: Any) -> Any:
        samples, values, _ = state
        new, inputs = draw(jax.random.fold_in(draw_key, number))
        answers = evaluate(jax.tree.map(lambda leaf: leaf[1:], inputs))
        new_rows = jax.tree.map(lambda leaf: leaf[1:], new), answers.reshape(len(answers), -1)
        start = 1 + number * drawn
        samples, values = jax.tree.map(
            lambda every, part: jax.lax.dynamic_update_slice_in_dim(every, part.astype(every.dtype), start, axis=0),
            (samples, values),
            new_rows,
        )
        if recipe.certain:
            samples = samples._replace(weights=samples.weights.at[0].set(weight * (number + 1)))
        return samples, values, fit(samples, values)

    if recipe.until is None:
        fields, number = fit(samples, values), jnp.asarray(1, jnp.int32)
    else:
        weight = samples.weights[0]
        samples, values = jax.tree.map(reserve, (samples, values))
        first = samples, values, fit(samples, values)
        results = lambda state: (state[2]["values"], state[2]["std_errors"])  # noqa: E731
        number, (_, values, fields), converged = repeat_until(recipe.until, rounds, first, draw_round, results)
        fields["converged"] = converged
    fields = {name: _unflatten(value, shape) for name, value in fields.items()}
    fields["num_evaluations"] = 1 + number * drawn
    fields["output"] = values[0].reshape(shape)
    # Only the input has weight: any line through it would fit.
    vanished = (fields["effective_samples"] == 0) & active.any()
    return check.nan_where(vanished, fields)


def _without_pairs(draw: Callable[[Array], tuple[Samples, Any]]) -> Callable[[Array], tuple[Samples, Any]]:
    def draw_points(key: Array) -> tuple[Samples, Any]:
        samples, inputs = draw(key)
        return samples._replace(pairs=None), inputs

    return draw_points


def _fit(
    samples: Samples,
    values: Float[Array, "S K"],
    layout: Layout,
    key: Array,
    recipe: Recipe,
    active: Bool[Array, " M"],
    improve: Improve,
    at: Array | None,
) -> dict[str, Array]:
    players = samples.points.shape[1]
    if samples.pairs is not None:
        pairs = Pairs(*(part.astype(values.dtype) for part in samples.pairs))
        problem = regression_of_pairs(pairs, values, samples.weights, layout, recipe.ridge)
    else:
        columns = jnp.concatenate([samples.points, samples.controls], axis=1).astype(values.dtype)
        problem = regression(columns, values, samples.weights, recipe.ridge)
    effective = effective_samples(samples)
    line = solve(problem, problem.goal)
    whole = reliability(line, samples, layout, problem.varies.sum(), effective)
    per_unit = 1 / problem.scale[:players, None]
    coefficients, scores = line.scaled[:players] * per_unit, whole.scores[:, :players] * per_unit
    errors, fidelity = whole.errors[:players] * per_unit, r_squared(problem, line, samples.drawn, players)
    offset = jnp.zeros(values.shape[1])
    if recipe.is_process:
        roots = jnp.sqrt(problem.shares)[:, None]
        change, offset, scores = improve(samples, ratio(line.residuals, roots), coefficients, layout)
        coefficients, errors = coefficients + change, jnp.sqrt((scores**2).sum(axis=0))
        # Least squares gives the mean of the samples at their center; the process need not.
        offset = offset + dot(problem.center[:players], change)
        moved = problem.columns.line(change / per_unit) + roots * offset
        better = line._replace(scaled=coefficients / per_unit, residuals=line.residuals - moved)
        fidelity = r_squared(problem, better, samples.drawn, players)
    # The stability is that of the fit of all players, before any were dropped.
    stable = stability(key, coefficients, scores, recipe.top)
    stable = jnp.where(jnp.isfinite(errors).all(axis=0), stable, jnp.nan)
    if recipe.num_features is not None:
        scaled, errors, fidelity = _fit_selected(problem, line, samples, layout, effective, recipe, at)
        coefficients, errors = scaled * per_unit, errors * per_unit
    prediction = problem.mean + offset - dot(problem.center[:players], coefficients)
    # Where no sample lacks an active player, nothing is known of its coefficient.
    unknown = active & ~problem.varies[:players]
    return {
        "values": coefficients,
        "std_errors": jnp.where(unknown[:, None], jnp.inf, jnp.where(active[:, None], errors, 0)),
        "prediction": prediction,
        "r_squared": fidelity[0],
        "held_out_r_squared": fidelity[1],
        "effective_samples": effective,
        "stability": stable,
    }


def _fit_selected(
    problem: Regression,
    line: Line,
    samples: Samples,
    layout: Layout,
    effective: Array,
    recipe: Recipe,
    at: Array | None,
) -> tuple[Array, Array, tuple[Array, Array]]:
    """Omega(g): selects players for each output, and fits only these."""
    num_features, players = recipe.num_features, samples.points.shape[1]
    assert num_features is not None
    scale = problem.scale[:players, None]
    ranked = line.scaled[:players] * (1 / scale if at is None else at[:, None] / scale)

    def fit_output(output: tuple[Array, Array]) -> tuple[Array, Array, tuple[Array, Array]]:
        goal, weights = output
        support = select(problem, goal, num_features, recipe.feature_selection, weights)
        all_columns = jnp.concatenate([support, jnp.ones(samples.controls.shape[1], bool)])
        line = solve(problem, goal[:, None], all_columns)
        errors = reliability(line, samples, layout, all_columns.sum(), effective).errors[:players, 0]
        quality, held_out = r_squared(problem._replace(goal=goal[:, None]), line, samples.drawn, players)
        return line.scaled[:players, 0] * support, jnp.where(support, errors, 0), (quality[0], held_out[0])

    scaled, errors, fidelity = jax.lax.map(fit_output, (problem.goal.T, ranked.T))
    return scaled.T, errors.T, fidelity


def _unflatten(value: Array, shape: tuple[int, ...]) -> Array:
    """Returns a field [..., K] in the shape of the values: without K for one output."""
    if value.ndim == 0:
        return value
    return value.reshape(*value.shape[:-1], *shape)
