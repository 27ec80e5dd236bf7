"""Correlation of values with changes of the output (Ancona et al. 2018; Bhatt, Weller & Moura 2020).

r = Pearson's correlation over subsets S of n players of sum over i in S of values_i with v(all players) - v(all but S)
"""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Sequence
from math import comb
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.compile import compiled
from xaijax._core.game import Game, Value
from xaijax._core.numerics import einsum, power_of_two, safe_sqrt
from xaijax._core.typing import Array, Bool, Float, Ids, Int, Key, KeyLike
from xaijax.metrics._players import check_targets, read_game_and_attribution, score_each
from xaijax.metrics._score import Score

_NUM_SAMPLES = 200  # with fewer, the intervals of strong correlations are too narrow
_MOST_ENUMERATED = 256  # players; the table of binomials has the square of it
_ROUNDING = 32  # units in the last digit by which outputs of one size may differ and count as constant
_SHARES = (0.2, 0.4, 0.6, 0.8)  # the range of the paper, up to about 80 %


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SensitivityN(Score):
    """Sensitivity-n of each example, with its correlation for each size of subsets; without N for a game written by hand.

    values: [N] the mean of the correlations over the sizes.
    std_errors: [N] its standard errors from the draws; 0 where all subsets were evaluated.
    sizes: [N, T] the numbers of players n.
    correlations: [N, T] the correlation of each size.
    correlation_errors: [N, T] their standard errors.
    metric, better, method: as of a `Score`.
    """

    sizes: Int[Array, "*N T"] = dataclasses.field(kw_only=True)
    correlations: Float[Array, "*N T"] = dataclasses.field(kw_only=True)
    correlation_errors: Float[Array, "*N T"] = dataclasses.field(kw_only=True)


def faithfulness_correlation(
    game: Game,
    attribution: Attribution,
    *,
    key: KeyLike | None = None,
    subset_size: int | float = 0.5,
    num_samples: int = _NUM_SAMPLES,
    ids: Ids = None,
    batch_size: int | None = None,
) -> Score:
    """Computes how well sums of values predict the changes of the output as random subsets of players are removed.

    Why: it asks for the sizes of the values and not for their order alone, and it has gradients: with respect to the values
    and to the model's parameters. Neither an offset of all values nor their unit counts. For subsets of all sizes see
    `sensitivity_n`.

    Args:
      game: `xai.game(model, x, masker, target=...)` or `xai.Game(value, num_players)`, of at least 2 players.
      attribution: as in `insertion`: values [N, M] of the players, or a map that is averaged over each of them.
      key: a JAX random key. It may be left out where all subsets are evaluated.
      subset_size: the number of players that are removed, less than M; or a share of each example's players, rounded, as
        texts of different lengths need it. Padding is no player. Default: 0.5, where the sums vary most.
      num_samples: subsets for each example, at least 4. Where there are no more (and no more than 256 players), all of
        them are evaluated instead, and the correlation is exact. Default 200.
      ids: [N] integers that name the examples for their randomness. Default: their indices.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      A `Score`: values [N] between -1 and 1; std_errors [N] by the jackknife over the subsets, without gradients, 0 where
      the correlation is exact. It takes as many evaluations of the game as there are subsets. NaN where an input or a
      value is NaN, and where the correlation is not defined: all values are equal, the output is the same without any of
      the subsets (up to rounding error), or there is but one subset, as of an example with no more players than its size.

    Raises:
      TypeError, ValueError: as `insertion`, or if the key is missing or an option is out of range.

    References:
      Bhatt, Weller & Moura (2020), Evaluating and aggregating feature-based model explanations, arXiv:2005.00631,
      definition 3. Efron & Stein (1981), The jackknife estimate of variance. Bentley & Floyd (1987), A sample of brilliance,
      by which subsets are drawn.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> game = xai.Game(lambda z: z @ jnp.array([4.0, 7.0, 5.0, 1.0]), num_players=4)
    >>> shapley = xai.shap.exact(game)
    >>> score = xai.metrics.faithfulness_correlation(game, shapley)
    >>> round(float(score.values), 3), float(score.std_errors)
    (1.0, 0.0)
    """
    score = _read_and_run(game, attribution, key, "subset_size", subset_size, num_samples, ids, batch_size)
    return Score(
        score.values,
        score.std_errors,
        metric="faithfulness correlation",
        better="higher",
        method=attribution.method,
    )


