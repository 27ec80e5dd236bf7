"""What estimators make of their evaluations: errors against how much was evaluated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator

from xaijax.plot._axes import new_axes, titled, without_frame
from xaijax.plot._fonts import label_style
from xaijax.plot._measured import palette_of
from xaijax.plot._series import MARKERS, logarithmic

_MOST_TICKS = 8  # as many as numbers of evaluations, where they are few enough to be read


class _Curve(NamedTuple):
    """at: [B] evaluations, growing; means: [B] of the errors there; low, high: [B] the ends of their intervals."""

    at: np.ndarray
    means: np.ndarray
    low: np.ndarray
    high: np.ndarray


def error_curves(
    errors: Mapping[str, Mapping[Any, Any]],
    *,
    colors: Sequence[Any] | None = None,
    legend: bool = True,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draws the mean error of estimators against the number of evaluations, on logarithmic axes, with 95 % intervals.

    Why: on such axes an estimator whose variance falls as 1 / evaluations is a line of slope -1, and how far it lies below
    another is the factor that it saves. A curve that is no lower than its neighbor's intervals saves nothing that can be
    told from chance.

    The interval of a mean of errors is that of its logarithm by the delta method, mean · exp(±1.96 · standard error /
    mean): errors are above 0 and skewed, and mean ± 1.96 standard errors may reach below 0.

    Args:
      errors: for each estimator's name, from numbers of evaluations to the errors of independent repeats there, [R]
        numbers of any unit, all zero or more: squared errors of the values against `xai.shap.exact`, say. Estimators may
        have different numbers of evaluations; of one repeat no interval is drawn.
      colors: one for each estimator. Default: colors that all kinds of color vision tell apart.
      legend: whether the estimators are named beside the picture. Default True. The handles are the axes' own,
        `ax.get_legend_handles_labels()`, for one legend of several axes.
      ax: axes to draw on. Default: those of a new figure.
      title: default, none.

    Returns:
      The axes: a line with marks for each estimator, in the given order, and a bar for each interval.

    Raises:
      TypeError, ValueError: if errors are no such mapping, negative, not finite, or all 0, which has no place here.

    >>> import jax, jax.numpy as jnp, xaijax as xai
    >>> game = xai.Game(lambda z: z @ jnp.array([1.0, 2.0, 4.0]) + z[:, 0] * z[:, 1] * z[:, 2], num_players=3)
    >>> exact = xai.shap.exact(game).values
    >>> def squared(n, key):
    ...     return ((xai.shap.permutation(game, num_permutations=n, key=key).values - exact) ** 2).sum()
    >>> keys = jax.random.split(jax.random.key(0), 4)
    >>> found = {"permutation": {6 * n: [float(squared(n, key)) for key in keys] for n in (2, 4)}}
    >>> ax = xai.plot.error_curves(found)
    >>> ax.get_legend_handles_labels()[1], ax.lines[0].get_xdata().tolist()
    (['permutation'], [12.0, 24.0])
    """
    if not isinstance(errors, Mapping) or not errors:
        raise TypeError(f"errors must be a mapping from names to errors, one at least, but it is {errors!r:.80}.")
    lines = {str(name): _curve(str(name), given) for name, given in errors.items()}
    palette = palette_of(colors, len(lines), "estimator")

    ax = new_axes(ax, (6.2, 4.0))
    for number, (name, line) in enumerate(lines.items()):
        color, marker = palette[number], MARKERS[number % len(MARKERS)]
        ax.vlines(line.at, line.low, line.high, color=color, lw=1.4, zorder=2)
        ax.plot(line.at, line.means, color=color, lw=1.4, marker=marker, ms=3.5, label=name, zorder=3)
    counts = np.unique(np.concatenate([line.at for line in lines.values()]))
    logarithmic(ax)
    if len(counts) <= _MOST_TICKS:
        ax.xaxis.set_major_locator(FixedLocator(counts.tolist()))
    ax.xaxis.minorticks_off()
    ax.set_yscale("log")
    ax.yaxis.minorticks_off()
    ax.set_xlabel("evaluations", fontsize=9)
    ax.set_ylabel("error", fontsize=9)
    ax.tick_params(labelsize=8)
    ax.grid(color="0.92", lw=0.6)
    ax.set_axisbelow(True)
    without_frame(ax)
    if legend:
        box = ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8, frameon=False)
        for text in box.get_texts():
            text.set(**label_style(lines))
    titled(ax, title, "")
    return ax


def _curve(name: str, given: Any) -> _Curve:
    if not isinstance(given, Mapping) or not given:
        raise TypeError(
            f"errors of {name!r} must be a mapping from numbers of evaluations to errors, one at least, but it is "
            f"{type(given).__name__}."
        )
    points = sorted((_evaluations(name, at), _repeats(name, at, found)) for at, found in given.items())
    return _Curve(*np.array([(at, *interval) for at, interval in points]).T)


def _evaluations(name: str, at: Any) -> float:
    try:
        count = float(at)
    except (TypeError, ValueError) as error:
        raise TypeError(f"errors of {name!r} must have numbers of evaluations as keys, but one is {at!r}.") from error
    if not np.isfinite(count) or count <= 0:
        raise ValueError(f"numbers of evaluations must be finite and above 0, but {name!r} has errors at {count}.")
    return count


def _repeats(name: str, at: Any, given: Any) -> tuple[float, float, float]:
    """The mean of the errors, and the ends of its interval."""
    try:
        found = np.atleast_1d(np.asarray(given, np.float64))
    except (TypeError, ValueError) as error:
        raise TypeError(f"errors of {name!r} at {at} evaluations must be numbers: {error}") from error
    if found.ndim != 1 or not found.size:
        raise ValueError(f"errors of {name!r} at {at} evaluations must be [R], one at least, not {list(found.shape)}.")
    if not np.isfinite(found).all() or (found < 0).any():
        raise ValueError(f"errors of {name!r} at {at} evaluations must be finite and zero or more: give their sizes.")
    mean = float(found.mean())
    if mean == 0:
        raise ValueError(
            f"errors of {name!r} at {at} evaluations are all 0, for which there is no place on a logarithmic axis: leave "
            "these evaluations out."
        )
    # log(mean) has the standard error of the mean over the mean.
    factor = float(np.exp(1.96 * found.std(ddof=1) / np.sqrt(found.size) / mean)) if found.size > 1 else 1.0
    return mean, mean / factor, mean * factor
