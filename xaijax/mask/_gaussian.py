"""Absent features take values that agree with the present ones, as if all were jointly normal."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_solve

from xaijax._core import check
from xaijax._core.frames import Columns, read_frame, refuse_categories
from xaijax._core.masker import Masker
from xaijax._core.names import read_names
from xaijax._core.numerics import dot
from xaijax._core.typing import Array, Bool, Float, Inputs
from xaijax.mask._background import read_like


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, repr=False)
class Gaussian(Masker):
    """Replaces absent features by their conditional distribution given the present ones.

    rows: [B, D] background rows.
    deviation: [D] the standard deviation of each column, 1 for constant columns.
    correlation: [D, D] the correlations of the columns.
    columns: the columns of the data frame that the rows were read from, or None.
    player_names: [D] names of the features that were passed, or None.
    """

    rows: Float[Array, "B D"]
    deviation: Float[Array, " D"]
    correlation: Float[Array, "D D"]
    columns: Columns | None = dataclasses.field(default=None, metadata={"static": True})
    player_names: tuple[str, ...] | None = dataclasses.field(default=None, metadata={"static": True})

    def read(self, x: Any) -> Array:
        return read_like("x", x, self.rows, self.columns)

    def check(self, x: Float[Array, "N *input"]) -> None:
        if x.shape[1:] != self.rows.shape[1:]:
            raise ValueError(
                f"`x` must have shape [N, {self.rows.shape[1]}], the features of the rows, got {list(x.shape)}."
            )

    def num_players(self, shape: tuple[int, ...]) -> int:
        return shape[0]

    def names(self, shape: tuple[int, ...]) -> tuple[str, ...] | None:
        return self.player_names or (None if self.columns is None else self.columns.names)

    def inputs(self, x: Float[Array, "N D"], prepared: Any) -> Float[Array, "N D"]:
        return x

    def references(self, x: Float[Array, " D"], prepared: Any) -> Float[Array, "B D"]:
        return self.rows.astype(x.dtype)

    def compose(
        self, x: Float[Array, " D"], reference: Float[Array, " D"], coalition: Bool[Array, " M"], prepared: Any
    ) -> Float[Array, " D"]:
        """Computes reference + Cov(., S) Cov(S, S)^-1 (x - reference)_S (Matheron's rule); on S it is x.

        The row keeps its own deviation from its conditional mean, and its conditional mean is exchanged for that of x.
        """
        present = coalition.astype(self.correlation.dtype)
        # Absent features count as independent, with variance 1, so that the matrix keeps its size.
        among_present = present[:, None] * self.correlation * present[None] + jnp.diag(1 - present)
        root = jnp.linalg.cholesky(among_present)
        slopes = dot(self.correlation, cho_solve((root, True), jnp.diag(present)))
        steps = present * (x - reference) / self.deviation
        expected = reference + self.deviation * dot(slopes, steps)
        return jnp.where(coalition, x, expected)


def gaussian(rows: Inputs, *, names: Sequence[str] | None = None) -> Gaussian:
    """Replaces absent features by values that agree with the present ones, for features that are about jointly normal.

    Why: the conditional expectation, v(S) = E[f(X) | X_S = x_S], stays within the data where features depend on each
    other. It answers what knowing a feature tells; `background`, which treats features as independent, answers what
    changing a feature does (Chen et al. 2020). A feature that the model does not use gets a share here if it is
    correlated with one that the model uses.

    Args:
      rows: [B, D] training rows, B more than D, or a data frame of numbers. Their means and covariances define the
        normal distribution, and each row keeps its own deviation from its conditional mean, so that the average over
        the rows has the spread of the data.
      names: D names of the features. Default: the columns of a data frame.

    Returns:
      A masker for inputs [N, D]. Each coalition costs a Cholesky factor [D, D] in addition to its B model rows.

    Raises:
      TypeError, ValueError: if the rows are no table of numbers, hold NaN or missing values, or are not more than the
        features.

    References:
      Aas, Jullum & Løland (2021), Explaining individual predictions when features are dependent, arXiv:1903.10464.
      Chen, Janizek, Lundberg & Lee (2020), True to the model or true to the data?, arXiv:2006.16234.
    """
    table, columns = read_frame("rows", rows)
    refuse_categories("rows", columns, "codes of categories are not jointly normal; use xai.mask.background")
    values = check.numeric_array("rows", table)
    if values.ndim != 2 or not jnp.issubdtype(values.dtype, jnp.floating):
        raise ValueError(f"`rows` must be floating numbers [B, D], got {values.dtype.name}{list(values.shape)}.")
    if values.shape[0] <= values.shape[1]:
        raise ValueError(
            f"`rows` must be more than the {values.shape[1]} features, so that their covariances are known, got "
            f"{values.shape[0]}."
        )
    check.no_nan("rows", values)
    centered = values - values.mean(axis=0, keepdims=True)
    deviation = jnp.sqrt(jnp.mean(centered**2, axis=0))
    varies = (values != values[:1]).any(axis=0)  # the deviation of a constant need not be 0, as its mean is rounded
    deviation = jnp.where(varies, deviation, 1)
    scaled = jnp.where(varies[None], centered / deviation[None], 0)
    correlation = dot(scaled.T, scaled) / len(values)
    # For columns that are sums of others: this much variance of their own keeps the factor of float32 finite.
    own = jnp.sqrt(jnp.finfo(values.dtype).eps)
    correlation = (correlation + own * jnp.eye(len(correlation), dtype=values.dtype)) / (1 + own)
    correlation = correlation + jnp.diag(jnp.where(varies, 0, 1).astype(values.dtype))
    player_names: Any = None if names is None else read_names(names, values.shape[1], None)
    return Gaussian(values, deviation, correlation, columns, player_names)