def sensitivity_n(
    game: Game,
    attribution: Attribution,
    *,
    n: int | float | Sequence[int | float] = _SHARES,
    key: KeyLike | None = None,
    num_samples: int = _NUM_SAMPLES,
    ids: Ids = None,
    batch_size: int | None = None,
) -> SensitivityN:
    """Computes the correlation of sums of values with changes of the output for subsets of one or several sizes n.

    Why: an attribution may tell the effects of single players but not of many at once, or the reverse; the correlations by
    size show which. An attribution whose sums equal the changes for all subsets of n players has sensitivity-n, and
    correlation 1. For one size it equals `faithfulness_correlation`.

    Difference: Quantus' SensitivityN removes the n players of greatest value of each example, and correlates the change with
    the n-th largest value over the examples. As in the paper, here it is over random subsets of n players, for each example.

    Args:
      game: as in `faithfulness_correlation`.
      attribution: as in `faithfulness_correlation`.
      n: the size of the subsets, as `subset_size` there, or a sequence of sizes. Default: 20, 40, 60 and 80 % of each
        example's players.
      key: as in `faithfulness_correlation`.
      num_samples: subsets of each size, as in `faithfulness_correlation`. Default 200.
      ids: [N] integers that name the examples for their randomness. Default: their indices.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      A `SensitivityN`: values [N], the mean over the sizes; correlations [N, T]. NaN as in `faithfulness_correlation`; a
      mean is NaN if one of its correlations is.

    Raises:
      TypeError, ValueError: as `faithfulness_correlation`.

    References:
      Ancona, Ceolini, Öztireli & Gross (2018), Towards better understanding of gradient-based attribution methods for deep
      neural networks, arXiv:1711.06104, section 4.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> game = xai.Game(lambda z: 4.0 * z[:, 0] * z[:, 1] + 3.0 * z[:, 2], num_players=3)
    >>> score = xai.metrics.sensitivity_n(game, xai.shap.exact(game), n=[1, 2])  # Shapley values 2, 2, 3
    >>> score.sizes.tolist(), [round(value, 3) for value in score.correlations.tolist()]
    ([1, 2], [-1.0, 1.0])
    """
    return _read_and_run(game, attribution, key, "n", n, num_samples, ids, batch_size)


def _read_and_run(
    game: Any, attribution: Any, key: Any, name: str, sizes: Any, num_samples: Any, ids: Any, batch_size: Any
) -> SensitivityN:
    game = read_game_and_attribution(game, attribution)
    num_players = game.num_players
    if num_players < 2:
        raise ValueError("`game` must have at least 2 players, got 1 player: its only subset has no correlation.")
    sizes = _read_sizes(name, sizes, num_players)
    num_samples = check.positive_int("num_samples", num_samples, least=4)
    counts = _counts(sizes, num_players, num_samples)
    is_exact = all(count <= num_samples for count in counts)
    key = check.key_where_drawn(
        key, is_exact, f"there are {max(counts):,} subsets or more, of which {num_samples} are drawn"
    )
    score, target = _correlate(
        game,
        attribution,
        key,
        check.example_ids(ids, game.num_examples),
        sizes=sizes,
        counts=tuple(min(count, num_samples) for count in counts),
        is_exact=is_exact,
        batch_size=check.batch_size(batch_size),
    )
    check_targets(target, attribution.target)
    return score


def _read_sizes(name: str, sizes: Any, num_players: int) -> tuple[int | float, ...]:
    """Returns the sizes as they are given: numbers of players, and shares of them."""
    sizes = sizes if check.is_list(sizes) else [sizes]
    if len(sizes) == 0:
        raise ValueError(f"`{name}` must be at least one size, got none.")
    return tuple(_read_size(name, size, num_players) for size in sizes)


def _read_size(name: str, size: Any, num_players: int) -> int | float:
    if isinstance(size, numbers.Integral) and not isinstance(size, bool):
        return check.positive_int(name, size, most=num_players - 1)
    expected = f"a number of players from 1 to {num_players - 1}, or a share of them between 0 and 1"
    share = check.finite_float(name, size, expected=expected)
    if not 0 < share < 1:
        raise ValueError(f"`{name}` must be {expected}, got {share}: write the number of players as an int.")
    return share


def _size_of(size: int | float, num_players: int) -> int:
    """Returns how many players of an example are removed, at least one."""
    if isinstance(size, int):
        return size
    return min(max(int(np.floor(round(size * num_players, 9) + 0.5)), 1), max(num_players - 1, 1))


def _counts(sizes: tuple[int | float, ...], num_players: int, num_samples: int) -> list[int]:
    """Returns how many subsets of each size the examples have, those with the most; more than the samples if unknown."""
    if num_players > _MOST_ENUMERATED:
        return [num_samples + 1] * len(sizes)
    return [max(comb(count, _size_of(size, count)) for count in range(num_players + 1)) for size in sizes]


