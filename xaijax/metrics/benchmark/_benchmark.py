"""Compares explainers: their time, error or stability, and agreement, over a grid that resumes when it is killed."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.calls import noted
from xaijax._core.typing import Inputs, KeyLike, ModelLike
from xaijax._io import files
from xaijax.metrics.benchmark import _scores as scores
from xaijax.metrics.benchmark._grid import TRUTH, Cells, Plan, read_plan
from xaijax.metrics.benchmark._table import show


@dataclasses.dataclass(frozen=True)
class ExplainerBenchmark:
    """The result of `benchmark_explainers`.

    records: one for each cell: model, explainer, budget, key (its number), rows, seconds, rows_per_second,
      seconds_with_compiling (of the first call), evaluations (the mean over examples, if the explainer reports them), and, if
      the truth is given, error (root mean square), relative_error (divided by the size of the truth) and rank_correlation
      with it.
    summaries: one for each model, explainer and budget, over the keys: the means of the same (for seconds the median), spread
      (the standard deviation between keys), relative_spread (divided by the size of the values) and rank_stability (the mean
      Spearman correlation between the answers to two keys); NaN for one key.
    agreements: one for each model, budget and pair of explainers (the truth included): rank_correlation, Spearman's between
      their answers, averaged over examples and keys.
    """

    records: list[dict[str, Any]]
    summaries: list[dict[str, Any]]
    agreements: list[dict[str, Any]]


def benchmark_explainers(
    models: Mapping[str, ModelLike],
    explainers: Mapping[str, Callable[..., Attribution]],
    x: Inputs,
    *,
    budgets: Sequence[int],
    out: str | Path,
    keys: int | Sequence[KeyLike] = 3,
    truth: Callable[..., Attribution] | None = None,
    batch_size: int | None = None,
    repeats: int = 1,
    show_table: bool = True,
) -> ExplainerBenchmark:
    """Compares explainers on models and a data set: their time, error or stability, and agreement.

    Why: to learn which explainer is worth its evaluations for these models and data, and whether the choice matters. If it is
    killed at any moment, the same call continues with the cells of the grid (a model, an explainer, a budget, a key) that
    are not finished. Times are meaningful if no other process uses the machine; they exclude compiling.

    Args:
      models: by name.
      explainers: by name; called as explainer(model, x, budget=, key=, ids=), with those of budget, key and ids that they
        name. They define what a budget means; evaluations of the model make the fairest comparison.
      x: [N, ...] the data.
      budgets: ints.
      out: a folder for finished cells. A folder with another grid is refused.
      keys: JAX random keys, or a number n for `jax.random.key(0)` to `jax.random.key(n - 1)`. Default 3.
      truth: called as truth(model, x): what the explainers estimate, such as `xai.shap.exact`. Default: none, and no errors.
      batch_size: the number of examples explained at once; the last batch is filled up. Default: all.
      repeats: timed calls for each cell, after one that may compile; their median counts. Default 1.
      show_table: whether to print the table.

    Returns:
      Records, summaries and agreements, each a list of dictionaries, as data frames take them.

    Raises:
      TypeError, ValueError: if an argument is of the wrong type or empty, explainers return values of different shapes, or
        `out` holds another grid: the message says what changed.

    References:
      Spearman (1904), The proof and measurement of association between two things. Krishna et al. (2022), The disagreement
      problem in explainable machine learning, arXiv:2202.01602, rank correlation, section 3.2.

    >>> import tempfile, jax.numpy as jnp, xaijax as xai
    >>> game = lambda model, x: xai.game(model, x, xai.mask.baseline(jnp.zeros(3)))
    >>> benchmark = xai.metrics.benchmark_explainers(
    ...     {"product": lambda x: x[:, 0] * x[:, 1] * x[:, 2]},
    ...     {"permutation": lambda model, x, budget, key, ids: xai.shap.permutation(
    ...         game(model, x), num_permutations=budget, key=key, ids=ids)},
    ...     jnp.ones((2, 3)), budgets=[1, 64], out=tempfile.mkdtemp(), show_table=False,
    ...     truth=lambda model, x: xai.shap.exact(game(model, x)))
    >>> one, many = (row["error"] for row in benchmark.summaries)
    >>> one > many
    True
    """
    show_table = check.flag("show_table", show_table)
    plan = read_plan(models, explainers, x, budgets, keys, truth, batch_size, repeats)
    cells = Cells(files.checked_path("out", out), plan.grid())
    truths = {name: plan.truth_of(name, cells) for name in plan.models}
    values: dict[tuple[str, str, int], list[np.ndarray]] = {}
    records = []
    for model, explainer, budget, number in itertools.product(
        plan.models, plan.explainers, plan.budgets, range(len(plan.keys))
    ):
        cell = f"{model} | {explainer} | {budget} | key {number}"
        finished = cells.find(cell)
        if finished is None:
            with noted(
                f"It was raised in the cell {cell} of benchmark_explainers; the cells finished before are kept."
            ):
                record, answer = plan.measure(model, explainer, budget, number)
            cells.keep(cell, record, answer)
            finished = record, answer
        record, answer = finished
        answer = answer.astype(np.float64)
        _check_shape(cell, answer, truths[model], values, model)
        records.append(
            {name: value for name, value in record.items() if name not in ("cell", "sha256")}
            | _errors(answer, truths[model])
        )
        values.setdefault((model, explainer, budget), []).append(answer)
    benchmark = ExplainerBenchmark(records, _summaries(records, values, truths), _agreements(plan, values, truths))
    if show_table:
        show(benchmark.summaries, benchmark.agreements)
    return benchmark


def _errors(answer: np.ndarray, truth: np.ndarray | None) -> dict[str, float]:
    if truth is None:
        return {}
    error, size = scores.error(answer, truth), scores.size(truth)
    return {
        "error": error,
        "relative_error": error / size if size > 0 else float("nan"),
        "rank_correlation": scores.rank_correlation(answer, truth),
    }


def _summaries(
    records: list[dict[str, Any]], values: Mapping[Any, list[np.ndarray]], truths: Any
) -> list[dict[str, Any]]:
    summaries = []
    for (model, explainer, budget), answers in values.items():
        of_cell = (model, explainer, budget)
        mine = [record for record in records if (record["model"], record["explainer"], record["budget"]) == of_cell]
        size = scores.size(np.stack(answers))
        spread = scores.spread(answers)
        row: dict[str, Any] = {"model": model, "explainer": explainer, "budget": budget, "keys": len(answers)}
        for name in ("seconds", "rows_per_second"):
            row[name] = float(np.median([record[name] for record in mine]))
        for name in ("evaluations", "error", "relative_error", "rank_correlation"):
            if all(name in record for record in mine):
                row[name] = float(np.mean([record[name] for record in mine]))
        row |= {"spread": spread, "relative_spread": spread / size if size > 0 else float("nan")}
        row["rank_stability"] = scores.mean_of_pairs(answers)
        summaries.append(row)
    return summaries


def _agreements(plan: Plan, values: Mapping[Any, list[np.ndarray]], truths: Any) -> list[dict[str, Any]]:
    agreements = []
    for model, budget in itertools.product(plan.models, plan.budgets):
        answers = {name: values[model, name, budget] for name in plan.explainers}
        if truths[model] is not None:
            answers[TRUTH] = [truths[model]] * len(plan.keys)
        for pair in itertools.combinations(answers, 2):
            of_keys = zip(answers[pair[0]], answers[pair[1]], strict=True)
            correlation = float(np.mean([scores.rank_correlation(*values) for values in of_keys]))
            agreements.append({"model": model, "budget": budget, "explainers": pair, "rank_correlation": correlation})
    return agreements


def _check_shape(cell: str, answer: np.ndarray, truth: Any, values: Mapping[Any, list[np.ndarray]], model: str) -> None:
    others = [truth] if truth is not None else [known[0] for (name, *_), known in values.items() if name == model]
    if others and others[0].shape != answer.shape:
        raise ValueError(
            f"`explainers` must return values of one shape to be compared, got {list(answer.shape)} in the cell {cell} and "
            f"{list(others[0].shape)} in others."
        )
