"""Guided and blur integrated gradients and integrated Hessians, by hand and against closed forms in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

import xaijax as xai

RNG = np.random.default_rng(3)
X = RNG.normal(size=(2, 6))
ROW = RNG.normal(size=6)
WEIGHTS = RNG.normal(size=6)


def wave(x):
    return jnp.sin(x @ WEIGHTS) + x[:, 0] * x[:, 1]


def slope(x):
    gradient = np.cos(x @ WEIGHTS) * WEIGHTS
    gradient[[0, 1]] += x[[1, 0]]
    return gradient


def guided_by_hand(x, start, steps, fraction, distance):
    """The loops of algorithm 1, with the mean of the gradients at both ends of each step."""
    at, values, old = start.copy(), np.zeros_like(x), slope(start)
    way = x - start
    for number in range(1, steps + 1):
        before, sizes = at.copy(), np.abs(old)
        low, high = (start + np.clip(number / steps + shift, 0, 1) * way for shift in (-distance, distance))
        share = (at - start) / way
        at = np.where(share < number / steps - distance, low, at)
        goal = np.abs(way).sum() * (1 - number / steps)
        for _ in range(len(x)):
            excess = np.abs(x - at).sum() - goal
            if excess < 1e-12:
                break
            free = np.abs(at - high) > 1e-15
            sizes = np.where(free, sizes, np.inf)
            chosen = (sizes <= np.quantile(sizes, fraction, method="lower")) & free
            part = excess / np.abs(high - at)[chosen].sum()
            at = np.where(chosen, high if part > 1 else at + part * (high - at), at)
        new = slope(at)
        values += (at - before) * (old + new) / 2
        old = new
    return values


def test_the_guided_path_is_that_of_the_algorithm(float64):
    guided = xai.gradient.guided_integrated_gradients
    for fraction, distance in ((0.4, 0.3), (0.2, 1.0)):
        result = guided(wave, X, ROW, num_steps=7, fraction=fraction, max_distance=distance)
        expected = [guided_by_hand(x, ROW, 7, fraction, distance) for x in X]
        np.testing.assert_allclose(result.values, expected, rtol=1e-9, atol=1e-12)
    assert result.num_evaluations.tolist() == [8, 8]
    # Without room, it is the straight path.
    straight = xai.gradient.integrated_gradients(wave, X, ROW, rule="trapezoid", num_steps=8)
    np.testing.assert_allclose(guided(wave, X, ROW, num_steps=7, max_distance=0.0).values, straight.values, rtol=1e-9)
    # Quadratic models are exact on every path.
    product = guided(lambda x: x[:, 0] * x[:, 1] - x[:, 5] ** 2, X, ROW, num_steps=5, max_distance=0.5)
    np.testing.assert_allclose(product.completeness_gap, 0, atol=1e-12)
    np.testing.assert_allclose(product.values[:, 5], ROW[5] ** 2 - X[:, 5] ** 2, rtol=1e-9)


def test_blur_integrated_gradients_of_linear_and_quadratic_models(float64):
    images, kernel = RNG.normal(size=(2, 5, 7, 3)), RNG.normal(size=(5, 7, 3))

    def model(x):
        squares = (x[..., 0] ** 2 * kernel[..., 1]).sum(axis=(1, 2))
        return jnp.stack([(x * kernel).sum(axis=(1, 2, 3)), squares], axis=1)

    blur = xai.gradient.blur_integrated_gradients
    result = blur(model, images, max_sigma=1.5, target="all")
    assert result.axes == "N H W C K"
    blurred = np.stack([ndimage.gaussian_filter(x, (1.5, 1.5, 0), mode="mirror", radius=(4, 6, 0)) for x in images])
    np.testing.assert_allclose(result.base_value, model(blurred), rtol=1e-9)
    np.testing.assert_allclose(result.values[..., 0], kernel * (images - blurred), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(
        result.values[..., 0, 1], kernel[..., 1] * (images**2 - blurred**2)[..., 0], rtol=1e-7, atol=1e-9
    )
    first = blur(lambda x: model(jnp.moveaxis(x, 1, -1)), np.moveaxis(images, -1, 1), target=0, max_sigma=1.5, channel_axis=1, channels="sum")  # fmt: skip
    np.testing.assert_allclose(first.values, (kernel * (images - blurred)).sum(axis=-1), rtol=1e-7, atol=1e-9)


EXPONENTS = np.array([[2, 1, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0], [0, 0, 0, 0, 3, 0], [0, 1, 0, 2, 0, 1]])
FACTORS = np.array([1.0, -2.0, 0.5, 3.0])


def monomials(x):
    return jnp.prod(x[:, None] ** EXPONENTS, axis=2) * FACTORS


def test_integrated_hessians_of_monomials(float64):
    """Of a monomial c x^p of degree n from 0: Γ_ij = p_i p_j / n² of its value."""
    result = xai.gradient.integrated_hessians(monomials, X, target="all", num_steps=2)
    assert isinstance(result, xai.Interactions)
    shares = EXPONENTS / EXPONENTS.sum(axis=1, keepdims=True)
    every = np.einsum("nk,ki,kj->nijk", monomials(X), shares, shares)
    off = 1 - np.eye(6)[None, :, :, None]
    np.testing.assert_allclose(result.values, np.einsum("niik->nik", every), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(result.pairs, 2 * every * off, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(result.completeness_gap, 0, atol=1e-12)
    # From another baseline, and their rows are integrated gradients.
    moved = xai.gradient.integrated_hessians(wave, X, ROW, num_steps=20)
    np.testing.assert_allclose(moved.completeness_gap, 0, atol=1e-10)
    path = xai.gradient.integrated_gradients(wave, X, ROW)
    np.testing.assert_allclose(moved.values + moved.pairs.sum(axis=2) / 2, path.values, rtol=1e-8)


def test_tokens_interact_by_the_sums_over_their_embeddings(float64):
    table, ids = RNG.normal(size=(5, 3)), np.array([[1, 2, 4], [3, 3, 0]])
    model = lambda ids: (xai.tag(jnp.asarray(table)[ids], "embed").sum(axis=2)).sum(axis=1) ** 2  # noqa: E731
    result = xai.gradient.integrated_hessians(model, ids, layer="embed", channels="sum", num_steps=1)
    terms = table[ids].sum(axis=2)
    assert result.axes == "N M"
    products = terms[:, :, None] * terms[:, None]
    np.testing.assert_allclose(result.pairs, products * (1 - np.eye(3)), rtol=1e-9)
    np.testing.assert_allclose(result.values, (terms**2 + terms * terms.sum(axis=1, keepdims=True)) / 2, rtol=1e-9)


GUIDED, HESSIANS = xai.gradient.guided_integrated_gradients, xai.gradient.integrated_hessians
SMALL = X.astype(np.float32)
MISTAKES = {
    "all outputs": (lambda: GUIDED(lambda x: x, SMALL, target="all"), "`target` must be one output, got 'all'"),
    "a share above 1": (lambda: GUIDED(wave, SMALL, fraction=1.5), "`fraction` must be a share, at most 1, got 1.5"),
    "a distance below 0": (lambda: GUIDED(wave, SMALL, max_distance=-0.1), "`max_distance` must be finite and zero"),
    "rows": (lambda: GUIDED(wave, SMALL, SMALL), "`baseline` must be a number or one input, got 2 rows"),
    "rows for pairs": (lambda: HESSIANS(wave, SMALL, SMALL), "`baseline` must be a number or one input, got 2 rows"),
    "too many features": (
        lambda: HESSIANS(lambda x: x.sum(axis=1), np.zeros((1, 4097), np.float32)),
        "`x` must have at most 4,096 features .* got 4,097",
    ),
    "a table": (lambda: xai.gradient.blur_integrated_gradients(wave, SMALL), "`x` must have spatial axes and channels"),
}  # fmt: skip


@pytest.mark.parametrize(("mistake", "sentence"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_answered_with_a_sentence(mistake, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        mistake()


def test_the_mean_over_a_background_is_that_of_every_output_and_of_sums_over_channels():
    kernel = RNG.normal(size=(2, 3, 2, 4)).astype(np.float32)
    x, rows = (RNG.normal(size=(count, 2, 3, 2)).astype(np.float32) for count in (2, 1))
    result = xai.gradient.expected_gradients(
        lambda x: jnp.einsum("nhwc,hwck->nk", x, kernel), x, rows, key=jax.random.key(0), target="all", channels="sum", num_samples=32
    )  # fmt: skip
    assert result.axes == "N h w K"
    np.testing.assert_allclose(result.values, np.einsum("nhwc,hwck->nhwk", x - rows, kernel), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(result.base_value, np.tile(np.einsum("nhwc,hwck->nk", rows, kernel), (2, 1)), rtol=1e-4)
