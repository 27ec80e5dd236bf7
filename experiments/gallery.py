"""The gallery: every figure of the founding notes, and two of photographs, drawn by one command into one folder.

1 the weights after global average pooling, projected on the channel maps; 2 the evidence of CAM; 3 how Grad-CAM is
computed; 4 LIME's local line; 5 LIME on two text classifiers; 6 the three-worker game; 7 SHAP on housing prices; 8 an ImageNet network on photographs; 9 pointing into mosaics of them. An index page shows all.

Each figure is drawn by its own study. Two studies are made for data that this repository does not contain: pass files of
these data; otherwise stand-in data are used, which the index states.

python -m experiments.gallery --out out/gallery --newsgroups posts.jsonl.gz --boston boston.csv
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import struct
import time
from pathlib import Path
from typing import Any

import xaijax as xai
from experiments._gallery_figures import STUDIES, Study
from experiments._posts import load_posts
from experiments._tables import boston_from
from xaijax._core.words import number
from xaijax._report._html import Html, element
from xaijax._report._page import page
from xaijax._report._tables import facts_table

_ABOUT = (
    "Each of these figures is drawn by one study of xaijax, which trains its own models, with xai.plot from the numbers of "
    "xai.cam, xai.lime and xai.shap. The folder of this page contains the pictures, numbers.json with all numbers, and the "
    "attributions of the pictures (*.npz, for xai.load).\n\nFigures that are drawn from stand-in data say so."
)
_LONGEST = 12  # elements of a list that is written in full


@dataclasses.dataclass(frozen=True)
class Entry:
    """A figure in the index.

    number, title: of the figure.
    text: what it shows.
    data: a description of its data; stand_in: whether these replace other data.
    pictures: file names with the alternative text of each picture.
    command: the command that draws this figure alone.
    results: the study's numbers.
    seconds: the duration of the study.
    """

    number: int
    title: str
    text: str
    data: str
    stand_in: bool
    pictures: dict[str, str]
    command: str
    results: dict[str, Any]
    seconds: float


def write_index(folder: Path, entries: list[Entry], command: str) -> Path:
    """Writes index.html into the folder of the pictures."""
    facts = [f"xaijax {xai.__version__}", f"Drawn by: {command}"]
    chapters = [_chapter(entry, position, folder) for position, entry in enumerate(entries, 1)]
    contents = [(f"Figure {entry.number}: {entry.title}", 0) for entry in entries]
    path = folder / "index.html"
    path.write_text(
        page("The figures of the founding notes, and two of photographs", _ABOUT, facts, chapters, contents),
        encoding="utf-8",
    )
    return path


def _chapter(entry: Entry, position: int, folder: Path) -> Html:
    heading = element("h2", f"Figure {entry.number}: {entry.title}", id=f"heading-{position}")
    source = element("p", element("strong", "Stand-in data. ") if entry.stand_in else None, f"Drawn from {entry.data}.")
    if entry.stand_in:
        source = element("div", source, class_="warnings")
    numbers = facts_table(f"The numbers of figure {entry.number}", flat(entry.results))
    details = element("details", element("summary", "All numbers"), numbers)
    command = element(
        "p", "This figure alone: ", element("code", entry.command), f" ({entry.seconds:.0f} s)", class_="note"
    )
    pictures = [_picture(folder, name, description) for name, description in entry.pictures.items()]
    parts = [heading, element("p", entry.text), source, *pictures, details, command]
    return element("section", *parts, id=f"section-{position}", aria_labelledby=f"heading-{position}")


def _picture(folder: Path, name: str, description: str) -> Html:
    """Returns a picture that links to itself in full size."""
    width, height = png_size(folder / name)
    image = element("img", src=name, alt=description, width=width, height=height, loading="lazy")
    link = element("a", image, href=name, aria_label=f"{name} in full size")
    return element("figure", link, element("figcaption", f"{name}: {description}"))


def png_size(path: Path) -> tuple[int, int]:
    """Returns width and height, from the first bytes of the file."""
    head = path.read_bytes()[:24]
    if head[:8] != b"\x89PNG\r\n\x1a\n":
        raise ValueError(f"{path} must be a PNG file, got a file that begins with {head[:8]!r}.")
    width, height = struct.unpack(">II", head[16:24])
    return width, height


def flat(results: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Returns all numbers as texts, by their names; the name of a nested number includes the outer names."""
    rows = []
    for name, value in results.items():
        name = f"{prefix}{name}"
        if isinstance(value, dict):
            rows += flat(value, f"{name}: ")
        else:
            rows.append((name, _as_text(value)))
    return rows


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, list):
        shown = ", ".join(map(_as_text, value[:_LONGEST]))
        return shown if len(value) <= _LONGEST else f"{shown}, and {len(value) - _LONGEST} more"
    return str(value)


