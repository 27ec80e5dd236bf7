"""Maskers: what input stands for a coalition, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests import models


def inputs_for(masker, x, coalition):
    """The inputs of the first example for one coalition, [B, ...]."""
    prepared = jax.tree.map(lambda leaf: leaf[0], masker.prepare(x))
    references = masker.references(x[0], prepared)
    coalition = jnp.asarray(coalition, bool)
    return jnp.stack([masker.compose(x[0], reference, coalition, prepared) for reference in references])


def test_background_rows_stand_in_for_absent_features():
    masker = xai.mask.background([[10.0, 20, 30], [40, 50, 60]])
    x = jnp.array([[1.0, 2, 3]])
    np.testing.assert_array_equal(inputs_for(masker, x, [1, 0, 1]), [[1, 20, 3], [1, 50, 3]])


def test_the_features_of_a_group_are_removed_jointly():
    masker = xai.mask.background([[10.0, 20, 30]], groups=[0, 1, 0])
    np.testing.assert_array_equal(inputs_for(masker, jnp.array([[1.0, 2, 3]]), [0, 1]), [[10, 2, 30]])
    images = xai.mask.baseline(jnp.zeros((2, 2, 3)), groups=[[0, 0], [1, 1]])
    composed = inputs_for(images, jnp.ones((1, 2, 2, 3)), [0, 1])
    np.testing.assert_array_equal(composed[0, ..., 2], [[0, 0], [1, 1]])
    assert images.num_players((2, 2, 3)) == 2


def test_regions_are_painted_with_their_mean_or_a_fill():
    x = jnp.arange(8.0).reshape(1, 2, 4, 1)
    labels = [[0, 0, 1, 1], [0, 2, 2, 1]]
    composed = inputs_for(xai.mask.regions(labels), x, [0, 1, 0])[0, ..., 0]
    np.testing.assert_allclose(composed, [[5 / 3, 5 / 3, 2, 3], [5 / 3, 5.5, 5.5, 7]], rtol=1e-6)
    painted = inputs_for(xai.mask.regions(labels, fill=-1.0), x, [0, 1, 1])[0, ..., 0]
    np.testing.assert_array_equal(painted, [[-1, -1, 2, 3], [-1, 5, 6, 7]])


def test_each_image_may_have_regions_of_its_own():
    x = jnp.ones((2, 1, 2, 1))
    masker = xai.mask.regions([[[0, 1]], [[1, 0]]], fill=0.0)
    weights = jnp.array([1.0, 10.0]).reshape(1, 1, 2, 1)
    attribution = xai.shap.exact(xai.game(lambda x: (x * weights).sum(axis=(1, 2, 3)), x, masker))
    np.testing.assert_allclose(attribution.values, [[1, 10], [10, 1]])
    np.testing.assert_allclose(attribution.on_input(), [[[1, 10]], [[1, 10]]])


def test_a_grid_cuts_images_of_any_size():
    x = jnp.zeros((1, 5, 7, 1))
    labels = xai.mask.grid((2, 3)).prepare(x)[0]
    np.testing.assert_array_equal(labels[0], [0, 0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(labels[:, 0], [0, 0, 0, 3, 3])
    with pytest.raises(ValueError, match=r"`cells` must be at most the \[5, 7\] pixels of an image, got \(6, 6\)"):
        xai.game(lambda x: x.sum(axis=(1, 2)), x, xai.mask.grid(6))


def test_tokens_are_masked_and_padding_stays():
    masker = xai.mask.tokens(9, pad_id=0)
    x = jnp.array([[3, 4, 0]])
    np.testing.assert_array_equal(inputs_for(masker, x, [0, 1, 0]), [[9, 4, 0]])
    np.testing.assert_array_equal(masker.active(x[0], ()), [True, True, False])


def test_the_game_is_the_mean_over_the_background():
    net, x, rows = models.table_net(), models.rows(3), models.rows(6, seed=2)
    game = xai.game(net, x, xai.mask.background(rows, groups=[0] * 6 + [1] * 6), target=1)
    attribution = xai.shap.exact(game)
    first = jnp.stack([net(rows.at[:, :6].set(row[:6]))[:, 1].mean() for row in x])
    second = jnp.stack([net(rows.at[:, 6:].set(row[6:]))[:, 1].mean() for row in x])
    base, full = net(rows)[:, 1].mean(), net(x)[:, 1]
    np.testing.assert_allclose(attribution.values[:, 0], (first - base + full - second) / 2, atol=1e-5)


def test_a_masker_of_the_users_own_works():
    @jax.tree_util.register_static
    class Reversed(xai.mask.Masker):
        """One player: whether the sequence is in its order or reversed."""

        def num_players(self, shape):
            return 1

        def references(self, x, prepared):
            return x[::-1][None]

        def compose(self, x, reference, coalition, prepared):
            return jnp.where(coalition[0], x, reference)

    attribution = xai.shap.exact(xai.game(lambda x: x[:, 0], jnp.array([[5.0, 1.0, 2.0]]), Reversed()))
    np.testing.assert_allclose(attribution.values, [[3.0]])


LABELS = np.arange(48).reshape(6, 8) // 20
REGION_MASKERS = {
    "regions": lambda **options: xai.mask.regions(LABELS, **options),
    "grid": lambda **options: xai.mask.grid((2, 3), **options),
    "patches": lambda **options: xai.mask.patches(3, **options),
    "superpixels": lambda **options: xai.mask.superpixels(6, **options),
}


@pytest.mark.parametrize(
    ("name", "fill"),
    [(name, "mean") for name in REGION_MASKERS]
    + [("grid", fill) for fill in ("blur", 0.5, [0.1, 0.2, 0.3], "image", "images")],
    ids=str,
)
def test_channels_first_is_the_same_game(name, fill):
    """The picture has more rows than columns, or channels and rows would be cut alike."""
    x = models.images(2)[:, :6, :8]
    x = jnp.concatenate([x, x[..., :1]], axis=-1)[..., :3]
    last, first = fill, fill
    if fill in ("image", "images"):
        last = np.random.default_rng(0).random((6, 8, 3) if fill == "image" else (2, 6, 8, 3), np.float32)
        first = np.moveaxis(last, -1, -3)
    model = lambda x: jnp.tanh(x * jnp.arange(6.0)[:, None, None]).sum(axis=(1, 2)) @ jnp.array([1.0, 2, 3])  # noqa: E731
    expected = xai.game(model, x, REGION_MASKERS[name](fill=last))
    moved = jnp.moveaxis(x, -1, 1)
    model_first = lambda x: model(jnp.moveaxis(x, 1, -1))  # noqa: E731
    for axis in (1, -3):
        computed = xai.game(model_first, moved, REGION_MASKERS[name](fill=first, channel_axis=axis))
        assert computed.num_players == expected.num_players
        coalitions = np.random.default_rng(0).random((9, computed.num_players)) < 0.5
        np.testing.assert_allclose(computed(coalitions), expected(coalitions), rtol=1e-5)
    attribution = xai.shap.exact(computed)
    assert attribution.on_input().shape == (2, 6, 8)
    np.testing.assert_allclose(attribution.on_input(), xai.shap.exact(expected).on_input(), atol=1e-4)


@pytest.mark.parametrize("name", REGION_MASKERS)
def test_channels_that_seem_to_come_first_are_refused(name):
    x = jnp.ones((2, 3, 6, 8)).at[0, 0, 0, 0].set(2)
    model = lambda x: x.sum(axis=(1, 2, 3))  # noqa: E731
    with pytest.raises(ValueError, match=r"`x` must be images with channels last.*\[2, 3, 6, 8\].*channel_axis=1, or"):
        xai.game(model, x, REGION_MASKERS[name]())
    if name != "regions":
        assert xai.game(model, x, xai.mask.grid(2, channel_axis=-1)).num_players == 4
        assert xai.game(model, x[..., :4], xai.mask.grid(2)).num_players == 4
    with pytest.raises(ValueError, match="`channel_axis` must be the axis of the channels"):
        REGION_MASKERS[name](channel_axis=0)


def test_regions_have_names():
    masker = xai.mask.regions(LABELS, names=["sky", "house", "road"])
    attribution = xai.shap.exact(xai.game(lambda x: x.sum(axis=(1, 2, 3)), jnp.ones((1, 6, 8, 1)), masker))
    assert attribution.names == ("sky", "house", "road")
    assert attribution.inputs is None


ROWS = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
PICTURES = np.random.default_rng(0).random((2, 12, 14, 3), np.float32)
BYTES = (255 * PICTURES).astype(np.uint8)
STRICT_MASKERS = {
    "background": (lambda: xai.mask.background(ROWS), ROWS),
    "weights": (lambda: xai.mask.background(ROWS, weights=np.arange(20) + 1), ROWS),
    "groups": (lambda: xai.mask.background(ROWS, groups=[0, 1, 1]), ROWS),
    "integer rows": (lambda: xai.mask.background(np.array([[1, 2, 3]])), ROWS),
    "integer inputs": (lambda: xai.mask.background(ROWS), np.array([[1, 2, 3]])),
    "gaussian": (lambda: xai.mask.gaussian(ROWS), ROWS),
    "k_means": (lambda: xai.mask.k_means(ROWS, 3, key=jax.random.key(0)), ROWS),
    **{
        f"grid, {name}": (lambda fill=fill: xai.mask.grid(2, fill=fill), PICTURES)
        for name, fill in {"mean": "mean", "blur": "blur", "noise": "noise", "0": 0, "image": PICTURES[0]}.items()
    },
    "bytes, mean": (lambda: xai.mask.grid(2), BYTES),
    "bytes, blur": (lambda: xai.mask.grid(2, fill="blur"), BYTES),
    "bfloat16": (lambda: xai.mask.patches(4), PICTURES.astype(jnp.bfloat16)),
    "channels first": (lambda: xai.mask.grid(2, channel_axis=1), np.moveaxis(PICTURES, -1, 1)),
    "superpixels": (lambda: xai.mask.superpixels(4, sigma=1.0), BYTES),
    "tokens": (lambda: xai.mask.tokens(9), np.array([[1, 2, 3]])),
    "cut tokens": (lambda: xai.mask.tokens(pad_id=0, groups=[[0, 1, -1]]), np.array([[1, 2, 3]])),
}


@pytest.mark.parametrize("name", STRICT_MASKERS)
def test_maskers_promote_nothing_implicitly(name):
    make, x = STRICT_MASKERS[name]
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        masker = make()
        x = masker.read(x)
        masker.check(x)
        prepared = jax.tree.map(lambda leaf: leaf[0], masker.prepare(x))
        everyone = jnp.ones(masker.num_players(x.shape[1:]), bool)
        composed = jax.jit(masker.compose)(x[0], masker.references(x[0], prepared)[0], everyone, prepared)
        masker.active(x[0], prepared)
    np.testing.assert_array_equal(composed, x[0])


CHANNELS_FIRST = jax.random.normal(jax.random.key(1), (1, 12, 16, 16))


def convolved(x):
    kernel = jnp.linspace(-1, 1, 4 * 12 * 9).reshape(4, 12, 3, 3)
    layout = ("NCHW", "OIHW", "NCHW")
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=layout).mean(axis=(2, 3))


@pytest.mark.parametrize("masker", [xai.mask.grid(2), xai.mask.superpixels(4), xai.mask.patches(4)])
def test_the_models_convolutions_show_channels_that_come_first(masker):
    """Twelve channels of 16 x 16 pixels: the shape alone does not show them, and regions were cut over channels."""
    x = CHANNELS_FIRST
    with pytest.raises(ValueError, match=r"`channel_axis` must be given .* on axis 1: pass channel_axis=1"):
        xai.game(convolved, x, masker)
    assert xai.game(convolved, x, xai.mask.grid(2, channel_axis=1)).num_players == 4
    xai.game(convolved, x, xai.mask.grid(2, channel_axis=-1))
    xai.game(lambda x: convolved(jnp.moveaxis(x, -1, 1)), jnp.moveaxis(x, 1, -1), masker)


def test_channels_that_come_first_are_seen_in_one_of_several_inputs():
    x = {"image": CHANNELS_FIRST, "row": CHANNELS_FIRST[:, 0]}
    row = xai.mask.baseline(jnp.zeros((16, 16)))  # features without channels

    def model(x):
        return convolved(x["image"]) + x["row"].sum(axis=(1, 2))[:, None]

    with pytest.raises(ValueError, match=r"`channel_axis` must be given for x\['image'\] of shape \[1, 12, 16, 16\]"):
        xai.game(model, x, xai.mask.joint({"image": xai.mask.grid(2), "row": row}))
    xai.game(model, x, xai.mask.joint({"image": xai.mask.grid(2, channel_axis=1), "row": row}))
    xai.game(model, x, xai.mask.joint({"image": xai.mask.baseline(0 * x["image"][0]), "row": row}))
