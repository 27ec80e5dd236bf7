"""Colored words, as a figure and as HTML."""

import re
from html.parser import HTMLParser

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest

import xaijax as xai
from tests.plot._attributions import attribution, overlapping

WORDS = ["good", "<script>alert('x')</script>", "&amp;", '"bad"', "$5"]
VALUES = [1.0, -0.5, 0.0, -1.0, 0.25]


class Read(HTMLParser):
    """What a reader of the page gets: tags with attributes, and the text of each span."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.spans, self.open = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)
        if tag == "span" and "title" in dict(attrs):
            self.spans.append([dict(attrs), ""])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "span" and self.spans and self.open.count("p") and data.strip():
            self.spans[-1][1] += data


def spans(page):
    """The words' own spans, without the legend's."""
    read = Read(page.rsplit("<p", 1)[0] + "</figure>")
    return read.spans


def test_words_are_text_whatever_they_look_like_and_values_are_titles():
    page = xai.plot.text_html(attribution(VALUES), WORDS, title="<b>of & for</b>")
    read = Read(page)
    assert read.open == []
    assert {tag for tag, _ in read.tags} == {"figure", "figcaption", "p", "span"}
    assert [text for _, text in spans(page)] == WORDS
    assert [given["title"] for given, _ in spans(page)] == ["+1", "-0.5", "0", "-1", "+0.25"]
    assert "&lt;b&gt;of &amp; for&lt;/b&gt;" in page
    assert "strongest color: ±1" in page
    assert [given["dir"] for tag, given in read.tags if "dir" in given] == ["auto", "auto"]
    assert not any("dir" in given for given, _ in spans(page))  # or the paragraph would not see the words' direction


def test_colors_show_sign_and_strength_and_nothing_is_set_for_zero():
    styles = [given.get("style", "") for given, _ in spans(xai.plot.text_html(attribution(VALUES), WORDS))]
    assert "rgba(196,78,43,0.600)" in styles[0]
    assert "solid" in styles[0]
    assert "rgba(43,108,163,0.300)" in styles[1]
    assert "dotted" in styles[1]
    assert styles[2] == ""


@pytest.mark.parametrize(("page", "letters"), [("#ffffff", "#333333"), ("#000000", "#ffffff"), ("#1e1e1e", "#d4d4d4")])
def test_letters_stay_legible_in_light_and_dark_pages(page, letters):
    found = xai.plot.text_html(attribution([1.0, -1.0]), ["for", "against"])
    colors = re.findall(r"background-color:rgba\((\d+),(\d+),(\d+),([\d.]+)\)", found)
    assert len(colors) == 4  # two words, and two in the legend
    for *rgb, alpha in colors:
        mixed = float(alpha) * np.array(rgb, float) + (1 - float(alpha)) * channels(page)
        assert contrast(mixed, channels(letters)) >= 4.5


def channels(color):
    return np.array([int(color[start : start + 2], 16) for start in (1, 3, 5)], float)


def contrast(one, other):
    """WCAG 2.2: (L1 + 0.05) / (L2 + 0.05)"""
    lights = []
    for color in (one, other):
        part = color / 255
        linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
        lights.append(linear @ [0.2126, 0.7152, 0.0722] + 0.05)
    return max(lights) / min(lights)


def test_separators_percentiles_and_letters_that_no_page_may_hold():
    page = xai.plot.text_html(attribution([1.0, 2.0, 10.0]), ["to", "ken\x00", "s"], separator="", percentile=50)
    assert "".join(text for _, text in spans(page)) == "token\ufffds"
    assert "colors end at the 50th percentile of |value|, 2; the largest is 10" in page
    assert spans(page)[1][0]["style"].count("0.600") == 1
    assert "figcaption" not in xai.plot.text_html(attribution([1.0]), ["a"], title="")


def test_all_zero_and_one_of_all_outputs():
    assert "all values are 0" in xai.plot.text_html(attribution([0.0, 0.0]), ["a", "b"])
    every = xai.Attribution(jnp.array([[[1.0, -2.0]]]), jnp.zeros((1, 2)), method="LIME")
    page = xai.plot.text_html(every, ["word"], output="b", output_names=["a", "b"])
    assert spans(page)[0][0]["title"] == "-2"
    assert "LIME, b" in page


def test_a_new_figure_is_as_high_as_its_text():
    words = ["word"] * 400
    ax = xai.plot.text(attribution(np.linspace(-1, 1, 400)), words)
    short = xai.plot.text(attribution([1.0, 2.0]), ["a", "b"])
    assert ax.figure.get_size_inches()[1] > 2 * short.figure.get_size_inches()[1]
    ax.figure.canvas.draw()
    assert len(ax.texts) == 400
    assert overlapping(ax) == []
    assert min(text.get_window_extent().y0 for text in ax.texts) >= ax.get_window_extent().y0 - 1


def test_in_given_axes_letters_shrink_and_what_finds_no_room_is_counted():
    _, axes = plt.subplots(2, 1, figsize=(5, 4), layout="constrained")
    some = xai.plot.text(attribution(np.linspace(-1, 1, 60)), ["word"] * 60, ax=axes[0])
    many = xai.plot.text(attribution(np.linspace(-1, 1, 900)), ["word"] * 900, ax=axes[1])
    assert len(some.texts) == 60
    assert some.texts[0].get_fontsize() < 11
    last, *drawn = many.texts
    assert last.get_text() == f"… and {900 - len(drawn)} more words"
    for ax in (some, many):
        assert min(text.get_window_extent().y0 for text in ax.texts) >= ax.get_window_extent().y0 - 1


def test_scripts_from_right_to_left_begin_at_the_right():
    ax = xai.plot.text(attribution([1.0, -1.0, 0.5]), ["שלום", "עולם", "abc"])
    places = [text.get_position()[0] for text in ax.texts]
    assert places == sorted(places, reverse=True)
    assert places[0] > 0.8


def test_breaks_and_long_words_stay_within_the_line():
    ax = xai.plot.text(attribution([1.0, 2.0, 3.0, 4.0]), ["two\nlines", "\n", " ", "x" * 500])
    shown = [text.get_text() for text in ax.texts]
    assert shown[:3] == ["two lines", "↵", "␣"]
    assert shown[3].endswith("…")
    assert ax.texts[3].get_window_extent().x1 <= ax.get_window_extent().x1


@pytest.mark.parametrize("draw", [xai.plot.text, xai.plot.text_html])
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "`words` must be 1 to 2, one for each value"),
        (["a"] * 3, "`words` must be 1 to 2, one for each value"),
        ("ab", "`words` must be a sequence of words"),
        (3, "`words` must be a sequence of words"),
    ],
)
def test_mistakes_are_answered_with_a_sentence(draw, words, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        draw(attribution([1.0, 2.0]), words)


def test_separators_are_strings():
    with pytest.raises(TypeError, match="`separator` must be a string"):
        xai.plot.text_html(attribution([1.0]), ["a"], separator=None)
