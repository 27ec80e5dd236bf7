"""The bins of training rows: the conditions that LIME for tables explains by."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.typing import Array, Float, Shaped

_QUANTILES = {"quartile": 4, "decile": 10}
_DEPTH = 3  # of the tree of entropy bins, as in lime: at most eight bins
_ROUNDINGS = 4  # a column whose range is at most so many rounding errors of its largest size counts as constant


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Bins:
    """The conditions of each feature: at most Q bins, of which the unused ones have frequency 0.

    edges: [D, Q-1] upper edges, infinite where there are fewer.
    frequency: [D, Q] share of training rows.
    low, high: [D, Q] range of the rows in each bin, in the dtype of the rows. A category is a bin of one value.
    mean, deviation: [D, Q] of the rows in each bin.
    """

    edges: Float[Array, "D edges"]
    frequency: Float[Array, "D Q"]
    low: Shaped[Array, "D Q"]
    high: Shaped[Array, "D Q"]
    mean: Float[Array, "D Q"]
    deviation: Float[Array, "D Q"]


def read_edges(
    rows: Any, bins: Any, labels: Any, types: list[str], names: tuple[str, ...] | None
) -> list[np.ndarray | None]:
    """Returns the upper edges of each column's bins; None for numbers and categories."""
    edges: list[np.ndarray | None] = [None] * len(types)
    if labels is not None and not (isinstance(bins, str) and bins == "entropy"):
        raise ValueError(f"`labels` must be None without bins='entropy', got {check.shown(labels)}.")
    if bins is None:
        return edges
    if isinstance(bins, Mapping):
        for key, given in bins.items():
            column = read_column("bins", key, names, len(types))
            given = np.asarray(check.numeric_array(f"bins[{key!r}]", given), np.float64)
            ascending = given.ndim == 1 and len(given) and np.isfinite(given).all() and (np.diff(given) > 0).all()
            if types[column] == "category" or not ascending:
                raise ValueError(
                    f"`bins` must be ascending finite edges of columns that are not categorical, got {given.tolist()} for "
                    f"{key!r}."
                )
            edges[column] = given
        return edges
    if not isinstance(bins, str):
        raise TypeError(f"`bins` must be None, a name or {{column: edges}}, got {check.shown(bins)}.")
    check.one_of("bins", bins, [*_QUANTILES, "entropy"])
    classes = np.zeros(0) if labels is None else check.host_array("labels", labels)
    if bins == "entropy" and classes.shape != (len(rows),):
        given = "None" if labels is None else f"shape {list(classes.shape)}"
        raise ValueError(f"`labels` must have shape [{len(rows)}] with bins='entropy', got {given}.")
    for column, of in enumerate(types):
        if of == "category":
            continue
        values = rows[:, column]
        if _is_constant(values):
            edges[column] = np.array([values.max()], np.float64)  # all training rows are in one bin
        elif bins == "entropy":
            edges[column] = _entropy_edges(values, classes)
        else:
            shares = np.arange(1, _QUANTILES[bins]) / _QUANTILES[bins]
            edges[column] = np.unique(np.quantile(values, shares))
    return edges


def _is_constant(values: np.ndarray) -> bool:
    """Whether values are equal up to rounding errors."""
    return not float(moments(values[:, None], jnp.float32)[1][0])


