"""Every kind of network, with an answer that is known: maps lie where the evidence was put."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import xaijax as xai
from tests import models
from tests.selection import usual


def bright(shape, place):
    """One image [1, ...] with one bright place."""
    x = jnp.zeros((1, *shape, 1))
    return x.at[(0, *place, 0)].set(1.0)


@pytest.mark.parametrize(("shape", "place"), [((12,), (9,)), ((8, 6), (5, 1)), ((4, 6, 8), (1, 4, 6))])
def test_signals_images_and_volumes(shape, place):
    """A convolution that copies, stride 2, and a linear head: the map is one place, of the known size."""
    kernel = jnp.ones((2,) * len(shape) + (1, 1))
    numbers = "DHW"[-len(shape) :]
    layout = (f"N{numbers}C", f"{numbers}IO", f"N{numbers}C")

    def net(x):
        hidden = jax.lax.conv_general_dilated(x, kernel, (2,) * len(shape), "VALID", dimension_numbers=layout)
        return 3 * xai.tag(hidden, "conv").sum(axis=tuple(range(1, hidden.ndim)))

    half = tuple(side // 2 for side in shape)
    expected = np.zeros((1, *half))
    expected[(0, *(step // 2 for step in place))] = 3
    for explain in (xai.cam.grad_cam, xai.cam.hires_cam, xai.cam.layer_cam, xai.cam.xgrad_cam, xai.cam.shapley_cam):
        np.testing.assert_allclose(explain(net, bright(shape, place)).values, expected, atol=1e-6)
    ablation = xai.cam.ablation_cam(net, bright(shape, place)).values
    np.testing.assert_allclose(ablation, expected / 3, atol=1e-6)  # all of the score is lost
    large = xai.cam.hires_cam(net, bright(shape, place), upsample=True).values
    assert large.shape == (1, *shape)
    score = xai.cam.score_cam(net, bright(shape, place)).values
    assert np.unravel_index(np.argmax(score), score.shape)[1:] == tuple(step // 2 for step in place)


@pytest.mark.parametrize("registers", [pytest.param(0, marks=pytest.mark.slow), 4])
def test_vision_transformers_drop_class_and_register_tokens_and_find_their_grid(registers):
    net, x = models.vision_transformer(registers), models.images()
    tokens = {layer.path: layer.shape for layer in xai.layers(net, x)}["norms/1"]
    assert tokens == (4, 17 + registers, 8)
    # By hand: gradient times activation of the tokens, without those that have no place, row by row.
    values = xai.cam.hires_cam(net, x, layer="norms/1", target=1).values

    def after(normed, before):
        hidden = before + net.attention[1](normed)
        return net.head(hidden[:, 0])[:, 1]

    patches = net.patches(x).reshape(4, 16, 8)
    start = jnp.concatenate([jnp.broadcast_to(net.tokens[...], (4, 1 + registers, 8)), patches], axis=1)
    before = start + net.attention[0](net.norms[0](start))
    normed = net.norms[1](before)
    slopes = jax.grad(lambda normed: after(normed, before).sum())(normed)
    expected = (slopes * normed).sum(axis=-1)[:, 1 + registers :].reshape(4, 4, 4)
    np.testing.assert_allclose(values, expected, atol=1e-6)
    given = xai.cam.hires_cam(net, x, layer="norms/1", target=1, grid=(4, 4)).values
    np.testing.assert_array_equal(given, values)
    over_tokens = xai.cam.hires_cam(net, x, layer="norms/1", target=1, grid=(17 + registers,)).values
    np.testing.assert_allclose(over_tokens[:, 1 + registers :], expected.reshape(4, 16), atol=1e-6)


def test_patches_behind_the_last_attention_have_no_influence_on_a_class_token():
    values = xai.cam.grad_cam(models.vision_transformer(), models.images(), layer="attention/1", target=0).values
    np.testing.assert_array_equal(values, 0)


class Mixer(nn.Module):
    """One block of an MLP-Mixer over 4 x 2 patches of a wide image; pooled, linear."""

    @nn.compact
    def __call__(self, x):
        x = nn.Conv(6, (2, 4), strides=(2, 4), name="patches")(x)
        x = x.reshape(len(x), -1, 6)
        mixed = nn.Dense(x.shape[1], name="over_tokens")(jnp.swapaxes(nn.LayerNorm()(x), 1, 2))
        x = x + nn.gelu(jnp.swapaxes(mixed, 1, 2))
        x = nn.Dense(6, name="over_channels")(x)
        return nn.Dense(3, name="head")(x.mean(axis=1))


def test_mixers_end_in_pooling_so_that_cam_is_exact_on_their_tokens():
    x = models.images()
    module = Mixer()
    model = xai.linen(module, module.init(jax.random.key(0), x))
    attribution = xai.cam.cam(model, x, layer="over_channels", target=2)
    assert attribution.values.shape == (4, 4, 2)
    logits = attribution.values.mean(axis=(1, 2)) + attribution.base_value
    np.testing.assert_allclose(logits, model(x)[:, 2], atol=1e-5)
    hires = xai.cam.hires_cam(model, x, layer="over_channels", grid=(4, 2), target=2).values
    np.testing.assert_allclose(hires * 8, attribution.values, atol=1e-5)


class Hierarchy(nnx.Module):
    """Swin-like: tokens without class token [N, L, C], merged two by two between stages."""

    def __init__(self, rngs):
        self.embed = nnx.Conv(2, 4, (1, 1), rngs=rngs)
        self.stages = nnx.List([nnx.Linear(4, 4, rngs=rngs), nnx.Linear(16, 4, rngs=rngs)])
        self.head = nnx.Linear(4, 3, rngs=rngs)

    def __call__(self, x):
        n, h, w, _ = x.shape
        x = jnp.tanh(self.stages[0](self.embed(x).reshape(n, h * w, 4)))
        merged = x.reshape(n, h // 2, 2, w // 2, 2, 4).transpose(0, 1, 3, 2, 4, 5).reshape(n, h * w // 4, 16)
        return self.head(jnp.tanh(self.stages[1](merged)).mean(axis=1))


def test_stages_of_a_hierarchy_have_their_own_grids_and_fuse():
    net, x = Hierarchy(nnx.Rngs(0)), models.images()
    for layer, side in [("stages/0", 8), ("stages/1", 4)]:
        assert xai.cam.layer_cam(net, x, layer=layer).values.shape == (4, side, side)
    fused = xai.cam.fuse(net, x, ["stages/0", "stages/1"], target=0, method=xai.cam.grad_cam).values
    assert fused.shape == (4, 8, 8)
    parts = [
        xai.cam.grad_cam(net, x, layer=layer, target=0, upsample=True, normalize=True).values
        for layer in ("stages/0", "stages/1")
    ]
    np.testing.assert_allclose(fused, parts[0] * parts[1], atol=1e-5)


class UNet(nn.Module):
    """Down, up, a skip connection; logits of two classes at every place."""

    @nn.compact
    def __call__(self, x):
        early = nn.relu(nn.Conv(4, (3, 3), name="down")(x))
        deep = nn.relu(nn.Conv(6, (3, 3), strides=2, name="bottom")(early))
        up = nn.ConvTranspose(4, (2, 2), strides=(2, 2), name="up")(deep)
        return nn.Conv(2, (1, 1), name="logits")(jnp.concatenate([early, up], axis=-1))


def test_u_nets_answer_for_a_region_at_several_sizes():
    x = models.images()
    module = UNet()
    model = xai.linen(module, module.init(jax.random.key(3), x))
    mask = np.zeros((8, 8), bool)
    mask[:4, :4] = True
    bias = model.content["params"]["logits"]["bias"][1] + (
        model.content["params"]["up"]["bias"] @ model.content["params"]["logits"]["kernel"][0, 0, 4:, 1]
    )
    # At the bottom the tail is linear: HiResCAM and what the skip brings make up the score of the region.
    bottom = xai.cam.hires_cam(model, x, layer=None, target=xai.target.region(1, mask))
    assert bottom.values.shape == (4, 8, 8)
    tagged = {layer.path: layer.shape for layer in xai.layers(model, x)}
    assert tagged["bottom"] == (4, 4, 4, 6)
    deep = xai.cam.hires_cam(model, x, layer="up", target=xai.target.region(1, mask))
    np.testing.assert_allclose(deep.values[:, 4:], 0, atol=1e-7)  # outside the region, no say
    np.testing.assert_allclose(deep.values[:, :, 4:], 0, atol=1e-7)
    skip = xai.cam.hires_cam(model, x, layer="logits", target=xai.target.region(1, mask))
    np.testing.assert_allclose(skip.values.sum(axis=(1, 2)), model(x)[:, :4, :4, 1].sum(axis=(1, 2)), rtol=1e-5)
    assert bias.shape == ()
    sizes = [
        xai.cam.grad_cam(model, x, layer=layer, target=xai.target.region(1, mask)).values.shape
        for layer in ("down", "bottom")
    ]
    assert sizes == [(4, 8, 8), (4, 4, 4)]
    fused = xai.cam.fuse(model, x, ["down", "bottom"], target=xai.target.region(1, mask, reduce="mean"))
    assert fused.values.shape == (4, 8, 8)


def test_several_inputs_are_a_pytree_and_the_layer_says_which_is_explained():
    def net(parameters, x):
        seen = xai.tag(jnp.tanh(x["image"] @ parameters["look"]), "seen")
        heard = xai.tag(jnp.tanh(x["sound"] @ parameters["listen"]), "heard")
        return jnp.stack([(seen.mean(axis=(1, 2)) * heard.mean(axis=1)).sum(axis=1), x["row"].sum(axis=1)], axis=1)

    parameters = {"look": jnp.array([[1.0, 0.5], [-0.3, 1.0]]), "listen": jnp.array([[0.7, -1.0]])}
    model = xai.function(net, parameters)
    x = {
        "image": models.images(),
        "sound": jnp.ones((4, 10, 1)) * jnp.linspace(0, 1, 10)[:, None],
        "row": models.rows(4, 3),
    }
    seen = jnp.tanh(x["image"] @ parameters["look"])
    heard = jnp.tanh(x["sound"] @ parameters["listen"]).mean(axis=1)
    values = xai.cam.grad_cam(model, x, layer="seen", target=0, relu=False).values
    np.testing.assert_allclose(values, jnp.einsum("nhwc,nc->nhw", seen, heard) / 64, atol=1e-6)
    assert xai.cam.grad_cam(model, x, layer="heard", target=0, upsample=True).values.shape == (4, 10)
    for explain in (xai.cam.score_cam, xai.cam.ablation_cam, xai.cam.opti_cam):
        one = explain(model, x, layer="seen", target=0).values
        assert one.shape == (4, 8, 8)
        assert jnp.isfinite(one).all()
    other = jax.tree.map(lambda leaf: leaf, x) | {"row": x["row"] + 1}
    np.testing.assert_allclose(
        xai.cam.score_cam(model, x, layer="seen", target=0).values,
        xai.cam.score_cam(model, other, layer="seen", target=0).values,
    )


ONE_OF_EACH = ["grad_cam", "eigen_cam", "shapley_cam", "score_cam", "ablation_cam", "full_grad"]


@pytest.mark.parametrize("name", usual(ONE_OF_EACH, "eigen_cam", "score_cam", "full_grad"))
def test_bfloat16_models_have_float32_maps(name):
    exact = models.linen_net()
    variables = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), exact.content)
    model = xai.linen(models.LinenNet(), variables, train=False)
    x = models.images()
    options = {} if name == "full_grad" else {"layer": "conv"}
    values = getattr(xai.cam, name)(model, x.astype(jnp.bfloat16), target=1, **options).values
    expected = getattr(xai.cam, name)(exact, x, target=1, **options).values
    assert values.dtype == jnp.float32
    np.testing.assert_allclose(values, expected, atol=0.06 * float(jnp.abs(expected).max()))


def test_detectors_are_asked_for_a_box():
    """Each place predicts a box around itself; evidence for the box is at the places that predict it."""
    corners = jnp.stack(jnp.meshgrid(jnp.arange(8.0), jnp.arange(8.0), indexing="ij"), axis=-1).reshape(64, 2)

    def detector(x):
        hidden = xai.tag(jnp.tanh(x), "hidden")
        scores = hidden.reshape(len(x), 64, 2) @ jnp.array([[1.0, 0.3], [-0.2, 0.8]])
        boxes = jnp.concatenate([corners - 1, corners + 2], axis=-1)
        return jnp.broadcast_to(boxes, (len(x), 64, 4)), scores

    x = models.images()
    target = xai.target.box(jnp.array([[2.0, 4, 5, 7]]), jnp.array([1]))  # the box of place (3, 5)
    attribution = xai.cam.hires_cam(detector, x, target=target)
    _, scores = detector(x)
    places = np.arange(64)
    rows, columns = places // 8, places % 8
    shared = np.maximum(3 - abs(rows - 3), 0) * np.maximum(3 - abs(columns - 5), 0)
    fits = np.asarray(scores)[:, :, 1] * (shared / (18 - shared))
    best = fits.argmax(axis=1)
    np.testing.assert_allclose(attribution.output, fits.max(axis=1), rtol=1e-5)
    expected = np.zeros((4, 64))
    expected[np.arange(4), best] = fits.max(axis=1)  # the score is linear in the hidden place that predicts the box
    np.testing.assert_allclose(attribution.values.reshape(4, 64), expected, atol=1e-6)


def test_maps_vectorize_over_targets_and_over_noise():
    net, x = models.linen_net(), models.images()
    every = xai.cam.grad_cam(net, x, layer="conv", target="all").values
    over_targets = jax.vmap(lambda target: xai.cam.grad_cam(net, x, layer="conv", target=target).values)(jnp.arange(3))
    np.testing.assert_allclose(jnp.moveaxis(over_targets, 0, -1), every, atol=1e-6)
    noise = 0.1 * jax.random.normal(jax.random.key(0), (5, *x.shape))
    over_noise = jax.vmap(lambda bump: xai.cam.grad_cam(net, x + bump, layer="conv", target=1).values)(noise)
    np.testing.assert_allclose(
        over_noise[3], xai.cam.grad_cam(net, x + noise[3], layer="conv", target=1).values, atol=1e-6
    )
