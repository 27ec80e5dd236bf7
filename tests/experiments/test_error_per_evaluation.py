"""The measure of estimators: ratios, means and coverage by hand, and a small run."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pytest

from experiments import _errors, _errors_report, _estimators, error_per_evaluation
from experiments._known_games import of_table
from tests.shap.test_exact import random_worth


def entry(game, budget, estimator, errors, package="xaijax"):
    return {
        "game": game,
        "budget": budget,
        "estimator": estimator,
        "package": package,
        "errors": errors,
        "mean_error": float(np.mean(errors)),
    }


def test_a_ratio_has_the_standard_error_of_the_delta_method():
    rng = np.random.default_rng(0)
    mine, theirs = rng.gamma(2, 1, 4000), rng.gamma(3, 2, 4000)
    found, error = _errors.ratio({"errors": mine}, {"errors": theirs})
    assert found == pytest.approx(mine.mean() / theirs.mean())
    expected = found * np.sqrt((mine.var() / mine.mean() ** 2 + theirs.var() / theirs.mean() ** 2) / 4000)
    assert error == pytest.approx(expected, rel=0.05)


def test_means_over_games_are_geometric_and_against_the_best_of_a_package():
    found = [
        entry("one", 5, "a", [1.0, 3.0]),
        entry("two", 5, "a", [1.0, 1.0]),
        entry("one", 5, "b", [4.0, 4.0], "other"),
        entry("two", 5, "b", [32.0, 32.0], "other"),
        entry("two", 5, "c", [8.0, 8.0], "other"),
    ]
    mean, worst, count = _errors.geometric_means(found, "a", _errors.best_of("other"))[5]
    assert mean == pytest.approx(np.sqrt(2 / 4 * 1 / 8))
    assert worst == 0.5
    assert count == 2


def test_a_panel_has_the_errors_of_its_game_and_the_best_of_the_other_package():
    ours, best = "xaijax: default", "shapiq, its best"
    found = [
        entry("one", 5, ours, [1.0, 3.0]),
        entry("one", 10, ours, [0.5, 0.5]),
        entry("one", 5, "shapiq: a", [8.0, 8.0], "shapiq"),
        entry("one", 5, "shapiq: b", [4.0, 4.0], "shapiq"),
        entry("two", 5, ours, [0.1, 0.1]),
    ]
    figure = _errors_report.curves(found)
    one, two = figure.axes
    assert (one.get_title(), two.get_title()) == ("one", "two")
    np.testing.assert_allclose(one.lines[0].get_xydata(), [[5, 2], [10, 0.5]])
    np.testing.assert_allclose(one.lines[1].get_xydata(), [[5, 4]])
    np.testing.assert_allclose(two.lines[0].get_xydata(), [[5, 0.1]])
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [ours, best]
    plt.close(figure)


def test_estimators_are_given_the_evaluations_they_report_and_intervals_of_95_percent():
    known = of_table(random_worth(6) + 5 * np.bitwise_count(np.arange(64)))
    for estimator in _estimators.ours():
        found = estimator.estimate(known, 40, range(5))
        assert found.values.shape == (5, 6)
        assert 30 <= found.evaluations <= 40, estimator.name
        np.testing.assert_allclose(found.values.sum(axis=1), known.exact.sum(), atol=1e-4)
        assert ((found.values - known.exact) ** 2).sum(axis=1).mean() < 0.2 * (known.exact**2).sum()
    assert len(np.unique(found.values[:, 0])) == 5  # each seed its own


def test_a_small_run_writes_its_figure_and_draws_it_again(tmp_path):
    options = ["--games", "teams (12)", "--budgets", "3", "8", "--instances", "1", "--seeds", "2", "--no-peers"]
    found = error_per_evaluation.main([*options, "--out", str(tmp_path / "first")])
    assert {row["budget"] for row in found} == {3, 8}
    assert {row["asked"] for row in found} == {36, 96}
    by_name = {(row["estimator"], row["budget"]): row for row in found}
    assert by_name["xaijax: default", 8]["mean_error"] < by_name["xaijax: default", 3]["mean_error"]
    numbers = tmp_path / "first" / "numbers.json"
    assert json.loads(numbers.read_text())["errors"] == found
    again = error_per_evaluation.main(["--read", str(numbers), "--out", str(tmp_path / "second")])
    assert again == found
    for folder in ("first", "second"):
        assert (tmp_path / folder / "error_per_evaluation.png").stat().st_size > 10_000
