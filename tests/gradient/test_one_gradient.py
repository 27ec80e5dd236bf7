"""Saliency, input times gradient, guided backpropagation and deconvolution, against closed forms and by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests import models

WEIGHTS = np.array([[1.0, -2.0], [0.5, 3.0], [-1.0, 0.0]], np.float32)
X = np.array([[1.0, 2.0, -1.0], [0.5, -3.0, 2.0]], np.float32)


def quadratic(x):
    """f_k = w_k·x + (x_0 x_1) for the second output: gradients by hand."""
    return x @ WEIGHTS + jnp.stack([jnp.zeros(len(x)), x[:, 0] * x[:, 1]], axis=1)


SLOPES = np.stack([np.tile(WEIGHTS[:, 0], (2, 1)), WEIGHTS[:, 1] + X[:, [1, 0, 2]] * [1, 1, 0]], axis=-1)


def test_saliency_is_the_gradient_of_every_output():
    every = xai.gradient.saliency(quadratic, X, target="all")
    assert every.axes == "N M K"
    np.testing.assert_allclose(every.values, SLOPES, rtol=1e-6)
    np.testing.assert_allclose(every.output, quadratic(X), rtol=1e-6)
    own = xai.gradient.saliency(quadratic, X, target=[1, 0])
    np.testing.assert_allclose(own.values, [SLOPES[0, :, 1], SLOPES[1, :, 0]], rtol=1e-6)
    top = xai.gradient.saliency(quadratic, X)
    assert top.target.tolist() == np.argmax(quadratic(X), axis=1).tolist() == [1, 0]
    np.testing.assert_array_equal(top.values, own.values)
    score = xai.gradient.saliency(quadratic, X, target=lambda y: y[:, 0] - y[:, 1])
    np.testing.assert_allclose(score.values, SLOPES[..., 0] - SLOPES[..., 1], rtol=1e-6)
    assert own.method == "saliency"
    np.testing.assert_array_equal(own.inputs, X)


def test_absolute_values_are_taken_before_the_sum_over_channels():
    net, images = models.function_net(), models.images()
    slopes = jax.grad(lambda x: net(x)[:, 2].sum())(images)
    signed = xai.gradient.saliency(net, images, target=2)
    assert signed.axes == "N H W C"
    assert (signed.values < 0).any()
    np.testing.assert_allclose(signed.values, slopes, atol=1e-7)
    summed = xai.gradient.saliency(net, images, target=2, absolute=True, channels="sum")
    assert summed.axes == "N h w"
    np.testing.assert_allclose(summed.values, np.abs(slopes).sum(axis=-1), atol=1e-7)
    first = lambda x: net(jnp.moveaxis(x, 1, -1))  # noqa: E731
    swapped = xai.gradient.saliency(first, jnp.moveaxis(images, -1, 1), target=2, channels="sum", channel_axis=1)
    np.testing.assert_allclose(swapped.values, slopes.sum(axis=-1), atol=1e-7)
    kept = xai.gradient.saliency(first, jnp.moveaxis(images, -1, 1), target=2, channel_axis=1)
    assert kept.axes == "N C H W"


def test_input_x_gradient_is_exact_for_linear_models_and_doubles_products():
    values = xai.gradient.input_x_gradient(quadratic, X, target="all").values
    np.testing.assert_allclose(values, X[..., None] * SLOPES, rtol=1e-6)
    np.testing.assert_allclose(values[..., 0].sum(axis=1), quadratic(X)[:, 0], rtol=1e-6)


def two_layers():
    rng = np.random.default_rng(0)
    return [rng.normal(size=shape) for shape in ((3, 5), (5, 4), (4, 2))]


@pytest.mark.parametrize("relu", [jax.nn.relu, lambda x: jnp.maximum(0.0, x)])
def test_the_rules_of_relus_by_hand(relu):
    first, second, head = two_layers()
    x = np.random.default_rng(1).normal(size=(6, 3))
    inner = x @ first
    outer = np.maximum(inner, 0) @ second

    def net(x):
        return relu(relu(x @ first) @ second) @ head

    for name, passes in {
        "guided_backpropagation": lambda at, slope: np.where(at > 0, np.maximum(slope, 0), 0),
        "deconvolution": lambda at, slope: np.maximum(slope, 0),
        "saliency": lambda at, slope: np.where(at > 0, slope, 0),
    }.items():
        expected = passes(inner, passes(outer, np.tile(head[:, 1], (6, 1))) @ second.T) @ first.T
        result = getattr(xai.gradient, name)(net, x.astype(np.float32), target=1)
        np.testing.assert_allclose(result.values, expected, atol=2e-6 * np.abs(expected).max(), err_msg=name)
        np.testing.assert_allclose(result.output, (np.maximum(outer, 0) @ head)[:, 1], atol=1e-5)


@jax.custom_vjp
def own_relu(x):
    return jnp.maximum(x, 0)


own_relu.defvjp(lambda x: (jnp.maximum(x, 0), x > 0), lambda active, slope: (jnp.where(active, slope, 0),))

# Ways to write relu(x) of a vector. In a scan it is the second step of two; the first adds nothing.
WAYS = {
    "scan": lambda x: jax.lax.scan(lambda sum, w: (sum + jax.nn.relu(w * x), None), 0 * x, jnp.array([0.0, 1.0]))[0],
    "scalars in a scan": lambda x: jax.lax.scan(lambda i, one: (i + 1, jax.nn.relu(one)), 0, x)[1],
    "cond": lambda x: jax.lax.cond(x.sum() > -9, lambda x: jnp.maximum(x, 0), lambda x: 5 * x, x),
    "scan of cond": lambda x: jax.lax.scan(
        lambda h, _: (jax.lax.cond(h.sum() > -9, jax.nn.relu, jnp.sin, h), None), x, length=1
    )[0],
    "own derivative": own_relu,
    "remat": jax.checkpoint(jax.nn.relu),
}


def test_relus_in_bodies_have_the_same_rules():
    """f = relu(5 - relu(x_0)) + 2 relu(x_1) at x = (1, -1), of which the inner ReLUs are in a body. One output for each way.

    The slopes that reach the inner ReLUs are -1 and 2. Guided: 0 and 0. Deconvolution: 0 and 2. Saliency: -1 and 0.
    """
    x = np.array([[1.0, -1.0]], np.float32)

    def net(x):
        inner = jnp.stack([way(x[0]) for way in WAYS.values()])
        return (jax.nn.relu(5 - inner[:, 0]) + 2 * inner[:, 1])[None]

    def in_a_scan_alone(x):
        return (WAYS["scan"](x[0]) @ jnp.array([-1.0, 2.0]))[None, None]

    for model, ways, output in ((net, WAYS, 4), (in_a_scan_alone, ["scan"], -1)):
        for name, expected in {"guided_backpropagation": [0, 0], "deconvolution": [0, 2], "saliency": [-1, 0]}.items():
            result = getattr(xai.gradient, name)(model, x, target="all")
            for number, way in enumerate(ways):
                np.testing.assert_allclose(result.values[0, :, number], expected, err_msg=f"{name}, {way}")
            np.testing.assert_allclose(result.output, [[output] * len(ways)])


def test_while_loops_are_refused_in_a_sentence():
    def net(x):
        return jax.lax.while_loop(lambda h: h.sum() < 3, lambda h: jax.nn.relu(h + 1), x)

    for name in ("guided_backpropagation", "saliency"):
        with pytest.raises(
            ValueError, match="`model` must be differentiable backward, got a `while` loop .* `lax.scan`"
        ):
            getattr(xai.gradient, name)(net, X, target=0)


@pytest.mark.parametrize("explain", [xai.gradient.guided_backpropagation, xai.gradient.deconvolution])
def test_networks_without_relus_are_refused(explain):
    with pytest.raises(ValueError, match="`model` must have ReLUs, .* got none"):
        explain(models.linen_net(), models.images())


def argmax(x):
    return jnp.argmax(x, axis=1)


@pytest.mark.parametrize(
    ("model", "target"),
    [
        (argmax, None),
        (lambda x: jax.nn.one_hot(argmax(x), 3), 1),
        (jax.jit(lambda x: (x > 0).astype(jnp.float32)), 1),
        (jnp.round, 0),
        (lambda x: x.astype(jnp.int32), 0),
        (lambda x: x, lambda y: argmax(y).astype(jnp.float32)),
    ],
    ids=["argmax", "one hot", "comparison", "rounding", "integers", "target"],
)
@pytest.mark.parametrize("name", ["saliency", "integrated_gradients"])
def test_models_without_a_derivative_are_refused(name, model, target):
    with pytest.raises(ValueError, match="`model` must have a derivative .* zero everywhere, as of argmax"):
        getattr(xai.gradient, name)(model, X, target=target)


def test_a_model_that_ignores_its_input_or_parts_of_it_has_zeros():
    assert (xai.gradient.saliency(lambda x: jnp.ones((len(x), 2)), X, target=1).values == 0).all()
    half = xai.gradient.saliency(lambda x: jnp.round(x[:, 0]) + x[:, 1], X)
    assert half.values.tolist() == [[0, 1, 0], [0, 1, 0]]


def test_what_is_invalid_under_a_transformation_is_nan():
    """Even where the model does not read the NaN, or is NaN at x alone and not on the path."""
    broken = jnp.asarray(X).at[1, 2].set(jnp.nan)
    path = {"integrated_gradients": {"baseline": 2.0, "num_steps": 1}}  # from 2 to x, by way of its middle
    for name in ("saliency", "integrated_gradients"):
        explain = getattr(xai.gradient, name)
        result = jax.jit(lambda x, explain=explain: explain(lambda x: x[:, 0] * x[:, 1], x))(broken)
        for part in (result.values, result.output):
            np.testing.assert_array_equal(np.isnan(part).reshape(2, -1).any(axis=1), [False, True])
        result = explain(lambda x: x[:, 0], X, target=lambda y: jnp.where(y < 0.6, jnp.nan, y), **path.get(name, {}))
        np.testing.assert_array_equal(np.isnan(result.values), [[False] * 3, [True] * 3])
        result = jax.jit(lambda target, explain=explain: explain(quadratic, X, target=target))(jnp.array([0, 7]))
        for part in (result.values, result.output):
            np.testing.assert_array_equal(np.isnan(part).reshape(2, -1).all(axis=1), [False, True])
            np.testing.assert_array_equal(np.isnan(part).reshape(2, -1).any(axis=1), [False, True])


def test_columns_of_data_frames_name_the_features():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=["age", "income", "size"])
    explain = xai.gradient
    calls = {
        "saliency": lambda x: explain.saliency(quadratic, x, target=1),
        "integrated gradients": lambda x: explain.integrated_gradients(quadratic, x, target=1, num_steps=2),
        "occlusion": lambda x: explain.occlusion(quadratic, x, 1, target=1),
        "feature ablation": lambda x: explain.feature_ablation(quadratic, x, target=1),
        "smooth": lambda x: explain.smooth(explain.saliency, num_samples=2)(
            quadratic, x, target=1, key=jax.random.key(0)
        ),
    }
    for name, call in calls.items():
        named = call(frame)
        assert named.names == ("age", "income", "size"), name
        np.testing.assert_array_equal(named.values, call(X).values)
        np.testing.assert_array_equal(named.inputs, X)
    means = frame.mean()[["size", "age", "income"]]  # matched by name
    named = explain.integrated_gradients(quadratic, frame[["size", "income", "age"]], means, target=1)
    assert named.names == ("size", "age", "income")
    with pytest.raises(TypeError, match="numeric columns, got strings or categories in 'age'"):
        explain.saliency(quadratic, frame.assign(age="old"))


MISTAKES = {
    "whole numbers": (
        lambda: xai.gradient.saliency(quadratic, X.astype(int)),
        "`x` must be floating numbers.* int32.*astype",
    ),
    "one row": (lambda: xai.gradient.saliency(quadratic, X[0]), "`x` must have at least one example and one feature"),
    "NaN in x": (lambda: xai.gradient.saliency(quadratic, X * np.nan), "`x` must hold no NaN"),
    "a masker": (
        lambda: xai.gradient.integrated_gradients(quadratic, X, xai.mask.baseline(X[0])),
        "`baseline` must be an array of rows, got a masker",
    ),
    "channels of a table": (
        lambda: xai.gradient.saliency(quadratic, X, channels="sum"),
        r"`channels` must be None for inputs \[N, D\]",
    ),
    "unknown channels": (
        lambda: xai.gradient.saliency(quadratic, X, channels="mean"),
        r"`channels` must be one of \['sum'\]",
    ),
    "axis of examples": (
        lambda: xai.gradient.saliency(models.function_net(), models.images(), channel_axis=0),
        "`channel_axis` must be an axis of x",
    ),
    "a class too many": (lambda: xai.gradient.saliency(quadratic, X, target=2), "`target` must be from 0 to 1"),
    "absolute": (lambda: xai.gradient.saliency(quadratic, X, absolute=1), "`absolute` must be True or False"),
}


@pytest.mark.parametrize(("mistake", "sentence"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_answered_with_a_sentence(mistake, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        mistake()
