"""The examples in docstrings, in the README and on the pages of docs/ do what they say."""

import doctest
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest

import xaijax
from experiments import readme_figures

MODULES = sorted(module.name for module in pkgutil.walk_packages(xaijax.__path__, "xaijax."))
README = Path(__file__).parent.parent / "README.md"
DOCS = README.parent / "docs"


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name):
    results = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert results.failed == 0


def test_every_public_function_says_what_it_takes_and_returns():
    names = [name for name in xaijax.__all__ if inspect.ismodule(getattr(xaijax, name))]
    for namespace in (xaijax, *(getattr(xaijax, name) for name in names)):
        for name in namespace.__all__:
            thing = getattr(namespace, name)
            if callable(thing) and not isinstance(thing, type):
                assert "Args:" in thing.__doc__, name
                assert "Returns:" in thing.__doc__, name


def examples(page=README):
    """Returns the code of a page: blocks of Python, or the cells of a notebook."""
    return re.findall(r"```(?:python|\{code-cell\} ipython3)\n(.*?)```", page.read_text(), flags=re.DOTALL)


def test_the_readme_is_short_and_has_an_example_for_each_form_of_data():
    assert len(README.read_bytes()) <= 9000
    for calls in (("xai.cam.", "xai.plot.image"), ("xai.shap.", "xai.plot."), ("xai.lime.", "xai.plot.text(")):
        (example,) = [example for example in examples() if calls[0] in example]
        assert calls[1] in example
        assert len(example.splitlines()) <= 14


def test_the_pictures_of_the_readme_are_those_of_its_examples():
    """The study that draws them reads the examples in this order, each with the picture below it."""
    pictures = readme_figures.examples()
    assert list(pictures.values()) == examples()
    for name in pictures:
        assert (README.parent / "experiments" / "figures" / f"{name}.png").exists()


@pytest.mark.parametrize(
    "number", [pytest.param(0, marks=pytest.mark.slow), 1, pytest.param(2, marks=pytest.mark.slow)]
)
def test_the_readme_examples_run(number):
    """Each by itself, as a reader would. That of images compiles an ImageNet network, that of texts reads two packages."""
    namespace = {}
    exec(compile(examples()[number], "README.md", "exec"), namespace)
    plt.close("all")
    attribution = namespace["attribution"]
    assert np.isfinite(attribution.values).all()
    if number == 1:
        np.testing.assert_allclose(
            attribution.output, namespace["forest"].predict(namespace["table"].data[:200]), rtol=1e-5
        )
        np.testing.assert_allclose(attribution.completeness_gap, 0, atol=1e-3)


CHEAT_SHEET = DOCS / "get_started" / "cheat_sheet.md"


def test_the_cheat_sheet_has_an_example_for_each_method():
    for call in ("xai.cam.cam(", "xai.cam.grad_cam(", "xai.lime.", "xai.shap."):
        assert any(call in example for example in examples(CHEAT_SHEET)), call


def test_the_examples_of_the_cheat_sheet_run(tmp_path, monkeypatch):
    """In order and in one namespace, as a reader would."""
    monkeypatch.chdir(tmp_path)
    namespace = {}
    for example in examples(CHEAT_SHEET):
        exec(compile(example, "cheat_sheet.md", "exec"), namespace)
    plt.close("all")


def test_the_front_page_leads_to_five_answers():
    """One click from the front page, each on a page that says it."""
    front = (DOCS / "index.md").read_text()
    for page, answer in {
        "guides/models.md": "## Keras",
        "guides/one_hot.md": "std_errors",
        "choosing.md": "How to choose and check an explanation",
        "guides/datasets.md": "100,000 images",
        "performance.md": "Slower than in PyTorch",
    }.items():
        assert f"]({page})" in front
        assert answer in (DOCS / page).read_text()


def test_the_examples_of_the_page_on_propagation_run():
    """The rule at its end shares the output by sizes; see tests/gradient/test_propagate.py for the numbers of the others."""
    namespace = {}
    for example in examples(README.parent / "docs" / "propagation.md"):
        exec(compile(example, "propagation.md", "exec"), namespace)
    result = namespace["result"]
    assert result.values.shape == (2, 8, 8)
    np.testing.assert_allclose(result.completeness_gap, 0, atol=1e-4 * np.abs(result.values).sum(axis=(1, 2)).max())


CHOOSING, MISTAKES = [], []
for cell in examples(DOCS / "choosing.md"):
    (MISTAKES if MISTAKES or "plt" in cell else CHOOSING).append(cell)


