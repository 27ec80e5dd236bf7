"""Batches of one shape: the rows of a chunk of the store, the bad ones replaced, the last one filled up."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

import jax
import numpy as np

from xaijax.scale.dataset._failures import Failure
from xaijax.scale.dataset._source import Rows

Item = TypeVar("Item")
Made = TypeVar("Made")


@dataclasses.dataclass(frozen=True)
class Chunks:
    """How the rows of a data set lie in the chunks of its store.

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
    """What is explained at once, with as many rows B for every chunk.

    chunk: of the store.
    x: PyTree of [B, ...] rows, in which bad and missing rows are repetitions of a good one; None where none is good.
    ids: [B] int32, of the same rows.
    row_ids: [n] of the rows of the chunk, the bad ones included.
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
    failures = [Failure(rows[place], int(row_ids[place]), reason) for place, reason in sorted(reasons.items())]
    places = np.arange(size)
    good = [place for place in range(len(rows)) if place not in reasons]
    if not good:
        return Batch(chunk, None, np.zeros(size, np.int32), row_ids, failures, retries)
    places[len(rows) :] = good[0]
    places[list(reasons)] = good[0]
    where = {place: number for number, place in enumerate(good)}
    chosen = [where[int(place)] for place in places]
    untouched = chosen == list(range(len(good)))  # the usual case, which need not be copied
    x = read if untouched else jax.tree.map(lambda leaf: leaf[chosen], read)
    return Batch(chunk, x, row_ids[places].astype(np.int32), row_ids, failures, retries)


def ahead(call: Callable[[Item], Made], items: Iterable[Item], depth: int, executor: Executor) -> Iterator[Made]:
    """call(item) for each item in order, `depth` of them being made while one is used."""
    waiting: deque[Future[Made]] = deque()
    for item in items:
        waiting.append(executor.submit(call, item))
        if len(waiting) > depth:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def default_ids(rows: range) -> np.ndarray:
    """The positions of rows."""
    return np.arange(rows.start, rows.stop)


def read_ids(ids: Any, num_rows: int) -> np.ndarray | None:
    """Integers [N] that fit the random generator."""
    if ids is None:
        if num_rows > 2**31:
            raise ValueError(f"source has {num_rows} rows, but their positions can name no more than 2**31: pass ids=.")
        return None
    found = np.asarray(ids)
    if found.shape != (num_rows,) or not np.issubdtype(found.dtype, np.integer):
        raise ValueError(
            f"ids must be integers [{num_rows}], one for each row of the source, but it is {found.dtype}{list(found.shape)}."
        )
    if found.min() < -(2**31) or found.max() >= 2**31:
        raise ValueError(
            f"ids must fit 32 bits, as random keys are made of them, but they go from {found.min()} to {found.max()}: number "
            "the rows otherwise."
        )
    return found.astype(np.int64)
