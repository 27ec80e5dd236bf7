"""Prompts whose spans are colored by what they are worth to the response, as a figure and as HTML."""

import dataclasses
import re

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.patches import Rectangle

import xaijax as xai
from tests.plot._attributions import overlapping
from tests.plot.test_text import channels, contrast
from tests.report._page import Page
from xaijax.plot._prompt import _words

SPANS = ["\n\nIt <b>rains</b> & rains.", " Take 3 coats!", " Go.", " Stay."]
TOKENS = [" yes", "\n", "<i>"]
# In binary fractions, so that the sums are exact. The third span's first interval contains 0, and its second is unknown.
VALUES = np.array([[1.0, 0.5, 2.0], [-0.5, 0.0, -0.25], [0.125, 1.0, 0.0], [0.0, 0.0, 0.0]])
ERRORS = np.array([[0.125, 0.0, 0.25], [0.0625, 0.0, 0.0625], [0.125, np.nan, 0.0], [0.0, 0.0, 0.0]])
BASE = np.array([-3.0, -2.0, -4.0])


def of_tokens(kind=xai.Attribution, **fields):
    arrays = [jnp.asarray(part, jnp.float32) for part in (VALUES, BASE + VALUES.sum(axis=0), BASE)]
    fields = {"std_errors": jnp.asarray(ERRORS, jnp.float32)} | fields
    described = {"method": "SHAP", "efficient": True, "names": SPANS, "output_names": TOKENS}
    return kind(*arrays, **{"axes": "M K", "context": ("System:", "\nQuestion?"), **described, **fields})


OF_TOKENS = of_tokens()
WHOLE = xai.Attribution(
    jnp.asarray(VALUES.sum(axis=1)[:, None]), jnp.asarray([VALUES.sum() + BASE.sum()]), std_errors=jnp.full((4, 1), 0.25),
    axes="M K",
)  # fmt: skip
PROMPT = xai.text.prompt(
    [[1], [2], [3], [4]], prefix=[65], suffix=[66], decode=lambda ids: chr(ids[0]), names=list("abcd")
)


def read(page):
    """Returns the text, and of each view the labels of the spans and whether they are hidden, and the spans' variables."""
    parsed = Page(page)
    labels = [
        (int(view), bool(hidden), text)
        for view, hidden, text in re.findall(r'<small dir="ltr" class="v v(\d)"( hidden)?>([^<]*)<', page)
    ]
    styles = [attributes.get("style", "") for attributes in parsed.all("span") if attributes.get("class") == "s"]
    variables = [dict(re.findall(r"--(\w+):([^;]+)", style)) for style in styles]
    return parsed, labels, variables


@pytest.fixture(scope="module")
def page():
    return read(xai.plot.prompt_html(OF_TOKENS))


def test_the_page_is_text_without_scripts_and_every_token_can_be_chosen(page):
    parsed, _, _ = page
    assert {tag for tag, _ in parsed.elements} <= {
        "figure", "style", "figcaption", "p", "span", "small", "wbr", "form", "button", "fieldset", "legend", "label", "input",
    }  # fmt: skip
    assert "System:\n\nIt <b>rains</b> & rains." in parsed.text
    assert "Question?" in parsed.text
    assert "url(" not in parsed.source
    choices = parsed.all("input")
    assert [(choice["type"], choice["value"], "checked" in choice) for choice in choices] == [
        ("radio", str(number), number == 0) for number in range(4)
    ]
    assert [label["title"] for label in parsed.all("label")][1] == "log-probability -2.375, -3 without the spans"
    assert parsed.all("figure")[0]["aria-label"] == "SHAP"
    assert "disabled" in parsed.all("button")[0]  # the Enter key sends nothing


def test_the_first_view_sums_the_tokens_and_bounds_the_intervals(page):
    parsed, labels, _ = page
    shown = [text for view, hidden, text in labels if view == 0 and not hidden]
    # 1.96 (0.125 + 0 + 0.25) = 0.735 and 1.96 · 0.125 = 0.245; an unknown error makes the sum's unknown
    assert shown == ["+3.5 ± ≤0.73", "-0.75 ± ≤0.24", "+1.12 ± ?", "0"]
    assert "from -9 without the spans to -5.125 with them" in parsed.text
    assert "± ≤ bounds the 95 % interval" in parsed.text


def test_each_token_has_its_own_values_intervals_and_colors(page):
    parsed, labels, variables = page
    assert all(hidden == (view != 0) for view, hidden, _ in labels)
    texts = [[text for view, _, text in labels if view == number] for number in range(4)]
    assert texts[1] == ["+1 ± 0.24", "-0.5 ± 0.12", "+0.125 ± 0.24", "0"]
    assert texts[2] == ["+0.5", "0", "+1 ± ?", "0"]
    # Strengths are shares of the largest |value| of the view; lines mark intervals that contain 0 or are not known.
    assert variables == [
        {"a0": "1", "a1": "1", "a2": "0.5", "a3": "1"},
        {"a0": "-0.214", "a1": "-0.5", "a3": "-0.125"},
        {"a0": "0.321", "h0": "1", "a1": "0.125", "h1": "1", "a2": "1", "h2": "1"},
        {},
    ]
    for number in range(4):
        rule = f':has(input[value="{number}"]:checked) .s{{--a:var(--a{number},0);--h:var(--h{number},0)}}'
        assert rule in parsed.source
        assert f':has(input[value="{number}"]:checked) small.v{number}{{display:inline}}' in parsed.source


