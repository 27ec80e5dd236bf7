"""Colors: the one palette of all plots, and scales from values to colors, which color bars state."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize, is_color_like

from xaijax._core import check
from xaijax._core.words import counted

POSITIVE, NEGATIVE = "#c44e2b", "#2b6ca3"  # orange-red and blue, distinct for all types of color vision
LOW_TO_HIGH = LinearSegmentedColormap.from_list("low to high", [NEGATIVE, "#c9b3c4", POSITIVE])
SIGNED, UNSIGNED = "RdBu_r", "inferno"  # even in lightness; the first is white at zero
GRAY = "#8c8c8c"  # inputs that are words, or missing
# Okabe & Ito (2008), Color universal design; yellow, pale on white, comes last.
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#f0e442")
MARKERS = "osD^vP*X<>"


def color_of(number: int) -> str:
    """Returns the color of the line with this number; yellow is for bars alone."""
    return SERIES[number % (len(SERIES) - 1)]


def color_by_sign(value: float) -> str:
    return POSITIVE if value >= 0 else NEGATIVE


def palette_of(colors: object, count: int, noun: str) -> list[Any]:
    """Returns the given colors, one for each group or category, or those of the palette."""
    if colors is None:
        return [color_of(number) for number in range(count)]
    if isinstance(colors, str) or not isinstance(colors, Iterable):
        raise TypeError(f"`colors` must be {counted(count, 'color')}, one for each {noun}, got {check.shown(colors)}.")
    given = list(colors)
    if len(given) != count:
        raise ValueError(f"`colors` must be {counted(count, 'color')}, one for each {noun}, got {len(given)}.")
    return [check_color("colors", color) for color in given]


def check_color(name: str, color: Any) -> Any:
    if not is_color_like(color):
        raise ValueError(
            f"`{name}` must be a color of Matplotlib such as 'red', '#c44e2b' or (1, 0, 0), got {check.shown(color)}."
        )
    return color


class Scale(NamedTuple):
    """A scale from values to colors.

    norm: the limits, from 0 to the largest value, or symmetric about 0 where there are negative ones.
    colors: the name of the color map.
    cut: whether values lie beyond the limits; they have the color of the limit.
    note: what a reader must know of the limits; "" where the largest value is the limit.
    """

    norm: Normalize
    colors: str
    cut: bool
    note: str

    @property
    def signed(self) -> bool:
        return self.colors == SIGNED

    def strength(self, values: np.ndarray) -> np.ndarray:
        """Returns |value| as a share of the limit, at most 1."""
        return np.minimum(np.abs(values) / self.norm.vmax, 1)

    def mappable(self) -> ScalarMappable:
        return ScalarMappable(self.norm, self.colors)


def scale_of(maps: Iterable[np.ndarray], percentile: float = 100.0, signed: bool | None = None) -> Scale:
    """Returns one scale for all maps, up to the largest |value| or to a percentile of |value|.

    signed: whether the scale is symmetric about 0; None: where there are negative values.
    """
    percentile = check_percentile(percentile)
    values = np.concatenate([np.ravel(each) for each in maps])
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
    return Scale(Normalize(-limit if signed else 0.0, limit), SIGNED if signed else UNSIGNED, limit < most, note)


def both_ways(scale: Scale) -> Scale:
    """Returns a scale that is symmetric about 0 for all signs: parts of texts speak for the output or against it."""
    limit = scale.norm.vmax
    assert limit is not None
    return scale._replace(norm=Normalize(-limit, limit), colors=SIGNED)


def _check_signed(signed: bool | None, least: float) -> bool:
    if signed is None:
        return least < 0
    if not isinstance(signed, bool):
        raise TypeError(f"`signed` must be True, False or None, got {check.shown(signed)}.")
    if not signed and least < 0:
        raise ValueError(f"`signed` must not be False where values are negative, got values down to {least:.3g}.")
    return signed


def check_percentile(percentile: object) -> float:
    number = check.finite_float("percentile", percentile, expected="above 0 and at most 100")
    if not 0 < number <= 100:
        raise ValueError(f"`percentile` must be a number above 0 and at most 100, got {check.shown(percentile)}.")
    return number


def color_bar(
    scale: Scale, axes: Axes | Sequence[Axes], label: str = "", *, slim: bool = False, below: bool = False
) -> None:
    """Draws a color bar next to or below the axes, with arrows where values lie beyond its ends."""
    first = axes if isinstance(axes, Axes) else axes[0]
    width: dict[str, Any] = {"fraction": 0.03, "pad": 0.02, "aspect": 30} if slim else {"fraction": 0.046, "pad": 0.03}
    if below:
        width = {"location": "bottom", "fraction": 0.04, "pad": 0.02, "aspect": 24, "shrink": 0.5}
    beyond = "neither" if not scale.cut else "both" if scale.signed else "max"
    bar = first.figure.colorbar(scale.mappable(), ax=axes, extend=beyond, **width)
    ticks = np.linspace(float(scale.norm.vmin or 0), float(scale.norm.vmax or 0), 5)
    bar.set_ticks(ticks.tolist(), labels=[f"{tick:.3g}" for tick in ticks])
    bar.ax.tick_params(labelsize=7)
    if label:
        bar.set_label(label, fontsize=8)


def _ordinal(percentile: float) -> str:
    shown = f"{percentile:g}"
    last = int(percentile) % 10 if "." not in shown and int(percentile) // 10 != 1 else 0
    return shown + {1: "st", 2: "nd", 3: "rd"}.get(last, "th")
