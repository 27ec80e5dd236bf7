"""Growth of time and temporary memory with each size of a problem: exponents fitted to a few points, and expected ones.

One size grows while the others are constant. The memory is the temporary memory that XLA plans for the compiled program.
Explainers evaluate in blocks of `batch_size` model rows, so that the number of blocks does not change the memory.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from rich.table import Table

import xaijax as xai
from benchmarks._models import KEY, perceptron, plain_network, plain_perceptron
from benchmarks._overhead import Size, pick
from benchmarks._timing import interleaved
from xaijax.shap import _gaussian_process, _kernel, _paired
from xaijax.shap._design import design
from xaijax.shap._least_squares import regression

ROWS, IMAGES = 256, 16  # model rows in one block: every case has more than one block at its smallest size


@dataclasses.dataclass(frozen=True)
class Program:
    """lowered: the program to compile; arguments: of the compiled program."""

    lowered: Any
    arguments: tuple[Any, ...]


@dataclasses.dataclass(frozen=True)
class Growth:
    """An explainer and the size that grows.

    build: the program for a size.
    time, memory: the smallest and the largest exponent that is expected for large sizes.
    small, quick, full: the sizes of each form.
    """

    explainer: str
    axis: str
    build: Callable[[int], Program]
    time: tuple[float, float]
    memory: tuple[float, float]
    small: Sequence[int]
    quick: Sequence[int]
    full: Sequence[int]


FLAT, LINEAR, SQUARE, AT_MOST_LINEAR, AT_MOST_SQUARE, TO_SQUARE = (0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)


def measure(*, quick: bool, small: bool) -> list[dict[str, Any]]:
    """Measures time and temporary memory of every case at every size, and fits the exponents.

    Args:
      quick: two or three sizes and three repeats, of fewer cases; instead of three to five sizes and five repeats.
      small: two tiny sizes, timed once, to test the code and whether memory is constant.

    Returns:
      A row for each case: its sizes, and for each of these seconds (medians), seconds_each, compile_seconds, bytes
      (temporary), argument_bytes and output_bytes; time_exponent and memory_exponent, and the range of the
      expected ones.
    """
    form, repeats = ("small", 1) if small else ("quick", 3) if quick else ("full", 5)
    return [_grown(case, getattr(case, form), repeats) for case in growths() if getattr(case, form)]


def growths() -> list[Growth]:
    """Returns the explainers and the sizes that grow."""
    return [*_of_maps(), *_of_permutations(), *_of_pairs(), *_of_lime()]


def table(rows: list[dict[str, Any]]) -> Table:
    """Returns a line for each case: sizes, times and memory of the smallest and largest, and both exponents."""
    table = Table(title="time and temporary memory ~ size^exponent (fitted to all sizes; expected for large ones)")
    for name in ("explainer", "grows", "sizes", "time", "exponent", "expected", "memory", "exponent", "expected"):
        table.add_column(name, justify="left" if name in ("explainer", "grows") else "right")
    for row in rows:
        table.add_row(
            row["explainer"],
            row["axis"],
            _ends(f"{size:,}" for size in row["sizes"]),
            _ends(f"{1e3 * seconds:,.3g}" for seconds in row["seconds"]) + " ms",
            f"{row['time_exponent']:.2f}",
            _range(row["expected_time_exponent"]),
            _ends(f"{size / 1e6:,.3g}" for size in row["bytes"]) + " MB",
            f"{row['memory_exponent']:.2f}",
            _range(row["expected_memory_exponent"]),
        )
    return table


def exponent(sizes: Sequence[float], amounts: Sequence[float]) -> float:
    """Returns p of amount = c · size^p: the slope of the least-squares line through the logarithms."""
    x = np.log(np.asarray(sizes, np.float64))
    y = np.log(np.maximum(np.asarray(amounts, np.float64), np.finfo(np.float64).tiny))
    x -= x.mean()
    return float(x @ (y - y.mean()) / (x @ x))


def _grown(case: Growth, sizes: Sequence[int], repeats: int) -> dict[str, Any]:
    points = [_point(case.build(size), repeats) for size in sizes]
    row: dict[str, Any] = {name: [point[name] for point in points] for name in points[0]}
    return {
        "name": f"{case.explainer}, {case.axis}",
        "explainer": case.explainer,
        "axis": case.axis,
        "sizes": list(sizes),
        **row,
        "time_exponent": exponent(sizes, row["seconds"]),
        "expected_time_exponent": list(case.time),
        "memory_exponent": exponent(sizes, row["bytes"]),
        "expected_memory_exponent": list(case.memory),
    }


def _point(program: Program, repeats: int) -> dict[str, Any]:
    start = time.perf_counter()
    compiled = program.lowered.compile()
    compile_seconds = time.perf_counter() - start
    memory = compiled.memory_analysis()
    run = lambda: compiled(*program.arguments)  # noqa: E731
    jax.block_until_ready(run())
    seconds = interleaved({"": run}, repeats)[""]
    return {
        "seconds": float(np.median(seconds)),
        "seconds_each": seconds,
        "compile_seconds": compile_seconds,
        "bytes": memory.temp_size_in_bytes,
        "argument_bytes": memory.argument_size_in_bytes,
        "output_bytes": memory.output_size_in_bytes,
    }


def _of_maps() -> list[Growth]:
    """Returns cases of Grad-CAM: one forward pass of all inputs at once, and a backward pass for each class."""

    def build(batch: int = 4, side: int = 32, classes: int = 10, target: Any = 0) -> Program:
        explain = jax.jit(lambda model, x: xai.cam.grad_cam(model, x, layer="last", target=target).values)
        arguments = (plain_network(classes), jax.random.normal(KEY, (batch, side, side, 3)))
        return Program(explain.lower(*arguments), arguments)

    def of(axis: str, build: Any, time: Any, memory: Any, *sizes: Any) -> Growth:
        return Growth("Grad-CAM", axis, build, time, memory, *sizes)

    return [
        of("batch", lambda n: build(n), LINEAR, LINEAR, (2, 8), (4, 32, 256), (1, 8, 64, 512, 4096)),
        of("image side", lambda n: build(side=n), SQUARE, SQUARE, (), (32, 64, 128), (32, 64, 128, 256, 512)),
        of(
            "classes, a map of each", lambda n: build(classes=n, target="all"), AT_MOST_LINEAR, AT_MOST_LINEAR,
            (), (10, 100, 1000), (10, 30, 100, 300, 1000),
        ),
    ]  # fmt: skip


def _of_permutations() -> list[Growth]:
    """Returns cases of permutation SHAP, which keeps only running means of its evaluations."""

    def build(
        batch: int = 4, background: int = 16, permutations: int = 4, features: int = 10, classes: int = 0
    ) -> Program:
        game = _game(features, background, batch, classes)
        return Program(_permutation_program(permutations, ROWS).lower(game), (game,))

    def of(axis: str, build: Any, time: Any, memory: Any, *sizes: Any) -> Growth:
        return Growth("permutation SHAP", axis, build, time, memory, *sizes)

    return [
        of("batch", lambda n: build(batch=n), LINEAR, FLAT, (2, 8), (1, 256), (1, 8, 64, 512, 4096)),
        of("samples", lambda n: build(permutations=n), LINEAR, FLAT, (2, 8), (4, 32, 256), (4, 16, 64, 256, 1024)),
        of("background", lambda n: build(background=n), LINEAR, FLAT, (64, 256), (64, 256, 1024), (64, 256, 1024, 4096)),
        # The coalitions of one order, times the cost of a model row.
        of("features", lambda n: build(features=n), TO_SQUARE, LINEAR, (), (10, 256), (10, 32, 100, 320, 1024)),
        of(
            "classes, all at once", lambda n: build(classes=n), AT_MOST_LINEAR, AT_MOST_LINEAR,
            (), (10, 100, 1000), (10, 30, 100, 300, 1000),
        ),
    ]  # fmt: skip


def _of_pairs() -> list[Growth]:
    """Returns cases of kernel and Gaussian process SHAP, which keep the design and a value of each coalition."""

    def kernel(batch: int = 4, background: int = 16, evaluations: int = 40, features: int = 10) -> Program:
        pairs = design(features, ((evaluations - 2) // 2,))
        return of_solver(
            _game(features, background, batch), pairs.coalitions, Partial(_kernel._solve, regression(pairs, 0))
        )

    def process(batch: int = 4, background: int = 16, evaluations: int = 40, features: int = 10) -> Program:
        prepared = _gaussian_process._prepare(features, ((evaluations - 2) // 2,), "isotropic")
        return of_solver(_game(features, background, batch), *prepared)

    def of_solver(game: xai.Game, coalitions: np.ndarray, solve: Any) -> Program:
        # The solver's constants are arguments, which may be as large as those of the process.
        arguments = (game, jnp.asarray(coalitions), [solve], [])
        options = {"stages": (len(coalitions),), "until": None, "estimator": "", "title": "", "batch_size": ROWS}
        explain = jax.jit(lambda game, *rest: _paired._explain(game, KEY, None, *rest, **options))
        return Program(explain.lower(*arguments), arguments)

    def of(name: str, build: Callable[..., Program], samples: tuple[float, float], largest: int) -> list[Growth]:
        quick = name.startswith("Gaussian")  # the two differ only in their solvers
        return [
            Growth(
                name, "batch", lambda n: build(batch=n), LINEAR, FLAT,
                () if quick else (2, 8), (), (1, 8, 64, 512, 4096),
            ),
            Growth(
                name, "samples", lambda n: build(evaluations=n, features=30), samples, AT_MOST_LINEAR,
                (), (60, 960) if quick else (), (60, 240, 960, largest),
            ),
            Growth(
                name, "background", lambda n: build(background=n), LINEAR, FLAT,
                (), (), (64, 256, 1024, 4096),
            ),
            # Equal evaluations per feature, rows whose cost grows with the features, and the solver.
            Growth(
                name, "features", lambda n: build(features=n, evaluations=4 * n), TO_SQUARE, TO_SQUARE,
                (), (10, 200) if quick else (), (10, 32, 100, 320, 1000),
            ),
        ]  # fmt: skip

    # The process averages 24 models, each a factor [m/2, m/2] times the odd parts.
    return [
        *of("kernel SHAP", kernel, LINEAR, 20_000),
        *of("Gaussian process SHAP", process, TO_SQUARE, 4_000),
    ]


def _of_lime() -> list[Growth]:
    """Returns cases of LIME, which keeps the samples of the neighborhood that it fits, but not their inputs."""

    def tables(batch: int = 4, samples: int = 512, features: int = 10) -> Program:
        x = jax.random.normal(KEY, (batch, features))
        arguments = (plain_perceptron(features, 0), x, xai.lime.statistics(jax.random.normal(KEY, (50, features))))
        explain = jax.jit(
            lambda model, x, statistics: (
                xai.lime.tabular(
                    model, x, statistics, key=KEY, target=0, num_samples=samples, batch_size=ROWS
                ).values
            )
        )  # fmt: skip
        return Program(explain.lower(*arguments), arguments)

    def images(batch: int = 2, samples: int = 64, side: int = 32, cells: int = 4) -> Program:
        arguments = (plain_network(10), jax.random.normal(KEY, (batch, side, side, 3)))
        explain = jax.jit(
            lambda model, x: (
                xai.lime.image(
                    model, x, xai.mask.grid(cells), key=KEY, target=0, num_samples=samples, batch_size=IMAGES
                ).values
            )
        )  # fmt: skip
        return Program(explain.lower(*arguments), arguments)

    def of_tables(axis: str, build: Any, time: Any, memory: Any, *sizes: Any) -> Growth:
        return Growth("LIME of tables", axis, build, time, memory, *sizes)

    def of_images(axis: str, build: Any, time: Any, memory: Any, *sizes: Any) -> Growth:
        return Growth("LIME of images", axis, build, time, memory, *sizes)

    wide, superpixels = (10, 32, 100, 320, 1024), (16, 64, 256, 1024)
    return [
        of_tables("batch", lambda n: tables(batch=n), LINEAR, FLAT, (2, 8), (), (1, 8, 64, 512, 4096)),
        of_tables("samples", lambda n: tables(samples=n), LINEAR, AT_MOST_LINEAR, (), (512, 8192), (512, 8192, 131_072)),
        of_tables("features", lambda n: tables(features=n), TO_SQUARE, TO_SQUARE, (), (), wide),
        of_images("batch", lambda n: images(batch=n, samples=32, side=16), LINEAR, FLAT, (), (), (1, 8, 64, 512, 4096)),
        of_images("samples", lambda n: images(samples=n), LINEAR, FLAT, (64, 256), (64, 512), (64, 256, 1024, 4096)),
        of_images(
            "superpixels", lambda n: images(cells=round(n**0.5)), AT_MOST_LINEAR, AT_MOST_SQUARE,
            (), (16, 256), superpixels,
        ),
        of_images("image side", lambda n: images(side=n), SQUARE, SQUARE, (), (16, 64), (16, 32, 64, 128, 256)),
    ]  # fmt: skip


def _game(features: int, background: int, batch: int, classes: int = 0) -> xai.Game:
    model, (x, rows) = (
        plain_perceptron(features, classes),
        (jax.random.normal(KEY, (n, features)) for n in (batch, background)),
    )
    return xai.game(model, x, xai.mask.background(rows + 1), target="all" if classes else None)


def _ends(texts: Any) -> str:
    first, *_, last = texts
    return f"{first}-{last}"


def _range(exponents: list[float]) -> str:
    low, high = exponents
    return f"{low:g}" if low == high else f"{low:g}-{high:g}"


FEATURES, INPUTS = 30, 20


def measure_memory(size: Size) -> list[dict[str, Any]]:
    """Measures the temporary memory of permutation SHAP by block size, and the memory of all rows at once."""
    model = perceptron(FEATURES)
    rows_measured = []
    for batch_size in pick(size, tiny=(64,), quick=(2048, 16384), full=(2048, 16384)):
        for background, permutations in pick(
            size, tiny=((10, 2),), quick=((100, 10), (10_000, 1000)), full=((100, 10), (1000, 100), (10_000, 1000))
        ):
            masker = xai.mask.background(jnp.zeros((background, FEATURES)))
            game = xai.game(model, jnp.zeros((INPUTS, FEATURES)), masker, target=0)
            lowered = _permutation_program(permutations, batch_size).lower(game)
            rows = INPUTS * 2 * permutations * (FEATURES - 1) * background
            rows_measured.append(
                {
                    "name": f"batch_size {batch_size}, {background} background rows, {permutations} permutations",
                    "batch_size": batch_size,
                    "background": background,
                    "permutations": permutations,
                    "rows": rows,
                    "bytes": lowered.compile().memory_analysis().temp_size_in_bytes,
                    "bytes_at_once": rows * FEATURES * 4,
                }
            )
    return rows_measured


def _permutation_program(permutations: int, batch_size: int) -> Any:
    """Returns permutation SHAP of a game, to be lowered."""
    options: dict[str, Any] = {"key": KEY, "num_permutations": permutations, "batch_size": batch_size}
    return jax.jit(lambda game: xai.shap.permutation(game, **options).values)
