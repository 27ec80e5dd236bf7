"""Comparison: which explainer scores best by which metric, how sure that is, and how far the explainers agree."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax.metrics._agreement import MEASURES
from xaijax.metrics._score import Score
from xaijax.metrics.comparison._example_scores import ExampleScores
from xaijax.metrics.comparison._table import show

if TYPE_CHECKING:
    from rich.console import Console

TESTS = ("wilcoxon", "t")
Records = list[dict[str, Any]]


class Agreement(NamedTuple):
    """Agreement of E explainers, averaged over examples: arrays [E, E], symmetric, 1 on the diagonal.

    value: the mean; NaN where no example counts.
    std_error: its standard error over examples.
    low, high: its confidence interval (Student's t).
    num_examples: how many examples count: those where the agreement of both explainers is defined.
    """

    value: np.ndarray
    std_error: np.ndarray
    low: np.ndarray
    high: np.ndarray
    num_examples: np.ndarray


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The result of `xai.metrics.compare`.

    scores: scores[explainer][metric] is a `Score` of N examples.
    agreement: "rank_correlation", "top_agreement" and "sign_agreement" of the explainers, each an `Agreement`; empty for one
      explainer.
    level: the probability of the intervals.
    """

    scores: dict[str, dict[str, Score]]
    agreement: dict[str, Agreement]
    level: float = 0.95

    @property
    def explainers(self) -> list[str]:
        """The names of the explainers."""
        return list(self.scores)

    @property
    def metrics(self) -> list[str]:
        """The names of the metrics."""
        return list(next(iter(self.scores.values())))

    def table(self) -> Records:
        """Computes the mean score and the rank of each explainer by each metric.

        For each metric, the means are over the same examples for all explainers: those whose scores are all defined. An
        explainer without any score is left out of this rule and has none.

        Returns:
          One record for each metric and explainer: metric, explainer, mean, low, high, better ("higher", "lower" or ""),
          rank (1 is best; equal means share theirs; NaN where neither direction is better) and num_examples.
        """
        records = []
        for metric in self.metrics:
            kept = self._kept(metric)
            scores = {name: _of_examples(self.scores[name][metric], kept[name]) for name in self.explainers}
            means = {name: score.mean(self.level) for name, score in scores.items()}
            better = next(iter(scores.values())).better
            ranks = _ranks(np.array([float(mean.value) for mean in means.values()]), better)
            for (name, mean), rank in zip(means.items(), ranks, strict=True):
                record = {"metric": metric, "explainer": name, "mean": float(mean.value)}
                record |= {"low": float(mean.low), "high": float(mean.high), "better": better, "rank": float(rank)}
                records.append(record | {"num_examples": int(kept[name].sum())})
        return records

    def ranks(self) -> Records:
        """Computes the mean rank of each explainer over the metrics.

        Metrics measure different things: a mean rank is a summary of these metrics, and no verdict.

        Returns:
          One record for each explainer, the best first: explainer, mean_rank, best and worst rank, and num_metrics, the
          number of metrics that rank it.
        """
        table, records = self.table(), []
        for name in self.explainers:
            own = [record["rank"] for record in table if record["explainer"] == name]
            own = [rank for rank in own if not np.isnan(rank)]
            summary = (float(np.mean(own)), min(own), max(own)) if own else (float("nan"),) * 3
            fields = dict(zip(("mean_rank", "best", "worst"), summary, strict=True))
            records.append({"explainer": name, **fields, "num_metrics": len(own)})
        return sorted(records, key=lambda record: (np.isnan(record["mean_rank"]), record["mean_rank"]))

    def tests(self, test: str = "wilcoxon") -> Records:
        """Tests for each metric and each pair of explainers whether their scores differ, example by example.

        Why: explainers are scored on the same examples, whose scores rise and fall together. Differences within examples
        show what the intervals of the two means, which contain the spread between examples, do not.

        Args:
          test: "wilcoxon" (default) for the signed-rank test, which assumes that the differences are symmetric around their
            median, and leaves out examples without a difference; or "t" for the paired t-test of their mean.

        Returns:
          One record for each metric and pair: metric, first, second, difference (the mean of first minus second), low and
          high (its interval, Student's t), p_value, adjusted_p_value (Holm's, over the pairs of the metric) and
          num_examples. The p-values are NaN for fewer than two examples, and 1 where no example differs.

        Raises:
          ValueError: if there is no such test.

        References:
          Wilcoxon (1945), Individual comparisons by ranking methods. Holm (1979), A simple sequentially rejective multiple
          test procedure.
        """
        test = check.one_of("test", test, TESTS)
        records = []
        for metric in self.metrics:
            own = []
            for first, second in itertools.combinations(self.explainers, 2):
                left, right = (_numbers(self.scores[name][metric]) for name in (first, second))
                differences = (left - right)[~np.isnan(left - right)]
                mean = _of_examples(Score(jnp.asarray(differences)), np.ones(len(differences), bool)).mean(self.level)
                record = {"metric": metric, "first": first, "second": second, "difference": float(mean.value)}
                record |= {"low": float(mean.low), "high": float(mean.high)}
                own.append(record | {"p_value": _p_value(differences, test), "num_examples": len(differences)})
            for record, adjusted in zip(own, _holm([record["p_value"] for record in own]), strict=True):
                records.append(record | {"adjusted_p_value": adjusted})
        return records

    def metric_agreement(self) -> np.ndarray:
        """Computes how far the metrics agree on the order of the explainers.

        Returns:
          [T, T] Spearman's rank correlation between two metrics' mean scores of the explainers, better ones first; NaN for
          metrics of which neither direction is better, and where there are fewer than three explainers.
        """
        ranks = np.array([record["rank"] for record in self.table()]).reshape(len(self.metrics), -1)
        correlations = np.full((len(ranks), len(ranks)), np.nan)
        for row, column in itertools.product(range(len(ranks)), repeat=2):
            known = ~np.isnan(ranks[row] + ranks[column])
            left, right = (_centered_ranks(ranks[number][known]) for number in (row, column))
            size = np.sqrt((left**2).sum() * (right**2).sum())
            if known.sum() > 2 and size > 0:
                correlations[row, column] = (left * right).sum() / size
        return correlations

    def show(self, console: Console | None = None) -> None:
        """Prints the table of mean scores, and the agreement of the explainers.

        Args:
          console: of rich. Default: standard output.
        """
        show(self.table(), self.ranks(), self.explainers, self.agreement, self.level, console)

    def _kept(self, metric: str) -> dict[str, np.ndarray]:
        """Returns for each explainer which examples count [N]."""
        known = {name: ~np.isnan(_numbers(self.scores[name][metric])) for name in self.explainers}
        scored = [rows for rows in known.values() if rows.any()]
        shared = np.logical_and.reduce(scored) if scored else np.zeros(len(known[self.explainers[0]]), bool)
        return {name: shared & rows for name, rows in known.items()}


def comparison_of(parts: Iterable[ExampleScores], level: float) -> Comparison:
    """Returns the comparison of all examples, from their scores in one or several parts; of the agreement only sums are kept."""
    scores, errors, sums, last = [], [], 0.0, None
    for last in parts:
        scores.append(np.asarray(last.scores))
        errors.append(np.asarray(last.std_errors))
        if last.agreement is not None:
            sums = sums + _sums(np.asarray(last.agreement, np.float64))
    assert last is not None, "there is at least one part"
    values, std_errors = np.concatenate(scores), np.concatenate(errors)
    by_name: dict[str, dict[str, Score]] = {}
    for (row, name), (column, metric) in itertools.product(enumerate(last.explainers), enumerate(last.metrics)):
        own = std_errors[:, row, column]
        by_name.setdefault(name, {})[metric] = Score(
            jnp.asarray(values[:, row, column]),
            None if np.isnan(own).all() else jnp.asarray(own),
            metric=metric,
            better=last.better[column],
            method=name,
        )
    agreement = {} if last.agreement is None else _agreement(np.asarray(sums), len(last.explainers), level)
    return Comparison(by_name, agreement, level)


def _sums(agreement: np.ndarray) -> np.ndarray:
    """Returns the count, the sum and the sum of squares [3, A, P] of what is known; the numbers are at most 1."""
    known = ~np.isnan(agreement)
    numbers = np.where(known, agreement, 0)
    return np.stack([known.sum(axis=0), numbers.sum(axis=0), (numbers**2).sum(axis=0)])


def _agreement(sums: np.ndarray, num_explainers: int, level: float) -> dict[str, Agreement]:
    from scipy.special import stdtrit

    count, total, squares = sums
    rows, columns = np.triu_indices(num_explainers, k=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = total / count
        variance = np.where(count > 1, np.maximum(squares - count * value**2, 0) / (count - 1), np.nan)
        std_error = np.sqrt(variance / count)
        half = stdtrit(count - 1, (1 + level) / 2) * std_error

    def matrix(pairs: np.ndarray, diagonal: float) -> np.ndarray:
        filled = np.full((num_explainers, num_explainers), diagonal)
        filled[rows, columns] = filled[columns, rows] = pairs
        return filled

    return {
        measure: Agreement(
            matrix(value[number], 1.0),
            matrix(std_error[number], 0.0),
            matrix((value - half)[number], 1.0),
            matrix((value + half)[number], 1.0),
            matrix(count[number], count[number].max(initial=0)).astype(int),
        )
        for number, measure in enumerate(MEASURES)
    }


def _numbers(score: Score) -> np.ndarray:
    return np.asarray(score.values, np.float64)


def _of_examples(score: Score, kept: np.ndarray) -> Score:
    """Returns the score of some examples; of no example it is NaN."""
    if not kept.any():
        return dataclasses.replace(score, values=jnp.full(1, jnp.nan), std_errors=None)
    errors = None if score.std_errors is None else score.std_errors[kept]
    return dataclasses.replace(score, values=score.values[kept], std_errors=errors)


def _ranks(means: np.ndarray, better: str) -> np.ndarray:
    """Returns ranks from 1, the best; equal means share the mean of theirs. NaN where there is no better, or no mean."""
    if not better:
        return np.full(len(means), np.nan)
    ordered = -means if better == "higher" else means
    ranks = _centered_ranks(ordered[~np.isnan(ordered)])
    filled = np.full(len(means), np.nan)
    filled[~np.isnan(ordered)] = ranks + (len(ranks) + 1) / 2
    return filled


def _centered_ranks(numbers: np.ndarray) -> np.ndarray:
    """Returns ranks around 0, of which equal numbers share the mean."""
    return ((numbers[:, None] > numbers).sum(axis=1) - (numbers[:, None] < numbers).sum(axis=1)) / 2


def _p_value(differences: np.ndarray, test: str) -> float:
    from scipy import stats

    if len(differences) < 2:
        return float("nan")
    if not differences.any():
        return 1.0
    if test == "wilcoxon":
        result: Any = stats.wilcoxon(differences)
        return float(result.pvalue)
    with np.errstate(divide="ignore", invalid="ignore"):  # differences that are all equal are certain
        distance = np.abs(differences.mean()) / stats.sem(differences)
    return float(2 * stats.t.sf(distance, len(differences) - 1))


def _holm(p_values: list[float]) -> list[float]:
    """Multiplies the k-th smallest of n p-values by n - k + 1, so that adjusted ones never fall; at most 1."""
    numbers = np.asarray(p_values)
    order = np.argsort(numbers)  # NaN last
    known = int((~np.isnan(numbers)).sum())
    adjusted = np.full(len(numbers), np.nan)
    factors = known - np.arange(known)
    adjusted[order[:known]] = np.minimum(np.maximum.accumulate(numbers[order[:known]] * factors), 1)
    return adjusted.tolist()
