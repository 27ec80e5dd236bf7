"""Colors of maps: one scale for all that is shown together, which the color bar states."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

# Even in lightness, and told apart by all kinds of color vision.
_DIVERGING, _SEQUENTIAL = "RdBu_r", "inferno"


class Scale(NamedTuple):
    """From values to colors.

    norm: the limits: 0 and the largest value, or where there are negative ones the largest size both ways.
    colors: the name of the color map.
    cut: whether values lie beyond the limits; they have the color of the limit.
    note: what a reader must know of the limits; "" where they are the largest value.
    """

    norm: Normalize
    colors: str
    cut: bool
    note: str

    @property
    def signed(self) -> bool:
        return self.colors == _DIVERGING

    def strength(self, values: np.ndarray) -> np.ndarray:
        """|value| as a share of the limit, 1 at most."""
        return np.minimum(np.abs(values) / self.norm.vmax, 1)

    def mappable(self) -> ScalarMappable:
        return ScalarMappable(self.norm, self.colors)


def scale_of(maps: Iterable[np.ndarray], percentile: Any = 100.0, signed: Any = None) -> Scale:
    """One scale for all the maps, up to the largest size of their values or to a percentile of these.

    signed: whether it goes both ways from 0; None where there are negative values.
    """
    percentile = check_percentile(percentile)
    values = np.concatenate([np.ravel(one) for one in maps])
    sizes, signed = np.abs(values), _check_signed(signed, float(values.min()))
    most = float(sizes.max())
    limit = most if percentile == 100 else float(np.percentile(sizes, percentile))
    note = ""
    if most == 0:
        limit, note = 1.0, "all values are 0"
    elif percentile < 100 and limit == 0:
        limit, note = most, f"{_ordinal(percentile)} percentile of |value| is 0: colors end at the largest, {most:.3g}"
    elif percentile < 100:
        note = f"colors end at the {_ordinal(percentile)} percentile of |value|, {limit:.3g}; the largest is {most:.3g}"
    colors = _DIVERGING if signed else _SEQUENTIAL
    return Scale(Normalize(-limit if signed else 0.0, limit), colors, limit < most, note)


def _check_signed(signed: Any, least: float) -> bool:
    if signed is None:
        return least < 0
    if not isinstance(signed, bool):
        raise TypeError(f"signed must be True, False or None, but it is {signed!r}.")
    if not signed and least < 0:
        raise ValueError(f"signed must not be False where values are negative, and the least of them is {least:.3g}.")
    return signed


def check_percentile(percentile: Any) -> float:
    if isinstance(percentile, bool) or not isinstance(percentile, numbers.Real) or not 0 < float(percentile) <= 100:
        raise ValueError(f"percentile must be a number above 0 and at most 100, but it is {percentile!r}.")
    return float(percentile)


def color_bar(
    scale: Scale, axes: Axes | Sequence[Axes], label: str = "", *, slim: bool = False, below: bool = False
) -> None:
    """A bar beside or below the axes, with its ends and middle marked; arrows where values lie beyond them."""
    first = axes if isinstance(axes, Axes) else axes[0]
    width: dict[str, Any] = {"fraction": 0.03, "pad": 0.02, "aspect": 30} if slim else {"fraction": 0.046, "pad": 0.03}
    if below:
        width = {"location": "bottom", "fraction": 0.04, "pad": 0.02, "aspect": 24, "shrink": 0.5}
    beyond = "neither" if not scale.cut else "both" if scale.signed else "max"
    bar = first.figure.colorbar(scale.mappable(), ax=axes, extend=beyond, **width)
    low, high = scale.norm.vmin, scale.norm.vmax
    assert low is not None
    assert high is not None
    ticks = np.linspace(low, high, 5)
    bar.set_ticks(ticks.tolist(), labels=[f"{tick:.3g}" for tick in ticks])
    bar.ax.tick_params(labelsize=7)
    if label:
        bar.set_label(label, fontsize=8)


def _ordinal(percentile: float) -> str:
    shown = f"{percentile:g}"
    last = int(percentile) % 10 if "." not in shown and int(percentile) // 10 != 1 else 0
    return shown + {1: "st", 2: "nd", 3: "rd"}.get(last, "th")
