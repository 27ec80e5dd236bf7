"""Explains by several programs, of which only one holds the model: drawing and solving are compiled once for all models.

XLA's compile time grows with the number of fused loops in a program, most of which are those of drawing and solving. For
few numbers, compiling takes longer than any number of calls, so that these programs are compiled the quick way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from xaijax._core.blocks import each, example_keys, in_blocks
from xaijax._core.compile import is_eager
from xaijax._core.typing import Array, Float, Key
from xaijax.lime._explain import Recipe

_MOST_NUMBERS = 2**20  # of all samples, 4 MB: more leave the caches between programs, which takes longer than compiling


def in_programs(given: Any, num_examples: int, num_players: int, recipe: Recipe) -> bool:
    """Returns whether a call with these arguments is explained by several programs."""
    numbers = num_examples * recipe.samples(1) * num_players
    return recipe.until is None and numbers <= _MOST_NUMBERS and is_eager(given)


def draw_each(draw: Callable[[Array, Any], Any], recipe: Recipe, key: Key[Array, ""], ids: Any, xs: Any) -> Any:
    """Returns draw(key, x) for every example, with the keys by which `explain` draws."""
    return _each(lambda key, x: draw(jax.random.split(key)[0], x), recipe, key, ids, xs)


def solve_each(solve: Callable[[Array, Any], Any], recipe: Recipe, key: Key[Array, ""], ids: Any, xs: Any) -> Any:
    """Returns solve(key, x) for every example, with the keys that `explain` takes."""
    return _each(solve, recipe, key, ids, xs)


def _each(function: Callable[[Array, Any], Any], recipe: Recipe, key: Key[Array, ""], ids: Any, xs: Any) -> Any:
    num_examples = len(jax.tree.leaves(xs)[0])
    keys = example_keys(key, jnp.arange(num_examples) if ids is None else ids)
    return in_blocks(each(lambda own: function(*own)), (keys, xs), recipe.most_examples() or num_examples)


def unsolved_fields(values: Float[Array, "S ..."]) -> dict[str, Array]:
    """Returns a surrogate's evaluated values, its output, and fields that stand for those of another program."""
    names = ["values", "intercept", "prediction", "r_squared"]
    return dict.fromkeys(names, jnp.zeros(())) | {"evaluated": values, "output": values[0]}
