"""ROAD: imputation against SciPy's sparse solver, and scores of linear models by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import xaijax as xai
from tests.metrics._neighbors import imputed, removed
from xaijax.metrics.faithfulness import _imputation
from xaijax.metrics.faithfulness._imputation import impute

KEY = jax.random.key(5)
RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(3, 4, 4, 2)).astype(np.float32)
MAPS = RNG.normal(size=(3, 4, 4)).astype(np.float32)
WEIGHTS = RNG.normal(size=(4, 4, 2)).astype(np.float32)
PERCENTILES = (30, 50, 90)  # 5, 8 and 14 of 16 pixels


def linear(weights, x):
    return (x * weights).sum(axis=(1, 2, 3))


MODEL = xai.function(linear, WEIGHTS)
ROAD = functools.partial(xai.metrics.road, key=KEY, percentiles=PERCENTILES)
IDS = np.array([4, 8, 6])


def explained(maps, **fields):
    return xai.Attribution(jnp.asarray(maps), jnp.zeros(len(maps)), axes="N h w", method="map", **fields)


def holes(height, width):
    """Patterns of missing pixels: scattered, in large holes, along the border, all but one pixel, none."""
    rows, columns = np.mgrid[:height, :width]
    scattered = np.random.default_rng(1).random((height, width))
    stripes = (rows + 2 * columns) % 7 > 0
    alone = np.ones((height, width), bool)
    alone[height // 2, -1] = False
    patterns = [scattered < 0.3, scattered < 0.9, rows > 3, (rows - 5) ** 2 + columns**2 < 90, stripes, alone, rows < 0]
    return np.stack(patterns)


SIZE = (15, 12)
fill = jax.jit(jax.vmap(impute, (None, 0)))


def test_missing_pixels_are_those_of_a_sparse_solver():
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    image = np.stack([10 + np.sin(rows / 3) + columns / 9, np.random.default_rng(2).random(SIZE)], axis=2)
    ours = fill(jnp.asarray(image.transpose(2, 0, 1), jnp.float32), holes(*SIZE))
    for pattern, filled in zip(holes(*SIZE), ours, strict=True):
        np.testing.assert_allclose(filled.transpose(1, 2, 0), imputed(image, pattern), atol=1e-5)


@pytest.mark.slow
def test_large_holes_of_large_images_take_few_steps(monkeypatch):
    """Without the coarser grids they take hundreds."""
    monkeypatch.setattr(_imputation, "_MOST_STEPS", 10)
    missing = holes(224, 200)[[1, 3, 5]]
    missing[2] = np.hypot(*np.mgrid[-112:112, -100:100]) < 110
    image = np.random.default_rng(2).random((224, 200, 1)).cumsum(axis=0) / 112
    ours = fill(jnp.asarray(image.transpose(2, 0, 1), jnp.float32), missing)
    for pattern, filled in zip(missing, ours, strict=True):
        np.testing.assert_allclose(filled[0], imputed(image, pattern)[..., 0], atol=5e-5 * np.ptp(image))


def test_a_hole_of_a_plane_is_filled_with_the_plane_and_no_known_pixel_with_nan():
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    plane = jnp.asarray(np.stack([rows - columns, 0.5 * rows]), jnp.float32)
    missing = np.zeros((7, *SIZE), bool)
    missing[0, 1:-1, 1:-1], missing[1] = True, True
    hole, unknown, whole, *_ = fill(plane, missing)
    np.testing.assert_allclose(hole, plane, atol=1e-4)
    assert np.isnan(unknown).all()
    assert (whole == plane).all()


@pytest.fixture(scope="module")
def silent():
    return ROAD(MODEL, IMAGES, explained(MAPS), noise=0, ids=IDS)


def by_hand(relevance, example=0):
    images = [imputed(IMAGES[example], removed(relevance, part / 100)) for part in PERCENTILES]
    return np.array([(image * WEIGHTS).sum() for image in images])


def test_outputs_are_those_of_imputed_images_and_the_score_is_half_their_mean_difference(silent):
    for example in range(3):
        most, least = by_hand(MAPS[example], example), by_hand(-MAPS[example], example)
        np.testing.assert_allclose(silent.most_first[example], most, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(silent.least_first[example], least, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(silent.values[example], (least - most).mean() / 2, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(silent.fractions, [0.3, 0.5, 0.9])
    np.testing.assert_allclose(silent.output, (IMAGES * WEIGHTS).sum(axis=(1, 2, 3)), rtol=1e-4)
    assert (silent.metric, silent.better, silent.method, silent.std_errors) == ("ROAD", "higher", "map", None)


@pytest.mark.parametrize(("order", "sign"), [("most", 1), pytest.param("least", -1, marks=pytest.mark.slow)])
def test_one_order_scores_the_mean_change_of_the_output(order, sign):
    images = np.moveaxis(IMAGES, 3, 1)  # channels first
    model = xai.function(lambda weights, x: linear(weights, jnp.moveaxis(x, 1, 3)), WEIGHTS)
    with jax.numpy_dtype_promotion("strict"), jax.enable_x64(order == "most"):
        score = ROAD(model, images, explained(MAPS), noise=0, order=order, channel_axis=1)
        assert score.values.dtype == jnp.float32
    change = (by_hand(sign * MAPS[0]) - (IMAGES[0] * WEIGHTS).sum()).mean()
    np.testing.assert_allclose(score.values[0], change, rtol=1e-4)
    assert (score.most_first is None, score.least_first is None) == (order == "least", order == "most")
    assert score.better == {"most": "lower", "least": "higher"}[order]


def test_reversed_maps_have_the_negative_score_and_constant_ones_zero(silent):
    maps = np.stack([-MAPS[0], MAPS[1], np.ones((4, 4), np.float32)])
    images = IMAGES[[0, 0, 2]]
    score = ROAD(MODEL, images, explained(maps), noise=0, ids=IDS)
    np.testing.assert_allclose(score.values[0], -silent.values[0], rtol=1e-3, atol=1e-5)
    noisy = ROAD(MODEL, images, explained(maps), noise=0.5, ids=IDS)
    assert score.values[2] == noisy.values[2] == 0.0
    assert abs(noisy.values[0] - score.values[0]) > 1e-3


def scores_of_keys(num_keys, num_samples):
    options = {"percentiles": PERCENTILES, "num_samples": num_samples, "noise": 0.5}
    road = lambda key: xai.metrics.road(MODEL, IMAGES, explained(MAPS), key=key, **options)  # noqa: E731
    return jax.jit(lambda keys: jax.lax.map(road, keys))(jax.random.split(KEY, num_keys))


def test_standard_errors_are_those_of_the_noise():
    """(least - most) / 2 of the weighted noise: where both orders impute a pixel, their draws cancel."""
    variance = 0
    for part in PERCENTILES:
        only_one = removed(MAPS[0], part / 100) != removed(-MAPS[0], part / 100)
        variance += 0.25 * (only_one[..., None] * WEIGHTS**2).sum() * 0.5**2 / len(PERCENTILES) ** 2
    score = scores_of_keys(30, 20)
    np.testing.assert_allclose(np.square(score.std_errors[:, 0]).mean(), variance / 20, rtol=0.2)


@pytest.mark.slow
def test_95_percent_intervals_hold_the_score_without_noise_of_200_keys(silent):
    score = scores_of_keys(200, 100)
    inside = np.abs(score.values - silent.values) < stats.t.ppf(0.975, 99) * score.std_errors
    assert 0.93 <= inside.mean() <= 0.97


def test_each_image_has_its_own_draws_whatever_the_batch_and_unknown_ones_are_nan():
    images, maps = IMAGES.copy(), MAPS.copy()
    images[0, 0, 0, 0], maps[1, 2, 2] = np.nan, np.nan
    score = ROAD(MODEL, images, explained(maps), noise=0.5, ids=IDS)
    assert np.isnan(score.values).tolist() == [True, True, False]
    assert np.isnan(score.least_first).all(axis=1).tolist() == [True, True, False]
    part = ROAD(MODEL, IMAGES[2:], explained(MAPS[2:]), noise=0.5, ids=IDS[2:], batch_size=4)
    np.testing.assert_allclose(part.most_first, score.most_first[2:], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(part.values, score.values[2:], rtol=1e-4, atol=1e-4)


def test_gradients_reach_the_parameters(silent):
    """The score is linear in the weights: their product with the gradient is the score."""

    def total(weights):
        return ROAD(xai.function(linear, weights), IMAGES, explained(MAPS), noise=0).values.sum()

    gradient = jax.jit(jax.grad(total))(WEIGHTS)
    np.testing.assert_allclose((gradient * WEIGHTS).sum(), silent.values.sum(), rtol=1e-4)


def test_it_costs_one_evaluation_more_than_the_imputed_images():
    rows = []

    def counted(x):
        rows.append(len(x))
        return np.asarray(x).reshape(len(x), -1)[:, :2]

    model = xai.callback(counted, output_shape=(2,))
    score = ROAD(model, IMAGES, explained(MAPS), num_samples=2, batch_size=4)
    jax.block_until_ready(score)
    assert sum(rows) == 3 * (2 * len(PERCENTILES) * 2 + 1)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"attribution": MAPS}, "`attribution` must be the result of an explainer"),
        ({"attribution": explained(MAPS[:2])}, "`attribution` must explain the 3 examples of `x`, got 2"),
        ({"attribution": xai.Attribution(jnp.ones((3, 5)), jnp.ones(3))}, r"or maps over its positions, \[3, 4, 4\], got shape \[3, 5\]"),
        ({"x": IMAGES[..., 0]}, r"`x` must be images \[N, H, W, C\] of floating numbers, got float32\[3, 4, 4\]: pass gray"),
        ({"x": IMAGES.astype(int)}, "integers as x.astype"),
        ({"percentiles": [10, 100]}, "`percentiles` must be between 0 and 100"),
        ({"percentiles": [-5.0]}, "`percentiles` must be between 0 and 100"),
        ({"percentiles": 50}, "`percentiles` must be a sequence of percentages"),
        ({"percentiles": []}, "`percentiles` must be a sequence of percentages"),
        ({"order": "mots"}, "did you mean 'most'"),
        ({"noise": -0.1}, "`noise` must be finite and zero or more"),
        ({"num_samples": 0}, "`num_samples` must be at least 1"),
        ({"key": None}, "`key` must be one JAX random key"),
    ],
)  # fmt: skip
def test_mistakes_are_answered_with_a_sentence(changes, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        ROAD(**({"model": MODEL, "x": IMAGES, "attribution": explained(MAPS)} | changes))
