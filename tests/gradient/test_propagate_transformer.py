"""Relevance propagation through a transformer against the published rules, written out in NumPy backward."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai

TOKENS, WIDTH, CLASSES = 4, 6, 3
EPSILON = 1e-9
SHAPES = {
    "query": (6, 6), "key": (6, 6), "value": (6, 6), "out": (6, 6), "gate": (6, 8), "up": (6, 8), "down": (8, 6), "head": (6, 3)
}  # fmt: skip


def parameters():
    generator = np.random.default_rng(5)
    weights = {name: generator.normal(size=shape) / 2 for name, shape in SHAPES.items()}
    biases = {f"{name}_bias": generator.normal(size=shape[1]) / 4 for name, shape in SHAPES.items()}
    scales = {name: 1 + generator.normal(size=WIDTH) / 4 for name in ("norm1", "norm2")}
    return weights | biases | scales | {"norm1_bias": generator.normal(size=WIDTH) / 4}


def model(p, x):
    """A block of attention of two heads behind a layer normalization, and a gated perceptron behind RMSNorm."""
    linear = lambda name, x: x @ p[name] + p[f"{name}_bias"]  # noqa: E731
    heads = lambda x: x.reshape(*x.shape[:-1], 2, 3)  # noqa: E731
    y = (x - x.mean(axis=-1, keepdims=True)) * jax.lax.rsqrt(x.var(axis=-1, keepdims=True) + 1e-6)
    y = y * p["norm1"] + p["norm1_bias"]
    query, key, value = (heads(linear(name, y)) for name in ("query", "key", "value"))
    weights = jax.nn.softmax(jnp.einsum("nqhd,nkhd->nhqk", query, key) / jnp.sqrt(3.0), axis=-1)
    x = x + linear("out", jnp.einsum("nhqk,nkhd->nqhd", weights, value).reshape(x.shape))
    y = x / jnp.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-6) * p["norm2"]
    x = x + linear("down", jax.nn.silu(linear("gate", y)) * linear("up", y))
    return linear("head", x.mean(axis=1))


def over(relevance, z):
    """relevance / z, with epsilon in the denominator."""
    return relevance / (z + np.where(z < 0, -EPSILON, EPSILON))


def through(p, name, x, relevance):
    """The epsilon rule of a dense layer: x_i sum_j w_ij R_j / z_j."""
    return x * (over(relevance, x @ p[name] + p[f"{name}_bias"]) @ p[name].T)


def by_hand(p, x, relevance, attention):
    """The relevance of one example x [T, D] for that of its outputs [K]."""
    # forward
    mean, deviation = x.mean(axis=-1, keepdims=True), np.sqrt(x.var(axis=-1, keepdims=True) + 1e-6)
    y = (x - mean) / deviation * p["norm1"] + p["norm1_bias"]
    query, key, value = (y @ p[name] + p[f"{name}_bias"] for name in ("query", "key", "value"))
    heads = [slice(0, 3), slice(3, 6)]
    logits = [query[:, h] @ key[:, h].T / np.sqrt(3) for h in heads]
    weights = [np.exp(each) / np.exp(each).sum(axis=1, keepdims=True) for each in logits]
    mixed = np.concatenate([w @ value[:, h] for w, h in zip(weights, heads, strict=True)], axis=1)
    attended = mixed @ p["out"] + p["out_bias"]
    middle = x + attended
    normed = middle / np.sqrt((middle**2).mean(axis=-1, keepdims=True) + 1e-6) * p["norm2"]
    gate, up = (normed @ p[name] + p[f"{name}_bias"] for name in ("gate", "up"))
    gated = gate / (1 + np.exp(-gate)) * up
    added = gated @ p["down"] + p["down_bias"]
    last = middle + added
    # backward
    pooled = through(p, "head", last.mean(axis=0), relevance)
    of_last = last / TOKENS * over(pooled, last.mean(axis=0))
    of_added, of_middle = added * over(of_last, last), middle * over(of_last, last)
    of_gated = through(p, "down", gated, of_added)
    # a product: half to each factor; SiLU and RMSNorm pass relevance on
    of_middle = of_middle + through(p, "gate", normed, of_gated / 2) + through(p, "up", normed, of_gated / 2)
    of_attended, of_x = attended * over(of_middle, middle), x * over(of_middle, middle)
    of_mixed = through(p, "out", mixed, of_attended)
    of_query, of_key, of_value = (np.zeros_like(y) for _ in range(3))
    for h, w, z in zip(heads, weights, logits, strict=True):
        share = over(of_mixed[:, h], mixed[:, h])
        if attention == "constant":
            of_value[:, h] = value[:, h] * (w.T @ share)
            continue
        of_value[:, h] = value[:, h] * (w.T @ share) / 2
        of_weights = w * (share @ value[:, h].T) / 2
        of_logits = z * (of_weights - w * of_weights.sum(axis=1, keepdims=True))
        share = over(of_logits, z) / 2 / np.sqrt(3)
        of_query[:, h], of_key[:, h] = query[:, h] * (share @ key[:, h]), key[:, h] * (share.T @ query[:, h])
    of_y = through(p, "query", y, of_query) + through(p, "key", y, of_key) + through(p, "value", y, of_value)
    # layer normalization: linear in x with the deviation held constant
    slopes = over(of_y, y) * p["norm1"] / deviation
    return of_x + x * (slopes - slopes.mean(axis=-1, keepdims=True))


@pytest.mark.parametrize("attention", ["gradient", "constant"])
def test_relevance_is_that_of_the_published_rules(attention, float64):
    """Achtibat et al. (2024), and Ali et al. (2022) for constant attention weights, in float64."""
    p, x = parameters(), np.random.default_rng(6).normal(size=(2, TOKENS, WIDTH))
    composite = xai.gradient.composites.transformer(attention=attention, epsilon=EPSILON)
    result = xai.gradient.propagate(xai.function(model, p), x, target=1, composite=composite)
    output = np.asarray(model(p, x))[:, 1]
    expected = [by_hand(p, each, np.array([0, one, 0]), attention) for each, one in zip(x, output, strict=True)]
    np.testing.assert_allclose(result.values, expected, rtol=1e-4, atol=1e-5)  # sums and products have ± 1e-6
    assert result.rule_share == 1
    assert result.axes == "N T C"


def normalizations(x):
    """The same in four ways of writing; [N, 3] with the length as a factor."""
    centered = x - x.mean(axis=1, keepdims=True)
    return {
        "division": centered / jnp.sqrt((centered**2).mean(axis=1, keepdims=True)),
        "standard deviation": centered / x.std(axis=1, keepdims=True),
        "mean of squares": centered * ((x**2).mean(axis=1, keepdims=True) - x.mean(axis=1, keepdims=True) ** 2) ** -0.5,
        "norm": centered / jnp.linalg.norm(centered, axis=1, keepdims=True) * jnp.sqrt(3.0),
    }


def test_the_root_of_a_variance_is_a_constant_in_every_way_of_writing(float64):
    x = np.array([[1.0, -2.0, 0.5], [-0.5, 0.25, 2.0]])
    centered, deviation = x - x.mean(axis=1, keepdims=True), x.std(axis=1, keepdims=True)
    weights = np.array([2.0, -1.0, 0.5])
    slopes = weights / deviation
    expected = x * (slopes - slopes.mean(axis=1, keepdims=True))
    for name in normalizations(jnp.asarray(x)):
        result = xai.gradient.propagate(lambda x, name=name: normalizations(x)[name] @ weights, x)
        np.testing.assert_allclose(result.values, expected, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(expected.sum(axis=1), (centered / deviation) @ weights)


def test_a_mask_of_minus_infinity_and_a_softmax_by_hand_are_softmax():
    mask = np.array([0.0, 0.0, -np.inf, 0.0], np.float32)
    x = np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32)

    def masked(x):
        return jax.nn.softmax(x + mask) @ jnp.arange(4.0)

    def by_hand(x):
        powers = jnp.exp(jnp.where(mask == 0, x, -1e30))
        return powers / powers.sum(axis=1, keepdims=True) @ jnp.arange(4.0)

    composite = xai.gradient.composites.transformer()
    results = [xai.gradient.propagate(each, x, composite=composite).values for each in (masked, by_hand)]
    expected = xai.gradient.input_x_gradient(masked, x).values  # of softmax and one linear layer
    np.testing.assert_allclose(results[0], expected, atol=1e-5)
    np.testing.assert_allclose(results[1], expected, atol=1e-5)
    assert (results[0][:, 2] == 0).all()
