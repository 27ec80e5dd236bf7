"""The errors of estimators against the number of evaluations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator
from matplotlib.typing import ColorType

from xaijax._core import check
from xaijax._core.typing import ArrayOrSequence
from xaijax._core.words import Z
from xaijax.plot._parts.axes import draw_legend, draws, logarithmic, new_axes, titled, without_frame
from xaijax.plot._parts.colors import MARKERS, palette_of

_MOST_TICKS = 8  # numbers of evaluations that are all written on the axis


class _Curve(NamedTuple):
    """at: [B] evaluations, increasing; means: [B] mean errors; low, high: [B] the ends of their intervals."""

    at: np.ndarray
    means: np.ndarray
    low: np.ndarray
    high: np.ndarray


@draws
def error_curves(
    errors: Mapping[str, Mapping[int, ArrayOrSequence]],
    *,
    colors: Sequence[ColorType] | None = None,
    legend: bool = True,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draws the mean error of estimators against the number of evaluations, on logarithmic axes, with 95 % intervals.

    Why: on such axes an estimator whose variance falls as 1 / evaluations is a line of slope -1, and the vertical distance
    to another is the factor that it saves. Intervals that overlap do not show a difference.

    The interval of a mean of errors is that of its logarithm by the delta method, mean · exp(±1.96 · standard error /
    mean): errors are above 0 and skewed, and mean ± 1.96 standard errors may reach below 0.

    Args:
      errors: for each estimator's name, from numbers of evaluations to the errors of independent repeats there, [R] numbers
        of any unit, all zero or more, such as squared errors against `xai.shap.exact`. Estimators may have different
        numbers of evaluations; a single repeat has no interval.
      colors: one for each estimator. Default: colors that are distinct for all types of color vision.
      legend: whether the estimators are named next to the axes. Default True. The handles are the axes' own,
        `ax.get_legend_handles_labels()`, for one legend of several axes.
      ax: axes to draw on. Default: those of a new figure.
      title: Default: none.

    Returns:
      The axes, with a line and markers for each estimator, in the given order, and a bar for each interval.

    Raises:
      TypeError, ValueError: if errors are no such mapping, negative, not finite, or all 0, which has no logarithm.

    >>> import jax, jax.numpy as jnp, xaijax as xai
    >>> game = xai.Game(lambda z: z @ jnp.array([1.0, 2.0, 4.0]) + z[:, 0] * z[:, 1] * z[:, 2], num_players=3)
    >>> exact = xai.shap.exact(game).values
    >>> def squared(n, key):
    ...     return ((xai.shap.permutation(game, num_permutations=n, key=key).values - exact) ** 2).sum()
    >>> keys = jax.random.split(jax.random.key(0), 4)
    >>> errors = {"permutation": {6 * n: [float(squared(n, key)) for key in keys] for n in (2, 4)}}
    >>> ax = xai.plot.error_curves(errors)
    >>> ax.get_legend_handles_labels()[1], ax.lines[0].get_xdata().tolist()
    (['permutation'], [12.0, 24.0])
    """
    if not isinstance(errors, Mapping) or not errors:
        raise TypeError(
            f"`errors` must be a mapping from names to errors, of at least one estimator, got {check.shown(errors)}."
        )
    legend = check.flag("legend", legend)
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
        draw_legend(ax, loc="center left", bbox_to_anchor=(1.0, 0.5))
    titled(ax, title, "")
    return ax


def _curve(name: str, given: Any) -> _Curve:
    if not isinstance(given, Mapping) or not given:
        raise TypeError(
            f"`errors` of {name!r} must be a mapping from numbers of evaluations to errors, at least one, got "
            f"{check.shown(given)}."
        )
    points = sorted((_evaluations(name, at), _repeats(name, at, repeats)) for at, repeats in given.items())
    return _Curve(*np.array([(at, *interval) for at, interval in points]).T)


def _evaluations(name: str, at: Any) -> float:
    try:
        count = float(at)
    except (TypeError, ValueError) as error:
        raise TypeError(f"`errors` of {name!r} must have numbers as keys, got {check.shown(at)}.") from error
    if not np.isfinite(count) or count <= 0:
        raise ValueError(f"`errors` of {name!r} must have finite keys above 0, got {count}.")
    return count


def _repeats(name: str, at: Any, given: Any) -> tuple[float, float, float]:
    """Returns the mean of the errors and the ends of its interval."""
    try:
        errors = np.atleast_1d(np.asarray(given, np.float64))
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"`errors` of {name!r} at {at} evaluations must be numbers, got {check.shown(given)}."
        ) from error
    if errors.ndim != 1 or not errors.size:
        raise ValueError(
            f"`errors` of {name!r} at {at} evaluations must be [R], at least one, got {list(errors.shape)}."
        )
    if not np.isfinite(errors).all() or (errors < 0).any():
        raise ValueError(
            f"`errors` of {name!r} at {at} evaluations must be finite and zero or more, got {check.shown(given)}: pass their "
            "absolute values or squares."
        )
    mean = float(errors.mean())
    if mean == 0:
        raise ValueError(
            f"`errors` of {name!r} at {at} evaluations must not be all 0, which has no logarithm: leave these evaluations out."
        )
    # log(mean) has the standard error of the mean over the mean.
    factor = float(np.exp(Z * errors.std(ddof=1) / np.sqrt(errors.size) / mean)) if errors.size > 1 else 1.0
    return mean, mean / factor, mean * factor
