"""Infidelity, against closed forms of linear models, enumeration of all perturbations, and NumPy with the same draws."""

import dataclasses
import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from xaijax.metrics.faithfulness._over_inputs import over_inputs

KEY = jax.random.key(3)
WEIGHTS = np.array([2.0, -1.0, 0.5], np.float32)
GUESSES = np.array(
    [[2.0, -1.0, 0.5], [1.0, -1.0, 0.5], [-2.0, 1.0, -0.5], [0.0, 0.0, 0.0], [0.0, 3.0, 1.0]], np.float32
)
SIGMA = 0.3
ROWS = np.linspace(-1, 1, 15, dtype=np.float32).reshape(5, 3)
NOISE = {"perturbation": "noise", "scale": np.full(3, SIGMA, np.float32)}


def linear(weights, x):
    return x @ weights


MODEL = xai.function(linear, WEIGHTS)


def explained(values, **fields):
    values = jnp.asarray(values)
    return xai.Attribution(values, jnp.zeros(len(values)), method="guess", **fields)


def expected(optimal_scale):
    """σ²|φ - w|², or its least value over all multiples of φ."""
    if not optimal_scale:
        return SIGMA**2 * ((GUESSES - WEIGHTS) ** 2).sum(axis=1)
    squares = np.maximum((GUESSES**2).sum(axis=1), 1e-30)
    return SIGMA**2 * ((WEIGHTS**2).sum() - (GUESSES @ WEIGHTS) ** 2 / squares)


@pytest.mark.parametrize("optimal_scale", [False, True])
def test_of_a_linear_model_under_noise_it_is_the_squared_distance_of_the_slopes(optimal_scale):
    score = xai.metrics.infidelity(
        MODEL, ROWS, explained(GUESSES), key=KEY, num_samples=4000, optimal_scale=optimal_scale, **NOISE
    )
    truth = expected(optimal_scale)
    np.testing.assert_allclose(score.std_errors, truth * np.sqrt(2 / 4000), rtol=0.15, atol=1e-7)  # of chi square
    assert (np.abs(score.values - truth) < 4 * score.std_errors + 1e-6).all()
    assert (truth < 1e-6).tolist() == [True, False, optimal_scale, False, False]
    assert (score.metric, score.better, score.method) == ("infidelity", "lower", "guess")


def test_values_that_start_from_a_base_value_are_contributions():
    attribution = xai.gradient.integrated_gradients(MODEL, ROWS, num_steps=2)
    assert (xai.metrics.infidelity(MODEL, ROWS, attribution, key=KEY, num_samples=4).values < 1e-9).all()


def coverage(optimal_scale, num_samples, num_keys, guesses):
    """The share of the intervals, over keys and guesses, that hold the closed form."""

    @jax.jit
    @jax.vmap
    def score(key):
        options = {"num_samples": num_samples, "optimal_scale": optimal_scale, **NOISE}
        return xai.metrics.infidelity(MODEL, ROWS[guesses], explained(GUESSES[guesses]), key=key, **options)

    scores = score(jax.random.split(KEY, num_keys))
    inside = np.abs(scores.values - expected(optimal_scale)[guesses]) < 1.96 * np.asarray(scores.std_errors)
    return inside.mean()


def test_95_percent_intervals_hold_the_closed_form_of_200_keys():
    assert 0.93 <= coverage(True, 300, 200, np.array([1, 3, 4])) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("optimal_scale", [False, True])
@pytest.mark.parametrize("num_samples", [200, 1000])
def test_95_percent_intervals_hold_the_closed_form_of_2000_keys(optimal_scale, num_samples):
    assert 0.93 <= coverage(optimal_scale, num_samples, 2000, np.array([1, 3, 4])) <= 0.97


def product(x):
    return x[..., 0] * x[..., 1] + x[..., 2]


def subsets():
    """All subsets of three features, with their probabilities: uniform sizes, then uniform subsets of this size."""
    masks = np.array(list(itertools.product([0, 1], repeat=3)), bool)
    return masks, np.array([1 / (4 * math.comb(3, mask.sum())) for mask in masks])