def test_a_chosen_token_is_shown_first():
    parsed, labels, _ = read(xai.plot.prompt_html(OF_TOKENS, output=" yes"))
    assert {view for view, hidden, _ in labels if not hidden} == {1}
    assert ["checked" in choice for choice in parsed.all("input")] == [False, True, False, False]
    assert "--a:var(--a1,0)" in parsed.source.partition(":has")[0]


def test_the_game_of_the_whole_response_gives_its_own_intervals():
    _, labels, _ = read(xai.plot.prompt_html(OF_TOKENS, whole=WHOLE))
    assert [text for view, _, text in labels if view == 0] == [
        "+3.5 ± 0.49",
        "-0.75 ± 0.49",
        "+1.12 ± 0.49",
        "0 ± 0.49",
    ]
    parsed, labels, _ = read(xai.plot.prompt_html(dataclasses.replace(WHOLE, context=("", ""), output_names=("Yes!",))))
    assert [text for _, _, text in labels] == ["+3.5 ± 0.49", "-0.75 ± 0.49", "+1.12 ± 0.49", "0 ± 0.49"]
    assert parsed.all("input") == []
    assert "Yes!" in parsed.text


def test_one_chosen_token_is_marked_in_the_response():
    parsed, labels, _ = read(xai.plot.prompt_html(OF_TOKENS.of_output(2)))
    assert [text for _, _, text in labels] == ["+2 ± 0.49", "-0.25 ± 0.12", "0", "0"]
    assert [span["class"] for span in parsed.all("span") if span["class"].startswith("c")] == ["c", "c", "c m"]
    parsed, _, _ = read(xai.plot.prompt_html(xai.text.whole_response(OF_TOKENS)))
    assert [span["class"] for span in parsed.all("span") if span["class"].startswith("c")] == ["c m"]
    assert parsed.text.startswith("SHAP, the whole response")


def test_surrogates_do_not_add_up_and_have_no_view_of_the_whole_response():
    fit = {name: jnp.zeros(3) for name in ("intercept", "prediction", "r_squared")}
    parsed, _, _ = read(xai.plot.prompt_html(of_tokens(xai.Surrogate, efficient=False, **fit)))
    assert len(parsed.all("input")) == 3
    assert "the whole response" not in parsed.text


def test_the_prompt_gives_the_texts_where_it_is_passed():
    parsed, _, _ = read(xai.plot.prompt_html(OF_TOKENS, PROMPT))
    assert parsed.text.startswith("SHAPAa+3.5")
    assert "rains" not in parsed.text


@pytest.mark.parametrize(("background", "letters"), [("#ffffff", "#333333"), ("#16181b", "#e8e6e3")])
def test_letters_stay_legible_in_light_and_dark_pages(background, letters):
    source = xai.plot.prompt_html(OF_TOKENS)
    colors = re.findall(r"linear-gradient\(rgb\((\d+) (\d+) (\d+)/calc\(([\d.]+)\*", source)
    assert len(colors) == 2
    for *rgb, alpha in colors:
        mixed = float(alpha) * np.array(rgb, float) + (1 - float(alpha)) * channels(background)
        assert contrast(mixed, channels(letters)) >= 4.5


def test_line_breaks_of_windows_are_line_breaks():
    prompt = xai.text.prompt([[5], [6], [7], [8]], prefix=[1], names=["It rains.\r\nAll day.", " b", " c", " d"])
    assert "It rains.\nAll day." in xai.plot.prompt_html(OF_TOKENS, prompt)


def boxes(ax):
    return [patch for patch in ax.patches if isinstance(patch, Rectangle)]


def test_figures_show_words_values_and_marks():
    ax = xai.plot.prompt(OF_TOKENS, output=0)
    assert [text.get_text() for text in ax.texts][1:] == [
        "System:", "It", "<b>rains</b>", "&", "rains.", "+1 ± 0.24", "Take", "3", "coats!", "-0.5 ± 0.12", "Go.", "+0.125 ± 0.24",
        "Stay.", "0", "Question?", "Response", "yes", "↵", "<i>",
    ]  # fmt: skip
    assert ax.get_title() == "SHAP, “ yes”"
    assert "± is the 95 % interval" in ax.texts[0].get_text()
    first, second, third, fourth, marked = boxes(ax)
    assert [box.get_hatch() for box in (first, second, third, fourth)] == [None, None, "////", None]
    red, blue = first.get_facecolor(), second.get_facecolor()
    assert red[0] > red[2]
    assert blue[2] > blue[0]
    assert min(fourth.get_facecolor()) > 0.95
    token = next(text for text in ax.texts if text.get_text() == "yes")
    assert marked.get_window_extent().contains(*token.get_window_extent().get_points().mean(axis=0))


