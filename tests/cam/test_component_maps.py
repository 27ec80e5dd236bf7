"""The leading eigenvector, against LAPACK in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.selection import usual
from xaijax.cam._eigenvectors import first_component, leading_eigenvector


def symmetric(values, seed=0):
    """A matrix with these eigenvalues, and its eigenvectors."""
    size = len(values)
    vectors, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(size, size)))
    return vectors * values @ vectors.T, vectors


SPECTRA = {
    "well apart": np.arange(12.0),
    "apart by 2 %": np.array([1.0, 0.98, 0.5, 0.1]),
    "negative and larger in size": np.array([-3.0, 2.0, 1.0, 0.5]),
    "all negative": np.array([-3.0, -2.0, -1.0]),
    "large, well apart": np.concatenate([[10.0], np.linspace(0, 8, 299)]),
    "large, apart by 2 %": np.concatenate([[1.0, 0.98], np.linspace(0, 0.9, 198)]),
    "large, of rank three": np.concatenate([[3.0, 2.0, 1.0], np.zeros(197)]),
    "large, negative and larger in size": np.concatenate([[-9.0, 2.0], np.linspace(0, 1.5, 98)]),
}


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("scale", usual([1.0, 1e-12, 1e12], 1e12))
def test_it_is_the_one_of_the_largest_eigenvalue(name, scale):
    values = SPECTRA[name]
    matrix, vectors = symmetric(values)
    found = np.asarray(leading_eigenvector(jnp.asarray(scale * matrix, jnp.float32)[None])[0], np.float64)
    assert abs(found @ vectors[:, np.argmax(values)]) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found), 1, atol=1e-5)


def test_every_start_leads_to_the_same_vector():
    """The vector itself, one that is orthogonal to it, and none; the last is how all start without one."""
    matrix, vectors = symmetric(SPECTRA["large, well apart"])
    starts = jnp.asarray(np.stack([vectors[:, 0], vectors[:, 5], np.zeros(len(matrix))]), jnp.float32)
    reached = leading_eigenvector(jnp.broadcast_to(jnp.asarray(matrix, jnp.float32), (3, *matrix.shape)), starts)
    np.testing.assert_allclose(np.abs(reached @ vectors[:, 0]), 1, atol=1e-5)


@pytest.mark.parametrize("size", [6, pytest.param(90, marks=pytest.mark.slow)])
def test_its_derivative_is_that_of_perturbation_theory(size, float64):
    matrix, _ = symmetric(np.concatenate([[3.0, 1.5], np.linspace(0, 1, size - 2)]))
    change = np.random.default_rng(1).normal(size=(size, size))
    change = change + change.T

    def vector(step):
        found = leading_eigenvector((jnp.asarray(matrix) + step * change)[None])[0]
        return found * jnp.sign(found[0])

    slope = jax.jacobian(vector)(0.0)
    difference = (vector(1e-5) - vector(-1e-5)) / 2e-5
    np.testing.assert_allclose(slope, difference, atol=1e-6)


@pytest.mark.parametrize("shape", [(5, 4, 7), (3, 2, 64), (12, 12, 90), (12, 12, 3)])
def test_the_first_component_is_that_of_the_singular_value_decomposition(shape):
    rows = np.random.default_rng(2).normal(size=(2, *shape)) + 0.3
    found = np.asarray(first_component(jnp.asarray(rows, jnp.float32)))
    for one, projected in zip(rows, found, strict=True):
        matrix = one.reshape(-1, shape[-1])
        expected = (matrix @ np.linalg.svd(matrix)[2][0]).reshape(shape[:-1])
        expected *= np.sign((expected * projected).sum())
        np.testing.assert_allclose(projected, expected, atol=1e-4 * np.abs(expected).max())


def test_zero_matrices_and_equal_eigenvalues_give_finite_vectors_and_slopes():
    for size in (3, 50):
        for matrix in (jnp.zeros((1, size, size)), jnp.eye(size)[None]):
            assert jnp.isfinite(leading_eigenvector(matrix)).all()
            assert jnp.isfinite(jax.grad(lambda m: leading_eigenvector(m).sum())(matrix)).all()
