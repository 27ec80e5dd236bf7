"""Language models of gemma, tunix and bonsai, whole and with their caches: small stand-ins that are called as theirs.

Their caches write all rows of a batch at one index. In prefix reuse each row has its own, so a step maps over rows.
"""

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import xaijax as xai
from tests.text.models import WIDTH, log_probabilities, parameters
from xaijax.text import _responses


def computed(weights, tokens, positions, mask, write=lambda keys, values: (keys, values)):
    """One head of attention over what `write` makes of the new keys and values; it may be masked by a batch's rows."""
    x = weights["embed"][tokens] + jnp.sin(positions[..., None] / (1.0 + jnp.arange(WIDTH)))
    keys, values = write(x @ weights["key"], x @ weights["value"])
    scores = jnp.where(mask, jnp.einsum("nid,njd->nij", x @ weights["query"], keys), -1e30)
    return (x + jax.nn.softmax(scores, axis=-1) @ values) @ weights["head"], keys, values


def causal(tokens):
    """The positions of whole rows, and what each token sees."""
    order = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
    return order, order[:, :, None] >= order[:, None]


def of_layer(weights, tokens, positions, cache, mask):
    """Logits and the new cache of one layer, or None without one."""
    if cache is None:
        return computed(weights, tokens, positions, mask)[0], None
    start = cache["end_index"][0]
    put = lambda old, new: jax.lax.dynamic_update_slice(old, new, (0, start, *[0] * (old.ndim - 2)))  # noqa: E731
    write = lambda keys, values: (put(cache["k"], keys), put(cache["v"], values))  # noqa: E731
    logits, keys, values = computed(weights, tokens, positions, mask, write)
    new = {"k": keys, "v": values, "end_index": cache["end_index"] + tokens.shape[1]}
    return logits, new | ({"positions": put(cache["positions"], positions)} if "positions" in cache else {})


def layer_cache(rows, length):
    arrays = {name: jnp.zeros((rows, length, WIDTH)) for name in ("k", "v")}
    return arrays | {"end_index": jnp.zeros(rows, jnp.int32)}


@flax.struct.dataclass
class Output:
    logits: jax.Array
    cache: dict | None
    hidden_states: jax.Array | None


class Gemma(nn.Module):
    """Tokens, and keyword arguments only; returns a dataclass. Its caches know their positions."""

    @nn.compact
    def __call__(self, tokens, *, positions=None, cache=None, attention_mask=None):
        weights = {name: self.param(name, lambda _, name=name: parameters()[name]) for name in parameters()}
        if positions is None:
            positions, attention_mask = causal(tokens)
        logits, layer = of_layer(weights, tokens, positions, cache and cache["layer_0"], attention_mask)
        return Output(logits, None if cache is None else {"layer_0": layer}, None)

    def init_cache(self, *, batch_size, cache_length, dtype):
        return {
            "layer_0": layer_cache(batch_size, cache_length) | {"positions": jnp.zeros((batch_size, cache_length), int)}
        }


def without_index(cache):
    return {name: {key: layer[key] for key in layer if key != "end_index"} for name, layer in cache.items()}


def over_rows(of_row, parameters, *rows):
    """Maps over rows, each with an axis of one row."""

    def alone(*row):
        return jax.tree.map(lambda leaf: leaf[0], of_row(parameters, *jax.tree.map(lambda leaf: leaf[None], row)))

    return jax.vmap(alone)(*rows)


def gemma_row(variables, ids, positions, mask, cache):
    cache = {name: layer | {"end_index": positions[:, 0]} for name, layer in cache.items()}
    output = Gemma().apply(variables, ids, positions=positions, cache=cache, attention_mask=mask)
    return output.logits, without_index(output.cache)


def gemma_cache(rows, length):
    return without_index(Gemma().init_cache(batch_size=rows, cache_length=length, dtype=jnp.float32))


def of_gemma():
    variables = {"params": parameters()}
    step = jax.tree_util.Partial(over_rows, jax.tree_util.Partial(gemma_row), variables)
    return xai.model(xai.linen(Gemma(), variables), output="logits"), xai.text.cached(step, gemma_cache)


class Weights(nnx.Module):
    """A module of NNX with the same parameters."""

    def __init__(self):
        for name, value in parameters().items():
            setattr(self, name, nnx.Param(value))

    def read(self):
        return {name: getattr(self, name)[...] for name in parameters()}


