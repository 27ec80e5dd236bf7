"""KPCA-CAM's kernel matrix, whole and by landmarks, against NumPy's eigenvectors in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from xaijax.cam._eigenvectors import leading_eigenpair
from xaijax.cam._kernels import columns_of_landmarks, first_kernel_component, times_landmarks

SCALES = {"sigmoid": 0.3, "rbf": 0.2}
HEIGHT, WIDTH = np.mgrid[:9, :10] / 9
SMOOTH = np.stack([np.sin(5 * HEIGHT + WIDTH), np.cos(4 * WIDTH), 1.5 * HEIGHT * WIDTH], axis=-1).reshape(-1, 3)
ROWS = np.stack([SMOOTH * [1.5, 0.6, 0.5], SMOOTH * [0.4, 1.2, 0.6]])  # the first eigenvalue is well apart
ROWS -= ROWS.mean(axis=1, keepdims=True)


def expected_map(rows, kernel):
    """sqrt(l) u of the centered kernel."""
    squares = (rows**2).sum(axis=1)
    products = rows @ rows.T
    distances = squares[:, None] + squares - 2 * products
    scale = SCALES[kernel]
    gram = np.tanh(scale * products + 1) if kernel == "sigmoid" else np.exp(-scale * distances)
    centering = np.eye(len(rows)) - 1 / len(rows)
    values, vectors = np.linalg.eigh(centering @ gram @ centering)
    return vectors[:, -1] * np.sqrt(values[-1])


def assert_equal_up_to_sign(maps, expected, tolerance):
    maps = np.asarray(maps, np.float64)
    expected = expected * np.sign(maps @ expected)
    np.testing.assert_allclose(maps, expected, atol=tolerance * np.abs(expected).max())


@pytest.fixture(scope="module")
def maps():
    """Maps of both kernels: from all columns, from all rows as landmarks, and from 30 of 90; one program."""

    def of_all_landmarks(rows, kernel):
        parts = columns_of_landmarks(rows, kernel, SCALES[kernel], count=len(rows))
        value, vector = leading_eigenpair(parts, jnp.zeros(len(rows)), times_landmarks)
        return vector * jnp.sqrt(value)

    def computed(rows):
        of = lambda kernel, count: first_kernel_component(rows, kernel, SCALES[kernel], count)  # noqa: E731
        every = lambda kernel: jax.vmap(functools.partial(of_all_landmarks, kernel=kernel))(rows)  # noqa: E731
        return {kernel: {"exact": of(kernel, None), "all": every(kernel), "30": of(kernel, 30)} for kernel in SCALES}

    return jax.jit(computed)(jnp.asarray(ROWS, jnp.float32))


@pytest.mark.parametrize("kernel", SCALES)
def test_the_map_is_the_first_component_of_the_centered_kernel(maps, kernel):
    for number, rows in enumerate(ROWS):
        for columns, tolerance in (("exact", 1e-5), ("all", 1e-5), ("30", 1e-3)):
            assert_equal_up_to_sign(maps[kernel][columns][number], expected_map(rows, kernel), tolerance)


def test_derivatives_are_those_of_finite_differences(float64):
    rows = ROWS[:1, ::2]
    change, weights = np.random.default_rng(0).normal(size=(2, *rows.shape))

    def scores(step):
        """Weighted sums of the exact map and of the one by landmarks."""
        moved = jnp.asarray(rows) + step * change
        maps = jnp.concatenate([first_kernel_component(moved, "sigmoid", 0.3, count) for count in (None, 6)])
        return (maps * jnp.sign(maps[:, :1]) * weights[0, :, 0]).sum(axis=1)

    slopes, nearby = jax.jit(lambda steps: (jax.jacrev(scores)(steps[0]), jax.vmap(scores)(steps[1:])))(
        jnp.array([0.0, 1e-5, -1e-5])
    )
    np.testing.assert_allclose(slopes, (nearby[0] - nearby[1]) / 2e-5, rtol=1e-6)


def test_landmarks_are_an_option_that_transformations_keep():
    model = xai.compose(lambda x: x, lambda a: a.sum(axis=(1, 2)))
    x = jnp.asarray(ROWS.reshape(2, 9, 10, 3), jnp.float32)
    explain = functools.partial(xai.cam.kpca_cam, model, gamma=0.3, num_landmarks=30)
    maps = explain(x).values
    guide = np.abs(ROWS).sum(axis=2)
    for rows, values, strength in zip(ROWS, np.asarray(maps, np.float64).reshape(2, -1), guide, strict=True):
        assert_equal_up_to_sign(values, expected_map(rows, "sigmoid"), 1e-3)
        assert values @ strength >= 0
    alone = jax.jit(jax.vmap(lambda row: explain(row[None]).values[0]))(x)
    np.testing.assert_allclose(alone, maps, atol=1e-5)
    with pytest.raises(ValueError, match="`num_landmarks` must be"):
        explain(x, num_landmarks=0)
    with pytest.raises(ValueError, match='`num_landmarks` must be None for kernel="linear", .* got 30'):
        explain(x, kernel="linear")
    constant = jnp.ones((1, 9, 10, 3)) * jnp.array([0.1, 0.7, 1.3])
    np.testing.assert_array_equal(explain(constant).values, 0)
    np.testing.assert_array_equal(explain(constant, num_landmarks=None).values, 0)
