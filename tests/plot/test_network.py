"""The network: discs as large as values, lines as wide as pairs, names beside them."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.colors import to_rgba

import xaijax as xai
from tests.plot._attributions import attribution, texts
from xaijax.plot._parts.colors import NEGATIVE, POSITIVE


def of_pairs(values, pairs):
    return attribution(values, kind=xai.Interactions, pairs=jnp.asarray(pairs, jnp.float32))


def random(players=8, seed=0, count=2):
    rng = np.random.default_rng(seed)
    pairs = rng.normal(size=(count, players, players)) * (1 - np.eye(players))
    return of_pairs(rng.normal(size=(count, players)), pairs + pairs.transpose(0, 2, 1))


PAIRS = np.zeros((1, 3, 3))
PAIRS[0, 0, 1] = PAIRS[0, 1, 0] = -0.5
PAIRS[0, 0, 2] = PAIRS[0, 2, 0] = 2.0
SMALL = of_pairs([[1.0, -4.0, 2.0]], PAIRS)


def test_areas_are_the_values_and_widths_the_pairs():
    ax = xai.plot.network(SMALL, names=["a", "b", "c"])
    assert texts(ax) == ["b", "c", "a"]  # by 4.5, 4 and 3.5
    (discs,) = ax.collections
    np.testing.assert_allclose(discs.get_sizes() / discs.get_sizes()[0], [1, 0.5, 0.25])
    np.testing.assert_allclose(discs.get_facecolors(), [to_rgba(color) for color in (NEGATIVE, POSITIVE, POSITIVE)])
    weak, strong = ax.lines
    assert strong.get_linewidth() / weak.get_linewidth() == pytest.approx(4)
    assert (strong.get_color(), weak.get_color()) == (POSITIVE, NEGATIVE)
    ends = np.asarray(discs.get_offsets())
    np.testing.assert_allclose(strong.get_xydata(), ends[[1, 2]], atol=1e-6)  # of c and a
    np.testing.assert_allclose(weak.get_xydata(), ends[[0, 2]], atol=1e-6)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "single player, up to 4", "pair, up to 2", "increases the output", "decreases it",
    ]  # fmt: skip


def test_the_strongest_is_at_the_top_and_the_others_follow_clockwise():
    places = np.asarray(xai.plot.network(random(4)).collections[0].get_offsets())
    np.testing.assert_allclose(places, [[0, 1], [1, 0], [0, -1], [-1, 0]], atol=1e-6)


def test_weak_players_and_pairs_are_left_out_and_counted():
    ax = xai.plot.network(random(8), top=5, num_edges=4)
    assert len(ax.lines) == 4
    assert ax.get_title() == "test\n3 weaker players and 6 weaker pairs left out"
    assert "left out" not in xai.plot.network(random(3)).get_title()


def test_over_all_rows_sizes_are_averaged_and_have_no_sign():
    given = random(4)
    ax = xai.plot.network(given, example=None)
    assert ax.get_title().startswith("test: mean |value| of 2 rows")
    assert {line.get_color() for line in ax.lines} == {POSITIVE}
    assert len(ax.get_legend().get_texts()) == 2
    sizes = np.sort(np.abs(np.asarray(given.pairs)).mean(axis=0)[np.triu_indices(4, 1)])
    widths = np.array([line.get_linewidth() for line in ax.lines])
    np.testing.assert_allclose(widths / widths[-1], sizes / sizes[-1], rtol=1e-5)


@pytest.mark.parametrize("players", [1, 2, 12])
def test_names_are_within_the_axes_and_apart(players):
    ax = xai.plot.network(random(players), names=[f"the {n}th of some very long names" for n in range(players)], top=12)
    ax.figure.canvas.draw()
    boxes, inside = [text.get_window_extent() for text in ax.texts], ax.figure.bbox
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    assert all(box.x0 >= inside.x0 and box.x1 <= inside.x1 and box.y1 <= inside.y1 for box in boxes)
    across, up = (np.ptp(axes) for axes in np.split(ax.transData.transform([[-1, -1], [1, 1]]), 2, axis=1))
    assert across == pytest.approx(up, rel=1e-3)  # a circle


def test_nothing_and_two_hundred_players_are_drawn():
    ax = xai.plot.network(of_pairs(np.zeros((1, 3)), np.zeros((1, 3, 3))))
    assert (len(ax.lines), len(ax.texts)) == (0, 3)
    ax = xai.plot.network(random(200, count=1))
    assert (len(ax.lines), len(ax.texts)) == (20, 10)
    assert "190 weaker players" in ax.get_title()


def test_one_output_is_chosen_and_others_are_refused():
    pairs = np.stack([PAIRS[0], 3 * PAIRS[0]], axis=-1)
    values = np.array([[1.0, -4.0, 2.0], [0.0, 0.0, 12.0]]).T
    game = xai.Interactions(jnp.asarray(values), jnp.ones(2), pairs=jnp.asarray(pairs), axes="M K")
    ax = xai.plot.network(game, output="two", output_names=["one", "two"])
    assert ax.get_legend().get_texts()[0].get_text() == "single player, up to 12"
    assert ax.get_legend().get_texts()[1].get_text() == "pair, up to 6"
    with pytest.raises(TypeError, match="must be xai.Interactions, got Attribution"):
        xai.plot.network(attribution([1.0]))
    with pytest.raises(ValueError, match="num_edges.? must be at least 0"):
        xai.plot.network(SMALL, num_edges=-1)
