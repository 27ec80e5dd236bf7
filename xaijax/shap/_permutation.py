"""Shapley values by antithetic permutation sampling (Castro, Gómez & Tejada 2009; Lomeli et al. 2019).

phi_i = E over orders pi of [v(players before i in pi, and i) - v(players before i in pi)]

Each order is walked forwards and backwards: the pair cancels all interactions of two players, and is the unit of the
standard error.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check, random
from xaijax._core.attribution import Attribution
from xaijax._core.blocks import block_size
from xaijax._core.compile import compiled
from xaijax._core.game import Game, Value, as_game
from xaijax._core.numerics import ranks
from xaijax._core.typing import Array, Bool, Float, Int, Key
from xaijax._core.until import precision, read_until
from xaijax.shap._running import Running, add

ORDERS = ["independent", "orthogonal"]


def permutation(
    game: Game,
    *,
    key: Any,
    num_permutations: int = 16,
    orders: str = "independent",
    until: float | None = None,
    max_permutations: int | None = None,
    ids: Any = None,
    batch_size: int | None = None,
) -> Attribution:
    """Shapley values by antithetic permutation sampling, with a standard error for every value.

    Why: unbiased, also where the model's answers are noisy, in memory that does not grow with the number of permutations,
    and the values sum to the output minus the base value exactly, for every number of permutations. Additive models and
    interactions of two players are exact after one permutation. For budgets of less than five evaluations for each
    player, and as an independent check of the estimators that know more of games.

    Args:
      game: N games from `xai.game`, or one written by hand.
      key: a JAX random key. Each example's orders depend on the key and its id alone.
      num_permutations: P orders of the players, each walked in both directions: 2 P (M - 1) + 2 coalitions. Default
        16: standard errors a quarter of one pair's spread, and enough pairs to estimate them.
      orders: "independent", or "orthogonal": in blocks of up to M - 1 that are spread evenly over all orders (Mitchell et
        al. 2022), still unbiased. Up to half of the squared error where P is M or more; its standard errors, which take
        them for independent, are then too large. Keeps P M numbers for each example. Default "independent".
      until: a precision to reach: the largest standard error over the largest value. P more permutations are walked
        until then. Default: none, and P. Such a loop has no reverse-mode gradient.
      max_permutations: the cap of `until`. Default 16 P. `converged` says whether the precision was reached before it.
      ids: [N] integers that name the examples for their randomness. Default: their positions.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      values [N, M] (one hand-written game: [M]; all outputs: [N, M, K]); std_errors alike, the standard deviation over
      the pairs divided by sqrt(P), NaN for P = 1, where nothing can be said, and known with P - 1 degrees of freedom: a
      95 % interval has 1.96 of them for many permutations, and 2.8 for five. Few pairs may miss what is rare: over ten
      games such intervals held 69-94 % of the values for P = 2, 82-95 % for 5, and 90-98 % for 25. base_value v(no
      players); output v(all); num_evaluations, and converged.

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
    until = read_until(until, "max_permutations", max_permutations)
    rounds = 1
    if until is not None:
        cap = 16 * num_permutations if max_permutations is None else max_permutations
        rounds = check.positive_int("max_permutations", cap, least=num_permutations) // num_permutations
    batch_size = check.batch_size(batch_size)
    key, ids = check.random_key(key), check.example_ids(ids, game.num_examples)
    return _permutation(
        game, key, ids,
        num_permutations=num_permutations, orders=orders, until=until, rounds=rounds, batch_size=batch_size,
    )  # fmt: skip


