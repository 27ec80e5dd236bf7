"""What tabular LIME knows of the training data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.typing import Array, Bool, Float

_QUANTILES = {"quartile": 4, "decile": 10}
_DEPTH = 3  # of the entropy bins' tree, as in lime: at most eight bins


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Bins:
    """What is known of the conditions of each feature: Q bins at most, the unused ones with frequency 0.

    edges [D, Q-1] upper bounds, infinite where there are fewer; frequency [D, Q] share of training rows; low, high,
    mean, deviation [D, Q] of the rows in each bin. A category is a bin of one value.
    """

    edges: Float[Array, "D Q-1"]
    frequency: Float[Array, "D Q"]
    low: Float[Array, "D Q"]
    high: Float[Array, "D Q"]
    mean: Float[Array, "D Q"]
    deviation: Float[Array, "D Q"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Statistics:
    """What tabular LIME knows of the training data: mean [D] and standard deviation [D] of each feature.

    bins: what is known of the conditions where there are any; kinds: for each feature "number", "bins" or "category";
    names: of the features; category_names: for columns of categories, the name of each value.
    """

    mean: Float[Array, " D"]
    deviation: Float[Array, " D"]
    bins: Bins | None = None
    kinds: tuple[str, ...] = dataclasses.field(default=(), metadata={"static": True})
    names: tuple[str, ...] | None = dataclasses.field(default=None, metadata={"static": True})
    category_names: tuple[tuple[int, tuple[str, ...]], ...] = dataclasses.field(default=(), metadata={"static": True})

    @property
    def conditional(self) -> np.ndarray:
        """[D] which features are explained by whether a condition holds, and not by their values."""
        return np.array([kind != "number" for kind in self.kinds] or [False] * len(self.mean))

    @property
    def categorical(self) -> np.ndarray:
        """[D] which features are categories."""
        return np.array([kind == "category" for kind in self.kinds] or [False] * len(self.mean))

    def own_bins(self, rows: Float[Array, "... D"]) -> Array:
        """[..., D] the bin that each value lies in: below or at its upper edge. Unseen categories give Q."""
        assert self.bins is not None
        by_edges = jnp.sum(rows[..., None] > self.bins.edges, axis=-1)
        same = (rows[..., None] == self.bins.mean) & (self.bins.frequency > 0)
        by_category = jnp.where(same.any(axis=-1), jnp.argmax(same, axis=-1), same.shape[-1])
        return jnp.where(self.categorical, by_category, by_edges)

    def unseen(self, rows: Float[Array, "... D"]) -> Bool[Array, "... D"]:
        """[..., D] which values are categories that the training data does not hold."""
        if self.bins is None:
            return jnp.zeros(rows.shape, bool)
        return jnp.asarray(self.categorical) & (self.own_bins(rows) >= self.bins.mean.shape[-1])

    def conditions(self, x: Any) -> list[list[str]]:
        """What the coefficients of each row are of: "4.9 < LSTAT <= 7", "RAD = 24", or the feature's name.

        Args:
          x: [N, D] rows.

        Returns:
          N lists of D texts.
        """
        x = check.numeric_array("x", x)
        if x.ndim != 2 or x.shape[1] != len(self.mean):
            raise ValueError(f"x must have shape [N, {len(self.mean)}], but its shape is {list(x.shape)}.")
        names = self.names or tuple(f"x{column}" for column in range(len(self.mean)))
        if self.bins is None:
            return [list(names) for _ in range(len(x))]
        own, edges = np.asarray(self.own_bins(x)), np.asarray(self.bins.edges)
        values, called = np.asarray(x), dict(self.category_names)

        def condition(row: int, column: int) -> str:
            name, place = names[column], own[row, column]
            if self.kinds[column] == "number":
                return name
            if self.kinds[column] == "category":
                spelt = called.get(column)
                return f"{name} = {spelt[place] if spelt else f'{values[row, column]:g}'}"
            below = edges[column, place - 1] if place else -np.inf
            above = edges[column, place] if place < edges.shape[1] else np.inf
            left = f"{below:.4g} < " if np.isfinite(below) else ""
            right = f" <= {above:.4g}" if np.isfinite(above) else ""
            return f"{left}{name}{right}" if right or not left else f"{name} > {below:.4g}"

        return [[condition(row, column) for column in range(values.shape[1])] for row in range(len(values))]


def statistics(
    rows: Any,
    *,
    bins: str | Mapping[Any, Sequence[float]] | None = None,
    labels: Any = None,
    categorical: Sequence[Any] = (),
    names: Sequence[str] | None = None,
    category_names: Mapping[Any, Sequence[str]] | None = None,
) -> Statistics:
    """The statistics of training rows that `lime.tabular` perturbs by.

    Args:
      rows: [B, D] training data; at least 2 rows.
      bins: how numbers become conditions: "quartile", "decile", "entropy" (a decision tree of depth 3 on the labels
        for each feature, with scikit-learn), or upper edges by column, {"LSTAT": [4.9, 7.0]}, where columns without
        edges stay numbers. Default None: coefficients are slopes.
      labels: [B] classes or values, for "entropy".
      categorical: columns, by number or name, whose values are categories.
      names: D names of the features. Default: x0, x1, ...
      category_names: {column: names of its values in ascending order}.

    Returns:
      Mean and standard deviation of each feature, and frequency, range, mean and standard deviation in each bin.

    Raises:
      ValueError: if the rows have another rank, are fewer than two, or hold NaN; or an option does not fit them.
    """
    rows = check.numeric_array("rows", rows)
    if rows.ndim != 2 or rows.shape[0] < 2:
        raise ValueError(f"rows must have shape [B, D] with at least 2 rows, but its shape is {list(rows.shape)}.")
    check.no_nan("rows", rows)
    rows = rows.astype(jnp.promote_types(rows.dtype, jnp.float32))
    mean, deviation = rows.mean(axis=0), rows.std(axis=0)
    if bins is None and not len(categorical) and names is None:
        return Statistics(mean, deviation)
    features = rows.shape[1]
    if names is not None and len(names) != features:
        raise ValueError(f"names must be {features}, one for each feature, but there are {len(names)}.")
    called = None if names is None else tuple(map(str, names))
    columns = [_column("categorical", column, called, features) for column in categorical]
    edges = _edges(np.asarray(rows), bins, labels, columns, called)
    kinds = tuple(
        "category" if column in columns else "number" if edges[column] is None else "bins" for column in range(features)
    )
    spelt = {_column("category_names", key, called, features): value for key, value in (category_names or {}).items()}
    if all(kind == "number" for kind in kinds):
        return Statistics(mean, deviation, names=called)
    found = _bins(np.asarray(rows), edges, kinds)
    for column, texts in spelt.items():
        count = int((np.asarray(found.frequency)[column] > 0).sum())
        if kinds[column] != "category" or len(texts) != count:
            raise ValueError(
                f"category_names[{column}] has {len(texts)} names, but the column is of kind {kinds[column]!r} with "
                f"{count} values in the training rows."
            )
    return Statistics(
        mean, deviation, found, kinds, called, tuple((key, tuple(map(str, value))) for key, value in spelt.items())
    )


def _column(name: str, column: Any, names: tuple[str, ...] | None, features: int) -> int:
    if isinstance(column, str):
        if names is None or column not in names:
            raise ValueError(
                f"{name} names the column {column!r}, but the names are {names}{check.did_you_mean(column, names or ())}."
            )
        return names.index(column)
    if not isinstance(column, (int, np.integer)) or not 0 <= column < features:
        raise ValueError(f"{name} must name columns between 0 and {features - 1}, but one is {column!r}.")
    return int(column)


def _edges(
    rows: np.ndarray, bins: Any, labels: Any, categorical: list[int], names: tuple[str, ...] | None
) -> list[np.ndarray | None]:
    """The upper edges of each column; None for numbers, whether they stay so or are categories."""
    features = rows.shape[1]
    edges: list[np.ndarray | None] = [None] * features
    if bins is None:
        return edges
    if isinstance(bins, Mapping):
        for key, given in bins.items():
            column, given = _column("bins", key, names, features), np.asarray(given, float)
            if column in categorical or given.ndim != 1 or not len(given) or not (np.diff(given) > 0).all():
                raise ValueError(
                    f"bins[{key!r}] must be ascending edges of a column that is not categorical, but it is {given}."
                )
            edges[column] = given
        return edges
    if not isinstance(bins, str):
        raise TypeError(f"bins must be None, a name or {{column: edges}}, but it is {type(bins).__name__}.")
    check.one_of("bins", bins, [*_QUANTILES, "entropy"])
    classes = np.zeros(0) if labels is None else np.asarray(labels)
    if bins == "entropy" and classes.shape != (len(rows),):
        given = "none were given" if labels is None else f"their shape is {classes.shape}"
        raise ValueError(f"bins='entropy' needs labels of shape [{len(rows)}], but {given}.")
    for column in range(features):
        if column in categorical:
            continue
        if bins == "entropy":
            edges[column] = _entropy_edges(rows[:, column], classes)
        else:
            shares = np.arange(1, _QUANTILES[bins]) / _QUANTILES[bins]
            edges[column] = np.unique(np.quantile(rows[:, column], shares))
    return edges


def _entropy_edges(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Thresholds of a tree that tells the labels apart by this feature (Fayyad & Irani 1993, to a fixed depth)."""
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    if np.issubdtype(labels.dtype, np.floating):
        tree = DecisionTreeRegressor(max_depth=_DEPTH, random_state=0)
    else:
        tree = DecisionTreeClassifier(criterion="entropy", max_depth=_DEPTH, random_state=0)
    fitted = tree.fit(values[:, None], labels).tree_
    edges = np.unique(fitted.threshold[fitted.children_left != -1])
    return edges if len(edges) else np.array([np.median(values)])


