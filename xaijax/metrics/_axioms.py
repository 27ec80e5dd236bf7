"""Axioms of Shapley values, measured on any explanation: efficiency, the null player and symmetry.

Player i is a null player if v(S + i) = v(S) for every coalition S, and players i and j are symmetric if v(S + i) = v(S + j)
for every S without both. The game decides, by all of its coalitions or by random ones.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check, random
from xaijax._core.attribution import Attribution
from xaijax._core.compile import compiled
from xaijax._core.game import Game, Value, as_game
from xaijax._core.numerics import ranks, ratio
from xaijax._core.typing import Array, Bool, Float, Ids, Int, KeyLike
from xaijax.metrics._players import check_targets, player_values
from xaijax.metrics._score import Score

MOST_PLAYERS = 12  # of which all coalitions are evaluated


def completeness_gap(attribution: Attribution, *, relative: bool = False) -> Score:
    """Computes how far the values are from summing to the explained difference: |sum of values - (output - base value)|.

    Why: a gap means that part of the output is unexplained, or explained twice. It is an error of estimation for methods
    whose values do sum (`attribution.efficient`), such as too few steps of integrated gradients, and a property of others.
    It is differentiable.

    Args:
      attribution: of one output of each example, with a base value.
      relative: whether to divide by |output - base value|. Default False: in units of the output.

    Returns:
      A `Score`, lower is better. Relative: 0 where gap and difference are both 0, infinite where only the difference is.

    Raises:
      TypeError, ValueError: if it is no attribution, is one of all outputs, or has no base value.

    References:
      Sundararajan, Taly & Yan (2017), Axiomatic attribution for deep networks, arXiv:1703.01365, proposition 1.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> attribution = xai.Attribution(jnp.array([[1.0, 2.0]]), jnp.array([5.0]), jnp.array([1.0]))
    >>> [float(xai.metrics.completeness_gap(attribution, relative=r).values[0]) for r in (False, True)]
    [1.0, 0.25]
    """
    relative = check.flag("relative", relative)
    _check(attribution)
    gap, base = attribution.completeness_gap, attribution.base_value
    if gap is None or base is None:
        raise ValueError(
            f"`attribution` must have a base value that its values start from, got one of {attribution.method or 'a method'} "
            "without: completeness is no property of this method."
        )
    gap = jnp.abs(gap)
    if relative:
        gap = jnp.where(gap == 0, gap, gap / jnp.abs(attribution.output - base))
    return Score(gap, metric="completeness gap", better="lower", method=attribution.method)


def null_player_violation(
    game: Game,
    attribution: Attribution,
    *,
    num_samples: int = 64,
    tolerance: float = 1e-5,
    key: KeyLike | None = None,
    ids: Ids = None,
    batch_size: int | None = None,
) -> Score:
    """Computes which share of an explanation goes to players that never change the output.

    Why: an explanation that credits a player without any effect shows something other than the model.

    Args:
      game: xai.game(model, x, masker, target=...), or xai.Game(value, num_players).
      attribution: values of the game's players; maps are averaged over them, as in `insertion`.
      num_samples: coalitions at which every player joins or leaves, if there are more than 12 players: sizes are uniform,
        and so are coalitions of a size. Few samples may take a player of rare effect for a null player. Default 64. Up to
        12 players all coalitions are evaluated, and nothing is random.
      tolerance: changes up to this fraction of the range of the game's evaluated values count as none. Default 1e-5.
      key: a JAX random key, needed for more than 12 players; ids: as for every explainer.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      A `Score`, lower is better: from 0 to 1; 0 where there are no null players. NaN where an input or a value is NaN.

    Raises:
      TypeError, ValueError: if game and attribution do not fit or are of different classes, or the key is missing.

    References:
      Shapley (1953), A value for n-person games, axiom 2. Nguyen & Martínez (2020), On quantitative aspects of model
      interpretability, arXiv:2007.07584, "non-sensitivity".

    >>> import jax.numpy as jnp, xaijax as xai
    >>> game = xai.Game(lambda coalitions: coalitions @ jnp.array([4.0, 0.0, 5.0]), num_players=3)
    >>> attribution = xai.Attribution(jnp.array([4.0, 1.0, 5.0]), jnp.array(9.0))
    >>> round(float(xai.metrics.null_player_violation(game, attribution).values), 6)
    0.1
    """
    return _violation("null player violation", game, attribution, num_samples, tolerance, key, ids, batch_size)


def symmetry_violation(
    game: Game,
    attribution: Attribution,
    *,
    num_samples: int = 64,
    tolerance: float = 1e-5,
    key: KeyLike | None = None,
    ids: Ids = None,
    batch_size: int | None = None,
) -> Score:
    """Computes how different the values of players are that always have the same effect.

    It is the mean of |a_i - a_j| over symmetric pairs, divided by the mean of |a| over the players.

    Args:
      game, attribution, num_samples, tolerance, key, ids, batch_size: as in `null_player_violation`.

    Returns:
      A `Score`, lower is better; 0 where there are no symmetric pairs. NaN where an input or a value is NaN.

    Raises:
      TypeError, ValueError: as `null_player_violation`.

    References:
      Shapley (1953), A value for n-person games, axiom 1.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> game = xai.Game(lambda coalitions: coalitions @ jnp.array([4.0, 4.0, 7.0]), num_players=3)
    >>> attribution = xai.Attribution(jnp.array([3.0, 5.0, 7.0]), jnp.array(15.0))
    >>> round(float(xai.metrics.symmetry_violation(game, attribution).values), 6)
    0.4
    """
    return _violation("symmetry violation", game, attribution, num_samples, tolerance, key, ids, batch_size)


def _check(attribution: Any) -> None:
    if not isinstance(attribution, Attribution):
        raise TypeError(f"`attribution` must be the result of an explainer, got {check.shown(attribution)}.")
    if attribution.all_outputs:
        raise ValueError(
            "`attribution` must explain one output of each example, got all outputs: take one by attribution.of_output(k)."
        )


def _violation(
    metric: str, game: Any, attribution: Any, num_samples: Any, tolerance: Any, key: Any, ids: Any, batch_size: Any
) -> Score:
    game = as_game(game)
    _check(attribution)
    num_samples = check.positive_int("num_samples", num_samples)
    tolerance = check.positive_float("tolerance", tolerance, zero_allowed=True)
    if tolerance >= 1:
        raise ValueError(f"`tolerance` must be a fraction below 1 of the range of the game's values, got {tolerance}.")
    key = check.key_where_drawn(
        key, game.num_players <= MOST_PLAYERS, f"there are {game.num_players} players, whose coalitions are drawn"
    )
    ids = check.example_ids(ids, game.num_examples)
    values, target = _violations(
        game, attribution, key, ids, tolerance, metric=metric, num_samples=num_samples,
        batch_size=check.batch_size(batch_size),
    )  # fmt: skip
    check_targets(target, attribution.target)
    return Score(values, metric=metric, better="lower", method=attribution.method)


@compiled(static_argnames=("metric", "num_samples", "batch_size"))
def _violations(
    game: Game, attribution: Attribution, key: Any, ids: Any, tolerance: Any, *, metric: str, num_samples: int, batch_size: int | None,
) -> tuple[Float[Array, "*N"], Int[Array, " N"] | None]:  # fmt: skip
    """Finds the null players, or the symmetric pairs, of each game; returns what the attribution gives them, and the target."""
    values = player_values(game, attribution)
    exact = game.num_players <= MOST_PLAYERS
    find = _null_players if metric.startswith("null") else _symmetric_pairs

    def solve(value: Value, key: Any, active: Bool[Array, " M"]) -> dict[str, Array]:
        if exact:
            coalitions, toggled = _all(game.num_players)
            worth = value(jnp.asarray(coalitions))
            others = worth[toggled]
        else:
            coalitions = _drawn(key, game.num_players, num_samples)
            flipped = coalitions[:, None, :] ^ jnp.eye(game.num_players, dtype=bool)
            answers = value(jnp.concatenate([coalitions, flipped.reshape(-1, game.num_players)]))
            worth, others = answers[:num_samples], answers[num_samples:].reshape(num_samples, -1)
        if worth.ndim != 1:
            raise ValueError("`game` must have one output, got several: pass a target to xai.game.")
        least = tolerance * (jnp.maximum(worth.max(), others.max()) - jnp.minimum(worth.min(), others.min()))
        return {
            "flags": find(jnp.asarray(coalitions), worth, others, active, least),
            "active": active,
            "output": jnp.where(jnp.isnan(least), jnp.nan, worth[-1]),  # as any coalition may decide
        }

    at_once = 2**game.num_players if exact else num_samples * (game.num_players + 1)
    fields = game.solve_each(solve, key=key, ids=ids, coalitions_at_once=at_once, batch_size=batch_size)
    measure = _of_null_players if metric.startswith("null") else _of_pairs
    measure = measure if game.num_examples is None else jax.vmap(measure)
    scores = jnp.where(jnp.isnan(fields["output"]), jnp.nan, measure(values, fields["flags"], fields["active"]))
    return scores, fields.get("target")


def _null_players(coalitions: Array, worth: Array, others: Array, active: Array, least: Array) -> Bool[Array, " M"]:
    return (jnp.abs(others - worth[:, None]) <= least).all(axis=0)


def _symmetric_pairs(coalitions: Array, worth: Array, others: Array, active: Array, least: Array) -> Bool[Array, "M M"]:
    """Compares two players wherever both are present or both absent: toggling either must give the same value."""

    def compare(pairs: Bool[Array, "M M"], one: tuple[Array, Array]) -> tuple[Bool[Array, "M M"], None]:
        present, toggled = one
        alike = jnp.abs(toggled[:, None] - toggled[None]) <= least
        return pairs & (alike | (present[:, None] != present[None])), None

    start = active[:, None] & active[None] & ~jnp.eye(len(active), dtype=bool)
    return jax.lax.scan(compare, start, (coalitions, others))[0]


def _of_null_players(values: Array, flags: Bool[Array, " M"], active: Bool[Array, " M"]) -> Float[Array, ""]:
    sizes = jnp.abs(values)
    return ratio(jnp.where(flags, sizes, 0).sum(), sizes.sum())


def _of_pairs(values: Array, flags: Bool[Array, "M M"], active: Bool[Array, " M"]) -> Float[Array, ""]:
    differences = jnp.where(flags, jnp.abs(values[:, None] - values[None]), 0).sum()
    size = jnp.where(active, jnp.abs(values), 0).sum()
    return ratio(ratio(differences, flags.sum().astype(values.dtype)) * active.sum().astype(values.dtype), size)


@functools.lru_cache(maxsize=16)
def _all(num_players: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns all coalitions [S, M], and the number of each coalition that player i joined or left, [S, M]."""
    numbers, players = np.arange(2**num_players)[:, None], np.arange(num_players)
    return (numbers >> players & 1).astype(bool), numbers ^ (1 << players)


def _drawn(key: Array, num_players: int, num_samples: int) -> Bool[Array, "S M"]:
    of_sizes, of_players = jax.random.split(key)
    sizes = jax.random.randint(of_sizes, (num_samples, 1), 0, num_players + 1)
    return ranks(random.uniform(of_players, (num_samples, num_players))) < sizes
