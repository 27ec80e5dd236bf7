"""Colors, marks and axes of lines that are drawn together."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

# Okabe & Ito (2008), Color universal design: told apart by all kinds of color vision, without their yellow.
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
MARKERS = "osD^vP*X<>"  # more than colors, so that seventy lines are all different


def color_of(number: int) -> str:
    return _COLORS[number % len(_COLORS)]


def logarithmic(ax: Axes) -> None:
    """Across, an axis of numbers of evaluations, which are written as they are: 1, 2, 5, 10 and so on."""
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
