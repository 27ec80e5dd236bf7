"""Reads, explains and writes batches concurrently.

One thread reads batches ahead. The calling thread hands them to the devices, which work meanwhile. One thread waits for
the answers in order, and two threads write them. Each stage is a few batches ahead of the next, so that the memory is that
of a few batches, however many there are.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from xaijax._io import atomic
from xaijax.scale.dataset._batches import Batch, ahead
from xaijax.scale.dataset._manifest import Entry, Journal
from xaijax.scale.dataset._recipe import Run
from xaijax.scale.dataset._run import Meter
from xaijax.scale.dataset._source import Failure
from xaijax.scale.dataset._store import FAILED, IDS, Layout, Store, checksum, empty, on_host, without_answers

_READ_AHEAD = 2  # batches: one ready, one being read
_IN_FLIGHT = 3  # batches: one on the devices, one waiting for them, one being written
_TRIES = 3  # of writing a chunk, as storage may recover by itself
_WAIT = 0.2  # seconds before the second try


class Limit:
    """Counts failed rows, those of earlier runs included, and stops the run above a limit."""

    def __init__(self, most: int | None, already: list[Failure]):
        self.most = most
        self._lock = threading.Lock()
        self._count, self._last = 0, None
        self.add(already)

    @property
    def count(self) -> int:
        return self._count

    def add(self, failures: list[Failure]) -> None:
        if not failures:
            return
        with self._lock:
            self._count += len(failures)
            self._last = failures[-1]

    def check(self, elsewhere: int = 0) -> None:
        """Raises if there are too many, those of other hosts included."""
        total = self._count + elsewhere
        if self.most is not None and total > self.most:
            last = "" if self._last is None else f" The last: row {self._last.row}, {self._last.reason}."
            raise RuntimeError(
                f"{total} rows could not be explained, but max_failures is {self.most}.{last} All that is finished is "
                "kept, with every failure recorded: repair the source, or raise max_failures, and start the same command "
                "again."
            )


@dataclasses.dataclass(frozen=True)
class Stages:
    """The stages that each batch passes after it is read: `explain`, then `fetch`, then `write`.

    run: explains x [B, ...], ids [B]; it may return before the answer is computed.
    """

    run: Run
    layout: Layout
    store: Store
    journal: Journal
    limit: Limit
    meter: Meter
    folder: Path

    def explain(self, batch: Batch) -> tuple[Batch, Any, float]:
        """Hands a batch to the devices."""
        handed_over = time.monotonic()
        return batch, None if batch.x is None else self.run(batch.x, batch.ids), handed_over

    def fetch(self, batch: Batch, answer: Any, handed_over: float) -> tuple[dict[str, np.ndarray], list[Failure]]:
        """Returns the arrays of the chunk, and its failures, those of explaining included."""
        count = len(batch.row_ids)
        bad = np.zeros(count, bool)
        start = self.store.chunks.rows(batch.chunk).start
        bad[[failure.row - start for failure in batch.failures]] = True
        failures = list(batch.failures)
        if answer is None:
            values = {name: empty(dtype, (count, *shape)) for name, (dtype, shape) in self.layout.fields.items()}
        else:
            values = on_host(answer, self.layout, count)
            self.meter.answered(handed_over)
            nan = np.stack([_rows_with_nan(values[name]) for name in self.layout.never_nan])
            unanswered = ~bad & nan.any(axis=0)
            for position in np.flatnonzero(unanswered).tolist():
                failures.append(Failure(start + position, int(batch.row_ids[position]), "NaN in the explanation"))
            bad |= unanswered
            values = without_answers(values, bad)
        failures.sort(key=lambda failure: failure.row)
        return values | {IDS: batch.row_ids.astype(np.int64), FAILED: bad}, failures

    def write(self, batch: Batch, values: dict[str, np.ndarray], failures: list[Failure]) -> None:
        """Writes the arrays, and then the entry of the chunk."""
        retries = self._write_arrays(batch.chunk, values)
        self.limit.add(failures)
        try:
            sums = {name: checksum(value) for name, value in values.items()}
            self.journal.append(Entry(batch.chunk, sums, failures))
        except OSError as error:
            raise store_not_written(self.folder, error) from error
        self.meter.written(len(batch.row_ids), batch.retries + retries)

    def _write_arrays(self, chunk: int, values: dict[str, np.ndarray]) -> int:
        """Writes; returns how many tries failed."""
        for attempt in range(_TRIES):
            try:
                self.store.write(chunk, values)
                return attempt
            except Exception as error:  # tensorstore raises several
                if atomic.is_for_the_user(error) or attempt + 1 == _TRIES:
                    raise store_not_written(self.folder, error) from error
                time.sleep(_WAIT * 4**attempt)
        raise AssertionError("not reached")


class StoreNotWritten(OSError):
    """A store cannot be written, for a reason that the message says."""


def store_not_written(folder: Path, error: BaseException) -> StoreNotWritten:
    """Returns the error of a store that cannot be written, as a sentence."""
    return StoreNotWritten(
        atomic.error_number(error) or errno.EIO,
        f"the store {folder} cannot be written, as {atomic.reason(error)}; then start the same command again: what is finished "
        "is kept",
    )


def stream(todo: Iterable[int], read: Callable[[int], Batch], stages: Stages, after_each: Callable[[], None]) -> None:
    """Explains the chunks; `after_each` is called between batches, and may raise to stop."""
    with _threads("read", 1) as reading, _threads("fetch", 1) as fetching, _threads("write", 2) as writing:

        def finish(batch: Batch, answer: Any, handed_over: float) -> Future[None]:
            values, failures = stages.fetch(batch, answer, handed_over)
            return writing.submit(stages.write, batch, values, failures)

        in_flight: deque[Future[Future[None]]] = deque()
        for batch in ahead(read, todo, _READ_AHEAD, reading):
            in_flight.append(fetching.submit(finish, *stages.explain(batch)))
            while len(in_flight) > _IN_FLIGHT:
                in_flight.popleft().result().result()
            after_each()
        while in_flight:
            in_flight.popleft().result().result()
            after_each()


@contextlib.contextmanager
def _threads(name: str, count: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that end with the block; calls that have not begun by then are dropped."""
    executor = ThreadPoolExecutor(count, thread_name_prefix=name)
    try:
        yield executor
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _rows_with_nan(array: np.ndarray) -> np.ndarray:
    if not jnp.issubdtype(array.dtype, np.inexact):
        return np.zeros(len(array), bool)
    return np.asarray(np.isnan(array.reshape(len(array), -1)).any(axis=1))
