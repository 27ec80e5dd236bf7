"""Fonts for labels whose letters the usual font lacks: Chinese, Japanese, Korean, Arabic and others."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any

import matplotlib as mpl
from matplotlib import ft2font
from matplotlib.font_manager import FontProperties, findfont, fontManager
from matplotlib.ft2font import FT2Font

from xaijax._core.calls import warn

# Of fonts with the same glyphs, those made for screens and texts are preferred where they are installed.
_PREFERRED = (
    "Noto Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Noto Sans JP", "Source Han Sans SC", "PingFang SC",
    "Hiragino Sans", "Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "WenQuanYi Zen Hei", "Segoe UI", "Arial Unicode MS",
)  # fmt: skip
_LAST_RESORT = "Last Resort"  # its glyph for every letter is a box


def label_style(texts: Iterable[str]) -> dict[str, Any]:
    """Returns properties of text artists that show these texts as they are.

    Dollar signs start no mathematics, since names are data. Where the user's font lacks letters, installed fonts that
    have them are added; where none has them, a warning names the letters.
    """
    families = list(mpl.rcParams["font.family"])
    fallbacks = _fallbacks(frozenset(_letters(texts)), tuple(families))
    style: dict[str, Any] = {"parse_math": False}
    return style | {"fontfamily": [*families, *fallbacks]} if fallbacks else style


def _fallbacks(letters: frozenset[str], families: tuple[str, ...]) -> list[str]:
    """Returns further families that have the missing letters, each time the one that has most of them."""
    missing = letters.difference(*(_glyphs(family) for family in families))
    fallbacks: list[str] = []
    if missing:
        files = _regular_files()
        candidates = [name for name in _PREFERRED if name in files] + sorted(set(files).difference(_PREFERRED))
        while candidates and missing:
            best = max(candidates, key=lambda name: len(missing & _glyphs_in(files[name])))
            if not missing & _glyphs_in(files[best]):
                break
            fallbacks.append(best)
            missing -= _glyphs_in(files[best])
    if missing:
        shown = " ".join(sorted(missing)[:12])
        warn(
            f"no installed font has the letters {shown} of the labels, which are drawn as boxes: install a font that has "
            "them, such as Noto Sans CJK for Chinese, Japanese and Korean, or pass other names."
        )
    if not _orders_scripts() and any(unicodedata.bidirectional(letter) in ("R", "AL") for letter in letters):
        warn(
            "this version of Matplotlib draws right-to-left scripts from left to right: install matplotlib>=3.11, which "
            "orders and joins their letters."
        )
    return fallbacks


def _letters(texts: Iterable[str]) -> Iterator[str]:
    """Yields the letters that need a glyph: no spaces, control characters or variation selectors."""
    for letter in set("".join(texts)):
        if (
            unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Zl", "Zp", "Zs")
            and not 0xFE00 <= ord(letter) <= 0xFE0F
        ):
            yield letter


def _glyphs(family: str) -> frozenset[str]:
    return _glyphs_in(findfont(FontProperties(family=[family])))


def _regular_files() -> dict[str, str]:
    """Returns the file of every installed family: upright, and of the weight closest to regular."""
    fonts = [font for font in fontManager.ttflist if not font.name.startswith(_LAST_RESORT)]
    fonts.sort(key=lambda font: (font.style != "normal", abs(_weight(font.weight) - 400)), reverse=True)
    return {font.name: font.fname for font in fonts}  # the last one, the best, is kept


def _weight(weight: int | str) -> float:
    return 400 if isinstance(weight, str) else weight


@functools.lru_cache(maxsize=512)
def _glyphs_in(path: str) -> frozenset[str]:
    return frozenset(map(chr, FT2Font(path).get_charmap()))


def _orders_scripts() -> bool:
    return hasattr(ft2font, "__libraqm_version__")
