"""DeepLIFT: completeness on all common layers, multipliers by hand, RevealCancel in NumPy, operations without a rule."""

import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import xaijax as xai
from tests import models

pytestmark = pytest.mark.filterwarnings("ignore:xai.gradient.deep_lift was compiled")  # for many functions, on purpose

X = np.array([[1.0, 2.0, -1.0], [0.5, -3.0, 2.0]], np.float32)
R = np.array([0.2, 1.0, 0.5], np.float32)
WEIGHTS = np.array([[1, 0.5, -1, 0.2], [0.3, -0.7, 0.4, 1], [0.8, 0.1, 0.6, -0.5]], np.float32)


def lift(model, x=X, baseline=R, **options):
    return xai.gradient.deep_lift(model, x, baseline, **{"target": "all"} | options)


def relative_gap(result):
    """[K] the largest completeness gap of each output, relative to the sum of the absolute values."""
    total = np.abs(result.values).reshape(len(result), -1, result.num_outputs).sum(axis=1)
    return np.abs(result.completeness_gap / np.maximum(total, 1e-30)).max(axis=0)


LAYERS = [
    "relu", "gelu", "silu", "tanh", "sigmoid", "softplus", "elu", "leaky_relu", "relu6", "softmax", "max_pool",
    "avg_pool", "layer_norm", "rms_norm", "group_norm", "batch_norm", "attention", "gating", "residual",
    "reused", "scan", "gru", "lstm", "global_max",
]  # fmt: skip


class Layers(nn.Module):
    """One number for each layer of deep learning, of sequences [n, T, C]; each behind a dense layer."""

    @nn.compact
    def __call__(self, x):
        dtype = x.dtype
        hidden = nn.Dense(4, param_dtype=dtype)(x)
        reused = nn.Dense(4, param_dtype=dtype)
        pooled = (2,), (2,)
        step = lambda carry, row: (jnp.tanh(carry * 0.5 + row), carry * row)  # noqa: E731
        layers = {
            "relu": nn.relu, "gelu": nn.gelu, "silu": nn.silu, "tanh": jnp.tanh, "sigmoid": nn.sigmoid,
            "softplus": nn.softplus, "elu": nn.elu, "leaky_relu": nn.leaky_relu, "relu6": lambda h: nn.relu6(4 * h),
            "softmax": nn.softmax, "max_pool": lambda h: nn.max_pool(h, *pooled),
            "avg_pool": lambda h: nn.avg_pool(jnp.tanh(h), *pooled),
            "layer_norm": nn.LayerNorm(), "rms_norm": nn.RMSNorm(), "group_norm": nn.GroupNorm(2),
            "batch_norm": nn.BatchNorm(use_running_average=True),
            "attention": nn.MultiHeadDotProductAttention(2, param_dtype=dtype),
            "gating": lambda h: h * nn.sigmoid(h[..., ::-1]), "residual": lambda h: h + nn.gelu(reused(h)),
            "reused": lambda h: reused(jnp.tanh(reused(h))),
            "scan": lambda h: lax.scan(step, jnp.zeros_like(h[:, 0]), h.swapaxes(0, 1))[1].swapaxes(0, 1),
            "gru": nn.RNN(nn.GRUCell(3, param_dtype=dtype)), "lstm": nn.RNN(nn.LSTMCell(3, param_dtype=dtype)),
            "global_max": lambda h: h.max(axis=1),
        }  # fmt: skip
        outputs = [layers[name](hidden).reshape(len(x), -1) for name in LAYERS]
        return jnp.stack([out @ jnp.cos(jnp.arange(out.shape[1], dtype=out.dtype)) for out in outputs], axis=1)


