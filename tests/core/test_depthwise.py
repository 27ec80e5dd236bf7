"""Depthwise convolutions as shifted products: XLA's numbers and derivatives, wherever a trace holds them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

import xaijax as xai
from tests.graphs import grouped_convolutions, names_of_operations
from tests.selection import usual
from xaijax._core.convolutions import with_fast_convolutions
from xaijax._core.depthwise import is_faster_shifted

IMAGE = ("NHWC", "HWIO", "NHWC")

# (images, kernels, layout, groups), and the options that differ from strides of 1 and "SAME".
CONVOLUTIONS = {
    "image": ((2, 5, 4, 3), (3, 3, 1, 3), IMAGE, 3, {}),
    "strides, even sides, two outputs per channel": (
        (2, 6, 5, 2),
        (3, 2, 1, 4),
        IMAGE,
        2,
        {"window_strides": (2, 1), "padding": [(1, 2), (0, 1)]},
    ),
    "dilated image and kernel, channels first, cropped": (
        (2, 3, 6, 5),
        (3, 1, 3, 3),
        ("NCHW", "OIHW", "NCHW"),
        3,
        {"lhs_dilation": (1, 2), "rhs_dilation": (2, 1), "padding": [(3, 2), (-1, 2)]},
    ),
    "kernel as large as the image": ((3, 4, 4, 2), (4, 4, 1, 2), IMAGE, 2, {"padding": "VALID"}),
    "signal": ((2, 9, 3), (3, 1, 3), ("NWC", "OIW", "CWN"), 3, {"window_strides": (2,)}),
    "volume": ((1, 3, 4, 5, 2), (2, 1, 3, 1, 2), ("NDHWC", "DHWIO", "NDHWC"), 2, {"window_strides": (1, 2, 2)}),
    # More than four examples: the derivatives of kernels' gradients exchange images and kernels.
    "many examples": (
        (6, 5, 4, 4),
        (3, 2, 1, 8),
        IMAGE,
        4,
        {"window_strides": (1, 2), "rhs_dilation": (2, 1), "padding": [(3, 1), (-1, 2)]},
    ),
    "two inputs per output": ((2, 5, 5, 4), (3, 3, 2, 2), IMAGE, 2, {"window_strides": (2, 2)}),
}


def convolution(name):
    """Returns a convolution of the table, with images and kernels of random numbers."""
    images, kernels, layout, groups, options = CONVOLUTIONS[name]
    options = {"window_strides": (1,) * (len(images) - 2), "padding": "SAME"} | options
    convolve = functools.partial(
        lax.conv_general_dilated, dimension_numbers=layout, feature_group_count=groups, **options
    )
    rng = np.random.default_rng(0)
    return convolve, rng.normal(size=images), rng.normal(size=kernels)


def derivatives(convolve, images, kernels):
    """Returns the gradients for images and kernels, and the gradients of these two."""

    def first(images, kernels):
        return jax.grad(lambda *both: jnp.sin(convolve(*both)).sum(), argnums=(0, 1))(images, kernels)

    def second(number):
        return jax.grad(lambda *both: (first(*both)[number] ** 2).sum(), argnums=(0, 1))(images, kernels)

    return first(images, kernels), second(0), second(1)


@pytest.mark.parametrize(
    "name",
    usual(
        CONVOLUTIONS,
        "strides, even sides, two outputs per channel",
        "dilated image and kernel, channels first, cropped",
        "volume",
        "many examples",
    ),
)
def test_values_and_first_and_second_derivatives_are_those_of_xla(name, float64):
    convolve, images, kernels = convolution(name)
    fast = with_fast_convolutions(convolve)
    assert not grouped_convolutions(jax.make_jaxpr(functools.partial(derivatives, fast))(images, kernels))
    of_both = jax.jit(lambda *both: [(each(*both), *derivatives(each, *both)) for each in (fast, convolve)])
    got, expected = of_both(images, kernels)
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10)


def test_forward_derivatives_are_those_of_xla(float64):
    convolve, images, kernels = convolution("strides, even sides, two outputs per channel")
    primals, tangents = (images, kernels), (images[::-1], kernels[::-1])
    for one, other in zip(
        jax.jvp(with_fast_convolutions(convolve), primals, tangents), jax.jvp(convolve, primals, tangents), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("axes", [(1, None), (None, 2), (1, 0)])
def test_vectorized_over_images_kernels_or_both(axes, float64):
    convolve, images, kernels = convolution("image")
    images = images if axes[0] is None else np.stack([images, 2 * images], axis=axes[0])
    kernels = kernels if axes[1] is None else np.stack([kernels, kernels - 1], axis=axes[1])
    fast = jax.vmap(with_fast_convolutions(convolve), in_axes=axes)
    assert not grouped_convolutions(jax.make_jaxpr(fast)(images, kernels))
    np.testing.assert_allclose(fast(images, kernels), jax.vmap(convolve, in_axes=axes)(images, kernels), atol=1e-10)


def test_sums_of_half_precision_products_are_kept_in_single_precision():
    convolve, images, kernels = convolution("kernel as large as the image")
    halves = jnp.asarray(images, jnp.bfloat16), jnp.asarray(kernels, jnp.bfloat16)
    got = with_fast_convolutions(convolve)(*halves)
    assert got.dtype == jnp.bfloat16
    exact = convolve(*(np.asarray(array, np.float32) for array in halves))
    np.testing.assert_array_equal(got, exact.astype(jnp.bfloat16))


@jax.custom_jvp
def with_own_derivative(x):
    return jnp.sin(depthwise(x))


with_own_derivative.defjvp(lambda primals, tangents: (with_own_derivative(*primals), 3 * tangents[0]))


@jax.custom_vjp
def with_own_gradient(x):
    return jnp.sin(depthwise(x))


with_own_gradient.defvjp(lambda x: (with_own_gradient(x), None), lambda _, cotangent: (3 * cotangent,))


def depthwise(x):
    return convolution("image")[0](x, convolution("image")[2].astype(np.float32) / 5)


STRUCTURES = {
    "alone": depthwise,
    "scan": lambda x: lax.scan(lambda state, _: (depthwise(state), None), x, None, length=2)[0],
    "while": lambda x: lax.while_loop(lambda state: state.max() > 1e-3, depthwise, x),
    "cond in a scan": lambda x: lax.scan(
        lambda state, flag: (lax.cond(flag, depthwise, jnp.sin, state), None), x, jnp.array([True, False])
    )[0],
    "remat": jax.checkpoint(depthwise),
    "its own derivative": with_own_derivative,
    "its own gradient": with_own_gradient,
    "vmap within jit": jax.jit(lambda x: jax.vmap(lambda row: depthwise(row[None])[0])(x)),
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_models_are_rewritten_within_loops_branches_and_calls(name):
    model, x = STRUCTURES[name], jnp.asarray(convolution("image")[1], jnp.float32)
    jaxpr = jax.make_jaxpr(xai.fast(model))(x)
    assert not grouped_convolutions(jaxpr)
    assert "depthwise_convolution" in names_of_operations(jaxpr)
    np.testing.assert_allclose(xai.fast(model)(x), model(x), atol=1e-5)
    if name.startswith("its own"):
        np.testing.assert_array_equal(jax.grad(lambda x: xai.fast(model)(x).sum())(x), jnp.full(x.shape, 3.0))


# Convolutions that XLA is as fast with: images, kernels, groups, dtype.
OTHERS = {
    "one group": ((2, 5, 5, 1), (3, 3, 1, 4), 1, "float32"),
    "groups of many channels": ((2, 5, 5, 16), (3, 3, 8, 16), 2, "float32"),
    "many outputs per channel": ((2, 5, 5, 3), (3, 3, 1, 96), 3, "float32"),
    "a large kernel": ((2, 15, 15, 2), (13, 13, 1, 2), 2, "float32"),
    "integers": ((2, 5, 5, 2), (3, 3, 1, 2), 2, "int32"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_convolutions_that_xla_is_fast_with_stay_as_they_are(name):
    images, kernels, groups, dtype = OTHERS[name]
    convolve = functools.partial(
        lax.conv_general_dilated,
        window_strides=(1, 1),
        padding="SAME",
        dimension_numbers=IMAGE,
        feature_group_count=groups,
    )
    arrays = jax.ShapeDtypeStruct(images, dtype), jax.ShapeDtypeStruct(kernels, dtype)
    (equation,) = jax.make_jaxpr(convolve)(*arrays).eqns
    assert not is_faster_shifted(equation)


class Separable(nnx.Module):
    """A block of MobileNet: a depthwise convolution, batch normalization, and a dense layer of the channels."""

    def __init__(self, rngs):
        self.depthwise = nnx.Conv(4, 4, (3, 3), strides=2, feature_group_count=4, rngs=rngs)
        self.norm = nnx.BatchNorm(4, use_running_average=True, rngs=rngs)
        self.pointwise = nnx.Conv(4, 6, (1, 1), rngs=rngs)
        self.head = nnx.Linear(6, 3, rngs=rngs)

    def __call__(self, x):
        return self.head(jax.nn.relu6(self.pointwise(jax.nn.relu6(self.norm(self.depthwise(x))))).mean(axis=(1, 2)))


@pytest.fixture(scope="module")
def separable():
    return Separable(nnx.Rngs(0)), jax.random.normal(jax.random.key(1), (3, 8, 8, 4))


EXPLAINERS = {
    "CAM": lambda model, x: xai.cam.cam(model, x, head="head"),
    "Grad-CAM of an earlier layer": lambda model, x: xai.cam.grad_cam(model, x, layer="depthwise"),
    "Score-CAM": lambda model, x: xai.cam.score_cam(model, x, batch_size=2),
    "FullGrad": xai.cam.full_grad,
    "SHAP": lambda model, x: xai.shap.permutation(
        xai.game(model, x, xai.mask.grid(2)), num_permutations=2, key=jax.random.key(0), batch_size=5
    ),
    "LIME": lambda model, x: xai.lime.image(
        model, x, xai.mask.grid(2), num_samples=20, key=jax.random.key(0), batch_size=5
    ),
    "expected gradients": lambda model, x: xai.shap.expected_gradients(
        model, x, x, num_samples=32, key=jax.random.key(0), batch_size=2
    ),
}


@pytest.mark.parametrize("name", EXPLAINERS)
def test_programs_of_explainers_hold_no_grouped_convolution(name, separable):
    model, x = separable
    jaxpr = jax.make_jaxpr(lambda x: EXPLAINERS[name](model, x).values)(x)
    assert not grouped_convolutions(jaxpr)
    assert "depthwise_convolution" in names_of_operations(jaxpr)


def test_fast_models_have_the_values_the_gradients_the_parameters_and_the_layers_of_the_model(separable):
    model, x = separable
    fast = xai.fast(model)
    assert xai.fast(fast) is fast
    assert xai.layers(fast, x) == xai.layers(model, x)
    np.testing.assert_allclose(fast(x), model(x), atol=1e-5)
    graph, parameters, rest = nnx.split(model, nnx.Param, ...)

    def compute(wrap, parameters, x):
        def loss(parameters, x):
            return (wrap(nnx.merge(graph, parameters, rest))(x) ** 2).sum()

        gradients = jax.grad(loss, argnums=(0, 1))
        second = jax.grad(lambda x: (gradients(parameters, x)[1] ** 2).sum())
        of_rows = jax.vmap(lambda row: wrap(model)(row[None])[0])
        return of_rows(x), gradients(parameters, x), second(x)

    assert not grouped_convolutions(jax.make_jaxpr(functools.partial(compute, xai.fast))(parameters, x))
    both = jax.jit(lambda *arrays: [compute(wrap, *arrays) for wrap in (xai.fast, lambda model: model)])
    got, expected = both(parameters, x)
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_fast_models_are_explained_as_the_model(separable):
    model, x = separable
    got, expected = (xai.cam.cam(each, x, head="head").values for each in (xai.fast(model), model))
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_the_compiled_program_of_a_fast_model_holds_no_grouped_convolution(separable):
    model, x = separable
    program = jax.jit(lambda x: xai.fast(model)(x)).lower(x)
    assert "feature_group_count = 4" not in program.as_text()


def test_programs_for_any_number_of_rows_and_for_other_devices_are_exported(separable):
    model, x = separable
    rows = jax.ShapeDtypeStruct(jax.export.symbolic_shape("n, 8, 8, 4"), jnp.float32)
    exported = jax.export.export(jax.jit(xai.fast(model)), platforms=["cpu", "cuda"])(rows)
    np.testing.assert_allclose(exported.call(x), model(x), atol=1e-5)


def test_what_is_not_a_model_is_refused():
    with pytest.raises(TypeError, match="`model` must be callable as model"):
        xai.fast(jnp.ones(3))