@compiled(static_argnames=("sizes", "counts", "is_exact", "batch_size"), title="metrics.sensitivity_n")
def _correlate(
    game: Game,
    attribution: Attribution,
    key: Key[Array, ""],
    ids: Int[Array, " N"] | None,
    *,
    sizes: tuple[int | float, ...],
    counts: tuple[int, ...],
    is_exact: bool,
    batch_size: int | None,
) -> tuple[SensitivityN, Int[Array, " N"] | None]:
    """Returns the score, from `counts` subsets of each size, and the target."""
    of_players = [[_size_of(size, count) for size in sizes] for count in range(game.num_players + 1)]
    smaller = [min(size, count - size) for count, row in enumerate(of_players) for size in row]  # than what they leave
    num_steps = 0 if is_exact else max(smaller)
    starts = np.cumsum(counts) - np.asarray(counts)  # of each size, the index of its first subset
    rows = np.minimum(starts[:, None] + np.arange(max(counts)), sum(counts) - 1)  # [T, R] the subsets by size

    def solve(
        value: Value, key: Key[Array, ""], _active: Any, exists: Bool[Array, " M"], values: Float[Array, " M"]
    ) -> dict[str, Array]:
        own_sizes = jnp.asarray(of_players, jnp.int32)[exists.sum()]
        removed, are_all, counted = _subsets(key, own_sizes, counts, exists, num_steps)
        changes = -value(~removed)  # of the output, apart from an offset
        sums = _sums(values, removed, exists)
        correlations, errors = jax.vmap(_correlation)(sums[rows], changes[rows], counted)
        errors = jnp.where(are_all & ~jnp.isnan(correlations), 0, errors)
        return {
            "values": correlations.mean(),
            "std_errors": safe_sqrt((errors**2).sum()) / len(sizes),
            "sizes": own_sizes,
            "correlations": correlations,
            "correlation_errors": errors,
        }

    fields = score_each(
        game, attribution, solve, key=key, ids=ids, coalitions_at_once=sum(counts), batch_size=batch_size
    )
    target = fields.pop("target")
    return SensitivityN(**fields, metric="sensitivity-n", better="higher", method=attribution.method), target


def _sums(values: Float[Array, " M"], subsets: Bool[Array, "S M"], exists: Bool[Array, " M"]) -> Float[Array, " S"]:
    """Returns the sum of the values over each subset, apart from an offset: exactly 0 where all values are equal.

    All subsets have one size, so that an offset of the values is one of the sums and changes no correlation.
    """
    offset = jax.lax.stop_gradient(jnp.where(exists, values, -jnp.inf).max())
    return einsum("sm,m->s", subsets.astype(values.dtype), jnp.where(exists, values - offset, 0))