def _entropy_edges(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the thresholds of a tree that predicts the labels from this feature (Fayyad & Irani 1993, to a fixed depth)."""
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    if np.issubdtype(labels.dtype, np.floating):
        tree = DecisionTreeRegressor(max_depth=_DEPTH, random_state=0)
    else:
        tree = DecisionTreeClassifier(criterion="entropy", max_depth=_DEPTH, random_state=0)
    fitted = tree.fit(values[:, None], labels).tree_
    edges = np.unique(fitted.threshold[fitted.children_left != -1])
    return edges if len(edges) else np.array([np.median(values)])


def assign_bins(rows: np.ndarray, edges: list[np.ndarray | None], types: tuple[str, ...], dtype: Any) -> Bins:
    """Assigns the training rows to bins, by the edges as they are stored, and computes the statistics of each."""
    stored = [None if edge is None else np.unique(edge.astype(dtype)) for edge in edges]
    assigned = []
    for values, of, edge in zip(rows.T, types, stored, strict=True):
        if of == "number":
            assigned.append(np.zeros(len(rows), int))
        elif edge is None:
            assigned.append(np.unique(values, return_inverse=True)[1])
        else:
            edge = edge if np.issubdtype(rows.dtype, np.floating) else np.floor(edge.astype(np.float64))
            assigned.append(np.searchsorted(edge, values, side="left"))
    num_bins = max(
        len(edge) + 1 if edge is not None else own.max() + 1 for own, edge in zip(assigned, stored, strict=True)
    )
    shape = (len(types), num_bins)
    upper = np.full((len(types), num_bins - 1), np.inf)
    frequency, mean, deviation = (np.zeros(shape) for _ in range(3))
    low, high = (np.zeros(shape, rows.dtype) for _ in range(2))
    for column, (own, edge) in enumerate(zip(assigned, stored, strict=True)):
        if edge is not None:
            upper[column, : len(edge)] = edge
        if types[column] == "number":
            frequency[column, 0] = 1
            continue
        for number in np.unique(own):
            inside = rows[own == number, column]
            frequency[column, number] = len(inside) / len(rows)
            low[column, number], high[column, number] = inside.min(), inside.max()
            mean[column, number], deviation[column, number] = (
                float(part[0]) for part in moments(inside[:, None], dtype)
            )
    return Bins(
        *(jnp.asarray(part, dtype) for part in (upper, frequency)),
        *(jnp.asarray(part) for part in (low, high)),
        *(jnp.asarray(part, dtype) for part in (mean, deviation)),
    )


def is_above(rows: Array, edges: Array) -> Array:
    """Returns whether values are above edges; exact for integers, which float32 would round."""
    if jnp.issubdtype(rows.dtype, jnp.floating):
        return rows > edges
    limit = 2.0 ** (jnp.iinfo(rows.dtype).bits - 1)
    inside = jnp.abs(edges) < limit
    whole = jnp.where(inside, jnp.floor(edges), 0).astype(rows.dtype)
    return jnp.where(inside, rows > whole, edges < 0)


def moments(rows: Any, dtype: Any) -> tuple[Any, Any]:
    """Returns mean and standard deviation of each column, 0 for columns that are constant up to rounding errors.

    Columns are scaled by powers of two, so that squares stay in range, and centered by their first value, so that the
    rounding of a mean never makes a deviation. Known rows are computed in float64.
    """
    xp = np if isinstance(rows, np.ndarray) else jnp
    exact = np.float64 if xp is np else dtype
    size = xp.maximum(-rows.min(axis=0).astype(exact), rows.max(axis=0).astype(exact))
    exponent = xp.frexp(size)[1]

    def scaled(values: Any) -> Any:
        return xp.ldexp(values.astype(exact), -exponent)

    start = rows[0]
    if xp is np and np.issubdtype(rows.dtype, np.integer):
        centered = scaled(np.subtract(rows, start, dtype=np.int64))
    else:
        centered = scaled(rows) - scaled(start)
    mean = centered.mean(axis=0)
    spread = centered.max(axis=0) - centered.min(axis=0)
    constant = spread <= rounding(rows.dtype) * scaled(size)
    deviation = xp.where(constant, 0, xp.sqrt(((centered - mean) ** 2).mean(axis=0)))
    mean = scaled(start) + xp.where(spread == 0, 0, mean)
    return xp.ldexp(mean, exponent), xp.ldexp(deviation, exponent)


def rounding(dtype: Any) -> float:
    """Returns the range, relative to its size, up to which a column of this dtype counts as constant."""
    return float(_ROUNDINGS * jnp.finfo(dtype).eps) if jnp.issubdtype(dtype, jnp.floating) else 0.0


def read_column(name: str, column: Any, names: tuple[str, ...] | None, features: int) -> int:
    if isinstance(column, str):
        if names is None or names.count(column) != 1:
            suggestion = check.did_you_mean(column, names or ())
            raise ValueError(f"`{name}` must name a column of {names}, got {column!r}{suggestion}.")
        return names.index(column)
    is_int = isinstance(column, int | np.integer) and not isinstance(column, bool)
    if not is_int or not 0 <= column < features:
        raise ValueError(f"`{name}` must be columns between 0 and {features - 1}, got {check.shown(column)}.")
    return int(column)
