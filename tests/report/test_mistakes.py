"""Bad input is answered with a sentence, and nothing is written."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests.report.conftest import table_values

ROWS = table_values(2, 3)
MAPS = xai.Attribution(jnp.ones((2, 4, 4)), jnp.ones(2), method="m")
ALL = xai.Attribution(jnp.ones((2, 4, 3)), jnp.ones((2, 3)), method="m")

SECTIONS = {
    "no attribution": (lambda: xai.Section(np.ones(3)), "`attribution` must be the result of an explainer"),
    "a title that is none": (lambda: xai.Section(ROWS, title=3), "`title` must be a string"),
    "a text that is none": (lambda: xai.Section(ROWS, text=["a"]), "`text` must be a string"),
    "too few names": (lambda: xai.Section(ROWS, names=["a"]), "`names` must have one entry for each of 3 players"),
    "one name": (lambda: xai.Section(ROWS, names="abc"), "`names` must be a sequence of strings"),
    "names of maps": (lambda: xai.Section(MAPS, names=["a"]), "`names` must be left out for maps, which have no players"),
    "names for too few examples": (lambda: xai.Section(ROWS, names=[["a", "b", "c"]]), "`names` must be of all examples or of each of 2"),
    "too few classes": (
        lambda: xai.Section(ALL, classes=["a"]), "`classes` must have a name for every class up to 2"
    ),
    "inputs of another shape": (lambda: xai.Section(ROWS, inputs=np.ones((3, 2))), r"`inputs` must have one entry for each value of players, \[2, 3\]"),
    "images of rows": (lambda: xai.Section(ROWS, images=np.ones((2, 4, 4))), r"`images` must be left out unless the attribution is of maps \[N, h, w\] or of regions of"),
    "too few images": (lambda: xai.Section(MAPS, images=np.ones((1, 4, 4))), r"\[2, H, W, C\].*\[1, 4, 4\]"),
    "words in one string": (lambda: xai.Section(ROWS, words="a b c"), "`words` must be a sequence of words for each example"),
    "too many words": (lambda: xai.Section(ROWS, words=[list("abcd"), ["a"]]), "`words` must be 1 to 3 for each example, one for each value"),
    "words of too few": (lambda: xai.Section(ROWS, words=[["a"]]), "`words` must have a sequence for each of 2 examples"),
    "words and names": (
        lambda: xai.Section(ROWS, words=[["a"], ["b"]], names=list("abc")), r"`names` and `words` must not be given together, since both name the players\."
    ),
    "an example that is not there": (lambda: xai.Section(ROWS, examples=[2]), "`examples` must be between -2 and 1"),
    "an example twice": (lambda: xai.Section(ROWS, examples=[1, 1]), "`examples` must name each example once"),
    "examples that are a number": (lambda: xai.Section(ROWS, examples=1), "`examples` must be a sequence of indices of examples"),
    "a target of one output": (lambda: xai.Section(ROWS, target=0), "of one output already"),
    "a target too large": (lambda: xai.Section(ALL, target=3), "`target` must be between 0 and 2, as there are 3 outputs"),
    "no rows in tables": (lambda: xai.Section(ROWS, top=0), "top.? must be at least 1"),
    "options that are a list": (lambda: xai.Section(ROWS, options=[1]), "`options` must be a dictionary of names and values"),
    "options JSON cannot say": (lambda: xai.Section(ROWS, options={"a": jnp.ones(2)}), "`options` must hold what JSON can hold, such as numbers, strings and lists: Object of"),
    "a key that is none": (lambda: xai.Section(ROWS, key="seed"), "key.? must be one JAX random key or the number"),
    "values of too many axes": (
        lambda: xai.Section(xai.Attribution(jnp.ones((1, 2, 2, 2, 2)), jnp.ones(1))), "`attribution` must have values of players, axes 'N M', of maps, 'N h w', or of pixels, 'N"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("mistake", "sentence"), SECTIONS.values(), ids=SECTIONS)
def test_a_section_that_does_not_fit(mistake, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        mistake()


def test_a_traced_attribution_is_refused():
    def trace(values):
        with pytest.raises(TypeError, match="`attribution` must have known values"):
            xai.Section(xai.Attribution(values, values.sum(axis=1)))
        return values

    jax.jit(trace)(jnp.ones((1, 2)))


@pytest.mark.parametrize(
    ("sections", "sentence"),
    [
        ([], r"`sections` must hold at least one xai\.Section or attribution"),
        (ROWS, r"`sections` must be a sequence of xai\.Section"),
        (xai.Section(ROWS), r"`sections` must be a sequence of xai\.Section"),
        ("text", r"`sections` must be a sequence of xai\.Section"),
        (3, r"`sections` must be a sequence of xai\.Section"),
        ([ROWS, "b"], r"`sections` must hold xai\.Section or attributions"),
    ],
)
def test_sections_that_are_none(sections, sentence, tmp_path):
    with pytest.raises((TypeError, ValueError), match=sentence):
        xai.report(tmp_path / "page.html", sections)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_or_not_writable(tmp_path):
    with pytest.raises(FileNotFoundError, match="cannot be written, as there is no folder .*: create it first"):
        xai.report(tmp_path / "none" / "page.html", [ROWS])
    (tmp_path / "page.html").mkdir()
    with pytest.raises(OSError, match="page.html cannot be written, as"):
        xai.report(tmp_path / "page.html", [ROWS])
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]  # no part stays behind


def test_a_report_that_cannot_be_finished_leaves_the_old_one(tmp_path, monkeypatch):
    path = xai.report(tmp_path / "page", [table_values(1, 2)])
    before = path.read_bytes()

    def fail(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(PermissionError, match="page.html cannot be written, as"):
        xai.report(path, [table_values(1, 3)])
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_an_ending_is_added_only_where_it_is_missing(tmp_path):
    one = table_values(1, 2)
    assert xai.report(str(tmp_path / "a.b"), [one]).name == "a.b.html"
    assert xai.report(tmp_path / "c.htm", [one]).name == "c.htm"
