"""How far a run is: a bar on a terminal, a line a minute elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn
from rich.text import Text

_INTERVAL = 60.0  # seconds between lines, where there is no terminal: a day makes a readable log

_BAR = 8  # columns, so that the line fits 80


class RunProgress:
    """Shows rows done, their rate, the time left and the failures: `with RunProgress(...) as progress`.

    total: rows to do.
    shown: False for nothing.
    interval: seconds between lines where stderr is no terminal.
    write: where lines go; stderr.
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
        known = stream is not None and not stream.closed
        if terminal is None:
            terminal = stream is not None and known and stream.isatty()
        self._total, self._interval = total, interval
        self._write = write if write is not None else (lambda line: print(line, file=sys.stderr, flush=True))
        self._lines = shown and not terminal and (known or write is not None)
        self._bar = _bar() if shown and terminal else None
        self._task = None
        self._started = self._last = time.monotonic()

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task("", total=self._total, said="")
        self._started = self._last = time.monotonic()
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if self._bar is not None:
            self._bar.stop()

    def say(self, text: Any) -> None:
        """Writes lines below, such as a summary."""
        if self._lines or self._bar is not None:
            self._write(str(text))

    def update(self, done: int, failures: int, *, total: int | None = None) -> None:
        """Rows done in this run, and failures of all runs; and rows to do, where that becomes known later."""
        now = time.monotonic()
        self._total = self._total if total is None else total
        if self._bar is not None and self._task is not None:
            said = describe(done, self._total, now - self._started, failures)
            self._bar.update(self._task, total=self._total, completed=done, said=said)
        elif self._lines and now - self._last >= self._interval:
            self._last = now
            self._write(describe(done, self._total, now - self._started, failures))


def describe(done: int, total: int, seconds: float, failures: int) -> str:
    """One line: 12,800 of 100,000 rows (12.8%), 2 failures, 431 rows/s, 3 min 22 s left."""
    rate = done / seconds if seconds > 0 else 0.0
    left = duration((total - done) / rate) if rate > 0 else "unknown time"
    failed = "no failures" if failures == 0 else f"{failures:,} failure{'' if failures == 1 else 's'}"
    speed = f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"
    return f"{done:,} of {total:,} rows ({done / max(1, total):.1%}), {failed}, {speed} rows/s, {left} left"


def duration(seconds: float) -> str:
    """In the two largest units that matter."""
    whole = round(seconds)
    for size, name, smaller, rest in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            return f"{whole // size} {name} {whole % size // smaller} {rest}"
    return f"{whole} s"


class _Said(ProgressColumn):
    def render(self, task: Any) -> Text:
        return Text(task.fields["said"], no_wrap=True, overflow="ellipsis")


def _bar() -> Progress:
    return Progress(
        BarColumn(bar_width=_BAR),
        _Said(),
        console=Console(stderr=True, highlight=False),
        transient=True,
        redirect_stdout=sys.stdout is not None and sys.stdout.isatty(),
    )
