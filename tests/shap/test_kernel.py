"""Kernel regression: exact where it must be, standard errors that are true, and the same by every solver."""

import subprocess
import sys
from math import comb
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from experiments._known_games import all_coalitions, shapley
from tests import models
from tests.games import coverage, interactions, numbers, over_keys, perceptron, relative_error, table
from xaijax._core.numerics import ranks
from xaijax.shap._design import design
from xaijax.shap._least_squares import large, regression, solve, solve_large

ROUGH = np.random.default_rng(0).normal(size=2**8)  # every interaction as likely


def pairwise(num_players, seed=1):
    """A game of single players and pairs, and its values: half of every pair is each player's."""
    rng = np.random.default_rng(seed)
    alone, coupling = rng.normal(size=num_players), rng.normal(size=(num_players, num_players))
    coupling = np.triu(coupling, 1)

    def value(z):
        present = z.astype(float)
        pairs = jnp.einsum("si,ij,sj->s", present, coupling, present, precision=jax.lax.Precision.HIGHEST)
        return present @ alone + pairs + 3

    return xai.Game(value, num_players), alone + (coupling + coupling.T).sum(axis=1) / 2


def weighted_least_squares(worth, coalitions, counts):
    """Values by the regression's definition over coalitions and their complements, in float64.

    counts: [n] how many pairs of its size there are among them.
    """
    num_players = coalitions.shape[1]
    both = np.concatenate([coalitions, ~coalitions]).astype(float)
    sizes = both.sum(axis=1)
    totals = [comb(num_players, int(size)) / (2 if 2 * size == num_players else 1) for size in sizes]
    kernel = (num_players - 1) / (np.array([comb(num_players, int(s)) for s in sizes]) * sizes * (num_players - sizes))
    weights = kernel * totals / np.concatenate([counts, counts])
    gains, total = worth[numbers(both.astype(bool))] - worth[0], worth[-1] - worth[0]
    # The intercept is v(empty coalition). The last player gets the rest of the sum, so that no constraint remains.
    features, goal = both[:, :-1] - both[:, -1:], gains - both[:, -1] * total
    root = np.sqrt(weights)
    result = np.linalg.lstsq(features * root[:, None], goal * root, rcond=None)[0]
    return np.append(result, total - result.sum())


@pytest.mark.parametrize("num_players", [2, 3, 8])
def test_all_pairs_give_the_exact_values(num_players, key):
    game = table(ROUGH[: 2**num_players].astype(np.float32))
    attribution = xai.shap.kernel(game, key=key, num_evaluations=2**num_players)
    np.testing.assert_allclose(attribution.values, xai.shap.exact(game).values, atol=2e-6)
    np.testing.assert_allclose(attribution.values, shapley(ROUGH[: 2**num_players]), atol=2e-6)
    np.testing.assert_array_equal(attribution.std_errors, 0)  # nothing is left to chance
    assert attribution.num_evaluations == 2**num_players


@pytest.mark.parametrize("sizes", ["singles", "uniform", "kernel"])
def test_values_solve_the_weighted_regression_over_the_pairs(sizes, key):
    attribution = xai.shap.kernel(table(ROUGH), key=key, num_evaluations=82, sizes=sizes)
    pairs = design(8, (40,), sizes)
    labels = ranks(jax.random.uniform(key, (8,)))
    expected = weighted_least_squares(ROUGH, pairs.coalitions[:, labels], pairs.alike[0])
    np.testing.assert_allclose(attribution.values, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("num_evaluations", "sampling"),
    [(16, "pairs"), (17, "pairs"), (80, "pairs"), (200, "pairs"), (256, "pairs"), (16, "published"), (80, "published")],
)
def test_values_sum_to_output_minus_base_value(num_evaluations, sampling, key):
    options = {"num_evaluations": num_evaluations, "sampling": sampling, "key": key}
    attribution = xai.shap.kernel(table(np.stack([ROUGH, 50 + 10 * ROUGH], axis=1)), **options)
    np.testing.assert_allclose(attribution.base_value, [ROUGH[0], 50 + 10 * ROUGH[0]], rtol=1e-6)
    np.testing.assert_allclose(attribution.output, [ROUGH[-1], 50 + 10 * ROUGH[-1]], rtol=1e-6)
    gap = attribution.values.sum(axis=0) - (attribution.output - attribution.base_value)
    assert (np.abs(gap) < [2e-6, 2e-5]).all()
    assert attribution.num_evaluations == num_evaluations // 2 * 2


@pytest.mark.parametrize("sampling", ["pairs", "published"])
def test_linear_models_have_no_error(sampling, key):
    weights = jnp.linspace(-1, 1, 20)
    x, background = models.rows(3, 20), models.rows(10, 20, seed=2)
    game = xai.game(lambda x: x @ weights, x, xai.mask.background(background))
    attribution = xai.shap.kernel(game, key=key, num_evaluations=100, sampling=sampling)
    np.testing.assert_allclose(attribution.values, weights * (x - background.mean(axis=0)), atol=1e-5)
    assert attribution.std_errors.max() < 2e-6


