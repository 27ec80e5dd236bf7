"""Ranks agree with a stable sort, by every method that a device may use."""

import jax
import numpy as np
import pytest

from tests.selection import usual
from xaijax._core import numerics


@pytest.mark.parametrize("method", [numerics.ranks, numerics._ranks_at_once, numerics._ranks_by_scan])
@pytest.mark.parametrize("count", usual([1, 2, 31, 300], 1, 31))
def test_ranks_are_those_of_a_stable_sorting(method, count):
    numbers = np.random.default_rng(count).integers(0, count, (3, 2, count)).astype(np.float32)  # with many ties
    expected = np.argsort(np.argsort(numbers, axis=-1, kind="stable"), axis=-1)
    for computed in (jax.jit(method)(numbers), jax.vmap(method)(numbers)):
        np.testing.assert_array_equal(computed, expected)
        assert computed.dtype == np.int32


@pytest.mark.parametrize("count", [5, 16])
def test_ranks_of_distinct_integers_are_those_of_sorting(count):
    numbers = np.random.default_rng(count).permuted(np.tile(3 * np.arange(count, dtype=np.int32) - 7, (2, 1)), axis=1)
    numbers[0, 0] = np.iinfo(np.int32).max - 1
    computed = jax.jit(numerics.ranks_of_distinct)(numbers)
    np.testing.assert_array_equal(computed, np.argsort(np.argsort(numbers, axis=-1), axis=-1))
