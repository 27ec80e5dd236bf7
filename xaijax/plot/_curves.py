"""Insertion and deletion curves, with the area under them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from xaijax.metrics import Curve
from xaijax.plot._axes import check_example, new_axes, titled
from xaijax.plot._fonts import label_style
from xaijax.plot._series import color_of

_DONE = {"insertion": "put in", "deletion": "taken out"}
_LINES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (5, 1.5, 1.2, 1.5)))


def curves(
    given: Any,
    *,
    example: int | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draws what the model says as the strongest players are put in or taken out, and states the area under it.

    Args:
      given: a `xai.metrics.Curve`, a sequence of them (named by their methods) or a mapping from names to them, all of
        insertion or all of deletion.
      example: which example to draw; None for the mean over all, with the band that holds the mean in 95 % of all draws
        of so many examples. Default None. Curves of examples with fewer players are read off between their points.
      ax: axes to draw on. Default: those of a new figure.
      title: default, the kind of curve and the number of examples.

    Returns:
      The axes: a line for each curve, the best first in the legend.

    Raises:
      TypeError, ValueError: if there are no curves, curves of both kinds, or a curve is not finite.

    References:
      Petsiuk, Das & Saenko (2018), RISE, arXiv:1806.07421, figure 4.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> game = xai.Game(lambda coalitions: coalitions @ jnp.array([4.0, 7.0, 5.0]), num_players=3)
    >>> ax = xai.plot.curves({"Shapley values": xai.metrics.insertion(game, xai.shap.exact(game))})
    >>> ax.get_legend_handles_labels()[1]
    ['Shapley values: area 9.00']
    """
    named = _named(given)
    kinds = {curve.order for _, curve in named}
    if len(kinds) > 1:
        raise ValueError("curves must be all of insertion or all of deletion: draw the two on axes of their own.")
    (kind,) = kinds
    lines = sorted((_line(name, curve, example) for name, curve in named), key=lambda line: line[3])
    lines = lines[::-1] if kind == "insertion" else lines

    ax = new_axes(ax, (6.0, 4.0))
    for number, (label, shares, said, _, band) in enumerate(lines):
        color = color_of(number)
        ax.plot(100 * shares, said, color=color, lw=1.8, ls=_LINES[number % len(_LINES)], label=label)
        if band is not None:
            ax.fill_between(100 * shares, said - band, said + band, color=color, alpha=0.15, lw=0)
    ax.set_xlim(0, 100)
    ax.set_xlabel(f"% of the players {_DONE[kind]}, the strongest first", fontsize=9)
    ax.set_ylabel("the model's output", fontsize=9)
    ax.tick_params(labelsize=8)
    ax.spines[["top", "right"]].set_visible(False)
    labels = [label for label, *_ in lines]
    style = label_style(labels)
    family = {"family": style["fontfamily"]} if "fontfamily" in style else {}
    better = "a larger" if kind == "insertion" else "a smaller"
    ax.legend(
        prop={"size": 8} | family, frameon=False, title=f"{better} area is better", title_fontsize=8, alignment="left"
    )
    count = max(curve.area.size for _, curve in named)
    whose = f"example {example}" if example is not None else "1 example" if count == 1 else f"mean of {count} examples"
    titled(ax, title, f"{kind.capitalize()}: {whose}")
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
    if not named or not all(isinstance(curve, Curve) for _, curve in named):
        raise TypeError(
            "curves must come from xai.metrics.insertion or deletion: one, a sequence or a mapping of them."
        )
    return named


def _line(name: str, curve: Curve, example: int | None) -> tuple[str, np.ndarray, np.ndarray, float, np.ndarray | None]:
    """The label, shares, outputs, area and half a band."""
    shares, said, areas = (np.asarray(part, np.float64) for part in (curve.fractions, curve.outputs, curve.area))
    if not np.isfinite(said).all():
        raise ValueError(
            f"the curve {name!r} holds outputs that are not finite: look at the inputs and the attribution."
        )
    shares, said, areas = np.atleast_2d(shares), np.atleast_2d(said), np.atleast_1d(areas)
    start = f"{name}: " if name else ""
    if example is not None or len(areas) == 1:
        row = check_example(example or 0, len(areas))
        return f"{start}area {_area(areas[row])}", shares[row], said[row], float(areas[row]), None
    common = np.linspace(0, 1, shares.shape[1])
    said = np.stack([_read_off(common, one, outputs) for one, outputs in zip(shares, said, strict=True)])
    half = 1.96 / np.sqrt(len(areas))
    label = f"{start}area {_area(areas.mean())} ± {half * areas.std(ddof=1):.2g}"
    return label, common, said.mean(axis=0), float(areas.mean()), half * said.std(axis=0, ddof=1)


def _read_off(at: np.ndarray, shares: np.ndarray, said: np.ndarray) -> np.ndarray:
    """Between the points, of which those of players that are nothing all lie at 1."""
    real = np.concatenate([[True], np.diff(shares) > 0])
    return np.interp(at, shares[real], said[real])


def _area(area: float) -> str:
    return f"{area:#.3g}".rstrip(".") if abs(area) < 100 else f"{area:.4g}"
