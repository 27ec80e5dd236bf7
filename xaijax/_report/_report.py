"""Reports: sections in, one HTML file out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import jax

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._io import files
from xaijax._io.atomic import write_file
from xaijax._report._page import page
from xaijax._report._section import Section, check_text
from xaijax._report._warnings import LOW_FIDELITY, LOW_STABILITY, warnings_of
from xaijax._version import __version__


def report(
    path: str | Path,
    sections: Sequence[Section | Attribution],
    *,
    title: str = "Explanations",
    text: str = "",
    date: str | None = None,
) -> Path:
    """Writes one HTML file about a set of attributions, for readers who did not produce them.

    Each section states what was explained, by which method, with which options and key. It warns of what makes the
    explanation doubtful, and shows plots of `xai.plot` and tables of values ± 1.96 standard errors. The file needs no
    network and no scripts, prints, follows the reader's choice of light or dark, and describes every plot in words. The
    same input gives the same bytes: no date is added unless you pass one.

    Warnings are given for

    - values or outputs that are not finite, and efficiency gaps: efficient values that do not sum to output - base value,
      beyond rounding error (1e-4 of the sizes summed; more for dtypes of less precision) and standard errors;
    - low local fidelity of a surrogate: R², or held-out R², below 0.5; and `stability` below 0.5;
    - conditions and categories that no training row has;
    - `converged` false: the precision that `until` asks for was not reached;
    - wide intervals: of the three strongest values (and pairs) of each example, those whose ± 1.96 standard errors include
      0 or span more than the value.

    Where the examples explain different classes, means are given for each class.

    Args:
      path: the file; the ending `.html` is added where it is missing. An existing file is replaced as a whole.
      sections: `xai.Section`s, one or more; an attribution alone is a section with its own names and inputs.
      title: of the page. Default "Explanations".
      text: an introduction, plain text; empty lines separate paragraphs.
      date: a text such as "2026-07-01". Default: none.

    Returns:
      The path of the file.

    Raises:
      TypeError, ValueError: if there are no sections, or they or the texts are of the wrong type.
      OSError: if the file cannot be written.

    >>> import os, tempfile, jax.numpy as jnp, xaijax as xai
    >>> game = xai.Game(lambda z: 4.0 * z[:, 0] + 6.0 * (z[:, 1] & z[:, 2]), num_players=3)
    >>> pay = xai.Section(xai.shap.exact(game), title="Who earns what", output="pay", names=["Ann", "Bo", "Cy"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = xai.report(os.path.join(folder, "pay"), [pay], title="Three workers")
    ...     page = path.read_text(encoding="utf-8")
    >>> path.name, "Who earns what" in page, "+4" in page
    ('pay.html', True, True)
    """
    read = _read_sections(sections)
    for name, value in (("title", title), ("text", text), *([("date", date)] if date is not None else [])):
        check_text(name, value)
    from xaijax._report._chapter import chapter  # on first use: imports Matplotlib

    facts = [
        "Intervals are values ± 1.96 standard errors, which cover the value in 95 % of repeated draws. The error of a sum of "
        "others is not known, since their errors are not independent.",
        f"Fidelity below {LOW_FIDELITY} and stability below {LOW_STABILITY} are warned of. Players and examples are counted "
        "from 0.",
        f"Made by xaijax {__version__} with JAX {jax.__version__}{f', {date}' if date else ''}.",
    ]
    chapters = [chapter(section, number) for number, section in enumerate(read, 1)]
    entries = [(section.heading, len(warnings_of(section.explained))) for section in read]
    return _write(path, page(title, text, facts, chapters, entries))


def _read_sections(sections: Sequence[Section | Attribution]) -> list[Section]:
    if isinstance(sections, (Section, Attribution)):
        raise TypeError(f"`sections` must be a sequence of xai.Section, got one {type(sections).__name__}: pass [it].")
    if isinstance(sections, (str, dict)) or not isinstance(sections, Sequence):
        raise TypeError(f"`sections` must be a sequence of xai.Section, got {check.shown(sections)}.")
    if not sections:
        raise ValueError("`sections` must hold at least one xai.Section or attribution, got none.")
    read = []
    for number, section in enumerate(sections):
        if not isinstance(section, (Section, Attribution)):
            raise TypeError(
                f"`sections` must hold xai.Section or attributions, got {check.shown(section)} at index {number}."
            )
        read.append(section if isinstance(section, Section) else Section(section))
    return read


def _write(path: str | Path, content: str) -> Path:
    """Writes the page in one step, which leaves the old one as it is where that fails."""
    path = files.checked_path("path", path)
    path = path if path.suffix in (".html", ".htm") else path.with_name(path.name + ".html")
    write_file(path, content)
    return path
