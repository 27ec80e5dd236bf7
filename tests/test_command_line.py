"""The command line says what a bug report needs, and writes reports of stored runs."""

import importlib.metadata
import platform
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from xaijax.__main__ import main

ROOT = Path(__file__).parent.parent


def test_version_is_that_of_the_package_its_metadata_and_its_citation(capsys):
    assert main(["version"]) == 0
    assert capsys.readouterr().out.strip() == xai.__version__ == importlib.metadata.version("xaijax")
    assert f'version: "{xai.__version__}"' in (ROOT / "CITATION.cff").read_text()


def test_env_names_versions_and_devices(capsys):
    main(["env"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"xaijax {xai.__version__}"
    assert lines[1].startswith(f"python {platform.python_version()} on ")
    assert f"jax {importlib.metadata.version('jax')}" in lines
    assert f"devices {jax.device_count()} {jax.default_backend()}" in "\n".join(lines)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    values = np.array([[1.0, -2.0], [0.5, 0.25]], np.float32)
    attribution = xai.Attribution(
        jnp.asarray(values), jnp.asarray(values.sum(axis=1)), names=("rooms", "<b>age</b>"), method="SHAP"
    )
    return xai.save(tmp_path_factory.mktemp("saved") / "prices.npz", attribution)


def test_report_shows_a_saved_attribution(saved, capsys):
    assert main(["report", str(saved), "--rows", "1"]) == 0
    page = Path(capsys.readouterr().out.strip())
    assert page == saved.with_suffix(".html")
    text = page.read_text()
    assert "rooms" in text
    assert "&lt;b&gt;age" in text
    assert "<b>age" not in text


@pytest.mark.slow
def test_report_shows_the_first_rows_of_a_store_and_its_failures(tmp_path, capsys):
    rows = np.arange(12, dtype=np.float32).reshape(6, 2)
    rows[4, 1] = np.nan

    def explainer(x):
        return xai.shap.values(lambda x: x @ jnp.array([1.0, 3.0]), x, xai.mask.baseline(jnp.zeros(2)))

    xai.scale.explain_dataset(explainer, rows, tmp_path / "store", batch_size=4)
    capsys.readouterr()
    assert main(["report", str(tmp_path / "store"), "--rows", "3", "--out", str(tmp_path / "why.html")]) == 0
    text = (tmp_path / "why.html").read_text()
    assert "The first 3 rows" in text
    assert "row 4" in text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["report", "nothing"], "nothing does not exist"),
        (["report", str(ROOT / "README.md")], "cannot be read"),
        (["report", "nothing", "--rows", "0"], "`--rows` and `--examples` must be at least 1"),
    ],
)
def test_what_cannot_be_reported_is_one_sentence(arguments, sentence, capsys):
    assert main(arguments) != 0
    assert sentence in capsys.readouterr().err
