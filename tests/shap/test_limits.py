"""Large and small outputs, many players, endless requests, and settings of JAX."""

import _thread
import signal
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests import models
from tests.games import perceptron, table
from tests.selection import usual
from xaijax.shap import _gaussian_process, _paired, _permutation

KEY = jax.random.key(0)
ESTIMATORS = {
    "exact": xai.shap.exact,
    "banzhaf": xai.shap.banzhaf,
    "permutation": lambda game: xai.shap.permutation(game, key=KEY, num_permutations=5),
    "permutation, until": lambda game: xai.shap.permutation(game, key=KEY, num_permutations=5, until=0.02),
    "kernel": lambda game: xai.shap.kernel(game, key=KEY, num_evaluations=100),
    "published": lambda game: xai.shap.kernel(game, key=KEY, num_evaluations=100, sampling="published"),
    "isotropic": lambda game: xai.shap.gaussian_process(game, key=KEY, num_evaluations=100),
    "adapted": lambda game: xai.shap.gaussian_process(game, key=KEY, num_evaluations=100, scales="adapted"),
    "per_player": lambda game: xai.shap.gaussian_process(game, key=KEY, num_evaluations=100, scales="per_player"),
    "interactions": lambda game: xai.shap.interactions(game, key=KEY, num_evaluations=100),
    "exact interactions": xai.shap.interactions,
    "lime": lambda game: xai.lime.fit(game, key=KEY, num_samples=100),
}
TINY = np.finfo(np.float32).tiny  # smaller numbers are subnormal, which CPUs take for 0


