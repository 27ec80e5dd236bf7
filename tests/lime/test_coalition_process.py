"""The Gaussian process surrogate: its kernel is that of the definition, and its line nearer to that of all coalitions."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests.lime.games import PLAYERS, best_line, interactions, perceptron, worth
from xaijax.lime._coalition_process import _without_lines


@pytest.mark.parametrize("q", [0.5, pytest.param(0.99, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("players", "padding"),
    [pytest.param(1, 2, marks=pytest.mark.slow), pytest.param(6, 0, marks=pytest.mark.slow), (6, 3)],
)
def test_the_kernel_is_that_of_the_process_without_its_lines(players, padding, q):
    """(I - L) k (I - L) with the projection L written out over all coalitions."""
    z = np.array(list(itertools.product([0, 1], repeat=players)), float)
    sizes = z.sum(axis=1)
    shares = np.random.default_rng(0).random(players + 1)
    shares /= shares.sum()
    chance = np.array([shares[int(size)] / math.comb(players, int(size)) for size in sizes])
    differing = sizes[:, None] + sizes - 2 * z @ z.T
    design = np.concatenate([np.ones((len(z), 1)), z], axis=1)
    projection = design @ np.linalg.pinv(design.T @ (chance[:, None] * design)) @ (design.T * chance)
    rest = np.eye(len(z)) - projection
    found = _without_lines(
        jnp.float32(math.log(q)),
        *(jnp.asarray(part, jnp.float32) for part in (sizes, differing, z @ z.T, np.pad(shares, (0, padding)))),
        jnp.asarray(players),
    )
    np.testing.assert_allclose(found, rest @ q**differing @ rest.T, atol=2e-6)


# Where nearly all samples lack one player or two there is less for the process to know.
@pytest.mark.parametrize(("width", "share"), [(0.25, 0.2), pytest.param(0.05, 0.75, marks=pytest.mark.slow)])
def test_the_line_is_far_nearer_to_that_of_all_coalitions_and_its_errors_hold(width, share):
    values = interactions()
    truth = best_line(values, width)[1:]
    game = xai.Game(worth(values), PLAYERS)

    def errors(surrogate):
        def one(key):
            fit = xai.lime.fit(game, key=key, num_samples=200, kernel_width=width, surrogate=surrogate)
            return fit.values - truth, fit.std_errors

        return jax.lax.map(one, jax.random.split(jax.random.key(0), 40))

    linear, _ = errors("linear")
    process, claimed = errors("gaussian_process")
    assert (process**2).mean() < share * (linear**2).mean()
    assert (jnp.abs(process) < 1.96 * claimed).mean() > 0.9
    assert claimed.mean() < 3 * jnp.abs(process).mean()


def test_noise_is_told_from_interactions():
    """A game of noise alone: the process must not take it for structure, and its line is that of least squares."""
    noise = np.random.default_rng(1).normal(size=2**PLAYERS)
    game = xai.Game(worth(noise), PLAYERS)
    options = {"key": jax.random.key(2), "num_samples": 300}
    linear = xai.lime.fit(game, **options)
    process = xai.lime.fit(game, surrogate="gaussian_process", **options)
    np.testing.assert_allclose(process.values, linear.values, atol=linear.std_errors.max())
    np.testing.assert_allclose(process.std_errors.mean(), linear.std_errors.mean(), rtol=0.35)


def test_a_linear_game_is_recovered_and_a_constant_one_is_nothing(key):
    weights = jnp.linspace(-2, 3, 12)
    fit = xai.lime.fit(xai.Game(lambda z: z @ weights + 1, 12), key=key, num_samples=100, surrogate="gaussian_process")
    np.testing.assert_allclose(fit.values, weights, atol=1e-4)
    np.testing.assert_allclose(fit.prediction, weights.sum() + 1, atol=1e-4)
    np.testing.assert_allclose(fit.intercept, 1, atol=1e-4)
    np.testing.assert_allclose(fit.r_squared, 1, atol=1e-5)
    constant = xai.lime.fit(
        xai.Game(lambda z: jnp.full(len(z), 7.0), 5), key=key, num_samples=50, surrogate="gaussian_process"
    )
    np.testing.assert_allclose(constant.values, 0, atol=1e-6)
    np.testing.assert_allclose(constant.prediction, 7, rtol=1e-6)


@pytest.mark.slow
def test_several_outputs_choose_their_own_process(key):
    games = [perceptron(0), 100 * perceptron(1)]
    both = xai.lime.fit(
        xai.Game(lambda z: jnp.stack([worth(one)(z) for one in games], axis=1), PLAYERS),
        key=key, num_samples=150, surrogate="gaussian_process",
    )  # fmt: skip
    for place, one in enumerate(games):
        alone = xai.lime.fit(xai.Game(worth(one), PLAYERS), key=key, num_samples=150, surrogate="gaussian_process")
        scale = float(np.abs(alone.values).max())
        np.testing.assert_allclose(both.values[:, place] / scale, alone.values / scale, atol=1e-4)
        np.testing.assert_allclose(both.std_errors[:, place] / scale, alone.std_errors / scale, atol=1e-4)
        np.testing.assert_allclose(both.prediction[place], alone.prediction, rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampling": "coins"}, "`sampling` must be 'weighted' with surrogate"),
        ({"num_features": 3}, "gives every player a coefficient"),
        ({"num_samples": 5000}, "at most 4096 in all rounds"),
        ({"until": 0.1}, "at most 4096 in all rounds"),
    ],
)
def test_what_the_process_cannot_do_is_said(options, message, key):
    with pytest.raises(ValueError, match=message):
        xai.lime.fit(xai.Game(worth(perceptron()), PLAYERS), key=key, surrogate="gaussian_process", **options)
