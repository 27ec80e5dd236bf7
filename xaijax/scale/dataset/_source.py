"""Reads rows from anything with `len(source)` and `source[i]`, which is also the random access interface of Grain.

Every row is checked as it is read: whether reading it raised an error, whether it has the shapes and dtypes of the other
rows, whether it holds NaN or masked values. A bad row is recorded, and the others of its batch are explained without it.
"""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from concurrent.futures import Executor
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np

from xaijax._core import check
from xaijax._io.archive import is_number

_SAMPLED = 16  # rows that show what rows look like, and which data this is: few enough to be read at each start
_TRIES = 3  # of reading a row whose storage failed, such as one on a network
_WAIT = 0.1  # seconds before the second try
_LONGEST = 300  # characters of a reason, as a source may put a whole file into its errors


@runtime_checkable
class Source(Protocol):
    """Rows by index: arrays, numbers, or PyTrees of them, all of the same shapes."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Any: ...


@dataclasses.dataclass(frozen=True)
class Failure:
    """A row of the source that has no explanation.

    row: its index in the source.
    id: the id that names it.
    reason: what was wrong, such as "NaN in the row" or the error that reading it raised.
    """

    row: int
    id: int
    reason: str


@dataclasses.dataclass(frozen=True)
class Template:
    """The structure of a row, and the shape and dtype of each of its arrays."""

    structure: Any
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[np.dtype, ...]

    def __str__(self) -> str:
        arrays = ", ".join(f"{dtype}{list(shape)}" for dtype, shape in zip(self.dtypes, self.shapes, strict=True))
        return arrays if len(self.shapes) == 1 else f"{self.structure} of {arrays}"


@dataclasses.dataclass(frozen=True)
class Rows:
    """A source whose rows should match a template.

    num_rows: N.
    template: of each row.
    sample: some rows by index, spread over the source; None for rows that cannot be read.
    readers: the threads that read concurrently; None to read in the calling thread.
    """

    source: Source
    num_rows: int
    template: Template
    sample: dict[int, Any]
    readers: Executor | None

    def read(self, rows: range) -> tuple[Any, dict[int, str], int]:
        """Returns the good rows [n, ...], why the others are bad by position in the range, and the number of retries."""
        calls = map(self._read_row, rows) if self.readers is None else self.readers.map(self._read_row, rows)
        good, reasons, retries = [], {}, 0
        for position, (leaves, reason, tries) in enumerate(calls):
            retries += tries
            if leaves is None:
                reasons[position] = reason
            else:
                good.append(leaves)
        if not good:
            return None, reasons, retries
        arrays = [np.stack(leaves) for leaves in zip(*good, strict=True)]
        bad = _rows_with_nan(arrays)
        if bad.any():
            positions = [position for position in range(len(rows)) if position not in reasons]
            reasons |= {positions[number]: "NaN in the row" for number in np.flatnonzero(bad)}
            arrays = [array[~bad] for array in arrays]
        return jax.tree.unflatten(self.template.structure, arrays), reasons, retries

    def _read_row(self, row: int) -> tuple[list[np.ndarray] | None, str, int]:
        value, reason, retries = read_row(self.source, row)
        if reason:
            return None, reason, retries
        return *fitted(value, self.template), retries

    def example(self, count: int) -> Any:
        """Returns `count` rows of zeros."""
        described = zip(self.template.shapes, self.template.dtypes, strict=True)
        zeros = [np.zeros((count, *shape), dtype) for shape, dtype in described]
        return jax.tree.unflatten(self.template.structure, zeros)

    def good_example(self, count: int) -> Any:
        """Returns a good row of the sample, `count` times."""
        for row in self.sample.values():
            leaves, _ = fitted(row, self.template) if row is not None else (None, "")
            if leaves is not None:
                arrays = [np.stack([leaf] * count) for leaf in leaves]
                if not _rows_with_nan(arrays).any():
                    return jax.tree.unflatten(self.template.structure, arrays)
        raise ValueError(
            f"`source` must have good rows, got none among the rows {list(self.sample)}, which were read to see what "
            "rows look like."
        )


def open_source(source: Any, readers: Executor | None) -> Rows:
    """Reads some rows, and takes the most frequent structure, shapes and dtypes among them as the template of all."""
    num_rows = length(source)
    indices = np.unique(np.linspace(0, num_rows - 1, _SAMPLED).astype(int)).tolist()
    read = {index: read_row(source, index) for index in indices}
    sample = {index: None if reason else row for index, (row, reason, _) in read.items()}
    templates = [template for row in sample.values() if row is not None and (template := template_of(row)) is not None]
    if not templates:
        index, (_, reason, _) = next(iter(read.items()))
        raise ValueError(
            f"`source` must have rows that can be read, got none among the rows {indices}; row {index}: "
            f"{reason or 'it is no array and no PyTree of arrays'}."
        )
    ((template, _),) = Counter(templates).most_common(1)
    if not template.dtypes or not all(map(is_number, template.dtypes)):
        raise TypeError(
            f"`source` must have rows that are arrays of numbers, or PyTrees of them, got rows of {shortened(template)}: decode them "
            "in source[i]."
        )
    if any(np.issubdtype(dtype, np.complexfloating) for dtype in template.dtypes):
        raise TypeError(f"`source` must have rows of real numbers, got rows of {shortened(template)}.")
    return Rows(source, num_rows, template, sample, readers)


def length(source: Any) -> int:
    """Returns the number of rows of a source."""
    if not (hasattr(source, "__len__") and hasattr(source, "__getitem__")) or isinstance(source, (str, bytes, dict)):
        raise TypeError(
            "`source` must give its rows by source[i] and their number by len(source), like an array, a list, or a random "
            f"access source of Grain, got {check.shown(source)}."
        )
    try:
        num_rows = len(source)
    except TypeError:  # arrays without axes
        raise TypeError(f"`source` must have rows, got {check.shown(source)}.") from None
    if num_rows == 0:
        raise ValueError("`source` must have at least one row, got none.")
    return num_rows


def read_row(source: Source, row: int) -> tuple[Any, str, int]:
    """Returns the row, or why it cannot be read, and how often it was tried again after an error of the storage."""
    reason = ""
    for attempt in range(_TRIES):
        try:
            return source[row], "", attempt
        except OSError as error:
            reason = f"{type(error).__name__}: {error}"
            if attempt + 1 < _TRIES:
                time.sleep(_WAIT * 4**attempt)
        except Exception as error:  # any error of a decoder is a reason to record
            return None, shortened(f"{type(error).__name__}: {error}"), attempt
    return None, shortened(reason), _TRIES - 1


def template_of(row: Any) -> Template | None:
    """Returns the template that this row matches; None for rows that are no arrays."""
    leaves, structure = jax.tree.flatten(row)
    try:
        arrays = [np.asarray(leaf) for leaf in leaves]
    except (TypeError, ValueError):
        return None
    return Template(structure, tuple(array.shape for array in arrays), tuple(array.dtype for array in arrays))


def fitted(row: Any, template: Template) -> tuple[list[np.ndarray] | None, str]:
    """Returns the arrays of a row with the dtypes of the template, or why they do not match it."""
    leaves, structure = jax.tree.flatten(row)
    if structure != template.structure:
        return None, shortened(f"wrong structure {structure}, expected {template.structure}")
    arrays = []
    for leaf, shape, dtype in zip(leaves, template.shapes, template.dtypes, strict=True):
        if np.ma.is_masked(leaf):
            return None, "masked values in the row"
        try:
            array = np.asarray(leaf)
        except (TypeError, ValueError) as error:
            return None, shortened(f"no array ({error})")
        if array.shape != shape:
            return None, f"wrong shape {list(array.shape)}, expected {list(shape)}"
        if array.dtype != dtype:
            if not is_number(array.dtype) or not np.can_cast(array.dtype, dtype, "safe"):
                return None, f"wrong dtype {array.dtype}, expected {dtype}"
            array = array.astype(dtype)
        arrays.append(array)
    return arrays, ""


def shortened(reason: Any) -> str:
    """Returns a reason in one line of limited length."""
    line = " ".join(str(reason).split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 3] + "..."


def _rows_with_nan(arrays: list[np.ndarray]) -> np.ndarray:
    bad = np.zeros(len(arrays[0]), bool)
    for array in arrays:
        if jax.numpy.issubdtype(array.dtype, np.inexact):
            bad |= np.isnan(array.reshape(len(array), -1)).any(axis=1)
    return bad
