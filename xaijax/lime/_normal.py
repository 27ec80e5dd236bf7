"""The normal quantile, for drawing."""

from __future__ import annotations

import math

import jax.numpy as jnp

from xaijax._core.typing import Array, Float

# Of polynomials in w - 2.5 below w = 5 and in sqrt(w) - 3 above, from the highest power.
_CENTER = (
    2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503, -0.00417768164,
    0.246640727, 1.50140941,
)  # fmt: skip
_TAILS = (
    -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613, 0.00943887047,
    1.00167406, 2.83297682,
)  # fmt: skip


def normal_quantile(numbers: Float[Array, "..."]) -> Float[Array, "..."]:
    """The standard normal quantile of (1 + u) / 2 for numbers u between -1 and 1, to 5e-7 of itself: an odd function.

    Giles (2010), Approximating the erfinv function, table 5, as in XLA's erf_inv, with w = -log((1 - u)(1 + u)) instead of
    -log(1 - u²), which loses digits near 1, and others in another program.
    """
    w = -jnp.log((1 - numbers) * (1 + numbers))
    inverse = jnp.where(w < 5, _polynomial(_CENTER, w - 2.5), _polynomial(_TAILS, jnp.sqrt(w) - 3))
    return math.sqrt(2) * inverse * numbers


def _polynomial(coefficients: tuple[float, ...], x: Float[Array, "..."]) -> Float[Array, "..."]:
    value = jnp.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        value = value * x + coefficient
    return value
