"""From samples around one input to its explanation: xi(x) = argmin_g L(f, g, pi_x) + Omega(g)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.typing import Array, Bool, Float, Key
from xaijax._core.until import precision, read_until
from xaijax.lime._neighborhood import Blocks, Samples
from xaijax.lime._reliability import effective_samples, r_squared, reliability, stability
from xaijax.lime._select import SELECTIONS, select
from xaijax.lime._surrogate import Line, Regression, Ridge, dot, regression, solve

# samples, the line's residuals [S, K] and coefficients [M, K], how samples were drawn -> what to add to coefficients [M, K]
# and prediction [K], and scores [B, M, K] whose products are the covariance of the new coefficients
Improve = Callable[[Samples, Array, Array, Blocks], tuple[Array, Array, Array]]

_MANY_SAMPLES = 512


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What does not differ between inputs; compared by value.

    together: how one round of samples is drawn. rounds: at most so many. until: the precision that ends them, or None.
    certain: whether the input's weight is a share of the law, and grows with the rounds.
    """

    together: Blocks
    ridge: Ridge
    num_features: int | None
    feature_selection: str
    top: int
    rounds: int = 1
    until: float | None = None
    certain: bool = True

    def samples(self, rounds: int) -> int:
        """How many samples so many rounds take, the input's own among them."""
        return 1 + rounds * self.together.drawn

    def most_examples(self) -> int | None:
        """How many inputs may be explained side by side; None for as many as there is room for.

        On CPUs one, if it has more than a few samples: these fill the caches, and side by side both branches of what
        depends on the samples would run for all.
        """
        return 1 if jax.default_backend() == "cpu" and self.samples(1) >= _MANY_SAMPLES else None


def read_recipe(
    together: Blocks,
    ridge: Ridge,
    *,
    num_players: int,
    num_features: Any,
    feature_selection: Any,
    top: Any,
    until: Any,
    max_samples: Any,
    certain: bool,
) -> Recipe:
    """Checks the options that all fronts share."""
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
            max_samples = check.positive_int("max_samples", max_samples, least=together.drawn + 1)
            rounds = (max_samples - 1) // together.drawn
    top = min(check.positive_int("top", top), num_players)
    return Recipe(together, ridge, num_features, feature_selection, top, rounds, until, certain)


def check_weights(found: Any, say: Callable[[int], str]) -> None:
    """Raises, where it can be known, if an example's samples all have weight 0; `say` is the sentence about it."""
    if check.is_concrete(found):
        vanished = np.flatnonzero(np.isnan(np.atleast_1d(found.effective_samples)))
        if len(vanished):
            raise ValueError(say(int(vanished[0])))


def explain(
    draw: Callable[[Array], tuple[Samples, Any]],
    evaluate: Callable[[Any], Float[Array, "S ..."]],
    key: Key[Array, ""],
    recipe: Recipe,
    *,
    active: Bool[Array, " M"],
    improve: Improve | None = None,
    at: Float[Array, " M"] | None = None,
) -> dict[str, Array]:
    """The surrogate around one input.

    Args:
      draw: key -> a round of samples, the input's own first, and what to evaluate for them.
      evaluate: that -> values [S] or [S, K].
      key: of this input.
      recipe: all the rest.
      active: which players can change anything; the others have the coefficient 0 for certain.
      improve: what a better surrogate makes of the line's residuals.
      at: what to multiply coefficients by to rank players, where the largest are kept; default 1.

    Returns:
      The fields of a Surrogate, with the coefficients per unit of the points and the prediction at the points' 0.
    """
    draw_key, stability_key = jax.random.split(key)
    samples, inputs = draw(draw_key)
    values = evaluate(inputs)
    shape, values = values.shape[1:], values.reshape(len(values), -1)

    def fitted(samples: Samples, values: Array, rounds: int) -> dict[str, Array]:
        layout = dataclasses.replace(recipe.together, rounds=rounds)
        return _fitted(samples, values, layout, stability_key, recipe, active, improve, at)

    if recipe.until is None:
        fields = fitted(samples, values, 1)
        count = jnp.asarray(1, jnp.int32)
    else:
        until, rounds = recipe.until, recipe.rounds

        def room(leaf: Array) -> Array:
            free = jnp.zeros(((rounds - 1) * (len(leaf) - 1), *leaf.shape[1:]), leaf.dtype)
            return jnp.concatenate([leaf, free])

        samples, values = jax.tree.map(room, (samples, values))
        weight = samples.weights[0]

        def more(state: Any) -> Array:
            count, _, _, fields = state
            return (count < rounds) & ~(precision(fields["values"], fields["std_errors"]) <= until)

        def another(state: Any) -> Any:
            count, samples, values, _ = state
            new, inputs = draw(jax.random.fold_in(draw_key, count))
            answers = evaluate(jax.tree.map(lambda leaf: leaf[1:], inputs))
            found = jax.tree.map(lambda leaf: leaf[1:], new), answers.reshape(len(answers), -1)
            start = 1 + count * recipe.together.drawn
            samples, values = jax.tree.map(
                lambda every, part: jax.lax.dynamic_update_slice_in_dim(every, part.astype(every.dtype), start, axis=0),
                (samples, values),
                found,
            )
            if recipe.certain:
                samples = samples._replace(weights=samples.weights.at[0].set(weight * (count + 1)))
            return count + 1, samples, values, fitted(samples, values, rounds)

        start = (jnp.asarray(1, jnp.int32), samples, values, fitted(samples, values, rounds))
        count, _, values, fields = jax.lax.while_loop(more, another, start)
        fields["converged"] = precision(fields["values"], fields["std_errors"]) <= until
    fields = {name: _unflatten(value, shape) for name, value in fields.items()}
    fields["num_evaluations"] = 1 + count * recipe.together.drawn
    fields["output"] = values[0].reshape(shape)
    # Nothing but the input has weight: any line through it would do.
    vanished = (fields["effective_samples"] == 0) & active.any()
    return check.nan_where(vanished, fields)