@pytest.mark.parametrize("most_numbers", [2**25, 0])
def test_errors_are_unknown_where_chance_has_no_part(most_numbers, monkeypatch, key):
    """All pairs of one player and the others, and no more: the values of a team of three are far from its thirds."""
    monkeypatch.setattr("xaijax.shap._kernel._MOST_NUMBERS", most_numbers)
    team = xai.Game(lambda z: 1.0 * (z[:, 0] & z[:, 1] & z[:, 2]), 7)
    attribution = xai.shap.kernel(team, key=key, num_evaluations=16)
    assert np.abs(attribution.values[0] - 1 / 3) > 0.03
    np.testing.assert_array_equal(attribution.std_errors, np.inf)
    assert np.isfinite(xai.shap.kernel(team, key=key, num_evaluations=18).std_errors).all()
    np.testing.assert_array_equal(xai.shap.kernel(team, key=key, num_evaluations=128).std_errors, 0)


@pytest.mark.parametrize("num_players", [9, 70])
def test_games_of_pairs_have_no_error(num_players, key):
    """Seventy players have more coalitions of a size than floats have digits, and than integers have room."""
    game, exact = pairwise(num_players)
    attribution = xai.shap.kernel(game, key=key, num_evaluations=6 * num_players)
    np.testing.assert_allclose(attribution.values, exact, atol=2e-4 if num_players == 70 else 1e-5)
    assert attribution.std_errors.max() < (1e-4 if num_players == 70 else 1e-5)


@pytest.mark.parametrize("most_numbers", [2**25, 0])
def test_hundreds_of_players_are_solved_in_blocks_of_rows(most_numbers, monkeypatch, key):
    """The last of the blocks is not full."""
    monkeypatch.setattr("xaijax.shap._kernel._MOST_NUMBERS", most_numbers)
    monkeypatch.setattr("xaijax.shap._least_squares._ROWS", 256)
    game, exact = pairwise(300)
    attribution = xai.shap.kernel(game, key=key, num_evaluations=1202)
    np.testing.assert_allclose(attribution.values, exact, atol=1e-3 * np.abs(exact).max())
    assert attribution.std_errors.max() < 2e-3 * np.abs(exact).max()


@pytest.mark.slow
@pytest.mark.parametrize("num_players", [1000, 2000])
def test_the_default_for_thousands_of_players_stays_within_two_gigabytes(num_players):
    """The peak of a fresh process, with JAX itself, in kilobytes; twenty evaluations for each player.

    Of Linux alone: the peak that getrusage tells begins with that of the process which started this one.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("only Linux tells the peak of a process that another one started")
    program = f"""
import jax, jax.numpy as jnp, xaijax as xai
rows = jax.random.normal(jax.random.key(0), (2, {num_players}))
model = lambda x: jnp.tanh(x * rows[1]).sum(axis=1)
xai.shap.values(model, rows[:1], xai.mask.baseline(jnp.zeros({num_players})), key=jax.random.key(1))
print(next(line for line in open({str(status)!r}) if line.startswith("VmHWM")).split()[1])
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(result.stdout) < 2_000_000


def test_a_player_whose_values_are_those_of_the_background_gets_zero(key):
    x, background = models.rows(2), models.rows(5, seed=1)
    background = background.at[:, 3].set(x[0, 3]).at[:, 7].set(x[1, 7])
    game = xai.game(models.table_net(), x, xai.mask.background(background), target=0)
    for sampling in ("pairs", "published"):
        attribution = xai.shap.kernel(game, key=key, num_evaluations=80, sampling=sampling)
        for example, player in ((0, 3), (1, 7)):
            assert attribution.values[example, player] == 0
            assert attribution.std_errors[example, player] == 0
        np.testing.assert_array_equal((attribution.values != 0).sum(axis=1), 11)
        gap = attribution.values.sum(axis=1) - (attribution.output - attribution.base_value)
        assert jnp.abs(gap).max() < 2e-6


def test_nominal_intervals_hold_the_truth_as_often_as_they_say():
    worths = np.stack([interactions(seed=seed) for seed in range(4)])
    exact = np.stack([shapley(worth) for worth in worths])
    values, std_errors = over_keys(lambda game, key: xai.shap.kernel(game, key=key, num_evaluations=200), worths, 150)
    assert 0.90 < coverage(values, std_errors, exact) < 0.98
    scores = (values - exact) / std_errors
    assert 0.75 < scores.std() < 1.05  # leverages make them rather wide than narrow
    # The bias is small compared with the error.
    assert (np.abs(values.mean(axis=0) - exact) < 0.35 * values.std(axis=0)).all()


