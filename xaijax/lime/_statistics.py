"""The statistics of training rows that LIME for tables perturbs by."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check, frames
from xaijax._core.typing import Array, ArrayOrSequence, Bool, Float, Inputs, Int, Shaped

_QUANTILES = {"quartile": 4, "decile": 10}
_DEPTH = 3  # of the tree of entropy bins, as in lime: at most eight bins
_ROUNDINGS = 4  # a column whose range is at most so many rounding errors of its largest size counts as constant
_LARGEST_WHOLE = 1e15  # whole numbers up to here are printed in full


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Bins:
    """The conditions of each feature: at most Q bins, of which the unused ones have frequency 0.

    edges: [D, Q-1] upper edges, infinite where there are fewer.
    frequency: [D, Q] share of training rows.
    low, high: [D, Q] range of the rows in each bin, in the dtype of the rows. A category is a bin of one value.
    mean, deviation: [D, Q] of the rows in each bin.
    """

    edges: Float[Array, "D Q-1"]
    frequency: Float[Array, "D Q"]
    low: Shaped[Array, "D Q"]
    high: Shaped[Array, "D Q"]
    mean: Float[Array, "D Q"]
    deviation: Float[Array, "D Q"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Statistics:
    """The statistics of training rows, for `xai.lime.tabular`.

    mean, deviation: [D] of each feature. The deviation is 0 for constant features, up to rounding errors.
    low, high: [D] their range, in the dtype of the rows.
    types: for each feature "number", "bins" or "category".
    integers: for each feature whether it is an integer, and stays one in all samples.
    bins: the conditions, where there are any.
    names: of the features.
    category_names: pairs of a column of categories and the names of its values, in ascending order.
    columns: the columns of the data frame that the rows came from, by which `x` is read; None for arrays.
    """

    mean: Float[Array, " D"]
    deviation: Float[Array, " D"]
    low: Shaped[Array, " D"]
    high: Shaped[Array, " D"]
    types: tuple[str, ...] = dataclasses.field(metadata={"static": True})
    integers: tuple[bool, ...] = dataclasses.field(metadata={"static": True})
    bins: Bins | None = None
    names: tuple[str, ...] | None = dataclasses.field(default=None, metadata={"static": True})
    category_names: tuple[tuple[int, tuple[str, ...]], ...] = dataclasses.field(default=(), metadata={"static": True})
    columns: frames.Columns | None = dataclasses.field(default=None, metadata={"static": True})

    @property
    def conditional(self) -> np.ndarray:
        """[D] which features are explained by whether a condition holds, not by their values."""
        return np.array([of != "number" for of in self.types], bool)

    @property
    def categorical(self) -> np.ndarray:
        """[D] which features are categories."""
        return np.array([of == "category" for of in self.types], bool)

    def name(self, column: int) -> str:
        """Returns the name of a feature, or "column 3"."""
        return self.names[column] if self.names else f"column {column}"

    def read(self, x: Inputs) -> Array:
        """Returns rows [N, D], from an array or from a data frame like that of the training rows.

        Raises:
          TypeError, ValueError: if the rows do not fit the statistics, or hold NaN or infinite values.
        """
        x, columns = frames.read_frame("x", x, self.columns)
        if self.columns is None:
            frames.refuse_categories(
                "x", columns, "the training statistics are of an array: make them from a data frame"
            )
        x = check.numeric_array("x", x)
        if x.ndim != 2 or x.shape[1] != len(self.mean):
            raise ValueError(
                f"`x` must have shape [N, {len(self.mean)}], with the features of the training statistics, got "
                f"{list(x.shape)}."
            )
        check.examples(x)
        check.no_nan("x", x)
        _check_finite("x", x, self.name)
        return x

    def own_bins(self, rows: Shaped[Array, "... D"]) -> Int[Array, "... D"]:
        """[..., D] the bin of each value, whose upper edge it may reach. Categories without training rows give Q."""
        assert self.bins is not None
        rows = jnp.asarray(rows)
        by_edges = jnp.sum(_is_above(rows[..., None], self.bins.edges), axis=-1, dtype=jnp.int32)
        same = (rows[..., None] == self.bins.low) & (self.bins.frequency > 0)
        num_bins = same.shape[-1]
        by_category = jnp.where(same.any(axis=-1), jnp.argmax(same, axis=-1), num_bins).astype(jnp.int32)
        return jnp.where(self.categorical, by_category, by_edges)

    def own_frequency(self, rows: Shaped[Array, "... D"]) -> Float[Array, "... D"]:
        """[..., D] the share of training rows in the bin of each value."""
        assert self.bins is not None
        own = self.own_bins(rows)[..., None] == jnp.arange(self.bins.frequency.shape[1])
        return jnp.sum(jnp.where(own, self.bins.frequency, 0), axis=-1)

    def unseen(self, rows: Shaped[Array, "... D"]) -> Bool[Array, "... D"]:
        """[..., D] which values have no training row in their bin or category, or differ from a constant feature."""
        low, high = self.low, self.high
        if jnp.issubdtype(low.dtype, jnp.floating):
            slack = _rounding(low.dtype) * jnp.maximum(jnp.abs(low), jnp.abs(high))
            low, high = low - slack, high + slack
        unseen = (self.deviation == 0) & ((rows < low) | (rows > high))
        if self.bins is not None:
            unseen = jnp.where(self.conditional, self.own_frequency(rows) == 0, unseen)
        return unseen

    def conditions(self, x: Inputs) -> list[list[str]]:
        """Describes what the coefficients of each row belong to: "4.9 < LSTAT <= 7", "RAD = 24", or the feature's name.

        Numbers have as many digits as tell the edges or categories of their feature apart.

        Args:
          x: [N, D] rows.

        Returns:
          N lists of D texts.
        """
        values = np.asarray(self.read(x))
        names = self.names or tuple(f"x{column}" for column in range(len(self.mean)))
        if self.bins is None:
            return [list(names) for _ in range(len(values))]
        bins = jax.device_get(self.bins)
        own = np.asarray(self.own_bins(jnp.asarray(values)))
        return [
            [
                self._condition(column, names[column], values[row, column], int(own[row, column]), bins)
                for column in range(values.shape[1])
            ]
            for row in range(len(values))
        ]

    def _condition(self, column: int, name: str, value: Any, own: int, bins: Bins) -> str:
        if self.types[column] == "number":
            return name
        if self.types[column] == "category":
            levels = self.columns.levels[column] if self.columns else None
            texts = dict(self.category_names).get(column)
            if texts is not None and own < len(texts):
                return f"{name} = {texts[own]}"
            if levels is not None and 0 <= value < len(levels) and value == int(value):
                return f"{name} = {levels[int(value)]}"
            known = np.asarray(bins.low[column])[np.asarray(bins.frequency[column]) > 0]
            return f"{name} = {_numerals([value, *known])[0]}"
        edges = np.asarray(bins.edges[column])
        edges = edges[np.isfinite(edges)]
        texts = _numerals(edges)
        left = f"{texts[own - 1]} < " if own else ""
        right = f" <= {texts[own]}" if own < len(edges) else ""
        return f"{left}{name}{right}" if right or not left else f"{name} > {texts[own - 1]}"


def statistics(
    rows: Inputs,
    *,
    bins: str | Mapping[int | str, Sequence[float]] | None = None,
    labels: ArrayOrSequence | None = None,
    categorical: Sequence[int | str | bool] = (),
    names: Sequence[str] | None = None,
    category_names: Mapping[int | str, Sequence[str]] | None = None,
) -> Statistics:
    """Computes the statistics of training rows that `lime.tabular` perturbs by.

    Args:
      rows: [B, D] training data, at least 2 rows: an array, or a data frame of pandas or polars. Columns of strings and
        of categories become categories; names are those of the columns. Integer arrays, and integer columns of a data
        frame, stay integers in all samples, within their range.
      bins: how numbers become conditions: "quartile", "decile", "entropy" (a decision tree of depth 3 on the labels
        for each feature, with scikit-learn), or upper edges by column, {"LSTAT": [4.9, 7.0]}, where columns without
        edges stay numbers. Default None: coefficients are slopes.
      labels: [B] classes or values, for "entropy".
      categorical: columns whose values are categories, by number or name, or D booleans.
      names: D names of the features. Default: those of the data frame, or x0, x1, ...
      category_names: {column: names of its values in ascending order}.

    Returns:
      Mean, deviation and range of each feature, and frequency, range, mean and deviation in each bin.

    Raises:
      TypeError, ValueError: if the rows have another rank, are fewer than two, or hold missing or infinite values; or an
        option does not fit them.
    """
    given, columns = frames.read_frame("rows", rows)
    array = check.numeric_array("rows", given)
    if array.ndim != 2 or array.shape[0] < 2 or array.shape[1] == 0:
        raise ValueError(f"`rows` must have shape [B, D] with at least 2 rows, got {list(array.shape)}.")
    features = array.shape[1]
    names = _read_names(names, columns, features)
    check.no_nan("rows", array)
    _check_finite("rows", array, lambda column: names[column] if names else f"column {column}")
    if jnp.issubdtype(array.dtype, jnp.floating):
        array = array.astype(jnp.promote_types(array.dtype, jnp.float32))
        integers = columns.integers if columns and columns.integers else (False,) * features
    else:
        array = array.astype(jnp.int32) if array.dtype == bool else array
        integers = (True,) * features
    known = np.asarray(array) if check.is_concrete(array) else array
    dtype = array.dtype if jnp.issubdtype(array.dtype, jnp.floating) else jax.dtypes.canonicalize_dtype(np.float64)
    mean, deviation = (jnp.asarray(part, dtype) for part in _moments(known, dtype))
    chosen = _read_columns("categorical", categorical, names, features)
    chosen |= {column for column, levels in enumerate(columns.levels if columns else ()) if levels is not None}
    if not check.is_concrete(array) and (bins is not None or chosen):
        raise TypeError(
            "`rows` must be known where features are conditions, got a traced array: call it outside of jax.jit."
        )
    types = ["category" if column in chosen else "number" for column in range(features)]
    edges = _edges(known, bins, labels, types, names)
    types = tuple("number" if of == "number" and edge is None else "bins" if of == "number" else of
                  for of, edge in zip(types, edges, strict=True))  # fmt: skip
    read = None if all(of == "number" for of in types) else _bins(np.asarray(known), edges, types, dtype)
    return Statistics(
        mean,
        deviation,
        low=array.min(axis=0),
        high=array.max(axis=0),
        types=types,
        integers=tuple(integers),
        bins=read,
        names=names,
        category_names=_read_category_names(category_names, names, types, read),
        columns=columns,
    )


def _read_names(names: Any, columns: frames.Columns | None, features: int) -> tuple[str, ...] | None:
    if names is None:
        return columns.names if columns else None
    if isinstance(names, str) or not isinstance(names, Sequence | np.ndarray):
        raise TypeError(f"`names` must be a sequence of {features} names, got {check.shown(names)}.")
    if len(names) != features:
        raise ValueError(f"`names` must hold {features} names, one for each feature, got {len(names)}.")
    return tuple(map(str, names))


def _check_finite(name: str, rows: Array, column_name: Callable[[int], str]) -> None:
    if not check.is_concrete(rows) or not jnp.issubdtype(rows.dtype, jnp.floating):
        return
    with jax.ensure_compile_time_eval():
        infinite = bool(_any_infinite(rows))
    if infinite:
        row, column = map(int, np.argwhere(np.isinf(np.asarray(rows, np.float64)))[0])
        raise ValueError(
            f"`{name}` must be finite, got an infinite value in {column_name(column)} of row {row}: no deviation can be "
            "computed from it; clip it or drop the row."
        )


@jax.jit
def _any_infinite(rows: Array) -> Array:
    return jnp.isinf(rows).any()


def _moments(rows: Any, dtype: Any) -> tuple[Any, Any]:
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
    constant = spread <= _rounding(rows.dtype) * scaled(size)
    deviation = xp.where(constant, 0, xp.sqrt(((centered - mean) ** 2).mean(axis=0)))
    mean = scaled(start) + xp.where(spread == 0, 0, mean)
    return xp.ldexp(mean, exponent), xp.ldexp(deviation, exponent)


def _rounding(dtype: Any) -> float:
    """Returns the range, relative to its size, up to which a column of this dtype counts as constant."""
    return float(_ROUNDINGS * jnp.finfo(dtype).eps) if jnp.issubdtype(dtype, jnp.floating) else 0.0


def _read_columns(name: str, columns: Any, names: tuple[str, ...] | None, features: int) -> set[int]:
    """Reads columns that are given by number or name, or by one boolean for each feature."""
    if isinstance(columns, np.ndarray | jax.Array):
        columns = np.asarray(columns).tolist()
    if isinstance(columns, str) or not isinstance(columns, Sequence | set | frozenset):
        raise TypeError(f"`{name}` must be a sequence of columns, got {check.shown(columns)}: pass [column].")
    flags = [isinstance(column, bool | np.bool_) for column in columns]
    if any(flags):
        if not all(flags) or len(flags) != features:
            raise ValueError(
                f"`{name}` must be columns by number or name, or {features} booleans, one for each feature, got "
                f"{check.shown(list(columns))}."
            )
        return {column for column, chosen in enumerate(columns) if chosen}
    return {_read_column(name, column, names, features) for column in columns}


def _read_column(name: str, column: Any, names: tuple[str, ...] | None, features: int) -> int:
    if isinstance(column, str):
        if names is None or names.count(column) != 1:
            suggestion = check.did_you_mean(column, names or ())
            raise ValueError(f"`{name}` must name a column of {names}, got {column!r}{suggestion}.")
        return names.index(column)
    is_int = isinstance(column, int | np.integer) and not isinstance(column, bool)
    if not is_int or not 0 <= column < features:
        raise ValueError(f"`{name}` must be columns between 0 and {features - 1}, got {check.shown(column)}.")
    return int(column)


def _edges(
    rows: Any, bins: Any, labels: Any, types: list[str], names: tuple[str, ...] | None
) -> list[np.ndarray | None]:
    """Returns the upper edges of each column's bins; None for numbers and categories."""
    edges: list[np.ndarray | None] = [None] * len(types)
    if bins is None:
        return edges
    if isinstance(bins, Mapping):
        for key, given in bins.items():
            column = _read_column("bins", key, names, len(types))
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
    classes = np.zeros(0) if labels is None else np.asarray(labels)
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
    return not float(_moments(values[:, None], jnp.float32)[1][0])


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


