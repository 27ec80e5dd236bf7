"""Shows one line on the terminal while an explanation is compiled and computed.

Compiled programs contain no part of it. A call from Python, outside every transformation, is watched if stderr is a
terminal: after two seconds a line appears there, and it disappears when the result has arrived. Elsewhere a call only
checks stderr, and returns while its result is still being computed, as usual in JAX.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import jax
from jax.core import Tracer
from jax.extend.core import get_opaque_trace_state

from xaijax._core import check

if TYPE_CHECKING:  # Rich is imported when a line is shown for the first time
    from rich.live import Live
    from rich.table import Table

Stage = Callable[[str], None]  # announces the stage that begins
Item = TypeVar("Item")
Front = TypeVar("Front", bound=Callable[..., Any])

_PATIENCE = 2.0  # seconds before a call is shown
_POLL_INTERVAL = 0.1  # seconds between two checks of the watched calls
_REFRESHES = 8  # per second
_BAR = 24  # columns
_SHORTEST_WAIT, _LONGEST_WAIT = 5e-5, 0.02  # seconds between two checks of a result
_WAIT_SHARE = 0.02  # of the time waited so far: bounds the relative delay with which a result is noticed


class _Switch:
    """Holds whether progress may be shown in this process, which has one terminal."""

    on = True


def progress(enabled: bool) -> contextlib.AbstractContextManager[Any]:
    """Turns the progress display on or off, permanently or within a `with` block.

    Why: on a terminal, an explainer that takes more than two seconds shows one line on stderr: its stage, the elapsed
    time, and a bar for steps on the host. To notice when a result has arrived, such a call waits for it. With the
    display off, a call returns while its result is still being computed. The same holds in notebooks, pipes and files,
    and within `jax.jit`, `vmap`, `grad` or `scan`, where nothing is ever shown.

    Args:
      enabled: whether to show progress, in all threads. It is on initially.

    Returns:
      A context manager that restores the previous setting at its end. Entering it is optional.

    Raises:
      TypeError: if enabled is not a bool.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> with xai.progress(False):
    ...     attribution = xai.shap.exact(xai.Game(lambda z: z.sum(axis=1), num_players=2))
    >>> attribution.values.tolist()
    [1.0, 1.0]
    """
    enabled = check.flag("enabled", enabled)
    restoring = contextlib.ExitStack()
    restoring.callback(setattr, _Switch, "on", _Switch.on)
    _Switch.on = enabled
    return restoring


def visible() -> bool:
    """Returns whether a call made now should be watched."""
    stream = sys.stderr
    if not _Switch.on or stream is None or stream.closed or not stream.isatty():
        return False
    if hasattr(stream, "rich_proxied_file") and not _screen.busy:
        return False  # the caller already shows a Rich display on this terminal
    return untraced()


def untraced() -> bool:
    """Returns whether no transformation of JAX is tracing now."""
    return get_opaque_trace_state() == _UNTRACED


def watch(title: str | Callable[[], str], call: Callable[[Stage], Any]) -> Any:
    """Returns call(stage), watched until its arrays have arrived.

    The call announces its stages. Within another watched call, they are stages of the outer call.
    """
    with _watching(title) as watched:
        before = watched.stage
        try:
            result = call(watched.enter)
            _wait(result)
        finally:
            watched.stage = before
    return result


def watched(title: str) -> Callable[[Front], Front]:
    """Decorates a function of several short parts, so that its two seconds begin with the first of them."""

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
    """Returns the items; while they are iterated over, the line of the surrounding watched call shows a bar."""
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
    """A watched call: its title, its stage, its steps and its start."""

    def __init__(self, title: str | Callable[[], str]):
        self.title, self.stage = title, "preparing"
        self.done, self.total = 0, 0  # steps, if there are any
        self.started = time.monotonic()
        self.tried = False  # whether showing it was tried; tried once, as the terminal does not change

    def enter(self, stage: str) -> None:
        self.stage = stage

    def cells(self) -> list[Any]:
        """Returns a spinner, the title with the stage, a bar, and the elapsed time."""
        from rich.progress_bar import ProgressBar
        from rich.spinner import Spinner
        from rich.text import Text

        title = self.title if isinstance(self.title, str) else self.title()
        seconds, done, total = int(time.monotonic() - self.started), self.done, self.total
        bar = ProgressBar(total, done, width=_BAR) if total else Text()
        count = f"{done}/{total}  " if total else ""
        spinner = Spinner("line", style="cyan")  # ASCII only, for every terminal
        spinner.start_time = 0.0  # a new spinner continues where the previous one stopped
        label = Text(f"{title}: {self.stage}", no_wrap=True, overflow="ellipsis")
        return [spinner, label, bar, Text(f"{count}{seconds // 60}:{seconds % 60:02d}", style="cyan", no_wrap=True)]


class _Screen:
    """The display of the process, with one line for each watched call that takes long, from all threads.

    A thread checks the watched calls repeatedly, and ends after a while without any: starting a thread for every call
    would take longer than short calls do.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watched: list[_Watched] = []
        self._shown: list[_Watched] = []
        self._polling = False
        self._live: Live | None = None

    @property
    def busy(self) -> bool:
        return self._live is not None

    def add(self, watched: _Watched) -> None:
        with self._lock:
            self._watched.append(watched)
            if not self._polling:
                self._polling = True
                threading.Thread(target=self._poll, name="xaijax progress", daemon=True).start()

    def remove(self, watched: _Watched) -> None:
        with self._lock:
            self._watched.remove(watched)
            if self._live is not None and self._shown == [watched]:
                live, self._live = self._live, None
                with contextlib.suppress(OSError, ValueError):  # the terminal is gone, or its stream closed
                    live.stop()
            if watched in self._shown:
                self._shown.remove(watched)

    def _poll(self) -> None:
        last = time.monotonic()
        while True:
            time.sleep(min(_POLL_INTERVAL, _PATIENCE / 2))
            with self._lock:
                now = time.monotonic()
                last = now if self._watched else last
                if now - last > _PATIENCE:
                    self._polling = False
                    return
                for watched in self._watched:
                    late = now - watched.started > _PATIENCE and not watched.tried
                    if late and (self._live is not None or self._start()):
                        self._shown.append(watched)
                    watched.tried = watched.tried or late

    def _start(self) -> bool:
        from rich.console import Console
        from rich.live import Live

        console = Console(stderr=True, highlight=False)
        if not console.is_terminal or console.is_dumb_terminal:
            return False
        # Text printed meanwhile goes above the line; output that goes elsewhere is not redirected.
        on_terminal = sys.stdout is not None and sys.stdout.isatty()
        options: dict[str, Any] = {
            "redirect_stdout": on_terminal,
            "redirect_stderr": True,
            "refresh_per_second": _REFRESHES,
        }
        live = Live(get_renderable=self._lines, console=console, transient=True, **options)
        with contextlib.suppress(OSError, ValueError):
            live.start()
            self._live = live
        return self._live is not None

    def _lines(self) -> Table:
        from rich.table import Table

        lines = Table.grid(padding=(0, 1))
        for watched in tuple(self._shown):
            lines.add_row(*watched.cells())
        return lines


@contextlib.contextmanager
def _watching(title: str | Callable[[], str]) -> Iterator[_Watched]:
    """Yields the watched call of this thread: the surrounding one, or a new one."""
    outer = getattr(_here, "watched", None)
    if outer is not None:
        yield outer
        return
    watched = _Watched(title)
    _screen.add(watched)
    _here.watched = watched
    try:
        yield watched
    finally:
        _here.watched = None
        _screen.remove(watched)


def _wait(result: Any) -> None:
    """Waits for the arrays of a result by polling: `block_until_ready` would delay Ctrl-C until its end."""
    arrays = [leaf for leaf in jax.tree.leaves(result) if isinstance(leaf, jax.Array) and not isinstance(leaf, Tracer)]
    started = time.monotonic()
    while not _arrived(arrays):
        waited = time.monotonic() - started
        time.sleep(min(_LONGEST_WAIT, max(_SHORTEST_WAIT, _WAIT_SHARE * waited)))


def _arrived(arrays: list[Any]) -> bool:
    return all(array.is_ready() for array in arrays)


_here = threading.local()
_screen = _Screen()
_UNTRACED = get_opaque_trace_state()
