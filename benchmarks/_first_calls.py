"""Time to the first answer: the import and the first calls of explainers, each in a new process.

Each case runs with an empty folder of stored programs, which it fills, and again with what is stored. The bare model's first
call in the same process is what its own compilation takes. Seconds are wall-clock and CPU seconds of the process, which are
those of all its threads.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from rich.table import Table

import xaijax as xai
from benchmarks._models import KEY, VOCABULARY, bag_of_words, perceptron, small_resnet
from benchmarks._overhead import Size, pick
from benchmarks._timing import compiling

# Imports JAX and the library before anything else, so that their seconds are those of a user's first lines.
_CHILD = """
import time
clock = lambda: (time.perf_counter(), time.process_time())
start = clock()
import jax
middle = clock()
import xaijax
end = clock()
import json, sys
from benchmarks import _first_calls
imported = {"bare": [b - a for a, b in zip(start, middle)], "call": [b - a for a, b in zip(start, end)], "programs": 0}
print(json.dumps({"import xaijax": imported} | _first_calls.measured(*sys.argv[1:])))
"""
_LONGEST = {"tiny": 4, "quick": 128, "full": 1024}  # words of a text


class Call(NamedTuple):
    """bare() evaluates the model alone, explain() explains it; both for the first time in their process."""

    name: str
    bare: Callable[[], Any]
    explain: Callable[[], Any]


def measure(size: Size) -> list[dict[str, Any]]:
    """Measures every case in new processes, three times in full, once otherwise; and the programs for texts of all lengths.

    Returns:
      A row for each case: `seconds` and `cpu_seconds` of the first call with nothing stored, `bare_seconds` and
      `bare_cpu_seconds` of the bare model's, `ratio` of the two in wall-clock time, `stored_seconds` and
      `stored_cpu_seconds` with the programs stored, and `programs`, the number that is compiled. A row of texts has
      `texts`, the number tried, `texts_compiled`, and the `programs` of all of them. A case whose process failed has the
      reason, `skipped`.
    """
    repeats = pick(size, tiny=1, quick=1, full=3)
    rows: dict[str, list[dict[str, Any]]] = {}
    failed: list[dict[str, Any]] = []
    for case in pick(size, tiny=("shap",), quick=tuple(_CASES), full=tuple(_CASES)):
        try:
            for _ in range(repeats):
                with tempfile.TemporaryDirectory(prefix="xaijax-programs-") as folder:
                    empty, stored = (_in_new_process(case, size, stored_in=folder) for _ in range(2))
                for name in empty:
                    rows.setdefault(name, []).append({"empty": empty[name], "stored": stored[name]})
        except RuntimeError as problem:
            failed.append({"name": f"first calls, {case}", "skipped": str(problem)})
    return [*(_row(name, taken) for name, taken in rows.items()), *failed, _texts(size)]


def _row(name: str, taken: list[dict[str, Any]]) -> dict[str, Any]:
    repeats = {
        "seconds": [each["empty"]["call"][0] for each in taken],
        "cpu_seconds": [each["empty"]["call"][1] for each in taken],
        "bare_seconds": [each["empty"]["bare"][0] for each in taken],
        "bare_cpu_seconds": [each["empty"]["bare"][1] for each in taken],
        "stored_seconds": [each["stored"]["call"][0] for each in taken],
        "stored_cpu_seconds": [each["stored"]["call"][1] for each in taken],
    }
    repeats["ratio"] = [ours / bare for ours, bare in zip(repeats["seconds"], repeats["bare_seconds"], strict=True)]
    medians = {measured: float(np.median(each)) for measured, each in repeats.items()}
    quartiles = [float(quartile) for quartile in np.quantile(repeats["ratio"], [0.25, 0.75])]
    programs = taken[0]["empty"]["programs"]
    return {"name": name, **medians, "ratio_quartiles": quartiles, "programs": programs, "repeats": repeats}


def _texts(size: Size) -> dict[str, Any]:
    """Returns how many programs texts of all lengths compile, without optimizing them."""
    name = f"lime.strings, texts of 1 to {_LONGEST[size]:,} words"
    try:
        return {"name": name} | _in_new_process("texts", size, JAX_DISABLE_MOST_OPTIMIZATIONS="1")
    except RuntimeError as problem:
        return {"name": name, "skipped": str(problem)}


def table(rows: list[dict[str, Any]]) -> Table:
    """Returns a line for each row, and below the table why rows were skipped."""
    table = Table(
        title="the first call in a new process: seconds with nothing stored, and with all programs stored",
        caption="\n".join(f"{row['name']}: {row['skipped']}" for row in rows if "skipped" in row) or None,
    )
    for name in ("first call", "seconds", "CPU", "bare model", "÷ bare", "programs", "stored", "CPU"):
        table.add_column(name, justify="left" if name == "first call" else "right")
    for row in rows:
        if "texts" in row:
            compiled = f"{row['programs']}, by {row['texts_compiled']} of {row['texts']} texts"
            table.add_row(row["name"], "", "", "", "", compiled, "", "")
        elif "skipped" not in row:
            table.add_row(
                row["name"],
                *(f"{row[name]:.2f}" for name in ("seconds", "cpu_seconds", "bare_seconds")),
                f"{row['ratio']:.1f}",
                f"{row['programs']}",
                *(f"{row[name]:.2f}" for name in ("stored_seconds", "stored_cpu_seconds")),
            )
    return table


def _in_new_process(case: str, size: Size, *, stored_in: str | None = None, **variables: str) -> dict[str, Any]:
    environment = os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"} | variables
    environment |= {
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    if stored_in is not None:
        environment["JAX_COMPILATION_CACHE_DIR"] = stored_in
    finished = subprocess.run(
        [sys.executable, "-c", _CHILD, case, size],
        cwd=Path(__file__).parent.parent,
        env=environment,
        capture_output=True,
        text=True,
    )
    if finished.returncode:
        raise RuntimeError(f"its process failed: {finished.stderr.strip().splitlines()[-1][:300]}")
    printed = json.loads(finished.stdout.splitlines()[-1])
    return printed if stored_in is not None else printed["texts"]


def measured(case: str, size: Size) -> dict[str, Any]:
    """Measures the calls of a case in this process, one after the other: seconds, CPU seconds and programs."""
    if case == "texts":
        return {"texts": _count_programs(_LONGEST[size])}
    results = {}
    for call in _CASES[case](size):
        bare, _ = _timed(call.bare)
        seconds, programs = _timed(call.explain)
        results[call.name] = {"bare": bare, "call": seconds, "programs": programs}
    return results


def _timed(run: Callable[[], Any]) -> tuple[list[float], int]:
    with compiling() as seen:
        start = time.perf_counter(), time.process_time()
        jax.block_until_ready(run())
        end = time.perf_counter(), time.process_time()
    return [after - before for before, after in zip(start, end, strict=True)], seen.compiled


def _alone(model: Any, x: Any) -> Callable[[], Any]:
    return lambda: jax.jit(lambda model, x: model(x))(model, x)


def _maps(size: Size) -> Iterator[Call]:
    model, x = small_resnet(64), np.ones((1, 64, 64, 3), np.float32)
    yield Call("cam.grad_cam, small ResNet", _alone(model, x), lambda: xai.cam.grad_cam(model, x, target=0).values)


def _table(size: Size, bins: str | None) -> Iterator[Call]:
    features, samples = 30, pick(size, tiny=50, quick=5000, full=5000)
    model = perceptron(features)
    rows = np.random.default_rng(0).normal(size=(100, features)).astype(np.float32)
    yield Call(
        f"lime.tabular of {'numbers' if bins is None else f'{bins}s'}, perceptron",
        _alone(model, rows[:1]),
        lambda: (
            xai.lime.tabular(
                model, rows[:1], xai.lime.statistics(rows, bins=bins), key=KEY, target=0, num_samples=samples
            ).values
        ),
    )


def _image(size: Size) -> Iterator[Call]:
    """Explains an image so small, with so few samples, that the model's run takes no part of the time."""
    model, x = small_resnet(32), np.random.default_rng(0).normal(size=(1, 32, 32, 3)).astype(np.float32)
    regions = xai.mask.superpixels(20)
    options: dict[str, Any] = {"key": KEY, "target": 0, "num_samples": 100}
    yield Call(
        "lime.image, small ResNet", _alone(model, x), lambda: xai.lime.image(model, x, regions, **options).values
    )


