"""The front of reports: sections in, one file out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from xaijax._core.attribution import Attribution
from xaijax._io.atomic import write_file
from xaijax._report._chapter import chapter
from xaijax._report._given import check_text
from xaijax._report._page import page
from xaijax._report._section import Section
from xaijax._report._warnings import LOW_FIDELITY, LOW_STABILITY, warnings_of
from xaijax._version import __version__


def report(
    path: str | Path,
    sections: Any,
    *,
    title: str = "Explanations",
    text: str = "",
    date: str | None = None,
) -> Path:
    """Writes one HTML file about a set of attributions, for who was not there when they were made.

    Each section says what was explained, by which method, with which options and key; warns of what makes it doubtful;
    and shows pictures of `xai.plot` and tables of values ± 1.96 standard errors. The file needs no network and no scripts,
    prints, follows the reader's choice of light or dark, and says every picture in words too. The same input gives the
    same bytes: no date is added unless you give one.

    Warnings are given for

    - values or outputs that are not finite, and an efficiency gap: base value and Shapley values that do not sum to the
      output, beyond rounding (1e-4 of the sizes summed; more for types of less precision);
    - low local fidelity of a surrogate: R², or held-out R², below 0.5; and `stability` below 0.5;
    - `converged` false: the precision asked for by `until` was not reached;
    - wide intervals: of the three strongest values (and pairs) of each example, those whose ± 1.96 standard errors
      include 0 or are together wider than the value.

    Args:
      path: where to; the ending `.html` is added where it is missing. A file that is there is replaced as a whole.
      sections: `xai.Section`s, one or more; an attribution alone is a section without names and inputs.
      title: of the page. Default "Explanations".
      text: an introduction, plain text; empty lines set paragraphs apart.
      date: as a text, such as "2026-07-01". Default: none.

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
    facts = [
        "Intervals are values ± 1.96 standard errors: of repeated draws 95 % would lie there. The sum of others has an error "
        "that is not known, as errors go together.",
        f"Fidelity and stability below {LOW_FIDELITY} and {LOW_STABILITY} are warned of. Players and examples are counted from 0.",
        f"Made by xaijax {__version__} with JAX {jax.__version__}{f', {date}' if date else ''}.",
    ]
    chapters = [chapter(section, place) for place, section in enumerate(read, 1)]
    entries = [(section.heading, len(warnings_of(section.explained))) for section in read]
    return _write(path, page(title, text, facts, chapters, entries))


def _read_sections(sections: Any) -> list[Section]:
    if isinstance(sections, (Section, Attribution)):
        raise TypeError(
            f"sections must be a sequence of xai.Section, but it is one {type(sections).__name__}: pass [it]."
        )
    if isinstance(sections, (str, dict)) or not isinstance(sections, Sequence):
        raise TypeError(f"sections must be a sequence of xai.Section, but it is {type(sections).__name__}.")
    if not sections:
        raise ValueError("sections is empty: a report needs at least one xai.Section or attribution.")
    read = []
    for place, section in enumerate(sections):
        if not isinstance(section, (Section, Attribution)):
            raise TypeError(
                f"sections must hold xai.Section or attributions, but number {place} is {type(section).__name__}."
            )
        read.append(section if isinstance(section, Section) else Section(section))
    return read


def _write(path: str | Path, content: str) -> Path:
    """Writes the page in one step, which leaves the old one as it is where that fails."""
    path = Path(path)
    path = path if path.suffix in (".html", ".htm") else path.with_name(path.name + ".html")
    write_file(path, content)
    return path
