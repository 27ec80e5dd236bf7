"""Labels in scripts that the usual font lacks: another font where one has them, else a warning; never boxes in silence."""

import shutil
import warnings
from pathlib import Path

import matplotlib as mpl
import pytest
from matplotlib.font_manager import FontEntry, fontManager, ttfFontProperty
from matplotlib.ft2font import FT2Font

import xaijax as xai
from tests.plot._attributions import attribution, labels
from xaijax.plot._parts import fonts

USUAL = Path(mpl.get_data_path()) / "fonts" / "ttf"
SUM = "∑"  # DejaVu has it; Computer Modern does not have letters beyond its own
CHINESE = "年龄"


@pytest.fixture
def only(monkeypatch):
    """Only some of the fonts that come with Matplotlib are installed, and one of them is the usual one."""

    def install(usual, *others):
        names = (usual, *others)
        fonts = [ttfFontProperty(FT2Font(path)) for path in USUAL.glob("*.ttf")]
        found = {font.name: font for font in fonts if font.style == "normal" and font.weight == 400}
        monkeypatch.setattr(fontManager, "ttflist", [found[name] for name in names])
        monkeypatch.setitem(mpl.rcParams, "font.family", [usual])

    return install


def test_what_the_usual_font_has_needs_no_other(only):
    only("DejaVu Sans")
    assert fonts.label_style(["age", "größe", SUM]) == {"parse_math": False}


def test_letters_that_it_lacks_come_from_an_installed_font(only):
    only("cmss10", "cmmi10", "DejaVu Sans")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        style = fonts.label_style(["возраст"])
    assert style == {"parse_math": False, "fontfamily": ["cmss10", "DejaVu Sans"]}
    ax = xai.plot.bars(attribution([1.0, 2.0]), names=["возраст", "b"])
    assert all(label.get_fontfamily() == ["cmss10", "DejaVu Sans"] for label in ax.get_yticklabels())
    ax.figure.canvas.draw()
    assert labels(ax) == ["b", "возраст"]
    assert all(label.get_fontfamily() == ["cmss10", "DejaVu Sans"] for label in ax.get_yticklabels())


def test_letters_that_no_font_has_are_told_in_one_sentence(only):
    only("cmss10", "DejaVu Sans", "STIXGeneral")
    with pytest.warns(
        UserWarning, match="no installed font has the letters 年 龄 of the labels, which are drawn as boxes"
    ):
        style = fonts.label_style([CHINESE, "возраст"])
    assert style["fontfamily"] == ["cmss10", "DejaVu Sans"]  # for the others


@pytest.mark.parametrize("draw", [xai.plot.bars, xai.plot.waterfall, xai.plot.force, xai.plot.beeswarm, xai.plot.violin,
                                  xai.plot.heatmap, xai.plot.decision])  # fmt: skip
def test_every_plot_warns(draw, only):
    only("DejaVu Sans")
    with pytest.warns(UserWarning, match="no installed font has the letters 年 龄"):
        draw(attribution([[1.0, 2.0]]), names=[CHINESE, "b"])


def test_the_font_of_boxes_is_never_taken(only):
    only("cmss10")
    boxes = FontEntry(fname=str(USUAL / "LastResortHE-Regular.ttf"), name="Last Resort High-Efficiency")
    fontManager.ttflist.append(boxes)
    with pytest.warns(UserWarning, match="年"):
        assert "fontfamily" not in fonts.label_style([CHINESE])


def test_spaces_and_marks_of_control_need_no_glyph():
    assert set(fonts._letters(["a b\n\u200f\u200dc\ufe0f\u3000"])) == {"a", "b", "c"}


def test_preferred_families_go_first(only, tmp_path):
    only("cmss10", "DejaVu Sans")
    file = tmp_path / "preferred.ttf"
    shutil.copy(USUAL / "DejaVuSans.ttf", file)
    fontManager.ttflist.append(FontEntry(fname=str(file), name="Noto Sans", weight="normal"))
    assert fonts.label_style(["возраст"])["fontfamily"] == ["cmss10", "Noto Sans"]


def test_right_to_left_is_told_where_it_cannot_be_drawn(monkeypatch):
    monkeypatch.setattr(fonts, "_orders_scripts", lambda: False)
    with pytest.warns(UserWarning, match="draws right-to-left scripts from left to right"):
        fonts.label_style(["גובה"])
    monkeypatch.setattr(fonts, "_orders_scripts", lambda: True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fonts.label_style(["גובה"])