def _text(count: int) -> str:
    return " ".join(f"w{1 + number % (VOCABULARY - 1)}" for number in range(count))


def _tokens(text: str) -> list[int]:
    return [int(word[1:]) for word in text.split()]


def _strings(model: Any, count: int) -> Any:
    options: dict[str, Any] = {"key": KEY, "pad_id": 0, "target": 0, "num_samples": 100}
    return xai.lime.strings(model, [_text(count)], _tokens, **options).values


def _texts_of_two_lengths(size: Size) -> Iterator[Call]:
    model = bag_of_words(8)  # its weights do not depend on the length
    for count, title in ((24, "a text of 24 words"), (100, "the next text, of 100 words")):
        ids = np.ones((1, count), np.int32)
        yield Call(
            f"lime.strings, {title}, bag of embeddings", _alone(model, ids), lambda count=count: _strings(model, count)
        )


def _players(size: Size) -> Iterator[Call]:
    """Explains a model, and another function of the same code."""
    features = pick(size, tiny=5, quick=30, full=30)
    model = perceptron(features)
    rows = np.random.default_rng(0).normal(size=(100, features)).astype(np.float32)
    masker = xai.mask.background(rows)
    for title in (f"{features} players, perceptron", "the same model in another function"):
        function = xai.function(lambda x, model=model: model(x)[:, 0])
        game = functools.partial(xai.game, function, rows[:1], masker)
        yield Call(
            f"shap.values, {title}",
            _alone(function, rows[:1]),
            lambda game=game: xai.shap.values(game(), key=KEY).values,
        )


_CASES: dict[str, Callable[[Size], Iterator[Call]]] = {
    "maps": _maps,
    "numbers": functools.partial(_table, bins=None),
    "quartiles": functools.partial(_table, bins="quartile"),
    "image": _image,
    "strings": _texts_of_two_lengths,
    "shap": _players,
}


def _count_programs(longest: int) -> dict[str, int]:
    """Explains texts of one word, and of as many words as each power of two and one more, up to the longest."""
    model = bag_of_words(8)
    powers = [2**exponent for exponent in range(longest.bit_length()) if 2**exponent <= longest]
    lengths = sorted({1, *powers, *(power + 1 for power in powers if power < longest)})
    counts = []
    for count in lengths:
        with compiling() as seen:
            jax.block_until_ready(_strings(model, count))
        counts.append(seen.compiled)
    return {"texts": len(lengths), "texts_compiled": int(np.count_nonzero(counts)), "programs": sum(counts)}
