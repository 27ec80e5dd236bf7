"""LIME on tables of every type: constant columns, unseen conditions, integers, huge scales, data frames."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import xaijax as xai
from tests.selection import usual
from xaijax.lime._rows import UNSEEN_PROBABILITY, draw_rows, row_layout

RNG = np.random.default_rng(0)
CONSTANTS = [0.1, 123456.7, 1600001.0]


@pytest.mark.parametrize(
    ("dtype", "options"),
    [
        (np.float32, {}),
        (np.float64, {"sampling": "independent"}),
        pytest.param(np.float32, {"surrogate": "gaussian_process"}, marks=pytest.mark.slow),
        pytest.param(np.float64, {"surrogate": "gaussian_process"}, marks=pytest.mark.slow),
    ],
)
def test_constant_columns_have_no_value_slope_or_error(dtype, options, key):
    """A step at each constant has a huge slope under any deviation that is only a rounding error."""
    with jax.enable_x64(dtype == np.float64):
        rows = np.stack([*(np.full(200, constant) for constant in CONSTANTS), RNG.normal(size=200)], axis=1).astype(
            dtype
        )
        rows[::2, 0] *= 1 + np.finfo(dtype).eps  # nearly constant
        levels = jnp.asarray(rows[0, :3])
        model = lambda x: 10.0 * (x[:, :3] > levels).sum(axis=1) + 2 * x[:, 3]  # noqa: E731
        found = xai.lime.tabular(
            model, rows[:2], xai.lime.statistics(rows), key=key, num_samples=200, kernel_width=2.0, **options
        )
        for field in ("values", "slopes", "std_errors"):
            assert (getattr(found, field)[:, :3] == 0).all(), field
        np.testing.assert_allclose(found.slopes[:, 3], 2, rtol=1e-4)


def test_duplicate_columns_share_nothing_but_their_own_effect(key):
    column = RNG.normal(size=(200, 1)).astype(np.float32)
    rows = np.concatenate([column, column, RNG.normal(size=(200, 1))], axis=1).astype(np.float32)
    found = xai.lime.tabular(lambda x: x @ jnp.array([1.0, 2.0, 3.0]), rows[:2], xai.lime.statistics(rows), key=key)
    np.testing.assert_allclose(found.slopes, [[1, 2, 3]] * 2, rtol=1e-4)
    players = xai.Game(lambda z: 3.0 * (z[:, 0] & z[:, 1]) + z[:, 2], 3)
    same = xai.lime.fit(players, key=key, num_samples=500, surrogate="gaussian_process")
    np.testing.assert_allclose(same.values[0], same.values[1], atol=0.05)


CONDITIONS = {
    "a category": ({"categorical": [0]}, 1.0),
    "a quartile": ({"bins": "quartile"}, 1.0),
    "a bin beyond the data": ({"bins": {0: [10.0]}}, 12.0),
}


@pytest.mark.parametrize("case", CONDITIONS)
@pytest.mark.parametrize("sampling", usual(["weighted", "independent"], "weighted"))
def test_a_condition_without_training_rows_has_its_exact_effect(case, sampling, key):
    """All training rows have 0, and the model counts 5 where x has another value."""
    options, value = CONDITIONS[case]
    rows = np.stack([np.zeros(300), RNG.normal(size=300)], axis=1).astype(np.float32)
    statistics = xai.lime.statistics(rows, **options)
    x = np.float32([[value, 0.3], [0.0, 0.3]])
    model = lambda x: 5.0 * (x[:, 0] != 0) + x[:, 1]  # noqa: E731
    explain = lambda x: xai.lime.tabular(  # noqa: E731
        model, x, statistics, key=key, sampling=sampling, num_samples=2000
    )
    for found in (explain(x), jax.jit(explain)(x)) if case == "a category" else (explain(x),):
        assert np.isfinite(found.std_errors).all()
        assert abs(found.values[0, 0] - 5) < max(1e-3, 4 * found.std_errors[0, 0])
        assert abs(found.values[0, 0] - 5) < 0.1
        np.testing.assert_array_equal(found.unseen, [[True, False], [False, False]])
        np.testing.assert_array_equal(found.values[1, 0], 0)


def test_unseen_conditions_are_drawn_with_the_documented_probability():
    rows = np.zeros((300, 1), np.float32)
    statistics = xai.lime.statistics(rows, categorical=[0])
    layout = row_layout("independent", 20_000)
    samples, inputs = draw_rows("independent", jax.random.key(0), jnp.ones(1), statistics, 1.0, "row", layout)
    share = float((samples.points[1:, 0] == 0).mean())
    assert abs(share - UNSEEN_PROBABILITY) < 0.01
    np.testing.assert_array_equal(inputs[:, 0], 1 + samples.points[:, 0])


def test_a_constant_number_that_differs_is_unseen(key):
    rows = np.stack([np.full(50, 4.0), RNG.normal(size=50)], axis=1).astype(np.float32)
    found = xai.lime.tabular(
        lambda x: x.sum(axis=1), np.float32([[5, 0], [4, 0]]), xai.lime.statistics(rows), key=key, num_samples=50
    )
    np.testing.assert_array_equal(found.unseen, [[True, False], [False, False]])


def record(seen):
    def model(x):
        jax.debug.callback(lambda x: seen.append(np.asarray(x)), x)
        return x[:, 0].astype(jnp.float32)

    return model


@pytest.mark.parametrize(
    ("dtype", "around", "bins"),
    [(np.uint8, "row", None), pytest.param(bool, "row", None, marks=pytest.mark.slow), (bool, "data", {1: [1.5]})],
)
def test_integers_reach_the_model_as_integers_within_their_range(dtype, around, bins, key):
    seen = []
    high = 2 if dtype is bool else 7
    rows = RNG.integers(0, high, (200, 3)).astype(dtype)
    statistics = xai.lime.statistics(rows, bins=bins, categorical=[2])
    found = xai.lime.tabular(record(seen), rows[:2], statistics, key=key, target=0, around=around, num_samples=300)
    jax.effects_barrier()
    inputs = np.concatenate(seen)
    assert inputs.dtype == dtype
    assert found.inputs.dtype == dtype
    assert (inputs.min(), inputs.max()) == (0, high - 1)
    assert set(np.unique(inputs[:, 0]).tolist()) == set(range(high))


@pytest.mark.parametrize("surrogate", ["linear", "gaussian_process"])
def test_a_linear_model_of_integers_is_recovered(surrogate, key):
    """Points are those of the rounded values: a rare flag of deviation 0.1 and counts alike."""
    rows = np.stack([np.arange(200) < 2, RNG.poisson(3, 200), RNG.integers(0, 10**6, 200)], axis=1).astype(np.int32)
    weights = jnp.array([3.0, -1.0, 1e-6])
    found = xai.lime.tabular(
        lambda x: x @ weights, rows[::100], xai.lime.statistics(rows), key=key, num_samples=3000, surrogate=surrogate
    )
    np.testing.assert_allclose(found.slopes, np.broadcast_to(weights, (2, 3)), rtol=2e-3)
    np.testing.assert_allclose(found.prediction, found.output, atol=1e-3)
    assert np.isfinite(found.std_errors).all()


def test_rounding_keeps_pairs_opposite_and_the_mean():
    rows = np.stack([np.arange(-500, 501), np.arange(-500, 501) % 3 - 1], axis=1).astype(np.int32)
    statistics = xai.lime.statistics(rows)
    layout = row_layout("weighted", 2000)
    samples, inputs = draw_rows("weighted", jax.random.key(0), jnp.array([0, 0]), statistics, 1.0, "row", layout)
    changes = np.asarray(inputs[1 : 1 + layout.number * layout.length]).reshape(layout.number, 2, -1, 2)
    np.testing.assert_array_equal(changes[:, 0], -changes[:, 1])
    np.testing.assert_allclose(samples.points * statistics.deviation, inputs, atol=1e-3)
    np.testing.assert_allclose(np.std(inputs[:, 0]), statistics.deviation[0] / np.sqrt(3), rtol=0.05)


def test_ids_beyond_2_to_the_24_stay_apart(key):
    """As float32, 16777216 and 16777217 are one number: the model's output would be 0."""
    ids = np.array([[16777216], [16777217], [16777218]] * 20)
    model = lambda x: 5.0 * (x[:, 0] == 16777217)  # noqa: E731
    found = xai.lime.tabular(model, ids[1:2], xai.lime.statistics(ids, categorical=[0]), key=key)
    np.testing.assert_allclose(found.output, 5)
    np.testing.assert_allclose(found.values, [[5]], atol=1e-3)
    numbers = xai.lime.tabular(model, ids[1:2], xai.lime.statistics(ids), key=key)
    np.testing.assert_allclose(numbers.output, 5)


