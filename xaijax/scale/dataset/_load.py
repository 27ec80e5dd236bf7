"""Reading a store back."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from xaijax._core.attribution import Attribution
from xaijax.scale.dataset._batches import Chunks
from xaijax.scale.dataset._failures import Failure
from xaijax.scale.dataset._manifest import read_description, read_entries
from xaijax.scale.dataset._run_summary import Summary, read_summary
from xaijax.scale.dataset._store import IDS, Layout, open_store


@dataclasses.dataclass(frozen=True)
class _Opened:
    folder: Path
    layout: Layout
    chunks: Chunks

    def read(self, names: Any, rows: Any) -> dict[str, np.ndarray]:
        """Some rows of some arrays, all of them finished."""
        wanted = _wanted(rows, self.chunks.num_rows)
        finished = read_entries(self.folder)
        missing = sorted({int(chunk) for chunk in np.unique(wanted // self.chunks.chunk_rows)} - finished.keys())
        if missing:
            among = self.chunks.rows(missing[0])
            raise ValueError(
                f"{self.folder} is not finished: rows {among.start} to {among.stop - 1} are not yet explained ({len(finished)} of "
                f"{len(self.chunks)} chunks are); start its command again, or choose other rows."
            )
        store = open_store(self.folder, self.layout, self.chunks)
        one_after_another = wanted.ndim == 1 and wanted.size > 0 and bool((np.diff(wanted) == 1).all())
        chosen: Any = slice(int(wanted[0]), int(wanted[-1]) + 1) if one_after_another else wanted
        reading = {name: store.arrays[name][chosen].read() for name in names}
        return {name: np.asarray(one.result()) for name, one in reading.items()}


def load(out: str | Path, rows: Any = None) -> Attribution:
    """Reads the explanations of a data set that `explain_dataset` wrote.

    Args:
      out: the folder of the store.
      rows: which rows: a number, a slice, numbers or N booleans. Default: all, which must fit the memory.

    Returns:
      An attribution of the type that the explainer returned, in the order of the source. Rows that failed are NaN, and -1
      or False where there is no NaN; `xai.scale.failures(out)` says why.

    Raises:
      ValueError: if there is no such store, or rows are asked for that are not yet explained.
      IndexError, TypeError: if rows are none of the store's.
    """
    opened = _open(out)
    return opened.layout.attribution(
        {name: jnp.asarray(array) for name, array in opened.read(opened.layout.fields, rows).items()}
    )


def load_ids(out: str | Path, rows: Any = None) -> np.ndarray:
    """Reads the ids of the rows of a store.

    Args:
      out: the folder of the store.
      rows: as for `load`.

    Returns:
      Integers [N].

    Raises:
      ValueError, IndexError, TypeError: as for `load`.
    """
    return _open(out).read([IDS], rows)[IDS]


def failures(out: str | Path) -> list[Failure]:
    """Reads which rows could not be explained, and why.

    Args:
      out: the folder of the store; it need not be finished.

    Returns:
      The failures in the order of the rows, each with row, id and reason.

    Raises:
      ValueError: if there is no such store.
    """
    entries = read_entries(_open(out).folder)
    return [one for chunk in sorted(entries) for one in entries[chunk].failures]


def load_summary(out: str | Path) -> Summary:
    """Reads what the last run that came to its end measured.

    Args:
      out: the folder of the store.

    Returns:
      Rows, rows per second, how busy the devices were, and more.

    Raises:
      ValueError: if there is no such store, or no run came to its end.
    """
    found = read_summary(_open(out).folder)
    if found is None:
        raise ValueError(f"{out} has no summary yet, as no run came to its end: start its command again.")
    return found


def _open(out: str | Path) -> _Opened:
    folder = Path(out)
    description = read_description(folder) if folder.is_dir() else None
    if description is None:
        raise ValueError(f"{folder} holds no store of explanations: it must be a folder that explain_dataset wrote.")
    chunks = Chunks(description["num_rows"], description["chunk_rows"])
    return _Opened(folder, Layout.from_json(description["layout"]), chunks)


def _wanted(rows: Any, num_rows: int) -> np.ndarray:
    if rows is None:
        rows = slice(None)
    if isinstance(rows, slice):
        return np.arange(num_rows)[rows]
    chosen = np.asarray(rows)
    if chosen.dtype == bool and chosen.shape == (num_rows,):
        return np.flatnonzero(chosen)
    if not np.issubdtype(chosen.dtype, np.integer) or chosen.ndim > 1:
        raise TypeError(
            f"rows takes a number, a slice, numbers or {num_rows} booleans, but got {chosen.dtype}{list(chosen.shape)}."
        )
    missing = chosen[(chosen < -num_rows) | (chosen >= num_rows)].reshape(-1)
    if missing.size:
        raise IndexError(f"the store has {num_rows} rows, but number {missing[0]} was asked for.")
    return chosen % num_rows
