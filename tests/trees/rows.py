"""Rows that show mistakes in comparisons: values at thresholds and next to them, missing values, and unknown categories."""

import jax
import numpy as np


def table(seed=0, num_rows=300, missing=True):
    """Returns rows [N, 4]: a continuous feature, whole numbers around 0, seven categories, and float32 numbers; and targets."""
    rng = np.random.default_rng(seed)
    x = np.stack(
        [
            rng.normal(size=num_rows),
            rng.integers(-2, 3, num_rows).astype(float),
            rng.integers(0, 7, num_rows).astype(float),
            rng.normal(size=num_rows).astype(np.float32).astype(float),
        ],
        axis=1,
    )
    y = x[:, 0] * x[:, 1] + np.sin(3 * x[:, 2]) + x[:, 3]
    if missing:
        x[::11, 0] = np.nan
        x[::13, 2] = np.nan
    return x, y


def around(nodes, x, most=120):
    """Returns rows of x with one value each that is a threshold of the nodes, or the float32 or float64 number next to it."""
    splits = np.flatnonzero((nodes.left >= 0) & np.isfinite(nodes.threshold))[: most // 5]
    rows = []
    for i, (feature, threshold) in enumerate(zip(nodes.feature[splits], nodes.threshold[splits], strict=True)):
        near = np.float32(threshold)
        for value in (
            threshold,
            np.nextafter(threshold, -np.inf),
            float(near),
            float(np.nextafter(near, np.float32(np.inf))),
            float(np.nextafter(near, np.float32(-np.inf))),
        ):
            row = x[i % len(x)].copy()
            row[feature] = value
            rows.append(row)
    return np.stack(rows)


def assert_outputs(forest, own, x):
    """Compares a forest with the library's own function, for rows of float64 and of float32.

    The device's codes of float32 rows are those of the host, so that compiled programs return the same outputs.
    """
    np.testing.assert_allclose(forest(x), own(x), rtol=1e-6, atol=1e-6)
    x = x.astype(np.float32)
    np.testing.assert_allclose(forest(x), own(x), rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(jax.jit(forest.codes)(x), forest.codes(x))
