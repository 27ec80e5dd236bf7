"""Explaining from pairs of complementary coalitions: what the kernel and Gaussian process estimators share.

The design is a constant. Each explanation relabels its players by its own key, so that no two share a design and errors
do not add up over a data set: player i of the game is player labels[i] of the design.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from xaijax._core import check, random
from xaijax._core.attribution import Attribution
from xaijax._core.game import Game, Value
from xaijax._core.numerics import ranks
from xaijax._core.typing import Array, Bool, Float, Int, Key
from xaijax._core.until import precision, read_until
from xaijax.shap._design import num_pairs

DEFAULT_EVALUATIONS = 20  # for each player


class Parts(NamedTuple):
    """The values of n pairs (v(z), v(1 - z)) and of the pair of all and nobody, which comes last.

    odd: [n+1, K] half their differences; even: [n+1, K] half their sums.
    """

    odd: Float[Array, "n K"]
    even: Float[Array, "n K"]


# The values [M, K] of the design's players and their standard errors, from the parts of one stage and which players are
# active [M].
Solve = Callable[[Parts, Bool[Array, " M"]], tuple[Float[Array, "M K"], Float[Array, "M K"]]]


def read_stages(
    num_players: int, num_evaluations: Any, until: Any, max_evaluations: Any, most_pairs: int | None = None
) -> tuple[tuple[int, ...], float | None]:
    """The numbers of pairs of the nested designs, each twice the one before, and the precision that ends them.

    most_pairs: what the estimator can take, the default cap.
    """
    everything = 2**num_players
    if num_evaluations is None:
        num_evaluations = min(DEFAULT_EVALUATIONS * num_players, everything)
    least = min(2 * num_players, everything)
    num_evaluations = check.positive_int("num_evaluations", num_evaluations)
    if num_evaluations < least:
        raise ValueError(
            f"num_evaluations must be at least {least}, twice the number of the {num_players} players, but it is "
            f"{num_evaluations}: with fewer, xai.shap.permutation is the better estimator."
        )
    first = min((num_evaluations - 2) // 2, num_pairs(num_players))
    until = read_until(until, "max_evaluations", max_evaluations)
    if until is None:
        return (first,), None
    if max_evaluations is None:
        max_evaluations = 16 * num_evaluations
        if most_pairs is not None:
            max_evaluations = max(num_evaluations, min(max_evaluations, 2 * most_pairs + 2))
    most = check.positive_int("max_evaluations", max_evaluations, least=num_evaluations)
    most = min((most - 2) // 2, num_pairs(num_players))
    stages = [first]
    while stages[-1] < most:
        stages.append(min(2 * stages[-1], most))
    return tuple(stages), until


def explain(
    game: Game,
    coalitions: Bool[Array, "n M"],
    solves: Sequence[Solve],
    *,
    stages: tuple[int, ...],
    until: float | None,
    key: Key[Array, ""],
    ids: Int[Array, " N"] | None,
    batch_size: int | None,
    estimator: str,
) -> Attribution:
    """Shapley values of every game from the design's pairs, solved at each stage until they are precise enough."""
    num_players = game.num_players

    def shapley(v: Value, key: Key[Array, ""], active: Bool[Array, " M"]) -> dict[str, Array]:
        labels = ranks(random.uniform(key, (num_players,)))
        own = coalitions[:, labels]
        ends, last = _ends(v, num_players)
        shape = ends.shape[1:]
        empty, full = ends.reshape(2, -1)

        def evaluate(own: Bool[Array, "n M"]) -> Parts:
            return _parts(v(jnp.concatenate([own, ~own])))

        own_alive = jnp.zeros(num_players, bool).at[labels].set(active)

        def solved(solve: Solve, parts: Parts) -> tuple[Array, Array]:
            parts = jax.tree.map(lambda part, end: jnp.concatenate([part, end]), parts, last)
            values, errors = solve(parts, own_alive)
            values, errors = efficient(values[labels], full - empty, active), errors[labels]
            return values, jnp.where(jnp.isnan(values), jnp.nan, jnp.where(active[:, None], errors, 0))

        parts = evaluate(own[: stages[0]])
        values, errors = solved(solves[0], parts)
        fields: dict[str, Array] = {}
        stage = jnp.zeros((), jnp.int32)
        if until is not None:
            if len(stages) > 1:
                stage, values, errors = _in_stages(own, evaluate, solved, solves, stages, until, parts, values, errors)
            fields["converged"] = precision(values, errors) <= until
        fields["num_evaluations"] = 2 + 2 * jnp.asarray(stages, jnp.int32)[stage]
        return fields | {
            "values": values.reshape(-1, *shape),
            "std_errors": errors.reshape(-1, *shape),
            "base_value": ends[0],
            "output": ends[1],
        }

    return game.attribute(
        Attribution,
        shapley,
        key=key,
        ids=ids,
        coalitions_at_once=2 * stages[0] + 2,
        batch_size=batch_size,
        method="SHAP",
        estimator=estimator,
        efficient=True,
    )