@pytest.mark.parametrize("power", [-120, pytest.param(100, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "name", usual(ESTIMATORS, "banzhaf", "permutation", "kernel", "isotropic", "interactions", "lime")
)
def test_a_game_times_a_power_of_two_has_its_values_times_the_power(name, power):
    """Up to 1e30, and down to 1e-36: not a digit is lost but those of results that are subnormal themselves."""
    worth = perceptron(8).astype(np.float32)
    worth = np.where(np.abs(worth) < 0.02, np.float32(0.02), worth)  # 2^-120 of these is a normal number
    expected, scaled = (ESTIMATORS[name](table(part)) for part in (worth, np.ldexp(worth, power)))
    for field, tolerance in (("values", 0), ("std_errors", 1e-5)):  # squares of errors below 1e-38 lose digits
        right = np.ldexp(np.asarray(getattr(expected, field)), power)
        right = np.where(np.abs(right) < TINY, 0, right)
        np.testing.assert_allclose(getattr(scaled, field), right, rtol=tolerance, atol=0)
    assert jnp.isfinite(scaled.values).all()
    assert np.abs(scaled.values).max() > 4 * TINY


@pytest.mark.parametrize(
    "explain",
    usual(
        [xai.shap.gaussian_process, xai.shap.interactions, xai.shap.permutation],
        xai.shap.gaussian_process,
        xai.shap.interactions,
    ),
)
@pytest.mark.parametrize("players", [140, pytest.param(250, marks=pytest.mark.slow)])
def test_many_players_need_no_other_arguments(explain, players):
    weights = np.linspace(-1, 1, players, dtype=np.float32)
    result = explain(xai.Game(lambda z: z @ jnp.asarray(weights), players), key=KEY)
    np.testing.assert_allclose(result.values, weights, atol=0.01)
    assert result.num_evaluations <= 32 * players


def test_a_thousand_players_have_shapley_values():
    weights = np.linspace(-1, 1, 1000, dtype=np.float32)
    game = xai.Game(lambda z: z @ jnp.asarray(weights) + 3.0 * (z[:, 0] & z[:, 1]), 1000)
    result = xai.shap.gaussian_process(game, key=KEY, num_evaluations=2400)
    expected = weights + 1.5 * (np.arange(1000) < 2)
    assert np.mean((result.values - expected) ** 2) < 0.05 * np.mean(expected**2)
    assert (np.abs(result.values - expected) < 5 * result.std_errors).all()


@pytest.mark.parametrize(
    ("explain", "players", "message"),
    [
        (xai.shap.interactions, 1000, "at most 256 players .*got 1,000, which make 499,500 pairs: group the players"),
        (xai.shap.gaussian_process, 3000, "at most 2,049 players .*got 3,000: group the players"),
        (xai.shap.exact, 17, "at most 16 players .*group the players"),
    ],
)
def test_too_many_players_are_refused_with_advice(explain, players, message):
    options = {} if explain is xai.shap.exact else {"key": KEY}
    with pytest.raises(ValueError, match=message):
        explain(xai.Game(lambda z: z.sum(axis=1), players), **options)


def test_stages_that_are_not_reached_are_not_prepared(monkeypatch):
    """14 players: the cap has 2,048 pairs, whose constants take a minute."""
    prepared = []
    prepare = _gaussian_process._prepare
    monkeypatch.setattr(
        _gaussian_process, "_prepare", lambda *arguments: prepared.append(arguments[1]) or prepare(*arguments)
    )
    x, masker = models.rows(3, 14), xai.mask.baseline(jnp.zeros(14))
    result = xai.shap.values(models.table_net(14), x, masker, key=KEY, target=0, until=0.05)
    assert result.converged.all()
    assert result.num_evaluations.max() <= 558
    assert prepared in ([(139,)], [(139,), (139, 278)])


def interrupt_after(seconds):
    timer = threading.Timer(seconds, _thread.interrupt_main)
    timer.start()
    return timer


ENDLESS = {
    "permutations": lambda game: xai.shap.permutation(game, key=KEY, num_permutations=10**9),
    "permutations, until": lambda game: xai.shap.permutation(
        game, key=KEY, num_permutations=300, until=1e-9, max_evaluations=2**31 - 1
    ),
    "coalitions": lambda game: xai.shap.kernel(game, key=KEY, num_evaluations=10**6),
}


@pytest.fixture
def interruptible():
    """Shells start background processes with SIGINT ignored, which would make these tests endless."""
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, usual)


@pytest.mark.parametrize("name", ENDLESS)
@pytest.mark.usefixtures("interruptible")
def test_endless_requests_can_be_interrupted(name, monkeypatch):
    monkeypatch.setattr(_permutation, "_LONGEST", 4)
    game = xai.Game(lambda z: jnp.tanh(z.sum(axis=1) - 9.0 * z[:, 0]), 20)
    started = time.monotonic()
    timer = interrupt_after(2)
    with pytest.raises(KeyboardInterrupt):
        ENDLESS[name](game)
    timer.cancel()
    assert time.monotonic() - started < 30


def test_programs_of_bounded_length_give_the_values_of_one(monkeypatch):
    game = xai.game(models.table_net(), models.rows(2), xai.mask.background(models.rows(3, seed=1)), target=2)
    options = {"key": KEY, "num_permutations": 300}
    at_once = xai.shap.permutation(game, **options)
    kernel = xai.shap.kernel(game, key=KEY, num_evaluations=700)
    monkeypatch.setattr(_permutation, "_LONGEST", 1)
    monkeypatch.setattr(_permutation, "_FEW", 16)
    monkeypatch.setattr(_paired, "_MOST_AT_ONCE", 100)
    in_parts = xai.shap.permutation(game, batch_size=6600, **options)
    np.testing.assert_array_equal(in_parts.num_evaluations, at_once.num_evaluations)
    np.testing.assert_allclose(in_parts.values, at_once.values, atol=2e-6)
    np.testing.assert_allclose(in_parts.std_errors, at_once.std_errors, rtol=1e-4)
    parts = xai.shap.kernel(game, key=KEY, num_evaluations=700)
    np.testing.assert_array_equal(parts.num_evaluations, 700)
    np.testing.assert_allclose(parts.values, kernel.values, atol=2e-6)
    np.testing.assert_allclose(parts.std_errors, kernel.std_errors, rtol=1e-4)


@pytest.mark.parametrize("name", usual(ESTIMATORS, "exact", "permutation", "kernel", "interactions", "lime"))
def test_strict_settings_of_jax_give_the_same_numbers(name):
    worth = perceptron(8).astype(np.float32)
    weights = jnp.asarray(worth)

    def value(z):
        return weights[(z.astype(jnp.int32) * (1 << jnp.arange(8))[None]).sum(axis=1)]

    game = xai.Game(value, 8)
    expected = ESTIMATORS[name](game)
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        result = ESTIMATORS[name](game)
    np.testing.assert_allclose(result.values, expected.values, atol=1e-6)


NUMBERS = {
    "beyond int32": (2**40, ValueError, "at most 2147483647"),
    "of a thousand bits": (10**400, ValueError, "at most 2147483647, got an int of 1329 bits"),
    "a float": (1e3, TypeError, "must be an int"),
    "a bool": (True, TypeError, "must be an int"),
}
COUNTS = {
    "num_permutations": lambda count: xai.shap.permutation(table(np.zeros(8)), key=KEY, num_permutations=count),
    "num_evaluations": lambda count: xai.shap.kernel(table(np.zeros(8)), key=KEY, num_evaluations=count),
    "max_evaluations": lambda count: xai.shap.kernel(table(np.zeros(8)), key=KEY, until=0.1, max_evaluations=count),
    "order": lambda count: xai.shap.interactions(table(np.zeros(8)), order=count),
    "batch_size": lambda count: xai.shap.exact(table(np.zeros(8)), batch_size=count),
    "num_samples": lambda count: xai.shap.expected_gradients(
        models.table_net(), models.rows(2), models.rows(2), key=KEY, num_samples=count
    ),
}


@pytest.mark.parametrize(("number", "error", "sentence"), NUMBERS.values(), ids=NUMBERS)
@pytest.mark.parametrize("name", COUNTS)
def test_counts_that_are_none_are_refused_in_a_sentence(name, number, error, sentence):
    with pytest.raises(error, match=f"`{name}`.*" + sentence.replace("2147483647", r"\d+")):
        COUNTS[name](number)


@pytest.mark.parametrize(
    ("value", "error", "sentence"),
    [
        (lambda z: None, TypeError, "`value` must return arrays, got None"),
        (lambda z: (z.sum(axis=1), z.sum(axis=1)), ValueError, "`value` must map .*got tuple"),
        (lambda z: z.sum(), ValueError, r"`value` must map .*got shape \[\]"),
        (lambda z: z.sum(axis=1) * 1j, TypeError, "`value` must return real numbers, got complex64"),
    ],
)
def test_games_that_answer_something_else_are_refused_in_a_sentence(value, error, sentence):
    with pytest.raises(error, match=sentence):
        xai.shap.exact(xai.Game(value, 3))


def test_games_written_by_hand_name_their_players():
    game = xai.Game(lambda z: z.sum(axis=1), 3, names=["Ann", "Bob", "Cem"])
    for result in (xai.shap.exact(game), xai.shap.permutation(game, key=KEY), xai.shap.interactions(game)):
        assert result.player_names() == ["Ann", "Bob", "Cem"]