def test_the_published_sampling_converges_with_errors_that_are_true():
    """Four times as many evaluations, a quarter of the squared error; pairs are at least three times better."""
    worths = perceptron()[None]
    exact = np.stack([shapley(worth) for worth in worths])
    result = {}
    for count in (100, 400):
        explain = lambda game, key, count=count: xai.shap.kernel(  # noqa: E731
            game, key=key, num_evaluations=count, sampling="published"
        )
        values, std_errors = over_keys(explain, worths, 300)
        result[count] = relative_error(values, exact)
        assert 0.93 < coverage(values, std_errors, exact) < 0.97
        assert (np.abs(values.mean(axis=0) - exact) < 5 * values.std(axis=0) / np.sqrt(300)).all()
    assert 3.2 < result[100] / result[400] < 5
    values, _ = over_keys(lambda game, key: xai.shap.kernel(game, key=key, num_evaluations=100), worths, 300)
    assert relative_error(values, exact) < result[100] / 3


@pytest.mark.parametrize(("num_evaluations", "known"), [(16, False), (18, True)])
def test_with_as_many_pairs_as_coefficients_the_error_is_unknown(num_evaluations, known, key):
    attribution = xai.shap.kernel(table(ROUGH), key=key, num_evaluations=num_evaluations, sizes="uniform")
    assert jnp.isfinite(attribution.values).all()
    assert (jnp.isfinite(attribution.std_errors) == known).all()


@pytest.mark.parametrize(("num_players", "pairs"), [(10, 120), (10, 511), (40, 2000)])
def test_conjugate_gradients_solve_the_same_regression(num_players, pairs):
    which = design(num_players, (pairs,))
    rng = np.random.default_rng(3)
    spins = np.concatenate([which.coalitions, np.ones((1, num_players))]) - 0.5
    odd = jnp.asarray(spins @ rng.normal(size=(num_players, 2)) + 0.3 * rng.normal(size=(pairs + 1, 2)), jnp.float32)
    values, errors = solve(regression(which, 0), odd)
    other_values, other_errors = jax.jit(solve_large)(large(which, 0), odd)
    np.testing.assert_allclose(other_values, values, atol=1e-5)
    # They take the Gram matrix for a multiple of the identity: true on average, and near for each.
    assert abs(jnp.log(other_errors / errors).mean()) < 0.05 or pairs == 511
    np.testing.assert_allclose(other_errors, errors, rtol=0.25, atol=1e-6)


def test_designs_too_large_for_an_operator_are_solved_all_the_same(monkeypatch, key):
    game = table(ROUGH)
    direct = xai.shap.kernel(game, key=key, num_evaluations=102)
    monkeypatch.setattr("xaijax.shap._kernel._MOST_NUMBERS", 0)
    iterated = xai.shap.kernel(game, key=key, num_evaluations=102)
    np.testing.assert_allclose(iterated.values, direct.values, atol=2e-6)
    np.testing.assert_allclose(iterated.std_errors, direct.std_errors, rtol=0.25)


def test_single_precision_agrees_with_double(float64):
    double, single = table(100 + ROUGH), table((100 + ROUGH).astype(np.float32))
    key = jax.random.key(0)
    first, second = (xai.shap.kernel(game, key=key, num_evaluations=100) for game in (double, single))
    assert (first.values.dtype, second.values.dtype) == (jnp.float64, jnp.float32)
    np.testing.assert_allclose(second.values, first.values, atol=5e-5)
    np.testing.assert_allclose(second.std_errors, first.std_errors, rtol=1e-3)


@pytest.mark.parametrize("options", [{"num_evaluations": 256}, {"num_evaluations": 90, "sampling": "published"}, {}])
def test_one_coalition_that_is_worth_nan_makes_all_values_nan(options, key):
    worth = np.where(all_coalitions(8).sum(axis=1) == 1, np.nan, ROUGH)
    attribution = xai.shap.kernel(table(worth), key=key, **options)
    assert jnp.isnan(attribution.values).all()
    assert jnp.isnan(attribution.std_errors).all()


@pytest.mark.parametrize(
    ("players", "options", "message"),
    [
        (
            8,
            {"num_evaluations": 15},
            "num_evaluations.? must be at least 16, twice.*8 players.*got 15.*group the players",
        ),
        (3, {"num_evaluations": 5}, "num_evaluations.? must be at least 6"),
        (8, {"sampling": "pears"}, "sampling.? must be one of.*did you mean 'pairs'"),
        (8, {"sizes": "even"}, "sizes.? must be one of.*'uniform'"),
        (8, {"sampling": "published", "until": 0.1}, "`until` must be left out for sampling='published'"),
        (1, {}, "at least 2 players.*shap.exact"),
    ],
)
def test_options_without_sense_are_said(players, options, message, key):
    with pytest.raises(ValueError, match=message):
        xai.shap.kernel(table(ROUGH[: 2**players]), key=key, **options)