def evaluate_pairs(
    v: Value, coalitions: Bool[Array, "n M"], key: Key[Array, ""]
) -> tuple[Int[Array, " M"], Parts, Float[Array, "2 ..."]]:
    """The labels of the game's players in the design, all parts, and the values of nobody and of all."""
    num_players = coalitions.shape[1]
    labels = ranks(random.uniform(key, (num_players,)))
    own = coalitions[:, labels]
    ends, last = _ends(v, num_players)
    parts = _parts(v(jnp.concatenate([own, ~own])))
    return labels, jax.tree.map(lambda part, end: jnp.concatenate([part, end]), parts, last), ends


def _ends(v: Value, num_players: int) -> tuple[Float[Array, "2 ..."], Parts]:
    """The values of nobody and of all, and their parts."""
    ends = v(jnp.stack([jnp.zeros(num_players, bool), jnp.ones(num_players, bool)]))
    return ends, _parts(ends[::-1])


def _parts(values: Float[Array, "2n ..."]) -> Parts:
    """Of n coalitions followed by their complements."""
    one, other = values.reshape(2, len(values) // 2, -1)
    return Parts((one - other) / 2, (one + other) / 2)


def check_players(game: Game) -> None:
    """Pairs need two sides."""
    if game.num_players < 2:
        raise ValueError(
            "game must have at least 2 players, but it has 1, which gets output - base value: use shap.exact."
        )


def efficient(values: Float[Array, "M K"], total: Float[Array, " K"], active: Bool[Array, " M"]) -> Float[Array, "M K"]:
    """The values with those of players that change nothing at 0, and the others moved alike until all sum to the total."""
    values = jnp.where(active[:, None], values, 0)
    missing = (total - values.sum(axis=0)) / jnp.maximum(active.sum(), 1)
    return jnp.where(active[:, None], values + missing, 0)


def _in_stages(
    own: Bool[Array, "n M"],
    evaluate: Callable[[Array], Parts],
    solved: Callable[[Solve, Parts], tuple[Array, Array]],
    solves: Sequence[Solve],
    stages: tuple[int, ...],
    until: float,
    parts: Parts,
    values: Array,
    errors: Array,
) -> tuple[Array, Array, Array]:
    """Doubles the pairs, as many at a time as the first stage has, until the precision is reached or all are evaluated."""
    step = stages[0]
    num_steps = -(-stages[-1] // step)
    # The last stage may end within a step: pairs are repeated behind it and not looked at.
    own = jnp.concatenate([own, own[: num_steps * step - len(own)]])
    parts = jax.tree.map(lambda part: jnp.pad(part, [(0, (num_steps - 1) * step), (0, 0)]), parts)
    ends = jnp.asarray([-(-stage // step) for stage in stages], jnp.int32)

    def more(state: tuple[Array, Parts, Array, Array]) -> Array:
        stage, _, values, errors = state
        return (stage < len(stages) - 1) & ~(precision(values, errors) <= until)

    def another(state: tuple[Array, Parts, Array, Array]) -> tuple[Array, Parts, Array, Array]:
        stage, parts, *_ = state

        def one_step(number: Array, parts: Parts) -> Parts:
            new = evaluate(jax.lax.dynamic_slice_in_dim(own, number * step, step))
            return jax.tree.map(
                lambda every, part: jax.lax.dynamic_update_slice_in_dim(every, part, number * step, axis=0), parts, new
            )

        parts = jax.lax.fori_loop(ends[stage], ends[stage + 1], one_step, parts)
        ways = [
            lambda parts, solve=solve, pairs=pairs: solved(solve, jax.tree.map(lambda part: part[:pairs], parts))
            for solve, pairs in zip(solves[1:], stages[1:], strict=True)
        ]
        return stage + 1, parts, *jax.lax.switch(stage, ways, parts)

    stage, _, values, errors = jax.lax.while_loop(more, another, (jnp.zeros((), jnp.int32), parts, values, errors))
    return stage, values, errors
