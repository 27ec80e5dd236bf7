"""Batches of one shape: the rows of a chunk of the store, with bad rows replaced and the last batch filled up."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

import jax
import numpy as np

from xaijax._core import check
from xaijax.scale.dataset._source import Failure, Rows

Item = TypeVar("Item")
Made = TypeVar("Made")


@dataclasses.dataclass(frozen=True)
class Chunks:
    """How the rows of a data set are divided into the chunks of its store.

    num_rows: N of the data set.
    chunk_rows: of each chunk but the last, which may be shorter.
    """

    num_rows: int
    chunk_rows: int

    def __len__(self) -> int:
        return -(-self.num_rows // self.chunk_rows)

    def rows(self, chunk: int) -> range:
        start = chunk * self.chunk_rows
        return range(start, min(start + self.chunk_rows, self.num_rows))

    def of_host(self, number: int, count: int) -> range:
        """Every count-th chunk: hosts end at about the same time, and read near one another."""
        return range(number, len(self), count)


@dataclasses.dataclass(frozen=True)
class Batch:
    """The rows of one chunk, laid out as the same number of rows B for every chunk.

    chunk: of the store.
    x: PyTree of [B, ...] rows, in which a good row replaces bad and missing rows; None if no row is good.
    ids: [B] int32, of the same rows.
    row_ids: [n] of the rows of the chunk, including the bad ones.
    failures: of the rows that are bad.
    retries: how many rows were read again.
    """

    chunk: int
    x: Any
    ids: np.ndarray
    row_ids: np.ndarray
    failures: list[Failure]
    retries: int


def make_batch(source: Rows, chunks: Chunks, chunk: int, size: int, ids: Callable[[range], np.ndarray]) -> Batch:
    """Reads the rows of a chunk and lays them out as `size` rows."""
    rows = chunks.rows(chunk)
    row_ids = ids(rows)
    read, reasons, retries = source.read(rows)
    failures = [Failure(rows[position], int(row_ids[position]), reason) for position, reason in sorted(reasons.items())]
    good = [position for position in range(len(rows)) if position not in reasons]
    if not good:
        return Batch(chunk, None, np.zeros(size, np.int32), row_ids, failures, retries)
    positions = np.arange(size)
    positions[len(rows) :] = good[0]
    positions[list(reasons)] = good[0]
    number_of = {position: number for number, position in enumerate(good)}
    chosen = [number_of[int(position)] for position in positions]
    unchanged = chosen == list(range(len(good)))  # the usual case, which needs no copy
    x = read if unchanged else jax.tree.map(lambda leaf: leaf[chosen], read)
    return Batch(chunk, x, row_ids[positions].astype(np.int32), row_ids, failures, retries)


def ahead(call: Callable[[Item], Made], items: Iterable[Item], depth: int, executor: Executor) -> Iterator[Made]:
    """Yields call(item) for each item in order, while `depth` more of them are being computed."""
    waiting: deque[Future[Made]] = deque()
    for item in items:
        waiting.append(executor.submit(call, item))
        if len(waiting) > depth:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def default_ids(rows: range) -> np.ndarray:
    """Returns the indices of rows."""
    return np.arange(rows.start, rows.stop)


def read_ids(ids: Any, num_rows: int) -> np.ndarray | None:
    """Returns integers [N] that fit int32, which random keys are derived from; None for the indices of the rows."""
    if ids is None:
        if num_rows > 2**31:
            raise ValueError(
                f"`ids` must be given for a source of more than 2**31 rows, got {num_rows} rows without ids."
            )
        return None
    if np.ma.is_masked(ids):
        raise TypeError("`ids` must be integers without missing values, got a masked array.")
    try:
        array = np.asarray(ids)
    except ValueError:  # lists of different lengths
        array = np.empty((), object)
    if array.shape != (num_rows,) or not np.issubdtype(array.dtype, np.integer):
        raise ValueError(
            f"`ids` must be integers [{num_rows}], one for each row of the source, got "
            f"{check.shown(array if array.shape else ids)}: number the rows, such as by np.unique(ids, return_inverse=True)[1]."
        )
    if array.min() < -(2**31) or array.max() >= 2**31:
        raise ValueError(
            f"`ids` must fit int32, as random keys are derived from them, got {array.min()} to {array.max()}: number the "
            "rows instead, such as by np.unique(ids, return_inverse=True)[1]."
        )
    return array.astype(np.int64)
