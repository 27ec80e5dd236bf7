"""The figures of the studies are drawn by xaijax.plot alone."""

import ast
from pathlib import Path

import pytest

import experiments

# The methods with which matplotlib's axes draw numbers. Titles, labels, tables, frames and images belong to the studies.
DRAWING = {
    "bar", "barh", "boxplot", "colorbar", "contour", "contourf", "errorbar", "fill_between", "fill_betweenx", "hexbin", "hist",
    "hlines", "loglog", "pcolormesh", "plot", "scatter", "semilogx", "semilogy", "stem", "violinplot", "vlines",
}  # fmt: skip
STUDIES = sorted(Path(experiments.__file__).parent.glob("*.py"))


def drawn_by_hand(source):
    """Returns the calls that draw numbers without xaijax.plot, with their lines; images in colors count as maps."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    drawn = []
    for call in calls:
        name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        if name and ast.unparse(call.func.value) == "self":  # a module's own, such as the stem of a network
            continue
        colors = [word.value for word in call.keywords if word.arg in ("cmap", None)]
        gray = all(isinstance(color, ast.Constant) and color.value == "gray" for color in colors)
        if name in DRAWING or (name == "imshow" and not gray):
            drawn.append((call.lineno, name))
    return drawn


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_no_study_draws_numbers_without_the_library(path):
    # One exception: the color bar of a gray image, which gives it the size of the maps next to it.
    allowed = {("grad_cam_figure", "colorbar")}
    assert [(line, name) for line, name in drawn_by_hand(path.read_text()) if (path.stem, name) not in allowed] == []


def test_drawing_without_the_library_is_detected():
    assert drawn_by_hand("xai.plot.image(a)\nax.imshow(x, cmap='gray')\nax.imshow(x)\nax.set_title('t')") == []
    assert drawn_by_hand("ax.plot(x)\nax.imshow(x, cmap='jet')") == [(1, "plot"), (2, "imshow")]
    assert drawn_by_hand("ax.imshow(x, **style)") == [(1, "imshow")]
    assert drawn_by_hand("self.stem(x)\nself.axes.stem(x)") == [(2, "stem")]
