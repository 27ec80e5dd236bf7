"""Strong and weak scaling over a mesh of devices: equal numbers, no collectives in loops, evenly split programs, and time.

By itself, `python -m benchmarks._devices`, it forces eight devices onto one CPU and prints rows as JSON. These share the
cores: their efficiencies say nothing, and the results, the collectives and the partitioned shapes everything.
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
from benchmarks import _partitioned
from benchmarks._bare import KEY
from benchmarks._growth import network, perceptron

FORCED = 8
WAYS = ("sharded arrays", "shard_map")
Explain = Callable[[Any, Any, Any], Any]  # model, x [N, ...], ids [N] -> values [N, ...]


class Case(NamedTuple):
    """An explainer, its model, and a batch x [N, ...] of which each of n devices has the n-th part."""

    explainer: str
    explain: Explain
    model: Any
    x: jax.Array


def measure(*, quick: bool, small: bool) -> list[dict[str, Any]]:
    """Scaling over eight devices forced onto the CPU, in a process of its own, and over real ones if there are several.

    Args:
      quick: three repeats, fewer inputs, one device and the most, and no LIME.
      small: two explainers at tiny sizes over one and eight devices, timed once.

    Returns:
      A row for each explainer, way of splitting and number of devices; see `scaling`.
    """
    rows = _on_forced_devices(quick=quick, small=small)
    if jax.default_backend() != "cpu" and jax.local_device_count() > 1:
        rows += scaling(jax.local_devices(), quick=quick, small=small)
    return rows


def scaling(devices: Sequence[Any], *, quick: bool, small: bool) -> list[dict[str, Any]]:
    """Strong and weak scaling over these devices, with the data sharded over a mesh.

    "sharded arrays" is one call on a sharded batch, which the compiler partitions; "shard_map" explains the rows of each
    device by themselves, as `xai.scale.explain_dataset` does. Strong: the same inputs on more devices; weak: as many
    inputs for each device.

    Returns:
      Rows of scaling, explainer, way, devices, inputs; program_inputs, the shape of the inputs in the partitioned
      program; max_difference from one device; collectives, and collectives_in_loops; work_ratio, what all devices
      compute in matrix products and convolutions over what one device does for the same inputs (1: evenly split);
      seconds, seconds_each and efficiency (what one device takes over what all take together; for weak scaling, over
      what each takes).
    """
    repeats = 1 if small else 3 if quick else 7
    counts = [count for count in (1, 2, 4, 8) if count <= len(devices)]
    counts = sorted({1, counts[-1]}) if small or quick else counts
    weak = counts[:0] if small else counts[:-1]  # the largest is that of strong scaling
    return [
        row
        for case in _cases(small, quick, counts[-1])
        for way in WAYS
        for row in _scaled(case, way, devices, counts, weak, repeats)
    ]


def table(rows: list[dict[str, Any]]) -> Table:
    """One line for each row of `measure`."""
    forced = any(row["forced"] for row in rows)
    found = Table(
        title="many devices",
        caption="devices forced onto one CPU share its cores: their efficiency says nothing" if forced else None,
    )
    left = ("scaling", "explainer", "split by", "kind")
    for name in (
        *left, "devices", "inputs", "on each", "difference", "collectives", "in loops", "work", "time", "efficiency"
    ):  # fmt: skip
        found.add_column(name, justify="left" if name in left else "right")
    for row in rows:
        found.add_row(
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
    return found


class _Program(NamedTuple):
    """A compiled program on some devices, what it is called with, what its text says, and its answer."""

    run: Callable[[], Any]
    inputs: int
    devices: int
    partitioned: _partitioned.Partitioned
    values: np.ndarray


def _scaled(
    case: Case, way: str, devices: Sequence[Any], strong: Sequence[int], weak: Sequence[int], repeats: int
) -> list[dict[str, Any]]:
    most = strong[-1]
    each, forced = len(case.x) // most, devices[0].platform == "cpu"
    programs = {("strong", count): _program(case, way, devices[:count], len(case.x)) for count in strong}
    programs |= {("weak", count): _program(case, way, devices[:count], each * count) for count in weak}
    if weak:
        programs["weak", most] = programs["strong", most]
    seconds: dict[Any, list[float]] = {key: [] for key in programs}
    for _ in range(repeats):
        for key, program in programs.items():
            start = time.perf_counter()
            jax.block_until_ready(program.run())
            seconds[key].append(time.perf_counter() - start)

    reference = programs["strong", 1].values
    rows = []
    for (kind, count), program in programs.items():
        alone = programs[kind, 1]
        shape = next(one for one in program.partitioned.arguments if one[1:] == case.x.shape[1:])
        taken, taken_alone = (float(np.median(seconds[kind, number])) for number in (count, 1))
        share = program.inputs // alone.inputs  # of the work that the single device does
        rows.append(
            {
                "name": f"{kind} scaling of {case.explainer}, {way}, {count} {'forced ' if forced else ''}devices",
                "scaling": kind,
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
                "work_ratio": count * program.partitioned.work / (share * alone.partitioned.work),
                "seconds": taken,
                "seconds_each": seconds[kind, count],
                "efficiency": taken_alone / taken if kind == "weak" else taken_alone / (count * taken),
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
    return _Program(run, inputs, len(devices), _partitioned.read(compiled.as_text() or ""), values)


def _cases(small: bool, quick: bool, most: int) -> list[Case]:
    """Blocks hold at least one row of every device, as those of models that are worth several devices do.

    Except in the last case: a block of one example cannot be split, so that the compiler lets every device explain
    everything, and what `shard_map` splits stays split.
    """
    inputs, side, features = (2 * most, 8, 6) if small else (4 * most if quick else 16 * most, 32, 30)
    permutations, background = (2, 4) if small else (4, 50)
    rows = background * 2 * permutations * (features - 1)  # of one example
    x = jax.random.normal(KEY, (inputs, features))
    masker = xai.mask.background(jax.random.normal(jax.random.key(1), (background, features)))
    table, images = perceptron(features, 0), network(10)

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
        found = xai.shap.gaussian_process(game, key=KEY, ids=ids, num_evaluations=4 * features, batch_size=rows * most)
        return found.values

    def lime(model: Any, x: Any, ids: Any) -> Any:
        grid = xai.mask.grid(4)
        return xai.lime.image(model, x, grid, key=KEY, ids=ids, target=0, num_samples=64, batch_size=64 * most).values

    pictures = jax.random.normal(KEY, (inputs, side, side, 3))
    found = [
        Case("Grad-CAM", grad_cam, images, pictures),
        Case("permutation SHAP", permutation(rows * most), table, x),
        Case("permutation SHAP, one example in a block", permutation(rows), table, x),
    ]
    if small:
        return found
    found.append(Case("Gaussian process SHAP", process, table, x))
    return found if quick else [*found, Case("LIME of images", lime, images, pictures)]


def _on_forced_devices(*, quick: bool, small: bool) -> list[dict[str, Any]]:
    """Devices are forced before JAX starts, so in another process."""
    flags = re.sub(r"--xla_force_host_platform_device_count=\d+", "", os.environ.get("XLA_FLAGS", ""))
    environment = {
        "XLA_FLAGS": f"{flags} --xla_force_host_platform_device_count={FORCED}",
        # XLA's CPU client blocks a thread for each busy device; with none to spare, matrix products wait for ever.
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
        raise RuntimeError(f"the process with {FORCED} forced devices failed:\n{finished.stderr[-2000:]}")
    return json.loads(finished.stdout.splitlines()[-1])


if __name__ == "__main__":
    print(json.dumps(scaling(jax.devices(), quick="quick" in sys.argv, small="small" in sys.argv)))
