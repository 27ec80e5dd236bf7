"""Functions of users are given the arguments that they name."""

import functools

import jax
import pytest

from xaijax._core.calls import accepted

GIVEN = {"key": 1, "ids": 2, "target": 3}


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (lambda model, x: 0, set()),
        (lambda model, x, ids: 0, {"ids"}),
        (lambda model, x, *, key=None, steps=3: 0, {"key"}),
        (lambda model, x, **options: 0, {"key", "ids", "target"}),
        (functools.partial(lambda model, x, key, target: 0, target=7), {"key"}),
        (functools.partial(lambda model, x, **options: 0, ids=7), {"key", "target"}),
        (functools.partial(jax.tree_util.Partial(lambda model, x, key, ids: 0, key=7), ids=3), set()),
        (jax.jit(lambda model, x, target: 0), {"target"}),
        (max, set()),
    ],
)
def test_a_function_is_given_what_it_names_and_keeps_what_was_bound(function, names):
    assert accepted(function, GIVEN) == {name: GIVEN[name] for name in names}


@pytest.mark.parametrize(
    ("function", "given"),
    [(lambda target: 0, {"target": None}), (lambda target="all": 0, {}), (lambda **options: 0, {})],
)
def test_none_is_given_where_there_is_no_default(function, given):
    assert accepted(function, {"target": None}) == given
