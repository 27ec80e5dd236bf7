"""The normal quantile against SciPy's in float64."""

import jax.numpy as jnp
import numpy as np
from scipy.special import ndtri

from xaijax.lime._hypercubes import LARGEST, normal_quantile


def test_it_is_the_normal_quantile():
    numbers = np.concatenate([np.linspace(-0.999, 0.999, 2001), [0.99999, LARGEST, -LARGEST]]).astype(np.float32)
    found = np.asarray(normal_quantile(jnp.asarray(numbers)))
    # Of the distance to the nearer end, which float32 knows exactly.
    exact = np.sign(numbers) * -ndtri((1 - np.abs(numbers.astype(np.float64))) / 2)
    np.testing.assert_allclose(found, exact, rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(found, -np.asarray(normal_quantile(jnp.asarray(-numbers))))
    assert np.abs(found).max() > 5