def draw(study: Study, out: Path, data: Path | None, *, quick: bool) -> list[Entry]:
    """Runs a study as its own command does, and returns the entries of its figures."""
    arguments = ["--out", str(out), *(study.quick if quick else ())]
    if data is not None:
        arguments += [study.option, str(data)]
    else:
        arguments += study.without
    start = time.perf_counter()
    study.main(arguments)
    seconds = time.perf_counter() - start
    results: dict[str, Any] = json.loads((out / "numbers.json").read_text())
    stand_in = bool(study.stand_in) and data is None
    source = study.stand_in if stand_in else study.real
    quickly = ". A quick run, to try the command: models are hardly trained, samples and repeats are few"
    return [
        Entry(
            figure.number,
            figure.title,
            figure.text,
            f"{source}{quickly}" if quick and study.quick else source,
            stand_in,
            {picture.file: picture.description for picture in figure.pictures},
            shlex.join(["python", "-m", f"experiments.{study.name}", *arguments]),
            results,
            seconds,
        )
        for figure in study.figures
    ]


def main(arguments: list[str] | None = None) -> None:
    numbers = [figure.number for study in STUDIES for figure in study.figures]
    parser = argparse.ArgumentParser(
        description="Every figure of the founding notes, and two of photographs, with an index page."
    )
    parser.add_argument("--out", type=Path, default=Path("out/gallery"), help="the folder for figures and index")
    parser.add_argument(
        "--newsgroups", type=Path, metavar="PATH", help="posts for figure 5, lines of JSON with split, group and text"
    )
    parser.add_argument(
        "--boston", type=Path, metavar="PATH", help="a CSV file of the Boston housing data for figure 7"
    )
    parser.add_argument("--only", type=int, nargs="+", choices=numbers, help="the figures to draw; default: all")
    parser.add_argument(
        "--quick", action="store_true", help="hardly trained models and few samples, to try the command"
    )
    options = parser.parse_args(arguments)
    files = {"newsgroups": options.newsgroups, "housing": options.boston}
    try:  # before the other studies take minutes
        if options.newsgroups is not None:
            load_posts(options.newsgroups, stand_in=False, seed=0)
        if options.boston is not None:
            boston_from(options.boston, 0)
    except (OSError, ValueError) as error:
        parser.error(str(error))

    entries, all_numbers = [], {}
    for study in STUDIES:
        wanted = [figure.number for figure in study.figures if not options.only or figure.number in options.only]
        if wanted:
            drawn = draw(study, options.out, files.get(study.name), quick=options.quick)
            entries += [entry for entry in drawn if entry.number in wanted]
            all_numbers[study.name] = drawn[0].results
    # The numbers of all studies replace those of the last one.
    (options.out / "numbers.json").write_text(json.dumps(all_numbers, indent=2) + "\n")
    selected = [
        part for study in STUDIES if files.get(study.name) for part in (study.own_option, str(files[study.name]))
    ]
    selected += ["--quick"] if options.quick else []
    selected += ["--only", *map(str, options.only)] if options.only else []
    command = shlex.join(["python", "-m", "experiments.gallery", "--out", str(options.out), *selected])
    index = write_index(options.out, entries, command)
    print(f"\n{len(entries)} figures and their index: {index}")


if __name__ == "__main__":
    main()