def test_figures_begin_a_line_after_the_line_breaks_of_a_span():
    names = ["It rains.\n", "Take a coat.", " Go!\n\n", "Bye."]
    ax = xai.plot.prompt(OF_TOKENS, xai.text.prompt([[5], [6], [7], [8]], prefix=[1], names=names), output=0)
    height = {text.get_text(): text.get_position()[1] for text in ax.texts}
    heights = [height[word] for word in ("rains.", "Take", "Go!", "Bye.")]
    line = heights[0] - heights[1]
    np.testing.assert_allclose(np.diff(heights), [-line, 0, -2 * line], atol=1e-6)
    assert line > 0


def test_figures_of_the_whole_response_mark_all_of_it():
    ax = xai.plot.prompt(OF_TOKENS, whole=WHOLE)
    assert [text.get_text() for text in ax.texts if "±" in text.get_text()][1:] == [
        "+3.5 ± 0.49",
        "-0.75 ± 0.49",
        "+1.12 ± 0.49",
        "0 ± 0.49",
    ]
    assert len(boxes(ax)) == 4 + 3
    assert ax.get_title() == "SHAP, the whole response"


def test_scripts_without_spaces_break_after_any_letter():
    pieces = [(piece.text, piece.space > 0, piece.breaks) for piece in _words("中文 ab\n\nc", None)]
    assert pieces == [("中", True, 0), ("文", False, 0), ("ab", True, 0), ("c", False, 2)]


def test_long_spans_wrap_and_a_new_figure_is_as_high_as_they_need():
    words = " ".join(["paragraphs"] * 30)
    long = dataclasses.replace(OF_TOKENS, names=(words, "b", words, "end"), output_names=("a", "b", "c"))
    ax = xai.plot.prompt(long)
    ax.figure.canvas.draw()
    assert overlapping(ax) == []
    assert min(text.get_window_extent().y0 for text in ax.texts[1:]) >= ax.get_window_extent().y0 - 1
    assert len({box.get_y() for box in boxes(ax)}) > 10
    short = xai.plot.prompt(OF_TOKENS)
    assert ax.figure.get_size_inches()[1] > 1.5 * short.figure.get_size_inches()[1]


def test_given_axes_have_smaller_letters_and_what_has_no_room_is_counted():
    _, axes = plt.subplots(1, 2, figsize=(8, 2.5), layout="constrained")
    xai.plot.prompt(OF_TOKENS, ax=axes[0])
    assert len(axes[0].texts) == 20
    xai.plot.prompt(dataclasses.replace(OF_TOKENS, names=("word " * 300, "b", "c", "d")), ax=axes[1])
    _, last, *drawn = axes[1].texts
    total = (
        1 + 300 + 1 + 3 * 2 + 1 + 1 + 3
    )  # System:, the words and their value, three spans, Question?, Response, tokens
    assert last.get_text() == f"… and {total - len(drawn)} more words"
    assert min(text.get_window_extent().y0 for text in drawn) >= axes[1].get_window_extent().y0 - 1


def test_scripts_from_right_to_left_begin_at_the_right():
    ax = xai.plot.prompt(dataclasses.replace(OF_TOKENS, names=("שלום עולם", "א", "ב", "ג"), context=("", "")))
    words = {text.get_text(): text.get_position()[0] for text in ax.texts}
    assert words["שלום"] > words["עולם"] > words["א"]
    first, *_ = boxes(ax)
    for text in ax.texts[1:4]:  # the two words of the first span, and its value
        assert first.get_window_extent().contains(*text.get_window_extent().get_points().mean(axis=0))


DRAWN = [xai.plot.prompt, xai.plot.prompt_html]


@pytest.mark.parametrize("draw", DRAWN)
@pytest.mark.parametrize(
    ("arguments", "options", "sentence"),
    [
        ((PROMPT, OF_TOKENS), {}, "`attribution` must be the result of an explainer"),
        ((OF_TOKENS, SPANS), {}, "`prompt` must come from xai.text.prompt"),
        ((OF_TOKENS, xai.text.prompt([[1]], prefix=[2])), {}, "`prompt` must have as many spans .* 4, got 1"),
        ((OF_TOKENS,), {"output": 3}, "`output` must be between 0 and 2, got 3"),
        ((OF_TOKENS,), {"output": "no"}, "`output` must be one of"),
        ((WHOLE,), {"output": 1}, "`output` must be between 0 and 0"),
        ((WHOLE.of_output(0),), {"output": 0}, "`output` must be left out"),
        ((OF_TOKENS,), {"whole": OF_TOKENS}, "`whole` must explain one output"),
        ((OF_TOKENS,), {"whole": 3}, "`whole` must be the result of an explainer"),
        ((WHOLE,), {"whole": WHOLE}, "`whole` must be left out"),
        ((OF_TOKENS,), {"example": 1}, "`example` must be between -1 and 0"),
        ((xai.Attribution(jnp.ones((1, 4, 4)), jnp.ones(1)),), {}, "`attribution` must have one value for each span"),
    ],
)  # fmt: skip
def test_mistakes_are_answered_with_a_sentence(draw, arguments, options, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        draw(*arguments, **options)
