"""The index page of the gallery: every figure with what it shows, what from, the numbers found, and its command."""

from __future__ import annotations

import dataclasses
import struct
from pathlib import Path
from typing import Any

import xaijax as xai
from xaijax._core.words import number
from xaijax._report._html import Html, element
from xaijax._report._page import page
from xaijax._report._tables import facts_table

_ABOUT = (
    "Each of these figures is drawn by one study of xaijax from models that it trains, by xai.plot and the numbers of "
    "xai.cam, xai.lime and xai.shap. Beside this page lie the pictures, numbers.json with all numbers, and the "
    "attributions behind the pictures (*.npz, for xai.load).\n\nWhere a figure is drawn from stand-in data, it says so."
)
_LONGEST = 12  # of a list that is written out


@dataclasses.dataclass(frozen=True)
class Entry:
    """number, title: of the figure; text: what it shows; data: what it was drawn from; stand_in: whether in place of others.

    pictures: names of files and what is to be seen in each, for those who do not see it; command: for this figure alone;
    found: the study's numbers; seconds: it took.
    """

    number: int
    title: str
    text: str
    data: str
    stand_in: bool
    pictures: dict[str, str]
    command: str
    found: dict[str, Any]
    seconds: float


def write_index(folder: Path, entries: list[Entry], command: str) -> Path:
    """Writes index.html beside the pictures."""
    facts = [f"xaijax {xai.__version__}", f"All of it again: {command}"]
    chapters = [_chapter(entry, place, folder) for place, entry in enumerate(entries, 1)]
    contents = [(f"Figure {entry.number}: {entry.title}", 0) for entry in entries]
    path = folder / "index.html"
    path.write_text(page("The figures of the founding notes", _ABOUT, facts, chapters, contents), encoding="utf-8")
    return path


def _chapter(entry: Entry, place: int, folder: Path) -> Html:
    heading = element("h2", f"Figure {entry.number}: {entry.title}", id=f"heading-{place}")
    data = element("p", element("strong", "Stand-in data. ") if entry.stand_in else None, f"Drawn from {entry.data}.")
    if entry.stand_in:
        data = element("div", data, class_="warnings")
    numbers = facts_table(f"The numbers of figure {entry.number}", flat(entry.found))
    details = element("details", element("summary", "The numbers found"), numbers)
    command = element("p", "By itself: ", element("code", entry.command), f" ({entry.seconds:.0f} s)", class_="note")
    pictures = [_picture(folder, name, seen) for name, seen in entry.pictures.items()]
    parts = [heading, element("p", entry.text), data, *pictures, details, command]
    return element("section", *parts, id=f"section-{place}", aria_labelledby=f"heading-{place}")


def _picture(folder: Path, name: str, seen: str) -> Html:
    """A picture that is a link to itself, in full size."""
    width, height = png_size(folder / name)
    image = element("img", src=name, alt=seen, width=width, height=height, loading="lazy")
    link = element("a", image, href=name, aria_label=f"{name} in full size")
    return element("figure", link, element("figcaption", f"{name}: {seen}"))


def png_size(path: Path) -> tuple[int, int]:
    """Width and height, from the head of the file."""
    head = path.read_bytes()[:24]
    if head[:8] != b"\x89PNG\r\n\x1a\n":
        raise ValueError(f"{path} must be a PNG file, but it begins with {head[:8]!r}.")
    width, height = struct.unpack(">II", head[16:24])
    return width, height


def flat(found: dict[str, Any], before: str = "") -> list[tuple[str, str]]:
    """Numbers by their names; those within others have both names."""
    rows = []
    for name, value in found.items():
        name = f"{before}{name}"
        if isinstance(value, dict):
            rows += flat(value, f"{name}: ")
        else:
            rows.append((name, _said(value)))
    return rows


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, list):
        shown = ", ".join(map(_said, value[:_LONGEST]))
        return shown if len(value) <= _LONGEST else f"{shown}, and {len(value) - _LONGEST} more"
    return str(value)
