"""Functions that are made anew share a program where they compute the same, and only there."""

import functools
import gc
import weakref

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from xaijax._core.target import apply
from xaijax._model import as_model
from xaijax._model._equal_functions import earlier_function

X = np.ones((2, 3), np.float32)
WEIGHTS = jnp.arange(3.0)
scale = 2.0


class Net(nn.Module):
    features: int

    @nn.compact
    def __call__(self, x):
        return scale * nn.Dense(self.features, use_bias=False)(x)


NET, VARIABLES = Net(2), {"params": {"Dense_0": {"kernel": jnp.ones((3, 2))}}}


def of_numbers(number: float = 2, array=None):
    return lambda x: x.sum(axis=1) * number + (0 if array is None else array[0])


def of_network():
    return lambda x: NET.apply(VARIABLES, x)


def of_global():
    return lambda x: x @ WEIGHTS * scale


def of_helper(number=2):
    def helper(x, power=1):
        return x**power * number

    return lambda x: helper(x).sum(axis=1)


def of_text():
    return lambda x: eval("scale") * x.sum(axis=1)


def of_decorated():
    """The decorator makes it look like a function of NumPy's."""
    hidden = [object()]
    summed = functools.wraps(np.sum)(lambda x: x.sum(axis=1) + len(hidden))
    return lambda x: summed(x)


@pytest.fixture(autouse=True)
def cleared():
    xai.clear_caches()
    yield
    xai.clear_caches()


@pytest.mark.parametrize("make", [of_numbers, of_network, of_global, of_helper])
def test_functions_that_compute_the_same_are_one(make):
    first = make()
    assert earlier_function(first) is first
    assert earlier_function(make()) is first
    assert as_model(make()).static == as_model(first).static


def different():
    """Pairs of functions that differ in one value, or hold what may change unseen."""
    yield of_numbers(2), of_numbers(3)
    yield of_numbers(0.0), of_numbers(-0.0)
    yield of_numbers(1), of_numbers(True)
    yield of_numbers(array=np.ones(2)), of_numbers(array=np.zeros(2))
    yield of_numbers(array=jnp.ones(2)), of_numbers(array=jnp.ones(2))  # arrays of JAX are compared by identity
    yield of_numbers(array=np.ones(10**5)), of_numbers(array=np.ones(10**5))
    yield of_helper(2), of_helper(3)
    held = [object()]
    yield of_numbers(array=held), of_numbers(array=held)
    yield of_text(), of_text()
    yield of_decorated(), of_decorated()


def test_functions_that_may_compute_otherwise_stay_apart():
    for first, second in different():
        assert earlier_function(first) is first
        assert earlier_function(second) is second


def test_changed_globals_and_contents_are_seen(monkeypatch):
    for make in (of_global, of_network):
        first = make()
        assert earlier_function(first) is first
        with monkeypatch.context() as changed:
            changed.setitem(globals(), "scale", 3.0)
            other = make()
            assert earlier_function(other) is other
            np.testing.assert_allclose(apply(as_model(make()), X).ravel()[0], 9.0)
        assert earlier_function(make()) is first
    content = np.ones(2)
    first, second = of_numbers(array=content), of_numbers(array=content)
    assert earlier_function(first) is first
    content[0] = 5
    assert earlier_function(second) is second


@pytest.mark.filterwarnings("ignore:model was compiled")
def test_a_variable_of_a_loop_that_has_moved_on_is_not_used_for_another_shape():
    """All lambdas of one loop share its variable: the first one, traced anew at its end, would read the last value."""

    def explain_each(numbers, x):
        return [float(apply(as_model(lambda x: x.sum(axis=1) * number), x)[0]) for number in numbers]  # noqa: B023

    assert explain_each([2.0, 3.0], X) == [6.0, 9.0]
    assert explain_each([2.0, 5.0], X[:1]) == [6.0, 15.0]
    assert explain_each([2.0, 3.0, 2.0], X[:1, :2]) == [4.0, 6.0, 4.0]


def test_a_function_that_was_traced_in_another_state_stands_for_no_other(monkeypatch):
    model = as_model(of_global())
    with monkeypatch.context() as changed:
        changed.setitem(globals(), "scale", 3.0)
        np.testing.assert_allclose(apply(model, X), 9.0)
    np.testing.assert_allclose(apply(as_model(of_global()), X), 6.0)
    np.testing.assert_allclose(apply(as_model(of_global()), X), 6.0)


def test_functions_and_what_they_hold_are_freed():
    array = jnp.ones(7)
    functions = [of_numbers(array=array) for _ in range(2)]
    assert earlier_function(functions[0]) is earlier_function(functions[1])
    references = [weakref.ref(part) for part in (*functions, array)]
    del functions, array
    gc.collect()
    assert [reference() for reference in references] == [None] * 3


def test_functions_over_traced_values_are_left_alone():
    @jax.jit
    def inside(value):
        first, second = (of_numbers(array=value[None]) for _ in range(2))
        assert earlier_function(first) is first
        assert earlier_function(second) is second
        return value

    inside(1.0)
