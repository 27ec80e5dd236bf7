"""Colours and marks of lines that are drawn together."""

from __future__ import annotations

# Okabe & Ito (2008), Color universal design: told apart by all kinds of colour vision, without their yellow.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
MARKERS = "osD^vP*X<>"  # more than colours, so that seventy lines are all different


def colour_of(number: int) -> str:
    return _COLOURS[number % len(_COLOURS)]
