"""Integrated gradients against closed forms, and their completeness."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests import models

X = np.array([[1.0, 2.0, -1.0], [0.5, -3.0, 2.0]], np.float32)
ROWS = np.array([[0.0, 1.0, 0.5], [1.0, -1.0, 0.0], [2.0, 0.5, 1.0]], np.float32)


def products(x):
    """Outputs x_0² + 3 x_2 and x_0 x_1."""
    return jnp.stack([x[:, 0] ** 2 + 3 * x[:, 2], x[:, 0] * x[:, 1]], axis=1)


def by_hand(x, row):
    """[D, K]: squares give their difference, a product x_0 x_1 gives d_i times the mean of the other at both ends."""
    mean = (x + row) / 2
    squares = np.array([x[0] ** 2 - row[0] ** 2, 0, 3 * (x[2] - row[2])])
    return np.stack([squares, [(x[0] - row[0]) * mean[1], (x[1] - row[1]) * mean[0], 0]], axis=-1)


@pytest.mark.parametrize(("rule", "steps"), [("gauss_legendre", 1), ("midpoint", 1), ("trapezoid", 2)])
def test_quadratic_models_are_exact_with_the_fewest_steps(rule, steps):
    result = xai.gradient.integrated_gradients(products, X, ROWS[0], target="all", rule=rule, num_steps=steps)
    np.testing.assert_allclose(result.values, [by_hand(x, ROWS[0]) for x in X], rtol=1e-6, atol=1e-6)
    assert result.axes == "N M K"
    np.testing.assert_allclose(result.base_value, np.tile(products(ROWS[:1]), (2, 1)), rtol=1e-6)
    np.testing.assert_allclose(result.completeness_gap, 0, atol=1e-6)
    assert result.num_evaluations.tolist() == [steps] * 2


@pytest.mark.parametrize(("rule", "sign"), [("left", -1), ("right", 1)])
def test_the_gap_of_riemann_sums_is_that_of_the_formula(rule, sign):
    """∫ 2 a da by n steps is off by 1/n: the gap is reported."""
    result = xai.gradient.integrated_gradients(lambda x: x[:, 0] ** 2, X, rule=rule, num_steps=20)
    np.testing.assert_allclose(result.completeness_gap, sign * X[:, 0] ** 2 / 20, rtol=1e-4)


def test_several_baselines_are_averaged_with_their_weights():
    for weights in (None, [1, 2, 5]):
        shares = np.ones(3) / 3 if weights is None else np.array(weights) / 8
        result = xai.gradient.integrated_gradients(products, X, ROWS, target=1, num_steps=2, weights=weights)
        each = np.array([[by_hand(x, row)[:, 1] for row in ROWS] for x in X])
        np.testing.assert_allclose(result.values, np.einsum("b,nbd->nd", shares, each), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(result.base_value, np.full(2, shares @ products(ROWS)[:, 1]), rtol=1e-6)
        assert result.num_evaluations.tolist() == [6, 6]


def test_the_default_rule_is_complete_in_float64(float64):
    net = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), models.table_net())
    x = np.asarray(models.rows(3), np.float64)
    result = xai.gradient.integrated_gradients(net, x, target=1)
    assert result.values.dtype == jnp.float64
    assert np.abs(result.completeness_gap).max() < 1e-10 * np.abs(result.values).max()
    slope = jax.grad(lambda one: net(one[None])[0, 1])
    positions, weights = np.polynomial.legendre.leggauss(50)
    expected = sum(w / 2 * jax.vmap(slope)((p + 1) / 2 * x) for p, w in zip(positions, weights, strict=True)) * x
    np.testing.assert_allclose(result.values, expected, rtol=1e-12)


def test_until_refines_until_the_gap_is_below_the_tolerance():
    net, x = models.table_net(), models.rows(4)
    coarse = xai.gradient.integrated_gradients(net, x, target=1, rule="midpoint", num_steps=2)
    fine = xai.gradient.integrated_gradients(net, x, target=1, rule="midpoint", num_steps=2, until=1e-3)
    relative = np.abs(fine.completeness_gap) / np.abs(fine.values).sum(axis=1)
    assert fine.converged.all()
    assert (relative <= 1e-3).all()
    assert (np.abs(coarse.completeness_gap) / np.abs(coarse.values).sum(axis=1) > 1e-3).any()
    # The last rule has as many midpoints as the largest of 2, 4, 8, ... steps, and all before were evaluated too.
    for row, evaluated in enumerate(fine.num_evaluations.tolist()):
        assert evaluated in [2 * (2**rounds - 1) for rounds in range(1, 7)]
        same = xai.gradient.integrated_gradients(
            net, x[row : row + 1], target=1, rule="midpoint", num_steps=(evaluated + 2) // 2
        )
        np.testing.assert_allclose(fine.values[row], same.values[0], atol=1e-5)
    assert len(set(fine.num_evaluations.tolist())) > 1  # each example stops by itself
    capped = xai.gradient.integrated_gradients(net, x, target=1, rule="left", num_steps=2, until=1e-7, max_steps=9)
    assert not capped.converged.any()
    assert capped.num_evaluations.tolist() == [2 + 4 + 8] * 4


def test_the_gap_is_kept_by_slices_and_missing_without_a_base_value():
    result = xai.gradient.integrated_gradients(
        models.function_net(), models.images(2), target=0, channels="sum", num_steps=3
    )
    assert result.axes == "N h w"
    sums = result.values.sum(axis=(1, 2)) - (result.output - result.base_value)
    np.testing.assert_array_equal(result.completeness_gap, sums)
    np.testing.assert_allclose(result[1].completeness_gap, sums[1], atol=1e-6)
    assert xai.gradient.saliency(models.function_net(), models.images(2)).completeness_gap is None


def explain(*arguments, **options):
    return lambda: xai.gradient.integrated_gradients(products, X, *arguments, target=0, **options)


MISTAKES = {
    "a baseline of another shape": (
        explain(np.zeros(4)),
        r"`baseline` must be a number, one input of shape \[3\] or rows",
    ),
    "no rows": (explain(np.zeros((0, 3))), "`baseline` must be a number, one input"),
    "NaN": (explain(np.full(3, np.nan)), "`baseline` must hold no NaN"),
    "infinity": (explain(np.inf), "`baseline` must be finite, got infinite values"),
    "zero steps": (explain(num_steps=0), "`num_steps` must be at least 1, got 0"),
    "one step of a trapezoid": (explain(num_steps=1, rule="trapezoid"), "`num_steps` must be at least 2, got 1"),
    "an unknown rule": (explain(rule="simpson"), "`rule` must be one of .*'trapezoid'.*got 'simpson'"),
    "too many weights": (explain(ROWS, weights=[1, 2]), "`weights` must be one number for each of the 3 baselines"),
    "a negative weight": (explain(ROWS, weights=[1, 2, -1]), "`weights` must be finite, at least 0 and not all 0"),
    "a cap alone": (explain(max_steps=100), "`max_steps` must be left out unless `until` is given"),
    "a cap too small": (explain(until=0.1, max_steps=10), "`max_steps` must be at least 50, got 10"),
    "a tolerance of zero": (explain(until=0.0), "`until` must be finite and above zero"),
}


@pytest.mark.parametrize(("mistake", "sentence"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_answered_with_a_sentence(mistake, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        mistake()


def test_negative_weights_that_are_traced_give_nan():
    result = jax.jit(lambda weights: xai.gradient.integrated_gradients(products, X, ROWS, target=0, weights=weights))(
        jnp.array([1.0, -1.0, 2.0])
    )
    assert np.isnan(result.values).all()


def test_memory_is_bounded_by_the_batch_size():
    """64 times the steps, in nearly the same memory; without a bound it grows with them."""

    def temporary_bytes(steps, batch_size):
        def explain(model, x):
            options = {"target": 1, "num_steps": steps, "batch_size": batch_size}
            return xai.gradient.integrated_gradients(model, x, **options).values

        lowered = jax.jit(explain).lower(models.table_net(40), models.rows(4, 40))
        return lowered.compile().memory_analysis().temp_size_in_bytes

    few, many, at_once = temporary_bytes(16, 16), temporary_bytes(1024, 16), temporary_bytes(1024, 4096)
    assert many < few + 50_000
    assert at_once > 10 * many
