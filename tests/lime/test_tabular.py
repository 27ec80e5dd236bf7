"""LIME for tables: the neighborhood is the one that the equations name, and its coefficients are the model's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm, truncnorm

import xaijax as xai
from tests import models
from xaijax.lime import _rows

RNG = np.random.default_rng(0)
TRAINING = np.stack(
    [RNG.gamma(2, size=300), RNG.normal(5, 2, 300), RNG.choice([0, 3, 7], 300, p=[0.5, 0.3, 0.2])], axis=1
).astype(np.float32)
ROW = jnp.array([1.5, 8.0, 3.0])
WIDTH = 1.5


def drawn(statistics, sampling, around="row", samples=401, rounds=100):
    """Points [n, D], weights [n] and rows [n, D] of many rounds, without the input's own."""
    together = _rows.row_layout(sampling, samples)
    round_ = jax.jit(jax.vmap(lambda key: _rows.draw_rows(sampling, key, ROW, statistics, WIDTH, around, together)))
    found, rows = round_(jax.random.split(jax.random.key(0), rounds))
    assert not found.points[:, 0].any()
    np.testing.assert_array_equal(rows[:, 0], jnp.broadcast_to(ROW, (rounds, 3)))
    return [np.asarray(part[:, 1:]).reshape(-1, *part.shape[2:]) for part in (found.points, found.weights, rows)]


