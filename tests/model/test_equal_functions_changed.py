"""A function made anew is compiled anew where anything that it reads has changed, or may have changed unseen."""

import functools
import gc
import operator
import sys
import threading
import types
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
scale = 2.0


class Constants:
    """Read by functions as a class."""

    _hidden = 2.0
    name = 2.0
    computed = staticmethod(lambda x: x * scale)


class Meta(type):
    @property
    def factor(cls):
        return scale


class OfMeta(metaclass=Meta):
    pass


def scaled(method):
    @functools.wraps(method)
    def call(self, x):
        return method(self, x) * scale

    return call


class Decorated(nn.Module):
    @scaled
    def __call__(self, x):
        return x


class Holder(nn.Module):
    part: object

    def __call__(self, x):
        return self.part(x)


class Inner(nn.Module):
    def __call__(self, x):
        return x * scale


class WithHidden(nn.Module):
    _hidden = 2.0

    def __call__(self, x):
        return x * self._hidden


mapped = jax.vmap(lambda row: row * scale)
from_python = np.frompyfunc(lambda number: number * scale, 1, 1)
of_lambda, of_inner, of_array = Holder(lambda x: x * scale), Holder(Inner()), Holder(np.ones(2))
sequential = nn.Sequential([lambda x: x * scale])
masked = np.ma.masked_array(np.ones(2), [False, False])
decorated, with_hidden = Decorated(), WithHidden()


@functools.singledispatch
def dispatched(x):
    return x * scale


def from_text(number):
    """A class whose method has no file, as those that `dataclasses` writes."""
    namespace = {"number": number}
    exec("class Written:\n  def call(x): return x * number", namespace)
    return namespace["Written"], namespace


Written, namespace = from_text(2.0)


def reads(value, use):
    return lambda x: use(value, x)


def call(function, x):
    return function(x)


def change_scale(monkeypatch):
    monkeypatch.setitem(globals(), "scale", 3.0)


READ_SCALE = {
    "a function of jax.vmap": lambda: lambda x: mapped(x),
    "a ufunc made of a function": lambda: lambda x: x * from_python(1.0),
    "a function by the type of its argument": lambda: lambda x: dispatched(x),
    "a static method": lambda: lambda x: Constants.computed(x),
    "a property of a metaclass": lambda: lambda x: x * OfMeta.factor,
    "a decorated method": lambda: lambda x: decorated.apply({}, x),
    "a function in a field": lambda: lambda x: of_lambda.apply({}, x),
    "a module in a field": lambda: lambda x: of_inner.apply({}, x),
    "a function in a module of Linen": lambda: lambda x: sequential.apply({}, x),
    "a module by its attribute": lambda: lambda x: x * getattr(sys.modules[__name__], "scale"),  # noqa: B009
    "globals of another function": lambda: lambda x: x * change_scale.__globals__["scale"],
    "an attribute getter": lambda: lambda x: x * operator.attrgetter("scale")(sys.modules[__name__]),
}


@pytest.mark.parametrize("what", READ_SCALE)
def test_a_global_is_seen_through(what, monkeypatch):
    first = READ_SCALE[what]()
    assert earlier_function(first) is first
    change_scale(monkeypatch)
    assert earlier_function(other := READ_SCALE[what]()) is other


