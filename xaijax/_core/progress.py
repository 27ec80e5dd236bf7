"""What takes long says so: one line on the terminal while an explanation is compiled and computed.

Nothing of it is within compiled programs. A call from Python, outside every transformation, is watched where stderr is
a terminal: after two seconds a line appears there, and it goes when the result has arrived. Everywhere else a call costs
one look at stderr more, and returns while its result is still being computed, as JAX has it.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import jax
from jax.core import Tracer
from jax.extend.core import get_opaque_trace_state
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

Stage = Callable[[str], None]  # says what is done from now on
Item = TypeVar("Item")
Front = TypeVar("Front", bound=Callable[..., Any])

_PATIENCE = 2.0  # seconds: what is over by then shows nothing
_LOOKED_AT = 0.1  # seconds between two looks at what is watched
_REDRAWN = 8  # times a second
_BAR = 24  # columns
_AT_LEAST, _AT_MOST = 5e-5, 0.02  # seconds between two looks at a result
_SHARE = 0.02  # of the time waited so far: by so little a result is noticed late


class _Switch:
    """Whether anything may be shown: of the process, as its terminal is."""

    on = True


def progress(enabled: bool) -> contextlib.AbstractContextManager[Any]:
    """Turns the progress display off, or on again: from now on, or within a `with` block alone.

    Why: on a terminal, an explainer that takes more than two seconds shows one line on stderr, with what it does and for
    how long, and a bar where it goes through steps on the host. To know when a result has arrived, a call waits for it there;
    turned off, it returns while the result is still being computed, as it does wherever stderr is no terminal: in
    notebooks, pipes and files nothing is shown or waited for, and neither is within `jax.jit`, `vmap`, `grad` or `scan`.

    Args:
      enabled: whether to show progress, in all threads. At first it is on.

    Returns:
      A context manager, whose end brings back what was before. It need not be entered.

    Raises:
      TypeError: if enabled is no bool.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> with xai.progress(False):
    ...     attribution = xai.shap.exact(xai.Game(lambda z: z.sum(axis=1), num_players=2))
    >>> attribution.values.tolist()
    [1.0, 1.0]
    """
    if not isinstance(enabled, bool):
        raise TypeError(f"enabled must be True or False, but it is {enabled!r}.")
    restoring = contextlib.ExitStack()
    restoring.callback(setattr, _Switch, "on", _Switch.on)
    _Switch.on = enabled
    return restoring


def visible() -> bool:
    """Whether a call that is made now is to be watched."""
    stream = sys.stderr
    if not _Switch.on or stream is None or stream.closed or not stream.isatty():
        return False
    if hasattr(stream, "rich_proxied_file") and not _screen.busy:
        return False  # the caller has a display of its own on this terminal
    return get_opaque_trace_state() == _UNTRACED


def watch(title: str | Callable[[], str], call: Callable[[Stage], Any]) -> Any:
    """call(stage), watched until its arrays have arrived; it says its stages. Within another watched call they are that one's."""
    with _watching(title) as watched:
        before = watched.stage
        try:
            found = call(watched.enter)
            _wait(found)
        finally:
            watched.stage = before
    return found


def watched(title: str) -> Callable[[Front], Front]:
    """Decorates what has several parts, each of which may be short: its two seconds begin with the first."""

    def decorate(front: Front) -> Front:
        @functools.wraps(front)
        def call(*arguments: Any, **options: Any) -> Any:
            if not visible():
                return front(*arguments, **options)
            with _watching(title):
                return front(*arguments, **options)

        return call  # pyright: ignore[reportReturnType]

    return decorate


def steps(stage: str, items: Sequence[Item]) -> Iterator[Item] | Sequence[Item]:
    """The items; while they are gone through, the line of the watched call around has a bar of them."""
    watched = getattr(_here, "watched", None)
    return items if watched is None else _counted(watched, stage, items)


def _counted(watched: _Watched, stage: str, items: Sequence[Item]) -> Iterator[Item]:
    before = watched.stage, watched.done, watched.total
    try:
        for number, item in enumerate(items):
            watched.stage, watched.done, watched.total = stage, number, len(items)
            yield item
    finally:
        watched.stage, watched.done, watched.total = before


