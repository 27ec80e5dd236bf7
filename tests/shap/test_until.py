"""Until precise enough: nested stages, an honest flag, and a stop for each game by itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests import models
from tests.games import interactions, numbers, perceptron, table
from tests.shap.test_kernel import weighted_least_squares
from xaijax._core.numerics import ranks
from xaijax._core.until import precision
from xaijax.shap._chosen_pairs import chosen_pairs
from xaijax.shap._design import design
from xaijax.shap._process import mixture, process

GAME = interactions(8).astype(np.float32)
KEY = jax.random.key(0)


def permutation(game, num_evaluations=58, until=None, max_evaluations=None, **options):
    """58 evaluations are four permutations of eight players, each of fourteen coalitions, and the two ends."""
    count = (num_evaluations - 2) // (2 * game.num_players - 2)
    options |= {"num_permutations": count, "until": until, "max_evaluations": max_evaluations}
    return xai.shap.permutation(game, key=KEY, **options)


def kernel(game, num_evaluations=58, **options):
    return xai.shap.kernel(game, key=KEY, num_evaluations=num_evaluations, **options)


def process_(game, num_evaluations=58, **options):
    return xai.shap.gaussian_process(game, key=KEY, num_evaluations=num_evaluations, **options)


ESTIMATORS = {"permutation": permutation, "kernel": kernel, "gaussian_process": process_}
every = pytest.mark.parametrize("explain", ESTIMATORS.values(), ids=ESTIMATORS)
pairs_only = pytest.mark.parametrize("explain", [kernel, process_], ids=["kernel", "gaussian_process"])


def reached(attribution):
    return attribution.std_errors.max() / jnp.abs(attribution.values).max()


@every
def test_evaluations_are_added_until_the_precision_is_reached_and_no_longer(explain):
    game = table(GAME)
    once = explain(game)
    assert once.converged is None
    goal = float(0.6 * reached(once))
    result = explain(game, until=goal)
    assert result.converged
    assert reached(result) <= goal
    assert once.num_evaluations < result.num_evaluations < 256 or explain is permutation
    # One stage less would not have done.
    last = int(result.num_evaluations)
    fewer = last - 56 if explain is permutation else 2 + (last - 2) // 2
    before = explain(game, until=goal, max_evaluations=fewer)
    assert not before.converged
    assert reached(before) > goal
    assert before.num_evaluations == fewer


@every
def test_a_precision_that_the_first_stage_has_changes_nothing(explain):
    once, result = explain(table(GAME)), explain(table(GAME), until=10.0)
    assert result.converged
    assert result.num_evaluations == once.num_evaluations == 58
    np.testing.assert_array_equal(result.values, once.values)
    np.testing.assert_array_equal(result.std_errors, once.std_errors)


@every
@pytest.mark.parametrize("cap", [58, 150])
def test_at_the_cap_the_flag_says_that_the_precision_was_not_reached(explain, cap):
    result = explain(table(GAME), until=1e-9, max_evaluations=cap)
    assert not result.converged
    assert result.num_evaluations == {58: 58, 150: 2 + 14 * 8 if explain is permutation else 150}[cap]


@pairs_only
def test_all_pairs_are_the_last_stage_and_exact(explain):
    result = explain(table(GAME), until=1e-9)
    assert result.converged
    assert result.num_evaluations == 256
    np.testing.assert_allclose(result.values, xai.shap.exact(table(GAME)).values, atol=5e-6)


def test_rounds_of_permutations_are_those_of_one_call():
    result = permutation(table(GAME), until=1e-9, max_evaluations=2 + 14 * 12)
    at_once = permutation(table(GAME), num_evaluations=2 + 14 * 12)
    assert result.num_evaluations == at_once.num_evaluations == 170
    np.testing.assert_allclose(result.values, at_once.values, atol=2e-6)
    np.testing.assert_allclose(result.std_errors, at_once.std_errors, rtol=1e-4)


@pairs_only
@pytest.mark.parametrize("cap", [58 + 56, 150])
def test_later_stages_solve_for_all_pairs_so_far(explain, cap):
    """The last stage may end within a step: its pairs are the first of the design all the same."""
    result = explain(table(GAME), until=1e-9, max_evaluations=cap)
    stages = tuple(dict.fromkeys((28, 56, (cap - 2) // 2)))
    pairs = design(8, stages, "singles") if explain is kernel else chosen_pairs(8, stages[-1])
    labels = np.asarray(ranks(jax.random.uniform(KEY, (8,))))
    own, worth = pairs.coalitions[:, labels], GAME.astype(float)
    if explain is kernel:
        expected = weighted_least_squares(worth, own, pairs.alike[-1])
    else:
        odd = np.append((worth[numbers(own)] - worth[numbers(~own)]) / 2, (worth[-1] - worth[0]) / 2)
        means = mixture(process(pairs, stages[-1]), jnp.asarray(odd[:, None], jnp.float32)).values
        expected = np.asarray(means)[labels, 0]
        expected += (worth[-1] - worth[0] - expected.sum()) / 8
    np.testing.assert_allclose(result.values, expected, atol=2e-5)


@every
def test_each_game_stops_by_itself(explain):
    """Alone, or with others that need more or fewer evaluations."""
    worths = jnp.stack([jnp.asarray(perceptron(8, 1, relevant=2), jnp.float32), jnp.asarray(GAME), jnp.asarray(_odd())])
    options = {"until": 0.05, "max_evaluations": 200}
    batch = jax.vmap(lambda worth: explain(table(worth), **options))(worths)
    alone = [explain(table(worth), **options) for worth in worths]
    assert len(set(batch.num_evaluations.tolist())) > 1
    for number, one in enumerate(alone):
        assert batch.num_evaluations[number] == one.num_evaluations
        assert batch.converged[number] == one.converged == (reached(one) <= 0.05)
        np.testing.assert_allclose(batch.values[number], one.values, atol=1e-5)
        np.testing.assert_allclose(batch.std_errors[number], one.std_errors, rtol=1e-3, atol=1e-5)


def _odd():
    """Every interaction as likely: no precision below all coalitions."""
    return np.random.default_rng(5).normal(size=256).astype(np.float32)


def test_examples_of_a_model_stop_by_themselves_in_any_batch():
    x, masker = models.rows(4, 14), xai.mask.baseline(jnp.zeros(14))
    options = {"key": KEY, "target": 0, "num_evaluations": 70, "until": 0.02, "max_evaluations": 138}
    batch = xai.shap.values(models.table_net(14), x, masker, **options)
    assert len(set(batch.num_evaluations.tolist())) > 1
    assert set(batch.num_evaluations.tolist()) <= {70, 138}
    some = xai.shap.values(models.table_net(14), x[2:], masker, ids=jnp.arange(2, 4), batch_size=77, **options)
    np.testing.assert_array_equal(some.num_evaluations, batch.num_evaluations[2:])
    np.testing.assert_allclose(some.values, batch.values[2:], atol=1e-5)
    np.testing.assert_array_equal(batch.converged, jax.vmap(precision)(batch.values, batch.std_errors) <= 0.02)


def test_several_outputs_are_all_as_precise():
    worth = np.stack([perceptron(8, 1, relevant=2), 100 * GAME], axis=1).astype(np.float32)
    result = kernel(table(worth), until=0.05, max_evaluations=250)
    by_output = result.std_errors.max(axis=0) / jnp.abs(result.values).max(axis=0)
    assert result.converged == (by_output <= 0.05).all()
    assert result.num_evaluations >= kernel(table(GAME), until=0.05, max_evaluations=250).num_evaluations


@every
def test_nan_is_never_precise_enough(explain):
    worth = np.where(np.arange(256) % 3 == 0, np.nan, GAME).astype(np.float32)
    assert not explain(table(worth), until=0.5).converged


def test_one_permutation_knows_nothing_of_its_error_and_is_not_enough():
    result = permutation(table(GAME), num_evaluations=16, until=0.3)
    assert result.num_evaluations >= 30
    assert result.converged == (reached(result) <= 0.3)


@every
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"until": 0.0}, "until.? must be finite and above zero, (but it is|got) 0.0"),
        ({"max_evaluations": 200}, "`max_evaluations` must be left out unless `until` is given"),
        (
            {"until": 0.1, "max_evaluations": 30},
            "`max_evaluations` must be at least 58, got 30",
        ),
    ],
)
def test_options_without_sense_are_said(explain, options, message):
    with pytest.raises(ValueError, match=message):
        explain(table(GAME), **options)
