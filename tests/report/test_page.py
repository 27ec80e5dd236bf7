"""The file stands alone, and everybody can read it."""

import base64
import io
import itertools
import re

import numpy as np
import pytest
from PIL import Image

import xaijax as xai
from tests.report.conftest import sections, table_values
from xaijax._report._page import _STYLE
from xaijax._report._png import _DARK, LARGEST, drawn


def test_the_page_needs_nothing_from_outside(page):
    assert "http://" not in page.source
    assert "https://" not in page.source
    assert "url(" not in page.source
    assert "@import" not in page.source
    outside = {"script", "link", "iframe", "object", "embed", "base", "form"}
    assert not outside & {tag for tag, _ in page.elements}
    for _, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")]
        assert attributes.get("src", "data:image/png;base64,").startswith("data:image/png;base64,")
        assert attributes.get("href", "#").startswith("#")


def test_ids_are_unique_and_links_lead_to_them(page):
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.elements:
        if "href" in attributes:
            assert attributes["href"][1:] in ids
        if "aria-labelledby" in attributes:
            assert attributes["aria-labelledby"] in ids
    first = page.all("a")[0]  # the first stop of the tab key
    assert first["href"] == "#content"
    assert len(page.all("section")) == 5


def test_headings_come_in_order_and_landmarks_once(page):
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(below <= above + 1 for above, below in itertools.pairwise(levels))
    for landmark in ("header", "nav", "main", "footer", "title"):
        assert len(page.all(landmark)) == 1
    assert page.all("html") == [{"lang": "en"}]
    assert page.source.startswith("<!DOCTYPE html>")


def test_tables_have_captions_and_scopes(page):
    assert len(page.all("caption")) == len(page.all("table")) > 10
    assert len({table["caption"] for table in page.tables}) > 5
    assert all(table["caption"] for table in page.tables)
    assert all(head["scope"] in ("row", "col") for head in page.all("th"))
    lengths = [{len(row) for row in table["rows"]} for table in page.tables]
    assert all(len(length) == 1 for length in lengths)  # no row lacks a cell
    # What scrolls is reached by keys, and has a name.
    for group in page.all("div"):
        if group.get("class") == "scroll":
            assert group["tabindex"] == "0"
            assert group["aria-label"].startswith("Table: ")


def test_every_picture_says_its_numbers_in_words_and_is_small(page):
    # Bars and dots of all rows, three rows, one matrix, one map, regions.
    assert len(page.all("img")) == len(page.pictures()) == 8
    for image, png, pixels in zip(page.all("img"), page.pictures(), page.images(), strict=True):
        assert re.search(r"[-+]?\d\.?\d*", image["alt"])
        assert len(image["alt"]) > 60
        assert len(png) < 150_000
        assert int(image["width"]) / int(image["height"]) == pytest.approx(pixels.width / pixels.height, rel=0.02)
        assert np.asarray(pixels).std() > 5  # something is drawn


def test_the_style_is_for_paper_the_night_and_keys():
    assert "@media print" in _STYLE
    assert "break-before: page" in _STYLE
    assert "details::details-content" in _STYLE  # folded tables are printed
    assert "prefers-color-scheme: dark" in _STYLE
    assert ":focus-visible" in _STYLE
    assert _STYLE.count("{") == _STYLE.count("}")


def test_on_phones_names_and_inputs_wrap_so_that_intervals_stay_in_sight(page):
    """Without these rules a table of names, inputs, values and intervals is wider than 390 pixels."""
    phone = _STYLE[_STYLE.index("@media (max-width: 36rem)") : _STYLE.index("@media print")]
    (rule,) = [line for line in phone.splitlines() if "overflow-wrap: anywhere" in line]
    assert "white-space: normal" in rule
    for selector in ("th[scope=row]", ".inputs td:nth-child(2)", ".facts td"):
        assert selector in rule
    with_inputs = [attributes for attributes in page.all("table") if "inputs" in attributes.get("class", "").split()]
    assert len(with_inputs) == 2 * 3  # the strongest and all of three examples