class Embedded(nnx.Module):
    def __init__(self):
        self.embed = nnx.Embed(5, 3, rngs=nnx.Rngs(0))

    def __call__(self, x):
        return self.embed(x).sum(axis=(1, 2))


@pytest.mark.parametrize("categorical", [[], [0, 1]])
def test_models_with_embeddings_are_explained(categorical, key):
    rows = RNG.integers(0, 5, (100, 2)).astype(np.int32)
    statistics = xai.lime.statistics(rows, categorical=categorical)
    found = xai.lime.tabular(Embedded(), rows[:3], statistics, key=key, num_samples=300)
    assert np.isfinite(found.values).all()
    assert (np.abs(found.values) > 0).all()


@pytest.mark.parametrize("surrogate", ["linear", pytest.param("gaussian_process", marks=pytest.mark.slow)])
@pytest.mark.parametrize("exponent", [84, -84])
def test_values_scale_with_the_model_at_any_size(surrogate, exponent, key):
    """The squares of 2^84 overflow float32, those of 2^-84 underflow."""
    rows = RNG.normal(size=(100, 3)).astype(np.float32)
    model = lambda x: jnp.tanh(x @ jnp.array([1.0, -2.0, 0.5]))  # noqa: E731
    plain, scaled = (
        xai.lime.tabular(
            lambda x, factor=factor: factor * model(x), rows[:2], xai.lime.statistics(rows), key=key, num_samples=200,
            surrogate=surrogate,
        )
        for factor in (1.0, 2.0**exponent)
    )  # fmt: skip
    for field in ("values", "std_errors", "prediction", "intercept"):
        np.testing.assert_allclose(
            np.ldexp(getattr(scaled, field), -exponent), getattr(plain, field), rtol=1e-4, atol=1e-6
        )
    np.testing.assert_allclose(scaled.r_squared, plain.r_squared, rtol=1e-5)
    game = xai.Game(lambda z: 2.0**exponent * jnp.tanh(z @ jnp.array([1.0, -2.0, 0.5])), 3)
    fitted = xai.lime.fit(game, key=key, num_samples=100, surrogate=surrogate)
    assert np.isfinite(fitted.std_errors).all()
    assert np.ldexp(np.abs(fitted.values).max(), -exponent) > 0.1


