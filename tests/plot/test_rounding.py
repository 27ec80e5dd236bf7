"""Rounding error is drawn and written as 0: values of 3e-8 next to outputs of order 1."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests.plot._attributions import texts
from tests.plot._images import LABELS, PICTURES, bars
from xaijax._core.rounding import rounding_error

NOISE = jnp.array([[3.5e-8, -2.1e-8, 0.0, 1.2e-8]])
REGIONS = jnp.asarray(LABELS)[None]
PICTURE, WORDS = PICTURES[:1], ["a", "b", "c", "d"]


def explained(values=NOISE, **fields):
    """Values of four players, of which the output and the base value are about 1."""
    base = jnp.full(len(values), 0.9)
    options = {"std_errors": jnp.full_like(values, 2e-9), "method": "test", "efficient": True} | fields
    return xai.Attribution(values, base + values.sum(axis=1), base, **options)


def of_pairs():
    pairs = jnp.full((1, 4, 4), 2e-8) * (1 - jnp.eye(4))
    return xai.Interactions(NOISE, jnp.ones(1), jnp.ones(1), pairs=pairs, method="test")


def is_wide(ax):
    """Whether the axis of values is longer than rounding error."""
    return np.ptp(ax.get_xlim()) > 1e-3


def test_regions_of_rounding_error_have_no_frame():
    ax = xai.plot.regions(explained(regions=REGIONS), PICTURE)
    assert texts(ax) == []
    assert "all values are 0" in ax.get_xlabel()


@pytest.mark.parametrize("plot", ["image", "image_grid", "compare"])
def test_maps_of_rounding_error_are_empty(plot):
    attribution = explained(regions=REGIONS)
    axes = getattr(xai.plot, plot)(attribution, PICTURE)
    ax = np.ravel(axes)[-1]
    heat = ax.images[-1]
    assert not np.asarray(heat.get_array()).any()
    assert not np.any(heat.get_alpha())
    assert heat.norm.vmax == 1.0  # of a scale without values
    assert "all values are 0" in ax.get_xlabel() + bars(ax.figure)[0].get_ylabel()
    alone = xai.plot.image(attribution, PICTURE, signed=False)  # -2.1e-8 is no negative value
    assert alone.images[-1].norm.vmin == 0


def test_rounding_error_next_to_real_values_does_not_make_a_map_signed():
    ax = xai.plot.image(explained(jnp.array([[1.0, -2e-8, 0.25, 0.0]]), regions=REGIONS), PICTURE)
    assert (ax.images[-1].norm.vmin, ax.images[-1].norm.vmax) == (0, 1)


def test_maps_in_units_of_their_own_are_drawn_however_small():
    """The gradient of a saturated probability is small, and no rounding error."""
    gradients = 3e-8 * jnp.linspace(-1, 1, 48).reshape(1, 6, 8)
    ax = xai.plot.image(xai.Attribution(gradients, jnp.ones(1), method="Grad-CAM"), PICTURE)
    assert ax.images[-1].norm.vmax == pytest.approx(3e-8)


@pytest.mark.parametrize("plot", ["bars", "waterfall", "force", "decision"])
def test_bars_of_rounding_error_have_no_length_and_say_0(plot):
    ax = getattr(xai.plot, plot)(explained(), names=WORDS)
    numbers = [text for text in texts(ax) if not text.startswith(("output", "base"))]
    assert set(numbers) == ({"0"} if plot != "force" else set())
    assert is_wide(ax)
    assert all(patch.get_width() == 0 for patch in ax.patches)


def test_texts_of_rounding_error_have_no_color():
    ax = xai.plot.text(explained(), WORDS)
    boxes = {text.get_bbox_patch().get_facecolor()[:3] for text in ax.texts if text.get_text() in WORDS}
    assert len(boxes) == 1  # the white of 0
    assert min(boxes.pop()) > 0.95
    page = xai.plot.text_html(explained(), WORDS)
    assert page.count('title="0"') == 4
    assert "e-0" not in page


def test_tables_and_pairs_of_rounding_error_are_empty():
    rows = explained(jnp.concatenate([NOISE, 2 * NOISE]), std_errors=None)
    assert not np.asarray(xai.plot.heatmap(rows).images[0].get_array()).any()
    assert is_wide(xai.plot.beeswarm(rows))
    assert set(texts(xai.plot.interactions(of_pairs()))) == {"0"}
    assert not xai.plot.network(of_pairs()).lines


def test_reports_write_rounding_error_as_0(tmp_path):
    path = xai.report(tmp_path / "report.html", [explained(), of_pairs(), explained(regions=REGIONS)])
    body = re.sub('src="[^"]*"|srcset="[^"]*"', "", path.read_text().partition("<body")[2])
    assert not re.findall(r"[-+]?[\d.]+e-\d+", body)


def test_double_precision_has_its_own_rounding_error():
    values = np.array([[0.3, 0.1]])
    with jax.enable_x64(True):
        given = xai.Attribution(values, np.array([1e6]), method="test", axes="N M")
        assert rounding_error(given) == pytest.approx(1e-8)
    single = xai.Attribution(values.astype(np.float32), np.array([1e6], np.float32), method="test", axes="N M")
    assert rounding_error(single) == pytest.approx(1.0)