@pytest.mark.parametrize("contributions", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_over_subsets_it_is_the_mean_over_all_of_them(contributions):
    masks, probabilities = subsets()
    baseline = np.array([0.5, -1.0, 2.0], np.float32)
    values = np.array([[0.3, 0.8, -1.0], [1.0, 0.0, 0.2]], np.float32)
    score = xai.metrics.infidelity(
        product, ROWS[:2], explained(values), key=KEY, perturbation="subset", baseline=baseline,
        contributions=contributions, optimal_scale=False, num_samples=4000,
    )  # fmt: skip
    for row, own, value, std_error in zip(ROWS[:2], values, score.values, score.std_errors, strict=True):
        steps = masks * (1 if contributions else row - baseline)
        errors = (steps @ own - (product(row) - product(np.where(masks, baseline, row)))) ** 2
        truth = probabilities @ errors
        assert abs(value - truth) < 4 * std_error
        spread = np.sqrt((probabilities @ errors**2 - truth**2) / 4000)
        np.testing.assert_allclose(std_error, spread, rtol=0.15)


IMAGES = np.random.default_rng(0).normal(size=(2, 4, 5, 2)).astype(np.float32)


def image_model(x):
    return jnp.tanh(x).sum(axis=(1, 2, 3)) ** 2


def windows(values, steps):
    """The errors of all 3 x 3 windows of 2 x 3, by NumPy."""
    errors = []
    for top, left in itertools.product(range(3), range(3)):
        removed = np.zeros((4, 5, 1), bool)
        removed[top : top + 2, left : left + 3] = True
        changed = np.where(removed, 0.25, IMAGES[0])
        score, other = (np.tanh(image).sum() ** 2 for image in (IMAGES[0], changed))
        errors.append(((removed * steps * values).sum() - (score - other)) ** 2)
    return np.mean(errors)


def test_over_squares_a_map_counts_for_all_channels_or_is_shared_by_them():
    maps = np.random.default_rng(1).normal(size=(2, 4, 5)).astype(np.float32)
    options = {"window": (2, 3), "baseline": 0.25, "optimal_scale": False, "num_samples": 3000, "key": KEY}
    slopes = xai.metrics.infidelity(image_model, IMAGES, explained(maps, axes="N h w"), **options)
    truth = windows(maps[0, ..., None], IMAGES[0] - 0.25)
    assert abs(slopes.values[0] - truth) < 4 * slopes.std_errors[0] < 0.3 * truth
    attribution = explained(maps, axes="N h w", efficient=True)
    shares = xai.metrics.infidelity(image_model, IMAGES, attribution, **options)
    truth = windows(maps[0, ..., None] / 2, 1)
    assert abs(shares.values[0] - truth) < 4 * shares.std_errors[0] < 0.3 * truth


def test_values_of_every_layout_are_laid_out_over_the_input():
    rng = np.random.default_rng(2)
    shape = (2, 4, 6, 2)
    entries, maps, small = rng.normal(size=shape), rng.normal(size=shape[:3]), np.full((2, 2, 3), 5.0)
    regions = np.where(np.arange(6) < 4, 0, 1) * np.ones((2, 4, 1), int)
    regions[:, 0, 0] = -1
    of_regions = explained([[30.0, 8.0]] * 2, regions=jnp.asarray(regions), axes="N M")
    maps_and_more = explained(maps, axes="N h w"), explained(small, axes="N h w"), of_regions
    given = explained(entries, axes="N H W C"), explained(entries.reshape(2, -1)), *maps_and_more

    @jax.jit
    def laid_out(given):
        lay_out = lambda shared: [over_inputs(one, shape, 3, shared=shared) for one in given]  # noqa: E731
        return lay_out(False), lay_out(True), over_inputs(given[2], (2, 2, 4, 6), 1, shared=False)

    each, shared, channels_first = laid_out(given)
    for of_entries in (each[0], each[1], shared[0], shared[1]):
        np.testing.assert_allclose(of_entries, entries, rtol=1e-6)
    np.testing.assert_allclose(each[2], np.stack([maps, maps], axis=3), rtol=1e-6)
    np.testing.assert_allclose(shared[2], each[2] / 2, rtol=1e-6)
    np.testing.assert_allclose(channels_first, np.stack([maps, maps], axis=1), rtol=1e-6)
    np.testing.assert_allclose(each[3], np.full(shape, 5.0), rtol=1e-5)
    np.testing.assert_allclose(shared[3], np.full(shape, 5 / 4 / 2), rtol=1e-5)  # 6 of 24 positions, 2 channels
    values = np.where(regions < 0, 0, np.where(regions == 0, 30.0, 8.0))
    np.testing.assert_allclose(each[4][..., 1], values, rtol=1e-6)
    np.testing.assert_allclose(shared[4][..., 1], values / np.where(regions == 0, 15, 8) / 2, rtol=1e-6)


def draws(ids, num_samples):
    """The perturbations of `own` that the docstring promises, [N, S, 3]."""
    fold = jax.random.fold_in
    return np.array([[own(fold(fold(KEY, i), s), ROWS[0]) for s in range(num_samples)] for i in ids])


@jax.jit
def own(key, x):
    return 0.1 * jax.random.normal(key, x.shape)


def test_a_function_of_the_user_draws_by_key_and_id_and_gradients_are_those_of_the_mean():
    ids, values = [7, 4], GUESSES[[1, 4]]

    @jax.jit
    def total(weights, values):
        model = xai.function(linear, weights)
        attribution = explained(values)
        options = {"perturbation": own, "num_samples": 6, "optimal_scale": False, "ids": jnp.array(ids), "key": KEY}
        score = xai.metrics.infidelity(model, ROWS[:2], attribution, batch_size=4, **options)
        return score.values.sum(), score

    steps, distances = draws(ids, 6), values - WEIGHTS
    errors = np.einsum("nsm,nm->ns", steps, distances)
    gradient, score = jax.jit(jax.grad(total, argnums=(0, 1), has_aux=True))(WEIGHTS, values)
    np.testing.assert_allclose(score.values, (errors**2).mean(axis=1), rtol=1e-4)
    np.testing.assert_allclose(score.std_errors, (errors**2).std(axis=1, ddof=1) / np.sqrt(6), rtol=1e-4)
    of_values = 2 * np.einsum("ns,nsm->nm", errors, steps) / 6
    np.testing.assert_allclose(gradient[1], of_values, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(gradient[0], -of_values.sum(axis=0), rtol=1e-3, atol=1e-5)


def test_each_example_has_its_own_draws_whatever_the_batch_and_unknown_ones_are_nan():
    ids = np.array([9, 2, 11, 5, 3])
    x, values = ROWS.copy(), GUESSES.copy()
    x[1, 0], values[2, 1] = np.nan, np.nan
    model = xai.function(lambda w, x: jnp.tanh(x @ w), np.stack([WEIGHTS, 2 * WEIGHTS], axis=1))
    infidelity = functools.partial(xai.metrics.infidelity, model, key=KEY, num_samples=16, contributions=True)
    score = infidelity(x, explained(values, target=jnp.array([0, 0, 1, 1, 1])), ids=ids)
    assert np.isnan(score.values).tolist() == np.isnan(score.std_errors).tolist() == [False, True, True, False, False]
    part = infidelity(x[3:], explained(values[3:], target=jnp.array([1, 1])), ids=ids[3:], batch_size=5, target=[1, 1])
    np.testing.assert_allclose(part.values, score.values[3:], rtol=1e-5)
    np.testing.assert_allclose(part.std_errors, score.std_errors[3:], rtol=1e-5)


@pytest.mark.parametrize("target", [None, pytest.param(0, marks=pytest.mark.slow)])
def test_it_costs_one_evaluation_more_than_the_perturbations(target):
    rows = []

    def counted(x):
        rows.append(len(x))
        return np.asarray(x) @ np.stack([WEIGHTS, -WEIGHTS], axis=1)

    model = xai.callback(counted, output_shape=(2,))
    score = xai.metrics.infidelity(
        model, ROWS, explained(GUESSES), key=KEY, target=target, num_samples=12, batch_size=6, **NOISE
    )  # noise, as a callback evaluates equal rows once
    jax.block_until_ready(score)
    assert sum(rows) == 5 * (12 + 1)


def test_integers_are_replaced_and_dtypes_are_kept_apart():
    worth = np.array([0.0, 1.0, 3.0, -2.0], np.float32)
    ids = np.array([[1, 2, 3], [2, 2, 1]])
    exact = explained(worth[ids], axes="N M")  # an additive model of the tokens, 0 the baseline
    with jax.numpy_dtype_promotion("strict"), jax.enable_x64(True):
        score = xai.metrics.infidelity(xai.function(lambda w, x: w[x].sum(axis=1), worth), ids, exact, key=KEY)
        assert score.values.dtype == jnp.float32
    np.testing.assert_allclose(score.values, 0, atol=1e-10)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"attribution": GUESSES}, "`attribution` must be the result of an explainer, got float32"),
        ({"attribution": explained(GUESSES[:, :2])}, r"one value for each entry of `x`, \[5, 3\], got shape \[5, 2\]"),
        ({"attribution": explained(GUESSES[:4])}, "`attribution` must explain the 5 examples of `x`, got 4 examples"),
        ({"attribution": explained(GUESSES)[0]}, "got one example alone"),
        ({"attribution": xai.Attribution(jnp.ones((5, 3, 2)), jnp.ones((5, 2)))}, "must explain one output of each"),
        ({"attribution": explained(GUESSES, target=jnp.zeros(5, int)), "target": 1, "model": lambda x: x}, "got class 0"),
        ({"x": ROWS[0]}, "`x` must have at least one example and one feature"),
        ({"x": ROWS.astype(int), "perturbation": "noise"}, '`perturbation` must be "square" or "subset"'),
        ({"perturbation": "nose"}, "did you mean 'noise'"),
        ({"perturbation": lambda key, x: x[:2]}, r"must return the change of one input, floating numbers of shape \[3\]"),
        ({"perturbation": 3}, "`perturbation` must be one of"),
        ({"perturbation": "square", "window": 4}, r"`window` must have sides from 1 to \[3\]"),
        ({"baseline": np.ones(2)}, r"`baseline` must be a number or one input of shape \[3\]"),
        ({"baseline": np.inf}, "`baseline` must be finite"),
        ({"scale": np.ones(2)}, "`scale` must be a number or fit one input"),
        ({"scale": -1.0}, "`scale` must be finite and at least 0"),
        ({"num_samples": 1}, "`num_samples` must be at least 2"),
        ({"key": 3}, "`key` must be one JAX random key"),
        ({"contributions": 2}, "`contributions` must be True or False"),
        ({"optimal_scale": None}, "`optimal_scale` must be True or False"),
        ({"channel_axis": 5}, "`channel_axis` must be an axis of x"),
    ],
)  # fmt: skip
def test_mistakes_are_answered_with_a_sentence(changes, sentence):
    right = {"model": MODEL, "x": ROWS, "attribution": explained(GUESSES), "key": KEY}
    with pytest.raises((TypeError, ValueError), match=sentence):
        xai.metrics.infidelity(**(right | changes))


def test_maps_of_images_are_refused_for_other_numbers_of_axes():
    with pytest.raises(ValueError, match=r"or maps over its positions, \[2, 4, 5\], got shape \[2, 4\]"):
        xai.metrics.infidelity(image_model, IMAGES, explained(np.ones((2, 4))), key=KEY)
    attribution = explained(np.ones((2, 4, 5)), axes="N h w")
    with pytest.raises(ValueError, match="`x` must be images with channels last"):
        xai.metrics.infidelity(image_model, np.moveaxis(IMAGES, 3, 1)[:, :1], dataclasses.replace(attribution), key=KEY)
