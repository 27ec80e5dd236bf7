"""Values against the number of evaluations."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai


def run(values, errors, evaluations):
    values = jnp.asarray(values, jnp.float32)
    found = xai.Attribution(
        values, values.sum(axis=-1), std_errors=jnp.asarray(errors, jnp.float32), method="permutation",
        num_evaluations=jnp.full(values.shape[:-1], evaluations),
    )  # fmt: skip
    return found


RUNS = [
    run([[1.0, -2.0, 0.1], [0.0, 0.0, 0.0]], [[0.5, 0.2, 0.0], [0.1, 0.1, 0.1]], 200),
    run([[1.4, -2.2, 0.1], [0.0, 0.0, 0.0]], [[1.0, 0.4, 0.0], [0.1, 0.1, 0.1]], 10),
]
TRUTH = [1.1, -2.1, 0.1]


def test_lines_and_bands_in_the_order_of_evaluations():
    ax = xai.plot.convergence(RUNS, truth=TRUTH, names=["a", "b", "c"], top=2)
    lines = [line for line in ax.lines if line.get_label() in "ab"]
    assert [line.get_label() for line in lines] == ["a", "b"]  # the largest value first
    np.testing.assert_allclose(lines[0].get_xydata(), [[10, 1.4], [200, 1.0]], rtol=1e-6)
    np.testing.assert_allclose(lines[1].get_ydata(), [-2.2, -2.0], rtol=1e-6)
    heights = ax.collections[0].get_paths()[0].vertices[:, 1]
    np.testing.assert_allclose([heights.min(), heights.max()], [1.4 - 1.96, 1.4 + 1.96], rtol=1e-5)
    truths = [line.get_ydata()[0] for line in ax.lines if line.get_linestyle() == "--" and len(line.get_ydata())]
    assert truths == pytest.approx([1.1, -2.1])
    assert ax.get_xscale() == "log"
    assert ax.get_xlabel() == "evaluations of the game; bands cover 95 %"
    assert ax.get_title() == "permutation"


def test_chosen_players_given_evaluations_and_the_truth_as_an_attribution():
    exact = run([TRUTH, TRUTH], np.zeros((2, 3)), 8)
    ax = xai.plot.convergence(RUNS, example=1, evaluations=[20, 10], players=[2], truth=exact)
    (line, *_) = ax.lines
    np.testing.assert_allclose(line.get_xydata(), [[10, 0], [20, 0]])
    assert line.get_label() == "player 2"
    assert ax.get_xscale() == "linear"


def test_without_errors_there_are_no_bands_to_speak_of():
    bare = [dataclasses.replace(one, std_errors=None) for one in RUNS]
    assert xai.plot.convergence(bare).get_xlabel() == "evaluations of the game"


@pytest.mark.parametrize(
    ("draw", "sentence"),
    [
        (lambda: xai.plot.convergence(RUNS[0]), "`attributions` must be a sequence of at least two, with more and more evaluations"),
        (lambda: xai.plot.convergence(RUNS[:1]), "`attributions` must be a sequence of at least two, with more and more evaluations"),
        (lambda: xai.plot.convergence([RUNS[0], run([[1.0]], [[0.0]], 3)]), "`attributions` must be of one game"),
        (lambda: xai.plot.convergence(RUNS, truth=[1.0]), "`truth` must be 3 finite values, one for each player"),
        (lambda: xai.plot.convergence(RUNS, players=[3]), "`players` must be between 0 and 2"),
        (lambda: xai.plot.convergence(RUNS, evaluations=[1.0]), "`evaluations` must be 2 numbers above 0, one for each attribution"),
        (
            lambda: xai.plot.convergence([dataclasses.replace(one, num_evaluations=None) for one in RUNS]),
            r"`evaluations` must be given, since attributions \[0, 1\] do not state their num_evaluations\.",
        ),
    ],
)  # fmt: skip
def test_mistakes_are_answered_with_a_sentence(draw, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        draw()
