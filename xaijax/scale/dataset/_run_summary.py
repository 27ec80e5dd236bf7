"""What a run came to: rows, their rate, how busy the devices were, memory."""

from __future__ import annotations

import dataclasses
import json
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xaijax._io.atomic import write_whole
from xaijax.scale.dataset._manifest import FOLDER

_FILE = "summary.json"


@dataclasses.dataclass(frozen=True)
class Summary:
    """What a run came to.

    rows: N of the source, as many as explained and failed together.
    explained, failed: of these, by all runs on this store.
    rows_found: how many of the rows an earlier run had finished.
    seconds: of this run from the first batch read to the last one written; the hosts' longest.
    seconds_to_start: before that, for looking at the source and the store, and compiling.
    rows_per_second: of the rows of this run.
    busy_share: of `seconds`, how much the devices had a batch to work on; the hosts' mean. Below 0.95 they waited for rows
      or for the disk, unless there were only a few batches.
    retries: rows read, and chunks written, again after an error of the storage.
    peak_memory_bytes: the most that the process of a host held, the hosts' largest; 0 on Windows.
    device_memory_bytes: the most that a device held, where it can say; None where not.
    hosts, devices: how many worked, the devices of all hosts.
    """

    rows: int
    explained: int
    failed: int
    rows_found: int
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
        new = self.rows - self.rows_found
        found = f"{self.rows_found:,} found finished, " if self.rows_found else ""
        lines = [
            f"{self.rows:,} rows: {self.explained:,} explained, {self.failed:,} failed",
            f"{found}{new:,} in {self.seconds:.1f} s after {self.seconds_to_start:.1f} s to start: {self.rows_per_second:,.1f} rows/s on "
            f"{self.devices} devices of {self.hosts} hosts",
            f"devices busy {self.busy_share:.1%}, {self.retries} retries, peak memory {self.peak_memory_bytes / 2**20:,.0f} MiB",
        ]
        return "\n".join(lines)


class Meter:
    """What one host measures of itself while it runs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._born = time.monotonic()
        self._started = self._ended = self._ready = self._born
        self.rows = self.retries = 0
        self._busy = 0.0

    def start(self) -> None:
        self._started = self._ended = self._ready = time.monotonic()

    def answered(self, handed_over: float) -> None:
        """A batch is computed that was handed over at this time; batches are answered in order."""
        now = time.monotonic()
        with self._lock:
            self._busy += now - max(handed_over, self._ready)
            self._ready = now

    def written(self, rows: int, retries: int) -> None:
        with self._lock:
            self.rows, self.retries = self.rows + rows, self.retries + retries
            self._ended = time.monotonic()

    def facts(self, devices: Sequence[Any]) -> dict[str, Any]:
        """For the summary; anything that JSON can say."""
        with self._lock:
            seconds = self._ended - self._started
            return {
                "rows": self.rows,
                "retries": self.retries,
                "seconds": seconds,
                "seconds_to_start": self._started - self._born,
                "busy": self._busy / seconds if seconds > 0 else 0.0,
                "peak": peak_memory(),
                "device_peak": _device_peak(devices),
                "devices": len(devices),
            }


def summarize(num_rows: int, failed: int, facts: Sequence[dict[str, Any]]) -> Summary:
    """One summary of what all hosts measured."""
    rows = sum(one["rows"] for one in facts)
    seconds = max(one["seconds"] for one in facts)
    busy = [one["busy"] for one in facts if one["rows"]]
    peaks = [one["device_peak"] for one in facts if one["device_peak"] is not None]
    return Summary(
        rows=num_rows,
        explained=num_rows - failed,
        failed=failed,
        rows_found=num_rows - rows,
        seconds=seconds,
        seconds_to_start=max(one["seconds_to_start"] for one in facts),
        rows_per_second=rows / seconds if seconds > 0 else 0.0,
        busy_share=sum(busy) / len(busy) if busy else 0.0,
        retries=sum(one["retries"] for one in facts),
        peak_memory_bytes=max(one["peak"] for one in facts),
        device_memory_bytes=max(peaks) if peaks else None,
        hosts=len(facts),
        devices=sum(one["devices"] for one in facts),
    )


def write_summary(folder: Path, summary: Summary) -> None:
    """Into the store, as JSON."""
    write_whole(folder / FOLDER / _FILE, json.dumps(dataclasses.asdict(summary), indent=1))


def read_summary(folder: Path) -> Summary | None:
    """None where no run has come to its end."""
    path = folder / FOLDER / _FILE
    return Summary(**json.loads(path.read_text())) if path.exists() else None


def peak_memory() -> int:
    """The most bytes that this process has held so far."""
    try:
        import resource
    except ImportError:  # on Windows
        return 0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _device_peak(devices: Sequence[Any]) -> int | None:
    known = [
        memory["peak_bytes_in_use"]
        for one in devices
        if (memory := one.memory_stats()) and "peak_bytes_in_use" in memory
    ]
    return max(known) if known else None
