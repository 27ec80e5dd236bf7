"""A store is resumed by the program that made it, and by no other; any code that changes the answers is noticed."""

import importlib
import os
import subprocess
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests.scale._sources import ROWS, Rows, explain
from tests.selection import usual
from xaijax._io.fingerprint import digest, program_digest

# One model in each framework; {edit} is what the tests change. Equinox modules are PyTrees with a __call__, as Tree is.
MODULE = """
import dataclasses
import jax, jax.numpy as jnp, numpy as np
import flax.linen as nn
from flax import nnx
import xaijax as xai
import edited_settings

OFFSET = 1.0

def outer(values):
    return values + OFFSET + edited_settings.SCALE

class Nnx(nnx.Module):
    power = 1
    def __init__(self):
        self.weights = nnx.Param(jnp.ones(6))
    def __call__(self, x):
        '''Documented.'''
        return outer(x**self.power @ self.weights[...])

class Linen(nn.Module):
    power: int = 1
    shift = 0.5
    @nn.compact
    def __call__(self, x):
        weights = self.param("weights", nn.initializers.ones, (6,))
        return outer(x**self.power @ weights) + self.shift

@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Tree:
    weights: jax.Array
    def __call__(self, x):
        return outer(x @ self.weights)

class Numpy:
    power = 1
    def __call__(self, x, ids):
        values = outer(x**self.power) * 2
        return xai.Attribution(values, values.sum(axis=1), method="numpy")

def make(kind):
    if kind == "nnx":
        return Nnx()
    if kind == "linen":
        return xai.linen(Linen(), {"params": {"weights": jnp.ones(6)}})
    return Tree(jnp.ones(6)) if kind == "tree" else Numpy()
"""
SETTINGS = "SCALE = 0.25\ndef unused():\n    return 3\n"


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes the two modules, with parts replaced, and returns a function that makes a model of them."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(old="", new=""):
        changed = [text.replace(old, new) if old else text for text in (MODULE, SETTINGS)]
        assert not old or changed != [MODULE, SETTINGS]
        for name, text in zip(("edited_model", "edited_settings"), changed, strict=True):
            (tmp_path / f"{name}.py").write_text(text)
            monkeypatch.delitem(sys.modules, name, raising=False)
        importlib.invalidate_caches()
        return importlib.import_module("edited_model").make

    yield write
    for name in ("edited_model", "edited_settings"):
        sys.modules.pop(name, None)


def run(model, out):
    if type(model).__name__ == "Numpy":
        return explain(Rows(), out, model)
    explainer = jax.tree_util.Partial(xai.shap.linear, model)
    given = {"options": {"rows": np.ones((2, 6), np.float32)}, "compiled": True, "devices": jax.devices()[:1]}
    return explain(Rows(), out, explainer, **given)


EDITS = [
    ("outer(x", "3 * outer(x"),  # __call__
    ("values + OFFSET", "values - 2 * OFFSET"),  # a function that it calls
    ("OFFSET = 1.0", "OFFSET = 1.5"),  # a global of the module
    ("SCALE = 0.25", "SCALE = 0.75"),  # a global of an imported module
]
OF_THE_CLASS = {
    "nnx": [("power = 1", "power = 2")],
    "linen": [("power: int = 1", "power: int = 2"), ("shift = 0.5", "shift = 0.0")],
    "tree": [],
    "numpy": [("power = 1", "power = 2")],
}


@pytest.mark.parametrize("kind", usual(OF_THE_CLASS, "nnx", "tree"))
def test_edited_code_refuses_to_resume(kind, write, tmp_path):
    run(write()(kind), tmp_path / "s")
    for old, new in EDITS + OF_THE_CLASS[kind]:
        model = write(old, new)(kind)
        with pytest.raises(ValueError, match="is unchanged: the program changed, that is, the code"):
            run(model, tmp_path / "s")
    assert run(write()(kind), tmp_path / "s").rows_reused == ROWS


