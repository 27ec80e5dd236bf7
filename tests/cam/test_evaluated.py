"""The maps that are evaluated on changed inputs or activations, against NumPy float64 from the papers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

import xaijax as xai
from tests.cam import _numpy_maps
from tests.cam._numpy_maps import resize, softmax, unit
from tests.models import once
from xaijax._core.blur import gaussian_blur

RNG = np.random.default_rng(5)
X = RNG.uniform(0.2, 1.5, (2, 8, 6, 2))
MIX = np.array([[1.0, -0.6, 0.5, -0.9, 1.2], [-0.8, 1.1, 0.6, 1.3, -0.4]])
READ = RNG.normal(size=(4, 3, 5, 3)) / 4
KEY = jax.random.key(2)


def features(x):
    """[N, 8, 6, 2] to [N, 4, 3, 5], rectified, in NumPy and in JAX alike."""
    pooled = x.reshape(len(x), 4, 2, 3, 2, 2).mean(axis=(2, 4))
    mixed = pooled @ MIX
    return mixed * (mixed > 0)


def read(a):
    """[N, 4, 3, 5] to three scores."""
    hidden = a.reshape(len(a), -1) @ READ.reshape(-1, 3)
    return hidden + hidden**3 / 20 + 0.4


def exact(x):
    return read(features(x))


@once
def model():
    return xai.compose(features, read)


def x32():
    return jnp.asarray(X, jnp.float32)


def assert_close(values, expected, tolerance=2e-5):
    np.testing.assert_allclose(values, expected, atol=tolerance * np.abs(expected).max())


def masks():
    return np.stack([[unit(resize(a[..., k], (8, 6))) for k in range(5)] for a in features(X)])


def combined(weights, relu=True):
    maps = np.einsum("nhwk,nk->nhw", features(X), weights)
    return np.maximum(maps, 0) if relu else maps


@pytest.mark.parametrize("batch_size", [None, 3])
def test_score_cam_by_hand(batch_size):
    scores = np.stack([exact(x * m[..., None]) for x, m in zip(X, masks(), strict=True)])  # [N, channels, classes]
    for target in range(3):
        weights = np.stack([softmax(s) for s in scores[..., target]])
        values = xai.cam.score_cam(model(), x32(), target=target, batch_size=batch_size).values
        assert_close(values, combined(weights))
    every = xai.cam.score_cam(model(), x32(), target="all").values
    assert_close(every[..., 2], combined(weights))


def test_score_cam_with_and_without_baseline_subtraction():
    scores = np.stack([exact(x * m[..., None]) for x, m in zip(X, masks(), strict=True)])[..., 1]
    options = {"target": 1, "softmax": False, "relu": False}
    assert_close(xai.cam.score_cam(model(), x32(), **options).values, combined(scores, relu=False))
    black = scores - exact(np.zeros((1, 8, 6, 2)))[:, 1]
    assert_close(xai.cam.score_cam(model(), x32(), baseline=0.0, **options).values, combined(black, relu=False))
    picture = np.linspace(0, 1, 96).reshape(8, 6, 2)
    less = scores - exact(picture[None])[:, 1]
    assert_close(xai.cam.score_cam(model(), x32(), baseline=picture, **options).values, combined(less, relu=False))
    # The softmax forgets what is subtracted from all channels.
    with_softmax = [xai.cam.score_cam(model(), x32(), target=1, baseline=one).values for one in (None, 0.0)]
    np.testing.assert_allclose(*with_softmax, atol=1e-6)


def test_is_cam_integrates_over_the_fading_in():
    scores = np.zeros((2, 5))
    for step in range(1, 5):
        scores += np.stack([exact(x * step / 4 * m[..., None])[:, 2] for x, m in zip(X, masks(), strict=True)]) / 4
    values = xai.cam.is_cam(model(), x32(), target=2, num_steps=4, batch_size=7).values
    assert_close(values, combined(np.stack([softmax(s) for s in scores])))


def test_ss_cam_averages_over_noise_and_is_score_cam_without():
    plain = xai.cam.score_cam(model(), x32(), target=0).values
    for noise_on in ("mask", "input"):
        options = {"key": KEY, "target": 0, "noise_on": noise_on}
        assert_close(xai.cam.ss_cam(model(), x32(), num_samples=2, sigma=0.0, **options).values, plain)
    # For a linear model the noise averages out: E y((H + noise) X) = y(H X).
    linear = xai.compose(features_without_relu, lambda a: a.reshape(len(a), -1) @ READ.reshape(-1, 3))
    expected = xai.cam.score_cam(linear, x32(), target=0, relu=False).values
    noisy = xai.cam.ss_cam(linear, x32(), key=KEY, target=0, num_samples=4000, sigma=0.5, relu=False).values
    assert_close(noisy, expected, 0.01)
    assert jnp.abs(noisy - expected).max() > 0


def features_without_relu(x):
    return x.reshape(len(x), 4, 2, 3, 2, 2).mean(axis=(2, 4)) @ MIX


@pytest.mark.parametrize("batch_size", [None, 2])
def test_ablation_cam_by_hand(batch_size):
    a = features(X)
    whole = read(a)
    for target in range(3):
        lost = np.stack([whole[:, target] - read(a * (np.arange(5) != k))[:, target] for k in range(5)], axis=1)
        values = xai.cam.ablation_cam(model(), x32(), target=target, batch_size=batch_size).values
        assert_close(values, combined(lost / np.abs(whole[:, target])[:, None]))


def test_ablation_cam_evaluates_the_tail_alone():
    """The features once for each example, however many channels; counted in flops."""
    kernel = jnp.ones((64, 64))

    def heavy(x):
        for _ in range(8):
            x = jnp.tanh(x @ kernel)
        return x

    net, x = xai.compose(heavy, lambda a: a.mean(axis=(1, 2))), jnp.ones((1, 16, 16, 64))
    features_alone = jax.jit(heavy).lower(x).compile().cost_analysis()["flops"]
    explain = jax.jit(lambda x: xai.cam.ablation_cam(net, x, target=0, batch_size=64).values)
    # Twice the features: once for the score, once for the activations; the 65 tails cost 65 · 16 · 16 · 64 sums.
    assert explain.lower(x).compile().cost_analysis()["flops"] < 2.3 * features_alone


def test_group_cam_by_hand():
    a = features(X)
    slopes = np.asarray(jax.vmap(jax.grad(lambda one: jnp.asarray(read(one[None]))[0, 1]))(jnp.asarray(a, jnp.float32)))
    alphas = slopes.astype(np.float64).mean(axis=(1, 2))
    sigma = 50 / 224 * 8
    blurred = np.asarray(gaussian_blur(x32(), sigma, truncate=0.5), np.float64)
    expected = np.zeros((2, 4, 3))
    for n in range(2):
        for group in ([0, 1], [2, 3, 4]):
            initial = np.maximum((a[n] * alphas[n])[..., group].sum(axis=-1), 0)
            initial[initial <= np.quantile(initial, 0.7)] = 0
            large = resize(initial, (8, 6))
            if large.max() == large.min():
                continue
            mask = (large - large.min()) / (large.max() - large.min())
            seen = X[n] * mask[..., None] + blurred[n] * (1 - mask[..., None])
            gain = exact(seen[None])[0, 1] - exact(blurred[n : n + 1])[0, 1]
            expected[n] += gain * (initial - large.min()) / (large.max() - large.min())
    # Channels k · 2 // 5 make groups 0, 0, 0, 1, 1: the same cut from behind.
    reversed_model = xai.compose(lambda x: features(x)[..., ::-1], lambda a: read(a[..., ::-1]))
    options = {"layer": "features", "target": 1, "num_groups": 2}
    values = xai.cam.group_cam(reversed_model, x32(), relu=False, **options).values
    assert_close(values, expected)
    rectified = xai.cam.group_cam(reversed_model, x32(), **options).values
    np.testing.assert_array_equal(rectified, np.maximum(values, 0))


@pytest.mark.parametrize("sigma", [0.7, 3.0])
def test_the_blur_is_scipys(sigma):
    blurred = gaussian_blur(x32(), sigma)
    for n, c in np.ndindex(2, 2):
        # The radius is bounded by the side, which scipy's mirror is not: compare where both hold the whole kernel.
        expected = scipy.ndimage.gaussian_filter(
            X[n, :, :, c], sigma, mode="mirror", radius=[min(int(4 * sigma + 0.5), s - 1) for s in (8, 6)]
        )
        np.testing.assert_allclose(blurred[n, :, :, c], expected, atol=1e-6)


def test_opti_cam_climbs_and_its_first_step_is_adams():
    def reached(values):
        mask = np.stack([unit(resize(one, (8, 6))) for one in np.asarray(values, np.float64)])
        return exact(X * mask[..., None])[:, 1]

    start = features(X).mean(axis=-1)
    few, many = (xai.cam.opti_cam(model(), x32(), target=1, num_steps=steps).values for steps in (1, 80))
    assert (reached(many) > reached(start)).all()
    assert (reached(many) > reached(few)).all()
    # Adam's first step is the learning rate times the sign of the gradient.
    step = 1e-6
    for n in range(2):
        signs = np.zeros(5)
        for k in range(5):
            ends = [softmax(sign * step * (np.arange(5) == k)) for sign in (1, -1)]
            above, below = (
                exact(X[n : n + 1] * unit(resize(features(X)[n] @ w, (8, 6)))[..., None])[0, 1] for w in ends
            )
            signs[k] = np.sign(above - below)
        assert_close(few[n], features(X)[n] @ softmax(0.1 * signs))


def test_smooth_grad_cam_plus_plus_averages_powers_and_is_grad_cam_plus_plus_without_noise():
    plain = xai.cam.grad_cam_plus_plus(model(), x32(), target=1).values
    options = {"key": KEY, "target": 1}
    assert_close(xai.cam.smooth_grad_cam_plus_plus(model(), x32(), sigma=0.0, num_samples=2, **options).values, plain)
    sigma, samples = 0.2, 3
    values = xai.cam.smooth_grad_cam_plus_plus(
        model(), x32(), sigma=sigma, num_samples=samples, relu=False, **options
    ).values
    for n in range(2):
        one = jax.random.fold_in(KEY, n)
        powers = np.zeros((3, 4, 3, 5))
        for sample_key in jax.random.split(one, samples):
            noise = jax.random.normal(jax.random.split(sample_key, 1)[0], (1, 8, 6, 2))
            noisy = X[n : n + 1] + sigma * (X[n].max() - X[n].min()) * np.asarray(noise, np.float64)
            hidden = features(noisy).reshape(1, -1) @ READ.reshape(-1, 3)
            g = READ[..., 1] * (1 + 3 * hidden[0, 1] ** 2 / 20)
            powers += np.stack([g, g**2, g**3]) / samples
        first, second, third = powers
        a = features(X)[n]
        alphas = second / (2 * second + a.sum(axis=(0, 1)) * third)
        weights = (alphas * np.maximum(first, 0)).sum(axis=(0, 1))
        assert_close(values[n], a @ weights, 1e-4)


def test_the_product_the_mean_and_the_maximum_of_layers():
    def two_layers(x):
        early = xai.tag(x * 2, "early")
        return read(xai.tag(features(early), "late"))

    net = xai.function(two_layers)
    parts = [
        unit_each(xai.cam.layer_cam(net, x32(), layer=layer, target=0, upsample=True).values)
        for layer in ("early", "late")
    ]
    for how, expected in [
        ("product", parts[0] * parts[1]),
        ("mean", (parts[0] + parts[1]) / 2),
        ("max", np.maximum(*parts)),
    ]:
        assert_close(xai.cam.fuse(net, x32(), ["early", "late"], how=how, target=0, upsample=True).values, expected)
    for method in (xai.cam.shapley_cam, xai.cam.grad_cam):
        parts = [
            unit_each(method(net, x32(), layer=layer, target=0, upsample=(5, 5)).values) for layer in ("early", "late")
        ]
        fused = xai.cam.fuse(net, x32(), ["early", "late"], method=method, target=0, upsample=(5, 5)).values
        # Shapley-CAM of a ReLU at its kink apart, the maps are those of each layer alone.
        assert_close(fused, unit_each(parts[0]) * unit_each(parts[1]), 1e-4)


def unit_each(maps):
    return np.stack([unit(one) for one in np.asarray(maps, np.float64)])


def test_channel_values_lie_between_ablation_and_admission_and_sum_to_the_score():
    games = xai.cam.channel_game(model(), x32(), target=1)
    shapley = xai.shap.exact(games)
    a = features(X)
    values = np.zeros((2, 5))
    for n in range(2):
        for k in range(5):  # by the definition: the mean over all orders
            for others in range(16):
                members = [j for j in range(5) if j != k]
                here = np.array([j == k or (j in members and others >> members.index(j) & 1) for j in range(5)])
                size = here.sum() - 1
                weight = [1 / 5, 1 / 20, 1 / 30, 1 / 20, 1 / 5][size]
                gain = read(a[n : n + 1] * here)[0, 1] - read(a[n : n + 1] * (here & (np.arange(5) != k)))[0, 1]
                values[n, k] += weight * gain
    np.testing.assert_allclose(shapley.values, values, atol=1e-5)
    np.testing.assert_allclose(shapley.values.sum(axis=1), exact(X)[:, 1] - read(0 * a)[:, 1], atol=1e-5)
    maps = xai.cam.channel_map(games, shapley).values
    np.testing.assert_allclose(maps.sum(axis=(1, 2)), exact(X)[:, 1] - read(0 * a)[:, 1], atol=1e-5)
    expected = np.einsum("nhwk,nk->nhw", a / np.maximum(a.sum(axis=(1, 2), keepdims=True), 1e-30), values)
    assert_close(maps, expected)


def test_groups_of_channels_and_all_outputs():
    games = xai.cam.channel_game(model(), x32(), target="all", groups=jnp.array([1, 0, 1, 0, 1]))
    shapley = xai.shap.exact(games)
    a = features(X)
    apart = [read(a * present) for present in ([0, 0, 0, 0, 0], [0, 1, 0, 1, 0], [1, 0, 1, 0, 1], [1, 1, 1, 1, 1])]
    first = (apart[1] - apart[0] + apart[3] - apart[2]) / 2
    np.testing.assert_allclose(shapley.values[:, 0], first, atol=1e-5)
    maps = xai.cam.channel_map(games, shapley).values
    assert maps.shape == (2, 4, 3, 3)
    np.testing.assert_allclose(maps.sum(axis=(1, 2)), apart[3] - apart[0], atol=1e-5)


def test_the_numpy_grad_cam_agrees_with_itself_on_this_model():
    """That the hand-made model is what the other tests take it for: its gradients by finite differences."""
    a = features(X)
    step = 1e-6
    g = np.zeros_like(a)
    for place in np.ndindex(a.shape[1:]):
        bump = np.zeros(a.shape[1:])
        bump[place] = step
        g[(slice(None), *place)] = (read(a + bump)[:, 1] - read(a - bump)[:, 1]) / (2 * step)
    expected = np.maximum(_numpy_maps.grad_cam(a, g), 0)
    assert_close(xai.cam.grad_cam(model(), x32(), target=1).values, expected)
