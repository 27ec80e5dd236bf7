"""Measures a run: its progress while it runs, and a summary at its end."""

from __future__ import annotations

import dataclasses
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from xaijax._io.archive import read_json, write_json
from xaijax.scale.dataset._manifest import FOLDER

_SUMMARY = FOLDER / "summary.json"
_INTERVAL = 60.0  # seconds between lines where there is no terminal: a day makes a readable log
_BAR = 8  # columns, so that the line fits 80


@dataclasses.dataclass(frozen=True)
class Summary:
    """The result of a run: rows, speed and memory.

    rows: N of the source, which is explained plus failed.
    explained, failed: rows, counted over all runs on this store.
    rows_reused: how many of the rows an earlier run had finished.
    seconds: of this run from the first batch read to the last one written; the maximum over hosts.
    seconds_to_start: before that, for opening the source and the store, and compiling.
    rows_per_second: of the rows of this run.
    busy_share: the share of `seconds` in which the devices had a batch to work on; the mean over hosts. Below 0.95 they
      waited for rows or for the disk, unless there were only a few batches.
    retries: rows read, and chunks written, again after an error of the storage.
    peak_memory_bytes: the most memory of the process of a host; the maximum over hosts, 0 on Windows.
    device_memory_bytes: the most memory of a device; None where devices do not report it.
    hosts, devices: how many worked, the devices of all hosts.
    """

    rows: int
    explained: int
    failed: int
    rows_reused: int
    seconds: float
    seconds_to_start: float
    rows_per_second: float
    busy_share: float
    retries: int
    peak_memory_bytes: int
    device_memory_bytes: int | None
    hosts: int
    devices: int

    def __str__(self) -> str:
        new = self.rows - self.rows_reused
        before = f"{self.rows_reused:,} reused, " if self.rows_reused else ""
        lines = [
            f"{self.rows:,} rows: {self.explained:,} explained, {self.failed:,} failed",
            f"{before}{new:,} in {self.seconds:.1f} s after {self.seconds_to_start:.1f} s to start: {self.rows_per_second:,.1f} rows/s on "
            f"{self.devices} devices of {self.hosts} hosts",
            f"devices busy {self.busy_share:.1%}, {self.retries} retries, peak memory {self.peak_memory_bytes / 2**20:,.0f} MiB",
        ]
        return "\n".join(lines)


