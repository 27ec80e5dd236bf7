"""Runs this package under JAX's default rules of promotion, and the user's functions under the user's rules.

`jax_numpy_rank_promotion="raise"` and `jax_numpy_dtype_promotion="strict"` look for mistakes in the user's code. They
forbid notation that this package uses on purpose, and never change a number.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import jax

Function = TypeVar("Function", bound=Callable[..., Any])

# The rules that the user has set, while code of this package runs.
_user: contextvars.ContextVar[tuple[str, str] | None] = contextvars.ContextVar("user_settings", default=None)


@contextlib.contextmanager
def of_package() -> Iterator[None]:
    """Sets the rules of this package."""
    rank, dtype = jax.config.jax_numpy_rank_promotion, jax.config.jax_numpy_dtype_promotion  # pyright: ignore
    if (rank, dtype) == ("allow", "standard"):
        yield
        return
    token = _user.set((rank, dtype))
    try:
        with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
            yield
    finally:
        _user.reset(token)


@contextlib.contextmanager
def of_user() -> Iterator[None]:
    """Sets the rules that were in force when this package was called."""
    rules = _user.get()
    if rules is None:
        yield
        return
    with jax.numpy_rank_promotion(rules[0]), jax.numpy_dtype_promotion(rules[1]):
        yield


def own(function: Function) -> Function:
    """Decorates a public function that computes before it calls a compiled one."""

    @functools.wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        with of_package():
            return function(*arguments, **options)

    return call  # pyright: ignore[reportReturnType]
