"""Pairs chosen one by one: nested, distinct, and each the best by the definition of the process over all coalitions."""

import numpy as np
import pytest

from tests.shap.test_gaussian_process import prior
from xaijax.shap import _chosen_pairs
from xaijax.shap._chosen_pairs import chosen_pairs
from xaijax.shap._design import num_pairs


@pytest.mark.parametrize(("num_players", "counts"), [(2, (1,)), (3, (2, 3)), (6, (4, 20, 31)), (25, (24, 30, 90, 400))])
def test_pairs_are_distinct_and_larger_designs_begin_with_smaller_ones(num_players, counts):
    whole = chosen_pairs(num_players, counts[-1]).coalitions
    assert whole.shape == (counts[-1], num_players)
    assert len({row.tobytes() for row in [*whole, *~whole]}) == 2 * counts[-1]
    members = whole.sum(axis=1)
    assert (2 * members <= num_players).all()
    np.testing.assert_array_equal(members[: min(num_players, num_pairs(num_players))], 1)
    for count in counts[:-1]:
        np.testing.assert_array_equal(chosen_pairs(num_players, count).coalitions, whole[:count])


@pytest.mark.parametrize(("num_players", "counts"), [(6, (6, 9, 14)), (7, (22, 23, 26, 27))])
def test_each_pair_is_the_best_of_all_that_are_left(num_players, counts):
    """The sum of the variances of the values after each other pair is not smaller, by matrices over all coalitions."""
    between, shapley_sum = prior(np.full(num_players, _chosen_pairs._DEGREE / num_players), _chosen_pairs._BOOST)
    between /= between[-1, -1]
    of_values = shapley_sum @ between @ shapley_sum.T

    def variance(coalitions):
        indices = [*(coalitions @ (1 << np.arange(num_players))), 2**num_players - 1]
        with_values = shapley_sum @ between[:, indices]
        inverse = np.linalg.inv(between[np.ix_(indices, indices)] + _chosen_pairs._NOISE * np.eye(len(indices)))
        return np.trace(of_values - with_values @ inverse @ with_values.T)

    chosen = chosen_pairs(num_players, num_pairs(num_players)).coalitions
    for count in counts:
        after = [variance(np.append(chosen[:count], other[None], axis=0)) for other in chosen[count:]]
        assert after[0] <= min(after) * (1 + 1e-5)
        assert max(after) > after[0] * (1 + 1e-3)  # it matters which one


def test_no_pair_is_chosen_twice_where_noise_makes_it_tell_most_again(monkeypatch):
    monkeypatch.setattr(_chosen_pairs, "_NOISE", 100.0)
    chosen = _chosen_pairs._chosen(20, 320)
    assert len({row.tobytes() for row in chosen}) == 320


def test_candidates_of_many_players_are_new_pairs_of_all_sizes():
    chosen = chosen_pairs(21, 200).coalitions
    candidates = _chosen_pairs._candidates(21, chosen)
    assert len(candidates) > 400
    seen = {row.tobytes() for row in chosen}
    assert not any(row.tobytes() in seen or (~row).tobytes() in seen for row in candidates)
    np.testing.assert_array_equal(np.unique(candidates.sum(axis=1)), np.arange(2, 11))
