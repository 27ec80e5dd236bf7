"""The measures of estimators on numbers whose results are known, and a small run."""

import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from experiments import _error_tables, _estimators, error_per_evaluation
from experiments._known_games import of_table
from experiments._peers import Peers
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
    ratio, error = _error_tables.ratio({"errors": mine}, {"errors": theirs})
    assert ratio == pytest.approx(mine.mean() / theirs.mean())
    expected = ratio * np.sqrt((mine.var() / mine.mean() ** 2 + theirs.var() / theirs.mean() ** 2) / 4000)
    assert error == pytest.approx(expected, rel=0.05)
    assert _error_tables.ratio({"errors": [3e-10]}, {"errors": [1e-16]})[0] == pytest.approx(3)  # both are rounding


def test_means_over_games_are_geometric_and_against_the_best_of_a_package():
    entries = [
        entry("first", 5, "a", [1.0, 3.0]),
        entry("second", 5, "a", [1.0, 1.0]),
        entry("first", 5, "b", [4.0, 4.0], "other"),
        entry("second", 5, "b", [32.0, 32.0], "other"),
        entry("second", 5, "c", [8.0, 8.0], "other"),
    ]
    rival = _error_tables.best_of("other")
    mean, worst, count = _error_tables.geometric_means(entries, "a", rival)[5]
    assert mean == pytest.approx(np.sqrt(2 / 4 * 1 / 8))
    assert worst == 0.5
    assert count == 2


def test_a_panel_has_the_errors_of_its_game_and_the_best_of_the_other_package():
    ours, best = "xaijax: default", "shapiq, its best"
    entries = [
        entry("first", 5, ours, [1.0, 3.0]),
        entry("first", 10, ours, [0.5, 0.5]),
        entry("first", 5, "shapiq: a", [8.0, 8.0], "shapiq"),
        entry("first", 5, "shapiq: b", [4.0, 4.0], "shapiq"),
        entry("second", 5, ours, [0.1, 0.1]),
    ]
    figure = error_per_evaluation.curves(entries)
    first, second = figure.axes
    assert (first.get_title(), second.get_title()) == ("first", "second")
    np.testing.assert_allclose(first.lines[0].get_xydata(), [[5, 2], [10, 0.5]])
    np.testing.assert_allclose(first.lines[1].get_xydata(), [[5, 4]])
    np.testing.assert_allclose(second.lines[0].get_xydata(), [[5, 0.1]])
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [ours, best]
    plt.close(figure)


_STAND_IN = """
import sys
sys.path.insert(0, {folder!r})
import numpy as np
import _peer_estimators as peers


def removal(value, players, evaluations, seed):  # what the grand coalition loses without each player
    print("this is no message")
    assert evaluations == players + 1 + seed, "as many evaluations as there are coalitions"
    worth = value(np.concatenate([np.ones((1, players)), 1 - np.eye(players)]))
    return worth[0] - worth[1:]


peers._estimators = lambda: {{"removal": ("numpy", removal), "of no package": ("none", removal)}}
peers.PACKAGES = ("numpy", "absent")
peers.main()
"""


def test_another_python_estimates_from_values_that_are_computed_here(tmp_path):
    """Coalitions of ten players fill no whole bytes; what a package prints does not mix with its estimates."""
    script = tmp_path / "stand_in.py"
    script.write_text(_STAND_IN.format(folder=str(Path(error_per_evaluation.__file__).parent)))
    worth = np.random.default_rng(0).normal(size=2**10).astype(np.float32)
    known = of_table(worth)
    with Peers(sys.executable, script) as peers:
        (estimator,) = peers.estimators()
        assert (estimator.name, estimator.package) == ("removal", "numpy")
        assert peers.versions == {"numpy": np.__version__}
        estimates = estimator.estimate(known, 11, [0])
        np.testing.assert_array_equal(estimates.values, [worth[-1] - worth[1023 - (1 << np.arange(10))].astype(float)])
        assert estimates.evaluations == 11
        with pytest.raises(_estimators.Failure, match="AssertionError: as many evaluations as there are coalitions"):
            estimator.estimate(known, 12, [0])
        options = {"games": ["patients, perceptron (10)"], "budgets": (3,), "instances": 1, "seeds": 1}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(error_per_evaluation, "known_games", lambda *_: [known])
            for _ in range(2):  # the second reads what the first has written
                (row,) = error_per_evaluation.measure([estimator], finished=tmp_path / "finished", **options)
                assert row["failure"].startswith("AssertionError")
                patch.setattr(error_per_evaluation, "_measure_estimator", None)
    assert _error_tables.cells_of([row]) == {}
    assert error_per_evaluation.read([tmp_path / "finished"]) == [row]
    (tmp_path / "other.json").write_text(json.dumps({"errors": [row | {"seeds": 2}]}))
    with pytest.raises(ValueError, match=r"got \(instances, seeds, first seed\) \[\(1, 1, 0\), \(1, 2, 0\)\]"):
        error_per_evaluation.read([tmp_path / "finished", tmp_path / "other.json"])
    broken = tmp_path / "exit.py"
    broken.write_text("raise SystemExit(3)")
    with pytest.raises(RuntimeError, match="The peers' process ended with the code 3"):
        Peers(sys.executable, broken)


@pytest.mark.slow
def test_estimators_are_given_the_evaluations_they_report_and_intervals_of_95_percent():
    known = of_table(random_worth(6) + 5 * np.bitwise_count(np.arange(64)))
    for estimator in _estimators.ours():
        estimates = estimator.estimate(known, 40, range(5))
        assert estimates.values.shape == (5, 6)
        assert 30 <= estimates.evaluations <= 40, estimator.name
        np.testing.assert_allclose(estimates.values.sum(axis=1), known.exact.sum(), atol=1e-4)
        assert ((estimates.values - known.exact) ** 2).sum(axis=1).mean() < 0.2 * (known.exact**2).sum()
    assert len(np.unique(estimates.values[:, 0])) == 5  # every seed differs


@pytest.mark.slow
def test_a_small_run_writes_its_figure_and_draws_it_again(tmp_path):
    options = ["--games", "teams (12)", "--budgets", "3", "8", "--instances", "1", "--seeds", "2"]
    options += ["--kept", str(tmp_path / "games")]
    entries = error_per_evaluation.main([*options, "--out", str(tmp_path / "first")])
    assert {row["budget"] for row in entries} == {3, 8}
    assert {row["asked"] for row in entries} == {36, 96}
    by_name = {(row["estimator"], row["budget"]): row for row in entries}
    assert by_name["xaijax: default", 8]["mean_error"] < by_name["xaijax: default", 3]["mean_error"]
    numbers = tmp_path / "first" / "numbers.json"
    assert json.loads(numbers.read_text())["errors"] == entries
    again = error_per_evaluation.main(["--read", str(numbers), "--out", str(tmp_path / "second")])
    assert again == entries
    for folder in ("first", "second"):
        assert (tmp_path / folder / "error_per_evaluation.png").stat().st_size > 10_000
