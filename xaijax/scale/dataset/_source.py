"""Where rows come from: anything with `len(source)` and `source[i]`, which is Grain's interface of random access.

Every row is looked at as it is read: whether reading raised, whether it has the shapes and types of the others, whether
it holds NaN. The rest of a batch goes on without a bad row.
"""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from concurrent.futures import Executor
from typing import Any, Protocol

import jax
import numpy as np

from xaijax.scale.dataset._failures import shortened

_SAMPLED = 16  # rows that say what rows look like, and what data this is: few enough to be read at each start
_TRIES = 3  # of reading a row whose storage failed, such as one behind a network
_WAIT = 0.1  # seconds before the second try


class Source(Protocol):
    """Rows by their place: arrays, numbers, or PyTrees of them, each of one shape throughout."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Any: ...


@dataclasses.dataclass(frozen=True)
class Template:
    """What a row looks like: its structure, and the shape and type of each of its arrays."""

    structure: Any
    shapes: tuple[tuple[int, ...], ...]
    types: tuple[np.dtype, ...]

    def __str__(self) -> str:
        arrays = ", ".join(f"{kind}{list(shape)}" for kind, shape in zip(self.types, self.shapes, strict=True))
        return arrays if len(self.shapes) == 1 else f"{self.structure} of {arrays}"


@dataclasses.dataclass(frozen=True)
class Rows:
    """A source whose rows are known to look like a template.

    num_rows: N.
    template: of each row.
    sample: some rows, spread over the source, by their places; None for those that cannot be read.
    readers: threads that read at once; None for the one that asks.
    """

    source: Source
    num_rows: int
    template: Template
    sample: dict[int, Any]
    readers: Executor | None

    def read(self, rows: range) -> tuple[Any, dict[int, str], int]:
        """The good rows [n, ...], why the others are bad by their places in the range, and how many were read again."""
        calls = map(self._read_row, rows) if self.readers is None else self.readers.map(self._read_row, rows)
        good, reasons, retries = [], {}, 0
        for place, (leaves, reason, again) in enumerate(calls):
            retries += again
            if leaves is None:
                reasons[place] = reason
            else:
                good.append(leaves)
        if not good:
            return None, reasons, retries
        arrays = [np.stack(leaves) for leaves in zip(*good, strict=True)]
        bad = _rows_with_nan(arrays)
        if bad.any():
            places = [place for place in range(len(rows)) if place not in reasons]
            reasons |= {places[number]: "NaN in the row" for number in np.flatnonzero(bad)}
            arrays = [array[~bad] for array in arrays]
        return jax.tree.unflatten(self.template.structure, arrays), reasons, retries

    def _read_row(self, row: int) -> tuple[list[np.ndarray] | None, str, int]:
        found, reason, again = read_row(self.source, row)
        if reason:
            return None, reason, again
        return *fitted(found, self.template), again

    def example(self, count: int) -> Any:
        """`count` rows of zeros."""
        kinds = zip(self.template.shapes, self.template.types, strict=True)
        return jax.tree.unflatten(self.template.structure, [np.zeros((count, *shape), kind) for shape, kind in kinds])

    def good_example(self, count: int) -> Any:
        """A good row of the sample, `count` times."""
        for row in self.sample.values():
            leaves, _ = fitted(row, self.template) if row is not None else (None, "")
            if leaves is not None:
                arrays = [np.stack([leaf] * count) for leaf in leaves]
                if not _rows_with_nan(arrays).any():
                    return jax.tree.unflatten(self.template.structure, arrays)
        raise ValueError(
            f"none of the rows {list(self.sample)} of the source, looked at to see what rows are, is good."
        )


def open_source(source: Any, readers: Executor | None) -> Rows:
    """Looks at some rows, and takes what most of them look like for what all must be."""
    num_rows = length(source)
    places = np.unique(np.linspace(0, num_rows - 1, _SAMPLED).astype(int)).tolist()
    read = {place: read_row(source, place) for place in places}
    sample = {place: None if reason else row for place, (row, reason, _) in read.items()}
    templates = [template_of(row) for row in sample.values() if row is not None]
    if not templates:
        place, (_, reason, _) = next(iter(read.items()))
        raise ValueError(
            f"none of the rows {places} of the source, looked at to see what rows are, can be read; row {place}: {reason}."
        )
    ((template, _),) = Counter(templates).most_common(1)
    if not template.types or not all(map(_is_number, template.types)):
        raise TypeError(
            f"the rows of the source must be arrays of numbers, or PyTrees of them, but they are {template}: decode them in "
            "source[i]."
        )
    return Rows(source, num_rows, template, sample, readers)


def length(source: Any) -> int:
    """The number of rows of a source."""
    if not (hasattr(source, "__len__") and hasattr(source, "__getitem__")) or isinstance(source, (str, bytes, dict)):
        raise TypeError(
            "source must have len(source) rows and give each by its number, source[i], like an array, a list, or a random "
            f"access source of Grain, but it is {type(source).__name__}."
        )
    num_rows = len(source)
    if num_rows == 0:
        raise ValueError("source has no rows: there is nothing to explain.")
    return num_rows


def read_row(source: Source, row: int) -> tuple[Any, str, int]:
    """The row, or why it cannot be read; storage that fails is asked again. And how often that was."""
    reason = ""
    for attempt in range(_TRIES):
        try:
            return source[row], "", attempt
        except OSError as error:
            reason = f"{type(error).__name__}: {error}"
            if attempt + 1 < _TRIES:
                time.sleep(_WAIT * 4**attempt)
        except Exception as error:  # whatever a decoder raises is the reason that is recorded
            return None, shortened(f"{type(error).__name__}: {error}"), attempt
    return None, shortened(reason), _TRIES - 1


def template_of(row: Any) -> Template:
    """What this row looks like."""
    leaves, structure = jax.tree.flatten(row)
    arrays = [np.asarray(leaf) for leaf in leaves]
    return Template(structure, tuple(array.shape for array in arrays), tuple(array.dtype for array in arrays))


def fitted(row: Any, template: Template) -> tuple[list[np.ndarray] | None, str]:
    """The arrays of a row as the template has them, or why they are not."""
    leaves, structure = jax.tree.flatten(row)
    if structure != template.structure:
        return None, shortened(f"wrong structure {structure}, expected {template.structure}")
    arrays = []
    for leaf, shape, kind in zip(leaves, template.shapes, template.types, strict=True):
        array = np.asarray(leaf)
        if array.shape != shape:
            return None, f"wrong shape {list(array.shape)}, expected {list(shape)}"
        if array.dtype != kind:
            if not _is_number(array.dtype) or not np.can_cast(array.dtype, kind, "safe"):
                return None, f"wrong type {array.dtype}, expected {kind}"
            array = array.astype(kind)
        arrays.append(array)
    return arrays, ""


def _is_number(kind: np.dtype) -> bool:
    return kind.kind not in "OUSMm"  # objects, text, bytes, dates


def _rows_with_nan(arrays: list[np.ndarray]) -> np.ndarray:
    bad = np.zeros(len(arrays[0]), bool)
    for array in arrays:
        if jax.numpy.issubdtype(array.dtype, np.inexact):
            bad |= np.isnan(array.reshape(len(array), -1)).any(axis=1)
    return bad