def test_on_dark_pages_charts_are_inverted_and_maps_have_a_dark_version(page):
    dark = _STYLE[_STYLE.index("prefers-color-scheme: dark") : _STYLE.index("* { box-sizing")]
    assert ".chart { filter: invert(" in dark
    assert ".chart { filter: none; }" in _STYLE[_STYLE.index("@media print") :]
    background = tuple(int(_DARK[start : start + 2], 16) for start in (1, 3, 5))
    assert f"--page: {_DARK}" in dark
    sources = page.all("source")
    assert len(sources) == len([image for image in page.all("img") if image.get("class") != "chart"]) == 2
    for source in sources:
        assert source["media"] == "(prefers-color-scheme: dark)"
        png = base64.b64decode(source["srcset"].removeprefix("data:image/png;base64,"))
        pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), int)
        assert np.abs(pixels[0, 0] - background).max() <= 4
        assert pixels.max() > 180  # letters are light


@pytest.mark.parametrize("dark", [False, True])
def test_letters_stand_out_from_their_background(dark):
    """Contrast of at least 4.5 : 1 (WCAG 2.2, 1.4.3)."""

    def luminance(color):
        parts = np.array([int(color[place : place + 2], 16) for place in (1, 3, 5)]) / 255
        parts = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return parts @ [0.2126, 0.7152, 0.0722]

    start = _STYLE.index("prefers-color-scheme: dark") if dark else 0
    colors = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", _STYLE[start:].split("}")[0]))
    for ink in ("ink", "quiet", "link"):
        for ground in ("page", "stripe", "warn"):
            one, two = sorted((luminance(colors[ink]), luminance(colors[ground])))
            assert (two + 0.05) / (one + 0.05) >= 4.5, (ink, ground)


def test_texts_of_the_user_are_texts(page):
    for text in (
        "Rows & <columns>", "Second <paragraph>.", "price <$>", '<b title="x">yes', "<script>alert(1)</script>",
        "Everything <here>",
    ):  # fmt: skip
        assert text in page.text
    assert "<script>" in page.text
    assert not page.all("b", "columns", "paragraph", "here")
    assert "<script>alert(1)</script>" in page.all("img")[0]["alt"] + page.text


def test_the_same_input_gives_the_same_bytes(page, read):
    again = read(sections()[0])
    first = page.source.index('<section id="section-1"'), page.source.index('<section id="section-2"')
    assert again.source[again.source.index("<section") :].startswith(page.source[slice(*first)].strip())
    assert again.pictures() == page.pictures()[: len(again.pictures())]
    cheap = sections()[4]
    assert read(cheap).source == read(cheap).source


def test_a_date_is_said_only_if_given(read):
    section = table_values(1, 2)
    assert "2026" not in read(section).text
    assert "2026-07-01" in read(section, date="2026-07-01").text


def test_one_section_has_no_contents_and_several_count_their_warnings(read):
    fine, doubtful = table_values(1, 2), table_values(1, 2, converged=np.zeros(1, bool))
    assert not read(fine).all("nav")
    page = read(fine, xai.Section(doubtful, title="Doubtful"))
    assert "Doubtful (1 warning)" in page.text


def test_photographs_that_would_be_too_large_get_fewer_colors_and_dots():
    noise = np.random.default_rng(0).uniform(size=(400, 400, 3))

    def draw(ax):
        ax.imshow(noise)

    png = drawn(draw, (4.6, 3.7), few_colors=False)
    image = Image.open(io.BytesIO(png))
    assert len(png) <= LARGEST
    assert image.width < 4.6 * 144
    small = Image.open(io.BytesIO(drawn(lambda ax: ax.plot([1, 2]), (2.0, 1.0), few_colors=False)))
    assert small.size == (288, 144)
    assert small.mode == "RGB"
