"""Every one-pass map against its paper's equation in NumPy float64, and the identities that tie them together."""

import functools
import inspect
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.decomposition import KernelPCA

import xaijax as xai
from tests.cam import _numpy_maps
from tests.explainers import ONE_PASS
from tests.models import once
from tests.selection import usual

RNG = np.random.default_rng(3)
ACTIVATIONS = np.maximum(RNG.normal(0.3, 1, (3, 6, 5, 4)), 0)
SIGNED = RNG.normal(size=(3, 6, 5, 4))
SLOPES = RNG.normal(size=(6, 5, 4))
CURVES = RNG.normal(size=4) / 20


def score(a):
    """y = sum W A + 1/2 sum_k q_k (sum_ij A_ij^k)², so that G = W + q_k sum A^k and (H · A)^k = q_k sum A^k."""
    totals = a.sum(axis=(1, 2))
    linear = jnp.einsum("nhwc,hwc->n", a, SLOPES, precision="highest")
    return (linear + (totals**2 @ jnp.asarray(CURVES)) / 2)[:, None]


def gradients(a):
    return SLOPES + (CURVES * a.sum(axis=(1, 2)))[:, None, None, :]


@once
def model():
    return xai.compose(lambda x: x, score)


def explained(name, a, **options):
    return getattr(xai.cam, name)(model(), jnp.asarray(a, jnp.float32), relu=False, **options).values


@pytest.mark.parametrize("a", [ACTIVATIONS, SIGNED], ids=["rectified", "signed"])
@pytest.mark.parametrize("name", [name for name in ONE_PASS if hasattr(_numpy_maps, name)])
def test_the_map_is_the_papers_equation(name, a):
    expected = getattr(_numpy_maps, name)(a, gradients(a))
    np.testing.assert_allclose(explained(name, a), expected, atol=1e-5 * np.abs(expected).max())


