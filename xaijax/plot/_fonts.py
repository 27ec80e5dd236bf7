"""Fonts for labels whose letters the usual font lacks: Chinese, Japanese, Korean, Arabic and others."""

from __future__ import annotations

import functools
import unicodedata
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import matplotlib as mpl
from matplotlib import ft2font
from matplotlib.font_manager import FontProperties, findfont, fontManager
from matplotlib.ft2font import FT2Font

# Of fonts that have the same glyphs, those made for screens and texts go first, as far as they are installed.
_PREFERRED = (
    "Noto Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Noto Sans JP", "Source Han Sans SC", "PingFang SC",
    "Hiragino Sans", "Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "WenQuanYi Zen Hei", "Segoe UI", "Arial Unicode MS",
)  # fmt: skip
_LAST_RESORT = "Last Resort"  # has a glyph for everything: a box


def label_style(texts: Iterable[str]) -> dict[str, Any]:
    """Properties for text artists that show these texts as they are.

    Dollar signs begin no mathematics, since names are data. Where the user's font lacks letters, installed fonts that
    have them come behind it; where none has them, a warning says which.
    """
    families = list(mpl.rcParams["font.family"])
    fallbacks = _fallbacks(frozenset(_letters(texts)), tuple(families))
    style: dict[str, Any] = {"parse_math": False}
    return style | {"fontfamily": [*families, *fallbacks]} if fallbacks else style


def _fallbacks(letters: frozenset[str], families: tuple[str, ...]) -> list[str]:
    """Further families that together have the letters which these lack: each time the one that has most of them."""
    missing = letters.difference(*(_glyphs(family) for family in families))
    found: list[str] = []
    if missing:
        files = _regular_files()
        candidates = [name for name in _PREFERRED if name in files] + sorted(set(files).difference(_PREFERRED))
        while candidates and missing:
            best = max(candidates, key=lambda name: len(missing & _glyphs_in(files[name])))
            if not missing & _glyphs_in(files[best]):
                break
            found.append(best)
            missing -= _glyphs_in(files[best])
    if missing:
        shown = " ".join(sorted(missing)[:12])
        warnings.warn(
            f"no installed font has the letters {shown} of the labels, which are drawn as boxes: install one that has them, "
            "such as Noto Sans CJK for Chinese, Japanese and Korean, or pass other names.",
            stacklevel=2,
        )
    if not _orders_scripts() and any(unicodedata.bidirectional(letter) in ("R", "AL") for letter in letters):
        warnings.warn(
            "this version of Matplotlib draws the letters of right-to-left scripts from left to right: install "
            "matplotlib>=3.11, which orders and joins them.",
            stacklevel=2,
        )
    return found


def _letters(texts: Iterable[str]) -> Iterator[str]:
    """What needs a glyph: no spaces, no marks of control and no choices between variants of a glyph."""
    for letter in set("".join(texts)):
        if unicodedata.category(letter) not in ("Cc", "Cf", "Zl", "Zp", "Zs") and not 0xFE00 <= ord(letter) <= 0xFE0F:
            yield letter


def _glyphs(family: str) -> frozenset[str]:
    return _glyphs_in(findfont(FontProperties(family=[family])))


def _regular_files() -> dict[str, str]:
    """The file of every installed family: upright, and of a weight as near the regular one as it has."""
    fonts = [font for font in fontManager.ttflist if not font.name.startswith(_LAST_RESORT)]
    fonts.sort(key=lambda font: (font.style != "normal", abs(_weight(font.weight) - 400)), reverse=True)
    return {font.name: font.fname for font in fonts}  # the best one last


def _weight(weight: int | str) -> float:
    return 400 if isinstance(weight, str) else weight


@functools.lru_cache(maxsize=512)
def _glyphs_in(path: str) -> frozenset[str]:
    return frozenset(map(chr, FT2Font(path).get_charmap()))


def _orders_scripts() -> bool:
    return hasattr(ft2font, "__libraqm_version__")
