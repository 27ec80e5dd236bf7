"""Attributions of a response game are shown as prompts, in reports and notebooks."""

import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests.plot.test_prompt import BASE, OF_TOKENS, SPANS, VALUES, WHOLE, of_tokens
from tests.report._page import Page

KNOWN = of_tokens(std_errors=None)
FIT = {name: jnp.zeros(3) for name in ("intercept", "prediction", "r_squared")}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    errors = jnp.asarray(np.abs(VALUES) / 8)
    bounded = of_tokens(std_errors=errors)
    sections = [bounded, xai.Section(bounded, target=2, output="what it says", top=2)]
    return Page(xai.report(tmp_path_factory.mktemp("report") / "page", sections).read_text(encoding="utf-8"))


def facts(page, number):
    return dict([table for table in page.tables if table["caption"].startswith("What was explained")][number]["rows"])


def test_the_whole_response_is_reported_with_bounds_of_its_intervals(page):
    given = facts(page, 0)
    assert given["Explained"] == "the log-probability of the response"
    assert given["Response"] == "3 tokens:  yes\n<i>"
    assert (given["Spans"], given["Output"], given["Base value"]) == ("4", "-5.125", "-9")
    assert given["An interval is"].startswith("an upper bound")
    rows = next(table["rows"] for table in page.tables if table["caption"] == "Values, strongest first")
    errors = 1.96 * np.abs(VALUES).sum(axis=1) / 8
    assert rows[0] == ["Span", "Value", "95 % interval"]
    assert [(row[0].strip(), row[1]) for row in rows[1:4]] == [
        (SPANS[0].strip(), "+3.5"),
        ("Go.", "+1.125"),
        ("Take 3 coats!", "-0.75"),
    ]
    assert [float(row[2].removeprefix("± ")) for row in rows[1:4]] == pytest.approx(errors[[0, 2, 1]], rel=0.06)
    assert dict(row[:2] for row in rows[5:])["Sum of all values"] == "+3.875"


def test_a_token_is_reported_where_it_is_the_target(page):
    given = facts(page, 1)
    assert (given["Explained"], given["Response"]) == ("what it says", "token 2 of 3: <i>")
    assert float(given["Output"]) == pytest.approx(BASE[2] + VALUES[:, 2].sum())
    assert "An interval is" not in given


def test_prompts_are_shown_and_their_tokens_can_be_chosen(page):
    figures = [figure for figure in page.all("figure") if "xaijax-prompt" in figure.get("class", "")]
    assert len(figures) == 2
    assert [choice["value"] for choice in page.all("input") if "checked" in choice] == ["0", "3"]
    assert "script" not in {tag for tag, _ in page.elements}


def test_notebooks_show_prompts():
    shown = KNOWN._repr_html_()
    assert Page(shown).all("figure")[0]["class"].startswith("xaijax-prompt")
    assert "System:" in shown
    assert "xaijax-prompt" in of_tokens(xai.Surrogate, **FIT)._repr_html_()
    assert "xaijax-prompt" not in WHOLE._repr_html_()  # of players without a text around them


def test_one_output_is_the_whole_response(tmp_path):
    whole = xai.text.whole_response(OF_TOKENS)
    read = Page(xai.report(tmp_path / "page", [xai.Section(whole, title="whole")]).read_text(encoding="utf-8"))
    assert facts(read, 0)["Response"] == "1 token:  yes\n<i>"
    read = Page(xai.report(tmp_path / "page", [KNOWN.of_output(2)]).read_text(encoding="utf-8"))
    assert facts(read, 0)["Response"] == "token 2 of 3: <i>"


def test_surrogates_of_all_tokens_need_a_target():
    surrogate = of_tokens(xai.Surrogate, **FIT)
    with pytest.raises(ValueError, match="`target` must be the index of a token for a surrogate"):
        xai.Section(surrogate)
    assert xai.Section(surrogate, target=1).explained.num_outputs == 3
