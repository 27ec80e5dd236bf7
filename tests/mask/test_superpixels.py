"""Superpixels as players, label maps of every image, and what absent regions are painted with."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import xaijax as xai
from experiments.superpixels import squares

SIDE = 40
IMAGES = jnp.asarray(squares(1, side=SIDE), jnp.float32) / 255
WEIGHTS = jax.random.normal(jax.random.key(1), IMAGES.shape[1:]) / 50
SUPERPIXELS = xai.mask.superpixels(20)
KEY = jax.random.key(0)


def linear(x):
    return (x * WEIGHTS).sum(axis=(1, 2, 3)) + 1


def painted(masker, x=IMAGES):
    """All regions absent, [N, H, W, C]."""
    return jax.vmap(masker.references)(x, masker.prepare(x))[:, 0]


def worth(masker, labels, num_players):
    """What each region adds to the linear model, [N, M], counted in NumPy."""
    positions = np.asarray(((IMAGES - painted(masker)) * WEIGHTS).sum(axis=-1), np.float64)
    pairs = zip(labels, positions, strict=True)
    return np.stack([np.bincount(own.ravel(), each.ravel(), num_players) for own, each in pairs])


def test_lime_recovers_a_model_linear_in_the_superpixels():
    labels = np.asarray(xai.segment.slic(IMAGES, 20))
    surrogate = jax.jit(lambda x: xai.lime.image(linear, x, SUPERPIXELS, key=KEY, num_samples=200))(IMAGES)
    np.testing.assert_array_equal(surrogate.regions, labels)
    expected = worth(SUPERPIXELS, labels, 20)
    assert surrogate.values.shape == expected.shape
    np.testing.assert_allclose(surrogate.values, expected, atol=1e-4 * np.abs(expected).max())
    beyond = np.arange(20) > labels.max(axis=(1, 2))[:, None]
    assert beyond.any()
    assert (np.asarray(surrogate.values)[beyond] == 0).all()
    assert (np.asarray(surrogate.std_errors)[beyond] == 0).all()


def test_shapley_values_of_superpixels_and_their_padding():
    labels = np.asarray(xai.segment.slic(IMAGES, 20))
    values = xai.shap.permutation(xai.game(linear, IMAGES, SUPERPIXELS), num_permutations=1, key=KEY).values
    np.testing.assert_allclose(values, worth(SUPERPIXELS, labels, 20), atol=1e-5)
    assert (np.asarray(values)[np.arange(20) > labels.max(axis=(1, 2))[:, None]] == 0).all()


def test_by_default_lime_cuts_large_images_into_superpixels_and_small_ones_into_a_grid():
    def players(x):
        return jax.eval_shape(lambda x: xai.lime.image(lambda x: x.sum(axis=(1, 2, 3)), x, key=KEY), x).values.shape[1]

    assert players(IMAGES) == xai.mask.superpixels(50).num_players(IMAGES.shape[1:]) == 49
    assert players(IMAGES[:, :32, :32]) == 49
    assert players(IMAGES[:, :31, :32]) == 64
    assert players(IMAGES[:, :20, :6]) == 48


def test_images_may_have_different_numbers_of_regions():
    labels = np.zeros((2, 2, 2), int)
    labels[1] = [[0, 1], [2, 2]]
    x = jnp.arange(8.0).reshape(2, 2, 2, 1)
    surrogate = xai.lime.image(lambda x: x.sum(axis=(1, 2, 3)), x, labels, fill=0.0, key=KEY, num_samples=60)
    np.testing.assert_allclose(surrogate.values, [[6, 0, 0], [4, 5, 13]], atol=1e-4)
    np.testing.assert_array_equal(surrogate.std_errors[0, 1:], 0)


def test_blur_is_that_of_scipy_in_proportion_to_the_image():
    """sigma 10 for images of 224 x 224."""
    wide = IMAGES[:, :20]
    sigma = 10 / 224 * np.sqrt(20 * SIDE)
    expected = gaussian_filter(np.asarray(wide, np.float64), (0, sigma, sigma, 0), mode="mirror")
    np.testing.assert_allclose(painted(xai.mask.grid(4, fill="blur"), wide), expected, atol=1e-5)


def test_noise_has_the_colors_of_the_image_and_is_the_same_in_every_batch():
    noise = np.asarray(painted(xai.mask.grid(4, fill="noise")))
    for image, one in zip(np.asarray(IMAGES), noise, strict=True):
        colors = {tuple(color) for color in image.reshape(-1, 3)}
        assert all(tuple(color) in colors for color in one.reshape(-1, 3))
        # SIDE² colors, drawn independently: their means are this exact.
        np.testing.assert_allclose(one.mean((0, 1)), image.mean((0, 1)), atol=4 * image.std() / SIDE)
        adjacent = [np.corrcoef(red[:, 1:].ravel(), red[:, :-1].ravel())[0, 1] for red in (one[..., 0], image[..., 0])]
        assert abs(adjacent[0]) < 0.1 < 0.8 < adjacent[1]  # no position knows its neighbor
    np.testing.assert_array_equal(painted(xai.mask.grid(2, fill="noise"), IMAGES[2:]), noise[2:])


@pytest.mark.parametrize("masker", [xai.mask.grid, xai.mask.superpixels], ids=["grid", "superpixels"])
def test_numbers_colors_and_images_fill_all_region_maskers(masker):
    image = np.ones((SIDE, SIDE, 3)) * 0.25
    for fill in (0.5, [0.1, 0.2, 0.3], image):
        np.testing.assert_allclose(painted(masker(4, fill=fill)), np.broadcast_to(fill, IMAGES.shape), rtol=1e-6)


@pytest.mark.parametrize("fill", ["mean", "blur", "noise"])
def test_images_of_bytes_stay_bytes(fill):
    x = jnp.asarray(squares(1, side=SIDE))
    bytes_ = painted(xai.mask.grid(4, fill=fill), x)
    assert bytes_.dtype == jnp.uint8
    assert jnp.abs(bytes_ - painted(xai.mask.grid(4, fill=fill), x.astype(jnp.float32))).max() <= 1


@pytest.mark.parametrize("fill", [0.5, 300, -1, [0.0, 0.5, 1.0]])
def test_a_fill_that_images_of_bytes_cannot_hold_is_refused(fill):
    x = jnp.asarray(squares(1, side=SIDE))
    with pytest.raises(ValueError, match="`fill` must hold whole numbers from 0 to 255 for images of uint8, got"):
        xai.game(linear, x, xai.mask.grid(4, fill=fill))
    for held in (127, 127.0, [0, 128, 255]):
        assert (painted(xai.mask.grid(4, fill=held), x) == jnp.asarray(held, jnp.uint8)).all()


def test_means_of_bytes_are_rounded_to_the_nearest():
    x = jnp.array([0, 0, 0, 3], jnp.uint8).reshape(1, 2, 2, 1)  # 0.75
    assert (painted(xai.mask.grid(1), x) == 1).all()


@pytest.mark.parametrize(
    ("mistake", "sentence"),
    [
        (lambda: xai.mask.superpixels(0), "num_segments.? must be at least 1"),
        (lambda: xai.mask.superpixels(compactness=-1), "compactness.? must be finite and above zero"),
        (lambda: xai.mask.superpixels(fill="blurr"), "fill.? must be one of.*did you mean 'blur'"),
        (lambda: xai.mask.superpixels(color_space="rgb"), "color_space.? must be one of"),
        (lambda: xai.game(linear, IMAGES, xai.mask.superpixels(2000)), "at most the 1600 pixels"),
        (lambda: xai.game(linear, IMAGES[0, 0], SUPERPIXELS), r"`x` must be images \[N, H, W, C\], signals"),
        (
            lambda: xai.game(linear, IMAGES[None], SUPERPIXELS),
            r"`x` must be images .* for superpixels, .*xai.mask.grid",
        ),
        (lambda: xai.game(linear, IMAGES, xai.mask.superpixels(fill=[1.0, 2])), r"`fill` must be .* shape \[2\]"),
        (
            lambda: xai.game(linear, IMAGES[:3, :1, :2], xai.mask.regions([[[0, 1]], [[0, 2]], [[0, 1]]])),
            r"`labels\[1\]` must number .* without \[1\]",
        ),
        (lambda: xai.lime.image(linear, IMAGES, np.zeros((40, 30), int), key=KEY), r"`labels` must have the shape of"),
        (lambda: xai.lime.image(linear, IMAGES, [[0, 2]], key=KEY), r"`masker` must number .* without \[1\]"),
        (
            lambda: xai.lime.image(linear, IMAGES, SUPERPIXELS, fill=0.0, key=KEY),
            "`fill` must be None where a masker is given",
        ),
        (lambda: xai.lime.image(linear, IMAGES[0, 0], key=KEY), r"x.? must be images \[N, H, W, C\]"),
    ],
)
def test_mistakes_are_answered_with_a_sentence(mistake, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        mistake()


@pytest.mark.parametrize(
    ("explain", "options"), [(xai.lime.image, {"num_samples": 20}), (xai.shap.values, {"num_evaluations": 200})]
)
def test_few_superpixels_are_warned_of_at_the_users_line(explain, options):
    noise = jax.random.uniform(jax.random.key(0), (1, 48, 48, 3))
    model = lambda images: images.mean(axis=(1, 2, 3))  # noqa: E731
    with pytest.warns(UserWarning, match="less than half of the 49 segments") as warnings:
        explain(model, noise, xai.mask.superpixels(49), key=jax.random.key(1), **options)
    assert {warning.filename for warning in warnings} == {__file__}