def test_the_examples_of_the_page_on_choosing_run():
    """The control, which looks at no parameter, is the only one that random parameters do not change."""
    namespace = {}
    for example in CHOOSING:
        exec(compile(example, "choosing.md", "exec"), namespace)
    plt.close("all")
    comparison = namespace["comparison"]
    means = {name: float(scores["random parameters"].mean().value) for name, scores in comparison.scores.items()}
    assert [name for name, mean in means.items() if mean > 0.9] == ["control"]
    assert namespace["best"]["explainer"] == "integrated"
    assert namespace["test"]["low"] > 0  # deletion of the gradient is larger, which is worse


def test_the_pictures_of_mistakes_show_what_the_page_says():
    """The first, the fifth and the sixth, by hand; the others run with the site, or before a release."""
    namespace = {"jax": jax, "jnp": jnp, "xai": xaijax}
    for number in (0, 4, 5):
        exec(compile(MISTAKES[number], "choosing.md", "exec"), namespace)
    plt.close("all")
    np.testing.assert_allclose(namespace["slopes"].values, [[0, 0, 0.1]], atol=1e-6)
    np.testing.assert_allclose(namespace["shares"].values, [[0.5, 0.5, 0.1]], atol=1e-6)
    white = namespace["values"].values[0]  # of the baseline 1, where the object is all that is dark
    assert white[5:11, 5:11].min() > 0.9 > 0.1 > white[0, 0]
    row, mean = namespace["row"], namespace["table"][:100].mean(axis=0)
    np.testing.assert_allclose(namespace["used"].values, (row - mean) * [2, 0, 1], atol=1e-3)
    assert namespace["told"].values[0, 1] > 2  # the twin shares the credit


@pytest.mark.slow
def test_all_pictures_of_mistakes_are_drawn():
    namespace = {"jax": jax, "jnp": jnp, "xai": xaijax}
    for cell in MISTAKES:
        exec(compile(cell, "choosing.md", "exec"), namespace)
    plt.close("all")
    assert len(MISTAKES) == 7
    order = [np.argsort(-np.abs(each.values[0])) for each in (namespace["few"], namespace["enough"])]
    assert (order[0] != order[1]).any()
    assert namespace["enough"].converged.all()


def test_the_examples_of_the_page_on_language_models_run(tmp_path, monkeypatch, capsys):
    """The values that the page prints are those that it shows."""
    monkeypatch.chdir(tmp_path)
    page, namespace = README.parent / "docs" / "language_models.md", {}
    for example in examples(page):
        exec(compile(example, page.name, "exec"), namespace)
    plt.close("all")
    (shown,) = re.findall(r"```text\n(.*?)```", page.read_text(), flags=re.DOTALL)
    numbers = [
        [float(number) for number in re.findall(r"[+-]\d\.\d\d", text)] for text in (shown, capsys.readouterr().out)
    ]
    np.testing.assert_allclose(*numbers, atol=0.011)
    assert len(numbers[0]) == 10
    assert "rgb(" in namespace["page"]


def test_every_public_name_is_on_a_page_of_the_reference():
    pages = {page.stem: page.read_text() for page in (DOCS / "reference").glob("*.md")}
    namespaces = {name for name in xaijax.__all__ if inspect.ismodule(getattr(xaijax, name))}
    assert namespaces | {"xaijax", "index"} == set(pages)
    for name in namespaces:
        assert f".. automodule:: xaijax.{name}\n   :members:\n   :imported-members:" in pages[name]
        assert f"({name}.md)" in pages["index"]
    listed = re.search(r":members: (.*)", pages["xaijax"]).group(1).split(", ")
    assert sorted(listed) == sorted(set(xaijax.__all__) - namespaces)


def test_links_and_pictures_of_pages_exist():
    for page in [README, README.parent / "CONTRIBUTING.md", *DOCS.rglob("*.md")]:
        text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
        for target in re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", text):
            if not target.startswith(("http", "#")):
                assert (page.parent / target.partition("#")[0]).exists(), (page.name, target)
        assert "![](" not in text, page.name  # no picture without an alternative text


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path):
    """With the code of its pages, which takes some minutes; without Sphinx it is skipped."""
    pytest.importorskip("sphinx_book_theme")
    pytest.importorskip("myst_nb")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", DOCS, tmp_path / "site"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=README.parent)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "site" / "reference" / "shap.html").exists()
