"""Absent features take their values from background rows, or from one baseline."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.masker import Masker
from xaijax._core.typing import Array, Bool, Float, Int, Shaped


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Background(Masker):
    """rows: [B, ...] background inputs; groups: [...] the player of each place, or None; num_groups: how many; shares: [B]
    how much each row counts, summing to 1, or None where all count the same."""

    rows: Shaped[Array, "B *input"]
    groups: Int[Array, "..."] | None = None
    shares: Float[Array, " B"] | None = None
    num_groups: int = dataclasses.field(default=0, metadata={"static": True})

    def inputs(self, x: Shaped[Array, "N *input"], prepared: Any) -> Shaped[Array, "N M"] | None:
        return x.reshape(len(x), -1) if self.groups is None else None

    def check(self, x: Shaped[Array, "N *input"]) -> None:
        if x.shape[1:] != self.rows.shape[1:]:
            raise ValueError(
                f"x must have the shape [N, {', '.join(map(str, self.rows.shape[1:]))}] of the background's rows, "
                f"but its shape is {list(x.shape)}."
            )

    def num_players(self, shape: tuple[int, ...]) -> int:
        return math.prod(shape) if self.groups is None else self.num_groups

    def owners(self, shape: tuple[int, ...], prepared: Any) -> Int[Array, "..."] | None:
        return self.groups

    def active(self, x: Shaped[Array, "*input"], prepared: Any) -> Bool[Array, " M"]:
        """A player whose values are those of all background rows changes nothing."""
        differs = (self.rows != x).any(axis=0)
        if self.groups is None:
            return differs.reshape(-1)
        differs = differs.reshape(*self.groups.shape, -1).any(axis=-1)
        return jnp.zeros(self.num_groups, bool).at[self.groups].max(differs)

    def references(self, x: Shaped[Array, "*input"], prepared: Any) -> Shaped[Array, "B *input"]:
        return self.rows

    def weights(self) -> Float[Array, " B"] | None:
        return self.shares


def background(rows: Any, *, groups: Any = None, weights: Any = None) -> Background:
    """Replaces absent features by those of background rows and averages over the rows.

    Why: the interventional expectation, v(S) = mean_b f(x_S, b_{not S}): what the model says when features are cut
    loose from the others (Janzing, Minorics & Blöbaum 2020). Take 20 to 200 rows from the training data: the cost
    grows in proportion, and the sampling error of the background itself falls with the square root.

    Args:
      rows: [B, ...] inputs of the model, such as training rows; B at least 1.
      groups: [...] integers 0..G-1 of the shape of one input (or of its leading axes): places with the same number
        are one player. Default: every place of the input is a player of its own.
      weights: [B] how much each row counts in the average, such as the sizes of clusters. Default: all the same.

    Returns:
      A masker for inputs of the shape of the rows. A player whose values are those of all rows gets exactly 0.

    Raises:
      ValueError: if there are no rows, they hold NaN, the groups do not fit or have gaps, or weights are negative.
    """
    rows = check.numeric_array("rows", rows)
    if rows.ndim < 2:
        raise ValueError(
            f"rows must have shape [B, ...features], but its shape is {list(rows.shape)}: "
            "one row alone is xai.mask.baseline(row)."
        )
    if rows.shape[0] == 0:
        raise ValueError("rows is empty: a background needs at least one row of shape [B, ...features].")
    check.no_nan("rows", rows)
    shares = None if weights is None else _read_weights(weights, len(rows))
    if groups is None:
        return Background(rows, shares=shares)
    groups = whole_labels("groups", groups)
    if groups.shape != rows.shape[1 : 1 + groups.ndim]:
        raise ValueError(
            f"groups must have the shape of one row, {list(rows.shape[1:])}, or of its leading axes, "
            f"but its shape is {list(groups.shape)}."
        )
    return Background(rows, jnp.asarray(groups), shares, int(groups.max()) + 1)


def baseline(row: Any, *, groups: Any = None) -> Background:
    """Replaces absent features by those of one fixed input, such as a row of means, zeros, or a black image.

    Why: one model evaluation for each coalition, and an answer to "why this rather than that?". The answer is relative
    to the baseline, so choose one that means something.

    Args:
      row: [...] one input of the model, without the batch axis.
      groups: as in `background`.

    Returns:
      A masker for inputs of the shape of the row.
    """
    row = check.numeric_array("row", row)
    if row.ndim == 0:
        raise ValueError("row must have the shape of one input, but it is a scalar.")
    return background(row[None], groups=groups)


def _read_weights(weights: Any, count: int) -> Float[Array, " B"]:
    weights = check.numeric_array("weights", weights)
    if weights.shape != (count,):
        raise ValueError(
            f"weights must have one number for each of the {count} rows, but its shape is {list(weights.shape)}."
        )
    if check.is_concrete(weights):
        known = np.asarray(weights, np.float64)
        if not (np.isfinite(known).all() and (known >= 0).all() and known.sum() > 0):
            raise ValueError("weights must be finite, not negative and not all 0: they say how much each row counts.")
    return weights / weights.sum()


def whole_labels(name: str, labels: Any) -> np.ndarray:
    """Integer labels 0..M-1 without gaps, known now."""
    if not check.is_concrete(labels):
        raise TypeError(f"{name} must be known when compiling, as it says how many players there are.")
    labels = np.asarray(labels)
    if not np.issubdtype(labels.dtype, np.integer):
        raise TypeError(f"{name} must be integers, but the type is {labels.dtype}.")
    if labels.size == 0:
        raise ValueError(f"{name} is empty.")
    present = np.unique(labels)
    if present[0] != 0 or present[-1] != len(present) - 1:
        missing = sorted(set(range(int(present[-1]) + 1)) - set(present.tolist()))[:5]
        raise ValueError(
            f"{name} must number the players 0..M-1 without gaps, but runs from {present[0]} to {present[-1]}"
            f"{f' without {missing}' if missing else ''}: renumber with numpy.unique(labels, return_inverse=True)."
        )
    return labels