def operations(x):
    """Less common operations of rows [n, 6]."""
    turned = x[:, ::-1]

    @jax.custom_vjp
    def own(x):
        return x**3

    own.defvjp(lambda x: (own(x), x), lambda x, cotangent: (cotangent,))
    outputs = {
        "sort": jnp.sort(x), "top_k": lax.top_k(x, 2)[0], "median": jnp.median(x, axis=1, keepdims=True),
        "cummax": lax.cummax(x, axis=1), "reverse cummin": lax.cummin(x, axis=1, reverse=True), "cumsum": jnp.cumsum(x, 1),
        "cumprod": jnp.cumprod(x, axis=1), "prod": x.prod(axis=1, keepdims=True), "maximum": jnp.maximum(x, turned),
        "cumlogsumexp": lax.cumlogsumexp(x, axis=1), "power": jnp.abs(x) ** jnp.abs(turned), "angle": jnp.arctan2(x, turned),
        "clip": jnp.clip(x, x.mean(axis=1, keepdims=True), x.max(axis=1, keepdims=True)), "spectrum": jnp.abs(jnp.fft.rfft(x)),
        "logsumexp": jax.nn.logsumexp(x, axis=1, keepdims=True), "norm": jnp.linalg.norm(x, axis=1, keepdims=True),
        "piecewise": jnp.where(x > 0.3, jnp.log(x), x**2), "choice": jnp.where(turned > 0, x, jnp.sin(x)),
        "straight through": x + lax.stop_gradient(jnp.round(x) - x), "integers": jnp.floor(3 * x).astype(int) * turned,
        "branch": jax.vmap(lambda row: lax.cond(row.sum() > 0, lambda row: row**2, jnp.cos, row))(x),
        "own derivative": own(x), "recomputed": jax.checkpoint(lambda x: jnp.sin(x) * turned)(x), "quotient": x / (2 + turned**2),
        "windows": lax.reduce_window(x, -jnp.inf, lax.max, (1, 3), (1, 2), ((0, 0), (1, 1))),
    }  # fmt: skip
    return {name: out.reshape(len(x), -1) for name, out in outputs.items()}


OPERATIONS = list(operations(jnp.ones((1, 6))))


def combined(x):
    return jnp.stack(
        [out @ jnp.cos(jnp.arange(out.shape[1], dtype=out.dtype)) for out in operations(x).values()], axis=1
    )


def layers(dtype):
    x = (2 * jax.random.normal(jax.random.key(1), (3, 4, 3))).astype(dtype)
    baseline = jax.random.normal(jax.random.key(2), (4, 3)).astype(dtype)
    net = Layers()
    variables = jax.tree.map(lambda leaf: leaf.astype(dtype), net.init(jax.random.key(0), x))
    return xai.linen(net, variables), x, baseline


def test_layers_are_complete_in_float64(float64):
    result = lift(*layers(jnp.float64))
    assert dict(zip(LAYERS, relative_gap(result) < 1e-13, strict=True)) == dict.fromkeys(LAYERS, True)
    assert result.values.dtype == jnp.float64
    assert result.rule_share == 1.0
    assert result.efficient


@pytest.mark.slow
def test_layers_are_complete_in_float32():
    gaps = relative_gap(lift(*layers(jnp.float32)))
    assert dict(zip(LAYERS, gaps < 1e-5, strict=True)) == dict.fromkeys(LAYERS, True), gaps


@pytest.mark.parametrize("rule", ["rescale", pytest.param("reveal_cancel", marks=pytest.mark.slow)])
def test_other_operations_are_complete_in_float64(float64, rule):
    x, baseline = jax.random.normal(jax.random.key(1), (4, 6)), 0.5 * jax.random.normal(jax.random.key(2), (6,))
    result = lift(combined, x, baseline, rule=rule)
    assert dict(zip(OPERATIONS, relative_gap(result) < 1e-13, strict=True)) == dict.fromkeys(OPERATIONS, True)
    assert result.without_rule == ()


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["rescale", "reveal_cancel"])
def test_a_vision_transformer_is_complete(rule):
    result = lift(models.vision_transformer(), models.images(3), 0.3, rule=rule)
    assert relative_gap(result).max() < 1e-5


def several(x):
    """A product, a quotient, the larger of two windows, a saturated sum, and softmax."""
    pooled = lax.reduce_window(x[:, :2], -jnp.inf, lax.max, (1, 2), (1, 2), "VALID")[:, 0]
    softmax = jax.nn.softmax(x[:, :2])[:, 0]
    others = [x[:, 0] * x[:, 1], x[:, 0] / (x[:, 1] + 5), pooled, jnp.minimum(x[:, 0] + x[:, 2], 0.6), softmax]
    return jnp.stack(others, axis=1)