@pytest.mark.parametrize("around", ["row", "data"])
def test_numbers_are_normal_in_the_papers_sampling_and_weighted_by_the_kernel(around):
    statistics = xai.lime.statistics(TRAINING)
    points, weights, rows = drawn(statistics, "independent", around)
    center = ROW if around == "row" else statistics.mean
    np.testing.assert_allclose(rows.mean(axis=0), center, atol=0.05)
    np.testing.assert_allclose(rows.std(axis=0), statistics.deviation, rtol=0.02)
    np.testing.assert_allclose(points, (rows - ROW) / statistics.deviation, atol=2e-5)
    np.testing.assert_allclose(weights, np.exp(-(points**2).sum(axis=1) / WIDTH**2), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("around", ["row", "data"])
def test_the_weighted_law_is_the_same_with_the_weights_in_the_drawing(around):
    statistics = xai.lime.statistics(TRAINING)
    independent, weights, _ = drawn(statistics, "independent", around)
    points, ones, _ = drawn(statistics, "weighted", around)
    assert (ones == 1).all()
    share = weights / weights.sum()
    np.testing.assert_allclose(points.mean(axis=0), share @ independent, atol=0.02)
    np.testing.assert_allclose((points**2).mean(axis=0), share @ independent**2, rtol=0.04)
    if around == "row":
        np.testing.assert_allclose((points**2).mean(axis=0), 1 / (1 + 2 / WIDTH**2), rtol=0.02)


@pytest.mark.parametrize("sampling", ["weighted", "independent"])
def test_bins_and_categories_are_drawn_by_their_frequencies_and_values_within_bins_as_in_lime(sampling):
    statistics = xai.lime.statistics(TRAINING, bins="quartile", categorical=[2])
    points, weights, rows = drawn(statistics, sampling)
    place = np.asarray(statistics.own_bins(rows))
    own = np.asarray(statistics.own_bins(ROW[None]))[0]
    np.testing.assert_array_equal(points, np.where(place == own, 0, -1))
    if sampling == "independent":
        np.testing.assert_allclose(weights, np.exp(points.sum(axis=1) / WIDTH**2), rtol=1e-4)
    frequency = np.asarray(statistics.bins.frequency)
    tilt = np.exp(-1 / WIDTH**2) if sampling == "weighted" else 1.0
    for column in range(3):
        chance = frequency[column] * np.where(np.arange(frequency.shape[1]) == own[column], 1, tilt)
        found = np.bincount(place[:, column], minlength=frequency.shape[1]) / len(place)
        np.testing.assert_allclose(found, chance / chance.sum(), atol=0.01)
    assert set(np.unique(rows[:, 2])) == {0, 3, 7}
    bins = statistics.bins
    for one in range(4):
        mean, spread, low, high = (
            float(np.asarray(t)[0, one]) for t in (bins.mean, bins.deviation, bins.low, bins.high)
        )
        inside = rows[place[:, 0] == one, 0]
        expected = truncnorm((low - mean) / spread, (high - mean) / spread, mean, spread)
        np.testing.assert_allclose(inside.mean(), expected.mean(), atol=0.02 * spread)
        np.testing.assert_allclose(inside.std(), expected.std(), rtol=0.02)
        np.testing.assert_allclose(np.quantile(inside, 0.9), expected.ppf(0.9), atol=0.05 * spread)


def test_within_a_block_normals_are_latin_hypercubes_in_antithetic_pairs():
    together = _rows.row_layout("weighted", 1000)
    samples, _ = _rows.draw_rows(
        "weighted", jax.random.key(0), ROW, xai.lime.statistics(TRAINING), WIDTH, "row", together
    )
    points = np.asarray(samples.points[1 : 1 + together.number * together.length])
    blocks = points.reshape(together.number, 2, together.length // 2, 3)
    np.testing.assert_allclose(blocks[:, 0], -blocks[:, 1], atol=1e-5)
    halves = np.asarray(samples.pairs.middle[:, None] + samples.pairs.halves).T
    rest = samples.points[1 + together.number * together.length :]
    np.testing.assert_array_equal(halves, np.concatenate([blocks[:, 0].reshape(-1, 3), rest]))
    strata = np.sort(norm.cdf(blocks[:, 0] * np.sqrt(1 + 2 / WIDTH**2)) * (together.length // 2), axis=1)
    np.testing.assert_array_equal(
        np.floor(strata + 1e-4), np.broadcast_to(np.arange(together.length // 2)[:, None], strata.shape)
    )


@pytest.mark.parametrize("sampling", ["weighted", "independent"])
def test_a_model_of_conditions_is_recovered(sampling, key):
    """Linear in whether the row's own bin and category hold: each coefficient is what its condition counts for."""
    statistics = xai.lime.statistics(TRAINING, bins="quartile", categorical=[2])
    own = statistics.own_bins(ROW[None])[0]
    weights = jnp.array([2.0, -3.0, 0.5])
    model = lambda x: (statistics.own_bins(x) == own) @ weights + 4  # noqa: E731
    found = xai.lime.tabular(model, ROW[None], statistics, key=key, sampling=sampling)
    np.testing.assert_allclose(found.values[0], weights, atol=1e-4)
    np.testing.assert_allclose(found.intercept[0], 4, atol=1e-4)
    np.testing.assert_allclose(found.prediction, found.output, atol=1e-4)
    assert found.slopes is None
    np.testing.assert_allclose(found.held_out_r_squared, 1, atol=1e-5)


def test_bins_and_numbers_mix(key):
    """A line in the number beside a condition on another column."""
    statistics = xai.lime.statistics(TRAINING, bins={0: [1.0, 3.0]}, categorical=[2])
    model = lambda x: jnp.where((x[:, 0] > 1) & (x[:, 0] <= 3), 2.0, 0.0) + 0.3 * x[:, 1]  # noqa: E731
    found = xai.lime.tabular(model, ROW[None], statistics, key=key)
    np.testing.assert_allclose(found.values[0], [2, 0.3 * statistics.deviation[1], 0], atol=1e-3)


def test_positions_within_bins_take_noise_from_the_coefficients_and_nothing_else(key):
    """A linear model explained by quartiles: against a million samples of the paper's sampling."""
    statistics = xai.lime.statistics(TRAINING, bins="quartile", categorical=[2])
    model = lambda x: x @ jnp.array([1.0, 0.5, 0.1])  # noqa: E731
    options = {"kernel_width": WIDTH, "definitions": "xaijax"}
    truth = xai.lime.tabular(
        model, ROW[None], statistics, key=key, sampling="independent", num_samples=400_000, **options
    )

    def errors(sampling):
        def one(key):
            found = xai.lime.tabular(
                model, ROW[None], statistics, key=key, sampling=sampling, num_samples=500, **options
            )
            return found.values - truth.values, found.std_errors

        return jax.lax.map(one, jax.random.split(key, 200))

    (paper, paper_claimed), (ours, claimed) = errors("independent"), errors("weighted")
    known = np.asarray(truth.std_errors)
    assert (np.abs(ours.mean(axis=0)) < 4 * (known + ours.std(axis=0) / 14)).all()
    assert (ours**2).mean() < 0.1 * (paper**2).mean()
    np.testing.assert_allclose(paper_claimed.mean(axis=0), paper.std(axis=0), rtol=0.2)
    np.testing.assert_allclose(claimed.mean(axis=0), ours.std(axis=0), rtol=0.25, atol=1e-4)


def test_definitions_of_lime_are_its_settings():
    """One argument, against the settings written out: sampling, center, width, absolute ridge, ten features."""
    net, x = models.table_net(12), models.rows(2, 12)
    statistics = xai.lime.statistics(models.rows(60, 12, seed=1))
    key = jax.random.key(3)
    found = xai.lime.tabular(net, x, statistics, key=key, target=0, definitions="lime")
    assert (np.asarray(found.num_evaluations) == 5000).all()
    assert ((np.asarray(found.values) != 0).sum(axis=1) == 10).all()
    # The same samples by hand, with lime's kernel sqrt(exp(-d²/w²)), w = 0.75 sqrt(12), and Ridge(alpha=1).
    width = 0.75 * np.sqrt(12)
    for row in range(2):
        own_key = jax.random.split(jax.random.fold_in(key, row))[0]
        together = _rows.row_layout("independent", 4999)
        _, rows = _rows.draw_rows("independent", own_key, x[row], statistics, 99.0, "data", together)
        scaled = (np.asarray(rows, np.float64) - np.asarray(statistics.mean)) / np.asarray(statistics.deviation)
        distance = np.linalg.norm(scaled - scaled[0], axis=1)
        weights = np.sqrt(np.exp(-(distance**2) / width**2))
        values = np.asarray(net(rows)[:, 0], np.float64)

        def ridge(columns, scaled=scaled, weights=weights, values=values):
            part = scaled[:, columns]
            center, mean = weights @ part / weights.sum(), weights @ values / weights.sum()
            part, goal = part - center, values - mean
            gram = part.T @ (weights[:, None] * part) + np.eye(len(columns))
            return np.linalg.solve(gram, part.T @ (weights * goal))

        every = ridge(np.arange(12))
        kept = np.sort(np.argsort(-np.abs(every * scaled[0]))[:10])  # lime ranks by coefficient times value
        expected = np.zeros(12)
        expected[kept] = ridge(kept)
        np.testing.assert_allclose(found.values[row], expected, atol=2e-4)


def test_num_features_leaves_the_others_at_zero_and_refits_the_rest(key):
    weights = jnp.array([5.0, 0.1, -3.0, 0.2, 1.0])
    statistics = xai.lime.statistics(models.rows(100, 5))
    found = xai.lime.tabular(lambda x: x @ weights, models.rows(2, 5, seed=1), statistics, key=key, num_features=3)
    expected = jnp.where(jnp.abs(weights) > 0.5, weights, 0) * statistics.deviation
    np.testing.assert_allclose(found.values, jnp.broadcast_to(expected, (2, 5)), atol=0.05)
    assert (found.values[:, jnp.array([1, 3])] == 0).all()
    assert (found.std_errors[:, jnp.array([1, 3])] == 0).all()
    assert (found.r_squared < 1).all()
    every = xai.lime.tabular(lambda x: jnp.stack([x @ weights, -x @ weights[::-1]], 1), models.rows(2, 5, seed=1),
                             statistics, key=key, num_features=2, target="all")  # fmt: skip
    assert (np.asarray(every.values[:, :, 0] != 0) == [True, False, True, False, False]).all()
    assert (np.asarray(every.values[:, :, 1] != 0) == [False, False, True, False, True]).all()


@pytest.mark.parametrize("low", [-0.9613, 1e4], ids=["standardized", "far from zero"])
@pytest.mark.parametrize("as_category", [True, False])
def test_columns_of_two_values_count_in_full(as_category, low, key):
    """No value varies within a bin of one value, and rounding is no variation: it would share in the coefficient."""
    rows = np.stack([np.tile([low, low + 2.0013], 150), RNG.normal(size=300)], axis=1).astype(np.float32)
    statistics = xai.lime.statistics(rows, bins="quartile", categorical=[0] if as_category else [])
    model = lambda x: 0.25 * (x[:, 0] > low + 1) + jnp.tanh(x[:, 1])  # noqa: E731
    found = xai.lime.tabular(model, rows[:2], statistics, key=key, num_samples=20_000)
    np.testing.assert_allclose(found.values[:, 0], [-0.25, 0.25], atol=3 * float(found.std_errors[:, 0].max()))
    assert found.std_errors[:, 0].max() < 0.003
