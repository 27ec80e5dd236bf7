"""Until precise enough: what all estimators mean by `until`, a precision to reach instead of a budget."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from xaijax._core import check
from xaijax._core.typing import Array, Float


def precision(values: Float[Array, "M ..."], std_errors: Float[Array, "M ..."]) -> Float[Array, ""]:
    """The largest standard error, in largest values of its output; of several outputs the worst. NaN if one is NaN."""
    largest, error = jnp.abs(values).max(axis=0), std_errors.max(axis=0)
    return jnp.where(error == 0, 0, error / jnp.where(largest == 0, 1e-30, largest)).max()


def read_until(until: Any, cap_name: str, cap: Any) -> float | None:
    """Checks `until`, and that there is no cap without it."""
    if until is None:
        if cap is not None:
            raise ValueError(
                f"{cap_name} is the cap of until, the precision to reach: give until, or the budget alone."
            )
        return None
    return check.positive_float("until", until)