def by_hand(x, r):
    """[D, K] multipliers times differences; outputs as in `several`."""
    d, mean = x - r, (x + r) / 2
    product = np.array([d[0] * mean[1], d[1] * mean[0], 0])
    below, other = x[1] + 5, r[1] + 5
    quotient = np.array([d[0] * (1 / below + 1 / other) / 2, mean[0] * (1 / below - 1 / other), 0])
    largest, reference = x[:2].argmax(), r[:2].argmax()
    winner = largest if x[largest] >= r[reference] else reference
    pooled = np.zeros(3)
    pooled[winner] = x[largest] - r[reference]
    steps = d * np.array([1, 0, 1])
    saturated = steps / steps.sum() * (min(x[0] + x[2], 0.6) - min(r[0] + r[2], 0.6))
    sigmoid = lambda row: 1 / (1 + np.exp(row[1] - row[0]))  # noqa: E731
    both = np.array([d[0], -d[1], 0])  # softmax of two depends on their difference alone
    softmax = both / both.sum() * (sigmoid(x) - sigmoid(r))
    return np.stack([product, quotient, pooled, saturated, softmax], axis=-1)


def test_multipliers_are_those_by_hand():
    result = lift(several)
    # The largest of both elements is the other one in the second row: softmax then moves along two sides of a corner.
    np.testing.assert_allclose(result.values[0], by_hand(X[0].astype(float), R.astype(float)), rtol=2e-6, atol=1e-7)
    second = by_hand(X[1].astype(float), R.astype(float))
    np.testing.assert_allclose(result.values[1][:, :4], second[:, :4], rtol=2e-6, atol=1e-7)
    np.testing.assert_allclose(result.output, several(X), rtol=1e-6)
    np.testing.assert_allclose(result.base_value, np.tile(several(R[None]), (2, 1)), rtol=1e-6)
    one = lift(several, target=jnp.array([4, 0]))
    np.testing.assert_allclose(one.values, [result.values[0, :, 4], result.values[1, :, 0]], rtol=1e-6)
    score = lift(several, target=lambda y: y[:, 0] * y[:, 3])  # the score's product is explained like the model's
    np.testing.assert_allclose(score.completeness_gap, 0, atol=1e-6)


@pytest.mark.parametrize("rule", ["rescale", "reveal_cancel"])
def test_branches_that_are_not_taken_may_be_undefined(rule):
    """log(x_0) is NaN at the reference, and at the first two rows; the other functions there are products and quotients."""

    def model(x):
        a, b = x[:, 0], x[:, 1]
        choices = [jnp.log(a), jnp.log(a) * b / a, jnp.maximum(jnp.log(a), b)]
        return jnp.stack([*(jnp.where(b > 0, choice, 3 * b) for choice in choices), jnp.log(a)], axis=1)

    x = np.array([[-1.0, -1.0], [-2.0, -4.0], [2.0, 1.0]], np.float32)
    result = lift(model, x, np.array([-2.0, -2.0], np.float32), rule=rule)
    np.testing.assert_allclose(result.values[:2, :, :3], [[[0] * 3, [3] * 3], [[0] * 3, [-6] * 3]], rtol=1e-6)
    # In the last row the choice changes, by x_1: from -6 to log 2, to log(2) / 2, and to 1.
    expected = np.array([np.log(2), np.log(2) / 2, 1]) + 6
    np.testing.assert_allclose(result.values[2, :, :3], [[0] * 3, expected], rtol=1e-6, atol=1e-6)
    assert np.isnan(result.values[:, :, 3]).all()  # of a score that is itself undefined at the reference


def test_tiny_differences_have_the_derivative_and_kinks_their_quotient():
    def model(x):
        return jnp.stack([jnp.tanh(x[:, 0]), jnp.exp(x[:, 1]), nn.gelu(x[:, 2]), nn.relu(x[:, 3])], axis=1)

    baseline = np.array([1.0, 2.0, -1.5, -1e-7], np.float32)
    x = baseline + np.array([3e-7, -5e-7, 2e-7, 3e-7], np.float32)
    result = lift(model, x[None], baseline)
    steps = x - baseline
    with jax.enable_x64(True):
        slopes = np.diag(jax.jacobian(lambda v: model(v[None])[0])(x.astype(float)))
    multipliers = np.diag(result.values[0]) / steps
    np.testing.assert_allclose(multipliers[:3], slopes[:3], rtol=1e-5)  # quotients are off by a tenth and more
    np.testing.assert_allclose(multipliers[3], x[3] / steps[3], rtol=1e-6)


