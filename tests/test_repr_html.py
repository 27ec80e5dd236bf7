"""What a notebook shows of an attribution."""

import base64
import io
import re

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
import treescope
from PIL import Image

import xaijax as xai
from tests.report._page import Page
from tests.report.conftest import table_values

NAN = float("nan")
TWO = jnp.ones(2)
SHOWN = {
    "rows": (table_values(3), "8 strongest values of example 0 of 3"),
    "one row": (table_values(3)[1], "8 strongest values"),
    "one player": (xai.Attribution(jnp.ones((1, 1)), jnp.ones(1)), "1 strongest value"),
    "all outputs": (
        xai.Attribution(jnp.arange(12.0).reshape(2, 3, 2), jnp.array([[1.0, 2], [2, 1]])),
        "3 strongest values of example 0 of 2, top class 1",
    ),
    "maps": (xai.Attribution(jnp.arange(32.0).reshape(2, 4, 4), TWO, method="Grad-CAM"), "Map of example 0 of 2"),
    "regions": (
        xai.Attribution(jnp.ones((2, 2)), TWO, regions=jnp.arange(2 * 16).reshape(2, 4, 4) % 2),
        "Map of example 0 of 2",
    ),
    "values like images": (xai.Attribution(jnp.ones((1, 4, 4, 3)), jnp.ones(1)), "Map"),
    "a surrogate": (
        xai.Surrogate(jnp.ones((2, 3)), TWO, intercept=TWO, prediction=TWO, r_squared=TWO, method="LIME"),
        "3 strongest values of example 0 of 2",
    ),
    "interactions": (
        xai.Interactions(jnp.ones((2, 3)), TWO, pairs=jnp.ones((2, 3, 3)), index="SII", method="SII"),
        "3 strongest players and their pairs of example 0 of 2",
    ),
    "a first example that is not finite": (
        xai.Attribution(jnp.array([[NAN, 1.0], [1.0, 2.0]]), TWO), "2 strongest values of example 1 of 2"
    ),
    "zeros": (xai.Attribution(jnp.zeros((1, 2)), jnp.zeros(1)), "2 strongest values"),
}  # fmt: skip


@pytest.mark.parametrize(("attribution", "what"), SHOWN.values(), ids=SHOWN)
def test_a_small_picture_and_the_fields(attribution, what):
    figures = plt.get_fignums()
    source = attribution._repr_html_()
    assert plt.get_fignums() == figures
    page = Page(source)
    (png,), (image,) = page.pictures(), page.images()
    assert len(png) < 20_000
    assert np.asarray(image).std() > 5
    assert image.width < 500
    assert page.all("img")[0]["alt"] == what
    (table,) = page.tables
    lines = repr(attribution).splitlines()
    assert [" ".join(row) for row in table["rows"]] == [" ".join(line.split(maxsplit=1)).strip() for line in lines[1:]]
    assert lines[0] in page.text
    assert "http" not in source


@pytest.mark.parametrize(
    "attribution",
    [
        xai.Attribution(jnp.full((1, 2), NAN), jnp.ones(1), method="<b>"),
        xai.Attribution(jnp.ones((1, 2, 2, 2, 2)), jnp.ones(1)),
        xai.Attribution(jnp.ones((0, 2)), jnp.ones(0)),
        xai.Attribution(*[object(), object()]),  # pyright: ignore[reportArgumentType]
        jax.eval_shape(lambda: xai.Attribution(jnp.ones((1, 2)), jnp.ones(1))),
    ],
    ids=["not finite", "of no kind", "empty", "placeholders", "shapes"],
)
def test_what_has_no_picture_is_text(attribution):
    source = attribution._repr_html_()
    assert not Page(source).all("img", "b")
    assert Page(source).text == repr(attribution)


def test_what_is_traced_is_text():
    seen = []

    def trace(values):
        attribution = xai.Attribution(values, values.sum(axis=1), method="traced")
        seen.append((attribution._repr_html_(), repr(attribution)))
        return values

    jax.jit(trace)(jnp.ones((1, 2)))
    ((source, text),) = seen
    assert Page(source).text == text


def test_drawing_that_fails_is_no_error(monkeypatch):
    monkeypatch.setattr(xai.plot, "bars", lambda *_, **__: 1 / 0)
    attribution = table_values(1, 2)
    assert Page(attribution._repr_html_()).text == repr(attribution)


def test_the_picture_is_of_the_values():
    """The longest bar is the first, and goes to the side of its sign."""
    positive, negative = np.array([0xC4, 0x4E, 0x2B]), np.array([0x2B, 0x6C, 0xA3])

    def amounts(values):
        source = xai.Attribution(jnp.array([values]), jnp.ones(1))._repr_html_()
        (written,) = re.findall(r"base64,([^\"]+)", source)
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(written))).convert("RGB"), int)
        return [int((np.abs(pixels - color).sum(axis=2) < 40).sum()) for color in (positive, negative)]

    red, blue = amounts([4.0, -1.0])
    assert red == pytest.approx(4 * blue, rel=0.1)
    assert amounts([1.0, 2.0])[1] == 0


def test_treescope_shows_the_picture():
    assert "data:image/png" in treescope.render_to_html(table_values(1, 3), compressed=False)
