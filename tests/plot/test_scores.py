"""Tables of comparisons: the numbers, the best, what equals it, and matrices of agreement."""

import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests.plot._attributions import labels, texts

NOISE = np.random.default_rng(0).normal(size=30)
SCORES = {  # of three explainers by two metrics with a direction and one without
    "a": {"up": NOISE, "down": NOISE + 5, "size": NOISE},
    "b_c": {"up": NOISE + 2, "down": NOISE + 5 + 0.1 * NOISE[::-1], "size": NOISE},
    "d": {"up": NOISE + 1, "down": NOISE + 9, "size": np.full(30, np.nan)},
}
BETTER = {"up": "higher", "down": "lower", "size": ""}
VALUES = np.array([[1.0, -0.5, 0.75], [-0.5, 1.0, np.nan], [0.75, np.nan, 1.0]])


def comparison(scores=SCORES, values=VALUES):
    scored = {
        name: {metric: xai.metrics.Score(jnp.asarray(own), better=BETTER[metric]) for metric, own in of_name.items()}
        for name, of_name in scores.items()
    }
    matrix = xai.metrics.Agreement(values, 0 * values, values - 0.125, values + 0.125, np.full(values.shape, 30))
    measures = dict.fromkeys(("rank_correlation", "top_agreement", "sign_agreement"), matrix)
    return xai.metrics.Comparison(scored, measures if len(scored) > 1 else {})


def test_lines_are_explainers_by_rank_and_columns_are_metrics():
    given = comparison()
    ax = xai.plot.scores(given)
    assert labels(ax) == ["b c", "a", "d"]  # mean ranks 1.5, 2 and 2.5; or 1 and 2 change places
    assert [label.get_text() for label in ax.get_xticklabels()] == ["up ↑", "down ↓", "size", "mean\nrank"]
    record = next(each for each in given.table() if (each["explainer"], each["metric"]) == ("b_c", "up"))
    assert texts(ax)[0] == f"{record['mean']:.3g} ± {(record['high'] - record['low']) / 2:.2g}"
    assert texts(ax)[4 * labels(ax).index("d") + 2] == "–"
    assert ax.get_title().replace("\n", " ") == "mean over 30 examples ± half of its 95% interval"
    assert labels(xai.plot.scores(given, sort="given")) == ["a", "b c", "d"]


def test_the_best_is_framed_and_bold_numbers_equal_it():
    ax = xai.plot.scores(comparison(), sort="given")
    shades = np.ma.filled(ax.images[0].get_array(), np.nan)
    np.testing.assert_allclose(shades[:, 0], [0, 1, 0.5], atol=1e-6)
    assert np.isnan(shades[:, 2:]).all()
    framed = {(round(patch.get_y() + 0.46), round(patch.get_x() + 0.48)) for patch in ax.patches}
    best_down = int(np.argmin([SCORES[name]["down"].mean() for name in SCORES]))
    assert framed == {(1, 0), (best_down, 1)}
    bold = {number for number, text in enumerate(ax.texts) if text.get_fontweight() == "bold"}
    assert bold == {4, 1, 5}  # b_c by up; a and b_c by down, which differ by noise


def test_an_infinite_mean_is_the_worst_and_the_others_keep_their_shades():
    means = {"a": 1.0, "b": 3.0, "c": np.inf, "d": 2.0}
    ax = xai.plot.scores(
        comparison({name: {"down": np.full(2, mean)} for name, mean in means.items()}, np.eye(4)), sort="given"
    )
    np.testing.assert_allclose(np.ma.filled(ax.images[0].get_array(), np.nan)[:, 0], [1, 0, 0, 0.5])


def test_metrics_without_a_better_direction_have_no_ranks():
    only = {name: {"size": own["size"]} for name, own in SCORES.items()}
    ax = xai.plot.scores(comparison(only))
    assert [label.get_text() for label in ax.get_xticklabels()] == ["size"]
    assert not ax.patches
    assert ax.get_xlabel() == ""


def test_agreement_is_written_with_its_interval_and_similar_explainers_are_neighbors():
    ax = xai.plot.agreement(comparison())
    assert labels(ax) in (["b c", "a", "d"], ["b c", "d", "a"], ["a", "d", "b c"], ["d", "a", "b c"])
    assert texts(xai.plot.agreement(comparison(), sort="given"))[:3] == ["1.00", "-0.50\n±0.12", "0.75\n±0.12"]
    assert "–" in texts(ax)
    shared = xai.plot.agreement(comparison(), measure="top_agreement", sort="given")
    assert shared.images[0].norm.vmin == 0
    assert "shared players among the strongest" in shared.get_title()


def test_agreement_of_metrics_is_of_their_ranks():
    ax = xai.plot.agreement(comparison(), between="metrics", sort="given")
    assert labels(ax) == ["up", "down"]
    expected = comparison().metric_agreement()[0, 1]
    assert texts(ax) == ["1.00", f"{expected:.2f}", f"{expected:.2f}", "1.00"]


@pytest.mark.parametrize(
    ("draw", "sentence"),
    [
        (lambda: xai.plot.scores(3), "`comparison` must be the result of xai.metrics.compare, got 3"),
        (lambda: xai.plot.scores(comparison(), sort="best"), "`sort` must be one of"),
        (lambda: xai.plot.scores(comparison(), test="f"), "`test` must be one of"),
        (lambda: xai.plot.agreement(comparison(), measure="kendall"), "`measure` must be one of"),
        (
            lambda: xai.plot.agreement(comparison(), measure="top_agreement", between="metrics"),
            "`measure` must be 'rank_correlation' between metrics",
        ),
        (lambda: xai.plot.agreement(comparison({"a": SCORES["a"]})), "`comparison` must be of two explainers at least"),
        (
            lambda: xai.plot.agreement(comparison({"a": SCORES["a"]}), between="metrics"),
            "`comparison` must have three explainers",
        ),
    ],
)
def test_mistakes_are_answered_with_a_sentence(draw, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        draw()