def reveal_cancel(x, r, layers):
    """The rule of the paper, in NumPy: [D] values of the only output of dense layers, with functions between them."""
    plus, minus = (
        np.diag(np.where(x > r, x - r, 0)),
        np.diag(np.where(x < r, x - r, 0)),
    )  # [unit, feature] contributions
    for weights, bias, function in layers:
        delta = x - r
        positive, negative = np.zeros((len(bias), plus.shape[1])), np.zeros((len(bias), plus.shape[1]))
        for unit in range(len(bias)):
            for below, weight in enumerate(weights[:, unit]):
                share = weight * (plus[below] + minus[below])
                (positive if weight * delta[below] > 0 else negative)[unit] += share
        x, r = x @ weights + bias, r @ weights + bias
        plus, minus = positive, negative
        p, n = plus.sum(axis=1), minus.sum(axis=1)
        up = (function(r + p) - function(r) + function(r + n + p) - function(r + n)) / 2
        down = (function(r + n) - function(r) + function(r + n + p) - function(r + p)) / 2
        factors = [
            np.divide(change, part, out=np.zeros_like(part), where=part != 0) for change, part in ((up, p), (down, n))
        ]
        plus, minus = plus * factors[0][:, None], minus * factors[1][:, None]
        x, r = function(x), function(r)
    return (plus + minus)[0]


def test_reveal_cancel_is_that_of_numpy(float64):
    random = np.random.default_rng(3)
    sizes, functions = (5, 6, 4, 1), (nn.relu, nn.softplus, jnp.tanh)
    weights = [(random.normal(size=pair), random.normal(size=pair[1])) for pair in itertools.pairwise(sizes)]

    def model(x):
        for (kernel, bias), function in zip(weights, functions, strict=True):
            x = function(x @ kernel + bias)
        return x[:, 0]

    x, r = random.normal(size=(3, 5)), random.normal(size=5)
    in_numpy = lambda v: np.maximum(v, 0), lambda v: np.log1p(np.exp(v)), np.tanh
    layers = [(*pair, function) for pair, function in zip(weights, in_numpy, strict=True)]
    result = lift(model, x, r, rule="reveal_cancel", target=None)
    np.testing.assert_allclose(result.values, [reveal_cancel(row, r, layers) for row in x], rtol=1e-9, atol=1e-12)
    assert np.abs(result.completeness_gap).max() < 1e-13


def test_reveal_cancel_sees_contributions_that_cancel():
    """The minimum of two numbers, a - relu(a - b): half of it for each, where rescale gives all to the smaller."""
    model = lambda x: x[:, 0] - nn.relu(x[:, 0] * 1.0 - x[:, 1])  # noqa: E731
    x = np.array([[3.0, 10.0], [10.0, 3.0]], np.float32)
    both = {rule: lift(model, x, 0.0, rule=rule, target=None).values for rule in ("rescale", "reveal_cancel")}
    np.testing.assert_allclose(both["rescale"], [[3, 0], [0, 3]], atol=1e-6)
    np.testing.assert_allclose(both["reveal_cancel"], [[1.5, 1.5], [1.5, 1.5]], atol=1e-6)