CHANGES = {
    "hidden constant": (lambda: lambda x: x * Constants._hidden, lambda m: m.setattr(Constants, "_hidden", 3.0)),
    "constant called name": (lambda: lambda x: x * Constants.name, lambda m: m.setattr(Constants, "name", 3.0)),
    "constant of a module": (
        lambda: lambda x: with_hidden.apply({}, x),
        lambda m: m.setattr(WithHidden, "_hidden", 3.0),
    ),
    "method without a file": (lambda: lambda x: Written.call(x), lambda m: m.setitem(namespace, "number", 3.0)),
    "function of a package": (lambda: lambda x: jax.nn.relu(x), lambda m: m.setattr(jax.nn, "relu", lambda x: 3 * x)),
    "rule of a package": (lambda: lambda x: jax.nn.relu(x), lambda m: m.setattr(jax.nn.relu, "jvp", change_scale)),
    "call of a layer": (lambda: lambda x: nn.Dense(2).apply({}, x), lambda m: m.setattr(nn.Dense, "__call__", call)),
    "array in a field": (lambda: lambda x: of_array.apply({}, x), lambda m: of_array.part.__setitem__(0, 5.0)),
    "mask": (lambda: lambda x: x * masked.sum(), lambda m: masked.mask.__setitem__(0, True)),
    "field": (
        lambda: lambda x: of_array.apply({}, x),
        lambda m: m.setitem(vars(of_array), "part", np.zeros(2)),
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_seen(what, monkeypatch):
    make, change = CHANGES[what]
    first = make()
    assert earlier_function(first) is first
    masked.mask = [False, False]
    change(monkeypatch)
    assert earlier_function(other := make()) is other


def test_functions_with_effects_stay_apart(tmp_path):
    """Random numbers, files and functions that are called back belong to each function that reads them."""
    np.save(tmp_path / "array.npy", np.ones(3))
    path, draw = str(tmp_path / "array.npy"), np.random.rand

    def calls_back():
        seen = []
        return lambda x: jax.debug.callback(seen.append, x) or x

    for make in (
        lambda: lambda x: x * np.random.rand(),  # noqa: NPY002
        lambda: lambda x: x * draw(),
        lambda: lambda x: x * np.load(path),
        calls_back,
    ):
        first, second = make(), make()
        assert earlier_function(first) is first
        assert earlier_function(second) is second


def test_positions_of_a_function_and_a_number_in_its_closure_matter():
    def make(swapped):
        first = second = 3

        def function(x):
            return x * (2 if callable(first) else second if not callable(second) else 5)

        if swapped:
            first = function
        else:
            second = function
        return function

    functions = make(False), make(True)
    assert [earlier_function(function) for function in functions] == list(functions)


def test_odd_objects_raise_nothing():
    class Odd:
        def __getattribute__(self, name):
            raise RuntimeError(name)

    cyclic = []
    cyclic += [cyclic, cyclic]
    looped = types.FunctionType(call.__code__, {})
    looped.__wrapped__ = looped
    for value in (Odd(), cyclic, looped, {"key": Odd()}, 10**5000, "x" * 10**6, list(range(10**5)), threading.local()):
        function = reads(value, call)
        assert earlier_function(function) is function
        other = reads(value, call)
        assert earlier_function(other) in (other, function)


def test_deleted_arrays_are_not_read_through_an_earlier_program():
    array = jnp.ones(3)
    first = reads(array, operator.mul)
    assert earlier_function(first) is first
    assert earlier_function(reads(array, operator.mul)) is first
    array.delete()
    assert earlier_function(other := reads(array, operator.mul)) is other


def test_interceptors_of_linen_are_applied():
    def doubled(next_function, args, kwargs, context):
        return 2 * next_function(*args, **kwargs)

    make = lambda: lambda x: of_inner.apply({}, x)  # noqa: E731
    np.testing.assert_allclose(apply(as_model(first := make()), X), 2.0)
    with nn.intercept_methods(doubled):
        assert apply(as_model(make()), X)[0, 0] > 2.0
    assert earlier_function(make()) is first


def test_what_a_function_read_before_is_freed(monkeypatch):
    """Old weights are freed when a global is set anew, and namespaces with the functions that read them."""
    monkeypatch.setitem(globals(), "scale", jnp.ones(5))
    function = (lambda: lambda x: x * scale)()
    assert earlier_function(function) is function
    old = weakref.ref(scale)
    monkeypatch.undo()
    namespace = {}
    exec("make = lambda: lambda x: x * number\nnumber = 2.0\nmade = make()", namespace)
    made = weakref.ref(namespace["made"])
    assert earlier_function(namespace["made"]) is namespace["made"]
    del namespace
    gc.collect()
    assert old() is None
    assert made() is None


def test_two_threads_get_the_function_of_their_own_values():
    wrong = []

    def run(number):
        for _ in range(200):
            function = earlier_function(reads(number, operator.mul))
            if function(1) != number:
                wrong.append(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_variable_that_changes_between_a_model_and_its_call_is_read_at_the_call():
    """Models may be made long before they are explained: the program of an equal function then no longer fits."""

    def make(number):
        def change(to):
            nonlocal number
            number = to

        return lambda x: x[:, 0] * number, change

    first, change_first = make(2.0)
    second, change_second = make(2.0)
    third, _ = make(2.0)
    models = [as_model(function) for function in (first, second, third)]
    assert models[0].static == models[1].static == models[2].static
    np.testing.assert_allclose(apply(models[0], X), 2.0)
    change_second(3.0)
    np.testing.assert_allclose(models[1](X), 3.0)
    np.testing.assert_allclose(apply(models[1], X), 3.0)
    change_first(5.0)
    np.testing.assert_allclose(apply(models[2], X), 2.0)
    np.testing.assert_allclose(apply(models[2], X[:1]), 2.0)  # compiled for another shape


def test_a_function_that_was_called_without_a_record_stands_for_no_other(monkeypatch):
    """Clearing the caches forgets what functions have read, while models of them may live on."""
    make = lambda: lambda x: x[:, 0] * scale  # noqa: E731
    first = make()
    model = as_model(first)
    xai.clear_caches()
    np.testing.assert_allclose(apply(model, X), 2.0)
    change_scale(monkeypatch)
    as_model(first)
    np.testing.assert_allclose(apply(as_model(make()), X), 3.0)
