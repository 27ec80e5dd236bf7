"""Statistics of the game over coalitions that each player joins with probability 1/2: RISE and Sobol's total indices.

RISE (Petsiuk, Das & Saenko 2018):  r_i = E[v(Z) | i in Z]
Sobol (Fel et al. 2021):            T_i = E[Var(v(Z) | Z without i)] / Var(v(Z)) = E[(v(Z ∪ i) - v(Z \\ i))²] / (4 Var(v(Z)))
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.compile import compiled
from xaijax._core.game import Game, Value, as_game
from xaijax._core.numerics import einsum, power_of_two, ratio, safe_sqrt, zero_where
from xaijax._core.typing import Array, Bool, Float, Ids, Int, Key, KeyLike
from xaijax.shap._budget import read_key
from xaijax.shap._exact import all_coalitions

_EXACT_PLAYERS = 12  # 4,096 coalitions
_MOST_EVALUATIONS = 2**22
_ENDS = 2  # the empty and the grand coalition, which are evaluated in addition to the samples
_RISE_EVALUATIONS = 4000 + _ENDS  # of the paper, for VGG-16
_SOBOL_SAMPLES = 32  # designs of the paper, each with an evaluation for each player


def rise(
    game: Game,
    *,
    key: KeyLike | None = None,
    num_evaluations: int | None = None,
    ids: Ids = None,
    batch_size: int | None = None,
) -> Attribution:
    """Computes the mean output when a player is present and each other one is with probability 1/2.

    Why: needs nothing but outputs, and a mean is estimated as well for thousands of players as for few. All values have the
    mean output in common: only their differences explain. A value is the mean output plus half the player's Banzhaf value.

    Difference: the paper's masks are small grids, shifted and enlarged smoothly, where these are the coalitions of the
    game's masker, such as `xai.mask.grid`. Its sum is divided by the expected number of coalitions with the player; here it
    is a mean over those that have it, which varies much less.

    Args:
      game: N games from `xai.game`, or one written by hand.
      key: a JAX random key; needed where not all coalitions are evaluated.
      num_evaluations: m coalitions for each example, including the empty and the grand one; at least 8, at most 4,194,304.
        All of them, where there are no more: the values are then exact. Default: all for up to 12 players, else 4,002, of
        which 4,000 are random, as in the paper.
      ids: [N] integers that name the examples for their randomness. Default: their indices.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      values [N, M] (one hand-written game: [M]; all outputs: [N, M, K]) in units of the output, 0 for padding; std_errors, 0
      where the values are exact; output and base_value, those of the grand coalition and of the empty one; num_evaluations.
      A player in none of the random coalitions has the value NaN, and one in fewer than two the standard error NaN.

    Raises:
      TypeError, ValueError: if `game` is not a game, the key is missing, or an argument is out of range.

    References:
      Petsiuk, Das & Saenko (2018), RISE: randomized input sampling for explanation of black-box models, arXiv:1806.07421,
      equation 5.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> game = xai.Game(lambda z: z[:, 0] * 4.0 + z[:, 1] * 2.0, num_players=3)
    >>> xai.shap.rise(game).values.tolist()
    [5.0, 4.0, 3.0]
    """
    return _explain("RISE", game, key, num_evaluations, _RISE_EVALUATIONS, ids, batch_size)


def sobol(
    game: Game,
    *,
    key: KeyLike | None = None,
    num_evaluations: int | None = None,
    ids: Ids = None,
    batch_size: int | None = None,
) -> Attribution:
    """Computes Sobol's total-order index: the share of the output's variance that a player has a part in.

    Why: it counts all interactions of a player, of either sign, where these cancel in means. The shares of players that
    interact sum to more than 1. A share has no sign.

    Difference: the paper's masks take values in [0, 1] from a quasi-random sequence, where these players are present or
    absent, each with probability 1/2.

    Args:
      game: N games from `xai.game`, or one written by hand.
      key: a JAX random key; needed where not all coalitions are evaluated.
      num_evaluations: m coalitions for each example, at least 2 (M + 1) + 2 and at most 4,194,304: random ones, each of them
        with one player changed at a time, the empty and the grand one. Rounded down to a multiple of M + 1 and these two.
        All of them, where there are no more: the values are then exact. Default: all for up to 12 players, else
        32 (M + 1) + 2, the 32 random ones of the paper.
      ids: [N] integers that name the examples for their randomness. Default: their indices.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      values [N, M] (one hand-written game: [M]; all outputs: [N, M, K]) in [0, 1]; 0 where the output does not vary;
      std_errors, 0 where the values are exact; output and base_value, those of the grand coalition and of the empty one;
      num_evaluations, those that were made.

    Raises:
      TypeError, ValueError: if `game` is not a game, the key is missing, or an argument is out of range.

    References:
      Fel et al. (2021), Look at the variance! Efficient black-box explanations with Sobol-based sensitivity analysis,
      arXiv:2111.04138, section 3. Jansen (1999), Analysis of variance designs for model output, the estimator.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> game = xai.Game(lambda z: z[:, 0] * 4.0 + z[:, 1] * 3.0, num_players=3)
    >>> [round(float(value), 4) for value in xai.shap.sobol(game).values]
    [0.64, 0.36, 0.0]
    """
    return _explain("Sobol", game, key, num_evaluations, None, ids, batch_size)


def _explain(
    method: str,
    game: Game,
    key: KeyLike | None,
    num_evaluations: int | None,
    default: int | None,
    ids: Ids,
    batch_size: int | None,
) -> Attribution:
    game = as_game(game)
    players = game.num_players
    design = players + 1 if method == "Sobol" else 1  # coalitions that are drawn together
    least = 2 * design + _ENDS if method == "Sobol" else 8
    if num_evaluations is None:
        num_evaluations = 2**players if players <= _EXACT_PLAYERS else default or _SOBOL_SAMPLES * design + _ENDS
    num_evaluations = check.positive_int("num_evaluations", num_evaluations, most=_MOST_EVALUATIONS)
    is_exact = players <= 22 and num_evaluations >= 2**players
    if not is_exact and num_evaluations < least:
        raise ValueError(f"`num_evaluations` must be at least {least} for {players} players, got {num_evaluations}.")
    key = read_key(key, is_exact, f"not all 2^{players} coalitions are evaluated")
    ids, batch_size = check.example_ids(ids, game.num_examples), check.batch_size(batch_size)
    count = 2**players if is_exact else (num_evaluations - _ENDS) // design * design
    return _uniform(game, key, ids, method=method, count=count, is_exact=is_exact, batch_size=batch_size)


@compiled(static_argnames=("method", "count", "is_exact", "batch_size"), title=lambda options: options["method"])
def _uniform(
    game: Game,
    key: Key[Array, ""],
    ids: Int[Array, " N"] | None,
    *,
    method: str,
    count: int,
    is_exact: bool,
    batch_size: int | None,
) -> Attribution:
    players = game.num_players
    of_coalitions, solve_sampled = {
        "RISE": (_present_means, _sampled_means),
        "Sobol": (_variance_shares, _sampled_shares),
    }[method]

    def solve(v: Value, key: Key[Array, ""], active: Bool[Array, " M"], exists: Bool[Array, " M"]) -> dict[str, Array]:
        if is_exact:
            coalitions = jnp.asarray(all_coalitions(players))
            worth = v(coalitions)
            base_value, output, unit = worth[0], worth[-1], power_of_two(worth)
            values = of_coalitions(coalitions, (worth - base_value[None]) / unit[None])
            std_errors = jnp.zeros_like(values)
        else:
            base_value, output = v(jnp.stack([jnp.zeros(players, bool), jnp.ones(players, bool)]))
            values, std_errors, unit, counts = solve_sampled(v, key, players, count, base_value)
            # A mean of no sample and a spread of one are not known.
            values, std_errors = (
                check.nan_where(exists & (counts < least), part) for part, least in ((values, 1), (std_errors, 2))
            )
        if method == "RISE":
            values, std_errors = base_value + unit * values, unit * std_errors
        values, std_errors = (zero_where(~exists, part) for part in (values, std_errors))
        evaluated = jnp.asarray(count + _ENDS * (not is_exact), jnp.int32)
        fields = {"base_value": base_value, "output": output, "num_evaluations": evaluated}
        return {"values": values, "std_errors": std_errors, **fields}

    return game.attribute(
        Attribution,
        solve,
        method=method,
        estimator="exact" if is_exact else "sampled",
        efficient=False,
        key=key,
        ids=ids,
        coalitions_at_once=count,
        batch_size=batch_size,
        with_existing=True,
    )


def _present_means(coalitions: Bool[Array, "S M"], worth: Float[Array, "S ..."]) -> Float[Array, "M ..."]:
    """Returns the mean worth of the coalitions that have each player."""
    present = coalitions.astype(worth.dtype)
    counts = present.sum(axis=0)
    return ratio(einsum("sm,s...->m...", present, worth), counts.reshape(-1, *[1] * (worth.ndim - 1)))


def _sampled_means(
    v: Value, key: Key[Array, ""], players: int, count: int, base_value: Float[Array, "..."]
) -> tuple[Array, Array, Array, Array]:
    """Returns the means, their standard errors, the unit that both are in, and how many samples [M] each player is in."""
    coalitions = jax.random.bernoulli(key, 0.5, (count, players))
    worth = v(coalitions)
    unit = power_of_two(worth)
    worth = (worth - base_value[None]) / unit[None]
    means = _present_means(coalitions, worth)
    present = coalitions.astype(worth.dtype)
    counts = present.sum(axis=0).reshape(-1, *[1] * (worth.ndim - 1))
    squares = einsum("sm,s...->m...", present, worth**2) - counts * means**2
    return means, safe_sqrt(ratio(ratio(squares, counts - 1), counts)), unit, coalitions.sum(axis=0)


def _variance_shares(coalitions: Bool[Array, "S M"], worth: Float[Array, "S ..."]) -> Float[Array, "M ..."]:
    """Returns E[(v(Z ∪ i) - v(Z \\ i))²] / (4 Var(v)) from the worth of all coalitions, in the order of `all_coalitions`."""
    deviations = worth - worth.mean(axis=0)[None]

    def of(player: int) -> Array:
        halves = deviations.reshape(-1, 2, 2**player, *worth.shape[1:])
        return ((halves[:, 1] - halves[:, 0]) ** 2).mean(axis=(0, 1)) / 4

    return ratio(jnp.stack([of(player) for player in range(coalitions.shape[1])]), (deviations**2).mean(axis=0)[None])


def _sampled_shares(
    v: Value, key: Key[Array, ""], players: int, count: int, base_value: Float[Array, "..."]
) -> tuple[Array, Array, Array, Array]:
    """Returns the shares from random coalitions with one player changed at a time, their standard errors, unit 1, counts."""
    designs = count // (players + 1)
    coalitions = jax.random.bernoulli(key, 0.5, (designs, 1, players))
    changed = jnp.concatenate([coalitions, coalitions ^ jnp.eye(players, dtype=bool)[None]], axis=1)
    worth = v(changed.reshape(-1, players))
    worth = (worth - base_value[None]) / power_of_two(worth)[None]
    worth = worth.reshape(designs, players + 1, *worth.shape[1:])
    deviations = worth - worth.mean(axis=(0, 1))[None, None]  # every coalition of a design is uniform
    effects = (deviations[:, 1:] - deviations[:, :1]) ** 2 / 4
    spreads = (deviations**2).mean(axis=1)
    variance = spreads.mean(axis=0) + deviations.mean(axis=1).var(axis=0) / designs
    shares = ratio(effects.mean(axis=0), variance[None])
    # The error of a ratio of means, to first order.
    residuals = effects - shares[None] * spreads[:, None]
    errors = ratio(safe_sqrt((residuals**2).sum(axis=0) / (designs - 1) / designs), variance[None])
    return shares, errors, jnp.ones_like(variance), jnp.full(players, designs)
