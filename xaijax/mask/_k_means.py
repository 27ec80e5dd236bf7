"""A few rows that stand for many: the centers of clusters, with their sizes as weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.cluster.vq import kmeans2

from xaijax._core import check
from xaijax.mask._background import Background, background


def k_means(rows: Any, num_clusters: int, *, groups: Any = None, seed: int = 0) -> Background:
    """Replaces absent features by those of cluster centers, which stand for a large background.

    Why: the cost grows with the number of background rows, and a few dozen centers, weighted by how many rows they stand
    for, say nearly the same as thousands of rows. Each feature of a center is the value nearest to it that occurs in the
    rows, so that whole numbers and categories stay what they are.

    Args:
      rows: [B, D] inputs of the model, such as all training rows.
      num_clusters: how many, fewer than there are different rows; empty clusters are left out.
      groups: as in `background`.
      seed: of the starting centers (k-means++).

    Returns:
      A masker for inputs [N, D].

    Raises:
      ValueError: if the rows are no table, hold NaN, or are fewer than the clusters.

    References:
      Arthur & Vassilvitskii (2007), k-means++: the advantages of careful seeding.
    """
    rows = np.asarray(check.numeric_array("rows", rows))
    if rows.ndim != 2:
        raise ValueError(f"rows must have shape [B, D], but its shape is {list(rows.shape)}.")
    check.no_nan("rows", rows)
    num_clusters = check.positive_int("num_clusters", num_clusters)
    different = len(np.unique(rows, axis=0))
    if num_clusters > different:
        raise ValueError(f"num_clusters must be at most the number of different rows, {different}, not {num_clusters}.")
    spread = rows.std(axis=0)
    scaled = (rows - rows.mean(axis=0)) / np.where(spread > 0, spread, 1)
    _, members = kmeans2(scaled.astype(np.float64), num_clusters, minit="++", rng=np.random.default_rng(seed))
    numbers, sizes = np.unique(members, return_counts=True)
    centers = np.stack([_nearest(rows, rows[members == number].mean(axis=0)) for number in numbers])
    return background(centers.astype(rows.dtype), groups=groups, weights=sizes)


def _nearest(rows: np.ndarray, center: np.ndarray) -> np.ndarray:
    """Each feature's value that is nearest to the center's."""
    return np.take_along_axis(rows, np.abs(rows - center).argmin(axis=0)[None], axis=0)[0]
