"""The figures of the studies are drawn by xaijax.plot, and by nothing else."""

import ast
from pathlib import Path

import pytest

import experiments

# What matplotlib's axes draw data with. Titles, labels, tables, frames and pictures of the data are a study's own.
DRAWING = {
    "bar", "barh", "boxplot", "colorbar", "contour", "contourf", "errorbar", "fill_between", "fill_betweenx", "hexbin", "hist",
    "hlines", "loglog", "pcolormesh", "plot", "scatter", "semilogx", "semilogy", "stem", "violinplot", "vlines",
}  # fmt: skip
STUDIES = sorted(Path(experiments.__file__).parent.glob("*.py"))


def drawn_by_hand(source):
    """The calls that draw data past xaijax.plot, with their lines: also pictures in colors of their own, which are maps."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    found = []
    for call in calls:
        name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        colors = [word.value for word in call.keywords if word.arg in ("cmap", None)]
        gray = all(isinstance(color, ast.Constant) and color.value == "gray" for color in colors)
        if name in DRAWING or (name == "imshow" and not gray):
            found.append((call.lineno, name))
    return found


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_no_study_draws_data_by_hand(path):
    # One exception: the bar of grays beside a picture, which makes it as large as the maps beside it.
    allowed = {("grad_cam_figure", "colorbar")}
    assert [(line, name) for line, name in drawn_by_hand(path.read_text()) if (path.stem, name) not in allowed] == []


def test_what_is_drawn_by_hand_is_found():
    assert drawn_by_hand("xai.plot.image(a)\nax.imshow(x, cmap='gray')\nax.imshow(x)\nax.set_title('t')") == []
    assert drawn_by_hand("ax.plot(x)\nax.imshow(x, cmap='jet')") == [(1, "plot"), (2, "imshow")]
    assert drawn_by_hand("ax.imshow(x, **style)") == [(1, "imshow")]
