"""Owen values by their definition: the mean over the orders in which the members of a group are consecutive."""

import itertools

import numpy as np
import pytest

import xaijax as xai
from experiments._known_games import shapley
from tests.games import table

TREES = {
    "two groups": [[0, 1], [2, 3, 4]],
    "one group and others": [[0, 3, 4], 1, 2],
    "out of order": [[4, 0], [3], [2, 1]],
    "nested": [[0, [1, 2]], [3, 4]],
    "nested, three deep": [[[0, 1], 2, [3, [4, 5]]]],
    "a group in a group of its own": [[[0, 1]], [[2]], 3],
}


def orders(tree):
    """Every order in which the members of each branch come one after another."""
    if isinstance(tree, int):
        yield (tree,)
        return
    for branches in itertools.permutations(tree):
        for parts in itertools.product(*map(orders, branches)):
            yield sum(map(tuple, parts), ())


def players(tree):
    return [tree] if isinstance(tree, int) else [player for branch in tree for player in players(branch)]


def by_definition(worth, tree):
    """Mean marginal contribution over all orders of the players that keep the members of every group consecutive."""
    num_players = len(worth).bit_length() - 1
    values, count = np.zeros((num_players, *worth.shape[1:])), 0
    for order in orders(tree):
        count += 1
        coalition = 0
        for player in order:
            values[player] += worth[coalition | 1 << player] - worth[coalition]
            coalition |= 1 << player
    return values / count


def random_worth(num_players, seed=0):
    return np.random.default_rng(seed).normal(size=2**num_players)


def test_orders_that_keep_groups_consecutive_are_counted_rightly():
    """Among all orders of five players those with {0, 1} and {2, 3, 4} consecutive are 2! 2! 3!."""
    expected = {
        order
        for order in itertools.permutations(range(5))
        if abs(order.index(0) - order.index(1)) == 1 and np.ptp([order.index(player) for player in (2, 3, 4)]) == 2
    }
    result = list(orders([[0, 1], [2, 3, 4]]))
    assert len(result) == len(set(result)) == 24
    assert set(result) == expected


@pytest.mark.parametrize("name", TREES)
def test_agrees_with_the_mean_over_all_orders_that_keep_groups_consecutive(name):
    tree = TREES[name]
    worth = random_worth(len(players(tree)))
    attribution = xai.shap.owen(table(worth.astype(np.float32)), tree)
    np.testing.assert_allclose(attribution.values, by_definition(worth, tree), atol=2e-6)
    np.testing.assert_allclose(attribution.values.sum(), worth[-1] - worth[0], atol=1e-6)
    np.testing.assert_allclose([attribution.base_value, attribution.output], [worth[0], worth[-1]], rtol=1e-6)


@pytest.mark.parametrize("tree", [[0, 1, 2, 3, 4], [[0, 1, 2, 3, 4]], [[0], [1], [2], [3], [4]]])
def test_without_groups_they_are_shapley_values(tree):
    worth = random_worth(5)
    attribution = xai.shap.owen(table(worth.astype(np.float32)), tree)
    np.testing.assert_allclose(attribution.values, shapley(worth), atol=2e-6)
    assert attribution.num_evaluations == 32


def test_groups_share_what_they_are_worth_in_the_game_of_the_groups():
    tree = [[0, 1], [2, 3, 4], [5]]
    worth = random_worth(6, 1)
    members = [sum(1 << player for player in group) for group in tree]
    between = np.array([worth[sum(members[g] for g in range(3) if subset >> g & 1)] for subset in range(8)])
    values = np.asarray(xai.shap.owen(table(worth.astype(np.float32)), tree).values)
    np.testing.assert_allclose([values[group].sum() for group in tree], shapley(between), atol=2e-6)


def test_thirty_two_players_in_eight_groups_need_few_coalitions():
    """A pair within a group and a pair across groups: each player of either has half."""
    game = xai.Game(lambda z: 4.0 * (z[:, 0] & z[:, 1]) + 6.0 * (z[:, 2] & z[:, 31]), 32)
    attribution = xai.shap.owen(game, [list(range(4 * group, 4 * group + 4)) for group in range(8)])
    expected = np.zeros(32)
    expected[[0, 1, 2, 31]] = 2, 2, 3, 3
    np.testing.assert_allclose(attribution.values, expected, atol=1e-5)
    # All groups or none of each, and one of the 2^4 - 2 parts of a group with the others all or none.
    assert attribution.num_evaluations == 2**8 + 8 * 14 * 2**7


@pytest.mark.parametrize(
    ("tree", "error", "message"),
    [
        ([[0, 1], [1, 2], 3], ValueError, r"each of the players 0\.\.3 once.*repeats \[1\]"),
        ([[0, 1], [3]], ValueError, r"lacks \[2\]"),
        ([[0, 1], [2, 3, 4]], ValueError, r"has the unknown players \[4\]"),
        ([[0, 1], [2, 3], []], TypeError, r"nested sequences of player indices.*\[\]"),
        ([[0, 1], [2, "3"]], TypeError, "nested sequences of player indices.*'3'"),
        ([[0, True], [2, 3]], TypeError, "nested sequences of player indices.*True"),
        ("0123", TypeError, "nested sequences of player indices.*'0123'"),
    ],
)
def test_trees_that_do_not_hold_each_player_once_are_said(tree, error, message):
    with pytest.raises(error, match=message):
        xai.shap.owen(table(random_worth(4)), tree)


@pytest.mark.parametrize(
    ("groups", "needed"),
    [([1] * 17, "131,072"), ([4] * 16, "7,405,568"), ([100, 2], "more than 2^64")],
)
def test_too_many_coalitions_are_counted_and_refused(groups, needed):
    ends = np.cumsum([0, *groups]).tolist()
    tree = [list(range(first, last)) for first, last in itertools.pairwise(ends)]
    with pytest.raises(ValueError, match=needed.replace("^", r"\^") + " coalitions are needed: make smaller groups"):
        xai.shap.owen(xai.Game(lambda z: z.sum(axis=1), ends[-1]), tree)
