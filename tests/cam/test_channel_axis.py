"""Channels first, inputs of several sizes, and the signs of normalized maps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests import models
from tests.explainers import ONE_PASS
from tests.selection import usual

KEY = jax.random.key(3)
KERNELS = [jax.random.normal(jax.random.key(i), (3, 3, *shape)) / 5 for i, shape in enumerate([(3, 4), (4, 5)])]


def network(layout):
    """Two convolutions with ReLUs, pooled and linear, in either layout of the same numbers."""
    space = (layout.index("H"), layout.index("W"))

    def net(x):
        for number, kernel in enumerate(KERNELS):
            x = jax.lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=(layout, "HWIO", layout))
            bias = jnp.linspace(-0.1, 0.1, kernel.shape[-1])
            x = jax.nn.relu(x + jnp.expand_dims(bias, tuple(axis - 1 for axis in space)))
            x = xai.tag(x, f"conv{number}")
        return x.mean(axis=space) @ jax.random.normal(jax.random.key(9), (5, 3)) + 0.1

    return xai.function(net)


LAST, FIRST = network("NHWC"), network("NCHW")
X = jax.random.normal(KEY, (2, 32, 48, 3))
X_FIRST = jnp.moveaxis(X, -1, 1)


def shapley_map(model, x, **options):
    games = xai.cam.channel_game(model, x, target=1, **options)
    return xai.cam.channel_map(games, xai.shap.exact(games), upsample=True)


CASES = {
    **{name: (explain, {"upsample": True}) for name, explain in ONE_PASS.items()},
    "cam": (xai.cam.cam, {"upsample": True}),
    "score_cam": (xai.cam.score_cam, {"relu": False}),
    "ss_cam, mask": (xai.cam.ss_cam, {"key": KEY, "num_samples": 2}),
    "is_cam": (xai.cam.is_cam, {"num_steps": 2}),
    "ablation_cam": (xai.cam.ablation_cam, {"upsample": True}),
    "group_cam": (xai.cam.group_cam, {"num_groups": 2, "relu": False}),
    "opti_cam": (xai.cam.opti_cam, {"num_steps": 3}),
    "full_grad": (xai.cam.full_grad, {}),
    "channels": (shapley_map, {}),
}


@pytest.mark.parametrize(
    "name", usual(CASES, "grad_cam", "eigen_cam", "cam", "score_cam", "ablation_cam", "full_grad", "channels")
)
def test_channels_first_gives_the_map_of_channels_last(name):
    explain, options = CASES[name]
    options = {"target": 1, **options} if explain is not shapley_map else options
    expected = explain(LAST, X, **options).values
    values = explain(FIRST, X_FIRST, channel_axis=1, **options).values
    np.testing.assert_allclose(values, expected, atol=2e-5 * float(jnp.abs(expected).max()))


def test_fused_and_guided_maps_of_channels_first():
    layers = ["conv0", "conv1"]
    expected = xai.cam.fuse(LAST, X, layers, target=1, upsample=True).values
    fused = xai.cam.fuse(FIRST, X_FIRST, layers, target=1, upsample=True, channel_axis=1).values
    np.testing.assert_allclose(fused, expected, atol=1e-5)
    expected = xai.cam.guided_grad_cam(LAST, X, target=1)
    guided = xai.cam.guided_grad_cam(FIRST, X_FIRST, target=1, channel_axis=1)
    np.testing.assert_allclose(guided.values, jnp.moveaxis(expected.values, -1, 1), atol=1e-6)
    assert (expected.axes, guided.axes) == ("N H W C", "N C H W")


@pytest.mark.parametrize("explain", [xai.cam.grad_cam, xai.cam.score_cam, xai.cam.cam, xai.cam.full_grad])
def test_channels_first_without_the_option_are_refused(explain):
    with pytest.raises(
        ValueError, match="`channel_axis` must be given .* on axis 1: pass channel_axis=1, or channel_axis=-1"
    ):
        explain(FIRST, X_FIRST, target=1)


def test_the_shape_of_a_picture_is_enough_to_ask():
    net = xai.compose(lambda x: x, lambda a: a.mean(axis=(2, 3)))
    with pytest.raises(ValueError, match=r"x of shape \[2, 3, 32, 48\], .* pass channel_axis=1"):
        xai.cam.hires_cam(net, X_FIRST, layer="features")
    assert xai.cam.hires_cam(net, X_FIRST, layer="features", channel_axis=1).values.shape == (2, 32, 48)
    assert xai.cam.hires_cam(net, X_FIRST, layer="features", channel_axis=-1, target=0).values.shape == (2, 3, 32)


def test_volumes_with_one_channel_first_are_asked_for_their_axis():
    def net(x):
        layout = ("NCDHW", "OIDHW", "NCDHW")
        hidden = jax.lax.conv_general_dilated(x, jnp.ones((4, 1, 3, 3, 3)), (2, 2, 2), "SAME", dimension_numbers=layout)
        return xai.tag(hidden, "conv").mean(axis=(2, 3, 4))

    x = jax.random.normal(KEY, (1, 1, 8, 12, 16))
    with pytest.raises(ValueError, match=r"x of shape \[1, 1, 8, 12, 16\], .* pass channel_axis=1, or"):
        xai.cam.hires_cam(net, x, layer="conv", target=0)
    assert xai.cam.hires_cam(net, x, layer="conv", target=0, channel_axis=1, upsample=True).values.shape == x.shape[
        :1
    ] + (8, 12, 16)


def test_a_layer_and_an_input_may_differ():
    mixed = xai.function(lambda x: FIRST(jnp.moveaxis(x, -1, 1)))
    x = X
    with pytest.raises(ValueError, match=r"layer 'conv0' .* on axis 1, .* pass channel_axis=\(1, -1\) for the layer"):
        xai.cam.grad_cam(mixed, x, layer="conv0", target=1)
    values = xai.cam.grad_cam(mixed, x, layer="conv0", target=1, channel_axis=(1, -1), upsample=True).values
    np.testing.assert_allclose(
        values, xai.cam.grad_cam(LAST, X, layer="conv0", target=1, upsample=True).values, atol=1e-6
    )


def test_tokens_of_pictures_with_channels_first_have_channels_last():
    def net(x):
        patches = jax.lax.conv_general_dilated(
            x, jnp.ones((8, 3, 4, 4)), (4, 4), "VALID", dimension_numbers=("NCHW", "OIHW", "NCHW")
        )
        tokens = xai.tag(patches.reshape(len(x), 8, -1).swapaxes(1, 2), "tokens")
        return jnp.tanh(tokens).mean(axis=1)

    attribution = xai.cam.hires_cam(net, X_FIRST, layer="tokens", target=0, channel_axis=1, upsample=True)
    assert attribution.values.shape == (2, 32, 48)
    assert xai.cam.hires_cam(net, X_FIRST, layer="tokens", target=0, channel_axis=1).values.shape == (2, 8, 12)


@pytest.mark.parametrize(
    ("channel_axis", "error"),
    [("1", TypeError), (True, TypeError), ((1, 2, 3), TypeError), (0, ValueError), (7, ValueError)],
)
def test_other_channel_axes_are_refused(channel_axis, error):
    with pytest.raises(error, match="`channel_axis` must"):
        xai.cam.grad_cam(LAST, X, channel_axis=channel_axis)


def branches(x):
    image = xai.tag(jnp.tanh(x["image"]), "image")
    depth = xai.tag(jnp.tanh(x["depth"]), "depth")
    joined = xai.tag(image[:, ::8, ::6] * depth, "joined")
    return image.mean(axis=(1, 2)) + depth.mean(axis=(1, 2)) ** 2 + joined.mean(axis=(1, 2))


TWO = {"depth": jax.random.normal(KEY, (1, 8, 8, 3)), "image": jax.random.normal(KEY, (1, 64, 48, 3))}


def test_maps_are_resized_to_the_input_that_the_layer_depends_on():
    for layer, size in [("image", (1, 64, 48)), ("depth", (1, 8, 8))]:
        for explain in (xai.cam.grad_cam, xai.cam.ablation_cam):
            assert explain(branches, TWO, layer=layer, target=0, upsample=True).values.shape == size
    with pytest.raises(
        ValueError, match=r"`upsample` must be a size \(h, w\), as the layer depends on inputs of the shapes"
    ):
        xai.cam.grad_cam(branches, TWO, layer="joined", target=0, upsample=True)
    assert xai.cam.grad_cam(branches, TWO, layer="joined", target=0, upsample=(5, 4)).values.shape == (1, 5, 4)


def test_methods_without_upsample_do_not_advise_it_for_inputs_of_several_sizes():
    tokens = lambda x: xai.tag(x.reshape(len(x), -1, 3), "tokens").mean(axis=1)  # noqa: E731
    for explain, sentence in (
        (lambda: xai.cam.full_grad(branches, TWO, target=0), "`x` must have one size for FullGrad.*full_gradients"),
        (
            lambda: xai.cam.score_cam(branches, TWO, layer="joined", target=0),
            "`layer` must depend on inputs of one size",
        ),
        (
            lambda: xai.cam.guided_grad_cam(
                lambda x: tokens(jax.nn.relu(x)), TWO["depth"], layer="tokens", target=0, grid=(64,)
            ),
            r"`layer` must have as many spatial axes as x, got x of the shapes .*: choose another layer, or pass grid=\(h, w\)",
        ),
    ):
        with pytest.raises(ValueError, match=sentence) as caught:
            explain()
        assert "upsample" not in str(caught.value)


def test_only_the_inputs_that_the_layer_depends_on_are_masked():
    def net(x):
        return xai.tag(jnp.abs(x["image"]), "seen").mean(axis=(1, 2)) + 1000 * x["other"].mean(axis=(1, 2))

    image = models.images()
    alone = xai.cam.score_cam(lambda x: xai.tag(jnp.abs(x), "seen").mean(axis=(1, 2)), image, target=0).values
    for other in (image, image[:, :2]):
        values = xai.cam.score_cam(net, {"image": image, "other": other}, target=0, layer="seen").values
        np.testing.assert_allclose(values, alone, atol=1e-3)
    pixels = (100 * image).astype(jnp.int32)
    with pytest.raises(ValueError, match="`x` must hold a floating array of the size"):
        xai.cam.score_cam(lambda x: xai.tag(x * 0.1, "seen").mean(axis=(1, 2)), pixels, target=0)


def test_normalized_signed_maps_keep_zero_and_rectified_ones_fill_the_unit_range():
    rows = jnp.array([[1.0, -4.0], [0.0, 2.0]])[None, :, :, None]
    net = xai.compose(lambda x: x, lambda a: a.sum(axis=(1, 2)))
    signed = xai.cam.hires_cam(net, rows, normalize=True).values
    np.testing.assert_allclose(signed, [[[0.25, -1], [0, 0.5]]])
    rectified = xai.cam.hires_cam(net, rows, normalize=True, relu=True).values
    np.testing.assert_allclose(rectified, [[[0.5, 0], [0, 1]]])
    np.testing.assert_array_equal(xai.cam.hires_cam(net, 0 * rows, normalize=True).values, 0)
    slopes = jax.grad(lambda rows: (xai.cam.hires_cam(net, rows, normalize=True).values ** 3).sum())(rows)
    np.testing.assert_allclose(slopes[0, 0, 1, 0], 3 * (1 + 8) / 4**4, rtol=1e-5)  # sum (a / 4)³ in 4, the rest fixed


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"relu": "no"}, "`relu` must be True or False, got 'no'"),
        ({"normalize": 1}, "`normalize` must be True or False, got 1"),
        ({"upsample": "yes"}, "`upsample` must be True, False or a size"),
        ({"upsample": None}, "`upsample` must be True, False or a size"),
        ({"upsample": (4, 4, 4)}, "`upsample` must have 2 sides"),
        ({"upsample": (0, 4)}, "`upsample` must be at least 1, got 0"),
        ({"upsample": 3.5}, "`upsample` must be an int of at least 1"),
        ({"grid": "44"}, "`grid` must be a tuple of ints"),
        ({"layer": 3}, "`layer` must be a path"),
    ],
)
@pytest.mark.parametrize("explain", [xai.cam.grad_cam, xai.cam.ablation_cam, xai.cam.cam])
def test_wrong_options_are_refused_in_a_sentence(explain, options, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        explain(models.linen_net(), models.images(), **options)


def test_a_traced_class_out_of_range_gives_nan_in_every_map():
    net, x = models.relu_net(), models.images()
    maps = {name: getattr(xai.cam, name) for name in ("full_grad", "guided_grad_cam", "cam", "score_cam")}
    maps["fuse"] = lambda net, x, target: xai.cam.fuse(net, x, ["conv", "norm"], target=target)
    maps["attention_gradient"] = xai.cam.attention_gradient
    for name, explain in maps.items():
        model = {"attention_gradient": models.vision_transformer(), "cam": models.linen_net()}.get(name, net)
        attribution = jax.jit(lambda x, target, explain=explain, model=model: explain(model, x, target=target))(
            x, jnp.array([0, 3, -1, 1])
        )
        for field in ("values", "output", "base_value"):
            if (array := getattr(attribution, field)) is not None:
                missing = jnp.isnan(array).reshape(4, -1)
                np.testing.assert_array_equal(
                    missing.all(axis=1), [False, True, True, False], err_msg=f"{name} {field}"
                )
                np.testing.assert_array_equal(
                    missing.any(axis=1), [False, True, True, False], err_msg=f"{name} {field}"
                )