@pytest.mark.parametrize("kind", ["nnx", "linen", "tree"])
def test_edits_that_change_no_answer_resume(kind, write, tmp_path):
    run(write()(kind), tmp_path / "s")
    for old, new in (
        ("'''Documented.'''", "'''Described in other words.'''"),
        ("return values + OFFSET", "shifted = values + OFFSET\n    return shifted"),
        ("return 3", "return 4"),
        ("weights = self.param", "unused = 5; weights = self.param"),
    ):
        assert run(write(old, new)(kind), tmp_path / "s").rows_reused == ROWS


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("Nnx", "power", 2),
        ("Nnx", "__call__", lambda self, x: x.sum(axis=1)),
        ("Tree", "__call__", lambda self, x: x[:, 0]),
    ],
)
def test_classes_edited_in_the_same_process_are_traced_again(kind, name, value, write, tmp_path, monkeypatch):
    """JAX keeps the traces of inner functions, which do not know that a class has changed."""
    make = write()
    run(make(kind.lower()), tmp_path / "s")
    monkeypatch.setattr(getattr(sys.modules["edited_model"], kind), name, value)
    with pytest.raises(ValueError, match="the program changed"):
        run(make(kind.lower()), tmp_path / "s")


def traced(function, *arguments):
    return program_digest(function, *arguments, code=digest(function))


def test_constants_and_shapes_are_part_of_a_program():
    x, scale = jnp.ones(3), np.arange(3.0, dtype=np.float32)

    def program(constant, axis=0):
        return traced(lambda x: jax.jit(lambda x: (x * constant).sum(axis=axis))(x), x)

    assert program(scale) == program(scale.copy())
    assert program(scale) != program(scale + np.float32(1e-6))
    assert program(scale) != program(-scale)
    assert program(2.0) != program(3.0)
    assert traced(jnp.sin, x) != traced(jnp.sin, jnp.ones(4))
    assert traced(jnp.sin, x) != traced(jnp.cos, x)
    assert traced(lambda x: jax.lax.cond(x[0] > 0, jnp.sin, jnp.cos, x), x) != traced(
        lambda x: jax.lax.cond(x[0] > 0, jnp.cos, jnp.sin, x), x
    )


def test_the_order_of_operands_is_part_of_a_program():
    x, y = jnp.ones(3), jnp.ones(3)
    assert traced(lambda x, y: x - y, x, y) != traced(lambda x, y: y - x, x, y)
    assert traced(lambda x, y: (x, y), x, y) != traced(lambda x, y: (y, x), x, y)


def test_callbacks_count_with_the_code_that_they_run():
    def calling(factor):
        def on_host(x):
            return np.asarray(x) * factor

        return lambda x: jax.pure_callback(on_host, x, x)

    x = jnp.ones(3)
    assert traced(calling(2.0), x) == traced(calling(2.0), x)
    assert traced(calling(2.0), x) != traced(calling(3.0), x)


def test_names_of_functions_and_rules_of_derivatives_are_no_part_of_a_program():
    def rule(factor):
        @jax.custom_jvp
        def function(x):
            return x * 2

        function.defjvp(lambda primals, tangents: (primals[0] * 2, factor * tangents[0]))
        return function

    assert traced(rule(2.0), jnp.ones(3)) == traced(rule(3.0), jnp.ones(3))


SETTING = types.ModuleType("a_module_of_the_user")
SETTING.SCALE = 1.0


def _reads_a_module(x):
    return x * SETTING.SCALE


class Base:
    slope = 1.0

    def scaled(self, x):
        return x * self.slope


class Derived(Base):
    pass


def test_classes_and_modules_of_the_user_are_what_they_contain(monkeypatch):
    before = digest(_reads_a_module), digest(Derived()), digest(Derived)
    assert (digest(_reads_a_module), digest(Derived()), digest(Derived)) == before
    monkeypatch.setattr(SETTING, "SCALE", 2.0)
    monkeypatch.setattr(Base, "slope", 2.0)
    after = digest(_reads_a_module), digest(Derived()), digest(Derived)
    assert all(one != other for one, other in zip(before, after, strict=True))


def test_a_program_is_the_same_in_every_process():
    program = """
import jax, jax.numpy as jnp, numpy as np, xaijax as xai
from xaijax._io.fingerprint import digest, program_digest
rows = np.ones((4, 3), np.float32)
model = xai.function(lambda w, x: jax.nn.relu(x @ w).sum(axis=1), jnp.ones((3, 2)))
explainers = [
    lambda model, x: xai.shap.linear(model, x, rows),
    lambda model, x: xai.lime.tabular(model, x, xai.lime.statistics(rows + np.arange(4)[:, None]), num_samples=16,
                                      key=jax.random.key(0)),
    lambda model, x: jax.pure_callback(lambda x: np.asarray(x) * len({"a", "b"}), x, x),
]
print([program_digest(explainer, model, rows, code="") for explainer in explainers])
"""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2")
    ]
    first, second = (process.communicate()[0] for process in running)
    assert first == second
    assert len(set(first.strip("[]\n").split(", "))) == 3
