"""Ranks are those of sorting, ties in the order of their places, by every way that a device may take."""

import jax
import numpy as np
import pytest

from xaijax._core import numerics


@pytest.mark.parametrize("way", [numerics.ranks, numerics._at_once, numerics._by_one_after_another])
@pytest.mark.parametrize("count", [1, 2, 31, 300])
def test_ranks_are_those_of_a_stable_sorting(way, count):
    numbers = np.random.default_rng(count).integers(0, count, (3, 2, count)).astype(np.float32)  # with many ties
    expected = np.argsort(np.argsort(numbers, axis=-1, kind="stable"), axis=-1)
    for found in (jax.jit(way)(numbers), jax.vmap(way)(numbers)):
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == np.int32
