"""The overhead of an explanation: its time, programs and operations, relative to the bare jitted model on as many rows."""

from __future__ import annotations

import dataclasses
import math
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeVar

import jax
import numpy as np

from benchmarks._flops import flops
from benchmarks._models import KEY
from benchmarks._timing import compiling, interleaved, seconds

# tiny: a test of the code; quick: minutes in total; full: the published figures
Size = Literal["tiny", "quick", "full"]
Value = TypeVar("Value")
# Rows in one evaluation of the bare model; the fastest counts. The quick form tries the first ones, which were within a
# twelfth of the fastest on two CPU cores for these models.
_BLOCKS = {"tables": (8192, 2048), "images": (16, 32), "texts": (512, 64, 128)}
_QUICK = {"tables": 1, "images": 1, "texts": 2}


def pick(size: Size, *, tiny: Value, quick: Value, full: Value) -> Value:
    """Returns the value for a size."""
    return {"tiny": tiny, "quick": quick, "full": full}[size]


def blocks(inputs: str, size: Size) -> tuple[int, ...]:
    """Returns the numbers of rows of "tables", "images" or "texts" that are tried in one evaluation of the bare model."""
    return _BLOCKS[inputs] if size == "full" else _BLOCKS[inputs][: _QUICK[inputs]]


@dataclasses.dataclass(frozen=True)
class Case:
    """explain() computes an explanation; bare() returns the ways to evaluate the model alone on as many `rows`.

    The ways hold these rows, which are large. Therefore they are created when the case is measured, and released after it.
    programs() returns the explanation and the bare model as lowered programs, where their memory is compared.
    """

    name: str
    rows: int
    explain: Callable[[], Any]
    bare: Callable[[], dict[str, Callable[[], Any]]]
    sizes: dict[str, int]
    programs: Callable[[], tuple[Any, Any]] | None = None


def overhead(
    chosen: list[Case], repeats: int, *, peak: float | None = None, say: Callable[[str], None] = print
) -> Iterator[dict[str, Any]]:
    """Yields a row for each case when it is measured, and announces it.

    peak: operations of the device per second, to which `peak_fraction` and `bare_peak_fraction` relate.

    Raises:
      RuntimeError: after the last case, if cases failed, whose errors it names.
    """
    failed = {}
    for case in chosen:
        start = time.perf_counter()
        try:
            row = measure(case, repeats)
            row |= _operations(case, row, peak) | _memory(case)
        except Exception as problem:
            failed[case.name] = f"{type(problem).__name__}: {problem}"
            say(f"{case.name} failed:\n{traceback.format_exc()}")
            continue
        say(f"{case.name}: {row['ratio']:.2f} ({time.perf_counter() - start:.0f} s)")
        yield row
    if failed:
        raise RuntimeError(f"cases failed: {failed}")


def _operations(case: Case, row: dict[str, Any], peak: float | None) -> dict[str, Any]:
    explained, bare = flops(case.explain), flops(case.bare()[row["bare_best"]])
    seconds = row["bare_seconds"][row["bare_best"]]
    return {
        "flops": explained,
        "bare_flops": bare,
        "flops_ratio": explained / bare if explained and bare else None,
        "peak_fraction": explained / row["seconds"] / peak if explained and peak else None,
        "bare_peak_fraction": bare / seconds / peak if bare and peak else None,
    }


def _memory(case: Case) -> dict[str, Any]:
    """Returns the peak memory of both programs: what XLA plans for arguments, temporary arrays and outputs."""
    if case.programs is None:
        return {}
    planned = [lowered.compile().memory_analysis() for lowered in case.programs()]
    explained, bare = (
        each.argument_size_in_bytes + each.temp_size_in_bytes + each.output_size_in_bytes for each in planned
    )
    return {"bytes": explained, "bare_bytes": bare, "memory_ratio": explained / bare}


