"""Shapley values by antithetic permutation sampling (Castro, Gómez & Tejada 2009; Lomeli et al. 2019).

phi_i = E over orders pi of [v(players before i in pi, and i) - v(players before i in pi)]

Each order is walked forwards and backwards: the pair cancels all interactions of two players, and is the unit of the
standard error.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from xaijax import _check
from xaijax._attribution import Attribution
from xaijax._blocks import block_size
from xaijax._compile import compiled
from xaijax._game import Game, Value, as_game
from xaijax._typing import Array, Float, Int, Key


def permutation(
    game: Game, *, num_permutations: int = 16, key: Any, ids: Any = None, batch_size: int | None = None
) -> Attribution:
    """Shapley values by antithetic permutation sampling, with a standard error for every value.

    Why: unbiased, in memory that does not grow with the number of permutations, and the values sum to the output minus
    the base value exactly, for every number of permutations. Additive models and interactions of two players are
    exact after one permutation.

    Args:
      game: N games from `xai.game`, or one written by hand.
      num_permutations: P orders of the players, each walked in both directions: 2 P (M - 1) + 2 coalitions. Default
        16: standard errors a quarter of one pair's spread, and enough pairs to estimate them.
      key: a JAX random key. Each example's orders depend on the key and its id alone.
      ids: [N] integers that name the examples for their randomness. Default: their positions.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      values [N, M] (one hand-written game: [M]; all outputs: [N, M, K]); std_errors alike, the standard deviation over
      the pairs divided by sqrt(P), NaN for P = 1, where nothing can be said; base_value v(no players); output v(all).

    Raises:
      TypeError, ValueError: if an argument is of the wrong type, or a count is not positive.

    References:
      Castro, Gómez & Tejada (2009), Polynomial calculation of the Shapley value based on sampling.
      Lomeli, Rowland, Gretton & Ghahramani (2019), Antithetic and Monte Carlo kernel estimators for partial rankings.
    """
    game = as_game(game)
    num_permutations = _check.positive_int("num_permutations", num_permutations)
    batch_size = _check.batch_size(batch_size)
    key, ids = _check.random_key(key), _check.example_ids(ids, game.num_examples)
    return _permutation(game, key, ids, num_permutations=num_permutations, batch_size=batch_size)


@compiled(static_argnames=("num_permutations", "batch_size"))
def _permutation(game: Game, key: Key[Array, ""], ids: Any, num_permutations: int, batch_size: int | None):
    num_players = game.num_players
    walk = 2 * max(1, num_players - 1)  # interior coalitions of one order, in both directions
    walks_at_once = max(1, game.rows_at_once(batch_size) // (walk * game.rows_per_coalition))

    def shapley(v: Value, key: Key[Array, ""], _: Any) -> dict[str, Array]:
        empty, full = v(jnp.stack([jnp.zeros(num_players, bool), jnp.ones(num_players, bool)]))

        def pairs(numbers: Int[Array, " P"]) -> Float[Array, "P M ..."]:
            ranks = jax.vmap(lambda number: jax.random.permutation(jax.random.fold_in(key, number), num_players))(
                numbers
            )
            return _pair_contributions(v, ranks, empty, full)

        mean, spread = _mean_and_spread(pairs, num_permutations, walks_at_once)
        std_errors = jnp.sqrt(spread / (num_permutations - 1) / num_permutations)  # 0 / 0 = NaN for one pair
        return {"values": mean, "std_errors": std_errors, "base_value": empty, "output": full}

    return game.attribute(
        Attribution,
        shapley,
        key=key,
        ids=ids,
        coalitions_at_once=block_size(num_permutations, walks_at_once) * walk,
        batch_size=batch_size,
        method=f"permutation Shapley values ({num_permutations} antithetic permutations)",
    )


def _pair_contributions(v: Value, ranks: Int[Array, "P M"], empty: Array, full: Array) -> Float[Array, "P M ..."]:
    """The marginal contribution of each player, mean of the forward and the backward walk of each order."""
    num_orders, num_players = ranks.shape
    steps = jnp.arange(1, num_players)
    # rank < k: the first k players of the order, [P, M - 1, M]. Written as a quotient, which the compiler computes once
    # and keeps; a comparison it repeats inside the masking, for every background row. The half keeps clear of rounding.
    before = (ranks[:, None, :] + 0.5) / steps[None, :, None] < 1
    coalitions = before ^ jnp.array([False, True])[:, None, None, None]  # and the first M - k of the reverse order
    shape = (num_orders, num_players - 1)
    worth = v(coalitions.reshape(-1, num_players)) if num_players > 1 else empty[None][:0]
    worth = worth.reshape(2, *shape, *empty.shape)

    first, last = (jnp.broadcast_to(end, (num_orders, 1, *empty.shape)) for end in (empty, full))
    forward = jnp.diff(jnp.concatenate([first, worth[0], last], axis=1), axis=1)
    backward = -jnp.diff(jnp.concatenate([last, worth[1], first], axis=1), axis=1)
    by_rank = (forward + backward) / 2
    return jax.vmap(lambda contributions, rank: contributions[rank])(by_rank, ranks)


def _mean_and_spread(sample: Any, count: int, at_once: int) -> tuple[Array, Array]:
    """Mean and sum of squared deviations of `sample(numbers)` over the numbers 0..count-1, in one pass.

    Blocks are merged by Chan, Golub & LeVeque (1983): nothing cancels where the spread is small beside the mean, and
    nothing but the two running results is kept.
    """
    at_once = block_size(count, at_once)
    num_blocks = -(-count // at_once)
    if num_blocks == 1:
        samples = sample(jnp.arange(count))
        mean = samples.mean(axis=0)
        return mean, ((samples - mean) ** 2).sum(axis=0)

    def merge(running: tuple[Array, Array, Array], first: Int[Array, ""]) -> tuple[tuple[Array, Array, Array], None]:
        seen, mean, spread = running
        numbers = first + jnp.arange(at_once)
        samples = sample(numbers)
        counted = (numbers < count).reshape(-1, *[1] * (samples.ndim - 1))
        new = counted.sum()
        block_mean = jnp.where(counted, samples, 0).sum(axis=0) / new
        block_spread = jnp.where(counted, (samples - block_mean) ** 2, 0).sum(axis=0)
        step, total = block_mean - mean, seen + new
        spread = spread + block_spread + step**2 * (seen * new / total)
        return (total, mean + step * (new / total), spread), None

    shape = jax.eval_shape(sample, jax.ShapeDtypeStruct((1,), jnp.int32))
    zeros = jnp.zeros(shape.shape[1:], shape.dtype)
    # Under reverse-mode differentiation a block is evaluated again instead of keeping every block's values.
    body = jax.checkpoint(merge, prevent_cse=False)
    starts = jnp.arange(num_blocks) * at_once
    (_, mean, spread), _ = jax.lax.scan(body, (jnp.zeros((), shape.dtype), zeros, zeros), starts)
    return mean, spread
