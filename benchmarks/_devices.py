"""Strong and weak scaling over a mesh of devices: equal numbers, no collectives in loops, evenly split programs, and time.

`python -m benchmarks._devices` forces eight devices onto one CPU and prints rows as JSON. These devices share the cores, so
that their efficiencies mean nothing; the values, the collectives and the partitioned shapes are valid.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from rich.table import Table

import xaijax as xai
from benchmarks._models import KEY, plain_network, plain_perceptron
from benchmarks._partitioned_programs import Partitioned, read_program

FORCED = 8
WAYS = ("sharded arrays", "shard_map")
Explain = Callable[[Any, Any, Any], Any]  # model, x [N, ...], ids [N] -> values [N, ...]


class Case(NamedTuple):
    """An explainer, its model, and a batch x [N, ...], of which each of n devices has N / n rows."""

    explainer: str
    explain: Explain
    model: Any
    x: jax.Array


def measure(*, quick: bool, small: bool) -> list[dict[str, Any]]:
    """Measures scaling over eight devices forced onto the CPU, in a separate process, and over several accelerators if present.

    Args:
      quick: three repeats, fewer inputs, one device and all devices, and no LIME.
      small: two explainers at tiny sizes over one and eight devices, timed once.

    Returns:
      A row for each explainer, way of splitting and number of devices; see `scaling`.
    """
    rows = _on_forced_devices(quick=quick, small=small)
    if jax.default_backend() != "cpu" and jax.local_device_count() > 1:
        rows += scaling(jax.local_devices(), quick=quick, small=small)
    return rows


def scaling(devices: Sequence[Any], *, quick: bool, small: bool) -> list[dict[str, Any]]:
    """Measures strong and weak scaling over these devices, with the data sharded over a mesh.

    "sharded arrays" is one call on a sharded batch, which the compiler partitions; "shard_map" explains the rows of each
    device separately, as `xai.scale.explain_dataset` does. Strong: the same inputs on more devices; weak: equal
    numbers of inputs on each device.

    Returns:
      Rows of scaling, explainer, way, devices, inputs; program_inputs, the shape of the inputs in the partitioned
      program; max_difference from one device; collectives, and collectives_in_loops; work_ratio, the work of all
      devices in matrix products and convolutions divided by that of one device for the same inputs (1: evenly split);
      seconds, seconds_each and efficiency (the time of one device divided by the summed time of all devices; for weak
      scaling, by the time of each device).
    """
    repeats = 1 if small else 3 if quick else 7
    counts = [count for count in (1, 2, 4, 8) if count <= len(devices)]
    if small or quick:
        counts = sorted({1, counts[-1]})
    elif devices[0].platform == "cpu":
        counts = sorted({1, 2, counts[-1]})  # their values and collectives are measured, not their times
    weak = counts[:0] if small else counts[:-1]  # the largest number of devices is measured as strong scaling
    return [
        row
        for case in _cases(small, quick, counts[-1])
        for way in WAYS
        for row in _scaled(case, way, devices, counts, weak, repeats)
    ]


def table(rows: list[dict[str, Any]]) -> Table:
    """Returns a line for each row of `measure`."""
    forced = any(row["forced"] for row in rows)
    table = Table(
        title="scaling over devices",
        caption="devices forced onto one CPU share its cores: their efficiency means nothing" if forced else None,
    )
    left = ("scaling", "explainer", "split by", "device")
    for name in (
        *left, "devices", "inputs", "on each", "difference", "collectives", "in loops", "work", "time", "efficiency"
    ):  # fmt: skip
        table.add_column(name, justify="left" if name in left else "right")
    for row in rows:
        table.add_row(
            row["scaling"],
            row["explainer"],
            row["way"],
            f"forced {row['kind']}" if row["forced"] else row["kind"],
            f"{row['devices']}",
            f"{row['inputs']:,}",
            " × ".join(map(str, row["program_inputs"])),
            f"{row['max_difference']:.1e}",
            f"{row['collectives']}",
            f"{row['collectives_in_loops']}",
            f"{row['work_ratio']:.2f}",
            f"{1e3 * row['seconds']:,.1f} ms",
            f"{row['efficiency']:.2f}",
        )
    return table


class _Program(NamedTuple):
    """A compiled program on some devices, its inputs, its text, and its values."""

    run: Callable[[], Any]
    inputs: int
    devices: int
    partitioned: Partitioned
    values: np.ndarray


def _scaled(
    case: Case, way: str, devices: Sequence[Any], strong: Sequence[int], weak: Sequence[int], repeats: int
) -> list[dict[str, Any]]:
    largest = strong[-1]
    each, forced = len(case.x) // largest, devices[0].platform == "cpu"
    programs = {("strong", count): _program(case, way, devices[:count], len(case.x)) for count in strong}
    programs |= {("weak", count): _program(case, way, devices[:count], each * count) for count in weak}
    if weak:
        programs["weak", largest] = programs["strong", largest]
    seconds: dict[Any, list[float]] = {key: [] for key in programs}
    for _ in range(repeats):
        for key, program in programs.items():
            start = time.perf_counter()
            jax.block_until_ready(program.run())
            seconds[key].append(time.perf_counter() - start)

    reference = programs["strong", 1].values
    rows = []
    for (scaling, count), program in programs.items():
        alone = programs[scaling, 1]
        shape = next(shape for shape in program.partitioned.arguments if shape[1:] == case.x.shape[1:])
        taken, taken_alone = (float(np.median(seconds[scaling, number])) for number in (count, 1))
        factor = program.inputs // alone.inputs  # of the work of the single device
        rows.append(
            {
                "name": f"{scaling} scaling of {case.explainer}, {way}, {count} {'forced ' if forced else ''}devices",
                "scaling": scaling,
                "explainer": case.explainer,
                "way": way,
                "kind": devices[0].device_kind,
                "forced": forced,
                "devices": count,
                "inputs": program.inputs,
                "program_inputs": list(shape),
                "max_difference": float(np.abs(program.values - reference[: program.inputs]).max()),
                "collectives": program.partitioned.collectives,
                "collectives_in_loops": program.partitioned.in_loops,
                "work_ratio": count * program.partitioned.work / (factor * alone.partitioned.work),
                "seconds": taken,
                "seconds_each": seconds[scaling, count],
                "efficiency": taken_alone / taken if scaling == "weak" else taken_alone / (count * taken),
            }
        )
    return rows


def _program(case: Case, way: str, devices: Sequence[Any], inputs: int) -> _Program:
    mesh = Mesh(np.array(devices), ("rows",))
    split, everywhere = PartitionSpec("rows"), PartitionSpec()
    explain = case.explain
    if way == "shard_map":
        explain = jax.shard_map(
            explain, mesh=mesh, check_vma=False, in_specs=(everywhere, split, split), out_specs=split
        )
    arguments = (
        jax.device_put(case.model, NamedSharding(mesh, everywhere)),
        *jax.device_put((case.x[:inputs], jnp.arange(inputs)), NamedSharding(mesh, split)),
    )
    compiled = jax.jit(explain).lower(*arguments).compile()
    run = lambda: compiled(*arguments)  # noqa: E731
    values = np.asarray(run())
    return _Program(run, inputs, len(devices), read_program(compiled.as_text() or ""), values)


def _cases(small: bool, quick: bool, num_devices: int) -> list[Case]:
    """Returns cases whose blocks hold at least one row of every device, as the blocks of large models do.

    The exception is the case of one example in a block, which cannot be split: the compiler lets every device explain all
    examples, while `shard_map` splits them.
    """
    inputs, side, features = (
        (2 * num_devices, 8, 6) if small else (4 * num_devices if quick else 16 * num_devices, 32, 30)
    )
    permutations, background = (2, 4) if small else (4, 50)
    rows = background * 2 * permutations * (features - 1)  # of one example
    x = jax.random.normal(KEY, (inputs, features))
    masker = xai.mask.background(jax.random.normal(jax.random.key(1), (background, features)))
    table, images = plain_perceptron(features, 0), plain_network(10)

    def grad_cam(model: Any, x: Any, ids: Any) -> Any:
        return xai.cam.grad_cam(model, x, layer="last", target=0).values

    def permutation(batch_size: int) -> Explain:
        return lambda model, x, ids: (
            xai.shap.permutation(
                xai.game(model, x, masker), key=KEY, ids=ids, num_permutations=permutations, batch_size=batch_size
            ).values
        )

    def process(model: Any, x: Any, ids: Any) -> Any:
        game = xai.game(model, x, masker)
        budget: dict[str, Any] = {"num_evaluations": 4 * features, "batch_size": rows * num_devices}
        return xai.shap.gaussian_process(game, key=KEY, ids=ids, **budget).values

    def lime(model: Any, x: Any, ids: Any) -> Any:
        grid = xai.mask.grid(4)
        return xai.lime.image(
            model, x, grid, key=KEY, ids=ids, target=0, num_samples=64, batch_size=64 * num_devices
        ).values

    x_images = jax.random.normal(KEY, (inputs, side, side, 3))
    cases = [
        Case("Grad-CAM", grad_cam, images, x_images),
        Case("permutation SHAP", permutation(rows * num_devices), table, x),
        Case("permutation SHAP, one example in a block", permutation(rows), table, x),
    ]
    if small:
        return cases
    cases.append(Case("Gaussian process SHAP", process, table, x))
    return cases if quick else [*cases, Case("LIME of images", lime, images, x_images)]


def _on_forced_devices(*, quick: bool, small: bool) -> list[dict[str, Any]]:
    """Measures in another process, since devices are forced before JAX starts."""
    flags = re.sub(r"--xla_force_host_platform_device_count=\d+", "", os.environ.get("XLA_FLAGS", ""))
    environment = {
        "XLA_FLAGS": f"{flags} --xla_force_host_platform_device_count={FORCED}",
        # XLA's CPU client blocks a thread for each busy device; without further threads, matrix products deadlock.
        "NPROC": str(2 * FORCED),
        "JAX_PLATFORMS": "cpu",
    }
    form = "small" if small else "quick" if quick else "full"
    finished = subprocess.run(
        [sys.executable, "-m", "benchmarks._devices", form],
        cwd=Path(__file__).parent.parent,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    if finished.returncode:
        raise RuntimeError(f"The process with {FORCED} forced devices failed:\n{finished.stderr[-2000:]}")
    return json.loads(finished.stdout.splitlines()[-1])


if __name__ == "__main__":
    print(json.dumps(scaling(jax.devices(), quick="quick" in sys.argv, small="small" in sys.argv)))
