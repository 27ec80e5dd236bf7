"""Reads data frames of pandas and polars as arrays with the names and levels of their columns.

Neither package is imported: a data frame is recognized by the module of its type.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import jax
import numpy as np

_SHOWN = 5  # columns or levels listed in an error


@dataclasses.dataclass(frozen=True)
class Columns:
    """The columns of a table.

    names: [D] their names.
    levels: [D] the names of a column's categories, by which their codes 0, 1, ... count; None for numeric columns.
    integers: [D] whether a column holds integers, booleans or codes; empty where this is not known.
    """

    names: tuple[str, ...]
    levels: tuple[tuple[str, ...] | None, ...]
    integers: tuple[bool, ...] = ()

    @property
    def categorical(self) -> tuple[bool, ...]:
        """[D] which columns hold codes of categories."""
        return tuple(levels is not None for levels in self.levels)


def is_frame(value: Any) -> bool:
    """Returns whether the value is a data frame of pandas or polars."""
    return _is_from(value, "DataFrame")


def read_frame(
    name: str, value: Any, columns: Columns | None = None, source: str = "the rows", *, missing: bool = False
) -> tuple[Any, Columns | None]:
    """Returns a data frame as an array [N, D] with its columns; other values come back unchanged, with None.

    Integer, float, boolean and nullable columns keep their numbers. Columns of strings become integer codes of their
    sorted levels. Columns of categories become codes in the order of their categories, so that pandas columns get
    their `.cat.codes`. One series is read as one row [D], whose index holds the names.

    Args:
      name: the argument's name, for errors.
      value: a data frame or a series of pandas, a data frame of polars, or anything else.
      columns: the columns of an earlier table. Their levels define the codes, and columns in another order are
        reordered by name.
      source: the earlier table as the user knows it, in the plural, for errors.
      missing: whether missing values become NaN, for models that accept them.

    Raises:
      TypeError: if a column holds something else than numbers, booleans, strings or categories.
      ValueError: if a value is missing, names repeat, a column or a level differs from those of the earlier table, or
        integers do not fit into JAX's integers.
    """
    if _is_from(value, "LazyFrame"):
        raise TypeError(f"`{name}` must be a DataFrame, got a polars LazyFrame: pass {name}.collect().")
    if _is_from(value, "Series"):
        return _read_series(name, value, columns, missing=missing)
    if not is_frame(value):
        return value, None
    names = tuple(map(_as_name, value.columns))
    repeated = sorted({column for column in names if names.count(column) > 1})
    if repeated:
        raise ValueError(f"`{name}` must have columns of different names, got {_listed(repeated)} more than once.")
    series = dict(zip(names, _series_of(value), strict=True))
    if columns is not None:
        _check_names(name, names, columns.names)
        names = columns.names  # in their order
    absent = {column: _is_missing(series[column]) for column in names}
    if missing:
        series = {column: _present(series[column], absent[column]) for column in names}
    else:
        _check_missing(name, {column: int(mask.sum()) for column, mask in absent.items()})
    known = (None,) * len(names) if columns is None else columns.levels
    read = [
        _read_column(name, column, series[column]) if len(series[column]) else (np.zeros(0), earlier)
        for column, earlier in zip(names, known, strict=True)
    ]
    levels = tuple(own if earlier is None else earlier for (_, own), earlier in zip(read, known, strict=True))
    if columns is not None:
        for column, (_, own), earlier in zip(names, read, known, strict=True):
            _check_levels(name, column, own, earlier, source)
    coded = [
        _coded(name, column, values, own, source) for column, (values, _), own in zip(names, read, levels, strict=True)
    ]
    if missing:
        coded = [_with_missing(values, absent[column]) for column, values in zip(names, coded, strict=True)]
    integers = tuple(values.dtype.kind in "biu" for values in coded)
    return _joined(name, names, coded), Columns(names, levels, integers)


def read_pair(names: tuple[str, str], x: Any, rows: Any) -> tuple[Any, Any, tuple[str, ...] | None]:
    """Reads inputs and the rows that they are compared with, and returns both with the names of the features, or None.

    A data frame x is read by the columns of the data frame of the rows: in their order, with their codes.

    Args:
      names: the arguments' names, for errors.
      x: inputs, a data frame or anything else.
      rows: such as training rows, a data frame or anything else.
    """
    rows, columns = read_frame(names[1], rows)
    x, own = read_frame(names[0], x, columns, f"the rows of `{names[1]}`")
    if columns is None:
        refuse_categories(names[0], own, f"pass `{names[1]}` as a data frame, whose levels define the codes")
    known = columns or own
    return x, rows, None if known is None else known.names


def refuse_categories(name: str, columns: Columns | None, reason: str) -> None:
    """Raises an error if a table has columns of categories, for methods that only take numbers."""
    if columns is not None and any(columns.categorical):
        categorical = [column for column, levels in zip(columns.names, columns.levels, strict=True) if levels]
        raise TypeError(
            f"`{name}` must have numeric columns, got strings or categories in {_listed(categorical)}: {reason}."
        )


def check_order(name: str, columns: Columns | None, expected: Columns | None) -> None:
    """Raises an error if a table has other columns than those that the model was fitted to, or in another order."""
    if columns is None or expected is None:
        return
    _check_names(name, columns.names, expected.names)
    fix = "select them in this order, such as df[columns], for the inputs and for the background"
    if columns.names != expected.names:
        raise ValueError(
            f"`{name}` must have its columns in the model's order, {_listed(expected.names)}, got {_listed(columns.names)}: "
            f"{fix}."
        )
    for column, own, levels in zip(columns.names, columns.levels, expected.levels, strict=True):
        if own is not None and own != levels:
            known = "numbers" if levels is None else f"the levels {_listed(levels)}"
            raise ValueError(
                f"`{name}` must have in column {column!r} what the model was fitted to, {known}, got the levels "
                f"{_listed(own)}: make it a column of exactly these categories."
            )


def _is_from(value: Any, type_name: str) -> bool:
    return any(
        base.__name__ == type_name and base.__module__.partition(".")[0] in ("pandas", "polars")
        for base in type(value).__mro__
    )


def _as_name(column: Any) -> str:
    return "/".join(map(str, column)) if isinstance(column, tuple) else str(column)


def _series_of(frame: Any) -> list[Any]:
    return [frame[:, i] if _is_polars(frame) else frame.iloc[:, i] for i in range(frame.shape[1])]


def _is_polars(value: Any) -> bool:
    return any(base.__module__.partition(".")[0] == "polars" for base in type(value).__mro__)


def _read_series(name: str, series: Any, columns: Columns | None, *, missing: bool) -> tuple[Any, Columns | None]:
    """A row of a pandas data frame, or statistics of its columns."""
    values = np.asarray(series.to_numpy())
    if _is_polars(series) or not hasattr(series, "index"):
        return values, None
    if values.dtype == object and all(isinstance(value, (bool, int, float, np.number, np.bool_)) for value in values):
        values = np.array(values.tolist())
    if values.dtype.kind not in "biuf":
        raise TypeError(
            f"`{name}` must be a series of numbers, got {values.dtype}: pass a data frame of one row, such as df.iloc[[0]]."
        )
    names = tuple(map(_as_name, series.index))
    if not missing:
        absent = np.isnan(values.astype(float))
        _check_missing(name, {column: int(bad) for column, bad in zip(names, absent, strict=True)})
    if columns is not None:
        _check_names(name, names, columns.names)
        values = values[[names.index(column) for column in columns.names]]
        names = columns.names
    return values, Columns(names, (None,) * len(names))


def _check_names(name: str, names: tuple[str, ...], expected: tuple[str, ...]) -> None:
    missing = [column for column in expected if column not in names]
    extra = [column for column in names if column not in expected]
    if missing or extra:
        parts = [f"lacks {_listed(missing)}"] * bool(missing) + [f"has {_listed(extra)} in addition"] * bool(extra)
        raise ValueError(
            f"`{name}` must have the columns {_listed(expected)}, but it {' and '.join(parts)}: select them with "
            f"{name}[columns]."
        )


def _check_missing(name: str, counts: dict[str, int]) -> None:
    incomplete = {column: count for column, count in counts.items() if count}
    if incomplete:
        shown = ", ".join(f"{count} in {column!r}" for column, count in list(incomplete.items())[:_SHOWN])
        more = f" and {len(incomplete) - _SHOWN} more columns" if len(incomplete) > _SHOWN else ""
        raise ValueError(
            f"`{name}` must have no missing values, got {shown}{more}: fill them or drop these rows, as the model cannot "
            "be evaluated there."
        )


def _is_missing(series: Any) -> np.ndarray:
    """[N] which values of a column are missing."""
    if not _is_polars(series):
        return np.asarray(series.isna(), bool)
    mask = series.is_null()
    return np.asarray(mask | series.is_nan().fill_null(False) if series.dtype.is_float() else mask, bool)


def _present(series: Any, absent: np.ndarray) -> Any:
    """Returns the values of a column that are not missing, by numbers again where they were objects because of these."""
    if not absent.any():
        return series
    return series.filter(~absent) if _is_polars(series) else series[~absent]


def _with_missing(values: np.ndarray, absent: np.ndarray) -> np.ndarray:
    """Returns a column with NaN for its missing values."""
    if not absent.any():
        return values
    column = np.full(len(absent), np.nan)
    column[~absent] = values
    return column


def _read_column(name: str, column: str, series: Any) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """Returns numbers and None, or an array of strings and their levels."""
    dtype = series.dtype
    declared = _declared_categories(series)
    if declared is not None:
        return np.array([str(value) for value in series.to_list()], dtype=object), declared
    values = np.asarray(series.to_numpy())
    if values.dtype == object:
        values = _from_objects(values)
    if values.ndim == 1 and values.dtype.kind in "biuf":
        return values, None
    if values.dtype.kind in "UT" or (values.dtype == object and all(isinstance(value, str) for value in values)):
        values = np.array([str(value) for value in values], dtype=object)
        return values, tuple(sorted(set(values.tolist())))
    fix = (
        "turn times into numbers, such as days since the first one"
        if values.dtype.kind in "mM"
        else "convert or drop it, or pass an array of numbers"
    )
    raise TypeError(
        f"`{name}` must have columns of numbers, booleans, strings or categories, got {column!r} of {dtype}: {fix}."
    )


def _declared_categories(series: Any) -> tuple[str, ...] | None:
    """The categories that a column's type lists in order; None for other columns."""
    type_name = type(series.dtype).__name__
    if _is_polars(series):
        if type_name == "Categorical":
            return tuple(sorted(set(map(str, series.to_list()))))  # polars numbers them by appearance
        return tuple(series.dtype.categories.to_list()) if type_name == "Enum" else None
    return tuple(map(str, series.dtype.categories)) if type_name == "CategoricalDtype" else None


