"""The dependence plot: dots at input and value, whiskers, the color of another player, Spearman's correlation."""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy.stats import spearmanr

import xaijax as xai
from tests.plot._attributions import attribution, labels
from xaijax.plot._dependence import interaction_strengths, rank_correlation

NAMES = ["a", "b", "c", "d"]


def rows(count=200, players=4, seed=0):
    return np.random.default_rng(seed).normal(size=(count, players))


def of_product(inputs, errors=None):
    """Shapley values of 2 a + a c + d, with zeros for absent players."""
    a, _, c, d = inputs.T
    return attribution(np.stack([2 * a + a * c / 2, 0 * a, a * c / 2, d], axis=1), errors)


@pytest.mark.parametrize("player", [0, "a"])
def test_each_dot_lies_at_an_input_and_its_value(player):
    inputs = rows()
    given = of_product(inputs)
    ax = xai.plot.dependence(given, player, inputs=inputs, names=NAMES)
    (dots,) = ax.collections
    np.testing.assert_allclose(dots.get_offsets(), np.stack([inputs[:, 0], given.values[:, 0]], axis=1), rtol=1e-5)
    assert ax.figure.axes == [ax]
    assert ax.get_ylabel() == "value of a"
    assert ax.get_title() == "test: 200 rows"


def test_the_label_states_spearmans_rank_correlation():
    inputs = rows()
    given = of_product(inputs)
    expected = spearmanr(inputs[:, 0], np.asarray(given.values)[:, 0]).statistic
    assert f"(Spearman's rank correlation {expected:+.3f})" in xai.plot.dependence(given, 0, inputs=inputs).get_xlabel()
    assert "correlation not defined" in xai.plot.dependence(given, 1, inputs=inputs).get_xlabel()


def test_rank_correlations_are_one_for_what_rises_and_share_the_ranks_of_ties():
    x = np.linspace(-2, 2, 20)
    assert rank_correlation(x, np.exp(x)) == pytest.approx(1)
    assert rank_correlation(x, -(x**3)) == pytest.approx(-1)
    assert rank_correlation(np.array([1, 1, 2, 3]), np.array([1, 2, 3, 3])) == pytest.approx(  # ranks 1.5 1.5 3 4
        np.corrcoef([1.5, 1.5, 3, 4], [1, 2, 3.5, 3.5])[0, 1]
    )
    assert np.isnan(rank_correlation(x, 0 * x))


def test_whiskers_are_two_standard_errors_where_there_are_any():
    inputs = rows(20)
    errors = np.full((20, 4), 0.25)
    whiskers, _ = xai.plot.dependence(of_product(inputs, errors), 0, inputs=inputs).collections
    for segment in whiskers.get_segments():
        assert segment[1][1] - segment[0][1] == pytest.approx(2 * 1.96 * 0.25, rel=1e-5)
    assert len(xai.plot.dependence(of_product(inputs, 0 * errors), 0, inputs=inputs).collections) == 1


@pytest.mark.parametrize("other", [3, "d"])
def test_dots_take_the_colors_of_another_input(other):
    inputs = rows()
    ax = xai.plot.dependence(of_product(inputs), 0, inputs=inputs, names=NAMES, color_by=other)
    (dots,) = ax.collections
    np.testing.assert_allclose(dots.get_array(), inputs[:, 3])
    np.testing.assert_allclose((dots.norm.vmin, dots.norm.vmax), np.percentile(inputs[:, 3], [5, 95]))
    assert ax.figure.axes[1].get_ylabel() == "d, 5th to 95th percentile"


def test_the_strongest_partner_is_the_one_that_spreads_the_values():
    inputs = rows()
    follows = inputs.copy()
    follows[:, 3] = inputs[:, 0] + 0.1 * inputs[:, 3]  # goes with player a, and changes nothing of its value
    for given, player, partner in ((inputs, 0, "c"), (inputs, 2, "a"), (follows, 0, "c")):
        ax = xai.plot.dependence(of_product(given), player, inputs=given, names=NAMES, color_by="strongest")
        assert ax.figure.axes[1].get_ylabel().startswith(f"{partner},")


def test_strengths_lie_between_zero_and_one_and_do_not_depend_on_units():
    inputs = rows()
    values = np.asarray(of_product(inputs).values, np.float64)[:, 0]
    strengths = interaction_strengths(values, inputs[:, 0], inputs)
    assert strengths[2] > 0.8
    assert ((strengths >= 0) & (strengths <= 1)).all()
    assert strengths[[0, 1, 3]].max() < 0.5
    in_units = inputs * [1, 1e6, 1e-6, 1] + [0, 1e6, 0, 5]
    np.testing.assert_allclose(
        interaction_strengths(-3 * values, inputs[:, 0], in_units)[1:], strengths[1:], rtol=1e-6, atol=1e-6
    )


def test_where_pairs_are_known_the_strongest_is_that_of_the_largest_mean_pair():
    inputs = rows(5)
    pairs = np.zeros((5, 4, 4))
    pairs[:, 0, 1] = pairs[:, 1, 0] = [-2, 2, -2, 2, -2]
    pairs[:, 0, 2] = pairs[:, 2, 0] = 1
    given = of_product(inputs)
    known = xai.Interactions(given.values, given.output, given.base_value, pairs=jnp.asarray(pairs), index="any")
    ax = xai.plot.dependence(known, 0, inputs=inputs, names=NAMES, color_by="strongest")
    assert ax.figure.axes[1].get_ylabel().startswith("b,")


