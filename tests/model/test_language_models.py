"""Language models that take positions, caches, masks and keys, as bonsai, gemma and tunix call theirs, in a few lines."""

import functools

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import xaijax as xai
from tests import models
from tests.explainers import KEY

PAD, MASK, LENGTH, WIDTH, WORDS = 0, 1, 4, 6, 10
IDS = np.array([[3, 4, 5, 6], [7, 2, PAD, PAD]])
TRACES = []


class Block(nnx.Module):
    """A layer that sums the values that each token sees, those in a cache among them."""

    def __init__(self, rngs):
        self.values = nnx.Linear(WIDTH, WIDTH, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x, mask, cached=None):
        values = self.values(x) if cached is None else self.values(x) + cached[:, None]
        return x + self.drop(jnp.tanh(jnp.einsum("nqk,nkd->nqd", mask.astype(x.dtype), values)))


class Decoder(nnx.Module):
    """As tunix's: tokens, positions, a cache and a mask in; logits of all tokens and a new cache out."""

    def __init__(self, rngs):
        self.embedding = nnx.Embed(WORDS, WIDTH, rngs=rngs)
        self.layers = nnx.List([Block(rngs) for _ in range(2)])
        self.head = nnx.Linear(WIDTH, WORDS, rngs=rngs)

    def __call__(self, tokens, positions, cache, attention_mask):
        TRACES.append(1)
        x = self.embedding(tokens) * jnp.cos(positions)[..., None]
        for number, layer in enumerate(self.layers):
            x = layer(x, attention_mask, None if cache is None else cache[number])
        return self.head(x), None if cache is None else [x.sum(axis=1)] * 2


DECODER = Decoder(nnx.Rngs(0))
DECODER.eval()


def causal(ids):
    return jnp.tril(jnp.ones((LENGTH, LENGTH), bool)) & (ids != PAD)[:, None]


def last(logits, ids):
    return jnp.take_along_axis(logits, (ids != PAD).sum(axis=1)[:, None, None] - 1, axis=1)[:, 0]


def of_tunix(net, ids):
    positions = jnp.broadcast_to(jnp.arange(LENGTH), ids.shape)
    logits, _ = net(ids, positions, None, causal(ids))
    return last(logits, ids)


def plain(parameters, ids):
    """The same in JAX, with the value of the first layer tagged."""
    x = parameters["embedding"][ids] * jnp.cos(jnp.arange(LENGTH))[:, None]
    for number, (kernel, bias) in enumerate(parameters["layers"]):
        mixed = jnp.tanh(jnp.einsum("nqk,nkd->nqd", causal(ids).astype(x.dtype), x @ kernel + bias))
        x = xai.tag(x + mixed, f"layers/{number}")
    kernel, bias = parameters["head"]
    return last(x @ kernel + bias, ids)


def parameters_of(net):
    pair = lambda layer: (layer.kernel[...], layer.bias[...])  # noqa: E731
    layers = [pair(block.values) for block in net.layers]
    return {"embedding": net.embedding.embedding[...], "layers": layers, "head": pair(net.head)}


PLAIN = xai.function(plain, parameters_of(DECODER))


def test_a_decoder_that_takes_positions_cache_and_mask():
    model = xai.function(of_tunix, DECODER)
    np.testing.assert_allclose(model(IDS), PLAIN(IDS), atol=1e-5)
    paths = [layer.path for layer in xai.layers(model, IDS)]
    assert paths == [
        "embedding", "layers/0/values", "layers/0/drop", "layers/0", "layers/1/values", "layers/1/drop", "layers/1", "head"
    ]  # fmt: skip
    maps = [xai.cam.grad_cam(part, IDS, layer="layers/0", target=3, relu=False).values for part in (model, PLAIN)]
    np.testing.assert_allclose(*maps, atol=1e-5)
    assert maps[0].shape == (2, LENGTH)
    games = [xai.game(part, IDS, xai.mask.tokens(MASK, pad_id=PAD), target=3) for part in (model, PLAIN)]
    shap, expected = (xai.shap.exact(game).values for game in games)
    np.testing.assert_allclose(shap, expected, atol=1e-5)
    np.testing.assert_array_equal(shap != 0, IDS != PAD)
    np.testing.assert_allclose(*(xai.lime.fit(game, key=KEY, num_samples=16).values for game in games), atol=1e-5)
    before = len(TRACES)
    other = xai.function(of_tunix, jax.tree.map(lambda leaf: 0.9 * leaf if leaf.ndim else leaf, DECODER))
    changed = xai.cam.grad_cam(other, IDS, layer="layers/0", target=3, relu=False).values
    assert len(TRACES) == before  # new parameters compile nothing
    assert jnp.abs(changed - maps[0]).max() > 1e-4


