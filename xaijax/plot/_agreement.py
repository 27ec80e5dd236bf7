"""How far explainers agree, or metrics on the order of explainers."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes

from xaijax._core import check
from xaijax.metrics import Comparison
from xaijax.plot._parts.axes import draws, height_of_lines, new_axes, titled
from xaijax.plot._parts.colors import SIGNED
from xaijax.plot._parts.matrix import check_comparison, column_name, draw_matrix

_MEASURES = {
    "rank_correlation": "rank correlation (Spearman)",
    "top_agreement": "shared players among the strongest",
    "sign_agreement": "shared players of the same sign among the strongest",
}
_BETWEEN, _ORDERS = ["explainers", "metrics"], ["similarity", "given"]
_MOST_WITH_INTERVALS = 10  # explainers: more have no room for a second line


@draws
def agreement(
    comparison: Comparison,
    *,
    measure: str = "rank_correlation",
    between: str = "explainers",
    sort: str = "similarity",
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draws a matrix of agreement: of explainers on the same examples, or of metrics on the order of the explainers.

    Why: explainers that agree need not both be computed, and where they disagree at most one is right. Metrics that
    disagree answer different questions.

    Args:
      comparison: from `xai.metrics.compare`, of two explainers at least.
      measure: between explainers, "rank_correlation" (default), "top_agreement" or "sign_agreement", means over examples;
        up to ten explainers have half of their interval written below. Between metrics there is rank correlation alone.
      between: "explainers" (default) or "metrics", of which only those with a better direction are drawn.
      sort: "similarity" (default) puts similar ones next to each other (average linkage); or "given".
      ax: axes to draw on. Default: those of a new figure.
      title: Default: the measure.

    Returns:
      The axes.

    Raises:
      TypeError, ValueError: if the comparison is none or of one explainer, or an argument is no such name.

    References:
      Krishna et al. (2022), The disagreement problem in explainable machine learning, arXiv:2202.01602, section 3.2.

    >>> import jax, jax.numpy as jnp, xaijax as xai
    >>> size = {"size": lambda attribution: xai.metrics.Score(abs(attribution.values).sum(axis=1), better="lower")}
    >>> explainers = [xai.gradient.saliency, xai.gradient.input_x_gradient]
    >>> x = jnp.array([[1.0, 2.0, -1.0], [3.0, 1.0, -2.0]])
    >>> comparison = xai.metrics.compare(explainers, lambda x: x @ jnp.array([1.0, 2.0, 3.0]), x, size, key=jax.random.key(0))
    >>> [text.get_text() for text in xai.plot.agreement(comparison, sort="given").texts]
    ['1.00', '-0.75\\n±3.2', '-0.75\\n±3.2', '1.00']
    """
    comparison = check_comparison(comparison)
    measure = check.one_of("measure", measure, _MEASURES)
    between, sort = check.one_of("between", between, _BETWEEN), check.one_of("sort", sort, _ORDERS)
    if between == "metrics":
        names, values, halves = _of_metrics(comparison, measure)
    else:
        names, values, halves = _of_explainers(comparison, measure)
    order = _by_similarity(values) if sort == "similarity" else np.arange(len(names))
    names, values, halves = (
        [names[number] for number in order],
        values[np.ix_(order, order)],
        halves[np.ix_(order, order)],
    )
    texts = [[_text(value, half) for value, half in zip(*row, strict=True)] for row in zip(values, halves, strict=True)]

    side = height_of_lines(len(names), 0.42)
    ax = new_axes(ax, (2.4 + 1.5 * side, 1.3 + side))
    signed = measure == "rank_correlation"
    image, _ = draw_matrix(
        ax, values, texts, rows=names, columns=[column_name(name) for name in names],
        colors=mpl.colormaps[SIGNED if signed else "Blues"], limits=(-1.0, 1.0) if signed else (0.0, 1.25), size=6.5,
    )  # fmt: skip
    if len(names) > 6:
        ax.tick_params(axis="x", labelrotation=90)
    if signed:
        bar = ax.figure.colorbar(image, ax=ax, fraction=0.03, pad=0.02)
        bar.ax.tick_params(labelsize=7)
        bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    what = "of the ranks of explainers between metrics" if between == "metrics" else "between explainers"
    interval = "" if np.isnan(halves).all() else f", ± half of its {comparison.level:.0%} interval"
    titled(ax, title, f"{_MEASURES[measure]} {what}{interval}")
    return ax


def _of_explainers(comparison: Comparison, measure: str) -> tuple[list[str], np.ndarray, np.ndarray]:
    if not comparison.agreement:
        raise ValueError(f"`comparison` must be of two explainers at least, got {comparison.explainers}.")
    drawn: Any = comparison.agreement[measure]
    halves = (drawn.high - drawn.low) / 2
    names = comparison.explainers
    if len(names) > _MOST_WITH_INTERVALS:
        halves = np.full(halves.shape, np.nan)
    np.fill_diagonal(halves, np.nan)
    return names, drawn.value, halves


def _of_metrics(comparison: Comparison, measure: str) -> tuple[list[str], np.ndarray, np.ndarray]:
    if measure != "rank_correlation":
        raise ValueError(f"`measure` must be 'rank_correlation' between metrics, got {measure!r}.")
    values = comparison.metric_agreement()
    kept = np.flatnonzero(~np.isnan(values).all(axis=1))
    if not len(kept):
        raise ValueError(
            "`comparison` must have three explainers, and a metric with a better direction, to compare metrics, got "
            f"{len(comparison.explainers)} explainers and the metrics {comparison.metrics}."
        )
    values = values[np.ix_(kept, kept)]
    return [comparison.metrics[number] for number in kept], values, np.full(values.shape, np.nan)


def _by_similarity(values: np.ndarray) -> np.ndarray:
    """Returns the order of the rows; unknown agreement counts as none."""
    if len(values) < 3:
        return np.arange(len(values))
    from scipy.cluster.hierarchy import leaves_list, linkage  # imported on first use: it takes half a second

    distances = 1 - np.nan_to_num(values)[np.triu_indices(len(values), k=1)]
    return leaves_list(linkage(np.maximum(distances, 0), "average", optimal_ordering=True))


def _text(value: float, half: float) -> str:
    if np.isnan(value):
        return "–"
    return f"{value:.2f}" + ("" if np.isnan(half) else f"\n±{half:.2g}")
