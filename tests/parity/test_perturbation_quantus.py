"""Infidelity and ROAD of Quantus on the same weights; each difference is named."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests.parity._models import CLASSES, SIDE, TARGETS, flax_net, images, torch, torch_images, torch_net
from tests.parity._quantus import quantus

pytestmark = pytest.mark.slow
KEY = jax.random.key(0)
MAPS = np.random.default_rng(0).normal(size=(len(TARGETS), SIDE, SIDE)).astype(np.float32)


def test_quantus_infidelity_removes_one_patch_after_the_other_and_never_puts_one_back():
    """Ours over the unions of the first patches is theirs, up to sampling; ours over single patches is not."""
    side = SIDE // 3
    metric = quantus.Infidelity(
        perturb_baseline=0.0, perturb_patch_sizes=[side], n_perturb_samples=1, normalise=False, abs=False,
        disable_warnings=True, display_progressbar=False,
    )  # fmt: skip
    theirs = np.asarray(
        metric(
            model=torch_net(), x_batch=torch_images().numpy(), y_batch=np.array(TARGETS), a_batch=MAPS[:, None],
            softmax=False,
        )
    )  # fmt: skip
    rows, columns = np.mgrid[:SIDE, :SIDE] // side
    numbers = jnp.asarray(3 * rows + columns)[..., None]

    def first_patches(key, x):
        return jnp.where(numbers <= jax.random.randint(key, (), 0, 9), x, 0)

    attribution = xai.Attribution(jnp.asarray(MAPS), jnp.zeros(len(MAPS)), target=jnp.array(TARGETS), axes="N h w")
    options = {"key": KEY, "num_samples": 400, "optimal_scale": False, "contributions": False}
    unions = xai.metrics.infidelity(flax_net(), images(), attribution, perturbation=first_patches, **options)
    assert (np.abs(unions.values - theirs) < 4 * unions.std_errors).all()
    single = xai.metrics.infidelity(flax_net(), images(), attribution, perturbation="square", window=side, **options)
    assert (np.abs(single.values - theirs) > 10 * single.std_errors).any()


def test_quantus_road_is_the_accuracy_without_the_most_relevant_pixels_of_gray_images():
    gray = np.random.default_rng(1).normal(size=(24, SIDE, SIDE, 1)).astype(np.float32)
    maps = np.random.default_rng(2).normal(size=(24, SIDE, SIDE)).astype(np.float32)
    weights = np.random.default_rng(3).normal(size=(SIDE**2, CLASSES)).astype(np.float32)
    linear = torch.nn.Linear(SIDE**2, CLASSES, bias=False)
    linear.weight.data = torch.from_numpy(weights.T.copy())
    net = torch.nn.Sequential(torch.nn.Flatten(), linear).eval()

    def theirs(x_batch):
        metric = quantus.ROAD(
            percentages=[25, 50, 75], noise=0.0, normalise=False, abs=False, disable_warnings=True,
            display_progressbar=False,
        )  # fmt: skip
        return metric(model=net, x_batch=x_batch, y_batch=np.full(24, 2), a_batch=maps[:, None])

    model = xai.function(lambda w, x: x.reshape(len(x), -1) @ w, weights)
    ours = xai.metrics.road(
        model, gray, xai.Attribution(jnp.asarray(maps), jnp.zeros(24), axes="N h w"), key=KEY, order="most", noise=0,
        percentiles=[25, 50, 75], target=lambda outputs: (outputs.argmax(axis=1) == 2).astype(jnp.float32),
    )  # fmt: skip
    accuracies = theirs(gray.transpose(0, 3, 1, 2))
    np.testing.assert_allclose(np.mean(ours.most_first, axis=0), list(accuracies.values()), atol=1e-6)
    assert len(set(accuracies.values())) > 1
    with pytest.raises(IndexError):  # it indexes the pixels of one channel by those of all
        theirs(np.repeat(gray.transpose(0, 3, 1, 2), 3, axis=1))