def _bins(rows: np.ndarray, edges: list[np.ndarray | None], types: tuple[str, ...], dtype: Any) -> Bins:
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
                float(part[0]) for part in _moments(inside[:, None], dtype)
            )
    return Bins(
        *(jnp.asarray(part, dtype) for part in (upper, frequency)),
        *(jnp.asarray(part) for part in (low, high)),
        *(jnp.asarray(part, dtype) for part in (mean, deviation)),
    )


def _is_above(rows: Array, edges: Array) -> Array:
    """Returns whether values are above edges; exact for integers, which float32 would round."""
    if jnp.issubdtype(rows.dtype, jnp.floating):
        return rows > edges
    limit = 2.0 ** (jnp.iinfo(rows.dtype).bits - 1)
    inside = jnp.abs(edges) < limit
    whole = jnp.where(inside, jnp.floor(edges), 0).astype(rows.dtype)
    return jnp.where(inside, rows > whole, edges < 0)


def _read_category_names(
    category_names: Any, names: tuple[str, ...] | None, types: tuple[str, ...], bins: Bins | None
) -> tuple[tuple[int, tuple[str, ...]], ...]:
    if category_names is None:
        return ()
    if not isinstance(category_names, Mapping):
        raise TypeError(f"`category_names` must be {{column: names}}, got {check.shown(category_names)}.")
    read = {_read_column("category_names", key, names, len(types)): texts for key, texts in category_names.items()}
    for column, texts in read.items():
        if types[column] != "category" or bins is None:
            raise ValueError(
                f"`category_names` must be of categorical columns, got {column}, which is {types[column]!r}."
            )
        count = int((np.asarray(bins.frequency)[column] > 0).sum())
        if isinstance(texts, str) or len(texts) != count:
            raise ValueError(
                f"`category_names[{column}]` must hold {count} names, one for each value in the training rows, got "
                f"{check.shown(texts)}."
            )
    return tuple((column, tuple(map(str, texts))) for column, texts in read.items())


def _numerals(values: Any) -> list[str]:
    """Returns numbers as texts, with at least 4 digits and as many as tell different numbers apart."""
    values = [value.item() if isinstance(value, np.generic) else value for value in values]
    texts: list[str] = []
    for digits in range(4, 18):
        texts = [
            str(int(value)) if value == int(value) and abs(value) < _LARGEST_WHOLE else f"{value:.{digits}g}"
            for value in values
        ]
        if len(set(texts)) == len(set(values)):
            break
    return texts
