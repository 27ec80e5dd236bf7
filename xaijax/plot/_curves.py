"""Insertion and deletion curves, with the area under them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from xaijax._core import check
from xaijax._core.words import Z
from xaijax.metrics import Curve
from xaijax.plot._parts.axes import draw_legend, draws, label_values, new_axes, titled, without_frame
from xaijax.plot._parts.colors import color_of
from xaijax.plot._parts.rows import check_example

_DONE = {"insertion": "inserted", "deletion": "deleted"}
_LINES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (5, 1.5, 1.2, 1.5)))


@draws
def curves(
    given: Curve | Sequence[Curve] | Mapping[str, Curve],
    *,
    example: int | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draws the output as the strongest players are inserted or deleted, and states the area under each curve.

    Args:
      given: a `xai.metrics.Curve`, a sequence of them (named by their methods) or a mapping from names to them, all of
        insertion or all of deletion.
      example: the example to draw; None for the mean over all, with the band that covers the mean in 95 % of all draws of
        as many examples. Default None. Curves of examples with fewer players are interpolated.
      ax: axes to draw on. Default: those of a new figure.
      title: Default: the type of curve and the number of examples.

    Returns:
      The axes, with a line for each curve, the best first in the legend.

    Raises:
      TypeError, ValueError: if there are no curves, curves of both types, or a curve is not finite.

    References:
      Petsiuk, Das & Saenko (2018), RISE, arXiv:1806.07421, figure 4.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> game = xai.Game(lambda coalitions: coalitions @ jnp.array([4.0, 7.0, 5.0]), num_players=3)
    >>> ax = xai.plot.curves({"Shapley values": xai.metrics.insertion(game, xai.shap.exact(game))})
    >>> ax.get_legend_handles_labels()[1]
    ['Shapley values: area 9.00']
    """
    named = _named(given)
    orders = {curve.metric for _, curve in named}
    if len(orders) > 1:
        raise ValueError("`given` must be all of insertion or all of deletion, got both: draw each on its own axes.")
    (order,) = orders
    lines = sorted((_line(name, curve, example) for name, curve in named), key=lambda line: line[3])
    lines = lines[::-1] if order == "insertion" else lines

    ax = new_axes(ax, (6.0, 4.0))
    for number, (label, shares, outputs, _, band) in enumerate(lines):
        color = color_of(number)
        ax.plot(100 * shares, outputs, color=color, lw=1.8, ls=_LINES[number % len(_LINES)], label=label)
        if band is not None:
            ax.fill_between(100 * shares, outputs - band, outputs + band, color=color, alpha=0.15, lw=0)
    ax.set_xlim(0, 100)
    label_values(ax, f"% of the players {_DONE[order]}, the strongest first")
    ax.set_ylabel("the model's output", fontsize=9)
    ax.tick_params(labelsize=8)
    without_frame(ax)
    better = "a larger" if order == "insertion" else "a smaller"
    draw_legend(ax, title=f"{better} area is better", title_fontsize=8, alignment="left")
    count = max(curve.values.size for _, curve in named)
    whose = f"example {example}" if example is not None else "1 example" if count == 1 else f"mean of {count} examples"
    titled(ax, title, f"{order.capitalize()}: {whose}")
    return ax


def _named(given: Any) -> list[tuple[str, Curve]]:
    if isinstance(given, Curve):
        given = [given]
    if isinstance(given, Mapping):
        named = [(str(name), curve) for name, curve in given.items()]
    elif isinstance(given, Sequence):
        named = [(getattr(curve, "method", ""), curve) for curve in given]
    else:
        named = []
    if not named or not all(isinstance(curve, Curve) and curve.metric in _DONE for _, curve in named):
        raise TypeError(
            "`given` must be a curve of xai.metrics.insertion or deletion, a sequence or a mapping of curves, got "
            f"{check.shown(given)}."
        )
    return named


def _line(name: str, curve: Curve, example: int | None) -> tuple[str, np.ndarray, np.ndarray, float, np.ndarray | None]:
    """Returns the label, the shares, the outputs, the area and half the width of the band."""
    shares, outputs, areas = (np.asarray(part, np.float64) for part in (curve.fractions, curve.outputs, curve.values))
    if not np.isfinite(outputs).all():
        raise ValueError(
            f"`given` must hold finite outputs, got NaN or infinity in curve {name!r}: look at the inputs and the attribution."
        )
    shares, outputs, areas = np.atleast_2d(shares), np.atleast_2d(outputs), np.atleast_1d(areas)
    start = f"{name}: " if name else ""
    if example is not None or len(areas) == 1:
        row = check_example(0 if example is None else example, len(areas))
        return f"{start}area {_area(areas[row])}", shares[row], outputs[row], float(areas[row]), None
    common = np.linspace(0, 1, shares.shape[1])
    outputs = np.stack([_interpolated(common, *points) for points in zip(shares, outputs, strict=True)])
    half = Z / np.sqrt(len(areas))
    label = f"{start}area {_area(areas.mean())} ± {half * areas.std(ddof=1):.2g}"
    return label, common, outputs.mean(axis=0), float(areas.mean()), half * outputs.std(axis=0, ddof=1)


def _interpolated(at: np.ndarray, shares: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """Interpolates between the points; those of padding all lie at 1 and do not count."""
    real = np.concatenate([[True], np.diff(shares) > 0])
    return np.interp(at, shares[real], outputs[real])


def _area(area: float) -> str:
    return f"{area:#.3g}".rstrip(".") if abs(area) < 100 else f"{area:.4g}"
