"""The decision plot: lines from the base value to the outputs."""

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgba

import xaijax as xai
from tests.plot._attributions import attribution, labels, texts
from xaijax.plot._parts.colors import NEGATIVE, POSITIVE


def rows(count=20, players=4, seed=0):
    return np.random.default_rng(seed).normal(size=(count, players)) * np.arange(players, 0, -1)


def paths(ax):
    return np.array(ax.collections[0].get_segments())


def test_lines_climb_from_the_base_value_to_the_outputs():
    values = rows()
    ax = xai.plot.decision(attribution(values, base_value=2.0), names=["a", "b", "c", "d"])
    assert labels(ax) == ["a", "b", "c", "d"]
    across, up = paths(ax)[..., 0], paths(ax)[..., 1]
    np.testing.assert_allclose(across[:, 0], 2.0)
    np.testing.assert_allclose(across[:, -1], 2 + values.sum(axis=1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.diff(across, axis=1), values[:, ::-1], rtol=1e-4, atol=1e-5)  # the last player first
    np.testing.assert_array_equal(up[0], [3.5, 2.5, 1.5, 0.5, -0.5])
    assert ax.get_ylim() == (3.5, -0.5)
    assert ax.get_xlabel() == "base value 2 (bottom)  →  output (top)"


def test_colors_go_with_the_outputs():
    values = rows()
    colors = xai.plot.decision(attribution(values)).collections[0].get_colors()
    ends = values.sum(axis=1)
    np.testing.assert_allclose(colors[ends.argmin()], to_rgba(NEGATIVE), atol=0.01)
    np.testing.assert_allclose(colors[ends.argmax()], to_rgba(POSITIVE), atol=0.01)


def test_the_others_are_the_first_step():
    values = rows(players=6)
    ax = xai.plot.decision(attribution(values), top=2)
    assert labels(ax)[-1] == "4 others"
    np.testing.assert_allclose(
        np.diff(paths(ax)[..., 0], axis=1)[:, 0], values[:, 2:].sum(axis=1), rtol=1e-4, atol=1e-5
    )


def test_one_row_has_its_numbers_inputs_and_conditions():
    given = attribution([[1.0, -3.0], [2.0, 0.5]])
    ax = xai.plot.decision(given, rows=[1], names=[["a > 1", "b"], ["a <= 1", "b"]], inputs=[[0, 0], ["red", 7]])
    assert labels(ax) == ["b = 7", "a <= 1"]
    assert texts(ax) == ["+0.5", "+2"]
    assert ax.get_title() == "test: 1 row"
    ax = xai.plot.decision(given[1])
    assert texts(ax) == ["+2", "+0.5"]
    np.testing.assert_allclose(ax.collections[0].get_colors()[0], to_rgba("0.1"))


def test_highlighted_rows_are_dashed_and_thick_and_told():
    values = rows()
    for highlight in ([3, 5], np.isin(np.arange(20), [3, 5])):
        ax = xai.plot.decision(attribution(values), highlight=highlight)
        lines = ax.collections[0]
        dashed = [pattern is not None for _, pattern in lines.get_linestyles()]
        assert np.flatnonzero(dashed).tolist() == [18, 19]  # the last two, on top
        np.testing.assert_allclose(paths(ax)[18:, -1, 0], 0.5 + values[[3, 5]].sum(axis=1), rtol=1e-4)
        np.testing.assert_allclose(lines.get_colors()[18:], [to_rgba("0.1")] * 2)
        assert lines.get_linewidths()[19] > lines.get_linewidths()[0]
        assert ax.get_title() == "test: 20 rows, 2 of them dashed"
    ax = xai.plot.decision(attribution(values), highlight=np.zeros(20, bool))
    assert ax.get_title() == "test: 20 rows"


def test_rows_keep_the_order_and_limits_of_all():
    values = rows()
    whole, part = (xai.plot.decision(attribution(values), rows=chosen) for chosen in (None, [4, 7]))
    np.testing.assert_allclose(paths(part), paths(whole)[[4, 7]])
    assert part.get_xlim() == whole.get_xlim()
    np.testing.assert_allclose(part.collections[0].get_colors(), whole.collections[0].get_colors()[[4, 7]])


@pytest.mark.parametrize("values", [rows(1, 1), np.zeros((5, 3)), rows(7, 200), rows(300, 1)])
def test_one_row_one_player_nothing_and_two_hundred_players(values):
    ax = xai.plot.decision(attribution(values), names=["a very long name indeed " * 4] * values.shape[1])
    ax.figure.canvas.draw()
    assert paths(ax).shape == (len(values), min(values.shape[1], 16) + 1, 2)
    left, right = ax.get_xlim()
    assert left < paths(ax)[..., 0].min() <= paths(ax)[..., 0].max() < right
    inside = ax.get_window_extent()
    assert all(
        inside.x0 - 1 <= text.get_window_extent().x0 <= text.get_window_extent().x1 <= inside.x1 + 1
        for text in ax.texts
    )


def test_given_axes_are_used_and_what_starts_nowhere_is_refused():
    _, ax = plt.subplots()
    assert xai.plot.decision(attribution(rows()), ax=ax, title="mine") is ax
    with pytest.raises(ValueError, match="whose values do not"):
        xai.plot.decision(xai.Attribution(jnp.ones((1, 2)), jnp.ones(1)))
