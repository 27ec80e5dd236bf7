"""Designs: pairs of complements without repetition, balanced, nested, and complete where the budget reaches."""

from math import comb

import numpy as np
import pytest

from xaijax.shap._design import design, num_pairs

DESIGNS = [(2, (1,)), (5, (4, 9, 15)), (9, (8, 60, 255)), (12, (40, 80, 160)), (40, (39, 400)), (70, (200, 3000))]
FEW = [one for one in DESIGNS if one[0] <= 12]


def as_set(coalitions):
    return {row.tobytes() for row in coalitions}


def pairs_of_size(num_players, size):
    return comb(num_players, size) // (2 if 2 * size == num_players else 1)


@pytest.mark.parametrize("sizes", ["uniform", "singles", "kernel"])
@pytest.mark.parametrize(("num_players", "stages"), DESIGNS)
def test_no_coalition_is_there_twice_nor_with_its_complement(num_players, stages, sizes):
    coalitions = design(num_players, stages, sizes).coalitions
    assert coalitions.shape == (stages[-1], num_players)
    assert len(as_set(coalitions) | as_set(~coalitions)) == 2 * stages[-1]
    members = coalitions.sum(axis=1)
    assert members.min() >= 1  # the empty and the grand coalition are a pair of their own
    assert (2 * members <= num_players).all()


@pytest.mark.parametrize("sizes", ["uniform", "singles", "kernel"])
@pytest.mark.parametrize(("num_players", "stages"), DESIGNS)
def test_larger_designs_begin_with_smaller_ones(num_players, stages, sizes):
    whole = design(num_players, stages, sizes).coalitions
    for count in range(1, len(stages)):
        smaller = design(num_players, stages[:count], sizes).coalitions
        np.testing.assert_array_equal(whole[: stages[count - 1]], smaller)


@pytest.mark.parametrize(("num_players", "stages"), FEW)
def test_all_pairs_are_all_coalitions_but_the_empty_and_the_grand_one(num_players, stages):
    everything = num_pairs(num_players)
    assert everything == 2 ** (num_players - 1) - 1
    pairs = design(num_players, (*stages[:1], everything) if stages[0] < everything else (everything,))
    assert len(as_set(pairs.coalitions) | as_set(~pairs.coalitions)) == 2**num_players - 2
    np.testing.assert_array_equal(pairs.chance[-1], 1)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    # Of 200 pairs 10 + 45 are all of sizes 1 and 2; the 145 others are shared by sizes 3, 4 and 5, of which there are
    # 120, 210 and 126: alike but for the half size, or in proportion to 1/21, 1/24 and half of 1/25.
    [("uniform", [10, 45, 58, 58, 29]), ("kernel", [10, 45, 63.4, 55.5, 26.6])],
)
def test_small_sizes_are_complete_and_the_others_share_what_is_left(sizes, expected):
    pairs = design(10, (200,), sizes)
    members = pairs.coalitions.sum(axis=1)
    counts = np.bincount(members, minlength=6)[1:]
    np.testing.assert_allclose(counts, expected, atol=1)
    assert counts.tolist()[:2] == [10, 45]
    np.testing.assert_array_equal(pairs.chance[0, members <= 2], 1)


@pytest.mark.parametrize(("num_players", "pairs"), [(3, 2), (12, 7), (30, 29), (30, 75), (70, 200)])
def test_pairs_of_one_player_come_first_and_the_others_are_shared(num_players, pairs):
    members = design(num_players, (pairs,), "singles").coalitions.sum(axis=1)
    singles = min(pairs, num_players)
    np.testing.assert_array_equal(members[:singles], 1)
    counts = np.bincount(members[singles:], minlength=2 + num_players // 2)[2:-1]
    if pairs > num_players:
        assert counts.max() - counts.min() <= 2


@pytest.mark.parametrize(("num_players", "stages"), [*DESIGNS, (300, (1000,))])
def test_chances_are_the_shares_of_their_size_that_are_drawn(num_players, stages):
    pairs = design(num_players, stages)
    members = pairs.coalitions.sum(axis=1).tolist()
    for stage, count in enumerate(stages):
        drawn = np.bincount(members[:count], minlength=num_players + 1).tolist()
        np.testing.assert_array_equal(pairs.alike[stage, :count], [drawn[size] for size in members[:count]])
        shares = [drawn[size] / pairs_of_size(num_players, size) for size in members[:count]]
        np.testing.assert_allclose(pairs.chance[stage, :count], shares, rtol=1e-12)
        np.testing.assert_array_equal(pairs.chance[stage, count:], 0)  # not yet drawn
        np.testing.assert_array_equal(pairs.alike[stage, count:], 0)


@pytest.mark.parametrize(("num_players", "pairs"), [(20, 200), (30, 75), (70, 1000)])
def test_players_are_in_coalitions_of_each_size_about_equally_often(num_players, pairs):
    """In orders cut into blocks every player comes once in each order: counts differ by a few, in draws by far more."""
    coalitions = design(num_players, (pairs,)).coalitions
    members = coalitions.sum(axis=1)
    for size in range(1, (num_players + 1) // 2):
        of_size = coalitions[members == size].sum(axis=0)
        assert of_size.max() - of_size.min() <= 2