class Meter:
    """Measures one host while it runs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._born = time.monotonic()
        self._started = self._ended = self._ready = self._born
        self.rows = self.retries = 0
        self._busy = 0.0

    def start(self) -> None:
        self._started = self._ended = self._ready = time.monotonic()

    def answered(self, handed_over: float) -> None:
        """Notes that the batch is computed that was handed over at this time; batches are answered in order."""
        now = time.monotonic()
        with self._lock:
            self._busy += now - max(handed_over, self._ready)
            self._ready = now

    def written(self, rows: int, retries: int) -> None:
        with self._lock:
            self.rows, self.retries = self.rows + rows, self.retries + retries
            self._ended = time.monotonic()

    def facts(self, devices: Sequence[Any]) -> dict[str, Any]:
        """Returns the measurements for the summary, as JSON can hold them."""
        with self._lock:
            seconds = self._ended - self._started
            return {
                "rows": self.rows,
                "retries": self.retries,
                "seconds": seconds,
                "seconds_to_start": self._started - self._born,
                "busy": self._busy / seconds if seconds > 0 else 0.0,
                "peak": _peak_memory(),
                "device_peak": _device_peak(devices),
                "devices": len(devices),
            }


def summarize_run(num_rows: int, failed: int, facts: Sequence[dict[str, Any]]) -> Summary:
    """Returns one summary of the measurements of all hosts."""
    rows = sum(host["rows"] for host in facts)
    seconds = max(host["seconds"] for host in facts)
    busy = [host["busy"] for host in facts if host["rows"]]
    peaks = [host["device_peak"] for host in facts if host["device_peak"] is not None]
    return Summary(
        rows=num_rows,
        explained=num_rows - failed,
        failed=failed,
        rows_reused=num_rows - rows,
        seconds=seconds,
        seconds_to_start=max(host["seconds_to_start"] for host in facts),
        rows_per_second=rows / seconds if seconds > 0 else 0.0,
        busy_share=sum(busy) / len(busy) if busy else 0.0,
        retries=sum(host["retries"] for host in facts),
        peak_memory_bytes=max(host["peak"] for host in facts),
        device_memory_bytes=max(peaks) if peaks else None,
        hosts=len(facts),
        devices=sum(host["devices"] for host in facts),
    )


def write_summary(folder: Path, summary: Summary) -> None:
    """Writes the summary into the store."""
    write_json(folder / _SUMMARY, dataclasses.asdict(summary))


def read_summary(folder: Path) -> Summary | None:
    """Returns the summary of the store; None where no run was completed.

    Raises:
      ValueError: if it is damaged.
    """
    return Summary(**read_json(folder / _SUMMARY)) if (folder / _SUMMARY).exists() else None


class RunProgress:
    """Shows rows done, their rate, the time left and the failures: `with RunProgress(...) as progress`.

    total: rows to do.
    shown: False to show nothing.
    interval: seconds between lines where stderr is no terminal.
    terminal: whether stderr is a terminal. Default: asked of stderr.
    write: where lines go. Default: stderr.
    """

    def __init__(
        self,
        total: int,
        *,
        shown: bool = True,
        interval: float = _INTERVAL,
        terminal: bool | None = None,
        write: Callable[[str], Any] | None = None,
    ):
        stream = sys.stderr
        is_open = stream is not None and not stream.closed
        if terminal is None:
            terminal = stream is not None and is_open and stream.isatty()
        self._total, self._interval = total, interval
        self._write = write if write is not None else (lambda line: print(line, file=sys.stderr, flush=True))
        self._lines = shown and not terminal and (is_open or write is not None)
        self._bar = _bar() if shown and terminal else None
        self._task = None
        self._started = self._last = time.monotonic()

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task("", total=self._total)
        self._started = self._last = time.monotonic()
        return self

    def __exit__(self, error_type: Any, error: Any, traceback: Any) -> None:
        if self._bar is not None:
            self._bar.stop()

    def say(self, text: Any) -> None:
        """Writes lines below, such as a summary."""
        if self._lines or self._bar is not None:
            self._write(str(text))

    def update(self, done: int, failures: int, *, total: int | None = None) -> None:
        """Shows the rows done in this run, the failures of all runs, and the rows to do, if that changed."""
        now = time.monotonic()
        self._total = self._total if total is None else total
        line = describe(done, self._total, now - self._started, failures)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, total=self._total, completed=done, description=line)
        elif self._lines and now - self._last >= self._interval:
            self._last = now
            self._write(line)


def describe(done: int, total: int, seconds: float, failures: int) -> str:
    """Returns one line: 12,800 of 100,000 rows (12.8%), 2 failures, 431 rows/s, 3 min 22 s left."""
    rate = done / seconds if seconds > 0 else 0.0
    left = duration((total - done) / rate) if rate > 0 else "unknown time"
    failed = "no failures" if failures == 0 else f"{failures:,} failure{'' if failures == 1 else 's'}"
    speed = f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"
    return f"{done:,} of {total:,} rows ({done / max(1, total):.1%}), {failed}, {speed} rows/s, {left} left"


def duration(seconds: float) -> str:
    """Returns a time in its two largest units."""
    whole = round(seconds)
    for size, name, smaller, rest in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            return f"{whole // size} {name} {whole % size // smaller} {rest}"
    return f"{whole} s"


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.table import Column

    return Progress(
        BarColumn(bar_width=_BAR),
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
        console=Console(stderr=True, highlight=False),
        transient=True,
        redirect_stdout=sys.stdout is not None and sys.stdout.isatty(),
    )


def _peak_memory() -> int:
    """The most bytes that this process has held so far."""
    try:
        import resource
    except ImportError:  # on Windows
        return 0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _device_peak(devices: Sequence[Any]) -> int | None:
    peaks = [
        memory["peak_bytes_in_use"]
        for device in devices
        if (memory := device.memory_stats()) and "peak_bytes_in_use" in memory
    ]
    return max(peaks) if peaks else None
