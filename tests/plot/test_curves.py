"""Insertion and deletion curves."""

import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai


def curve(outputs, kind="insertion", method="LIME", fractions=None):
    outputs = np.asarray(outputs, np.float32)
    steps = np.linspace(0, 1, outputs.shape[-1]) if fractions is None else np.asarray(fractions)
    fractions = np.broadcast_to(steps, outputs.shape)
    area = np.trapezoid(outputs, fractions, axis=-1)
    arrays = {"fractions": jnp.asarray(fractions), "outputs": jnp.asarray(outputs)}
    return xai.metrics.Curve(jnp.asarray(area), **arrays, metric=kind, method=method)


def labels(ax):
    return ax.get_legend_handles_labels()[1]


def test_the_mean_of_all_examples_with_its_band_and_area():
    outputs = np.array([[0.0, 0.5, 1.0], [0.0, 1.0, 2.0], [0.0, 0.0, 3.0]])
    ax = xai.plot.curves(curve(outputs))
    (line,) = ax.lines
    np.testing.assert_allclose(line.get_xydata(), [[0, 0], [50, 0.5], [100, 2]], rtol=1e-6)
    areas = np.array([0.5, 1.0, 0.75])
    assert labels(ax) == [f"LIME: area 0.750 ± {1.96 * areas.std(ddof=1) / np.sqrt(3):.2g}"]
    heights = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert heights.max() == pytest.approx(2 + 1.96 / np.sqrt(3))
    assert ax.get_title() == "Insertion: mean of 3 examples"
    assert ax.get_xlabel() == "% of the players inserted, the strongest first"


@pytest.mark.parametrize(("kind", "first"), [("insertion", "good"), ("deletion", "bad")])
def test_the_best_comes_first(kind, first):
    named = {"bad": curve([0.0, 0.2, 0.4], kind), "good": curve([0.0, 1.0, 1.0], kind)}
    ax = xai.plot.curves(named)
    assert labels(ax)[0].startswith(f"{first}: area")
    assert ax.get_title() == f"{kind.capitalize()}: 1 example"


def test_one_example_of_many():
    ax = xai.plot.curves([curve([[0.0, 1.0], [0.0, 3.0]])], example=1)
    assert labels(ax) == ["LIME: area 1.50"]
    assert len(ax.collections) == 0


def test_examples_with_fewer_players_are_read_off_between_their_points():
    padded = curve([[0.0, 1.0, 1.0], [0.0, 0.0, 2.0]], fractions=[[0, 1, 1], [0, 0.5, 1]])
    (line,) = xai.plot.curves(padded).lines
    np.testing.assert_allclose(line.get_ydata(), [0, (0.5 + 0) / 2, (1 + 2) / 2], rtol=1e-6)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ([], r"`given` must be a curve of xai\.metrics\.insertion or deletion, a sequence or a mapping of"),
        ([np.ones(3)], r"`given` must be a curve of xai\.metrics\.insertion or deletion, a sequence or a mapping of"),
        ([curve([0.0, 1.0]), curve([0.0, 1.0], "deletion")], "all of insertion or all of deletion"),
        ([curve([0.0, 1.0], "sufficiency")], "must be a curve of"),
        ([curve([0.0, np.nan])], "`given` must hold finite outputs"),
    ],
)
def test_mistakes_are_answered_with_a_sentence(given, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        xai.plot.curves(given)