def test_a_cache_is_a_parameter_and_training_mode_is_left():
    """As bonsai's functions, which take the model and its cache; the dropout of this one is on."""
    training = Decoder(nnx.Rngs(0))
    cache = [jnp.ones((1, WIDTH)) / 3] * 2

    def forward(net, cache, ids):
        positions = jnp.broadcast_to(jnp.arange(LENGTH), ids.shape)
        return net(ids, positions, cache, causal(ids))

    logits, _ = forward(DECODER, cache, jnp.asarray(IDS))
    with pytest.warns(UserWarning, match=r"training mode at \['layers/0/drop', 'layers/1/drop'\].*inference mode"):
        outputs = xai.model(xai.function(forward, training, cache), output=0)(IDS)
    np.testing.assert_allclose(outputs, logits, atol=1e-5)
    assert training.layers[0].drop.deterministic is False
    with pytest.raises(TypeError, match=r"must return one array for this call, got the outputs 0: .*output=0"):
        xai.layers(xai.function(of_all, DECODER), IDS)


def of_all(net, ids):
    return net(ids, jnp.zeros(ids.shape), None, causal(ids))


def test_layers_of_two_modules_are_named_by_their_arguments():
    first, second = nnx.Linear(3, 2, rngs=nnx.Rngs(0)), nnx.Linear(2, 2, rngs=nnx.Rngs(1))
    x = jnp.ones((2, 3))
    both = functools.partial(lambda first, x, head: head(first(x)), first, head=second)
    assert [layer.path for layer in xai.layers(both, x)] == ["0", "head"]
    parts = {"encoder": first, "head": second}
    model = xai.function(lambda parts, x: parts["head"](parts["encoder"](x)), parts)
    assert [layer.path for layer in xai.layers(model, x)] == ["0/encoder", "0/head"]
    np.testing.assert_allclose(model(x), second(first(x)), atol=1e-6)


@flax.struct.dataclass
class Output:
    logits: jax.Array
    cache: dict | None
    hidden_states: jax.Array | None


class LinenDecoder(nn.Module):
    """As gemma's: a Linen module with keyword arguments only, which returns a dataclass and may draw random numbers."""

    @nn.compact
    def __call__(self, tokens, *, positions=None, cache=None, return_last_only=False, deterministic=False):
        x = nn.Embed(WORDS, WIDTH, name="embedder")(tokens)
        if positions is not None:
            x = x * jnp.cos(positions)[..., None]
        x = nn.jit(nn.Dense)(WIDTH, name="layer_0")(x) if cache is None else x + cache["end"]
        x = nn.Dropout(0.5, deterministic=deterministic)(jnp.tanh(x))
        logits = nn.Dense(WORDS, name="head")(x[:, -1] if return_last_only else x)
        return Output(logits, cache, x)


def test_a_module_of_linen_with_options_that_returns_a_dataclass():
    net = LinenDecoder()
    variables = net.init(KEY, IDS, deterministic=True)
    options = {"return_last_only": True, "deterministic": True, "positions": jnp.arange(4.0)}
    model = xai.model(xai.linen(net, variables, **options), output="logits")
    np.testing.assert_allclose(model(IDS), net.apply(variables, IDS, **options).logits, atol=1e-6)
    assert [layer.path for layer in xai.layers(model, IDS)] == ["embedder", "layer_0", "Dropout_0", "head"]
    shap = xai.shap.exact(xai.game(model, IDS, xai.mask.tokens(MASK, pad_id=PAD), target=3))
    worth = net.apply(variables, jnp.array([[3, 4, 5, 6], [3, 4, 5, MASK]]), **options).logits[:, 3]
    np.testing.assert_allclose(shap.values[0], [0, 0, 0, worth[0] - worth[1]], atol=1e-5)  # the last token alone counts
    own = lambda variables, ids: net.apply(variables, ids, **options).logits  # noqa: E731
    function = xai.function(own, variables)
    np.testing.assert_allclose(function(IDS), model(IDS), atol=1e-6)
    assert xai.layers(function, IDS) == xai.layers(model, IDS)


def test_arrays_among_the_options_of_linen_are_arguments():
    """A random key for dropout, and a cache: a new one compiles nothing."""
    net, traces = LinenDecoder(), []
    variables = net.init(KEY, IDS, deterministic=True)

    def explained(key, scale):
        given = {"rngs": {"dropout": key}, "cache": {"end": scale * jnp.ones(WIDTH)}}
        model = xai.model(xai.linen(net, variables, **given), output=select)
        expected = net.apply(variables, IDS, **given).logits[:, -1]
        np.testing.assert_allclose(model(IDS), expected, atol=1e-6)
        game = xai.game(model, IDS, xai.mask.tokens(MASK, pad_id=PAD), target=3)
        return game(jnp.ones((1, LENGTH), bool))

    def select(outputs):
        traces.append(1)
        return outputs.logits[:, -1]

    first, count = explained(KEY, 1.0), len(traces)
    second = explained(jax.random.key(5), 2.0)
    assert len(traces) == count + 1  # of the bare call
    assert jnp.abs(first - second).max() > 1e-3


def test_modules_within_a_composed_model_are_no_layers():
    model = xai.compose(models.linen_net(), jnp.tanh)
    assert [layer.path for layer in xai.layers(model, models.images())] == ["features"]