def test_a_player_may_be_called_strongest():
    inputs = rows(9)
    ax = xai.plot.dependence(
        of_product(inputs), "a", inputs=inputs, names=["a", "strongest", "c", "d"], color_by="strongest"
    )
    np.testing.assert_allclose(ax.collections[0].get_array(), inputs[:, 1])


def test_words_lie_side_by_side_and_have_no_correlation():
    inputs = rows(40)
    mixed = inputs.astype(object)
    mixed[:, 3] = np.where(inputs[:, 3] > 0, "yes", "no")
    ax = xai.plot.dependence(of_product(inputs), "d", inputs=mixed, names=NAMES)
    across = np.asarray(ax.collections[0].get_offsets())[:, 0]
    assert np.abs(across - (inputs[:, 3] > 0)).max() <= 1 / 6 + 1e-9
    assert len(np.unique(across)) == 40
    assert [label.get_text() for label in ax.get_xticklabels()] == ["no", "yes"]
    assert ax.get_xlabel() == "d"
    ax = xai.plot.dependence(of_product(inputs), "a", inputs=mixed, names=NAMES, color_by="d")
    ax.figure.canvas.draw()
    (dots,), bar = ax.collections, ax.figure.axes[1]
    assert len(np.unique(dots.get_facecolor()[:, :3], axis=0)) == 2
    assert labels(ax.figure.axes[1]) == ["no", "yes"]
    assert bar.get_ylabel() == "d"


def test_rows_whose_input_is_missing_are_left_out_and_counted():
    inputs = rows(40)
    inputs[[3, 5], 0], inputs[7, 1] = np.nan, np.nan
    ax = xai.plot.dependence(of_product(np.nan_to_num(inputs)), "a", inputs=inputs, names=NAMES, color_by="b")
    assert len(ax.collections[0].get_offsets()) == 38
    assert ax.get_xlabel().endswith("2 rows left out, whose input is missing")
    assert "correlation +" in ax.get_xlabel()
    assert ax.figure.axes[1].get_ylabel().endswith("(gray: missing)")


def test_rows_keep_the_limits_and_colors_of_all():
    inputs = rows()
    whole, part = (
        xai.plot.dependence(of_product(inputs), 0, inputs=inputs, color_by=3, rows=chosen) for chosen in (None, [5, 9])
    )
    np.testing.assert_allclose(part.collections[0].get_offsets(), whole.collections[0].get_offsets()[[5, 9]])
    assert part.get_xlim() == whole.get_xlim()
    assert part.get_ylim() == whole.get_ylim()
    assert part.collections[0].norm.vmax == whole.collections[0].norm.vmax


@pytest.mark.parametrize("values", [[[2.0]], np.zeros((5, 3)), rows(7, 200)])
def test_one_row_nothing_and_two_hundred_players(values):
    values = np.asarray(values)
    names = [f"a very long name indeed, the one of {number}" for number in range(values.shape[1])]
    color_by = "strongest" if len(names) > 1 else None
    ax = xai.plot.dependence(attribution(values), names[0], inputs=values, names=names, color_by=color_by)
    ax.figure.canvas.draw()
    left, right = ax.get_xlim()
    assert left < values[0, 0] < right
    assert len(ax.get_ylabel()) < 40


def test_values_of_a_model_are_drawn_on_given_axes(key):
    x = jax.random.normal(key, (12, 3))
    shap = xai.shap.values(lambda x: x[:, 0] ** 3 - x[:, 1] * x[:, 2], x, xai.mask.baseline(jnp.zeros(3)), key=key)
    _, ax = plt.subplots()
    assert xai.plot.dependence(shap, 0, inputs=x, ax=ax, title="mine") is ax
    assert "rank correlation +1.000" in ax.get_xlabel()
    assert ax.get_title() == "mine"


GIVEN = of_product(rows(9))


@pytest.mark.parametrize(
    ("draw", "sentence"),
    [
        (
            lambda: xai.plot.dependence(GIVEN, "aa", inputs=rows(9), names=NAMES),
            "player.? must be one of .* (but it is|got) 'aa'",
        ),
        (lambda: xai.plot.dependence(GIVEN, "a", inputs=rows(9)), "`player` must be an index where no names are known"),
        (lambda: xai.plot.dependence(GIVEN, 4, inputs=rows(9)), "`player` must be between .* and 3, got 4"),
        (lambda: xai.plot.dependence(GIVEN, 1.5, inputs=rows(9)), "player.? must be an int"),
        (
            lambda: xai.plot.dependence(GIVEN, 0, inputs=rows(9), color_by="x"),
            "`color_by` must be an index where no names are known",
        ),
        (lambda: xai.plot.dependence(GIVEN, 0, inputs=rows(9), color_by=7), "`color_by` must be between .* and 3"),
        (
            lambda: xai.plot.dependence(GIVEN, 0, inputs=rows(8)),
            r"`inputs` must hold one number or word for each value, \[9, 4\]",
        ),
        (lambda: xai.plot.dependence(GIVEN, 0, inputs=rows(9), names=["a"]), "`names` must have one entry for each of"),
        (
            lambda: xai.plot.dependence(GIVEN, 0, inputs=rows(9) * np.nan),
            "`inputs` must hold at least one input of player 0",
        ),
        (lambda: xai.plot.dependence(attribution([np.nan]), 0, inputs=[[1.0]]), "must have finite values"),
        (
            lambda: xai.plot.dependence(attribution([1.0]), 0, inputs=[[1.0]], color_by="strongest"),
            r"`color_by` must not be 'strongest' where there is only one player\.",
        ),
    ],
)
def test_mistakes_are_answered_with_a_sentence(draw, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        draw()
