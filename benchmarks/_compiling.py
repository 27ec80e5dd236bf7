"""What JAX compiles while something runs, as it reports it itself."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import jax

_TRACED = "/jax/core/compile/jaxpr_trace_duration"
_LOWERED = "/jax/core/compile/jaxpr_to_mlir_module_duration"
_COMPILED = "/jax/core/compile/backend_compile_duration"
_STORED = "jax_enable_compilation_cache"


@dataclasses.dataclass
class Compiling:
    """traced, compiled: how many programs; lower_seconds: making HLO of traces; compile_seconds: XLA's own work.

    Programs within programs are traced one within another, so that the times of tracing would count double.
    """

    traced: int = 0
    compiled: int = 0
    lower_seconds: float = 0.0
    compile_seconds: float = 0.0


@contextlib.contextmanager
def compiling() -> Iterator[Compiling]:
    """Watches what is compiled within a `with` block."""
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
    """JAX may keep compiled programs on disk, which would make compiling seem to cost nothing."""
    before = getattr(jax.config, _STORED)
    jax.config.update(_STORED, False)
    try:
        yield
    finally:
        jax.config.update(_STORED, before)