class Tunix(Weights):
    """Tokens, positions, a cache and a mask; returns logits and the new cache."""

    def __call__(self, input_tokens, positions, cache, attention_mask):
        logits, layer = of_layer(self.read(), input_tokens, positions, cache and cache["layer_0"], attention_mask)
        return logits, None if cache is None else {"layer_0": layer}

    def init_cache(self, batch_size, cache_size, dtype):
        return {"layer_0": layer_cache(batch_size, cache_size)}


def tunix_whole(net, ids):
    positions, mask = causal(ids)
    return net(ids, positions, None, mask)[0]


def tunix_row(net, ids, positions, mask, cache):
    cache = {name: layer | {"end_index": positions[:, 0]} for name, layer in cache.items()}
    logits, cache = net(ids, positions, cache, mask)
    return logits, without_index(cache)


def tunix_cache(rows, length):
    return without_index(Tunix.init_cache(None, rows, length, jnp.float32))


def of_tunix():
    net = Tunix()
    step = jax.tree_util.Partial(over_rows, jax.tree_util.Partial(tunix_row), net)
    return xai.function(tunix_whole, net), xai.text.cached(step, tunix_cache)


class LayerCache(nnx.Module):
    """Arrays that are written in place, all rows at the same index."""

    def __init__(self, rows, length):
        self.k_cache = nnx.Cache(jnp.zeros((rows, length, WIDTH)))
        self.v_cache = nnx.Cache(jnp.zeros((rows, length, WIDTH)))
        self.start_ind = nnx.Variable(-jnp.ones(rows, jnp.int32))
        self.cur_ind = nnx.Variable(jnp.zeros((), jnp.int32))


class Bonsai(Weights):
    """Tokens, segments, the padding on the right and a list of caches, which it writes to; returns logits."""

    def __call__(self, tokens, segment_ids, num_right_pads, cache):
        (layer,) = cache
        left_pads = (jnp.cumsum(segment_ids, axis=1) == 0).sum(axis=1)
        layer.start_ind[...] = jnp.where(layer.start_ind[...] < 0, left_pads, layer.start_ind[...])
        positions = layer.cur_ind[...] + jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
        slots = jnp.arange(layer.k_cache.shape[1])
        mask = (slots >= layer.start_ind[...][:, None, None]) & (slots <= positions[:, :, None])

        def write(keys, values):
            for own, new in ((layer.k_cache, keys), (layer.v_cache, values)):
                own[...] = jax.lax.dynamic_update_slice(own[...], new, (0, layer.cur_ind[...], 0))
            return layer.k_cache[...], layer.v_cache[...]

        logits, _, _ = computed(self.read(), tokens, positions, mask, write)
        layer.cur_ind[...] = layer.cur_ind[...] + tokens.shape[1] - num_right_pads
        return logits


def bonsai_whole(net, ids):
    return net(ids, jnp.ones_like(ids), 0, [LayerCache(*ids.shape)])


def bonsai_row(net, ids, positions, mask, cache):
    """Its own mask is the same, unless there are gaps."""
    layer = LayerCache(*cache["k"].shape[:2])
    layer.k_cache[...], layer.v_cache[...], layer.cur_ind[...] = cache["k"], cache["v"], positions[0, 0]
    logits = net(ids, jnp.ones_like(ids), 0, [layer])
    return logits, {"k": layer.k_cache[...], "v": layer.v_cache[...]}


def bonsai_cache(rows, length):
    return {name: jnp.zeros((rows, length, WIDTH)) for name in ("k", "v")}


def of_bonsai():
    net = Bonsai()
    step = jax.tree_util.Partial(over_rows, jax.tree_util.Partial(bonsai_row), net)
    return xai.function(bonsai_whole, net), xai.text.cached(step, bonsai_cache)


@pytest.mark.parametrize(("make", "gaps"), [(of_gemma, True), (of_tunix, True), (of_bonsai, False)])
def test_models_with_their_caches_give_the_log_probabilities_of_the_text(make, gaps, monkeypatch):
    """Making a game compares both forms of the model for the whole prompt."""
    monkeypatch.setattr(_responses, "_WORTH", 2.0)  # prefixes are used though they save little
    whole, cached = make()
    prompt = xai.text.prompt([[5, 6, 7], [8], [2, 3]], prefix=[0, 4])
    coalitions = np.array([[True, False, True], [False, True, True], [True, False, False]])
    game = xai.text.response_game(whole, prompt, [7, 8], extend=cached, gaps=gaps)
    expected = [log_probabilities(prompt, row, [7, 8], gaps=gaps) for row in coalitions]
    np.testing.assert_allclose(game(coalitions), expected, atol=1e-5)
    assert game.counts.by_prefixes == 3
