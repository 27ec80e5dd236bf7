"""Infidelity of captum and ROAD of pytorch-grad-cam on the same weights; each difference is named."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests.parity._models import SIDE, TARGETS, flax_net, images, torch, torch_images, torch_net
from tests.parity._peers import classes, error

captum_metrics = pytest.importorskip("captum.metrics")
road = pytest.importorskip("pytorch_grad_cam.metrics.road")
perturbation = pytest.importorskip("pytorch_grad_cam.metrics.perturbation_confidence")

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
N, SAMPLES = len(TARGETS), 5
ENTRIES = RNG.normal(size=(N, SIDE, SIDE, 3)).astype(np.float32)
MAPS = RNG.normal(size=(N, SIDE, SIDE)).astype(np.float32)


def explained(values, axes):
    return xai.Attribution(jnp.asarray(values), jnp.zeros(len(values)), target=jnp.array(TARGETS), axes=axes)


@jax.jit
def noise(key, x):
    return 0.2 * jax.random.normal(key, x.shape)


@jax.jit
def to_a_half(key, x):
    """Sets about half of the entries to 0.5."""
    return jnp.where(jax.random.bernoulli(key, 0.5, x.shape), x - 0.5, 0)


def draws(function):
    """The perturbations that ours draws, [N * S, C, H, W], those of an example next to each other."""
    fold = jax.random.fold_in
    each = [function(fold(fold(KEY, i), s), images()[i]) for i in range(N) for s in range(SAMPLES)]
    return torch.from_numpy(np.array(each)).permute(0, 3, 1, 2)


@pytest.mark.parametrize(
    ("function", "contributions", "optimal_scale"),
    [
        (noise, False, False),
        (to_a_half, True, True),
        pytest.param(noise, False, True, marks=pytest.mark.slow),
        pytest.param(to_a_half, True, False, marks=pytest.mark.slow),
    ],
)
def test_infidelity_of_the_same_perturbations_is_captums(function, contributions, optimal_scale):
    """Ours of contributions, with the share of the way to the baseline, is their `multiply_by_inputs`."""
    score = xai.metrics.infidelity(
        flax_net(), images(), explained(ENTRIES, "N H W C"), key=KEY, perturbation=function, num_samples=SAMPLES,
        contributions=contributions, baseline=0.5, optimal_scale=optimal_scale,
    )  # fmt: skip
    decorated = captum_metrics.infidelity_perturb_func_decorator(contributions)(
        lambda inputs, baselines=None: inputs - draws(function)
    )
    theirs = captum_metrics.infidelity(
        torch_net(), decorated, torch_images(), torch.from_numpy(ENTRIES).permute(0, 3, 1, 2),
        baselines=0.5 if contributions else None, target=TARGETS, n_perturb_samples=SAMPLES, normalize=optimal_scale,
    )  # fmt: skip
    assert error(score.values, theirs.numpy()) < 1e-3


def of_grad_cam(remove, share, imputer):
    metric = perturbation.PerturbationConfidenceMetric(remove(100 - share, imputer))
    return metric(torch_images(), MAPS, classes(), torch_net())


SHARES = [20, 50, 80]  # of 144 pixels, which both packages round to the same number


def ours(maps=MAPS, noise=0.0, key=KEY):
    attribution = explained(maps, "N h w")
    return xai.metrics.road(flax_net(), images(), attribution, key=key, noise=noise, percentiles=SHARES)


def test_road_without_noise_is_that_of_grad_cam():
    """Their percentile p leaves p percent of the pixels, ours imputes them."""
    score, imputer = ours(), road.NoisyLinearImputer(noise=0)
    for number, share in enumerate(SHARES):
        most = of_grad_cam(perturbation.RemoveMostRelevantFirst, share, imputer)
        least = of_grad_cam(perturbation.RemoveLeastRelevantFirst, share, imputer)
        assert error(score.most_first[:, number] - score.output, most) < 1e-3
        assert error(score.least_first[:, number] - score.output, least) < 1e-3


def test_road_with_noise_is_that_of_grad_cam_within_sampling_error():
    """Theirs has noise of its own in each order; ours has the same in both, which cancels where they overlap."""
    torch.manual_seed(0)
    draws = np.stack([ours(noise=0.01, key=key).values for key in jax.random.split(KEY, 12)])
    theirs = road.ROADCombined([100 - share for share in SHARES])(torch_images(), MAPS, classes(), torch_net())
    assert (np.abs(draws.mean(axis=0) - theirs) < 5 * draws.std(axis=0, ddof=1)).all()
    assert (draws.std(axis=0) < 0.05 * np.abs(theirs).max()).all()


def test_grad_cam_imputes_all_pixels_from_a_percentile_on_and_all_of_a_constant_map():
    removed = []

    def count(image, kept):
        removed.append(int((kept == 0).sum()))
        return image

    perturbation.RemoveMostRelevantFirst(90, count)(torch_images()[0], torch.from_numpy(MAPS[0]))
    perturbation.RemoveMostRelevantFirst(90, count)(torch_images()[0], torch.ones(SIDE, SIDE))
    assert removed == [15, 144]  # ours: 14, the number next to 10 percent, of any map
    assert (ours(np.ones_like(MAPS)).values == 0).all()