def test_huge_columns_are_explained(key):
    rows = (1e25 * RNG.normal(size=(100, 2))).astype(np.float32)
    found = xai.lime.tabular(lambda x: 3e-25 * x[:, 0], rows[:2], xai.lime.statistics(rows), key=key)
    np.testing.assert_allclose(found.values[:, 0], 3e-25 * rows.astype(np.float64).std(axis=0)[0], rtol=1e-4)


def test_infinite_rows_are_refused_or_nan(key):
    statistics = xai.lime.statistics(RNG.normal(size=(50, 2)), names=["age", "income"])
    x = np.float32([[0, 1], [0, np.inf]])
    explain = lambda x: xai.lime.tabular(lambda x: jnp.tanh(x).sum(axis=1), x, statistics, key=key, num_samples=50)  # noqa: E731
    with pytest.raises(ValueError, match="`x` must be finite, got an infinite value in income of row 1"):
        explain(x)
    values = jax.jit(explain)(x).values
    assert np.isfinite(values[0]).all()
    assert np.isnan(values[1]).all()


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_data_frames_are_explained_as_the_arrays_that_they_encode(library, key):
    frame = pytest.importorskip(library).DataFrame
    columns = {
        "age": RNG.integers(20, 80, 100).tolist(),
        "city": RNG.choice(["Bonn", "Oslo", "Rome"], 100).tolist(),
        "income": RNG.normal(size=100).tolist(),
    }
    codes = {"Bonn": 0, "Oslo": 1, "Rome": 2}
    rows = np.stack([columns["age"], [codes[city] for city in columns["city"]], columns["income"]], axis=1)
    seen = []
    options = {"key": key, "num_samples": 300, "target": 0}
    found = xai.lime.tabular(record(seen), frame(columns)[:3], xai.lime.statistics(frame(columns)), **options)
    jax.effects_barrier()
    ages = np.concatenate(seen)[:, 0]
    np.testing.assert_array_equal(ages, np.round(ages))
    assert found.names == ("age", "city", "income")
    np.testing.assert_allclose(found.inputs, rows[:3], rtol=1e-6)
    np.testing.assert_allclose(found.values, [[np.std(columns["age"]), 0, 0]] * 3, rtol=1e-3, atol=1e-3)
    by_hand = xai.lime.tabular(record([]), rows[:3], xai.lime.statistics(rows, categorical=[1]), **options)
    np.testing.assert_allclose(found.values, by_hand.values, rtol=1e-3, atol=1e-2)


def test_names_and_inputs_travel_with_the_attribution(key):
    rows = RNG.normal(size=(50, 2)).astype(np.float32)
    statistics = xai.lime.statistics(rows, names=["age", "income"])
    model = lambda x: jnp.stack([x[:, 0], x[:, 1]], axis=1)  # noqa: E731
    options = {"key": key, "num_samples": 50, "target": "all"}
    found = xai.lime.tabular(model, rows[:2], statistics, output_names=["yes", "no"], **options)
    assert found.names == ("age", "income")
    assert found.output_names == ("yes", "no")
    np.testing.assert_array_equal(found.inputs, rows[:2])
    renamed = xai.lime.tabular(model, rows[:2], statistics, names=["a", "b"], keep_inputs=False, **options)
    assert renamed.names == ("a", "b")
    assert renamed.inputs is None
