"""Blocks: all rows, once each, in order, and as few too many as can be."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests import models
from xaijax._core.blocks import block_size, bytes_per_row, example_keys, in_blocks, one_by_one, rows_at_once
from xaijax._model import as_model


@pytest.mark.parametrize(
    ("length", "most", "size"), [(10, 4, 2), (12, 4, 4), (7, 3, 2), (7, 100, 7), (1, 1, 1), (9, 5, 3)]
)
def test_blocks_are_equal_and_waste_little(length, most, size):
    assert block_size(length, most) == size


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 11, 100])
def test_every_row_is_answered_once_and_in_order(size):
    seen = []

    def function(rows):
        seen.append(len(rows))
        return {"doubled": 2 * rows, "sums": rows.sum(axis=1)}

    rows = jnp.arange(22.0).reshape(11, 2)
    answers = jax.jit(lambda rows: in_blocks(function, rows, size))(rows)
    np.testing.assert_array_equal(answers["doubled"], 2 * rows)
    np.testing.assert_array_equal(answers["sums"], rows.sum(axis=1))
    assert max(seen) <= size


def test_the_default_block_is_bounded_both_ways():
    assert rows_at_once(None, 10**9) == 8
    assert rows_at_once(None, 1) == 2**15
    assert rows_at_once(5, 10**9) == 5


def test_a_row_takes_what_the_largest_array_on_its_way_takes():
    weights = jnp.ones((3000, 64))  # its double is larger, but is made once for all rows

    def dense(x):
        hidden = jax.jit(lambda x: x @ (2 * weights)[:5])(x)  # 64 float32
        return hidden.astype(jnp.bfloat16).sum(axis=1)

    def summed(x):
        return x.astype(jnp.float32).sum(axis=(1, 2))

    def two(x):
        return x["ids"] + x["more"][:, 0]

    assert bytes_per_row(as_model(dense), jnp.ones((2, 5))) == 64 * 4
    assert bytes_per_row(as_model(summed), jnp.ones((1, 30, 7), jnp.bfloat16)) == 30 * 7 * 4
    assert bytes_per_row(as_model(two), {"ids": jnp.ones(3, int), "more": jnp.ones((3, 9))}) == 9 * 4


def test_an_examples_key_depends_on_its_id_alone():
    key = jax.random.key(0)
    many, one = example_keys(key, jnp.array([4, 7, 9])), example_keys(key, jnp.array([7]))
    np.testing.assert_array_equal(jax.random.key_data(many[1]), jax.random.key_data(one[0]))


def test_memory_is_bounded_under_differentiation_too():
    """Twenty times the permutations, then fifty times the background, in nearly the same memory."""

    def temporary_bytes(num_background, num_permutations):
        masker = xai.mask.background(jnp.zeros((num_background, 30)))

        def loss(model, x):
            game = xai.game(model, x, masker, target=0)
            key = jax.random.key(0)
            attribution = xai.shap.permutation(game, num_permutations=num_permutations, key=key, batch_size=2048)
            return (attribution.values**2).sum()

        lowered = jax.jit(jax.grad(loss)).lower(models.table_net(30), models.rows(16, 30))
        return lowered.compile().memory_analysis().temp_size_in_bytes

    small = temporary_bytes(100, 10)
    assert temporary_bytes(100, 200) < small + 2e6
    assert temporary_bytes(5000, 10) < small + 6e6  # the background's rows and their cotangents count too


def test_loops_over_a_batch_may_choose_between_branches_that_are_computed_one_by_one():
    """Examples end at different steps: JAX then batches all that the branches read, their constants included."""
    double = one_by_one(lambda row: row * jnp.asarray(np.full(2, 2.0, np.float32)))

    def at_least_ten(row):
        def step(state):
            number, row = state
            return number + 1, jax.lax.switch(number % 2, [double, lambda row: row], row)

        return jax.lax.while_loop(lambda state: state[1].sum() < 10, step, (0, row))

    steps, rows = jax.jit(jax.vmap(at_least_ten))(np.array([[1, 2], [1, 0]], np.float32))
    np.testing.assert_array_equal(steps, [3, 7])
    np.testing.assert_array_equal(rows, [[4, 8], [16, 0]])