@compiled(static_argnames=("num_permutations", "orders", "until", "rounds", "batch_size"))
def _permutation(
    game: Game,
    key: Key[Array, ""],
    ids: Any,
    num_permutations: int,
    orders: str = "independent",
    until: float | None = None,
    rounds: int = 1,
    batch_size: int | None = None,
) -> Attribution:
    num_players = game.num_players
    walk = 2 * max(1, num_players - 1)  # interior coalitions of one order, in both directions
    walks_at_once = max(1, game.rows_at_once(batch_size) // (walk * game.rows_per_coalition))

    def shapley(v: Value, key: Key[Array, ""], active: Bool[Array, " M"]) -> dict[str, Array]:
        empty, full = v(jnp.stack([jnp.zeros(num_players, bool), jnp.ones(num_players, bool)]))
        spread_out = _orthogonal(key, num_players, rounds * num_permutations) if orders == "orthogonal" else None

        def pairs(numbers: Int[Array, " P"]) -> Float[Array, "P M ..."]:
            if spread_out is not None:
                places = spread_out[numbers]
            else:
                fold = jax.vmap(lambda number: jax.random.permutation(jax.random.fold_in(key, number), num_players))
                places = fold(numbers)
            return _pair_contributions(v, places, empty, full)

        def errors(running: Running) -> Array:
            return jnp.where(_like(active, running.mean), running.std_errors(), 0)

        running = add(None, pairs, 0, num_permutations, walks_at_once)
        fields: dict[str, Array] = {}
        if until is not None:
            goal: float = until

            def more(state: tuple[Array, Running]) -> Array:
                number, running = state
                return (number < rounds) & ~(precision(running.mean, errors(running)) <= goal)

            def another(state: tuple[Array, Running]) -> tuple[Array, Running]:
                number, running = state
                first = number * num_permutations
                return number + 1, add(running, pairs, first, num_permutations, walks_at_once)

            _, running = jax.lax.while_loop(more, another, (jnp.ones((), jnp.int32), running))
            fields["converged"] = precision(running.mean, errors(running)) <= goal
        return fields | {
            "values": jnp.where(_like(active, running.mean), running.mean, 0),
            "std_errors": errors(running),
            "base_value": empty,
            "output": full,
            "num_evaluations": 2 + (walk if num_players > 1 else 0) * running.seen.astype(jnp.int32),
        }

    return game.attribute(
        Attribution,
        shapley,
        key=key,
        ids=ids,
        coalitions_at_once=block_size(num_permutations, walks_at_once) * walk,
        batch_size=batch_size,
        method="SHAP",
        estimator="antithetic permutations" if orders == "independent" else "orthogonal antithetic permutations",
        efficient=True,
    )


def _like(players: Bool[Array, " M"], values: Float[Array, "M ..."]) -> Array:
    return players.reshape(-1, *[1] * (values.ndim - 1))


def _orthogonal(key: Key[Array, ""], num_players: int, count: int) -> Int[Array, "P M"]:
    """Orders that sort points on a sphere, the points of each block at right angles (Mitchell et al. 2022, algorithm 2)."""
    if num_players < 3:
        return jnp.broadcast_to(jnp.arange(num_players), (count, num_players))
    side = num_players - 1
    num_blocks = -(-count // side)
    normal = random.normal(key, (num_blocks, side, side))
    rotations, triangles = jnp.linalg.qr(normal)
    rotations = rotations * jnp.sign(jnp.diagonal(triangles, axis1=1, axis2=2))[:, None, :]  # uniform over rotations
    # An orthonormal basis of the plane of all points that sum to 0 (Helmert's): orders are directions in it.
    basis = np.tril(np.ones((side, num_players))) - np.arange(1.0, num_players)[:, None] * np.eye(side, num_players, 1)
    basis /= np.linalg.norm(basis, axis=1, keepdims=True)
    rows = -(-count // num_blocks)
    points = jnp.matmul(rotations[:, :rows], basis.astype(np.float32), precision=jax.lax.Precision.HIGHEST)
    return ranks(points).reshape(-1, num_players)[:count]


def _pair_contributions(v: Value, places: Int[Array, "P M"], empty: Array, full: Array) -> Float[Array, "P M ..."]:
    """The marginal contribution of each player, mean of the forward and the backward walk of each order.

    places: the rank of each player in each order.
    """
    num_orders, num_players = places.shape
    steps = jnp.arange(1, num_players)
    # rank < k: the first k players of the order, [P, M - 1, M]. Written as a quotient, which the compiler computes once
    # and keeps; a comparison it repeats inside the masking, for every background row. The half keeps clear of rounding.
    before = (places[:, None, :] + 0.5) / steps[None, :, None] < 1
    coalitions = before ^ jnp.array([False, True])[:, None, None, None]  # and the first M - k of the reverse order
    shape = (num_orders, num_players - 1)
    worth = v(coalitions.reshape(-1, num_players)) if num_players > 1 else empty[None][:0]
    worth = worth.reshape(2, *shape, *empty.shape)

    first, last = (jnp.broadcast_to(end, (num_orders, 1, *empty.shape)) for end in (empty, full))
    forward = jnp.diff(jnp.concatenate([first, worth[0], last], axis=1), axis=1)
    backward = -jnp.diff(jnp.concatenate([last, worth[1], first], axis=1), axis=1)
    by_rank = (forward + backward) / 2
    return jax.vmap(lambda contributions, rank: contributions[rank])(by_rank, places)
