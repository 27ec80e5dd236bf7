"""LIME's neighborhood in two dimensions."""

import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai

ROWS = np.random.default_rng(0).normal(size=(30, 3))
OUTPUTS = ROWS @ [1.0, 2.0, 0.0]
INSTANCE = np.array([0.5, -0.5, 2.0])


def surrogate(slopes, predictions):
    slopes, predictions = jnp.asarray(slopes, jnp.float32), jnp.asarray(predictions, jnp.float32)
    ones = jnp.ones(len(slopes))
    return xai.Surrogate(
        slopes, predictions, method="LIME", slopes=slopes, intercept=ones, prediction=predictions, r_squared=0.5 * ones
    )


FITS = surrogate([[1.0, 2.0, 0.0], [1.0, 0.0, 0.0]], [-0.5, 0.25])


def test_samples_have_the_color_of_the_output_and_the_area_of_their_weight():
    weights = np.linspace(0, 1, 30)
    ax = xai.plot.neighborhood(ROWS, OUTPUTS, instance=INSTANCE, weights=weights, level=0.0, names=["a", "b", "c"])
    points = ax.collections[0]
    order = np.argsort(-weights, kind="stable")[:-1]  # the one of weight 0 is not there
    np.testing.assert_allclose(points.get_offsets(), ROWS[order][:, :2])
    np.testing.assert_allclose(points.get_array(), OUTPUTS[order])
    np.testing.assert_allclose((points.get_sizes() - 2) / (points.get_sizes()[0] - 2), weights[order], rtol=1e-6)
    reach = np.abs(OUTPUTS).max()
    assert points.get_clim() == (pytest.approx(-reach), pytest.approx(reach))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("a", "b")


def test_the_line_is_where_the_surrogate_says_the_level():
    ax = xai.plot.neighborhood(ROWS, OUTPUTS, instance=INSTANCE, surrogate=FITS, level=1.0, repeats=True)
    lines = [line for line in ax.lines if line.get_linestyle() != "None" and not len(line.get_xdata())]
    faint, first = (line for line in ax.lines if type(line).__name__ == "AxLine")
    assert lines == []
    for line, number in ((first, 0), (faint, 1)):
        for point in (line.get_xy1(), line.get_xy2()):
            said = FITS.prediction[number] + FITS.slopes[number, :2] @ (np.array(point) - INSTANCE[:2])
            assert said == pytest.approx(1.0, abs=1e-5)
    assert faint.get_alpha() == 0.25
    assert "surrogate = 1" in ax.get_legend_handles_labels()[1]
    assert ax.get_title() == "LIME: local R² 0.50"


def test_the_background_is_a_surface_of_the_two_features_around_the_instance():
    surface = xai.metrics.partial_dependence(
        lambda rows: rows @ jnp.array([1.0, 2.0, 3.0]), INSTANCE[None], (2, 0), grids=([-1.0, 1.0], [-2.0, 0.0, 2.0])
    )
    ax = xai.plot.neighborhood(ROWS, OUTPUTS, instance=INSTANCE, surface=surface, features=(2, 0), level=0.0)
    drawn = np.asarray(ax.collections[0].get_array())  # [up, across]
    np.testing.assert_allclose(drawn, [[3 * across + up - 1 for across in (-1, 1)] for up in (-2, 0, 2)], rtol=1e-5)
    assert (ax.get_xlim(), ax.get_ylim()) == ((-1, 1), (-2, 2))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("feature 2", "feature 0")
    assert "model = 0" in ax.get_legend_handles_labels()[1]
    with pytest.raises(ValueError, match=r"`surface` must be of features \(0, 1\) around one row"):
        xai.plot.neighborhood(ROWS, OUTPUTS, instance=INSTANCE, surface=surface)


def test_a_constant_surface_has_one_color():
    grid = np.linspace(-1.0, 1.0, 6)
    surface = xai.metrics.partial_dependence(
        lambda rows: 0 * rows[:, 0] + 1, INSTANCE[None], (0, 1), grids=(grid, grid)
    )
    far = {"instance": INSTANCE + 9, "legend": False, "level": 0.0, "title": ""}
    ax = xai.plot.neighborhood(ROWS[:2] + 9, OUTPUTS[:2], surface=surface, **far)
    ax.figure.canvas.draw()
    left, bottom, right, top = ax.get_window_extent().extents.astype(int)
    pixels = np.asarray(ax.figure.canvas.buffer_rgba())[::-1][bottom + 9 : top - 9, left + 9 : right - 9]
    assert len(np.unique(pixels.reshape(-1, 4), axis=0)) == 1


@pytest.mark.parametrize(
    ("outputs", "given", "level"),
    [(np.linspace(0, 1, 30), None, 0.5), (OUTPUTS, FITS, -0.5), (OUTPUTS, None, OUTPUTS.mean())],
)
def test_the_level_is_a_half_for_probabilities_and_else_what_is_said_of_the_instance(outputs, given, level):
    ax = xai.plot.neighborhood(ROWS, outputs, instance=INSTANCE, surrogate=given, legend=False)
    low, high = ax.collections[0].get_clim()
    assert (low + high) / 2 == pytest.approx(level, abs=1e-6)
    assert ax.get_legend() is None


def test_a_flat_surrogate_has_no_line():
    ax = xai.plot.neighborhood(ROWS, OUTPUTS, instance=INSTANCE, surrogate=surrogate([[0.0, 0.0, 1.0]], [0.0]))
    assert not any(type(line).__name__ == "AxLine" for line in ax.lines)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"outputs": OUTPUTS[:5]}, r"`outputs` must have 30 numbers to fit rows \[30, 3\]"),
        ({"instance": INSTANCE[:2]}, r"`instance` must have 3 numbers to fit rows \[30, 3\]"),
        ({"weights": np.zeros(30)}, r"`weights` must be zero or more, at least one of them above zero\."),
        ({"features": (0, 3)}, "`features` must be two different indices from 0 to 2"),
        ({"features": (1, 1)}, "`features` must be two different indices from 0 to 2"),
        ({"surrogate": xai.Attribution(jnp.ones((1, 3)), jnp.ones(1))}, r"`surrogate` must be a result of xai\.lime\.tabular, with slopes for each feature"),
        ({"surrogate": surrogate([[1.0, 2.0]], [0.0])}, r"slopes \[N, 3\]"),
        ({"rows": np.full((30, 3), np.nan)}, "`rows` must be finite"),
        ({"limits": [(1, 0), (0, 1)]}, r"`limits` must be \(\(left, right\), \(bottom, top\)\), each increasing"),
        ({"surface": lambda rows: rows}, "`surface` must come from xai.metrics.partial_dependence"),
    ],
)  # fmt: skip
def test_mistakes_are_answered_with_a_sentence(arguments, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        xai.plot.neighborhood(**{"rows": ROWS, "outputs": OUTPUTS, "instance": INSTANCE} | arguments)
