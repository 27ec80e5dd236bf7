"""Ids name examples for their randomness: all of their bits count, and what does not fit is NaN."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from xaijax._core.blocks import example_keys


@pytest.mark.parametrize("key", [jax.random.key(0), jax.random.PRNGKey(0)])
def test_keys_depend_on_all_bits_of_an_id(key):
    with jax.enable_x64(True):
        small = np.array([-(2**31), -1, 0, 1, 2**31 - 1])
        ids = np.concatenate([small, np.arange(4) + 2**32, np.arange(4) + 2**33, -np.arange(4) - 2**32])
        keys = jax.jit(example_keys)(key, jnp.asarray(ids, jnp.int64))
        numbers = np.asarray(jax.random.key_data(keys) if keys.ndim == 1 else keys)
        assert len({tuple(row) for row in numbers.tolist()}) == len(ids)
        same = example_keys(key, jnp.asarray(small, jnp.int32))
        same = np.asarray(jax.random.key_data(same) if same.ndim == 1 else same)
        np.testing.assert_array_equal(numbers[: len(small)], same)  # whatever the dtype


def test_traced_ids_of_64_bits_do_not_wrap(float64):
    model = lambda x: x[:, 0] * x[:, 1] * x[:, 2]  # noqa: E731

    @jax.jit
    def explain(ids):
        game = xai.game(model, jnp.ones((2, 14)), xai.mask.baseline(jnp.zeros(14)))
        return xai.shap.permutation(game, key=jax.random.key(0), num_permutations=1, ids=ids).values

    assert (explain(jnp.arange(2)) != explain(jnp.arange(2) + 2**32)).any()
