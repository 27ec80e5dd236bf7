"""Explanations from pairs of complementary coalitions, as the kernel and the Gaussian process estimators need them.

The design is a constant, whose players each explanation relabels (`_relabeled.py`). An estimator may also choose pairs in
rounds, from the values of those before; then each explanation has a design of its own.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from xaijax._core.attribution import Attribution
from xaijax._core.blocks import each, in_blocks, one_by_one
from xaijax._core.compile import automatic_axes, compiled, is_eager
from xaijax._core.game import ExampleGames, Game, Value
from xaijax._core.typing import Array, Bool, Int, Key
from xaijax._core.until import extend_until, precision, repeat_until
from xaijax.shap._relabeled import (
    Pairs,
    Parts,
    Relabeled,
    Solve,
    evaluate,
    games_at_once,
    in_units,
    labels_of,
    of_design,
    relabel,
    solved,
)

_MOST_AT_ONCE = 2**13  # pairs in one program: after that many, an interrupt is heard


# (odd parts [n + 1, K], the grand coalition's last; coalitions [n, M], those of them that are present [n], the active
# players [M], a count) -> [count, M] the next coalitions to evaluate.
Choose = Callable[..., Bool[Array, "s M"]]
# The number of a stage -> its coalitions [n, M] and its solver, a `jax.tree_util.Partial`; and, where pairs are chosen, what
# chooses them. The coalitions are then only those of the first evaluations.
Prepare = Callable[[int], tuple[np.ndarray, Solve] | tuple[np.ndarray, Solve, Choose]]

ROUNDS = 2  # of choices: three evaluations of the model, one after the other


def explain(
    game: Game,
    key: Any,
    ids: Any,
    prepare: Prepare,
    *,
    stages: tuple[int, ...],
    until: float | None,
    estimator: str,
    title: str,
    batch_size: int | None,
) -> Attribution:
    """Explains every game from the design's pairs, stage after stage until the values are precise.

    Called from Python, values are solved for by programs without the model, which are compiled once for all models, and a
    stage is prepared when it is reached. Within a transformation all stages are prepared.
    """
    options: dict[str, Any] = {"estimator": estimator, "title": title, "batch_size": batch_size}
    if not is_eager(game, key, ids):
        with jax.ensure_compile_time_eval():
            prepared = [prepare(stage) for stage in range(len(stages))]
            coalitions, solves = jnp.asarray(prepared[-1][0]), [stage[1] for stage in prepared]
            choices = [choose for stage in prepared for choose in stage[2:]]
        return _explain(game, key, ids, coalitions, solves, choices, stages=stages, until=until, **options)[0]

    with automatic_axes():
        return _explain_in_programs(game, key, ids, prepare, stages, until, options)


def _explain_in_programs(
    game: Game,
    key: Any,
    ids: Any,
    prepare: Prepare,
    stages: tuple[int, ...],
    until: float | None,
    options: dict[str, Any],
) -> Attribution:
    """Explains every game by several programs: one for each stage, each choice of pairs, and each block of many pairs.

    What chooses pairs and solves for values is compiled apart from the model, and once for all models.
    """
    title, batch_size = options["title"], options["batch_size"]
    prepare = functools.cache(prepare)
    step = min(stages[0], _MOST_AT_ONCE)
    coalitions, _, *choices = prepare(0)
    begin = coalitions[:step]
    first, state = _explain(
        game, key, ids, begin, [Partial(_unsolved)], [], stages=(len(begin),), until=None, **options
    )
    if choices:
        state = state._replace(
            coalitions=jnp.broadcast_to(coalitions, (*state.pairs.own.shape[:-2], *coalitions.shape))
        )
    alone = game.num_examples is None
    if alone:
        state = _with_axis(state)
    known = np.arange(len(state.labels))  # the examples of the state

    def extend(number: int, rows: np.ndarray) -> tuple[Array, Array]:
        nonlocal state, known
        coalitions, solve, *choices = prepare(number)
        if not np.array_equal(rows, known):
            state, known = _select(state, np.searchsorted(known, rows)), rows
        before = state.pairs.own.shape[1]
        for end in (
            _ends_of_rounds(before, stages[number], ROUNDS if number == 0 else 1) if choices else [stages[number]]
        ):
            if choices:
                count = end - before
                of_one_shape = _joined(state, None, None, most=stages[number] - count)
                new = _choose_more(of_one_shape, choices[0], np.int32(before), count=count, title=title)
                state = _joined(state, new, None)
            for start in range(before, end, step):
                ends = slice(start, min(start + step, end))
                block = coalitions[ends] if state.coalitions is None else state.coalitions[:, ends]
                more = _evaluate_more(game, key, ids, rows, block, title=title, batch_size=batch_size)
                state = _joined(state, None, more)
                jax.block_until_ready(state)  # so that an interrupt is heard after each block
            before = end
        return _solve_again(state, solve, title=title, at_once=games_at_once(state))

    def another(number: int, rows: np.ndarray) -> tuple[Array, Array, Array]:
        return *extend(number, rows), _evaluations(stages[number], len(rows))

    values, std_errors = extend(0, known)
    if alone:
        values, std_errors = _without_axis((values, std_errors))
    first = dataclasses.replace(first, values=values, std_errors=std_errors)
    if len(begin) < stages[0]:
        first = dataclasses.replace(first, num_evaluations=_evaluations(stages[0], game.num_examples))
    return first if until is None else extend_until(until, len(stages), first, another)


def _evaluations(pairs: int, num_examples: int | None) -> Int[Array, "*N"]:
    return jnp.full(() if num_examples is None else num_examples, 2 * pairs + 2, jnp.int32)


@compiled(title="pairs", quick_to_compile=True)
def _with_axis(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf[None], tree)


@compiled(title="pairs", quick_to_compile=True)
def _without_axis(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf[0], tree)


def _ends_of_rounds(first: int, last: int, rounds: int) -> list[int]:
    """Returns how many pairs there are after each round of equal size."""
    return [first + (last - first) // rounds * (number + 1) for number in range(rounds)] if last > first else []


def _unsolved(parts: Parts, active: Bool[Array, " M"]) -> tuple[Array, Array]:
    zeros = jnp.zeros((len(active), parts.odd.shape[1]), parts.odd.dtype)
    return zeros, zeros


@compiled(
    static_argnames=("stages", "until", "estimator", "title", "batch_size"), title=lambda options: options["title"]
)
def _explain(
    game: Game,
    key: Key[Array, ""],
    ids: Int[Array, " N"] | None,
    coalitions: Bool[Array, "n M"],
    solves: Sequence[Solve],
    choices: Sequence[Choose],
    stages: tuple[int, ...],
    until: float | None,
    estimator: str,
    title: str,
    batch_size: int | None,
) -> tuple[Attribution, Relabeled]:
    """Returns the attribution, and every game after the first stage."""

    def solve_one(v: Value, key: Key[Array, ""], active: Bool[Array, " M"]) -> dict[str, Any]:
        game = relabel(v, coalitions[: stages[0]], key, active)
        if choices:
            game = _in_rounds(v, game._replace(coalitions=coalitions), choices[0], stages[0])
        values, errors = solved(game, solves[0])
        fields: dict[str, Any] = {}
        stage = jnp.zeros((), jnp.int32)
        if until is not None:
            if len(stages) > 1:
                stage, values, errors = _in_stages(v, coalitions, game, solves, choices, stages, until, values, errors)
            fields["converged"] = precision(values, errors) <= until
        return fields | {
            "values": values,
            "std_errors": errors,
            "base_value": game.ends[0],
            "output": game.ends[1],
            "num_evaluations": 2 + 2 * jnp.asarray(stages, jnp.int32)[stage],
            "state": game,
        }

    def with_state(state: Relabeled, **fields: Any) -> Any:
        return Attribution(**fields), state

    return game.attribute(
        with_state,
        solve_one,
        method="SHAP",
        estimator=estimator,
        efficient=True,
        key=key,
        ids=ids,
        coalitions_at_once=2 * stages[0] + 2,
        batch_size=batch_size,
    )


def _in_rounds(v: Value, game: Relabeled, choose: Choose, count: int) -> Relabeled:
    """Adds pairs to the first ones, up to `count`, in rounds of equal size."""
    first = len(game.pairs.own)
    size = (count - first) // ROUNDS
    if size == 0:
        return game
    coalitions, pairs = jax.tree.map(lambda part: _padded(part, count), (game.coalitions, game.pairs))

    def add_round(game: Relabeled, number: Int[Array, ""]) -> tuple[Relabeled, None]:
        before = first + number * size
        new = _next_pairs(_first(game, count - size), choose, before, size)
        values = evaluate(v, new[:, game.labels])
        coalitions, pairs = jax.tree.map(
            lambda all_, part: jax.lax.dynamic_update_slice_in_dim(all_, part, before, axis=0),
            (game.coalitions, game.pairs),
            (new, values),
        )
        return game._replace(coalitions=coalitions, pairs=pairs), None

    return jax.lax.scan(add_round, game._replace(coalitions=coalitions, pairs=pairs), jnp.arange(ROUNDS))[0]


def _padded(rows: Array, count: int) -> Array:
    return jnp.pad(rows, [(0, count - len(rows)), (0, 0)])


def _first(game: Relabeled, count: int) -> Relabeled:
    """Returns the game with its first pairs alone."""
    coalitions = None if game.coalitions is None else game.coalitions[:count]
    return game._replace(coalitions=coalitions, pairs=jax.tree.map(lambda part: part[:count], game.pairs))


def _next_pairs(game: Relabeled, choose: Choose, present: int | Int[Array, ""], count: int) -> Bool[Array, "count M"]:
    """Returns the next coalitions, given the first `present` pairs; values decide, and have no derivatives here."""
    parts, _ = in_units(jax.lax.stop_gradient(game))
    rows = jnp.arange(len(game.pairs.own)) < present
    return choose(parts.odd, game.coalitions, rows, of_design(game), count)


def _in_stages(
    v: Value,
    coalitions: Bool[Array, "n M"],
    game: Relabeled,
    solves: Sequence[Solve],
    choices: Sequence[Choose],
    stages: tuple[int, ...],
    until: float,
    values: Array,
    errors: Array,
) -> tuple[Array, Array, Array]:
    """Doubles the pairs, as many at a time as the first stage has, until the values are precise or all are evaluated."""
    step = stages[0]
    num_steps = -(-stages[-1] // step)
    # The last stage may end within a step: some coalitions are empty, and not used.
    coalitions = _padded(coalitions if game.coalitions is None else game.coalitions, num_steps * step)
    pairs = jax.tree.map(lambda part: _padded(part, num_steps * step), game.pairs)
    ends = jnp.asarray([-(-stage // step) for stage in stages], jnp.int32)

    def at_stage(coalitions: Array, pairs: Pairs, count: int) -> Relabeled:
        chosen = coalitions if choices else None
        return _first(game._replace(coalitions=chosen, pairs=pairs), count)

    def another(number: Int[Array, ""], state: tuple[Array, Pairs, Array, Array]) -> tuple[Array, Pairs, Array, Array]:
        coalitions, pairs = state[:2]
        if choices:
            branches = [
                lambda coalitions, pairs, choose=choose, before=before, count=count: coalitions.at[before:count].set(
                    _next_pairs(at_stage(coalitions, pairs, before), choose, before, count - before)
                )
                for choose, before, count in zip(choices[1:], stages[:-1], stages[1:], strict=True)
            ]
            coalitions = jax.lax.switch(number - 1, branches, coalitions, pairs)

        def add_step(index: Int[Array, ""], pairs: Pairs) -> Pairs:
            new = jax.lax.dynamic_slice_in_dim(coalitions, index * step, step)
            return jax.tree.map(
                lambda all_, part: jax.lax.dynamic_update_slice_in_dim(all_, part, index * step, axis=0),
                pairs,
                evaluate(v, new[:, game.labels]),
            )

        pairs = jax.lax.fori_loop(ends[number - 1], ends[number], add_step, pairs)
        branches = [
            lambda coalitions, pairs, solve=solve, count=count: solved(at_stage(coalitions, pairs, count), solve)
            for solve, count in zip(solves[1:], stages[1:], strict=True)
        ]
        return coalitions, pairs, *jax.lax.switch(number - 1, branches, coalitions, pairs)

    number, (*_, values, errors), _ = repeat_until(
        until, len(stages), (coalitions, pairs, values, errors), another, lambda state: state[2:]
    )
    return number - 1, values, errors


@compiled(title="until")
def _select(state: Relabeled, rows: Int[Array, " n"]) -> Relabeled:
    return jax.tree.map(lambda leaf: leaf[rows], state)


@compiled(static_argnames=("title", "batch_size"), title=lambda options: options["title"])
def _evaluate_more(
    game: Game,
    key: Key[Array, ""],
    ids: Int[Array, " N"] | None,
    rows: Int[Array, " n"],
    coalitions: Bool[Array, "*n s M"],
    title: str,
    batch_size: int | None,
) -> Pairs:
    """Evaluates more pairs of some of the examples: the same coalitions of each, or its own."""

    def solve(v: Value, key: Key[Array, ""], _active: Any, own: Bool[Array, "s M"]) -> dict[str, Any]:
        return {"pairs": evaluate(v, own[:, labels_of(key, game.num_players)]), "output": jnp.zeros(())}

    given = jnp.broadcast_to(coalitions, (len(rows), *coalitions.shape[-2:]))
    at_once = 2 * coalitions.shape[-2]
    options: dict[str, Any] = {"ids": ids, "coalitions_at_once": at_once, "batch_size": batch_size}
    return solve_rows(game, rows, solve, given, key=key, **options)["pairs"]


@compiled(static_argnames=("most",), title="pairs", quick_to_compile=True)
def _joined(
    state: Relabeled, coalitions: Bool[Array, "n s M"] | None, pairs: Pairs | None, most: int | None = None
) -> Relabeled:
    """Adds coalitions or values of pairs, or rows of zeros up to `most` pairs, to those of every example."""

    def join(old: Array, new: Array | None) -> Array:
        if most is not None:
            new = jnp.zeros((len(old), most - old.shape[1], *old.shape[2:]), old.dtype)
        return old if new is None else jnp.concatenate([old, new], axis=1)

    both = [join(old, new) for old, new in zip(state.pairs, pairs or (None, None), strict=True)]
    own = None if state.coalitions is None else join(state.coalitions, coalitions)
    return state._replace(pairs=Pairs(*both), coalitions=own)


def solve_rows(
    game: Game, rows: Int[Array, " n"], solve: Any, given: Any = None, *, ids: Int[Array, " N"] | None, **options: Any
) -> dict[str, Any]:
    """Runs `game.solve_each` for some of the examples, with what is given for each; a single game is the example 0."""
    if not isinstance(game, ExampleGames):
        fields = game.solve_each(solve, ids=None, given=jax.tree.map(lambda leaf: leaf[0], given), **options)
        return jax.tree.map(lambda leaf: leaf[None] if isinstance(leaf, jax.Array) else leaf, fields)
    ids = rows if ids is None else ids[rows]
    return game.of_examples(rows).solve_each(solve, ids=ids, given=given, **options)


@compiled(static_argnames=("count", "title"), title=lambda options: options["title"], quick_to_compile=True)
def _choose_more(
    state: Relabeled, choose: Choose, present: Int[Array, ""], count: int, title: str
) -> Bool[Array, "N count M"]:
    """Chooses more pairs of every game, to be evaluated next; the first `present` pairs count."""
    return jax.vmap(lambda game: _next_pairs(game, choose, present, count))(state)


@compiled(static_argnames=("title", "at_once"), title=lambda options: options["title"], quick_to_compile=True)
def _solve_again(state: Relabeled, solve: Solve, title: str, at_once: int) -> tuple[Array, Array]:
    if state.coalitions is not None:  # small matrices, of each game its own
        return jax.vmap(one_by_one(solved), in_axes=(0, None))(state, solve)
    return in_blocks(each(lambda game: solved(game, solve)), state, at_once)
