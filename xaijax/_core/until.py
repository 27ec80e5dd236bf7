"""`until`: a precision to reach instead of a budget, and the loop that reaches it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from xaijax._core import check
from xaijax._core.typing import Array, Bool, Float, Int

State = TypeVar("State")


def precision(values: Float[Array, "M ..."], std_errors: Float[Array, "M ..."]) -> Float[Array, ""]:
    """Returns the largest standard error relative to the largest value, the worst over the outputs; NaN if one is NaN."""
    largest, error = jnp.abs(values).max(axis=0), std_errors.max(axis=0)
    return jnp.where(error == 0, 0, error / jnp.where(largest == 0, 1e-30, largest)).max()


def repeat_until(
    until: float,
    most: int,
    first: State,
    another: Callable[[Int[Array, ""], State], State],
    results: Callable[[State], tuple[Array, Array]],
) -> tuple[Int[Array, ""], State, Bool[Array, ""]]:
    """Runs rounds until the results are precise.

    Args:
      until: the precision to reach.
      most: the largest number of rounds, the first included.
      first: the state after the first round.
      another: (the number of rounds so far, their state) -> the state after one more.
      results: state -> values [M, ...] and their standard errors.

    Returns:
      The number of rounds, the last state, and whether it is precise.
    """

    def precise(state: State) -> Bool[Array, ""]:
        return precision(*results(state)) <= until

    def unfinished(carry: tuple[Array, State]) -> Bool[Array, ""]:
        number, state = carry
        return (number < most) & ~precise(state)

    def step(carry: tuple[Array, State]) -> tuple[Array, State]:
        number, state = carry
        return number + 1, another(number, state)

    number, state = jax.lax.while_loop(unfinished, step, (jnp.ones((), jnp.int32), first))
    return number, state, precise(state)


def read_until(until: Any, cap_name: str, cap: Any) -> float | None:
    """Checks `until`, and that there is no cap without it."""
    if until is None:
        if cap is not None:
            raise ValueError(
                f"`{cap_name}` must be left out unless `until` is given, got {cap!r}: it is the cap of `until`, the "
                "precision to reach; give `until` as well, or a budget alone."
            )
        return None
    return check.positive_float("until", until)
