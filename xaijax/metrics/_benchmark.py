"""Explainers compared: time, error or stability, and agreement, over a grid that can be killed and goes on."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xaijax._core.attribution import Attribution
from xaijax.metrics import _benchmark_scores as scores
from xaijax.metrics._benchmark_plan import TRUTH, Plan, read_plan
from xaijax.metrics._benchmark_store import Cells
from xaijax.metrics._benchmark_table import show


@dataclasses.dataclass(frozen=True)
class ExplainerBenchmark:
    """What `benchmark_explainers` found.

    records: one for each cell: model, explainer, budget, key (its number), rows, seconds, rows_per_second,
      seconds_with_compiling (of the first call), evaluations (the mean over examples, where the explainer says), and where
      the truth is given error (root mean square), relative_error (by the size of the truth) and rank_correlation with it.
    summaries: one for each model, explainer and budget, over the keys: the same in the mean (of seconds the median), and
      spread (the standard deviation between keys), relative_spread (by the size of the values) and rank_stability (the mean
      Spearman correlation between the answers to two keys); NaN where there is one key.
    agreements: one for each model, budget and two explainers (the truth among them): rank_correlation, the mean over
      examples of Spearman's between their answers, averaged over keys.
    """

    records: list[dict[str, Any]]
    summaries: list[dict[str, Any]]
    agreements: list[dict[str, Any]]


def benchmark_explainers(
    models: Mapping[str, Any],
    explainers: Mapping[str, Callable[..., Attribution]],
    x: Any,
    *,
    budgets: Sequence[int],
    out: str | Path,
    keys: int | Sequence[Any] = 3,
    truth: Callable[..., Attribution] | None = None,
    batch_size: int | None = None,
    repeats: int = 1,
    show_table: bool = True,
) -> ExplainerBenchmark:
    """Compares explainers on models and a data set: their time, error or stability, and agreement.

    Why: which explainer is worth its evaluations for these models and data, and whether it matters which. Each cell of the
    grid (a model, an explainer, a budget, a key) is finished in itself: killed at any moment, the same call goes on where it
    was. Times are those of this process alone on the machine, without compiling.

    Args:
      models: by name.
      explainers: by name; called as explainer(model, x, budget=, key=, ids=), with those of budget, key and ids that it
        names. What a budget means is theirs to say; evaluations of the model make the fairest comparison.
      x: [N, ...] the data.
      budgets: whole numbers.
      out: a folder for what is finished. One with another grid is refused.
      keys: JAX random keys, or a number of them, `jax.random.key(0)` on. Default 3.
      truth: called as truth(model, x): what the explainers estimate, such as `xai.shap.exact`. Default: none, and no errors.
      batch_size: examples explained at once, the last batch filled up. Default: all.
      repeats: timed calls for each cell, after one that may compile; their median counts. Default 1.
      show_table: prints the table.

    Returns:
      Records, summaries and agreements, each a list of dictionaries: what data frames are made of.

    Raises:
      TypeError, ValueError: if an argument is of the wrong type or empty, explainers return values of different shapes, or
        `out` holds another grid: the message says what changed.

    References:
      Spearman (1904), The proof and measurement of association between two things. Krishna et al. (2022), The disagreement
      problem in explainable machine learning, arXiv:2202.01602, rank correlation, section 3.2.

    >>> import tempfile, jax.numpy as jnp, xaijax as xai
    >>> game = lambda model, x: xai.game(model, x, xai.mask.baseline(jnp.zeros(3)))
    >>> found = xai.metrics.benchmark_explainers(
    ...     {"product": lambda x: x[:, 0] * x[:, 1] * x[:, 2]},
    ...     {"permutation": lambda model, x, budget, key, ids: xai.shap.permutation(
    ...         game(model, x), num_permutations=budget, key=key, ids=ids)},
    ...     jnp.ones((2, 3)), budgets=[1, 64], out=tempfile.mkdtemp(), show_table=False,
    ...     truth=lambda model, x: xai.shap.exact(game(model, x)))
    >>> one, many = (row["error"] for row in found.summaries)
    >>> one > many
    True
    """
    plan = read_plan(models, explainers, x, budgets, keys, truth, batch_size, repeats)
    cells = Cells(Path(out), plan.grid())
    truths = {name: plan.truth_of(name, cells) for name in plan.models}
    values: dict[tuple[str, str, int], list[np.ndarray]] = {}
    records = []
    for model, explainer, budget, number in itertools.product(
        plan.models, plan.explainers, plan.budgets, range(len(plan.keys))
    ):
        cell = f"{model} | {explainer} | {budget} | key {number}"
        found = cells.find(cell)
        if found is None:
            try:
                record, answer = plan.measure(model, explainer, budget, number)
            except Exception as error:
                error.add_note(
                    f"It was raised in the cell {cell} of benchmark_explainers; what was finished before is kept."
                )
                raise
            cells.keep(cell, record, answer)
            found = record, answer
        record, answer = found
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
    found = []
    for (model, explainer, budget), answers in values.items():
        of_cell = (model, explainer, budget)
        mine = [one for one in records if (one["model"], one["explainer"], one["budget"]) == of_cell]
        size = scores.size(np.stack(answers))
        spread = scores.spread(answers)
        row: dict[str, Any] = {"model": model, "explainer": explainer, "budget": budget, "keys": len(answers)}
        for name in ("seconds", "rows_per_second"):
            row[name] = float(np.median([one[name] for one in mine]))
        for name in ("evaluations", "error", "relative_error", "rank_correlation"):
            if all(name in one for one in mine):
                row[name] = float(np.mean([one[name] for one in mine]))
        row |= {"spread": spread, "relative_spread": spread / size if size > 0 else float("nan")}
        row["rank_stability"] = scores.mean_of_pairs(answers)
        found.append(row)
    return found


def _agreements(plan: Plan, values: Mapping[Any, list[np.ndarray]], truths: Any) -> list[dict[str, Any]]:
    found = []
    for model, budget in itertools.product(plan.models, plan.budgets):
        answers = {name: values[model, name, budget] for name in plan.explainers}
        if truths[model] is not None:
            answers[TRUTH] = [truths[model]] * len(plan.keys)
        for one, other in itertools.combinations(answers, 2):
            each = [scores.rank_correlation(*pair) for pair in zip(answers[one], answers[other], strict=True)]
            correlation = float(np.mean(each))
            found.append(
                {"model": model, "budget": budget, "explainers": (one, other), "rank_correlation": correlation}
            )
    return found


def _check_shape(cell: str, answer: np.ndarray, truth: Any, values: Mapping[Any, list[np.ndarray]], model: str) -> None:
    others = [truth] if truth is not None else [known[0] for (name, *_), known in values.items() if name == model]
    if others and others[0].shape != answer.shape:
        raise ValueError(
            f"explainers must return values of one shape to be compared, but the cell {cell} has {list(answer.shape)}, and "
            f"others have {list(others[0].shape)}."
        )
