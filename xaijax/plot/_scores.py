"""The scores of several explainers by several metrics."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from xaijax._core import check
from xaijax.metrics import Comparison
from xaijax.plot._parts.axes import draws, height_of_lines, label_values, new_axes, titled
from xaijax.plot._parts.matrix import check_comparison, column_name, draw_matrix

_ARROWS = {"higher": "↑", "lower": "↓", "": ""}
_ORDERS = ["rank", "given"]
_RANK = "mean\nrank"
_COLORS = mpl.colormaps["Blues"]
_DARKEST = 1.9  # of the shades, from 0 (worst) to 1 (best): the best is readable below black numbers


@draws
def scores(
    comparison: Comparison,
    *,
    sort: str = "rank",
    test: str = "wilcoxon",
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draws a table of mean scores: a line for each explainer, a column for each metric.

    Why: metrics have different units and directions. Colors show at a glance who is good at what: in each column the best
    score is darkest and the worst is white.

    Numbers are the mean over examples ± half of its interval. A frame marks the best of each metric. Bold numbers cannot be
    told apart from the best: paired tests over the examples, corrected for all pairs (Holm), find no difference at the
    level of the comparison. Columns of metrics without a better direction are gray, as are cells without a score.

    Args:
      comparison: from `xai.metrics.compare`.
      sort: the order of the lines: "rank" (default), the best mean rank first; or "given".
      test: as in `Comparison.tests`. Default "wilcoxon".
      ax: axes to draw on. Default: those of a new figure.
      title: Default: the number of examples.

    Returns:
      The axes.

    Raises:
      TypeError, ValueError: if the comparison is none, or there is no such order or test.

    >>> import jax, jax.numpy as jnp, xaijax as xai
    >>> size = {"size": lambda attribution: xai.metrics.Score(abs(attribution.values).sum(axis=1), better="lower")}
    >>> explainers = [xai.gradient.saliency, xai.gradient.input_x_gradient]
    >>> comparison = xai.metrics.compare(explainers, lambda x: (x**2).sum(axis=1), jnp.eye(3), size, key=jax.random.key(0))
    >>> ax = xai.plot.scores(comparison)
    >>> [text.get_text() for text in ax.texts]
    ['2 ± 0', '1.5', '2 ± 0', '1.5']
    """
    comparison = check_comparison(comparison)
    sort = check.one_of("sort", sort, _ORDERS)
    ranked = {record["explainer"]: record["mean_rank"] for record in comparison.ranks()}
    explainers = list(ranked) if sort == "rank" else comparison.explainers
    cells = {(record["explainer"], record["metric"]): record for record in comparison.table()}
    equal = _equal_to_best(comparison, cells, test)
    better = {metric: cells[explainers[0], metric]["better"] for metric in comparison.metrics}
    shades = np.column_stack([_shades([cells[name, metric] for name in explainers]) for metric in better])
    texts = [[_number(cells[name, metric]) for metric in better] for name in explainers]
    has_ranks = any(better.values())
    if has_ranks:
        shades = np.column_stack([shades, np.full(len(explainers), np.nan)])
        texts = [[*line, f"{ranked[name]:.1f}"] for line, name in zip(texts, explainers, strict=True)]
    columns = [f"{column_name(metric)} {arrow}".strip() for metric, arrow in _arrows(better)]

    ax = new_axes(ax, (2.2 + 1.0 * len(columns), 1.3 + height_of_lines(len(explainers), 0.27)))
    _, written = draw_matrix(
        ax,
        shades,
        texts,
        rows=explainers,
        columns=[*columns, *[_RANK] * has_ranks],
        colors=_COLORS,
        limits=(0, _DARKEST),
    )
    for row, name in enumerate(explainers):
        for column, metric in enumerate(better):
            if (name, metric) in equal:
                written[row, column].set_fontweight("bold")
            if shades[row, column] == 1:
                frame = Rectangle((column - 0.48, row - 0.46), 0.96, 0.92, fill=False, ec="black", lw=1.2, zorder=4)
                ax.add_patch(frame)
    if has_ranks:
        level = f"{100 * (1 - comparison.level):.3g} %"
        ax.xaxis.set_label_position("bottom")
        label_values(ax, f"frame: best; bold: no significant difference from the best ({level})")
    counts = sorted({record["num_examples"] for record in cells.values() if record["num_examples"]}) or [0]
    examples = f"{counts[0]:,} to {counts[-1]:,}" if len(counts) > 1 else f"{counts[0]:,}"
    titled(ax, title, f"mean over {examples} examples ± half of its {comparison.level:.0%} interval")
    return ax


def _arrows(better: dict[str, str]) -> Sequence[tuple[str, str]]:
    return [(metric, _ARROWS[direction]) for metric, direction in better.items()]


def _shades(records: list[dict]) -> np.ndarray:
    """Returns 0 for the worst finite mean to 1 for the best; 1 where all are equal, and NaN without a better direction."""
    means = np.array([record["mean"] for record in records])
    finite = np.isfinite(means)
    if not records[0]["better"] or not finite.any():
        return np.full(len(means), np.nan)
    signed = means if records[0]["better"] == "higher" else -means
    least, most = signed[finite].min(), signed[finite].max()
    if most > least:
        return np.clip((signed - least) / (most - least), 0, 1)
    return np.where(np.isnan(means), np.nan, signed >= most)


def _number(record: dict) -> str:
    if np.isnan(record["mean"]):
        return "–"
    half = (record["high"] - record["low"]) / 2
    return f"{record['mean']:.3g}" + ("" if np.isnan(half) else f" ± {half:.2g}")


def _equal_to_best(comparison: Comparison, cells: dict, test: str) -> set[tuple[str, str]]:
    """Returns which (explainer, metric) no test tells apart from the best of the metric, the best included."""
    best = {}
    for metric in comparison.metrics:
        ranks = {name: cells[name, metric]["rank"] for name in comparison.explainers}
        known = {name: rank for name, rank in ranks.items() if not np.isnan(rank)}
        if known:
            best[metric] = min(known, key=lambda name: known[name])
    equal = {(name, metric) for metric, name in best.items()}
    for record in comparison.tests(test):
        pair = (record["first"], record["second"])
        if best.get(record["metric"]) in pair and record["adjusted_p_value"] >= 1 - comparison.level:
            equal |= {(name, record["metric"]) for name in pair}
    return equal
