"""Rows are evaluated between the runs of a program: exactly those that it uses, in their own dtype."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from xaijax._core.compile import compiled
from xaijax._model import ReplayedModel

SECRET = {(True, False): 1.0, (False, True): 3.0, (True, True): 7.0}


class Answers:
    """[S, 1] from a table, and the order in which they were asked for."""

    def __init__(self, dtype=np.float32):
        self.dtype, self.evaluated, self.table = np.dtype(dtype), [], {}

    def known(self, rows):
        keys = [tuple(row.tolist()) for row in rows]
        return np.array([[self.table.get(key, 0)] for key in keys], self.dtype), np.array(
            [key in self.table for key in keys]
        )

    def evaluate(self, rows):
        for key in (tuple(row.tolist()) for row in rows):
            self.evaluated.append(key)
            self.table[key] = SECRET[key] / 3


@compiled(title="test")
def chosen(model):
    """Asks for two rows, then for the better of them or, where both are equal, for another."""
    rows = jnp.array([[True, False], [False, True]])
    first, second = model(rows)[:, 0]
    choice = jnp.where(first == second, jnp.array([True, True]), rows[jnp.where(second > first, 1, 0)])
    return jnp.stack([first, second, model(choice[None])[0, 0]])


def test_only_rows_that_the_program_uses_are_evaluated():
    """With zeros for answers the first run asks for (True, True), which the last one does not."""
    answers = Answers()
    np.testing.assert_allclose(chosen(ReplayedModel(answers, 1)), [1 / 3, 1, 1], rtol=1e-6)
    assert answers.evaluated == [(True, False), (False, True)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_answers_keep_their_dtype(dtype):
    with jax.enable_x64(True):
        answers = Answers(dtype)
        values = chosen(ReplayedModel(answers, 1))
        assert values.dtype == dtype
        assert (float(values[0]) == 1 / 3) == (dtype == np.float64)
