"""The examples in docstrings, in the README and on the pages of docs/ do what they say."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

import xaijax

MODULES = sorted(module.name for module in pkgutil.walk_packages(xaijax.__path__, "xaijax."))
README = Path(__file__).parent.parent / "README.md"


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name):
    results = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert results.failed == 0


def test_every_public_function_says_what_it_takes_and_returns():
    names = (
        "cam",
        "gradient",
        "lime",
        "mask",
        "metrics",
        "plot",
        "scale",
        "segment",
        "shap",
        "target",
        "text",
        "trees",
    )
    for namespace in (xaijax, *(getattr(xaijax, name) for name in names)):
        for name in namespace.__all__:
            thing = getattr(namespace, name)
            if callable(thing) and not isinstance(thing, type):
                assert "Args:" in thing.__doc__, name
                assert "Returns:" in thing.__doc__, name


def examples(page=README):
    return re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)


def test_the_readme_has_an_example_for_each_method():
    for call in ("xai.cam.cam(", "xai.cam.grad_cam(", "xai.lime.", "xai.shap."):
        assert any(call in example for example in examples()), call


def test_the_readme_examples_run(tmp_path, monkeypatch):
    """In order and in one namespace, as a reader would."""
    monkeypatch.chdir(tmp_path)
    namespace = {}
    for example in examples():
        exec(compile(example, "README.md", "exec"), namespace)


def test_the_examples_of_the_page_on_propagation_run():
    """The rule at its end shares the output by sizes; see tests/gradient/test_propagate.py for the numbers of the others."""
    namespace = {}
    for example in examples(README.parent / "docs" / "propagation.md"):
        exec(compile(example, "propagation.md", "exec"), namespace)
    result = namespace["result"]
    assert result.values.shape == (2, 8, 8)
    np.testing.assert_allclose(result.completeness_gap, 0, atol=1e-4 * np.abs(result.values).sum(axis=(1, 2)).max())


def test_the_examples_of_the_page_on_choosing_run():
    """The control, which looks at no parameter, is the only one that random parameters do not change."""
    namespace = {}
    for example in examples(README.parent / "docs" / "choosing.md"):
        exec(compile(example, "choosing.md", "exec"), namespace)
    plt.close("all")
    comparison = namespace["comparison"]
    means = {name: float(scores["random parameters"].mean().value) for name, scores in comparison.scores.items()}
    assert [name for name, mean in means.items() if mean > 0.9] == ["control"]
    assert namespace["best"]["explainer"] == "integrated"
    assert namespace["test"]["low"] > 0  # deletion of the gradient is larger, which is worse


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