def _from_objects(values: np.ndarray) -> np.ndarray:
    """Numbers and booleans that are stored as Python objects, as arrays of numbers."""
    types = set(map(type, values.tolist()))
    if types and all(issubclass(of, (bool, int, float, np.bool_, np.number)) for of in types):
        numbers = np.array(values.tolist())
        return values if numbers.dtype.kind not in "biuf" else numbers
    return values


def _check_levels(
    name: str, column: str, own: tuple[str, ...] | None, expected: tuple[str, ...] | None, source: str
) -> None:
    if (own is None) != (expected is None):
        forms = ("numbers", "strings or categories")
        raise TypeError(
            f"`{name}` must have {forms[expected is not None]} in column {column!r}, as in {source}, got "
            f"{forms[own is not None]}."
        )


def _coded(name: str, column: str, values: np.ndarray, levels: tuple[str, ...] | None, source: str) -> np.ndarray:
    """Numbers as they are; strings as their positions among the levels."""
    if levels is None:
        return values
    codes = {level: code for code, level in enumerate(levels)}
    unknown = sorted(set(values.tolist()) - codes.keys())
    if unknown:
        raise ValueError(
            f"`{name}` must have known levels in column {column!r}, got {_listed(unknown)}, while {source} have "
            f"{_listed(levels)}: pass rows that have them there, or a column of categories that lists them."
        )
    return np.array([codes[value] for value in values.tolist()], np.int32)


