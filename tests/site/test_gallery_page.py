"""docs/gallery.md: every plot with the code that draws it, and every figure of the founding papers."""

import functools
import re
import sys
import types
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

import xaijax as xai
from experiments._gallery_figures import STUDIES

PAGE = (Path(__file__).parents[2] / "docs" / "gallery.md").read_text()
CELLS = re.findall(r"```\{code-cell\} ipython3\n(?:---\n.*?---\n)?(.*?)```", PAGE, flags=re.DOTALL)
FOUNDING = [study.name for study in STUDIES if study.figures[0].number <= 7]  # the others are of photographs


def test_every_plot_is_drawn_on_the_page():
    drawn = {name for cell in CELLS for name in re.findall(r"xai\.plot\.(\w+)\(", cell)}
    assert drawn == set(xai.plot.__all__)


def test_every_founding_figure_is_on_the_page_with_its_study_and_an_alternative_text():
    section = PAGE.partition("## The figures of the founding papers")[2]
    pictures = re.findall(r"!\[([^\]]*)\]\(\.\./experiments/figures/\w+\.png\)", section)
    pictures += re.findall(r"^    alt: (.*)$", section, flags=re.MULTILINE)
    assert len(pictures) == len(set(pictures)) == 7
    assert all(len(text) > 80 for text in pictures)
    assert len(FOUNDING) == 6  # one of them draws two figures
    for name in FOUNDING:
        assert re.search(rf"python -m experiments\.{name}\b|from experiments import {name}\n", section), name


@pytest.mark.slow
def test_the_code_of_every_plot_runs():
    """In order and in one namespace, as when the site is built; a plot draws on axes or returns HTML."""
    namespace, calls = {}, []

    def recorded(name, plot):
        @functools.wraps(plot)
        def call(*arguments, **options):
            calls.append((name, plot(*arguments, **options)))
            return calls[-1][1]

        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "IPython.display", types.SimpleNamespace(HTML=str))  # which notebooks have
        for name in xai.plot.__all__:
            patch.setattr(xai.plot, name, recorded(name, getattr(xai.plot, name)))
        for cell in CELLS:
            exec(compile(cell, "gallery.md", "exec"), namespace)
            plt.close("all")
    for name, result in calls:
        if name.endswith("_html"):
            assert result.startswith("<figure")
        else:
            axes = np.ravel(np.asarray(result, dtype=object))
            assert all(len(ax.get_children()) > 10 for ax in axes), name
    np.testing.assert_allclose(namespace["shares"].values, np.array([52, 73, 85]) / 6, rtol=1e-6)
