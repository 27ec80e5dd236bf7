"""Absent features take values that go with the present ones, as if all were jointly normal."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_solve

from xaijax._core import check
from xaijax._core.masker import Masker
from xaijax._core.typing import Array, Bool, Float


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Gaussian(Masker):
    """rows: [B, D] background rows; deviation: [D] of their columns; correlation: [D, D]."""

    rows: Float[Array, "B D"]
    deviation: Float[Array, " D"]
    correlation: Float[Array, "D D"]

    def check(self, x: Float[Array, "N *input"]) -> None:
        if x.shape[1:] != self.rows.shape[1:]:
            raise ValueError(
                f"x must have shape [N, {self.rows.shape[1]}], with the features of the rows, but its shape is "
                f"{list(x.shape)}."
            )

    def num_players(self, shape: tuple[int, ...]) -> int:
        return shape[0]

    def inputs(self, x: Float[Array, "N D"], prepared: Any) -> Float[Array, "N D"]:
        return x

    def references(self, x: Float[Array, " D"], prepared: Any) -> Float[Array, "B D"]:
        return self.rows

    def compose(
        self, x: Float[Array, " D"], reference: Float[Array, " D"], coalition: Bool[Array, " M"], prepared: Any
    ) -> Float[Array, " D"]:
        """reference + Cov(., S) Cov(S, S)^-1 (x - reference)_S: a row's own deviation from what its features in S say, put
        beside what x's features in S say (Matheron's rule); on S it is x."""
        present = coalition.astype(self.correlation.dtype)
        # Absent features are cut loose, with variance 1, so that the matrix keeps its size.
        among_present = present[:, None] * self.correlation * present + jnp.diag(1 - present)
        root = jnp.linalg.cholesky(among_present)
        slopes = jnp.matmul(
            self.correlation, cho_solve((root, True), jnp.diag(present)), precision=jax.lax.Precision.HIGHEST
        )
        steps = present * (x - reference) / self.deviation
        expected = reference + self.deviation * jnp.matmul(slopes, steps, precision=jax.lax.Precision.HIGHEST)
        return jnp.where(coalition, x, expected)


def gaussian(rows: Any) -> Gaussian:
    """Replaces absent features by what goes with the present ones, for features that are about jointly normal.

    Why: the conditional expectation, v(S) = E[f(X) | X_S = x_S], stays within the data where features depend on each
    other, and answers what a feature tells; `background`, which cuts it loose from the others, what it does (Chen et al.
    2020). A feature that the model does not use gets a share here if it tells of one that the model uses.

    Args:
      rows: [B, D] training rows. Their means and covariances say how features go together, and each keeps its own
        deviation from that, so that the average over them has the data's spread. B more than D.

    Returns:
      A masker for inputs [N, D]. Each coalition costs a Cholesky factor [D, D] besides its B model rows.

    Raises:
      ValueError: if the rows are no table of numbers, hold NaN, or are not more than the features.

    References:
      Aas, Jullum & Løland (2021), Explaining individual predictions when features are dependent, arXiv:1903.10464.
      Chen, Janizek, Lundberg & Lee (2020), True to the model or true to the data?, arXiv:2006.16234.
    """
    rows = check.numeric_array("rows", rows)
    if rows.ndim != 2 or not jnp.issubdtype(rows.dtype, jnp.floating):
        raise ValueError(f"rows must be floating numbers [B, D], but it is {rows.dtype.name}{list(rows.shape)}.")
    if rows.shape[0] <= rows.shape[1]:
        raise ValueError(
            f"rows must be more than the {rows.shape[1]} features, to say how these go together, but there are "
            f"{rows.shape[0]}."
        )
    check.no_nan("rows", rows)
    centered = rows - rows.mean(axis=0)
    deviation = jnp.sqrt(jnp.mean(centered**2, axis=0))
    varies = (rows != rows[0]).any(axis=0)  # a constant's deviation need not be 0: its mean is rounded
    deviation = jnp.where(varies, deviation, 1)
    scaled = jnp.where(varies, centered / deviation, 0)
    correlation = jnp.matmul(scaled.T, scaled, precision=jax.lax.Precision.HIGHEST) / len(rows)
    # Columns that are sums of others: this much of their own keeps the factor of float32 finite.
    own = jnp.sqrt(jnp.finfo(rows.dtype).eps)
    correlation = (correlation + own * jnp.eye(len(correlation))) / (1 + own)
    return Gaussian(rows, deviation, correlation + jnp.diag(jnp.where(varies, 0, 1.0)))
