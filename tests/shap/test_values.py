"""The front of the Shapley estimators: which one it chooses and says so, and that the budget is what was asked for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests import models

PROCESS = "Shapley values by an isotropic odd Gaussian process"
KERNEL = "Shapley values by kernel regression"
EXACT, PERMUTATION = "exact Shapley values", "permutation Shapley values"


def bilinear(x):
    """Half of each of the two pairs is each player's, by every estimator; the others add their own values."""
    half = x.shape[1] // 2
    return jnp.stack([x[:, 0] * x[:, 1] + x[:, 2:half].sum(axis=1), 2 * x[:, 0] * x[:, -1]], axis=1)


def explain(players, model=bilinear, examples=1, **options):
    x, masker = models.rows(examples, players), xai.mask.baseline(jnp.zeros(players))
    return xai.shap.values(model, x, masker, **{"key": jax.random.key(0), "target": 0, **options})


@pytest.mark.parametrize(
    ("players", "options", "start", "reason", "evaluations"),
    [
        (5, {}, EXACT, "all coalitions of 5 players", 32),
        (12, {}, EXACT, "all coalitions of 12 players", 4096),
        (13, {"num_evaluations": 8192}, EXACT, "all coalitions of 13 players", 8192),
        (12, {"num_evaluations": 301}, PROCESS, "5 evaluations or more for each player", 300),
        (13, {}, PROCESS, "5 evaluations or more for each player", 260),
        (13, {"num_evaluations": 65}, PROCESS, "5 evaluations or more for each player", 64),
        (13, {"num_evaluations": 64}, PERMUTATION, "fewer than 5 evaluations for each of 13 players", 50),
        (13, {"num_evaluations": 26}, PERMUTATION, "fewer than 5 evaluations for each of 13 players", 26),
        (13, {"num_evaluations": 4100}, KERNEL, "more than 4,098 evaluations", 4100),
        (210, {}, KERNEL, "more than 4,098 evaluations", 4200),
        (13, {"stochastic": True}, PERMUTATION, "unbiased for a stochastic model", 242),
        (5, {"stochastic": True, "num_evaluations": 50}, PERMUTATION, "unbiased for a stochastic model", 50),
    ],
)
def test_the_estimator_and_the_reason_are_those_of_the_table(players, options, start, reason, evaluations):
    found = explain(players, **options)
    assert found.method.startswith(start)
    assert found.method.endswith(reason)
    np.testing.assert_array_equal(found.num_evaluations, [evaluations])
    assert (found.std_errors is None) == (start == EXACT)
    x = np.asarray(models.rows(1, players)[0], float)
    exact = np.where((np.arange(players) >= 2) & (np.arange(players) < players // 2), x, 0)
    exact[:2] = x[0] * x[1] / 2
    if start != PROCESS:  # exact for pairs
        np.testing.assert_allclose(found.values[0], exact, atol=1e-4 if players > 100 else 1e-5)
    else:
        assert (np.abs(found.values[0] - exact) < 4 * found.std_errors[0] + 1e-5).all()


@pytest.mark.parametrize(
    ("num_evaluations", "start"), [(65, "a per-player odd Gaussian process"), (4100, "kernel regression")]
)
def test_high_precision_is_a_scale_for_each_player_where_there_is_a_process(num_evaluations, start):
    found = explain(13, num_evaluations=num_evaluations, precision="high")
    assert found.method.startswith("Shapley values by " + start)


def test_the_front_gives_what_the_estimator_gives(key):
    x, masker = models.rows(2, 13), xai.mask.baseline(jnp.zeros(13))
    net = models.table_net(13)
    game = xai.game(net, x, masker, target="all")
    options = {"key": key, "ids": jnp.array([5, 7])}
    for front, back in [
        ({"num_evaluations": 65}, xai.shap.gaussian_process(game, num_evaluations=65, **options)),
        ({"num_evaluations": 50}, xai.shap.permutation(game, num_permutations=2, **options)),
    ]:
        found = xai.shap.values(net, x, masker, target="all", **front, **options)
        np.testing.assert_array_equal(found.values, back.values)
        np.testing.assert_array_equal(found.std_errors, back.std_errors)
        assert found.method.startswith(back.method)


def test_a_stochastic_model_gets_values_without_bias():
    """Noise of its own for every row: the mean over keys is the value without it."""
    players, scale = 6, 0.5
    x = models.rows(1, players)

    def explain_with(key):
        noise_key, key = jax.random.split(key)
        noisy = lambda x: x.sum(axis=1, keepdims=True) + scale * jax.random.normal(noise_key, (len(x), 1))  # noqa: E731
        masker = xai.mask.baseline(jnp.zeros(players))
        found = xai.shap.values(noisy, x, masker, key=key, target=0, stochastic=True, num_evaluations=52)
        return found.values[0]

    values = np.asarray(jax.lax.map(explain_with, jax.random.split(jax.random.key(1), 400)))
    assert (np.abs(values.mean(axis=0) - x[0]) < 4 * values.std(axis=0) / 20).all()
    assert values.std() > 0.05


def test_twelve_players_are_exact_and_thirteen_within_their_errors(key):
    few = xai.shap.values(models.table_net(), models.rows(2), xai.mask.baseline(jnp.zeros(12)), key=key, target=0)
    game = xai.game(models.table_net(), models.rows(2), xai.mask.baseline(jnp.zeros(12)), target=0)
    np.testing.assert_array_equal(few.values, xai.shap.exact(game).values)
    x, masker = models.rows(2, 13), xai.mask.baseline(jnp.zeros(13))
    many = xai.shap.values(models.table_net(13), x, masker, key=key, target=0)
    exact = xai.shap.exact(xai.game(models.table_net(13), x, masker, target=0)).values
    assert (jnp.abs(many.values - exact) < 4 * many.std_errors).all()
    assert jnp.abs(many.values - exact).max() < 0.02 * jnp.abs(exact).max()


def test_exact_values_have_any_precision():
    found = explain(5, examples=3, until=0.01)
    assert found.method.startswith(EXACT)
    np.testing.assert_array_equal(found.converged, [True] * 3)
    assert explain(5).converged is None


@pytest.mark.parametrize("start", ["permutation", "kernel"])
def test_until_is_passed_on(start):
    options = {"permutation": {"num_evaluations": 50, "max_evaluations": 170}, "kernel": {"max_evaluations": 5000}}
    found = explain(13, until=0.5, **options[start])
    assert start in found.method
    assert "until 0.5" in found.method
    assert found.converged.all()
    np.testing.assert_array_equal(found.num_evaluations, {"permutation": [50], "kernel": [260]}[start])


@pytest.mark.parametrize(
    ("players", "options", "error", "message"),
    [
        (13, {"num_evaluations": 25}, ValueError, "num_evaluations.? must be at least 26, twice.*13 players.*is 25"),
        (3, {"num_evaluations": 5}, ValueError, "num_evaluations.? must be at least 6"),
        (13, {"num_evaluations": 2.5}, TypeError, "num_evaluations.? must be an int"),
        (5, {"max_evaluations": 100}, ValueError, "max_evaluations is the cap of until"),
        (13, {"max_evaluations": 1000}, ValueError, "max_evaluations is the cap of until"),
        (5, {"until": -1.0}, ValueError, "until.? must be finite and above zero"),
        (
            13,
            {"until": 0.1, "max_evaluations": 200},
            ValueError,
            "max_evaluations.? must be at least 260, (but it is|got) 200",
        ),
        (
            13,
            {"until": 0.1, "max_evaluations": 200, "stochastic": True},
            ValueError,
            "max_evaluations.? must be at least 260",
        ),
        (5, {"precision": "hihg"}, ValueError, "precision.? must be one of.*did you mean 'high'"),
        (13, {"key": 0}, TypeError, "key.? must be one JAX random key"),
    ],
)
def test_options_without_sense_are_said(players, options, error, message):
    with pytest.raises(error, match=message):
        explain(players, **options)


@pytest.mark.parametrize(("players", "number"), [(20, r"2\^20 = 1,048,576"), (20_000, r"2\^20000")])
def test_exact_values_of_many_players_are_refused_with_their_cost_and_an_alternative(players, number):
    with pytest.raises(ValueError, match=number + " coalitions.*at most 16.*xai.shap.gaussian_process"):
        xai.shap.exact(xai.Game(lambda z: z.sum(axis=1), players))
