"""Relevance propagation against sums written out in NumPy, and what it promises to conserve."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai

rules, composites, propagate = xai.gradient.rules, xai.gradient.composites, xai.gradient.propagate

X = np.array([[1.0, -2.0, 0.5], [-0.5, 0.25, 2.0]])
ROWS = X.astype(np.float32)
WEIGHTS = np.array([[0.5, 1.0], [0.25, 1.5], [2.0, -0.75]])
BIAS = np.array([0.3, -0.4])
LOW, HIGH = -2.0, np.array([1.0, 1.5, 2.0])


def dense(weights, bias, x):
    return x @ weights + bias


def plus(numbers):
    return np.maximum(numbers, 0)


def minus(numbers):
    return np.minimum(numbers, 0)


def by_gamma(z, bias, y):
    """[N, D, K] contributions, [K] bias -> their shares, with 1 + gamma for the sign of the output."""
    favored, of_bias = np.where(y[:, None] > 0, plus(z), minus(z)), np.where(y > 0, plus(bias), minus(bias))
    z, bias = z + 0.5 * favored, bias + 0.5 * of_bias
    return z / (z.sum(axis=1, keepdims=True) + bias[:, None])


def shares_by_hand(x):
    """{rule: [N, D, K]}: the share of input i in the relevance of output j, from the contributions x_i w_ij."""
    z, y, ones = x[:, :, None] * WEIGHTS, x @ WEIGHTS + BIAS, np.ones((len(x), 3, 2))
    denominator = (y + np.where(y < 0, -0.1, 0.1))[:, None]
    positive = plus(z) / (plus(z).sum(axis=1) + plus(BIAS))[:, None]
    negative = minus(z) / (minus(z).sum(axis=1) + minus(BIAS))[:, None]
    box = z - LOW * plus(WEIGHTS) - np.reshape(HIGH, (3, 1)) * minus(WEIGHTS)
    squares = ones * WEIGHTS**2
    return {
        "epsilon": (rules.epsilon(0.1), z / denominator),
        "gamma": (rules.gamma(0.5), by_gamma(z, np.broadcast_to(BIAS, y.shape), y)),
        "z plus": (rules.z_plus(), positive),
        "alpha beta": (rules.alpha_beta(3.0, 2.0), 3 * positive - 2 * negative),
        "flat": (rules.flat(), ones / 3),
        "w square": (rules.w_square(), squares / squares.sum(axis=1, keepdims=True)),
        "z box": (rules.z_box(LOW, HIGH), box / box.sum(axis=1, keepdims=True)),
    }


@pytest.mark.parametrize("rule", shares_by_hand(X))
def test_a_rule_shares_the_output_as_its_formula_says(rule, float64):
    made, shares = shares_by_hand(X)[rule]
    model = xai.function(dense, WEIGHTS, BIAS)
    result = propagate(model, X, target="all", composite=composites.Composite([("dense", made)]))
    expected = shares * (X @ WEIGHTS + BIAS)[:, None]
    np.testing.assert_allclose(result.values, expected, rtol=1e-4, atol=1e-5)  # ± 1e-6 in the denominators
    assert result.axes == "N M K"
    np.testing.assert_allclose(result.completeness_gap, expected.sum(axis=1) - result.output, atol=1e-4)
    assert [(name, used) for name, used, _ in result.rules] == [("dot_general", rule.replace(" ", "_"))]


def test_composites_of_alpha_and_beta_share_both_signs_in_convolutions(float64):
    """Every unit has contributions of both signs, so that alpha - beta = 1 conserves relevance."""

    def model(x):
        return jax.lax.conv_general_dilated(
            x[:, None], jnp.asarray(WEIGHTS)[None], (1,), "VALID", dimension_numbers=("NWC", "WIO", "NWC")
        )[:, 0]

    z, y = X[:, :, None] * WEIGHTS, X @ WEIGHTS
    positive, negative = (part(z) / part(z).sum(axis=1, keepdims=True) for part in (plus, minus))
    for made, shares in [
        (composites.epsilon_alpha2_beta1(), 2 * positive - negative),
        (composites.alpha1_beta0(), positive),
    ]:
        result = propagate(model, X, target="all", composite=made)
        np.testing.assert_allclose(result.values, shares * y[:, None], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(result.values.sum(axis=1), y, rtol=1e-5)


def residual_net(parameters, x):
    """Without biases: convolutions, a residual sum, max and average pooling, a gather, dense layers, all with ReLUs."""
    convolve = lambda x, kernel: jax.lax.conv_general_dilated(  # noqa: E731
        x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    x = jax.nn.relu(convolve(x, parameters["first"]))
    x = x + jax.nn.relu(convolve(x, parameters["second"]))
    x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    x = jax.lax.reduce_window(x, 0.0, jax.lax.add, (1, 2, 1, 1), (1, 1, 1, 1), "VALID") / 2
    x = jnp.concatenate([x[..., 1:], x[..., :1]], axis=-1).reshape(len(x), -1)
    return jax.nn.relu(x @ parameters["hidden"]) @ parameters["head"]


@pytest.fixture(scope="module")
def residual():
    shapes = {"first": (3, 3, 2, 3), "second": (3, 3, 3, 3), "hidden": (12, 5), "head": (5, 2)}
    keys = jax.random.split(jax.random.key(3), 4)
    parameters = {name: jax.random.normal(key, shape) for key, (name, shape) in zip(keys, shapes.items(), strict=True)}
    return xai.function(residual_net, parameters), 1 + jax.random.normal(jax.random.key(4), (3, 6, 4, 2))


@pytest.mark.parametrize(
    "name",
    ["epsilon", "epsilon_plus", "epsilon_gamma_box", "epsilon_plus_flat", "alpha1_beta0"],
)
def test_relevance_is_conserved_in_networks_of_relus_without_biases(name, residual):
    model, x = residual
    composite = getattr(composites, name)(*([-4.0, 6.0] if "box" in name else []))
    result = propagate(model, x, target=1, composite=composite)
    assert np.abs(result.completeness_gap).max() < 1e-5 * np.abs(result.values).sum(axis=(1, 2, 3)).max()
    assert np.abs(result.output).min() > 0.1
    assert result.rule_share == 1
    if name == "epsilon":  # f(x)/x of ReLU is its derivative
        expected = xai.gradient.input_x_gradient(model, x, target=1).values
        np.testing.assert_allclose(result.values, expected, atol=1e-5 * np.abs(expected).max())


FUNCTIONS = {
    "relu": jax.nn.relu, "relu6": jax.nn.relu6, "gelu": jax.nn.gelu, "erf gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "silu": jax.nn.silu, "softplus": jax.nn.softplus, "elu": jax.nn.elu, "leaky relu": jax.nn.leaky_relu, "tanh": jnp.tanh,
    "mish": jax.nn.mish, "hard swish": jax.nn.hard_swish, "sigmoid": jax.nn.sigmoid, "square": jnp.square, "exp": jnp.exp,
    "own skip": lambda x: x + jnp.sin(x) * x, "own choice": lambda x: jnp.where(x > 0, x, 0.1 * x), "cast": lambda x: jax.nn.silu(x.astype(jnp.float32)).astype(x.dtype),
}  # fmt: skip


def test_functions_of_one_number_pass_relevance_on(float64):
    """R of f(x_i) is that of x_i, without f(0), a constant: outputs f(x_0) + f(x_1) + ... share their terms."""
    functions = [*FUNCTIONS.values()]
    result = propagate(lambda x: jnp.stack([f(x).sum(axis=1) for f in functions], axis=1), X, target="all")
    expected = np.stack([f(jnp.asarray(X)) - f(jnp.zeros(())) for f in functions], axis=-1)
    np.testing.assert_allclose(result.values, expected, rtol=1e-4, atol=1e-5)


def of_constants(x):
    """Constants before and after linear operations, in a program and merged into a kernel and a bias."""
    return ((x - 0.3) / np.array([1.0, 2.0, 0.5])) @ WEIGHTS * np.array([2.0, -1.0]) - BIAS + 0.7


def test_constants_around_a_linear_operation_belong_to_it(float64):
    kernel = WEIGHTS / np.array([[1.0], [2.0], [0.5]]) * np.array([2.0, -1.0])
    merged = xai.function(dense, kernel, -0.3 * kernel.sum(axis=0) - BIAS + 0.7)
    for made in (rules.gamma(0.5), rules.z_box(LOW, HIGH)):
        composite = composites.Composite([("dense", made)])
        result = propagate(of_constants, X, target="all", composite=composite)
        expected = propagate(merged, X, target="all", composite=composite)
        np.testing.assert_allclose(result.values, expected.values, rtol=1e-9)


def test_constants_around_a_grouped_convolution_belong_to_it(float64):
    """Channels first, two groups, whose kernels are [O, I]: scales of inputs and outputs reach the right weights."""
    key = jax.random.split(jax.random.key(1), 4)
    kernel, x = jax.random.normal(key[0], (4, 2, 3)), jax.random.normal(key[1], (2, 4, 5))
    before, after = 1 + jax.random.uniform(key[2], (4,)), jax.random.normal(key[3], (4,))

    def convolve(x, kernel):
        return jax.lax.conv_general_dilated(x, kernel, (1,), "SAME", feature_group_count=2)

    scaled = kernel * after[:, None, None] * jnp.repeat(before.reshape(2, 2), 2, axis=0)[:, :, None]
    composite = composites.Composite([("convolution", rules.gamma(0.5)), ("pooling", rules.epsilon())])
    results = [
        propagate(lambda x: convolve(x * before[:, None], kernel).__mul__(after[:, None]).sum(axis=2), x, target=1, composite=composite, channel_axis=1),
        propagate(lambda x: convolve(x, scaled).sum(axis=2), x, target=1, composite=composite, channel_axis=1),
    ]  # fmt: skip
    np.testing.assert_allclose(results[0].values, results[1].values, rtol=1e-9)


def step(state, row):
    state = jnp.tanh(state @ WEIGHTS[:2] * 0.5 + row[:, :2])
    return state, state * row[:, 1:]


def unrolled(x):
    state, outputs = jnp.zeros((len(x), 2)), []
    for number in range(3):
        state, output = step(state, x[:, number])
        outputs.append(output)
    return state + outputs[0] + outputs[1] + outputs[2]


def scanned(x):
    state, outputs = jax.lax.scan(step, jnp.zeros((len(x), 2)), jnp.swapaxes(x, 0, 1))
    return state + outputs[0] + outputs[1] + outputs[2]


@jax.custom_vjp
def own_derivative(x):
    return jax.nn.relu(x @ WEIGHTS)


own_derivative.defvjp(lambda x: (own_derivative(x), x), lambda x, gradient: (jnp.zeros_like(x),))


def test_loops_branches_and_functions_with_derivatives_of_their_own_are_entered(float64):
    x = np.stack([X, 2 * X, X[::-1]], axis=1)
    composite = composites.Composite([("dense", rules.gamma(0.5))])
    results = [propagate(model, x, target="all", composite=composite) for model in (scanned, unrolled)]
    np.testing.assert_allclose(results[0].values, results[1].values, rtol=1e-9, atol=1e-12)
    assert ("dot_general", "gamma", 1) in results[0].rules

    def branched(x):
        entered = jax.lax.cond(x.shape[0] > jnp.ones(()), own_derivative, lambda x: x[:, :2], x)
        return jax.checkpoint(lambda x: entered + x[:, 1:])(x)

    plain = lambda x: jax.nn.relu(x @ WEIGHTS) + x[:, 1:]  # noqa: E731
    results = [propagate(model, X, target="all", composite=composite) for model in (branched, plain)]
    np.testing.assert_allclose(results[0].values, results[1].values, rtol=1e-9)
    y = X @ WEIGHTS
    expected = by_gamma(X[:, :, None] * WEIGHTS, np.zeros_like(y), y) * plus(y)[:, None]
    expected[:, [1, 2], [0, 1]] += X[:, 1:]
    np.testing.assert_allclose(results[0].values, expected, rtol=1e-4, atol=1e-5)


def test_the_relevance_of_a_callable_is_its_score(float64):
    """Of x_0 x_1 half to each factor, and of a probability by the derivative of softmax, as for a model that ends so."""
    result = propagate(lambda x: x * 1, X, target=lambda y: y[:, 0] * y[:, 1])
    half = X[:, 0] * X[:, 1] / 2
    np.testing.assert_allclose(result.values, np.stack([half, half, 0 * half], axis=1), rtol=1e-9)
    np.testing.assert_allclose(result.output, 2 * half, rtol=1e-9)
    constant = composites.transformer(attention="constant")  # the softmax of a score is no attention
    result = propagate(lambda x: x * 1, X, target=xai.target.probability(2), composite=constant)
    s = np.exp(X) / np.exp(X).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(result.values, X * s[:, 2:] * (np.eye(3)[2] - s), atol=1e-6)


MASK = np.array([True, False, True])


def softmax_in_many_ways(x):
    """Output 2 of each: with the sum broadcast or transposed, masked, and with constants at masked positions."""
    e = jnp.exp(x)
    total, masked, filled = e.sum(axis=1), jnp.where(MASK, e, 0), jnp.where(MASK, e, 1).sum(axis=1, keepdims=True)
    ways = [
        e / jnp.broadcast_to(total[:, None], e.shape), e / total[None].T, jax.nn.softmax(x, where=MASK),
        masked / masked.sum(axis=1, keepdims=True), e * 2 / filled,
    ]  # fmt: skip
    return jnp.stack([way[:, 2] for way in ways], axis=1)


def test_softmax_is_known_by_the_axes_of_its_sum_and_its_mask(float64):
    """R_j = x_j s_i (δ_ij - w_j) for s = exp(x) / D, where w_j is the part of exp(x_j) in D, 0 for masked ones."""
    result = propagate(softmax_in_many_ways, X, target="all")
    e = np.exp(X)
    for way, (mask, scale, constants) in enumerate([(1, 1, 0), (1, 1, 0), (MASK, 1, 0), (MASK, 1, 0), (MASK, 2, 1)]):
        total = (e * mask).sum(axis=1, keepdims=True) + constants
        expected = X * scale * e[:, 2:] / total * (np.eye(3)[2] - mask * e / total)
        np.testing.assert_allclose(result.values[..., way], expected, atol=1e-6, err_msg=str(way))
    constant = composites.transformer(attention="constant")
    result = propagate(lambda x: (jax.nn.softmax(x, where=MASK) * x).sum(axis=1), X, composite=constant)
    np.testing.assert_allclose(result.values, X * e * MASK / (e * MASK).sum(axis=1, keepdims=True), atol=1e-5)


def test_a_quotient_by_the_sum_of_another_row_is_no_softmax(float64):
    """e_01 / (e_10 + e_11), by the rules of products, sums and functions, of which f(0) = 1 is a constant."""
    x = X[:, [0, 1, 1, 2]].reshape(2, 2, 2)

    def model(x):
        e = jnp.exp(x)
        return (e / jnp.swapaxes(e.sum(axis=2, keepdims=True), 1, 2))[:, 0, 1]

    e = np.exp(x)
    total = e[:, 1].sum(axis=1)
    of_one = (e[:, 0, 1] - 1) / 2 / total
    of_sum = e[:, 0, 1] / 2 / total
    expected = np.zeros_like(x)
    expected[:, 0, 1], expected[:, 1] = of_one, (of_sum / total)[:, None] * (e[:, 1] - 1)
    result = propagate(model, x, composite=composites.epsilon())
    np.testing.assert_allclose(result.values, expected, atol=1e-5)


def test_products_are_split_in_half_and_maxima_take_all(float64):
    result = propagate(
        lambda x: jnp.stack([x[:, 0] * x[:, 2], x.max(axis=1), x[:, 0] / x[:, 1]], axis=1), X, target="all"
    )
    product, quotient = X[:, 0] * X[:, 2], X[:, 0] / X[:, 1]
    zero = np.zeros(2)
    np.testing.assert_allclose(result.values[..., 0], np.stack([product / 2, zero, product / 2], axis=1))
    np.testing.assert_allclose(result.values[..., 1], np.where(X.max(axis=1, keepdims=True) == X, X, 0))
    np.testing.assert_allclose(result.values[..., 2], np.stack([quotient / 2, quotient / 2, zero], axis=1))


def test_operations_without_a_rule_are_listed_or_keep_their_own_derivative():
    def model(x):
        x = xai.tag(jnp.cumprod(x, axis=1), "products")
        return xai.tag(x.prod(axis=1, keepdims=True) * jnp.ones(2), "head")

    x = X.astype(np.float32)
    with pytest.raises(
        ValueError,
        match="`model` must consist of operations that have a rule, got cumprod in products, reduce_prod in head: pass unknown='gradient'",
    ):
        propagate(model, x)
    result = propagate(model, x, unknown="gradient", target=0)
    gradients = xai.gradient.input_x_gradient(model, x, target=0)
    np.testing.assert_allclose(result.values, gradients.values, rtol=1e-5)  # products alone: their relevance is x df/dx
    assert result.without_rule == ("cumprod in products", "reduce_prod in head")
    assert 0 < result.rule_share < 1
    composite = composites.Composite(
        [("cumprod", lambda layer, x, ones: layer(x) * ones), ("reduce_prod", rules.epsilon(0.0))]
    )
    assert propagate(model, x, composite=composite).rule_share == 1


def three_layers(x):
    x = xai.tag(jax.nn.relu(x @ WEIGHTS[:, :1] + x @ WEIGHTS[:, 1:]), "blocks/0")
    x = xai.tag(jax.nn.relu(x @ WEIGHTS[:1]), "blocks/1")
    return xai.tag(x @ WEIGHTS[:2], "head")


def test_a_composite_chooses_by_operation_depth_and_path():
    seen = []

    def look(operation):
        seen.append(operation)
        return False

    made = {"first": rules.flat(), "blocks/1": rules.gamma(), "last dense": rules.z_plus(), "add": rules.epsilon()}
    result = propagate(
        three_layers,
        X.astype(np.float32),
        target=0,
        composite=composites.Composite([(look, rules.flat()), *list(made.items())[:3]]),
    )
    used = {rule: count for name, rule, count in result.rules if name == "dot_general"}
    assert used == {"flat": 2, "gamma": 1, "z_plus": 1}
    places = {(each.path, each.depth, each.is_first, each.is_last) for each in seen}
    assert places == {("blocks/0", 0, True, False), ("blocks/1", 1, False, False), ("head", 2, False, True)}


def test_a_layer_is_explained_by_the_rest_of_the_model():
    result = propagate(three_layers, ROWS, target=0, layer="blocks/0", composite=composites.epsilon())
    hidden = jax.nn.relu(ROWS @ WEIGHTS.sum(axis=1, keepdims=True))
    tail = lambda hidden: jax.nn.relu(hidden @ WEIGHTS[:1].astype(np.float32)) @ WEIGHTS[:2].astype(np.float32)  # noqa: E731
    np.testing.assert_allclose(result.values, propagate(tail, hidden, target=0, composite=composites.epsilon()).values)
    np.testing.assert_allclose(result.values[:, 0], result.output, atol=1e-5)  # one unit gets all
    assert np.abs(result.output).max() > 0.1


def explained(model=three_layers, x=ROWS, **options):
    return lambda: propagate(model, x, **options)


def doubled(x):
    return jax.lax.while_loop(lambda x: x.sum() < 9, lambda x: 2 * x, jnp.abs(x))


def composite(condition, rule):
    return composites.Composite([(condition, rule)])


MISTAKES = {
    "a name": (explained(composite="epsilon_plus"), r"`composite` must be one of xai.gradient.composites, got 'epsilon_plus'"),
    "not called": (explained(composite=composites.epsilon), r"got the function epsilon: call it, epsilon\(\)"),
    "a wrong shape": (
        explained(composite=composite("dense", lambda layer, x, ones: ones)),
        r"`composite` must have rules that return an array of the shape of the layer's output, \[2, 1\], got shape \[2, 3\] "
        "from the rule '<lambda>' for dot_general in blocks/0: return z",
    ),
    "no array": (explained(composite=composite("dense", lambda *_: None)), "`composite` must have rules that return .* got None"),
    "a misspelled condition": (
        explained(composite=composite("densse", rules.flat()), unknown="gradient"),
        r"`composite` must have conditions on kinds of layers, .*got 'densse', which no layer has \(did you mean 'dense'",
    ),
    "a layer without a rule": (explained(composite=composite("convolution", rules.flat())), "got dot_general in blocks/0, .*: pass unknown="),
    "classes": (explained(lambda x: x.argmax(axis=1)), r"`model` must have floating outputs that depend on x, got int32\[2\], to which"),
    "a target of classes": (explained(target=lambda y: jnp.argmax(y, axis=1) * 1.0), "`model` must have a derivative .* `target`"),
    "a constant target": (explained(target=lambda y: jnp.ones(len(y))), "`target` must return scores that depend on the outputs"),
    "a loop of unknown length": (
        explained(lambda x: doubled(x), unknown="gradient"), "`model` must be differentiable backward, got a `while` loop .*`lax.scan`"
    ),
    "such a loop in a loop": (
        lambda: propagate(lambda x: jax.lax.fori_loop(0, 2, lambda _, x: doubled(x), x), ROWS, unknown="gradient"),
        "`model` must be differentiable backward",
    ),
    "such a loop in deep_lift": (
        lambda: xai.gradient.deep_lift(lambda x: doubled(jax.lax.stop_gradient(x)) + x, ROWS, unknown="gradient", target=0),
        "`model` must be differentiable backward",
    ),
    "an unknown wish": (explained(unknown="ignore"), "`unknown` must be one of"),
    "no pair": (lambda: composites.Composite([rules.flat()]), r"`layers` must hold pairs \(condition, rule\)"),
    "no condition": (lambda: composite(3, rules.flat()), "`layers` must have conditions that are texts"),
    "no rule": (lambda: composite("dense", 3), "`layers` must have rules such as"),
    "alpha and beta": (lambda: rules.alpha_beta(2.0, 0.5), "`alpha` and `beta` must differ by 1, .* got 2 and 0.5"),
    "bounds": (lambda: rules.z_box(1.0, 0.0), "`low` must be at most `high` everywhere"),
    "a bound that does not fit": (
        explained(composite=composite("dense", rules.z_box(np.zeros(5), 9.0))), r"`low` must fit inputs of shape \[2, 3\]"
    ),
    "attention": (lambda: composites.transformer(attention="none"), "`attention` must be one of"),
}  # fmt: skip


@pytest.mark.parametrize(("mistake", "sentence"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_answered_with_a_sentence(mistake, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        mistake()
