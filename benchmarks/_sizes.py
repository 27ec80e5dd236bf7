"""How large the measured problems are."""

from __future__ import annotations

from typing import Literal, TypeVar

Size = Literal["tiny", "quick", "full"]  # shows that it runs; minutes in all; the figures that are published
Value = TypeVar("Value")
# Rows in one evaluation of the bare model, of which the best counts. The quick form tries those that were within a twelfth
# of the best of them on two CPU cores for the models here.
_BLOCKS = {"tables": (8192, 2048, 16384), "images": (16, 32, 64), "texts": (512, 64, 128, 2048)}
_QUICK = {"tables": 1, "images": 1, "texts": 2}


def pick(size: Size, *, tiny: Value, quick: Value, full: Value) -> Value:
    """The value for a size."""
    return {"tiny": tiny, "quick": quick, "full": full}[size]


def blocks(kind: str, size: Size) -> tuple[int, ...]:
    """How many rows of "tables", "images" or "texts" the bare model takes together, each of which is tried."""
    return _BLOCKS[kind] if size == "full" else _BLOCKS[kind][: _QUICK[kind]]
