"""Calls from Python are explained by several programs, most of them shared by all models, with the same results."""

import dataclasses
import logging
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai

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


def compiled_programs(caplog):
    """Returns the names of the programs that were compiled since the last call."""
    names = [re.match(r"Compiling (?:jit\()?(\w+)", record.getMessage()) for record in caplog.records]
    caplog.clear()
    return [name[1] for name in names if name]


@pytest.mark.parametrize("explain", [fit, tabular])
def test_the_second_model_compiles_its_evaluations_alone(explain, caplog):
    """Drawing and solving depend on shapes and options only. The results are those of one program under jit."""
    x = ROWS[:2]
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        first = explain(x, curved)
        of_first = compiled_programs(caplog)
        second = explain(x, straight)
    assert {"_draw", "_evaluate", "_solve"} <= set(of_first)
    assert compiled_programs(caplog) == ["_evaluate"]
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
