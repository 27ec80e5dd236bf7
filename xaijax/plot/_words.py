"""The words of a text, one for each value."""

from __future__ import annotations

import unicodedata
from typing import Any


def check_words(words: Any, count: int) -> list[str]:
    """1 to `count` words."""
    if isinstance(words, (str, bytes)) or not hasattr(words, "__iter__"):
        raise TypeError(f"words must be a sequence of words, but it is {type(words).__name__}: split it first.")
    given = [str(word) for word in words]
    if not given or len(given) > count:
        raise ValueError(f"words must be 1 to {count}, one for each value, but there are {len(given)}.")
    return given


def is_right_to_left(words: list[str]) -> bool:
    """Whether the first letter that has a direction is one of a script from right to left."""
    directions = (unicodedata.bidirectional(letter) for word in words for letter in word)
    return next((direction for direction in directions if direction in ("L", "R", "AL")), "L") != "L"


def on_one_line(word: str) -> str:
    """Without breaks and spaces around it; a word of nothing else is a mark that shows it."""
    return " ".join(word.split()) or ("↵" if "\n" in word else "␣")
