"""Clocks: seconds of a function, interleaved repeats of several, and the programs that JAX compiles meanwhile."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax

LEAST, ENOUGH = 3, 3.0  # repeats of every case, and seconds of a case after which they suffice


def repeated(measure: Callable[[int], Any], repeats: int) -> None:
    """Calls measure(number) in at most `repeats` repeats: fewer if they have taken long, but at least three of them.

    Long runs are steady: those of a second differ by a few percent, those of a millisecond by tens of percent.
    """
    start = time.perf_counter()
    for number in range(repeats):
        if number >= LEAST and time.perf_counter() - start > ENOUGH:
            return
        measure(number)


def interleaved(runs: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Returns the seconds of each function, called in turn in every repeat, so that a busy device slows all of them.

    There are at most `repeats` repeats, see `repeated`.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}

    def measure(_: int) -> None:
        for name, run in runs.items():
            times[name].append(seconds(run))

    repeated(measure, repeats)
    return times


def seconds(run: Callable[[], Any]) -> float:
    """Returns the wall-clock time until the result is computed."""
    start = time.perf_counter()
    jax.block_until_ready(run())
    return time.perf_counter() - start


_TRACED = "/jax/core/compile/jaxpr_trace_duration"
_LOWERED = "/jax/core/compile/jaxpr_to_mlir_module_duration"
_COMPILED = "/jax/core/compile/backend_compile_duration"
_STORE = "jax_enable_compilation_cache"


@dataclasses.dataclass
class Compiling:
    """traced, compiled: numbers of programs; lower_seconds: from traces to HLO; compile_seconds: spent by XLA.

    The time of tracing is left out: nested programs are traced within each other and would count twice.
    """

    traced: int = 0
    compiled: int = 0
    lower_seconds: float = 0.0
    compile_seconds: float = 0.0


@contextlib.contextmanager
def compiling() -> Iterator[Compiling]:
    """Records the programs that are compiled within a `with` block."""
    seen = Compiling()

    def listen(event: str, duration_secs: float, **_: Any) -> None:
        if event == _TRACED:
            seen.traced += 1
        elif event == _LOWERED:
            seen.lower_seconds += duration_secs
        elif event == _COMPILED:
            seen.compiled += 1
            seen.compile_seconds += duration_secs

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield seen
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


@contextlib.contextmanager
def without_stored_programs() -> Iterator[None]:
    """Disables JAX's store of compiled programs on disk, which would hide the time of compiling."""
    before = getattr(jax.config, _STORE)
    jax.config.update(_STORE, False)
    try:
        yield
    finally:
        jax.config.update(_STORE, before)
