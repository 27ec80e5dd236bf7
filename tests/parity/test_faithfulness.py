"""Metrics of faithfulness agree with Quantus on the same weights; each difference is named."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests.parity._quantus import quantus

torch = pytest.importorskip("torch")
m = xai.metrics
N, SIDE, HIDDEN = 5, 4, 8
RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(N, 1, SIDE, SIDE)).astype(np.float32)
WEIGHTS = [RNG.normal(size=shape).astype(np.float32) / 2 for shape in ((SIDE**2, HIDDEN), (HIDDEN, 3))]
CLASSES = np.array([0, 2, 1, 1, 0])
EFFECTS = (WEIGHTS[0] @ WEIGHTS[1]).T[CLASSES].reshape(IMAGES.shape) * IMAGES  # if the network were linear
MAPS = (EFFECTS + RNG.normal(size=IMAGES.shape)).astype(np.float32)


def model(x):
    return jnp.tanh(x.reshape(len(x), -1) @ WEIGHTS[0]) @ WEIGHTS[1]


def of_quantus(metric, **options):
    """Scores with pixels replaced by 0 and maps taken as they are, in float64."""
    layers = [torch.nn.Linear(*weights.shape, bias=False) for weights in WEIGHTS]
    for layer, weights in zip(layers, WEIGHTS, strict=True):
        layer.weight.data = torch.tensor(weights.T)
    net = torch.nn.Sequential(torch.nn.Flatten(), layers[0], torch.nn.Tanh(), layers[1]).eval()
    common = {"perturb_baseline": 0.0, "normalise": False, "abs": False, "return_aggregate": False}
    metric = metric(**common, disable_warnings=True, display_progressbar=False, **options)
    scores = metric(model=net, x_batch=IMAGES, y_batch=CLASSES, a_batch=MAPS, softmax=False, device="cpu")
    return np.asarray(scores, np.float64)


@pytest.fixture(scope="module")
def pixels():
    """The game of all pixels, the maps as its attribution, and its curve of deletion."""
    game = xai.game(model, IMAGES.reshape(N, -1), xai.mask.baseline(jnp.zeros(SIDE**2)), target=CLASSES)
    attribution = xai.Attribution(jnp.asarray(MAPS.reshape(N, -1)), jnp.zeros(N))
    return game, attribution, m.deletion(game, attribution)


def test_pixel_flipping_is_deletion_without_the_full_input(pixels):
    _, _, curve = pixels
    theirs = of_quantus(quantus.PixelFlipping, features_in_step=1)
    np.testing.assert_allclose(curve.outputs[:, 1:], theirs, rtol=1e-4, atol=1e-4)
    # Its area starts after the first pixel and has a unit for each pixel; ours is over shares, from the full input on.
    first = (np.asarray(curve.outputs[:, 0]) + theirs[:, 0]) / 2
    np.testing.assert_allclose(curve.values * SIDE**2, first + np.trapezoid(theirs, axis=1), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("order", ["morf", "lerf"])
def test_region_perturbation_is_the_loss_along_a_curve_of_the_relevance_gain(order):
    x = jnp.moveaxis(jnp.asarray(IMAGES), 1, -1)
    game = xai.game(model, x, xai.mask.grid((2, 2), fill=0.0), target=CLASSES)
    gain = m.symmetric_relevance_gain(game, xai.Attribution(jnp.asarray(MAPS[:, 0]), jnp.zeros(N)))
    outputs = (gain.most_first if order == "morf" else gain.least_first).outputs
    theirs = of_quantus(quantus.RegionPerturbation, patch_size=2, regions_evaluation=4, order=order)
    np.testing.assert_allclose(outputs[:, :1] - outputs[:, 1:], theirs, rtol=1e-4, atol=1e-4)


def test_faithfulness_correlation_is_the_same_within_the_error_of_the_draws(pixels):
    """Theirs are drawn; ours are exact, over all 1,820 subsets of four pixels."""
    game, attribution, _ = pixels
    exact = m.faithfulness_correlation(game, attribution, subset_size=4, num_samples=1820)
    drawn = m.faithfulness_correlation(game, attribution, subset_size=4, num_samples=200, key=jax.random.key(0))
    np.random.seed(0)  # noqa: NPY002, which Quantus draws by
    theirs = of_quantus(quantus.FaithfulnessCorrelation, nr_runs=200, subset_size=4)
    assert exact.std_errors.tolist() == [0] * N
    assert (np.abs(theirs - exact.values) < 3.5 * drawn.std_errors).all()
    assert (np.abs(drawn.values - exact.values) < 3.5 * drawn.std_errors).all()
    assert np.abs(exact.values).max() > 5 * drawn.std_errors.max(), "there is a correlation to agree on"


def test_sensitivity_n_of_quantus_is_not_that_of_the_paper(pixels):
    """It correlates, over the examples, the n-th largest value with the loss without the n players of greatest value."""
    game, attribution, curve = pixels
    theirs = of_quantus(quantus.SensitivityN, features_in_step=1, n_max_percentage=0.5)
    nth = -np.sort(-MAPS.reshape(N, -1), axis=1)
    losses = np.asarray(curve.outputs[:, :1] - curve.outputs[:, 1:])
    over_examples = [np.corrcoef(nth[:, n], losses[:, n])[0, 1] for n in range(SIDE**2 // 2)]
    np.testing.assert_allclose(theirs, over_examples, atol=1e-3)
    of_paper = m.sensitivity_n(game, attribution, n=1)
    expected = np.corrcoef(MAPS[0].ravel(), _loss_without_each(game)[0])[0, 1]
    np.testing.assert_allclose(of_paper.values[0], expected, rtol=1e-3)
    assert of_paper.values.shape == (N,)


def _loss_without_each(game):
    outputs = game(np.concatenate([np.ones((1, SIDE**2), bool), ~np.eye(SIDE**2, dtype=bool)]))
    return np.asarray(outputs[:, :1] - outputs[:, 1:])