def _bins(rows: np.ndarray, edges: list[np.ndarray | None], kinds: tuple[str, ...]) -> Bins:
    values = [np.unique(column) if kind == "category" else None for column, kind in zip(rows.T, kinds, strict=True)]
    most = max(
        [len(value) for value in values if value is not None] + [len(one) + 1 for one in edges if one is not None]
    )
    shape = (rows.shape[1], most)
    upper = np.full((rows.shape[1], most - 1), np.inf)
    frequency, low, high, mean, deviation = (np.zeros(shape) for _ in range(5))
    for column, kind in enumerate(kinds):
        if kind == "number":
            frequency[column, 0] = 1
            continue
        known, own_edges = values[column], edges[column]
        if known is not None:
            place = np.searchsorted(known, rows[:, column])
        else:
            assert own_edges is not None
            upper[column, : len(own_edges)] = own_edges
            place = np.searchsorted(own_edges.astype(rows.dtype), rows[:, column], side="left")
        for one in np.unique(place):
            inside = rows[place == one, column]
            frequency[column, one] = len(inside) / len(rows)
            low[column, one], high[column, one] = inside.min(), inside.max()
            same = low[column, one] == high[column, one]
            mean[column, one], deviation[column, one] = (inside[0], 0) if same else (inside.mean(), inside.std())
    return Bins(*(jnp.asarray(part, rows.dtype) for part in (upper, frequency, low, high, mean, deviation)))