def _correlation(
    sums: Float[Array, " R"], changes: Float[Array, " R"], counted: Bool[Array, " R"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Returns Pearson's correlation over the counted subsets, and its standard error by the jackknife."""
    with jax.numpy_dtype_promotion("standard"):
        dtype = jnp.promote_types(sums.dtype, changes.dtype)
    sums, changes = sums.astype(dtype), changes.astype(dtype)
    varies = _varies(sums, counted, 0) & _varies(changes, counted, _ROUNDING)
    number = counted.sum().astype(dtype)

    def deviations(numbers: Float[Array, " R"]) -> Float[Array, " R"]:
        centered = jnp.where(counted, numbers - jnp.where(counted, numbers, 0).sum() / number, 0)
        return jnp.where(varies, centered / power_of_two(centered), 0)

    x, y = deviations(sums), deviations(changes)
    correlation = jnp.where(varies, jnp.clip(_cosine((x**2).sum(), (y**2).sum(), (x * y).sum()), -1, 1), jnp.nan)

    x, y = jax.lax.stop_gradient((x, y))
    # The sums of squares and products without one subset: its deviation moves the mean as well.
    share = number / (number - 1)
    without = _cosine((x**2).sum() - share * x**2, (y**2).sum() - share * y**2, (x * y).sum() - share * x * y)
    spread = jnp.where(counted, (without - jnp.where(counted, without, 0).sum() / number) ** 2, 0).sum()
    return correlation, jnp.where(varies, safe_sqrt((number - 1) / number * spread), jnp.nan)


def _cosine(x_squares: Array, y_squares: Array, products: Array) -> Array:
    """Returns the correlation from sums of squares and products, NaN with zero gradient where one is constant."""
    known = (x_squares > 0) & (y_squares > 0)
    size = jnp.sqrt(jnp.where(known, x_squares, 1)) * jnp.sqrt(jnp.where(known, y_squares, 1))
    return jnp.where(known, products / size, jnp.nan)


def _varies(numbers: Float[Array, " R"], counted: Bool[Array, " R"], units: int) -> Bool[Array, ""]:
    """Returns whether the counted numbers differ by more than some units in the last digit; False for NaN."""
    least = jnp.where(counted, numbers, jnp.inf).min()
    most = jnp.where(counted, numbers, -jnp.inf).max()
    return most - least > units * jnp.finfo(numbers.dtype).eps * jnp.maximum(jnp.abs(least), jnp.abs(most))


def _subsets(
    key: Key[Array, ""],
    sizes: Int[Array, " T"],
    counts: tuple[int, ...],
    exists: Bool[Array, " M"],
    num_steps: int,
) -> tuple[Bool[Array, "S M"], Bool[Array, " T"], Bool[Array, "T R"]]:
    """Returns `counts` subsets of each size; whether they are all there are; and which of them count, if these are fewer.

    num_steps: the largest number of players that is drawn or left, 0 where all subsets are enumerated.
    """
    most, num_players = np.asarray(counts, np.int32), len(exists)
    groups = np.repeat(np.arange(len(counts)), counts)  # of each subset, the index of its size
    numbers = np.concatenate([np.arange(count, dtype=np.int32) for count in counts])
    columns = np.arange(max(counts), dtype=np.int32)[None]
    counted = jnp.asarray(columns < most[:, None])
    if num_players > _MOST_ENUMERATED:
        return _drawn_subsets(key, sizes[groups], exists, num_steps), jnp.zeros(sizes.shape, bool), counted
    binomials = jnp.asarray(_binomials(num_players))
    totals = binomials[exists.sum(), sizes]
    are_all = totals <= most
    subsets = _enumerated_subsets(jnp.asarray(numbers), sizes[groups], exists, binomials)
    if num_steps > 0:
        drawn = _drawn_subsets(key, sizes[groups], exists, num_steps)
        subsets = jnp.where(are_all[groups][:, None], subsets, drawn)
    return subsets, are_all, counted & (~are_all[:, None] | (columns < totals[:, None]))


def _drawn_subsets(
    key: Key[Array, ""], sizes: Int[Array, " S"], exists: Bool[Array, " M"], num_steps: int
) -> Bool[Array, "S M"]:
    """Draws one subset of each size of the players that exist, or what it leaves where that is smaller.

    By Floyd's algorithm (Bentley & Floyd 1987): for j from m - n to m - 1, take a random number from 0 to j, or j if that
    is taken. It has as many steps as the subset has players, and no draw depends on the length of the padding.
    """
    num_players, rows, count = len(exists), np.arange(len(sizes)), exists.sum(dtype=jnp.int32)
    smaller = jnp.minimum(sizes, count - sizes)

    def take(taken: Bool[Array, "S M"], step: Int[Array, ""]) -> tuple[Bool[Array, "S M"], None]:
        bits = jax.random.bits(jax.random.fold_in(key, step), sizes.shape, jnp.uint32)
        last = count - smaller + step
        number = (bits % (last + 1).astype(jnp.uint32)).astype(jnp.int32)
        number = jnp.where(taken[rows, number], last, number)
        return taken.at[rows, jnp.where(step < smaller, number, num_players)].set(True, mode="drop"), None

    start = jnp.zeros((len(sizes), num_players), bool)
    taken, _ = jax.lax.scan(take, start, jnp.arange(num_steps, dtype=jnp.int32))
    return _of_existing(taken ^ (smaller < sizes)[:, None], exists)


def _enumerated_subsets(
    numbers: Int[Array, " S"], sizes: Int[Array, " S"], exists: Bool[Array, " M"], binomials: Int[Array, "M+1 M+1"]
) -> Bool[Array, "S M"]:
    """Returns the subsets of given numbers among all of their sizes.

    In the combinatorial number system the number of a subset c_1 < c_2 < ... is the sum of C(c_i, i). The first C(m, n)
    numbers are those of the subsets of the first m players, here of those that exist.
    """

    def take(state: tuple[Array, Array], player: Array) -> tuple[tuple[Array, Array], Array]:
        number, left = state
        before = binomials[player, left]
        is_taken = (left > 0) & (number >= before)
        return (jnp.where(is_taken, number - before, number), left - is_taken.astype(jnp.int32)), is_taken

    _, taken = jax.lax.scan(take, (numbers, sizes), jnp.arange(len(exists)), reverse=True)
    return _of_existing(taken.T, exists)


def _of_existing(subsets: Bool[Array, "S M"], exists: Bool[Array, " M"]) -> Bool[Array, "S M"]:
    """Returns subsets of the players from subsets of the numbers of those that exist."""
    return subsets[:, jnp.maximum(jnp.cumsum(exists) - 1, 0)] & exists[None]


def _binomials(num_players: int) -> np.ndarray:
    """Returns C(m, n) for m and n from 0 to M, or the largest integer where it is larger."""
    table = np.zeros((num_players + 1, num_players + 1), np.int64)
    table[:, 0] = 1
    for row in range(1, num_players + 1):
        table[row, 1:] = np.minimum(table[row - 1, :-1] + table[row - 1, 1:], 2**31 - 1)
    return table.astype(np.int32)
