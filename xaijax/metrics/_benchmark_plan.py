"""The grid of a comparison of explainers, and how one of its cells is measured."""

from __future__ import annotations

import dataclasses
import inspect
import time
from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._io.fingerprint import digest
from xaijax._model import as_model
from xaijax.metrics._benchmark_store import Cells, Grid

TRUTH = "truth"


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to be measured, checked."""

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
            "the model": {name: digest(model) for name, model in self.models.items()},
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
        found = cells.find(cell)
        if found is None:
            start = time.perf_counter()
            answer, _ = self._explain(self.truth, model, {})
            found = {"model": model, "explainer": TRUTH, "seconds_with_compiling": time.perf_counter() - start}, answer
            cells.keep(cell, *found)
        return found[1].astype(np.float64)

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
            found = _call(explainer, self.models[model], jax.tree.map(itemgetter(ids), self.x), given | {"ids": ids})
            if not isinstance(found, Attribution):
                raise TypeError(f"explainers must return Attributions, but one returned {type(found).__name__}.")
            kept = min(at_once, count - start)
            parts.append(np.asarray(jax.block_until_ready(found.values))[:kept])
            if found.num_evaluations is not None:
                evaluations.append(np.asarray(found.num_evaluations, np.float64)[:kept])
        values = np.concatenate(parts)
        if len(values) != count:
            raise ValueError(f"explainers must return values [{count}, ...], but one returned {list(values.shape)}.")
        return values.reshape(count, -1), float(np.concatenate(evaluations).mean()) if evaluations else None


def _call(explainer: Callable[..., Any], model: Any, x: Any, given: dict[str, Any]) -> Any:
    named = inspect.signature(explainer).parameters
    if not any(one.kind == one.VAR_KEYWORD for one in named.values()):
        given = {name: value for name, value in given.items() if name in named}
    return explainer(model, x, **given)


def read_plan(
    models: Any, explainers: Any, x: Any, budgets: Any, keys: Any, truth: Any, batch_size: Any, repeats: Any
) -> Plan:
    for what, named in (("models", models), ("explainers", explainers)):
        if not isinstance(named, Mapping) or not named or not all(isinstance(name, str) for name in named):
            raise TypeError(f"{what} must be a dictionary of at least one, by name, but it is {named!r}.")
    for name, explainer in (*explainers.items(), *([] if truth is None else [(TRUTH, truth)])):
        if not callable(explainer):
            raise TypeError(
                f"the explainer {name!r} must be callable as explainer(model, x, ...), but it is {explainer!r}."
            )
    if TRUTH in explainers:
        raise ValueError(f"no explainer may be named {TRUTH!r}: that is the name of the truth.")
    budgets = [check.positive_int("budgets", budget) for budget in budgets]
    if not budgets or len(set(budgets)) < len(budgets):
        raise ValueError(f"budgets must be at least one, all different, but they are {budgets}.")
    if isinstance(keys, int):
        keys = [jax.random.key(number) for number in range(check.positive_int("keys", keys))]
    keys = [check.random_key(key) for key in keys]
    if not keys:
        raise ValueError("keys must be at least one.")
    x = jax.tree.map(lambda leaf: check.numeric_array("x", leaf), x)
    check.examples(x)
    return Plan(
        {name: as_model(model) for name, model in models.items()}, dict(explainers), x, budgets, keys, truth,
        check.batch_size(batch_size), check.positive_int("repeats", repeats),
    )  # fmt: skip
