"""The front of the Shapley estimators: which one it chooses and says so, and that the budget is what was asked for."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import xaijax as xai
from tests import models

PROCESS, KERNEL = "adapted Gaussian process", "kernel regression"
EXACT, PERMUTATION = "exact", "antithetic permutations"


def bilinear(x):
    """Half of each of the two pairs is each player's, by every estimator; the others add their own values."""
    half = x.shape[1] // 2
    return jnp.stack([x[:, 0] * x[:, 1] + x[:, 2:half].sum(axis=1), 2 * x[:, 0] * x[:, -1]], axis=1)


def explain(players, model=bilinear, examples=1, **options):
    x, masker = models.rows(examples, players), xai.mask.baseline(jnp.zeros(players))
    return xai.shap.values(model, x, masker, **{"key": jax.random.key(0), "target": 0, **options})


@pytest.mark.parametrize(
    ("players", "options", "estimator", "reason", "evaluations"),
    [
        (5, {}, EXACT, "few enough players", 32),
        (12, {}, EXACT, "few enough players", 4096),
        pytest.param(13, {"num_evaluations": 8192}, EXACT, "few enough players", 8192, marks=pytest.mark.slow),
        pytest.param(12, {"num_evaluations": 301}, PROCESS, "from 2 M + 2 evaluations", 300, marks=pytest.mark.slow),
        (13, {}, PROCESS, "from 2 M + 2 evaluations", 260),
        pytest.param(13, {"num_evaluations": 28}, PROCESS, "from 2 M + 2 evaluations", 28, marks=pytest.mark.slow),
        (13, {"num_evaluations": 27}, PERMUTATION, "fewer than 2 M + 2 evaluations", 26),
        pytest.param(
            13, {"num_evaluations": 26}, PERMUTATION, "fewer than 2 M + 2 evaluations", 26, marks=pytest.mark.slow
        ),
        (13, {"num_evaluations": 4100}, KERNEL, "more than 4,098 evaluations", 4100),
        pytest.param(210, {}, KERNEL, "more than 4,098 evaluations", 4200, marks=pytest.mark.slow),
        (13, {"stochastic": True}, PERMUTATION, "unbiased for a stochastic model", 242),
        (5, {"stochastic": True, "num_evaluations": 50}, PERMUTATION, "unbiased for a stochastic model", 50),
    ],
)
def test_the_estimator_and_the_reason_are_those_of_the_table(players, options, estimator, reason, evaluations):
    result = explain(players, **options)
    assert (result.method, result.estimator) == ("SHAP", estimator)
    assert reason in result.reason
    np.testing.assert_array_equal(result.num_evaluations, [evaluations])
    assert estimator != EXACT or (result.std_errors == 0).all()
    assert jnp.isfinite(result.std_errors).all()  # at every budget
    x = np.asarray(models.rows(1, players)[0], float)
    exact = np.where((np.arange(players) >= 2) & (np.arange(players) < players // 2), x, 0)
    exact[:2] = x[0] * x[1] / 2
    if estimator != PROCESS:  # exact for pairs
        np.testing.assert_allclose(result.values[0], exact, atol=1e-4 if players > 100 else 1e-5)
    else:
        assert (np.abs(result.values[0] - exact) < 4 * result.std_errors[0] + 1e-5).all()


@pytest.mark.parametrize(
    ("num_evaluations", "estimator"), [(65, "per-player Gaussian process"), (4100, "kernel regression")]
)
def test_high_precision_is_a_scale_for_each_player_where_there_is_a_process(num_evaluations, estimator):
    assert explain(13, num_evaluations=num_evaluations, precision="high").estimator == estimator


def test_budgets_do_not_change_the_structure_of_the_tree():
    """Results of all estimators can be subtracted, and selected by `lax.cond`."""
    budgets = [{"num_evaluations": count} for count in (26, 65, 130, 4100, 8192)] + [{"precision": "high"}]
    structures = [jax.tree.structure(explain(13, **budget)) for budget in budgets]
    assert all(structure == structures[0] for structure in structures)
    with_cap = [jax.tree.structure(explain(13, until=0.5, **budget)) for budget in ({"num_evaluations": 26}, {})]
    assert with_cap[0] == with_cap[1] != structures[0]


def test_a_key_is_asked_for_only_where_values_are_sampled():
    np.testing.assert_array_equal(explain(5, key=None).values, explain(5).values)
    np.testing.assert_array_equal(explain(13, key=None, num_evaluations=8192).values.shape, (1, 13))
    with pytest.raises(
        ValueError, match="`key` must be a JAX random key.*got None.*antithetic permutations.*stochastic"
    ):
        explain(5, key=None, stochastic=True)
    with pytest.raises(
        ValueError, match=r"`key` must be a JAX random key.*adapted Gaussian process.*2 M \+ 2 evaluations"
    ):
        explain(13, key=None)


@pytest.mark.parametrize("estimator", ["kernel", "gaussian_process"])
def test_estimators_need_no_key_where_they_evaluate_all_coalitions(estimator):
    game = xai.Game(lambda z: z.sum(axis=1) ** 2, 4)
    explain_game = getattr(xai.shap, estimator)
    np.testing.assert_allclose(explain_game(game, num_evaluations=16).values, [4.0] * 4, atol=1e-5)
    with pytest.raises(ValueError, match=r"`key` must be a JAX random key.*not all 2\^4 coalitions"):
        explain_game(game, num_evaluations=10)


def test_the_front_gives_what_the_estimator_gives(key):
    x, masker = models.rows(2, 13), xai.mask.baseline(jnp.zeros(13))
    net = models.table_net(13)
    game = xai.game(net, x, masker, target="all")
    options = {"key": key, "ids": jnp.array([5, 7])}
    for front, back in [
        ({"num_evaluations": 65}, xai.shap.gaussian_process(game, num_evaluations=65, scales="adapted", **options)),
        ({"num_evaluations": 50, "stochastic": True}, xai.shap.permutation(game, num_permutations=2, **options)),
    ]:
        result = xai.shap.values(net, x, masker, target="all", **front, **options)
        np.testing.assert_array_equal(result.values, back.values)
        np.testing.assert_array_equal(result.std_errors, back.std_errors)
        assert result.estimator == back.estimator


def test_a_stochastic_model_gets_values_without_bias():
    """Noise of its own for every row: the mean over keys is the value without it."""
    players, scale = 6, 0.5
    x = models.rows(1, players)

    def explain_with(key):
        noise_key, key = jax.random.split(key)
        noisy = lambda x: x.sum(axis=1, keepdims=True) + scale * jax.random.normal(noise_key, (len(x), 1))  # noqa: E731
        masker = xai.mask.baseline(jnp.zeros(players))
        result = xai.shap.values(noisy, x, masker, key=key, target=0, stochastic=True, num_evaluations=52)
        return result.values[0]

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
    result = explain(5, examples=3, until=0.01)
    assert result.estimator == EXACT
    np.testing.assert_array_equal(result.converged, [True] * 3)
    assert explain(5).converged is None


@pytest.mark.parametrize(
    ("options", "estimator", "evaluations"),
    [({"num_evaluations": 26, "max_evaluations": 170}, PERMUTATION, 50), ({"max_evaluations": 5000}, KERNEL, 260)],
)
def test_until_is_passed_on(options, estimator, evaluations):
    result = explain(13, until=0.5, **options)
    assert result.estimator == estimator
    assert result.converged.all()
    np.testing.assert_array_equal(result.num_evaluations, [evaluations])


@pytest.mark.parametrize(
    ("players", "options", "error", "message"),
    [
        (13, {"num_evaluations": 25}, ValueError, "num_evaluations.? must be at least 26, twice.*13 players.*got 25"),
        (3, {"num_evaluations": 5}, ValueError, "num_evaluations.? must be at least 6"),
        (13, {"num_evaluations": 2.5}, TypeError, "num_evaluations.? must be an int"),
        (5, {"max_evaluations": 100}, ValueError, "`max_evaluations` must be left out unless `until` is given"),
        (13, {"max_evaluations": 1000}, ValueError, "`max_evaluations` must be left out unless `until` is given"),
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
    with pytest.raises(ValueError, match="at most 16 .*" + number + " coalitions.*xai.shap.gaussian_process"):
        xai.shap.exact(xai.Game(lambda z: z.sum(axis=1), players))


def frame_of(rows):
    return pd.DataFrame(rows, columns=["a", "b", "c"])


def as_polars(frame):
    return pytest.importorskip("polars").DataFrame(frame.to_dict("list"))


@pytest.mark.parametrize("convert", [lambda frame: frame, as_polars], ids=["pandas", "polars"])
def test_a_data_frame_alone_is_its_own_background(convert):
    """v(S) is the mean over all rows, equal rows included: enumerated by hand, all 3! orders of each row."""
    rows = np.array([[1, 2, 3], [2, 1, 1], [2, 1, 1], [-1, 3, 0], [0.5, 0, 2]])
    model = lambda x: x[:, 0] * x[:, 1] + x[:, 2] ** 2  # noqa: E731
    result = xai.shap.values(model, convert(frame_of(rows)))
    expected = np.zeros_like(rows)
    for number, row in enumerate(rows):
        for order in itertools.permutations(range(3)):
            present = rows.copy()
            for player in order:
                before, present[:, player] = model(present).mean(), row[player]
                expected[number, player] += (model(present).mean() - before) / 6
    np.testing.assert_allclose(result.values, expected, atol=1e-5)
    assert result.names == ("a", "b", "c")
    assert "k-means centers of x, as no masker was given" in result.reason
    assert "k-means centers of x" in repr(result)


def test_a_long_data_frame_has_25_centers_that_are_the_same_for_every_key():
    frame = frame_of(np.random.default_rng(0).normal(size=(40, 3)))
    centers = xai.mask.k_means(frame, 25, key=jax.random.key(0))
    model = lambda x: x[:, 0] * x[:, 1] - x[:, 2]  # noqa: E731
    expected = xai.shap.values(model, frame, centers)
    for options in ({}, {"key": jax.random.key(5)}):
        np.testing.assert_array_equal(xai.shap.values(model, frame, **options).values, expected.values)
    assert "k-means" not in expected.reason


def test_arrays_and_equal_rows_need_a_masker():
    model = lambda x: x.sum(axis=1)  # noqa: E731
    with pytest.raises(TypeError, match=r"`masker` must come from xai.mask.*got None: only a data frame"):
        xai.shap.values(model, np.eye(3))
    with pytest.raises(ValueError, match=r"`x` must have at least 2 different rows to be its own background, got 1"):
        xai.shap.values(model, frame_of(np.ones((3, 3))))


def test_games_are_explained_as_the_estimator_chosen_for_them_does():
    weights = jnp.arange(15.0)
    game = xai.Game(lambda coalitions: coalitions @ weights, num_players=15)
    np.testing.assert_allclose(xai.shap.values(game, key=jax.random.key(0)).values, weights, atol=0.01)
    few = xai.Game(lambda coalitions: coalitions[:, :3] @ weights[:3], num_players=3)
    attribution = xai.shap.values(few, until=0.1)
    assert (attribution.estimator, bool(attribution.converged), attribution.values.shape) == ("exact", True, (3,))
    with pytest.raises(TypeError, match="`target` must be left out for a game, which has its own, got"):
        xai.shap.values(few, target=1)