class _Watched:
    """A call that may come to be shown: its title, where it is, and since when."""

    def __init__(self, title: str | Callable[[], str]):
        self.title, self.stage = title, "preparing"
        self.done, self.total = 0, 0  # steps, where there are any
        self.started = time.monotonic()
        self.tried = False  # to be shown: once, as the terminal stays what it is

    def enter(self, stage: str) -> None:
        self.stage = stage

    def cells(self) -> list[Any]:
        """A spinner, what is done, how far it is, and the time so far."""
        title = self.title if isinstance(self.title, str) else self.title()
        seconds, done, total = int(time.monotonic() - self.started), self.done, self.total
        bar = ProgressBar(total, done, width=_BAR) if total else Text()
        count = f"{done}/{total}  " if total else ""
        spinner = Spinner("line", style="cyan")  # of ASCII alone, which every terminal can show
        spinner.start_time = 0.0  # so that a new one each time goes on where the last was
        said = Text(f"{title}: {self.stage}", no_wrap=True, overflow="ellipsis")
        return [spinner, said, bar, Text(f"{count}{seconds // 60}:{seconds % 60:02d}", style="cyan", no_wrap=True)]


class _Screen:
    """The one display of the process, with a line for each watched call (of several threads) that takes long.

    A thread looks at the watched calls from time to time, and ends when there have been none for a while: to start one
    for every call would take longer than short calls do.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watched: list[_Watched] = []
        self._shown: list[_Watched] = []
        self._looking = False
        self._live: Live | None = None

    @property
    def busy(self) -> bool:
        return self._live is not None

    def add(self, watched: _Watched) -> None:
        with self._lock:
            self._watched.append(watched)
            if not self._looking:
                self._looking = True
                threading.Thread(target=self._look, name="xaijax progress", daemon=True).start()

    def remove(self, watched: _Watched) -> None:
        with self._lock:
            self._watched.remove(watched)
            if self._live is not None and self._shown == [watched]:
                live, self._live = self._live, None
                with contextlib.suppress(OSError, ValueError):  # the terminal is gone, or its stream closed
                    live.stop()
            if watched in self._shown:
                self._shown.remove(watched)

    def _look(self) -> None:
        last = time.monotonic()
        while True:
            time.sleep(min(_LOOKED_AT, _PATIENCE / 2))
            with self._lock:
                now = time.monotonic()
                last = now if self._watched else last
                if now - last > _PATIENCE:
                    self._looking = False
                    return
                for watched in self._watched:
                    late = now - watched.started > _PATIENCE and not watched.tried
                    if late and (self._live is not None or self._start()):
                        self._shown.append(watched)
                    watched.tried = watched.tried or late

    def _start(self) -> bool:
        console = Console(stderr=True, highlight=False)
        if not console.is_terminal or console.is_dumb_terminal:
            return False
        # What is printed meanwhile goes above the line; output that goes elsewhere is left alone.
        same = sys.stdout is not None and sys.stdout.isatty()
        options: dict[str, Any] = {"redirect_stdout": same, "redirect_stderr": True, "refresh_per_second": _REDRAWN}
        live = Live(get_renderable=self._lines, console=console, transient=True, **options)
        with contextlib.suppress(OSError, ValueError):
            live.start()
            self._live = live
        return self._live is not None

    def _lines(self) -> Table:
        lines = Table.grid(padding=(0, 1))
        for watched in tuple(self._shown):
            lines.add_row(*watched.cells())
        return lines


@contextlib.contextmanager
def _watching(title: str | Callable[[], str]) -> Iterator[_Watched]:
    """The call that is watched in this thread: the one around this one, or else a new one."""
    around = getattr(_here, "watched", None)
    if around is not None:
        yield around
        return
    watched = _Watched(title)
    _screen.add(watched)
    _here.watched = watched
    try:
        yield watched
    finally:
        _here.watched = None
        _screen.remove(watched)


def _wait(found: Any) -> None:
    """Until the arrays are there. By looking, as within `block_until_ready` Ctrl-C would be heard at its end alone."""
    arrays = [leaf for leaf in jax.tree.leaves(found) if isinstance(leaf, jax.Array) and not isinstance(leaf, Tracer)]
    started = time.monotonic()
    while not _arrived(arrays):
        waited = time.monotonic() - started
        time.sleep(min(_AT_MOST, max(_AT_LEAST, _SHARE * waited)))


def _arrived(arrays: list[Any]) -> bool:
    return all(array.is_ready() for array in arrays)


_here = threading.local()
_screen = _Screen()
_UNTRACED = get_opaque_trace_state()
