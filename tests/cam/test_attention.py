"""Attention maps: products of matrices, by hand in NumPy float64."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import xaijax as xai
from tests import models
from tests.selection import usual
from xaijax._core.tap import tap_several


def weights_and_slopes(target):
    """[2 layers, N, heads, T, T] the attention weights of the small transformer, and their gradients."""
    from xaijax._model import as_model

    model = as_model(models.vision_transformer())
    shapes, run, *_ = tap_several(model, models.images(), "attention_weights")
    zeros = [jnp.zeros(shape.shape) for shape in shapes]
    _, found = run(zeros)
    slopes = jax.grad(lambda bumps: run(bumps)[0][:, target].sum())(zeros)
    return np.asarray(jnp.stack(found), np.float64), np.asarray(jnp.stack(slopes), np.float64)


@pytest.mark.parametrize("token", usual([0, 5, None], 5))
def test_rollout_is_the_product_of_the_layers_attention(token):
    weights, _ = weights_and_slopes(0)
    np.testing.assert_allclose(weights.sum(axis=-1), 1, atol=1e-5)
    for n in range(4):
        first, second = ((weights[layer, n].mean(axis=0) + np.eye(17)) / 2 for layer in (0, 1))
        reached = second @ first
        row = reached.mean(axis=0) if token is None else reached[token]
        values = xai.cam.attention_rollout(models.vision_transformer(), models.images(), token=token).values[n]
        np.testing.assert_allclose(values, row[1:].reshape(4, 4), atol=1e-6)


def test_attention_gradients_follow_the_generic_rules():
    """Chefer et al. (2021): the mean over heads of the positive part of gradient times attention, added up."""
    weights, slopes = weights_and_slopes(2)
    attribution = xai.cam.attention_gradient(models.vision_transformer(), models.images(), target=2)
    for n in range(4):
        relevance = np.eye(17)
        for layer in (0, 1):
            relevance = relevance + np.maximum(weights[layer, n] * slopes[layer, n], 0).mean(axis=0) @ relevance
        expected = (relevance - np.eye(17))[0, 1:].reshape(4, 4)
        np.testing.assert_allclose(attribution.values[n], expected, atol=1e-6)
    np.testing.assert_allclose(attribution.output, models.vision_transformer()(models.images())[:, 2], atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"causal": True}, {"mask": True}])
def test_tagged_attention_computes_what_flax_does(options):
    x = jax.random.normal(jax.random.key(0), (3, 5, 8))
    mask = jnp.tril(jnp.ones((1, 1, 5, 5), bool))
    if "causal" not in options:
        plain, tagged = (
            nn.MultiHeadDotProductAttention(2, **more) for more in ({}, {"attention_fn": xai.tagged_attention})
        )
        variables = plain.init(jax.random.key(1), x)
        given = {"mask": mask} if options else {}
        np.testing.assert_allclose(tagged.apply(variables, x, **given), plain.apply(variables, x, **given), atol=1e-6)
        model = (
            xai.linen(tagged, variables, **given)
            if not given
            else xai.function(lambda v, m, x: tagged.apply(v, x, mask=m), variables, mask)
        )
        assert "attention_weights" in [layer.path for layer in xai.layers(model, x)]
    modules = [
        nnx.MultiHeadAttention(2, 8, decode=False, rngs=nnx.Rngs(2), **more)
        for more in ({}, {"attention_fn": xai.tagged_attention})
    ]
    given = {"is_causal": True} if "causal" in options else {"mask": mask} if options else {}
    one, other = (module(x, **given) for module in modules)
    np.testing.assert_allclose(one, other, atol=1e-6)


def test_token_models_have_maps_over_their_tokens():
    class Reader(nnx.Module):
        def __init__(self, rngs):
            self.embed = nnx.Embed(20, 8, rngs=rngs)
            self.attention = nnx.MultiHeadAttention(2, 8, decode=False, attention_fn=xai.tagged_attention, rngs=rngs)
            self.head = nnx.Linear(8, 2, rngs=rngs)

        def __call__(self, ids):
            hidden = self.embed(ids)
            return self.head((hidden + self.attention(hidden)).mean(axis=1))

    reader = Reader(nnx.Rngs(0))
    for explain in (xai.cam.attention_rollout, xai.cam.attention_gradient):
        assert explain(reader, models.sentences(), token=None).values.shape == (4, 6)


def test_what_has_no_attention_is_told():
    with pytest.raises(
        ValueError,
        match=r"`layers` must name attention weights of the model, got 'attention_weights'.*attention_fn=xai\.tagged_attention",
    ):
        xai.cam.attention_rollout(models.linen_net(), models.images())
    with pytest.raises(ValueError, match=r"must hold attention weights \[N, heads, T, T\]"):
        xai.cam.attention_rollout(models.vision_transformer(), models.images(), layers=["norms/0"])
    with pytest.raises(ValueError, match="`token` must be from 0 to 16, .*got 17"):
        xai.cam.attention_rollout(models.vision_transformer(), models.images(), token=17)
    with pytest.raises(ValueError, match="`layers` must be a name, or one or more paths"):
        xai.cam.attention_gradient(models.vision_transformer(), models.images(), layers=[])
