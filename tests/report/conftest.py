"""One page for many tests: drawing takes longer than reading."""

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest

import xaijax as xai
from tests.report._page import Page


@pytest.fixture(autouse=True)
def no_figure_stays():
    before = plt.get_fignums()
    yield
    assert plt.get_fignums() == before


@pytest.fixture
def read(tmp_path):
    """Reports sections and reads the page."""

    def read(*sections, **options):
        path = xai.report(tmp_path / "page", list(sections), **options)
        return Page(path.read_text(encoding="utf-8"))

    return read


def table_values(count=12, players=14, **fields):
    """Shapley values of rows that sum to the output, with small errors."""
    values = np.sin(1.0 + np.arange(count * players)).reshape(count, players) * np.linspace(3, 0.1, players)
    values = np.where(np.abs(values) < 0.05, 0.05, values)
    fields = {"std_errors": jnp.asarray(0.02 * np.abs(values)), "method": "SHAP", "efficient": True} | fields
    base = np.full(count, 0.5)
    return xai.Attribution(jnp.asarray(values), jnp.asarray(base + values.sum(axis=1)), jnp.asarray(base), **fields)


def sections():
    rows = table_values(target=jnp.arange(12) % 2, num_evaluations=jnp.full(12, 64))
    rng = np.random.default_rng(0)
    pairs = rng.normal(size=(1, 5, 5))
    pairs = (pairs + pairs.swapaxes(1, 2)) * (1 - np.eye(5))
    singles = rng.normal(size=(1, 5))
    together = xai.Interactions(
        jnp.asarray(singles), jnp.asarray(singles.sum(axis=1) + pairs.sum(axis=(1, 2)) / 2), jnp.zeros(1),
        pairs=jnp.asarray(pairs), index="k-SII", method="k-SII",
    )  # fmt: skip
    images = rng.uniform(size=(2, 16, 16, 3))
    maps = xai.Attribution(jnp.asarray(rng.uniform(size=(2, 4, 4))), jnp.ones(2), method="Grad-CAM")
    quarters = np.kron(np.arange(4).reshape(2, 2), np.ones((8, 8), int))
    regions = xai.Attribution(
        jnp.array([[4.0, -3, 2, 1]]), jnp.array([4.0]), jnp.zeros(1), regions=jnp.asarray(quarters)[None], method="LIME"
    )
    words = xai.Attribution(jnp.array([[1.0, -2.0, 0.5, 9.0]]), jnp.array([8.5]), jnp.zeros(1), method="LIME")
    return [
        xai.Section(
            rows,
            title="Rows & <columns>",
            text="First\nparagraph.\n\nSecond <paragraph>.",
            output="price <$>",
            names=[f"feature {place}" for place in range(13)] + ["<script>alert(1)</script>"],
            classes=["no", '<b title="x">yes'],
            inputs=np.linspace(-3, 30, 12 * 14).reshape(12, 14),
            options={"num_permutations": 8, "layers": ["a", "b"], "fill": "mean"},
            key=7,
        ),
        xai.Section(together, names=list("abcde")),
        xai.Section(maps, images=images, examples=[1], text="Maps."),
        xai.Section(regions, images=images[:1]),
        xai.Section(words, words=[["a", "<script>", "\u05d0\u05d1"]]),
    ]


@pytest.fixture(scope="package")
def written(tmp_path_factory):
    """The path of a page about attributions of every kind."""
    folder = tmp_path_factory.mktemp("report")
    return xai.report(folder / "page", sections(), title="Everything <here>", text="An introduction.")


@pytest.fixture(scope="package")
def page(written):
    return Page(written.read_text(encoding="utf-8"))