def test_shapley_cam_takes_half_the_hessian_vector_product_off():
    alphas = (gradients(ACTIVATIONS) - (CURVES * ACTIVATIONS.sum(axis=(1, 2)))[:, None, None, :] / 2).mean(axis=(1, 2))
    expected = np.einsum("nhwk,nk->nhw", ACTIVATIONS, alphas)
    np.testing.assert_allclose(explained("shapley_cam", ACTIVATIONS), expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("kernel", ["sigmoid", "rbf", "linear"])
@pytest.mark.parametrize("gamma", usual([None, 0.7], 0.7))
def test_kpca_cam_is_the_first_kernel_component_of_scikit_learn(kernel, gamma):
    maps = explained("kpca_cam", ACTIVATIONS, kernel=kernel, gamma=gamma)
    for n, one in enumerate(ACTIVATIONS):
        rows = one.reshape(-1, one.shape[-1])
        component = KernelPCA(1, kernel=kernel, gamma=gamma).fit_transform(rows - rows.mean(axis=0))[:, 0]
        component *= np.sign(component @ np.abs(rows).sum(axis=1))
        np.testing.assert_allclose(np.ravel(maps[n]), component, atol=2e-5 * np.abs(component).max())


def test_the_relu_of_a_map_is_its_papers_choice_and_can_be_turned():
    x = jnp.asarray(ACTIVATIONS, jnp.float32)
    for name, explain in ONE_PASS.items():
        signed, plain = explain(model(), x, relu=False).values, explain(model(), x).values
        np.testing.assert_array_equal(plain, np.maximum(signed, 0) if explain.relu else signed, err_msg=name)


def test_hires_cam_sums_to_the_score_of_a_linear_tail():
    linear = xai.compose(lambda x: x, lambda a: jnp.einsum("nhwc,hwc->n", a, SLOPES)[:, None] + 0.7)
    attribution = xai.cam.hires_cam(linear, jnp.asarray(SIGNED, jnp.float32))
    np.testing.assert_allclose(attribution.values.sum(axis=(1, 2)), attribution.output - 0.7, atol=1e-4)


def test_xgrad_cam_gives_each_channel_what_the_score_loses_without_it():
    """The sensitivity axiom (Fu et al. 2020, equation 2), exact for a linear tail."""

    def head(a):
        return jnp.einsum("nhwc,hwc->n", a, SLOPES, precision="highest")

    x = jnp.asarray(ACTIVATIONS, jnp.float32)
    for channel in range(4):
        alone = x * (jnp.arange(4) == channel)
        values = xai.cam.xgrad_cam(xai.compose(lambda x: x, head), alone, relu=False).values
        np.testing.assert_allclose(values.sum(axis=(1, 2)), head(alone), atol=1e-4)
    values = xai.cam.xgrad_cam(xai.compose(lambda x: x, head), x, relu=False).values
    np.testing.assert_allclose(values.sum(axis=(1, 2)), head(x), atol=1e-4)


def test_shapley_cam_is_grad_cam_where_the_tail_is_linear():
    linear = xai.compose(lambda x: x, lambda a: jnp.einsum("nhwc,hwc->n", a, SLOPES))
    x = jnp.asarray(SIGNED, jnp.float32)
    np.testing.assert_allclose(xai.cam.shapley_cam(linear, x).values, xai.cam.grad_cam(linear, x).values, atol=1e-6)


def test_several_maps_are_those_that_each_gives_alone_from_one_forward_and_one_backward_pass():
    x = jnp.asarray(ACTIVATIONS, jnp.float32)
    together = xai.cam.several(model(), x, list(ONE_PASS.values()))
    for name, explain in ONE_PASS.items():
        np.testing.assert_allclose(together[name].values, explain(model(), x).values, atol=1e-5, err_msg=name)
    calls = []

    def counted(a):
        calls.append(None)
        return score(a)

    counting = xai.compose(lambda x: x, counted)
    xai.cam.several(counting, x, [xai.cam.grad_cam, xai.cam.hires_cam, xai.cam.eigen_grad_cam])
    one_map = len(calls)
    xai.cam.several(xai.compose(lambda x: x, lambda a: counted(a)), x, [xai.cam.grad_cam])
    assert len(calls) == 2 * one_map


def test_several_takes_maps_with_options():
    x = jnp.asarray(ACTIVATIONS, jnp.float32)
    rbf, few = functools.partial(xai.cam.kpca_cam, kernel="rbf"), (xai.cam.fem, {"deviations": 1.0, "normalize": True})
    maps = xai.cam.several(model(), x, [rbf, xai.cam.kpca_cam, few])
    assert list(maps) == ["kpca_cam(kernel='rbf')", "kpca_cam", "fem"]
    alone = [
        xai.cam.kpca_cam(model(), x, kernel="rbf"),
        xai.cam.kpca_cam(model(), x),
        xai.cam.fem(model(), x, deviations=1.0, normalize=True),
    ]
    for attribution, expected in zip(maps.values(), alone, strict=True):
        np.testing.assert_allclose(attribution.values, expected.values, atol=1e-6)
    fused = xai.cam.fuse(two_layers, x, ["first", "second"], method=rbf, target=0).values
    assert (
        jnp.abs(fused - xai.cam.fuse(two_layers, x, ["first", "second"], method=xai.cam.kpca_cam).values).max() > 0.01
    )


def two_layers(x):
    return score(xai.tag(jnp.tanh(xai.tag(x, "first")), "second"))


@pytest.mark.parametrize(
    ("maps", "sentence"),
    [
        ([], "`maps` must be a list of one-pass maps"),
        ([(xai.cam.fem, {"deviation": 1})], r"fem\(\) has no option 'deviation' \(did you mean 'deviations'"),
        ([functools.partial(xai.cam.fem, layer="features")], r"fem\(\) has no option 'layer'"),
        ([functools.partial(xai.cam.kpca_cam, kernel=["rbf"])], "`kernel` must be a Python number or string"),
        ([xai.cam.fem, xai.cam.fem], "`maps` must differ in map or options, got fem more than once"),
    ],
)
def test_maps_that_several_refuses(maps, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        xai.cam.several(model(), jnp.asarray(ACTIVATIONS, jnp.float32), maps)


@pytest.mark.parametrize("name", [name for name in xai.cam.__all__ if name.islower()])
def test_signatures_and_documentation_name_every_option(name):
    function = getattr(xai.cam, name)
    parameters = inspect.signature(function).parameters
    assert all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters.values())
    for option in parameters:
        assert re.search(rf"\b{option}\b", function.__doc__), option


def test_all_classes_are_the_maps_of_each_class():
    kernel = jnp.asarray(RNG.normal(size=(4, 7)), jnp.float32)
    many = xai.compose(lambda x: x, lambda a: jnp.tanh(a.mean(axis=(1, 2)) @ kernel))
    x = jnp.asarray(SIGNED, jnp.float32)
    every = xai.cam.several(many, x, list(ONE_PASS.values()), target="all", upsample=(12, 10))
    for name, explain in ONE_PASS.items():
        assert every[name].values.shape == (3, 12, 10, 7)
        for target in (0, 6):
            one = explain(many, x, target=target, upsample=(12, 10)).values
            np.testing.assert_allclose(every[name].values[..., target], one, atol=1e-6, err_msg=name)
    np.testing.assert_allclose(every["fem"].output, many(x), atol=1e-6)


def test_cam_of_all_classes():
    kernel = jnp.asarray(RNG.normal(size=(4, 7)), jnp.float32)
    model = xai.compose(lambda x: x, lambda a: a.mean(axis=(1, 2)) @ kernel + 0.5)
    every = xai.cam.cam(model, jnp.asarray(SIGNED, jnp.float32), target="all")
    np.testing.assert_allclose(every.values, np.einsum("nhwc,ck->nhwk", SIGNED, kernel), atol=1e-5)
    np.testing.assert_allclose(every.base_value, 0.5, atol=1e-6)


@pytest.mark.parametrize("name", usual(ONE_PASS, "xgrad_cam", "eigen_cam"))
def test_dead_activations_and_dead_gradients_give_zero_and_finite_slopes(name):
    explain = ONE_PASS[name]
    x = jnp.asarray(ACTIVATIONS, jnp.float32)
    dead = xai.compose(lambda x: x, lambda a: 0 * a.sum(axis=(1, 2)))

    def loss(scale, model):
        return explain(model, scale * x, target=0, normalize=True).values.sum()

    for model_, scale in [(dead, 1.0), (model(), 0.0)]:
        values = explain(model_, scale * x, target=0).values
        assert jnp.isfinite(values).all()
        if scale == 0 or name not in ("eigen_cam", "kpca_cam", "fem"):  # these do not ask for the class
            assert jnp.abs(values).max() < 1e-6
        assert jnp.isfinite(jax.grad(loss)(scale, model_))


def test_a_target_that_does_not_exist_gives_nan_under_jit():
    many = xai.compose(lambda x: x, lambda a: a.mean(axis=(1, 2)))
    x = jnp.asarray(ACTIVATIONS, jnp.float32)
    for name, explain in {**ONE_PASS, "cam": xai.cam.cam, "ablation_cam": xai.cam.ablation_cam}.items():
        values = jax.jit(lambda x, target, explain=explain: explain(many, x, target=target).values)(
            x, jnp.array([0, 1005, -1])
        )
        assert jnp.isnan(values[1:]).all(), name
        assert jnp.isfinite(values[0]).all(), name
