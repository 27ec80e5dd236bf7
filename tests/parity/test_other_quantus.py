"""Metrics of Quantus that measure something else than their neighbors in the table of docs/coming_from.md: what differs, in numbers."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import spearmanr

import xaijax as xai
from tests.parity._quantus import quantus

torch = pytest.importorskip("torch")

GENERATOR = np.random.default_rng(3)
OPTIONS = {"normalise": False, "abs": False, "return_aggregate": False, "disable_warnings": True}
BLACK = {"perturb_baseline": 0.0}
PIXELS, SIZE = 9, 4
IMAGES, MAPS = (GENERATOR.normal(size=(SIZE, 3, 3)).astype(np.float32) for _ in range(2))
WEIGHTS = 0.3 * GENERATOR.normal(size=(PIXELS, 2)).astype(np.float32)
WEIGHTS[:3] = 0  # of the first row, which has no effect
CLASSES = np.array([0, 1, 1, 0])


def outputs(images):
    """Returns the logit of each image's class [N], by NumPy."""
    return np.tanh(images.reshape(SIZE, PIXELS) @ WEIGHTS)[np.arange(SIZE), CLASSES]


def without(pixel):
    """Returns the images with one black pixel."""
    images = IMAGES.reshape(SIZE, PIXELS).copy()
    images[:, pixel] = 0
    return images


FULL, EMPTY = outputs(IMAGES), outputs(0 * IMAGES)
CHANGES = np.stack([FULL - outputs(without(pixel)) for pixel in range(PIXELS)], axis=1)


def theirs(metric, maps=MAPS):
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(PIXELS, 2, bias=False), torch.nn.Tanh()).eval()
    net[1].weight.data = torch.tensor(WEIGHTS.T)
    arrays = {"x_batch": IMAGES[:, None], "y_batch": CLASSES, "a_batch": maps[:, None]}
    return np.array(metric(model=net, softmax=False, **arrays))


@pytest.fixture(scope="module")
def game():
    model = xai.function(lambda w, x: jnp.tanh(x.reshape(len(x), -1) @ w), jnp.asarray(WEIGHTS))
    return xai.game(model, IMAGES[..., None], xai.mask.grid(3, fill=0.0), target=CLASSES)


def of(maps):
    return xai.Attribution(jnp.asarray(maps), jnp.asarray(FULL), jnp.asarray(EMPTY), axes="N h w")


def ranks(values):
    return values.argsort(axis=-1).argsort(axis=-1)


def test_quantus_monotonicity_never_removes_a_pixel_so_that_it_is_always_true():
    """It replaces pixels of the black image by black; the curve that its name promises falls in every image."""
    assert theirs(quantus.Monotonicity(**BLACK, **OPTIONS)).all()
    order, image = MAPS.reshape(SIZE, PIXELS).argsort(axis=1), np.zeros((SIZE, PIXELS), np.float32)
    steps = []
    for pixel in order.T:
        image[np.arange(SIZE), pixel] = IMAGES.reshape(SIZE, PIXELS)[np.arange(SIZE), pixel]
        steps.append(outputs(image))
    assert (np.diff(steps, axis=0).min(axis=0) < 0).all()


def test_quantus_monotonicity_correlation_is_the_rank_correlation_with_squared_changes():
    """Squares are large for effects of either sign; `sensitivity_n` correlates the values with the changes themselves."""
    score = theirs(quantus.MonotonicityCorrelation(nr_samples=1, **BLACK, **OPTIONS))
    expected = [spearmanr(*pair).statistic for pair in zip(MAPS.reshape(SIZE, -1), CHANGES**2, strict=True)]
    np.testing.assert_allclose(score, expected, atol=1e-6)


def test_quantus_completeness_asks_for_equal_floats():
    """Values that are complete up to rounding are complete in some images only; the gap has a size."""
    maps = MAPS * ((FULL - EMPTY) / MAPS.sum(axis=(1, 2)))[:, None, None]
    gaps = xai.metrics.completeness_gap(of(maps)).values
    np.testing.assert_allclose(gaps, 0, atol=1e-6)
    assert not theirs(quantus.Completeness(**BLACK, **OPTIONS), maps).all()


def test_quantus_non_sensitivity_counts_pixels_and_ours_weighs_them(game):
    """It also counts pixels of an effect but without a value, and tests each pixel against the whole image alone."""
    maps = np.abs(MAPS)
    maps[:, 0, 0], maps[:, 2, 2] = 0, 0  # a null player without credit, and a player whose effect gets none
    assert theirs(quantus.NonSensitivity(**BLACK, **OPTIONS), maps).tolist() == [3] * SIZE
    share = maps[:, 0].sum(axis=1) / maps.sum(axis=(1, 2))
    np.testing.assert_allclose(xai.metrics.null_player_violation(game, of(maps)).values, share, rtol=1e-5)


def test_quantus_effective_complexity_counts_values_above_a_threshold():
    """The effective size needs no threshold: it is the same for values in other units."""
    sizes = np.abs(MAPS)
    counted = theirs(quantus.EffectiveComplexity(eps=0.5, **OPTIONS | {"abs": True}))
    np.testing.assert_array_equal(counted, (sizes > 0.5).sum(axis=(1, 2)))
    shares = sizes / sizes.sum(axis=(1, 2), keepdims=True)
    expected = np.exp(-(shares * np.log(shares)).sum(axis=(1, 2)))
    np.testing.assert_allclose(xai.metrics.effective_size(of(MAPS)).values, expected, rtol=1e-5)
    assert (theirs(quantus.EffectiveComplexity(eps=0.5, **OPTIONS | {"abs": True}), MAPS / 100) == 0).all()
    np.testing.assert_allclose(xai.metrics.effective_size(of(MAPS / 100)).values, expected, rtol=1e-5)


def test_quantus_sufficiency_compares_examples_with_each_other(game):
    """The share of the examples with a similar explanation that have the same top class; ours removes players of one example."""
    maps = np.stack([MAPS[0], MAPS[0], MAPS[0], -MAPS[0]])
    top = np.argmax(IMAGES.reshape(SIZE, PIXELS) @ WEIGHTS, axis=1)
    alike = [[other for other in range(3) if other != row] if row < 3 else [] for row in range(SIZE)]
    expected = [np.mean(top[others] == top[row]) if others else 0 for row, others in enumerate(alike)]
    score = theirs(quantus.Sufficiency(threshold=0.5, **OPTIONS), maps)
    np.testing.assert_allclose(score, expected)
    kept = IMAGES.reshape(SIZE, PIXELS) * (ranks(MAPS.reshape(SIZE, PIXELS)) >= PIXELS - 3)
    lost = xai.metrics.sufficiency(game, of(MAPS), shares=1 / 3).values
    np.testing.assert_allclose(lost, FULL - outputs(kept), atol=1e-6)


def test_focus_of_a_class_in_two_cells_is_the_sum_of_two_scores():
    cells = np.array([[1, 0, 0, 1], [0, 1, 1, 0], [0, 0, 1, 1], [1, 1, 0, 0]], bool)
    maps = GENERATOR.normal(size=(SIZE, 4, 4)).astype(np.float32)
    metric = quantus.Focus(**OPTIONS)
    scores = metric(
        model=torch.nn.Flatten(), x_batch=maps[:, None], y_batch=CLASSES, a_batch=maps[:, None], custom_batch=cells
    )
    numbers = np.array([np.flatnonzero(row) for row in cells])
    ours = sum(xai.metrics.grid_pointing_game(maps, numbers[:, part], (2, 2)).values for part in (0, 1))
    np.testing.assert_allclose(scores, ours, rtol=1e-5)
