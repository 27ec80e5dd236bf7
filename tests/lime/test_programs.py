"""Calls from Python are explained by several programs, most of them shared by all models, with the same results."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from benchmarks._timing import compiling

KEY = jax.random.key(3)
ROWS = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
WEIGHTS = np.array([1.0, -2.0, 0.5], np.float32)


def fit(x, model):
    game = xai.game(model, x, xai.mask.baseline(np.zeros(3, np.float32)), target="all")
    return xai.lime.fit(game, key=KEY, num_samples=91, ids=[4, 7])


def tabular(x, model):
    statistics = xai.lime.statistics(ROWS)
    return xai.lime.tabular(model, x, statistics, key=KEY, num_samples=91, target="all", ids=[4, 7])


def curved(x):
    return jnp.stack([jnp.tanh(x @ WEIGHTS), (x**2).sum(axis=1)], axis=1)


def straight(x):
    return jnp.stack([x @ WEIGHTS, x[:, 0]], axis=1)


@pytest.mark.parametrize("explain", [fit, tabular])
def test_the_second_model_compiles_its_evaluations_alone(explain):
    """Drawing and solving depend on shapes and options only. The results are those of one program under jit."""
    x = ROWS[:2]
    with compiling() as of_first:
        first = explain(x, curved)
    with compiling() as of_second:
        second = explain(x, straight)
    assert of_first.compiled >= 3
    assert of_second.compiled == 1
    # By hand: the model is linear, from the baseline 0, or per standard deviation of a feature.
    units = (x if explain is fit else np.broadcast_to(ROWS.std(axis=0), x.shape))[..., None]
    np.testing.assert_allclose(second.values, units * np.stack([WEIGHTS, [1, 0, 0]], axis=1), atol=1e-4)
    compiled = jax.jit(explain, static_argnums=1)(x, curved)
    for field in dataclasses.fields(first):
        ours, expected = getattr(first, field.name), getattr(compiled, field.name)
        if isinstance(ours, jax.Array):
            np.testing.assert_allclose(ours, expected, rtol=2e-4, atol=2e-5, err_msg=field.name)
        else:
            assert ours == expected, field.name
