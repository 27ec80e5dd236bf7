"""Called from Python, solvers are programs of their own, which all models share."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from xaijax.shap import _gaussian_process, _interactions

X = np.random.default_rng(0).normal(size=(2, 7)).astype(np.float32)
WEIGHTS = np.random.default_rng(1).normal(size=(2, 7)).astype(np.float32)
OPTIONS = {"key": jax.random.key(3), "num_evaluations": 26}
EXPLAINERS = {
    "values": (_gaussian_process, lambda game: xai.shap.gaussian_process(game, **OPTIONS)),
    "interactions": (_interactions, lambda game: xai.shap.interactions(game, **OPTIONS)),
}
ADDITIVE = [
    lambda x: x @ jnp.asarray(WEIGHTS[0]),
    lambda x: 1 + (x * jnp.asarray(WEIGHTS[1])).sum(axis=1),
]


@pytest.mark.parametrize("name", EXPLAINERS)
def test_another_model_compiles_no_solver(name, monkeypatch):
    module, explain = EXPLAINERS[name]
    traces, mixture = [], module.mixture
    monkeypatch.setattr(module, "mixture", lambda *arguments: traces.append(None) or mixture(*arguments))
    counts = []
    for model, weights in zip(ADDITIVE, WEIGHTS, strict=True):
        explanation = explain(xai.game(model, X, xai.mask.baseline(np.zeros(7, np.float32))))
        counts.append(len(traces))
        np.testing.assert_allclose(explanation.values, weights * X, atol=1e-3)
    assert counts[0] == counts[1] > 0
