"""The package's annotations are checked at every call in the tests."""

import ast
import importlib
import operator
from pathlib import Path

import jax.numpy as jnp
import pytest
from jaxtyping import TypeCheckError

import xaijax as xai
from tests import annotations
from xaijax._core.numerics import zero_where
from xaijax.lime._coalitions import _draw_coins, log_size_distribution

SHAPES = {"Bool", "Float", "Int", "Key", "Num", "PyTree", "Shaped"}


def test_a_wrong_number_of_axes_raises(key):
    assert _draw_coins(key, jnp.ones(3, bool), 4).shape == (4, 3)
    with pytest.raises(TypeCheckError, match="parameter 'active'"):
        _draw_coins(key, jnp.ones((1, 3), bool), 4)


def test_sizes_with_one_letter_must_be_equal():
    with pytest.raises(TypeCheckError, match="parameter 'values'"):
        zero_where(jnp.ones(3, bool), jnp.ones((4, 2)))


def test_a_wrong_type_raises():
    with pytest.raises(TypeCheckError, match="parameter 'num_players'"):
        log_size_distribution(jnp.asarray(3), 3.0, "cosine", 0.25)


def test_public_functions_answer_wrong_arguments_themselves():
    with pytest.raises(TypeError, match="`num_players` must be") as error:
        xai.Game(lambda coalitions: coalitions[:, 0] * 1.0, num_players="three")
    assert not isinstance(error.value, TypeCheckError)


def test_every_module_is_imported_through_the_hook():
    for name in annotations.MODULES:
        assert "jaxtyping" in vars(importlib.import_module(name)), name  # the import that the hook adds


def test_only_functions_that_exist_are_excluded():
    for name in annotations.EXCLUDED:
        module, _, function = name.partition(":")
        value = importlib.import_module(module)
        assert not function or callable(operator.attrgetter(function)(value))


def test_every_annotated_shape_can_be_evaluated():
    """jaxtyping takes an annotation with a name that is missing at run time, as under TYPE_CHECKING, for Any."""
    for module in map(importlib.import_module, annotations.MODULES):
        for node in ast.walk(ast.parse(Path(str(module.__file__)).read_text())):
            for hint in (getattr(node, "annotation", None), getattr(node, "returns", None)):
                if hint is not None and SHAPES & {part.id for part in ast.walk(hint) if isinstance(part, ast.Name)}:
                    eval(ast.unparse(hint), dict(vars(module)))
