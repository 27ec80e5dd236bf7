"""The gallery: every figure of the founding notes, by one command, in one folder with an index page.

1 the weights behind global average pooling, projected on the channel maps; 2 where CAM looks; 3 how Grad-CAM comes
about; 4 LIME's local line; 5 LIME on two text classifiers; 6 the three-worker game; 7 SHAP on housing prices.

Each is drawn by its own study, which is run as its own command would run it. Two of them are made for data that do not
come with this repository: pass files of them, or stand-ins take their place, and the index says so.

python -m experiments.gallery --out out/gallery --newsgroups posts.jsonl.gz --boston boston.csv
"""

from __future__ import annotations

import argparse
import json
import shlex
import time
from pathlib import Path
from typing import Any

from experiments._gallery_page import Entry, write_index
from experiments._gallery_studies import STUDIES, Study
from experiments._newsgroups import load_posts
from experiments._tables import boston_from


def draw(study: Study, out: Path, data: Path | None, *, quick: bool) -> list[Entry]:
    """Runs a study as its own command would, and describes what it drew."""
    given = ["--out", str(out), *(study.quick if quick else ())]
    if data is not None:
        given += [study.option, str(data)]
    else:
        given += study.without
    start = time.perf_counter()
    study.main(given)
    seconds = time.perf_counter() - start
    found: dict[str, Any] = json.loads((out / "numbers.json").read_text())
    stand_in = bool(study.stand_in) and data is None
    source = study.stand_in if stand_in else study.real
    hardly = ". To try the command alone: models are hardly trained, samples and repeats are few"
    return [
        Entry(
            figure.number,
            figure.title,
            figure.text,
            f"{source}{hardly}" if quick and study.quick else source,
            stand_in,
            {picture.file: picture.seen for picture in figure.pictures},
            shlex.join(["python", "-m", f"experiments.{study.name}", *given]),
            found,
            seconds,
        )
        for figure in study.figures
    ]


def main(arguments: list[str] | None = None) -> None:
    numbers = [figure.number for study in STUDIES for figure in study.figures]
    parser = argparse.ArgumentParser(description="Every figure of the founding notes, with an index page.")
    parser.add_argument("--out", type=Path, default=Path("out/gallery"), help="the folder for figures and index")
    parser.add_argument(
        "--newsgroups", type=Path, metavar="PATH", help="posts for figure 5, lines of JSON with split, group and text"
    )
    parser.add_argument(
        "--boston", type=Path, metavar="PATH", help="a CSV file of the Boston housing data for figure 7"
    )
    parser.add_argument("--only", type=int, nargs="+", choices=numbers, help="the figures to draw; default: all")
    parser.add_argument(
        "--quick", action="store_true", help="hardly trained models and few samples: to try the command"
    )
    options = parser.parse_args(arguments)
    files = {"newsgroups": options.newsgroups, "housing": options.boston}
    try:  # before minutes are spent on the others
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
            all_numbers[study.name] = drawn[0].found
    (options.out / "numbers.json").write_text(json.dumps(all_numbers, indent=2) + "\n")  # of all, not of the last
    given = [part for study in STUDIES if files.get(study.name) for part in (study.own_option, str(files[study.name]))]
    given += ["--quick"] if options.quick else []
    given += ["--only", *map(str, options.only)] if options.only else []
    command = shlex.join(["python", "-m", "experiments.gallery", "--out", str(options.out), *given])
    index = write_index(options.out, entries, command)
    print(f"\n{len(entries)} figures and their index: {index}")


if __name__ == "__main__":
    main()
