"""Owen values (Owen 1977): Shapley values over the orders in which the members of a group are consecutive.

The members of a group join one after another, in any order, and so do the members of groups within groups. A player's
value is the mean of its marginal contributions over these orders.
"""

from __future__ import annotations

import collections
import functools
import itertools
from collections.abc import Iterator, Sequence
from math import factorial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.game import Game, as_game
from xaijax._core.typing import Array
from xaijax.shap._exact import sum_of_coalitions

Tree = int | tuple[Any, ...]  # a player, or groups of trees; type checkers at run time know no recursive types
MOST_COALITIONS = 2**16
_DEEPEST = 100  # levels of groups: a sequence that holds itself has no end


def owen(game: Game, tree: Sequence[Any], *, batch_size: int | None = None) -> Attribution:
    """Computes exact Owen values for groups of players, nested to any depth.

    Why: related features (the words of a sentence, the columns of one measurement) join and leave as a group, so that the
    group's contribution is shared among its members. Exact for far more players than Shapley values: only coalitions of
    whole groups, and those with a part of one group, are evaluated.

    Args:
      game: N games from `xai.game`, or one written by hand.
      tree: the groups as nested sequences of player indices 0..M-1, each exactly once: [[0, 1], [2, [3, 4]]].
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      values [N, M] (one hand-written game: [M]; all outputs: [N, M, K]) that sum to output minus base_value. The values
      of a group's members sum to the group's value in the game of the groups. std_errors are 0.

    Raises:
      TypeError, ValueError: if the tree is not such a sequence, lacks players, repeats them, or needs more than 65,536
        coalitions.

    References:
      Owen (1977), Values of games with a priori unions. Winter (1989), A value for cooperative games with levels
      structure of cooperation.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> game = xai.Game(lambda z: (z[:, 0] & z[:, 1] | z[:, 2]) * 6.0, num_players=3)
    >>> xai.shap.owen(game, [[0, 1], [2]]).values.tolist()
    [1.5, 1.5, 3.0]
    """
    game = as_game(game)
    groups = _read(tree, game.num_players)
    with jax.ensure_compile_time_eval():
        coalitions, weights = _constants(groups, game.num_players)
    return sum_of_coalitions(
        game,
        coalitions,
        weights,
        method="Owen",
        efficient=True,
        all_of_them=False,
        batch_size=check.batch_size(batch_size),
    )


@functools.lru_cache(maxsize=32)
def _constants(tree: Tree, num_players: int) -> tuple[Array, Array]:
    """Returns the coalitions that matter, the empty one first and the grand one last, and their weights."""
    empty, grand = np.zeros(num_players, bool), np.ones(num_players, bool)
    numbers: dict[bytes, int] = {empty.tobytes(): 0}
    weights: list[dict[int, float]] = []
    for player in range(num_players):
        own: dict[int, float] = {}
        for before, weight in _before(tree, player, num_players):
            after = before.copy()
            after[player] = True
            for coalition, sign in ((after, 1), (before, -1)):
                number = numbers.setdefault(coalition.tobytes(), len(numbers))
                own[number] = own.get(number, 0.0) + sign * weight
        weights.append(own)
    coalitions = np.array([np.frombuffer(row, bool) for row in numbers])
    order = np.argsort((coalitions == grand).all(axis=1), kind="stable")
    table = np.zeros((num_players, len(coalitions)))
    for player, own in enumerate(weights):
        table[player, list(own)] = list(own.values())
    return jnp.asarray(coalitions[order]), jnp.asarray(table[:, order], jnp.float32)


def _before(tree: Tree, player: int, num_players: int) -> Iterator[tuple[np.ndarray, float]]:
    """Yields the coalitions that a player may join, with their probabilities: at each level, some siblings of its branch."""
    if isinstance(tree, int):
        yield np.zeros(num_players, bool), 1.0
        return
    (own,) = (branch for branch in tree if player in _players(branch))
    siblings = [branch for branch in tree if branch is not own]
    count = len(tree)
    for inner, chance in _before(own, player, num_players):
        for size in range(count):
            weight = chance * factorial(size) * factorial(count - size - 1) / factorial(count)
            for chosen in itertools.combinations(siblings, size):
                coalition = inner.copy()
                coalition[[member for branch in chosen for member in _players(branch)]] = True
                yield coalition, weight


def _players(tree: Tree) -> list[int]:
    return [tree] if isinstance(tree, int) else [player for branch in tree for player in _players(branch)]


def _read(tree: Any, num_players: int) -> Tree:
    """Checks the groups."""

    def nested(branch: Any, depth: int = 0) -> Tree:
        if isinstance(branch, int | np.integer) and not isinstance(branch, bool):
            return int(branch)
        if isinstance(branch, list | tuple) and len(branch) and depth < _DEEPEST:
            return tuple(nested(part, depth + 1) for part in branch)
        raise TypeError(
            f"`tree` must be nested sequences of player indices, at most {_DEEPEST} deep, got {check.shown(branch)} in it."
        )

    if not isinstance(tree, list | tuple):
        raise TypeError(f"`tree` must be nested sequences of player indices, got {check.shown(tree)}.")
    groups = nested(tree)
    counts = collections.Counter(_players(groups))
    missing = [player for player in range(num_players) if player not in counts]
    unknown = sorted(player for player in counts if not 0 <= player < num_players)
    repeated = sorted(player for player, count in counts.items() if count > 1)
    if missing or unknown or repeated:
        faults = [("lacks", missing), ("has the unknown players", unknown), ("repeats", repeated)]
        shown = " and ".join(f"{fault} {check.shown(players[:5])}" for fault, players in faults if players)
        raise ValueError(f"`tree` must hold each of the players 0..{num_players - 1} once, but it {shown}.")
    needed = 2 + _partial(groups)
    if needed > MOST_COALITIONS:
        number = f"{needed:,}" if needed < 2**64 else "more than 2^64"
        raise ValueError(
            f"`tree` must need at most {MOST_COALITIONS:,} coalitions, got groups so large that {number} coalitions are "
            "needed: make smaller groups, in more levels."
        )
    return groups


def _partial(tree: Tree) -> int:
    """Returns the number of coalitions that hold some of a branch but not all of it.

    They hold any of its branches, or a part of one of them and any of the others.
    """
    if isinstance(tree, int):
        return 0
    return 2 ** len(tree) - 2 + 2 ** (len(tree) - 1) * sum(_partial(branch) for branch in tree)
