"""`until`: a precision to reach instead of a budget, and the loop that reaches it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.compile import compiled
from xaijax._core.typing import Array, Bool, Float, Int

State = TypeVar("State")
Explained = TypeVar("Explained", bound=Attribution)
Results = tuple[Array, Array, Array]  # values, standard errors and numbers of evaluations, with N


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


def extend_until(
    until: float,
    most: int,
    first: Explained,
    another: Callable[[int, np.ndarray], tuple[Array, Array, Array]],
) -> Explained:
    """Runs the same rounds from Python, each as a program of its own that is prepared when the round is reached.

    Nothing is computed for rounds that are not reached, examples that are precise cost nothing more, and an interrupt is
    heard between two rounds.

    Args:
      until: the precision to reach.
      most: the largest number of rounds, the first included.
      first: the attribution after the first round.
      another: (the number of rounds so far, the sorted indices of the examples that need more) -> their values, standard
        errors and numbers of evaluations after one more round. The last index may be repeated: so few numbers of
        examples occur, and few programs are compiled. A single game has the index 0.

    Returns:
      The attribution, with each example after its own last round.
    """
    alone = not first.has_examples
    results: Any = first.values, first.std_errors, first.num_evaluations
    if alone:
        results = jax.tree.map(lambda leaf: leaf[None], results)
    for number in range(1, most):
        rows = _unfinished(results, until)
        if rows.size == 0:
            break
        results = _with_rows(results, rows, another(number, rows))
    converged = _precisions(*results[:2]) <= until
    values, std_errors, num_evaluations, converged = jax.tree.map(
        lambda leaf: leaf[0] if alone else leaf, (*results, converged)
    )
    return dataclasses.replace(
        first, values=values, std_errors=std_errors, num_evaluations=num_evaluations, converged=converged
    )


def _unfinished(results: Results, until: float) -> np.ndarray:
    """Returns the indices of the examples that are not precise, filled up to a power of two; NaN never gets precise."""
    values, std_errors, _ = results
    unknown = np.isnan(np.asarray(values)).reshape(len(values), -1).any(axis=1)
    rows = np.flatnonzero(~(np.asarray(_precisions(values, std_errors)) <= until) & ~unknown)
    size = min(len(values), 1 << max(0, len(rows) - 1).bit_length())
    return np.append(rows, np.repeat(rows[-1:], size - len(rows))) if rows.size else rows


@compiled(title="until")
def _precisions(values: Float[Array, "N M ..."], std_errors: Float[Array, "N M ..."]) -> Float[Array, " N"]:
    return jax.vmap(precision)(values, std_errors)


@compiled(title="until")
def _with_rows(results: Any, rows: Int[Array, " n"], new: Any) -> Any:
    return jax.tree.map(lambda leaf, part: leaf.at[rows].set(part), results, new)


def read_until(until: Any, cap_name: str, cap: Any) -> float | None:
    """Checks `until`, and that there is no cap without it."""
    if until is None:
        if cap is not None:
            raise ValueError(
                f"`{cap_name}` must be left out unless `until` is given, got {check.shown(cap)}: it is the cap of `until`, the "
                "precision to reach; give `until` as well, or a budget alone."
            )
        return None
    return check.positive_float("until", until)
