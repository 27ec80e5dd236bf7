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
from xaijax.lime._bins import Bins, assign_bins, is_above, moments, read_column, read_edges, rounding

_LARGEST_WHOLE = 1e15  # whole numbers up to here are printed in full


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
        count = len(self.types)
        column = check.positive_int("column", column, least=-count, most=count - 1) % count
        return self.names[column] if self.names else f"column {column}"

    def read(self, x: Inputs) -> Array:
        """Returns rows [N, D], from an array or from a data frame like that of the training rows.

        Raises:
          TypeError, ValueError: if the rows do not fit the statistics, or hold NaN or infinite values.
        """
        x, columns = frames.read_frame("x", x, self.columns, "the training rows")
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
        by_edges = jnp.sum(is_above(rows[..., None], self.bins.edges), axis=-1, dtype=jnp.int32)
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
            slack = rounding(low.dtype) * jnp.maximum(jnp.abs(low), jnp.abs(high))
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
    mean, deviation = (jnp.asarray(part, dtype) for part in moments(known, dtype))
    chosen = _read_columns("categorical", categorical, names, features)
    chosen |= {column for column, levels in enumerate(columns.levels if columns else ()) if levels is not None}
    if not check.is_concrete(array) and (bins is not None or chosen):
        raise TypeError(
            "`rows` must be known where features are conditions, got a traced array: call it outside of jax.jit."
        )
    types = ["category" if column in chosen else "number" for column in range(features)]
    edges = read_edges(known, bins, labels, types, names)
    types = tuple("number" if of == "number" and edge is None else "bins" if of == "number" else of
                  for of, edge in zip(types, edges, strict=True))  # fmt: skip
    read = None if all(of == "number" for of in types) else assign_bins(np.asarray(known), edges, types, dtype)
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
    return {read_column(name, column, names, features) for column in columns}


def _read_category_names(
    category_names: Any, names: tuple[str, ...] | None, types: tuple[str, ...], bins: Bins | None
) -> tuple[tuple[int, tuple[str, ...]], ...]:
    if category_names is None:
        return ()
    if not isinstance(category_names, Mapping):
        raise TypeError(f"`category_names` must be {{column: names}}, got {check.shown(category_names)}.")
    read = {read_column("category_names", key, names, len(types)): texts for key, texts in category_names.items()}
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
