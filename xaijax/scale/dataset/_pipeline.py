"""Reading, explaining and writing at the same time.

One thread reads batches ahead, this thread hands them to the devices, which work while it does so, one thread waits for
answers in their order, and two write. Each stage is a few batches ahead of the next and no more, so that memory is that
of a few batches, however many there are.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax.numpy as jnp
import numpy as np

from xaijax._io.atomic import is_for_the_user, not_written
from xaijax.scale.dataset._batches import Batch, ahead
from xaijax.scale.dataset._failures import Failure, Limit
from xaijax.scale.dataset._manifest import Entry, Journal
from xaijax.scale.dataset._recipe import Run
from xaijax.scale.dataset._run_summary import Meter
from xaijax.scale.dataset._store import FAILED, IDS, Layout, Store, checksum, empty, on_host, without_answers

_READ_AHEAD = 2  # batches: one ready, one being read
_IN_FLIGHT = 3  # batches: one on the devices, one waiting for them, one being written
_TRIES = 3  # of writing a chunk, where the storage may come back by itself
_WAIT = 0.2  # seconds before the second try


@dataclasses.dataclass(frozen=True)
class Stages:
    """What is done to each batch after it is read: `explain`, then `fetch`, then `write`.

    run: what explains x [B, ...], ids [B]; it may return before the answer is computed.
    """

    run: Run
    layout: Layout
    store: Store
    journal: Journal
    limit: Limit
    meter: Meter
    folder: Any

    def explain(self, batch: Batch) -> tuple[Batch, Any, float]:
        """Hands a batch to the devices."""
        handed_over = time.monotonic()
        return batch, None if batch.x is None else self.run(batch.x, batch.ids), handed_over

    def fetch(self, batch: Batch, answer: Any, handed_over: float) -> tuple[dict[str, np.ndarray], list[Failure]]:
        """The arrays of the chunk, and its failures, those of the explanation among them."""
        count = len(batch.row_ids)
        bad = np.zeros(count, bool)
        start = self.store.chunks.rows(batch.chunk).start
        bad[[one.row - start for one in batch.failures]] = True
        failures = list(batch.failures)
        if answer is None:
            values = {name: empty(kind, (count, *shape)) for name, (kind, shape) in self.layout.fields.items()}
        else:
            values = on_host(answer, self.layout, count)
            self.meter.answered(handed_over)
            unanswered = ~bad & (_rows_with_nan(values["values"]) | _rows_with_nan(values["output"]))
            for place in np.flatnonzero(unanswered).tolist():
                failures.append(Failure(start + place, int(batch.row_ids[place]), "NaN in the explanation"))
            bad |= unanswered
            values = without_answers(values, bad)
        failures.sort(key=lambda one: one.row)
        return values | {IDS: batch.row_ids.astype(np.int64), FAILED: bad}, failures

    def write(self, batch: Batch, values: dict[str, np.ndarray], failures: list[Failure]) -> None:
        """Writes the arrays, and then that they are written."""
        retries = self._written(batch.chunk, values)
        self.limit.add(failures)
        try:
            sums = {name: checksum(value) for name, value in values.items()}
            self.journal.append(Entry(batch.chunk, sums, failures))
        except OSError as error:
            raise not_written(self.folder, error) from error
        self.meter.written(len(batch.row_ids), batch.retries + retries)

    def _written(self, chunk: int, values: dict[str, np.ndarray]) -> int:
        """Writes; returns how many tries failed."""
        for attempt in range(_TRIES):
            try:
                self.store.write(chunk, values)
                return attempt
            except Exception as error:  # tensorstore raises several
                if is_for_the_user(error) or attempt + 1 == _TRIES:
                    raise not_written(self.folder, error) from error
                time.sleep(_WAIT * 4**attempt)
        raise AssertionError("not reached")


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
    """Threads that end with the block; what has not begun by then never does."""
    executor = ThreadPoolExecutor(count, thread_name_prefix=name)
    try:
        yield executor
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _rows_with_nan(array: np.ndarray) -> np.ndarray:
    if not jnp.issubdtype(array.dtype, np.inexact):
        return np.zeros(len(array), bool)
    return np.asarray(np.isnan(array.reshape(len(array), -1)).any(axis=1))
