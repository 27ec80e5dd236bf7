"""The grid of a comparison of explainers: what its cells are, how one is measured, and a folder of the finished ones.

The folder holds whole cells whenever the comparison is killed:
grid.json      hashes of each model, explainer, key and of the data
cells.jsonl    one line for each finished cell
values/*.npy   its values, written before its line, which holds their checksum
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import time
from collections.abc import Callable, Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.calls import accepted, call_noted
from xaijax._io.archive import read_json, write_json
from xaijax._io.atomic import write_file
from xaijax._io.fingerprint import digest, program_digest
from xaijax._model import as_model

TRUTH = "truth"
FORMAT = 2  # of the folder; raised by changes that older versions cannot read
_GRID, _CELLS, _VALUES = "grid.json", "cells.jsonl", "values"
Grid = dict[str, dict[str, str]]  # "models" -> its name -> its hash


class Cells:
    """The finished cells of one grid: `cells.find(name)` returns the record and the values of one."""

    def __init__(self, folder: Path, grid: Grid):
        """Opens or creates the folder.

        Raises:
          ValueError: if it holds the cells of another grid, is damaged, or was written by a newer version.
        """
        self._folder = folder
        (folder / _VALUES).mkdir(parents=True, exist_ok=True)
        if (folder / _GRID).exists():
            _check_grid(folder, grid)
        else:
            write_json(folder / _GRID, {"format": FORMAT} | grid)
        self._records = _read_records(folder / _CELLS)

    def find(self, name: str) -> tuple[dict[str, Any], np.ndarray] | None:
        """Returns a finished cell; None if it is not finished, or its values are not those that were written."""
        record = self._records.get(name)
        path = self._path(name)
        if record is None or not path.exists():
            return None
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != record["sha256"]:
            return None
        return record, np.load(io.BytesIO(content), allow_pickle=False)

    def keep(self, name: str, record: dict[str, Any], values: np.ndarray) -> None:
        """Writes the values, and then all lines anew, so that no line is ever cut short."""
        buffer = io.BytesIO()
        np.save(buffer, values, allow_pickle=False)
        content = buffer.getvalue()
        write_file(self._path(name), content)
        self._records[name] = {"cell": name, **record, "sha256": hashlib.sha256(content).hexdigest()}
        write_file(self._folder / _CELLS, "".join(json.dumps(line) + "\n" for line in self._records.values()))

    def _path(self, name: str) -> Path:
        return self._folder / _VALUES / f"{hashlib.sha256(name.encode()).hexdigest()[:24]}.npy"


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is measured, after the arguments were checked."""

    models: dict[str, Any]
    explainers: dict[str, Callable[..., Attribution]]
    x: Any
    budgets: list[int]
    keys: list[Any]
    truth: Callable[..., Attribution] | None
    batch_size: int | None
    repeats: int

    def grid(self) -> Grid:
        return {
            "the model": {name: _model_digest(model, self.x) for name, model in self.models.items()},
            "the explainer": {name: digest(explainer) for name, explainer in self.explainers.items()},
            "the budget": {str(budget): "" for budget in self.budgets},
            "the key": {str(number): digest(key) for number, key in enumerate(self.keys)},
            "the argument": {
                "x": digest(self.x),
                "truth": digest(self.truth),
                "batch_size": str(self.batch_size),
                "repeats": str(self.repeats),
            },
        }

    def truth_of(self, model: str, cells: Cells) -> np.ndarray | None:
        if self.truth is None:
            return None
        cell = f"{model} | {TRUTH}"
        finished = cells.find(cell)
        if finished is None:
            start = time.perf_counter()
            answer, _ = self._explain(self.truth, model, {})
            seconds = time.perf_counter() - start
            finished = {"model": model, "explainer": TRUTH, "seconds_with_compiling": seconds}, answer
            cells.keep(cell, *finished)
        return finished[1].astype(np.float64)

    def measure(self, model: str, explainer: str, budget: int, number: int) -> tuple[dict[str, Any], np.ndarray]:
        given = {"budget": budget, "key": self.keys[number]}
        seconds = []
        answer, evaluations = np.zeros(0), None
        for _ in range(1 + self.repeats):
            start = time.perf_counter()
            answer, evaluations = self._explain(self.explainers[explainer], model, given)
            seconds.append(time.perf_counter() - start)
        first, *others = seconds
        rows, median = len(answer), float(np.median(others))
        record = {"model": model, "explainer": explainer, "budget": budget, "key": number, "rows": rows}
        record |= {"seconds": median, "rows_per_second": rows / median, "seconds_with_compiling": first}
        if evaluations is not None:
            record["evaluations"] = evaluations
        return record, answer

    def _explain(
        self, explainer: Callable[..., Any], model: str, given: dict[str, Any]
    ) -> tuple[np.ndarray, float | None]:
        """The values [N, M] and the mean number of evaluations, batch by batch."""
        count = check.examples(self.x)
        at_once = min(count, self.batch_size or count)
        parts, evaluations = [], []
        for start in range(0, count, at_once):
            rows = np.minimum(np.arange(start, start + at_once), count - 1)
            ids = jnp.asarray(rows, jnp.int32)
            batch = jax.tree.map(itemgetter(ids), self.x)
            options = accepted(explainer, given | {"ids": ids})
            answer = call_noted("explainers", explainer, self.models[model], batch, **options)
            if not isinstance(answer, Attribution):
                raise TypeError(f"`explainers` must return Attributions, got {check.shown(answer)}.")
            kept = min(at_once, count - start)
            parts.append(np.asarray(jax.block_until_ready(answer.values))[:kept])
            if answer.num_evaluations is not None:
                evaluations.append(np.asarray(answer.num_evaluations, np.float64)[:kept])
        values = np.concatenate(parts)
        if len(values) != count:
            raise ValueError(f"`explainers` must return values [{count}, ...], got the shape {list(values.shape)}.")
        return values.reshape(count, -1), float(np.concatenate(evaluations).mean()) if evaluations else None