def _joined(name: str, names: tuple[str, ...], columns: list[np.ndarray]) -> np.ndarray:
    """[N, D] in the smallest dtype that holds all columns."""
    dtype = np.result_type(*columns) if columns else np.dtype(float)
    from_zero = all(values.min(initial=0) >= 0 for values in columns)
    for column, values in zip(names, columns, strict=True):
        if values.dtype.kind in "iu" and values.size:
            _check_integers(name, column, values, dtype, from_zero=from_zero)
    return np.stack(columns, axis=1).astype(dtype) if columns else np.zeros((0, 0))


def _check_integers(name: str, column: str, values: np.ndarray, dtype: np.dtype, *, from_zero: bool) -> None:
    """Raises an error where integers would change in JAX's 32 bits. from_zero: whether no column has negative numbers."""
    if jax.config.jax_enable_x64:  # pyright: ignore[reportAttributeAccessIssue]
        return
    fix = "subtract an offset, or set jax.config.update('jax_enable_x64', True)"
    if dtype.kind in "iu":
        limits = np.iinfo(np.uint32 if dtype.kind == "u" else np.int32)
        if values.min() < limits.min or values.max() > limits.max:
            if from_zero and values.max() <= np.iinfo(np.uint32).max:
                fix = "convert all columns to uint32, which holds them"
            raise ValueError(
                f"`{name}` must have integers of at most 32 bits, got {values.min()} to {values.max()} in {column!r}: {fix}."
            )
    elif max(abs(int(values.min())), abs(int(values.max()))) > 2**24:
        distinct = np.unique(values)
        if len(np.unique(distinct.astype(np.float32))) < len(distinct):
            raise ValueError(
                f"`{name}` must have integers that differ as float32, as there are float columns, but different values of "
                f"{column!r} become equal: {fix}."
            )


def _listed(values: Iterable[str]) -> str:
    values = list(values)
    more = [f"... ({len(values)} in all)"] * (len(values) > _SHOWN)
    return ", ".join([*map(repr, values[:_SHOWN]), *more])