def _fitted(
    samples: Samples,
    values: Float[Array, "S K"],
    together: Blocks,
    key: Array,
    recipe: Recipe,
    active: Bool[Array, " M"],
    improve: Improve | None,
    at: Array | None,
) -> dict[str, Array]:
    players = samples.points.shape[1]
    columns = jnp.concatenate([samples.points, samples.beside], axis=1).astype(values.dtype)
    problem = regression(columns, values, samples.weights, recipe.ridge)
    effective = effective_samples(samples)
    line = solve(problem, problem.goal)
    whole = reliability(line, samples, together, problem.varies.sum(), effective)
    per_unit = 1 / problem.scale[:players, None]
    coefficients, scores = line.scaled[:players] * per_unit, whole.scores[:, :players] * per_unit
    errors, fidelity = whole.errors[:players] * per_unit, r_squared(problem, line, samples.drawn, players)
    offset = jnp.zeros(values.shape[1])
    if improve is not None:
        roots = jnp.sqrt(problem.shares)[:, None]
        residuals = jnp.where(roots > 0, line.residuals / jnp.where(roots > 0, roots, 1), 0)
        more, more_prediction, scores = improve(samples, residuals, coefficients, together)
        coefficients, errors = coefficients + more, jnp.sqrt((scores**2).sum(axis=0))
        # At the samples' center least squares gives their mean; the better line need not.
        offset = more_prediction + dot(problem.center[:players], more)
        moved = dot(problem.rows[:, :players], more / per_unit) + roots * offset
        better = line._replace(scaled=coefficients / per_unit, residuals=line.residuals - moved)
        fidelity = r_squared(problem, better, samples.drawn, players)
    # What is said of the largest coefficients is said of the fit of all players, before any were dropped.
    stable = stability(key, coefficients, scores, recipe.top)
    stable = jnp.where(jnp.isfinite(errors).all(axis=0), stable, jnp.nan)
    if recipe.num_features is not None:
        scaled, errors, fidelity = _sparse(problem, line, samples, together, effective, recipe, at)
        coefficients, errors = scaled * per_unit, errors * per_unit
    prediction = problem.mean + offset - dot(problem.center[:players], coefficients)
    # A player that no sample lacked says nothing of itself: its coefficient 0 may be anything.
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


def _sparse(
    problem: Regression,
    line: Line,
    samples: Samples,
    together: Blocks,
    effective: Array,
    recipe: Recipe,
    at: Array | None,
) -> tuple[Array, Array, tuple[Array, Array]]:
    """Omega(g): each output's own players, and the fit of these alone."""
    num_features, players = recipe.num_features, samples.points.shape[1]
    assert num_features is not None
    scale = problem.scale[:players, None]
    ranked = line.scaled[:players] * (1 / scale if at is None else at[:, None] / scale)

    def one_output(each: tuple[Array, Array]) -> tuple[Array, Array, tuple[Array, Array]]:
        goal, weights = each
        support = select(problem, goal, num_features, recipe.feature_selection, weights)
        all_columns = jnp.concatenate([support, jnp.ones(samples.beside.shape[1], bool)])
        line = solve(problem, goal[:, None], all_columns)
        errors = reliability(line, samples, together, all_columns.sum(), effective).errors[:players, 0]
        alone = problem._replace(goal=goal[:, None])
        quality, prediction = r_squared(alone, line, samples.drawn, players)
        return line.scaled[:players, 0] * support, jnp.where(support, errors, 0), (quality[0], prediction[0])

    scaled, errors, fidelity = jax.lax.map(one_output, (problem.goal.T, ranked.T))
    return scaled.T, errors.T, fidelity


def _unflatten(value: Array, shape: tuple[int, ...]) -> Array:
    """[..., K] as the values were: without K for one output."""
    if value.ndim == 0:
        return value
    return value.reshape(*value.shape[:-1], *shape)
