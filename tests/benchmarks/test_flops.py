"""The count of operations includes every iteration of loops."""

import jax
import jax.numpy as jnp
import pytest

from benchmarks import _flops
from benchmarks._flops import flops, peak_flops

MATRIX = jnp.ones((16, 16))
PRODUCT = 2 * 16**3


def _loop(times):
    return jax.lax.fori_loop(0, times, lambda _, value: value @ MATRIX, MATRIX)


@pytest.mark.parametrize(
    ("run", "products"),
    [
        (lambda: MATRIX @ MATRIX, 1),
        (lambda: _loop(7), 7),
        (lambda: jax.lax.map(lambda value: _loop(3) @ value, jnp.ones((5, 16, 16))), 5 * 4),
        (lambda: jax.jit(lambda: jax.checkpoint(lambda x: _loop(2) @ x)(MATRIX))(), 3),
        (lambda: jax.lax.cond(MATRIX[0, 0] > 0, lambda: _loop(6), lambda: _loop(2)), 6),
    ],
    ids=["once", "loop", "loops in a loop", "within calls", "the longer branch"],
)
def test_bodies_of_loops_count_as_often_as_they_run(run, products):
    assert flops(run) == pytest.approx(products * PRODUCT, rel=0.02)


def test_operations_are_none_where_the_cost_is_unknown(monkeypatch):
    def unknown(_):
        raise _flops._Unknown

    monkeypatch.setattr(_flops, "_once", unknown)
    assert flops(lambda: MATRIX @ MATRIX) is None


def test_the_peak_is_the_fastest_product(monkeypatch):
    times = iter([9.0, 4.0, 2.0, 8.0])  # the first compiles
    monkeypatch.setattr(_flops, "seconds", lambda _: next(times))
    assert peak_flops(side=10, repeats=3) == 2 * 10**3 / 2