def measure(case: Case, repeats: int) -> dict[str, Any]:
    """Returns the case's times: medians of interleaved repeats, and the quartiles of the paired ratios.

    Of the ways to evaluate the bare model (at once, in blocks), the fastest in the median counts. The first explanation is
    timed with the compilation; the second should compile nothing.
    """
    with compiling() as first_compiling:
        first = seconds(case.explain)
    with compiling() as second_compiling:
        second = seconds(case.explain)
    ways = case.bare()
    for bare in ways.values():
        seconds(bare)
    times = interleaved({"": case.explain} | ways, repeats)
    explained = times.pop("")
    best = min(times, key=lambda name: float(np.median(times[name])))
    ratios = np.array(explained) / np.array(times[best])
    quartiles = np.quantile(ratios, [0.25, 0.5, 0.75])
    return {
        "name": case.name,
        "rows": case.rows,
        "sizes": case.sizes,
        "seconds": float(np.median(explained)),
        "bare_seconds": {name: float(np.median(taken)) for name, taken in times.items()},
        "bare_best": best,
        "ratio": float(quartiles[1]),
        "ratio_quartiles": [float(quartiles[0]), float(quartiles[2])],
        "first_seconds": first,
        "lower_seconds": first_compiling.lower_seconds,
        "compile_seconds": first_compiling.compile_seconds,
        "compilations": first_compiling.compiled,
        "second_seconds": second,
        "second_compilations": second_compiling.compiled + second_compiling.traced,
        "rows_per_second": case.rows / float(np.median(explained)),
        "repeats": {"ratio": ratios.tolist(), "seconds": explained, "bare_seconds": times[best]},
    }


_apply = jax.jit(lambda model, x: model(x))
_apply_in_blocks = jax.jit(lambda model, x: jax.lax.map(model, x))
_gradients = jax.jit(lambda model, x: _gradient(model, x))
_gradients_in_blocks = jax.jit(lambda model, x: jax.lax.map(lambda block: _gradient(model, block), x))

Ways = dict[str, Callable[[], Any]]
# Accelerators need larger batches: the factor of the numbers at once and of the blocks.
_ACCELERATOR = 16


def at_once(model: Any, x: jax.Array) -> Ways:
    """Returns the model on these rows."""
    return {"at once": lambda: _apply(model, x)}


def gradients_at_once(model: Any, x: jax.Array) -> Ways:
    """Returns the gradient of the sum of the outputs for these rows."""
    return {"at once": lambda: _gradients(model, x)}


def bare(
    model: Any, rows: int, row: tuple[int, ...], blocks: tuple[int, ...], ids: int = 0, gradients: bool = False
) -> Ways:
    """Returns the model on `rows` rows: at once, if they fit, and in compiled loops over blocks of several sizes.

    ids: the number of token ids, for models of token ids.
    gradients: evaluate the gradient with respect to the rows, for explanations that use gradients.
    """

    def drawn(*shape: int) -> jax.Array:
        return jax.random.randint(KEY, shape, 0, ids) if ids else jax.random.normal(KEY, shape)

    larger = 1 if jax.default_backend() == "cpu" else _ACCELERATOR
    whole, looped = (_gradients, _gradients_in_blocks) if gradients else (_apply, _apply_in_blocks)
    ways: Ways = {}
    if rows * math.prod(row) < 5e6 * larger:
        x = drawn(rows, *row)
        ways["at once"] = lambda x=x: whole(model, x)
    for size in blocks:
        number = -(-rows // (size * larger))
        if number > 1:
            x = drawn(number, rows // number, *row)  # at most `rows` rows
            ways[f"{number} blocks of {rows // number}"] = lambda x=x: looped(model, x)
    if not ways:
        x = drawn(rows, *row)
        ways["at once"] = lambda x=x: whole(model, x)
    return ways


def _gradient(model: Any, x: jax.Array) -> jax.Array:
    return jax.grad(lambda x: model(x).sum())(x)
