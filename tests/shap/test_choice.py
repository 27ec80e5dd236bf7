"""Pairs chosen in rounds: against brute force over all refits, and a reference of the whole estimator in NumPy and optax."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import xaijax as xai
from experiments._known_games import all_coalitions, shapley, shapley_matrix
from tests.games import coverage, interactions, numbers, over_keys, perceptron, table
from xaijax._core.numerics import ranks
from xaijax.shap import _gaussian_process, _player_scales
from xaijax.shap._choice import rounded
from xaijax.shap._player_scales import Scales, _loss_and_slope, posterior, wider

PLAYERS = 5
SHAPLEY = shapley_matrix(PLAYERS)
ALL = all_coalitions(PLAYERS)
SCALES = np.array([0.5, -1.0, 0.0, 1.5, -0.3, -1.0, 1.2, -4.0])  # logits, their mean, boost, noise
# The smaller coalition of each of the 15 pairs, those of size 1 first; and the grand coalition.
SMALLER = np.array([*np.eye(PLAYERS, dtype=bool), *(row for row in ALL if row.sum() == 2)])
GRAND = np.ones((1, PLAYERS), bool)


def explain(num_evaluations, **options):
    options |= {"num_evaluations": num_evaluations, "scales": "per_player"}
    return lambda game, key: xai.shap.gaussian_process(game, key=key, **options)


def covariances(vector, numpy=np):
    """[2^M, 2^M] of the odd parts of all coalitions, by the product over players, and the variance of the noise."""
    rho = 0.95 / (1 + numpy.exp(-(vector[PLAYERS] + vector[:PLAYERS])))
    spins = 2.0 * ALL - 1
    products = spins[:, None, :] * spins[None, :, :]
    odd = (numpy.prod(1 + rho * products, axis=2) - numpy.prod(1 - rho * products, axis=2)) / 2
    volume = numpy.prod(1 + rho)
    between = (odd + numpy.exp(vector[-2]) * (rho * products).sum(axis=2)) / volume
    return between, (1e-5 + numpy.exp(vector[-1])) * odd[0, 0] / volume


def minus_log_posterior(vector, coalitions, odd, numpy=np):
    """With the amplitude at its best."""
    between, noise = covariances(vector, numpy)
    rows = numbers(coalitions)
    between = between[rows][:, rows] + noise * numpy.eye(len(rows))
    amplitude = odd @ numpy.linalg.solve(between, odd) / len(odd)
    prior = (vector[:PLAYERS] ** 2).sum() + ((vector[-2] - 1) / 2) ** 2 + ((vector[-1] - np.log(1e-4)) / 3) ** 2
    return (len(odd) * numpy.log(amplitude) + numpy.linalg.slogdet(between)[1] + prior) / 2


def by_definition(vector, coalitions, odd):
    """Posterior means and variances (for an amplitude of 1) of the Shapley values, and the amplitude."""
    between, noise = covariances(vector)
    rows = numbers(coalitions)
    inverse = np.linalg.inv(between[np.ix_(rows, rows)] + noise * np.eye(len(rows)))
    with_values = SHAPLEY @ between[:, rows]
    variances = np.diag(SHAPLEY @ between @ SHAPLEY.T - with_values @ inverse @ with_values.T)
    return with_values @ inverse @ odd, variances, odd @ inverse @ odd / len(odd)


def by_brute_force(vector, coalitions, candidates, count):
    """Indices of candidates: each the one that leaves the smallest sum of variances, by refitting with every one."""
    chosen = []
    for _ in range(count):
        rows = [*coalitions, *candidates[chosen]]
        left = [
            np.inf
            if number in chosen
            else by_definition(vector, np.array([*rows, row]), np.zeros(len(rows) + 1))[1].sum()
            for number, row in enumerate(candidates)
        ]
        chosen.append(int(np.argmin(left)))
    return chosen


def spins(coalitions):
    return jnp.asarray(2.0 * coalitions - 1)


def odd_parts(worth, coalitions):
    return (worth[numbers(coalitions)] - worth[numbers(~coalitions)]) / 2


def test_the_process_and_its_slope_are_those_of_the_definition(float64):
    coalitions = np.concatenate([SMALLER[[0, 2, 3, 6, 8, 12]], GRAND])
    odd = np.random.default_rng(0).normal(size=(7, 2))
    rows = spins(coalitions), jnp.asarray(odd), jnp.ones(PLAYERS, bool)
    # A row that is not present changes nothing, with any values.
    padded = [jnp.concatenate([part, 7 * jnp.ones_like(part[:1])]) for part in rows[:2]]
    of_both = jax.jit(_loss_and_slope)(
        jnp.asarray(SCALES), padded[0], padded[1].at[7].set(0), rows[2], jnp.arange(8) < 7
    )
    expected = np.mean([minus_log_posterior(SCALES, coalitions, part) for part in odd.T])
    np.testing.assert_allclose(of_both[0], expected, rtol=1e-10)
    for number, step in enumerate(1e-5 * np.eye(len(SCALES))):
        ends = [
            np.mean([minus_log_posterior(SCALES + way, coalitions, part) for part in odd.T]) for way in (step, -step)
        ]
        np.testing.assert_allclose(of_both[1][number], (ends[0] - ends[1]) / 2e-5, rtol=1e-5, atol=1e-7)

    values, errors = jax.jit(posterior)(Scales.of(jnp.asarray(SCALES)), rows[0], jnp.asarray(odd[:, 0]), rows[2])
    means, variances, amplitude = by_definition(SCALES, coalitions, odd[:, 0])
    np.testing.assert_allclose(values, means, atol=1e-10)
    np.testing.assert_allclose(errors, np.sqrt(amplitude * variances), rtol=1e-5)


def test_pairs_are_those_that_brute_force_finds_best(float64, monkeypatch):
    """Also with noise so large that the pairs evaluated or chosen before would tell most once more."""
    noisy, first = np.append(SCALES[:-1], 5.0), 3
    best = by_brute_force(noisy, GRAND, SMALLER, first)
    evaluated = np.concatenate([SMALLER[best], SMALLER[:1]])  # the last one is padding
    others = np.delete(SMALLER, best, axis=0)

    @jax.jit
    def choose(vector):
        monkeypatch.setattr(_gaussian_process, "fit", lambda *_: Scales.of(vector))
        present, active = jnp.arange(4) < first, jnp.ones(PLAYERS, bool)
        pool, coalitions = jnp.asarray(SMALLER), jnp.asarray(evaluated)
        return _gaussian_process._choose_pairs(pool, jnp.ones((5, 1)), coalitions, present, active, len(others))

    for vector in (SCALES, noisy):
        expected = by_brute_force(vector, np.concatenate([evaluated[:first], GRAND]), others, len(others))
        np.testing.assert_array_equal(choose(vector), others[expected])


def fitted(coalitions, odd):
    """The scales, by optax and derivatives of the definition."""
    loss = jax.jit(
        jax.value_and_grad(lambda vector: minus_log_posterior(vector, coalitions, jnp.asarray(odd), numpy=jnp))
    )
    start = 0.5 / PLAYERS
    vector = jnp.asarray([0] * PLAYERS + [np.log(start / (1 - start)), 1, np.log(1e-4)])
    optimizer = optax.adam(optax.linear_schedule(0.27, 0.02, 15), b2=0.99, eps=0)
    state, best, best_loss = optimizer.init(vector), vector, np.inf
    for _ in range(15):
        value, slope = loss(vector)
        if value < best_loss:
            best, best_loss = vector, value
        step, state = optimizer.update(slope, state)
        vector = optax.apply_updates(vector, step)
    return np.asarray(best)


def test_the_estimator_is_a_reference_in_numpy(float64):
    """22 evaluations: all pairs of size 1, and twice two pairs that the scales of those before choose."""
    worth = perceptron(PLAYERS, seed=3)
    key = jax.random.key(4)
    result = explain(2 + 2 * (PLAYERS + 4))(table(worth), key)
    labels = np.asarray(ranks(jax.random.uniform(key, (PLAYERS,))))
    own = np.empty(PLAYERS, int)
    own[labels] = np.arange(PLAYERS)
    of_design = worth[numbers(ALL[:, labels])]  # the worth of coalitions of the design's players
    coalitions = SMALLER[:PLAYERS]
    for _ in range(2):
        rows = np.concatenate([coalitions, GRAND])
        deciding = np.asarray(rounded(jnp.asarray(odd_parts(of_design, rows))[:, None]))[:, 0]
        known = {row.tobytes() for row in coalitions}
        candidates = np.array([row for row in SMALLER if row.tobytes() not in known])
        chosen = by_brute_force(fitted(rows, deciding), rows, candidates, 2)
        coalitions = np.concatenate([coalitions, candidates[chosen]])
    rows = np.concatenate([coalitions, GRAND])
    odd = odd_parts(of_design, rows)
    size = np.sqrt(np.mean(odd**2))
    means, variances, amplitude = by_definition(fitted(rows, odd / size), rows, odd)
    values = means[labels]
    values += (worth[-1] - worth[0] - values.sum()) / PLAYERS
    np.testing.assert_allclose(result.values, values, atol=1e-6 * np.abs(values).max())
    np.testing.assert_allclose(result.std_errors, 1.3 * np.sqrt(amplitude * variances)[labels], rtol=1e-3)


def test_errors_are_the_wider_the_more_pairs_there_are_for_each_active_player():
    active = np.arange(10) < 8
    factors = [float(wider(num_rows, active, np.float32)) for num_rows in (8, 20, 80, 640)]
    np.testing.assert_allclose(factors, [1.3, 1.3, 1.3 * 4**0.2, 1.3 * 32**0.2], rtol=1e-6)


def counted(worth, calls):
    """A game on the host that notes its coalitions."""

    def value(coalitions):
        calls.append(np.asarray(coalitions))
        return worth[numbers(coalitions)].astype(np.float32)

    def on_device(coalitions):
        shape = jax.ShapeDtypeStruct(coalitions.shape[:1], jnp.float32)
        return jax.pure_callback(value, shape, coalitions)

    return xai.Game(on_device, len(worth).bit_length() - 1)


def test_three_calls_of_the_game_evaluate_every_coalition_once(key, monkeypatch):
    """A linear game is exact, and the pairs of size 1 come first. Another game of this size needs no new fit compiled."""
    calls = []
    weights = np.arange(1.0, 8)
    game = counted(all_coalitions(7) @ weights, calls)
    result = explain(40)(game, key)
    jax.block_until_ready(result)
    assert [len(coalitions) for coalitions in calls] == [2 + 2 * 7, 12, 12]
    assert {row.sum() for row in calls[0]} == {0, 1, 6, 7}
    assert len({row.tobytes() for row in np.concatenate(calls)}) == result.num_evaluations == 40
    np.testing.assert_allclose(result.values, weights, rtol=1e-5)
    assert result.std_errors.max() < 0.05

    for module in (_gaussian_process, _player_scales):
        monkeypatch.setattr(module, "fit", None)  # not traced again
    other = explain(40)(counted(all_coalitions(7) @ weights[::-1], []), key)
    np.testing.assert_allclose(other.values, weights[::-1], rtol=1e-5)


def test_later_stages_choose_more_pairs_up_to_all_of_them(key):
    worth = interactions(5).astype(np.float32)
    calls = []
    result = explain(22, until=1e-9)(counted(worth, calls), key)
    assert len({row.tobytes() for row in np.concatenate(calls)}) == result.num_evaluations == 32
    assert result.converged
    np.testing.assert_allclose(result.values, shapley(worth), atol=1e-5)


@pytest.mark.slow
def test_stages_in_one_loop_are_those_of_several_programs(key):
    worth = interactions(6).astype(np.float32)
    several = explain(22, until=1e-9, max_evaluations=60)
    result = several(table(worth), key)
    compiled = jax.jit(lambda worth: several(table(worth), key))(worth)
    assert not compiled.converged
    assert compiled.num_evaluations == result.num_evaluations == 60
    np.testing.assert_allclose(compiled.values, result.values, atol=1e-5)
    np.testing.assert_allclose(compiled.std_errors, result.std_errors, rtol=0.02)


def test_odd_parts_decide_in_units_of_their_root_mean_square():
    """3 and -4 have 12.5 ** 0.5: 217.2 and -289.6 of its 256th parts. Each output has its own unit, and zeros have none."""
    odd = np.array([[3.0, 3e-6, 0.0], [-4.0, -4e-6, 0.0]], np.float32)
    np.testing.assert_allclose(jax.jit(rounded)(odd) * 256, [[217, 217, 0], [-290, -290, 0]], rtol=1e-6)


def test_one_choice_serves_all_outputs_whatever_their_units(key):
    """The values are about right for each, and change with the units of one output as its values do."""
    worths = np.stack([perceptron(6, seed=1), interactions(6)], axis=1)
    values = [np.asarray(explain(40)(table(worths * np.array([1, unit])), key).values) for unit in (1.0, 1024.0)]
    np.testing.assert_allclose(values[1], values[0] * np.array([1, 1024]), rtol=1e-6)
    exact = shapley(worths)
    assert (((values[0] - exact) ** 2).sum(axis=0) < 0.05 * (exact**2).sum(axis=0)).all()


@pytest.mark.slow
@pytest.mark.xfail(
    strict=True, reason="0.89 and 0.81 of the error in the geometric mean, since the other pairs are chosen too"
)
def test_chosen_pairs_have_a_fraction_of_the_error_and_their_intervals_hold():
    worths = np.stack([perceptron(12, seed=seed) for seed in range(4)] + [interactions(12, seed=9)])
    exact = np.stack([shapley(worth) for worth in worths])
    for per_player, ratio in ((5, 0.5), (10, 0.5)):
        values, errors = over_keys(explain(12 * per_player), worths, 10)
        assert 0.92 < coverage(values, errors, exact) < 0.995
        isotropic = lambda game, key, count=12 * per_player: xai.shap.gaussian_process(  # noqa: E731
            game, key=key, num_evaluations=count
        )
        others, _ = over_keys(isotropic, worths, 10)
        assert ((values - exact) ** 2).sum() < ratio * ((others - exact) ** 2).sum()