def test_a_background_averages_the_values_of_its_rows():
    net, x, rows = models.table_net(), models.rows(3), models.rows(5, seed=1)
    weights = np.array([1, 2, 0, 3, 1.0])
    result = xai.gradient.deep_shap(net, x, rows, weights=weights, target=1, batch_size=4)
    assert xai.shap.deep_shap is xai.gradient.deep_shap
    each = [lift(net, x, row, target=1) for row in rows]
    expected = sum(w * one.values for w, one in zip(weights / 7, each, strict=True))
    np.testing.assert_allclose(result.values, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(result.base_value, weights @ [one.base_value[0] for one in each] / 7, rtol=1e-5)
    assert np.abs(result.completeness_gap / np.abs(result.values).sum(axis=1)).max() < 1e-5
    assert (result.method, result.estimator) == ("DeepSHAP", "rescale")


def test_a_layer_is_explained_as_the_input_of_what_follows():
    def model(x):
        hidden = xai.tag(jnp.tanh(x @ jnp.asarray(WEIGHTS)), "hidden")
        return (hidden * jnp.exp(hidden[:, ::-1]) + x[:, :1]).sum(axis=1)

    tail = lambda hidden: (hidden * jnp.exp(hidden[:, ::-1])).sum(axis=1)  # noqa: E731
    hidden, reference = np.tanh(X @ WEIGHTS), np.tanh(R @ WEIGHTS)
    expected = lift(tail, hidden, reference, target=None)
    for baseline in (reference, R):  # activations, or an input that stands for its own
        result = lift(model, baseline=baseline, layer="hidden", target=None)
        np.testing.assert_allclose(result.values, expected.values, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(result.base_value, expected.base_value + 4 * X[:, 0], rtol=1e-5)
    both = lift(model, baseline=np.stack([reference, reference]), layer="hidden", target=None)
    np.testing.assert_allclose(both.values, expected.values, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(both.completeness_gap, 0, atol=1e-5)


def nearest(x):
    """Chooses a feature by its rank, within a named scope."""
    with jax.named_scope("router"):
        chosen = jnp.take_along_axis(x, jnp.argmax(x, axis=1)[:, None], axis=1)
    return chosen * jnp.tanh(x) + lax.top_k(x, 1)[0]


def test_operations_without_a_rule_are_refused_or_listed():
    with pytest.raises(
        ValueError, match=r"`model` must consist of operations that have a rule, got argmax in .*router"
    ):
        lift(nearest)
    result = lift(nearest, unknown="gradient")
    assert any(name.startswith("argmax in ") and name.endswith("router") for name in result.without_rule)
    assert 0.5 < result.rule_share < 1
    assert not result.efficient


def test_a_rule_of_the_user_is_used_and_its_result_is_checked():
    def rule(compute, inputs, references, tangents):
        """The operation is x -> x⁻¹ of 1 x 1 matrices here."""
        (x, *others), (r, *_), (tangent, *_) = inputs, references, tangents
        return tangent * (compute(x, *others) - compute(r, *others)) / (x - r)

    model = lambda x: jnp.exp(x[:, 0]) * lax.cumsum(jnp.exp(x), axis=1)[:, 2]  # noqa: E731
    plain = lift(model, target=None)
    own = lift(model, target=None, rules={"exp": rule})
    np.testing.assert_allclose(own.values, plain.values, rtol=1e-5)
    assert ("exp", "own rule", 2) in own.rules
    with pytest.raises(
        ValueError, match=r"`rules\['exp'\]` must return one array for each result, of the shapes \[\[2\]\]"
    ):
        lift(model, target=None, rules={"exp": lambda compute, inputs, references, tangents: tangents[0][:1]})


def test_it_costs_at_most_two_and_a_half_gradients():
    net, x = models.relu_net(), models.images(4)
    cost = lambda function: jax.jit(function).lower(x).cost_analysis()["flops"]  # noqa: E731
    gradient = cost(lambda x: xai.gradient.saliency(net, x, target=1).values)
    assert cost(lambda x: xai.gradient.deep_lift(net, x, 0.1, target=1).values) < 2.5 * gradient


MISTAKES = {
    "a baseline of another shape": (
        lambda: lift(several, baseline=np.zeros(4)),
        r"`baseline` must be a number, one input of shape \[3\] or rows",
    ),
    "a background of another shape": (
        lambda: xai.gradient.deep_shap(several, X, np.zeros((2, 4))),
        r"`background` must be a number, one input of shape \[3\] or rows",
    ),
    "integers as outputs": (
        lambda: lift(lambda x: jnp.argmax(x, axis=1), target=None),
        "`model` must have a derivative with respect to x",
    ),
    "an unknown rule": (lambda: lift(several, rule="revealcancel"), "`rule` must be one of .*reveal_cancel"),
    "an unknown choice": (lambda: lift(several, unknown="ignore"), "`unknown` must be one of"),
    "rules in a list": (lambda: lift(several, rules=[1]), "`rules` must map names of operations to functions"),
}


@pytest.mark.parametrize(("call", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_explained_in_one_sentence(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()


@pytest.mark.parametrize("number", [True, -3, 0.5, np.float32(1)])
def test_one_number_is_no_background(number):
    with pytest.raises(TypeError, match=r"`background` must be rows \[B, \.\.\.\] like x, got"):
        xai.gradient.deep_shap(lambda x: x.sum(axis=1), np.ones((2, 3), np.float32), number)
