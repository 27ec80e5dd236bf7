"""Shapley values by antithetic permutation sampling (Castro, Gómez & Tejada 2009; Lomeli et al. 2019).

phi_i = E over orders pi of [v(players before i in pi, and i) - v(players before i in pi)]

Each order is walked forwards and backwards: the pair cancels all interactions of two players, and is the unit of the
standard error.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check, random
from xaijax._core.attribution import Attribution
from xaijax._core.blocks import block_size
from xaijax._core.compile import automatic_axes, compiled, is_eager
from xaijax._core.game import Game, Value, as_game
from xaijax._core.numerics import dot, power_of_two, ranks, zero_where
from xaijax._core.running import Running, add, merged
from xaijax._core.typing import Array, Bool, Float, Ids, Int, Key, KeyLike
from xaijax._core.until import extend_until, read_until, repeat_until
from xaijax.shap._budget import read_key
from xaijax.shap._paired import solve_rows

ORDERS = ["independent", "orthogonal"]
ESTIMATORS = {"independent": "antithetic permutations", "orthogonal": "orthogonal antithetic permutations"}
_FEW = 256  # permutations that always run in one program
_LONGEST = 1024  # blocks of model rows in one program of more permutations: after that many, an interrupt is heard
_MOST_RANKS = 2**27  # of orthogonal orders, which are made at once
_MOST_COUNTED = 2**31 - 1


def permutation(
    game: Game,
    *,
    key: KeyLike | None = None,
    num_permutations: int = 16,
    orders: str = "independent",
    until: float | None = None,
    max_evaluations: int | None = None,
    ids: Ids = None,
    batch_size: int | None = None,
) -> Attribution:
    """Computes Shapley values by antithetic permutation sampling, with a standard error for every value.

    Why: unbiased, also where the model's outputs are noisy, in memory that does not grow with the number of permutations.
    The values sum to the output minus the base value for every number of permutations. Additive models and interactions
    of two players are exact after one permutation. Use it for stochastic models, and as an independent check of the other
    estimators.

    Args:
      game: N games from `xai.game`, or one written by hand.
      key: a JAX random key. Each example's orders depend on the key and its id alone. It may be left out for at most two
        players, of whom one order and its reverse are all orders.
      num_permutations: P orders of the players, the natural unit of this estimator. Each is walked in both directions, so
        that P orders evaluate 2 P (M - 1) + 2 coalitions. Default 16: enough pairs to estimate standard errors.
      orders: "independent", or "orthogonal": in blocks of up to M - 1 orders that are spread evenly over all orders
        (Mitchell et al. 2022), still unbiased. They reduce the error where P is M or more. Their standard errors take them
        for independent, and are too large. Stores P M numbers for each example. Default "independent".
      until: a precision to reach: the largest standard error over the largest value. P more permutations are walked
        until then. Such a loop has no reverse-mode gradient. Default: none, and P.
      max_evaluations: the cap of `until`, in coalitions. `converged` says whether the precision was reached. Default:
        those of 16 P permutations.
      ids: [N] integers that name the examples for their randomness. Default: their indices.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      values [N, M] (one hand-written game: [M]; all outputs: [N, M, K]) that sum to output minus base_value; std_errors
      alike, the standard deviation over the pairs divided by sqrt(P): NaN for P = 1. They have P - 1 degrees of freedom: a
      95 % interval takes 1.96 of them for many permutations, and 2.8 for five. num_evaluations, at most 2^31 - 1, and
      converged.

    Raises:
      TypeError, ValueError: if an argument is of the wrong type, or a count is not positive.

    References:
      Castro, Gómez & Tejada (2009), Polynomial calculation of the Shapley value based on sampling.
      Lomeli, Rowland, Gretton & Ghahramani (2019), Antithetic and Monte Carlo kernel estimators for partial rankings.
      Mitchell, Cooper, Frank & Holmes (2022), Sampling permutations for Shapley value estimation, arXiv:2104.12199,
      section 4.2.
    """
    game = as_game(game)
    num_permutations = check.positive_int("num_permutations", num_permutations)
    check.one_of("orders", orders, ORDERS)
    until, rounds = read_until(until, "max_evaluations", max_evaluations), 1
    if until is not None:
        rounds = max(1, min(16, _MOST_COUNTED // num_permutations))
        if max_evaluations is not None:
            least = evaluations_of(num_permutations, game.num_players)
            cap = check.positive_int("max_evaluations", max_evaluations, least=min(least, _MOST_COUNTED))
            rounds = max(1, permutations_of(cap, game.num_players) // num_permutations)
    key, ids = (
        read_key(key, game.num_players < 3, "orders are drawn at random"),
        check.example_ids(ids, game.num_examples),
    )
    batch_size = check.batch_size(batch_size)
    total = rounds * num_permutations
    if orders == "orthogonal" and total * game.num_players > _MOST_RANKS:
        raise ValueError(
            f"`num_permutations` must be at most {_MOST_RANKS // (game.num_players * rounds):,} for orders='orthogonal', "
            f"which are made at once, got {num_permutations:,}: use orders='independent'."
        )
    most = _longest(game, num_permutations, batch_size)
    options: dict[str, Any] = {"orders": orders, "total": total, "batch_size": batch_size}
    if not is_eager(game, key, ids) or (until is None and num_permutations <= most):
        one_program = {"num_permutations": num_permutations, "until": until, "rounds": rounds}
        return _permutation(game, key, ids, **one_program, **options)[0]
    with automatic_axes():
        return _in_rounds(game, key, ids, num_permutations, until, rounds, most, options)


def evaluations_of(num_permutations: int, num_players: int) -> int:
    """Returns the number of coalitions that permutations evaluate."""
    return 2 + num_permutations * _walk(num_players)


def permutations_of(num_evaluations: int, num_players: int) -> int:
    """Returns the number of permutations, at least 1, for a number of coalitions."""
    return max(1, (num_evaluations - 2) // max(2, _walk(num_players)))


def _walk(num_players: int) -> int:
    """Returns the number of coalitions between the empty and the grand one, in both directions of an order."""
    return 2 * (num_players - 1)


def _longest(game: Game, num_permutations: int, batch_size: int | None) -> int:
    """Returns the largest number of permutations of all examples in one program."""
    if num_permutations <= _FEW:
        return num_permutations
    rows = max(1, _walk(game.num_players)) * game.rows_per_coalition * (game.num_examples or 1)
    return max(1, _LONGEST * game.rows_at_once(batch_size) // rows)


def _in_rounds(
    game: Game, key: Any, ids: Any, count: int, until: float | None, rounds: int, most: int, options: dict[str, Any]
) -> Attribution:
    """Walks `count` orders and, until the values are precise, as many again, in programs of at most `most` orders."""
    first, state = _permutation(game, key, ids, num_permutations=min(count, most), until=None, rounds=1, **options)
    state = jax.tree.map(lambda leaf: leaf[None], state) if game.num_examples is None else state
    known = np.arange(1 if game.num_examples is None else game.num_examples)

    def walk(state: Any, rows: np.ndarray, start: int, stop: int) -> Any:
        for begin in range(start, stop, most):
            number = jnp.asarray(begin, jnp.int32)
            state = _walk_on(game, key, ids, rows, state, number, count=min(most, stop - begin), **options)
            jax.block_until_ready(state)  # so that programs do not queue up behind each other
        return state

    if count > most:
        state = walk(state, known, most, count)
        results = _results(state, num_players=game.num_players)
        values, std_errors, evaluations = (part[0] if game.num_examples is None else part for part in results)
        first = dataclasses.replace(first, values=values, std_errors=std_errors, num_evaluations=evaluations)
    if until is None:
        return first

    def another(number: int, rows: np.ndarray) -> tuple[Array, Array, Array]:
        nonlocal state, known
        state = walk(_select(state, np.searchsorted(known, rows)), rows, number * count, (number + 1) * count)
        known = rows
        return _results(state, num_players=game.num_players)

    return extend_until(until, rounds, first, another)


@compiled(
    static_argnames=("num_permutations", "orders", "total", "until", "rounds", "batch_size"), title="shap.permutation"
)
def _permutation(
    game: Game,
    key: Key[Array, ""],
    ids: Int[Array, " N"] | None,
    num_permutations: int,
    orders: str = "independent",
    total: int = 0,
    until: float | None = None,
    rounds: int = 1,
    batch_size: int | None = None,
) -> tuple[Attribution, tuple[Running, Array]]:
    """Returns the attribution, and the statistics of every game with its active players."""
    num_players, at_once = game.num_players, _at_once(game, batch_size)

    def solve(v: Value, key: Key[Array, ""], active: Bool[Array, " M"]) -> dict[str, Any]:
        ends = _ends(v, num_players)
        pairs = _pairs(v, key, ends, num_players, orders, total)
        running = add(None, pairs, 0, num_permutations, at_once)
        fields: dict[str, Any] = {}
        if until is not None:

            def another(number: Int[Array, ""], running: Running) -> Running:
                return add(running, pairs, number * num_permutations, num_permutations, at_once)

            results = lambda running: _values(running, active, num_players)[:2]  # noqa: E731
            _, running, fields["converged"] = repeat_until(until, rounds, running, another, results)
        values, std_errors, evaluations = _values(running, active, num_players)
        return fields | {
            "values": values,
            "std_errors": std_errors,
            "base_value": ends[0],
            "output": ends[1],
            "num_evaluations": evaluations,
            "state": (running, active),
        }

    def with_state(state: Any, **fields: Any) -> Any:
        return Attribution(**fields), state

    return game.attribute(
        with_state,
        solve,
        method="SHAP",
        estimator=ESTIMATORS[orders],
        efficient=True,
        key=key,
        ids=ids,
        coalitions_at_once=block_size(num_permutations, at_once) * max(2, _walk(num_players)),
        batch_size=batch_size,
    )


@compiled(static_argnames=("count", "orders", "total", "batch_size"), title="shap.permutation")
def _walk_on(
    game: Game,
    key: Key[Array, ""],
    ids: Int[Array, " N"] | None,
    rows: Int[Array, " n"],
    state: tuple[Running, Bool[Array, "n M"]],
    first: Int[Array, ""],
    count: int,
    orders: str,
    total: int,
    batch_size: int | None,
) -> tuple[Running, Bool[Array, "n M"]]:
    """Walks more orders of some of the examples."""
    num_players, at_once = game.num_players, _at_once(game, batch_size)

    def solve(v: Value, key: Key[Array, ""], _active: Any) -> dict[str, Any]:
        ends = _ends(v, num_players)
        return {
            "new": add(None, _pairs(v, key, ends, num_players, orders, total), first, count, at_once),
            "output": ends[1],
        }

    coalitions_at_once = block_size(count, at_once) * max(2, _walk(num_players))
    options = {"key": key, "ids": ids, "coalitions_at_once": coalitions_at_once, "batch_size": batch_size}
    new = solve_rows(game, rows, solve, **options)["new"]
    return jax.vmap(merged)(state[0], new), state[1]


@compiled(title="until")
def _select(state: Any, rows: Int[Array, " n"]) -> Any:
    return jax.tree.map(lambda leaf: leaf[rows], state)


@compiled(static_argnames=("num_players",), title="until")
def _results(state: tuple[Running, Bool[Array, "n M"]], num_players: int) -> tuple[Array, Array, Array]:
    return jax.vmap(lambda running, active: _values(running, active, num_players))(*state)


def _at_once(game: Game, batch_size: int | None) -> int:
    """Returns the number of orders of one example in one evaluation."""
    return max(1, game.rows_at_once(batch_size) // (max(2, _walk(game.num_players)) * game.rows_per_coalition))


def _ends(v: Value, num_players: int) -> Float[Array, "2 ..."]:
    return v(jnp.stack([jnp.zeros(num_players, bool), jnp.ones(num_players, bool)]))


def _values(running: Running, active: Bool[Array, " M"], num_players: int) -> tuple[Array, Array, Array]:
    """Returns values, standard errors and the number of evaluations."""
    values = zero_where(~active, running.means())
    errors = jnp.where(active.reshape(-1, *[1] * (values.ndim - 1)), running.std_errors(), 0)
    walk = _walk(num_players)
    counted = jnp.minimum(running.seen, (_MOST_COUNTED - 2) // max(1, walk))  # int32 holds no more evaluations
    return values, errors, 2 + walk * counted


def _pairs(v: Value, key: Key[Array, ""], ends: Array, num_players: int, orders: str, total: int) -> Any:
    """Returns a function from the numbers [P] of orders to the contributions [P, M, ...] of each, and their unit."""
    orthogonal = _orthogonal(key, num_players, total) if orders == "orthogonal" else None

    def ranks_of(number: Int[Array, ""]) -> Int[Array, " M"]:
        return jax.random.permutation(jax.random.fold_in(key, number), num_players)

    def pairs(numbers: Int[Array, " P"]) -> tuple[Array, Array]:
        own = jax.vmap(ranks_of)(numbers) if orthogonal is None else orthogonal[numbers]
        return _pair_contributions(v, own, ends)

    return pairs


def _orthogonal(key: Key[Array, ""], num_players: int, count: int) -> Int[Array, "P M"]:
    """Returns orders that sort points on a sphere, each block at right angles (Mitchell et al. 2022, algorithm 2)."""
    if num_players < 3:
        return jnp.broadcast_to(jnp.arange(num_players, dtype=jnp.int32), (count, num_players))
    side = num_players - 1
    num_blocks = -(-count // side)
    normal = random.normal(key, (num_blocks, side, side))
    rotations, triangles = jnp.linalg.qr(normal)
    rotations = rotations * jnp.sign(jnp.diagonal(triangles, axis1=1, axis2=2))[:, None, :]  # uniform over rotations
    # An orthonormal basis of the plane of all points that sum to 0 (Helmert's): orders are directions in it.
    basis = np.tril(np.ones((side, num_players))) - np.arange(1.0, num_players)[:, None] * np.eye(side, num_players, 1)
    basis /= np.linalg.norm(basis, axis=1, keepdims=True)
    rows = -(-count // num_blocks)
    points = dot(rotations[:, :rows], jnp.asarray(basis, jnp.float32))
    return ranks(points).reshape(-1, num_players)[:count]


def _pair_contributions(
    v: Value, own: Int[Array, "P M"], ends: Float[Array, "2 ..."]
) -> tuple[Float[Array, "P M ..."], Float[Array, "M ..."]]:
    """Returns the marginal contribution of each player, the mean of the forward and the backward walk of each order.

    They are given in the unit that is returned with them: contributions to tiny values would be subnormal, which CPUs
    take for 0.

    own: the rank of each player in each order.
    """
    num_orders, num_players = own.shape
    steps = jnp.arange(1, num_players, dtype=jnp.float32)
    # rank < k: the first k players of the order, [P, M - 1, M]. Written as a quotient, which the compiler computes once
    # and keeps; a comparison it repeats inside the masking, for every background row. The half avoids rounding errors.
    before = (own[:, None, :].astype(jnp.float32) + 0.5) / steps[None, :, None] < 1
    coalitions = jnp.stack([before, ~before])  # and the first M - k of the reverse order
    shape = ends.shape[1:]
    worth = v(coalitions.reshape(-1, num_players)) if num_players > 1 else ends[:0]
    unit = power_of_two(jnp.concatenate([worth, ends]))[None]
    worth, ends = worth / unit, ends / unit
    worth = worth.reshape(2, num_orders, num_players - 1, *shape)

    first, last = (jnp.broadcast_to(end[None, None], (num_orders, 1, *shape)) for end in ends)
    forward = jnp.diff(jnp.concatenate([first, worth[0], last], axis=1), axis=1)
    backward = -jnp.diff(jnp.concatenate([last, worth[1], first], axis=1), axis=1)
    by_rank = (forward + backward) / 2
    contributions = jax.vmap(lambda contributions, rank: contributions[rank])(by_rank, own)
    return contributions, jnp.broadcast_to(unit, contributions.shape[1:])
