"""Reads a store back."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.typing import Selection
from xaijax._io import files
from xaijax.metrics.comparison._comparison import Comparison, comparison_of
from xaijax.metrics.comparison._example_scores import ExampleScores
from xaijax.scale.dataset._batches import Chunks
from xaijax.scale.dataset._manifest import Entry, has_manifest, read_description, read_entries
from xaijax.scale.dataset._run import Summary, read_summary
from xaijax.scale.dataset._source import Failure
from xaijax.scale.dataset._store import IDS, Layout, open_store

_ROWS_READ = 2**16  # whose agreements are read at once


def load_ids(out: str | Path, *, rows: Selection = None) -> np.ndarray:
    """Reads the ids of the rows of a store.

    Args:
      out: the folder of the store.
      rows: the rows to read: a number, a slice, numbers or N booleans. Default: all.

    Returns:
      Integers [N].

    Raises:
      FileNotFoundError, ValueError: if there is no such store, it is damaged, or the rows are not explained yet.
      IndexError, TypeError: if `rows` does not fit.
    """
    return _open(out).read([IDS], rows)[IDS]


def failures(out: str | Path) -> list[Failure]:
    """Reads which rows could not be explained, and why.

    Args:
      out: the folder of the store, which need not be finished.

    Returns:
      The failures in the order of the rows, each with row, id and reason.

    Raises:
      FileNotFoundError, ValueError: if there is no such store, or it is damaged.
    """
    entries = _open(out).entries()
    return [failure for chunk in sorted(entries) for failure in entries[chunk].failures]


def load_summary(out: str | Path) -> Summary:
    """Reads the measurements of the last complete run.

    Args:
      out: the folder of the store.

    Returns:
      Rows, rows per second, how busy the devices were, and more.

    Raises:
      FileNotFoundError, ValueError: if there is no such store, it is damaged, or no run was completed.
    """
    summary = read_summary(_open(out).folder)
    if summary is None:
        raise ValueError(f"{out} has no summary yet, as no run was completed: start its command again.")
    return summary


def read_store(path: Path, folder: Path, *, rows: Selection = None) -> Attribution | Comparison:
    """Reads the explanations of a store, or the comparison whose scores it holds, for `xai.load`."""
    opened = _open(folder)
    if opened.layout.of_scores:
        return read_comparison(folder, rows=rows)
    arrays = opened.read(opened.layout.arrays, rows)  # the ids and flags too, so that any damage is noticed
    arrays = {name: arrays[name] for name in opened.layout.fields}
    if np.ndim(arrays["output"]) == len(opened.layout.fields["output"][1]):  # one row, without N
        arrays = {name: array[None] for name, array in arrays.items()}
        return opened.layout.joined(files.jax_arrays(path, arrays))[0]
    return opened.layout.joined(files.jax_arrays(path, arrays))


def read_comparison(folder: Path, *, rows: Selection = None, level: float = 0.95) -> Comparison:
    """Reads the comparison whose scores a store holds, a block of rows after the other."""
    opened = _open(folder)
    wanted = np.atleast_1d(_wanted(rows, opened.chunks.num_rows))

    def blocks() -> Iterator[ExampleScores]:
        for start in range(0, len(wanted), _ROWS_READ):
            yield opened.layout.joined(opened.read(opened.layout.arrays, wanted[start : start + _ROWS_READ]))

    return comparison_of(blocks(), level)


@dataclasses.dataclass(frozen=True)
class _Opened:
    folder: Path
    layout: Layout
    chunks: Chunks

    def entries(self) -> dict[int, Entry]:
        """The finished chunks."""
        entries = read_entries(self.folder)
        if has_manifest(self.folder) and len(entries) < len(self.chunks):  # a manifest names all chunks
            raise ValueError(
                f"{self.folder} is damaged: its manifest says nothing of {len(self.chunks) - len(entries)} of {len(self.chunks)} "
                "chunks. Start its command again, which explains their rows again."
            )
        return entries

    def read(self, names: Any, rows: Any) -> dict[str, np.ndarray]:
        """Reads rows of some arrays, all of them finished."""
        wanted = _wanted(rows, self.chunks.num_rows)
        finished = self.entries()
        missing = sorted({int(chunk) for chunk in np.unique(wanted // self.chunks.chunk_rows)} - finished.keys())
        if missing:
            among = self.chunks.rows(missing[0])
            raise ValueError(
                f"{self.folder} is not finished: rows {among.start} to {among.stop - 1} are not yet explained ({len(finished)} of "
                f"{len(self.chunks)} chunks are); start its command again, or choose other rows."
            )
        return open_store(self.folder, self.layout, self.chunks).read(names, wanted, finished)


def _open(out: str | Path) -> _Opened:
    folder = files.existing(out, "out")
    description = read_description(folder) if folder.is_dir() else None
    if description is None:
        raise ValueError(f"`out` must be a folder that explain_dataset wrote, got {folder}, which holds no store.")
    chunks = Chunks(description["num_rows"], description["chunk_rows"])
    return _Opened(folder, Layout.from_json(description["layout"]), chunks)


def _wanted(rows: Any, num_rows: int) -> np.ndarray:
    if rows is None:
        rows = slice(None)
    try:
        if isinstance(rows, slice):
            return np.arange(num_rows)[rows]
        chosen = np.asarray(rows)
    except (TypeError, ValueError):
        chosen = np.asarray(None)
    if not np.ma.is_masked(rows):
        if chosen.dtype == bool and chosen.shape == (num_rows,):
            return np.flatnonzero(chosen)
        if chosen.ndim <= 1 and (np.issubdtype(chosen.dtype, np.integer) or chosen.size == 0):
            missing = chosen[(chosen < -num_rows) | (chosen >= num_rows)].reshape(-1)
            if missing.size:
                raise IndexError(f"`rows` must lie within the {num_rows} rows of the store, got {missing[0]}.")
            return chosen.astype(np.int64) % num_rows
    raise TypeError(
        f"`rows` must be a number, a slice, numbers or {num_rows} booleans without missing values, got {check.shown(rows)}."
    )