def read_plan(
    models: Any, explainers: Any, x: Any, budgets: Any, keys: Any, truth: Any, batch_size: Any, repeats: Any
) -> Plan:
    """Checks the arguments of `benchmark_explainers`."""
    for argument, named in (("models", models), ("explainers", explainers)):
        if not isinstance(named, Mapping) or not named or not all(isinstance(name, str) for name in named):
            raise TypeError(f"`{argument}` must be a dictionary of at least one, by name, got {check.shown(named)}.")
    for name, explainer in (*explainers.items(), *([] if truth is None else [(TRUTH, truth)])):
        if not callable(explainer):
            argument = "truth" if explainer is truth else "explainers"
            raise TypeError(
                f"`{argument}` must be callable as explainer(model, x, ...), got {check.shown(explainer)} for {name!r}."
            )
    if TRUTH in explainers:
        raise ValueError(f"`explainers` must not contain the name {TRUTH!r}, which stands for the truth.")
    if not isinstance(budgets, (list, tuple, range, np.ndarray)):
        raise TypeError(f"`budgets` must be a list of ints, got {check.shown(budgets)}.")
    budgets = [check.positive_int("budgets", budget) for budget in budgets]
    if not budgets or len(set(budgets)) < len(budgets):
        raise ValueError(f"`budgets` must be at least one, all different, got {budgets}.")
    if not isinstance(keys, (int, list, tuple, np.ndarray, jax.Array)):
        raise TypeError(f"`keys` must be a number of keys, or a list of them, got {check.shown(keys)}.")
    if isinstance(keys, int):
        keys = [jax.random.key(number) for number in range(check.positive_int("keys", keys))]
    keys = [check.random_key(key, name=f"keys[{number}]") for number, key in enumerate(keys)]
    if not keys:
        raise ValueError("`keys` must be at least one, got none.")
    x = jax.tree.map(lambda leaf: check.numeric_array("x", leaf), x)
    check.examples(x)
    return Plan(
        {name: as_model(model, f"models[{name!r}]") for name, model in models.items()}, dict(explainers), x, budgets, keys, truth,
        check.batch_size(batch_size), check.positive_int("repeats", repeats),
    )  # fmt: skip


def _model_digest(model: Any, x: Any) -> str:
    """A hash of the parameters and of the traced program; of a model that JAX cannot trace, of its code."""
    code = digest(model)
    try:
        program = program_digest(lambda model, x: model(x), model, x, code=code)
    except Exception:  # any failure of a model is reported by the explainers, with its own message
        return code
    return digest((jax.tree.leaves(model), program))


def _check_grid(folder: Path, grid: Grid) -> None:
    before = read_json(folder / _GRID)
    if before.pop("format") > FORMAT:
        raise ValueError(f"{folder} was written by a newer version of xaijax: this one reads up to format {FORMAT}.")
    differences = []
    for part in sorted({*before, *grid}):
        old, new = before.get(part, {}), grid.get(part, {})
        differences += [f"{part} {name!r} is gone" for name in old if name not in new]
        differences += [f"{part} {name!r} is new" for name in new if name not in old]
        differences += [f"{part} {name!r} changed" for name in old if name in new and old[name] != new[name]]
    if differences:
        raise ValueError(
            f"{folder} holds the cells of another grid, which cannot be mixed with these: {'; '.join(differences)}. Choose "
            "another folder, or ask for the same grid again."
        )


def _read_records(path: Path) -> dict[str, dict[str, Any]]:
    """The records by cell, without lines that are damaged."""
    records = {}
    for line in path.read_bytes().splitlines() if path.exists() else ():
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict) and {"cell", "sha256"} <= record.keys():
            records[record["cell"]] = record
    return records
