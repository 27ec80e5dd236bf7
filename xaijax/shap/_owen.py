"""Owen values (Owen 1977): Shapley values over the orders in which groups stay together.

A group's members come one after another, in any order, and so do the members of groups within groups. A player's value
is the mean of its marginal contributions over these orders.
"""

from __future__ import annotations

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

Tree = int | tuple["Tree", ...]
MOST_COALITIONS = 2**16


def owen(game: Game, tree: Sequence[Any], *, batch_size: int | None = None) -> Attribution:
    """Exact Owen values for a grouping of the players, of any depth.

    Why: features that belong together (the words of a sentence, the columns of one measurement) come and go together, so
    that what a group is worth is shared within it. Exact for far more players than Shapley values: eight groups of four need
    14,592 coalitions, those of whole groups and those with a part of one.

    Args:
      game: N games from `xai.game`, or one written by hand.
      tree: the groups as nested sequences of player numbers 0..M-1, each of which is there once: [[0, 1], [2, [3, 4]]].
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      values [N, M] (one hand-written game: [M]; all outputs: [N, M, K]) that sum to output minus base_value; the values
      of a group's members sum to its own in the game of the groups.

    Raises:
      TypeError, ValueError: if the tree is no such sequence, lacks players, repeats them, or needs more than 65,536
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
        game, coalitions, weights, method="Owen", efficient=True, batch_size=check.batch_size(batch_size)
    )


@functools.lru_cache(maxsize=32)
def _constants(tree: Tree, num_players: int) -> tuple[Array, Array]:
    """The coalitions that matter, nobody first and everybody last, and their weights."""
    number: dict[bytes, int] = {}
    nobody, everybody = np.zeros(num_players, bool), np.ones(num_players, bool)
    number[nobody.tobytes()] = 0
    weights: list[dict[int, float]] = []
    for player in range(num_players):
        own: dict[int, float] = {}
        for before, weight in _before(tree, player, num_players):
            after = before.copy()
            after[player] = True
            for coalition, sign in ((after, 1), (before, -1)):
                place = number.setdefault(coalition.tobytes(), len(number))
                own[place] = own.get(place, 0.0) + sign * weight
        weights.append(own)
    coalitions = np.array([np.frombuffer(row, bool) for row in number])
    order = np.argsort((coalitions == everybody).all(axis=1), kind="stable")
    table = np.zeros((num_players, len(coalitions)))
    for player, own in enumerate(weights):
        table[player, list(own)] = list(own.values())
    return jnp.asarray(coalitions[order]), jnp.asarray(table[:, order], jnp.float32)


def _before(tree: Tree, player: int, num_players: int) -> Iterator[tuple[np.ndarray, float]]:
    """Who may be there before a player, and how likely that is: at each level, some of the siblings of its own branch."""
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
                there = inner.copy()
                there[[one for branch in chosen for one in _players(branch)]] = True
                yield there, weight


def _players(tree: Tree) -> list[int]:
    return [tree] if isinstance(tree, int) else [player for branch in tree for player in _players(branch)]


def _read(tree: Any, num_players: int) -> Tree:
    def nested(branch: Any) -> Tree:
        if isinstance(branch, (int, np.integer)) and not isinstance(branch, bool):
            return int(branch)
        if isinstance(branch, (list, tuple)) and len(branch):
            return tuple(nested(one) for one in branch)
        raise TypeError(f"tree must be nested sequences of player numbers, but one of its parts is {branch!r}.")

    if not isinstance(tree, (list, tuple)):
        raise TypeError(f"tree must be nested sequences of player numbers, but it is {type(tree).__name__}.")
    read = nested(tree)
    players = _players(read)
    missing = sorted(set(range(num_players)) - set(players))
    unknown = sorted(set(players) - set(range(num_players)))
    repeated = sorted({player for player in players if players.count(player) > 1})
    if missing or unknown or repeated:
        raise ValueError(
            f"tree must hold each of the players 0..{num_players - 1} once"
            + (f", but lacks {missing[:5]}" if missing else "")
            + (f", but holds {unknown[:5]}, which there are not" if unknown else "")
            + (f", but repeats {repeated[:5]}" if repeated else "")
            + "."
        )
    needed = 2 + _partial(read)
    if needed > MOST_COALITIONS:
        number = f"{needed:,}" if needed < 2**64 else "more than 2^64"
        raise ValueError(
            f"tree has groups so large that {number} coalitions are needed, of {MOST_COALITIONS:,} at most: make smaller "
            "groups, in more levels."
        )
    return read


def _partial(tree: Tree) -> int:
    """How many coalitions hold some of a branch but not all: any of its branches, or a part of one beside any others."""
    if isinstance(tree, int):
        return 0
    return 2 ** len(tree) - 2 + 2 ** (len(tree) - 1) * sum(_partial(branch) for branch in tree)
