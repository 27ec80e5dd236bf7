"""Explainers compared over a grid: what the table says is so, and a killed run goes on where it stopped."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from rich.console import Console
from scipy import stats

import xaijax as xai
from tests import models
from xaijax._io.atomic import write_file
from xaijax.metrics.benchmark import _grid
from xaijax.metrics.benchmark import _scores as scores
from xaijax.metrics.benchmark._table import show

PLAYERS = 5
BUDGETS = (20, 30)


def game(model, x):
    return xai.game(model, x, xai.mask.baseline(jnp.zeros(PLAYERS)), target=1)


def permutation(model, x, budget, key, ids):
    return xai.shap.permutation(game(model, x), num_permutations=(budget - 2) // 8, key=key, ids=ids)


def kernel(model, x, budget, key, ids):
    return xai.shap.kernel(game(model, x), num_evaluations=budget, key=key, ids=ids)


def lime(model, x, budget, key, ids):
    return xai.lime.fit(game(model, x), num_samples=budget, key=key, ids=ids)


def exact(model, x):
    return xai.shap.exact(game(model, x))


EXPLAINERS = {"permutation": permutation, "kernel": kernel, "LIME": lime}


@pytest.fixture(scope="module")
def arguments():
    return {
        "models": {"perceptron": models.table_net(PLAYERS)},
        "explainers": EXPLAINERS,
        "x": models.rows(5, PLAYERS),
        "budgets": BUDGETS,
        "keys": 2,
        "truth": exact,
        "batch_size": 3,
        "show_table": False,
    }


@pytest.fixture(scope="module")
def run(arguments, tmp_path_factory):
    out = tmp_path_factory.mktemp("grid") / "cells"
    return xai.metrics.benchmark_explainers(**arguments, out=out), out


def test_a_record_for_each_cell(run):
    found, out = run
    assert len(found.records) == 3 * 2 * 2
    for record in found.records:
        assert record["rows"] == 5
        assert record["rows_per_second"] == pytest.approx(5 / record["seconds"])
    evaluations = {(one["explainer"], one["budget"]): one["evaluations"] for one in found.records}
    assert evaluations["permutation", 20] == 2 * 8 + 2
    assert len((out / "cells.jsonl").read_text().splitlines()) == 12 + 1  # and the truth


def test_errors_are_those_of_the_answers(run, arguments):
    found, _ = run
    x, model = arguments["x"], arguments["models"]["perceptron"]
    truth = np.asarray(exact(model, x).values, np.float64)
    answers = [
        np.asarray(kernel(model, x, 20, jax.random.key(number), jnp.arange(5)).values, np.float64)
        for number in range(2)
    ]
    mine = [one for one in found.records if one["explainer"] == "kernel" and one["budget"] == 20]
    for answer, record in zip(answers, mine, strict=True):
        assert record["error"] == pytest.approx(np.sqrt(((answer - truth) ** 2).mean()), rel=1e-3)
        assert record["relative_error"] == pytest.approx(record["error"] / np.sqrt((truth**2).mean()), rel=1e-3)
        each = [stats.spearmanr(*pair).statistic for pair in zip(answer, truth, strict=True)]
        assert record["rank_correlation"] == pytest.approx(np.mean(each))
    (row,) = [one for one in found.summaries if one["explainer"] == "kernel" and one["budget"] == 20]
    assert row["spread"] == pytest.approx(np.sqrt(((answers[0] - answers[1]) ** 2 / 2).mean()), rel=1e-3)
    each = [stats.spearmanr(*pair).statistic for pair in zip(*answers, strict=True)]
    assert row["rank_stability"] == pytest.approx(np.mean(each))


def test_shapley_estimators_agree_with_the_truth_more_than_lime_does(run):
    found, _ = run
    rows = {row["explainers"]: row["rank_correlation"] for row in found.agreements if row["budget"] == 30}
    assert len(rows) == 6
    assert rows["kernel", "truth"] > 0.9
    assert rows["permutation", "truth"] > 0.9
    assert rows["permutation", "kernel"] > rows["kernel", "LIME"]


def test_tables_say_what_was_found(run):
    found, _ = run
    text = io.StringIO()
    show(found.summaries, found.agreements, Console(file=text, width=140))
    (row,) = [row for row in found.summaries if row["explainer"] == "LIME" and row["budget"] == 30]
    line = next(line for line in text.getvalue().splitlines() if "LIME " in line and " 30 " in line)
    assert f"{100 * row['relative_error']:.3g} %" in line
    assert f"{row['rank_stability']:.3f}" in line
    assert "permutation - truth" in text.getvalue()


def test_a_finished_grid_is_read_and_not_measured_again(run, arguments, monkeypatch):
    found, out = run

    def never(*arguments):
        raise AssertionError("measured again")

    monkeypatch.setattr("xaijax.metrics.benchmark._grid.Plan._explain", never)
    again = xai.metrics.benchmark_explainers(**arguments, out=out)
    assert again == found


def scaled(model, x, budget, key, ids):
    """Cheap, and different for every example, budget and key."""
    noise = jax.vmap(lambda one: jax.random.normal(jax.random.fold_in(key, one), x.shape[1:]))(ids)
    return xai.Attribution(values=x + noise / budget, output=model(x)[:, 0])


@pytest.fixture
def cheap(arguments):
    return arguments | {"explainers": {"scaled": scaled}, "truth": None, "budgets": (1, 2), "keys": 3}


@pytest.fixture
def measured(monkeypatch):
    """The cells that are measured from now on."""
    cells = []
    measure = _grid.Plan.measure

    def counted(plan, *cell):
        cells.append(cell)
        return measure(plan, *cell)

    monkeypatch.setattr(_grid.Plan, "measure", counted)
    return cells


def without_times(found):
    return [{name: value for name, value in row.items() if "second" not in name} for row in found.records]


def test_a_killed_run_goes_on_where_it_stopped(cheap, measured, tmp_path, monkeypatch):
    whole = xai.metrics.benchmark_explainers(**cheap, out=tmp_path / "whole")
    assert len(measured) == 6
    measured.clear()

    with monkeypatch.context() as patch:

        def killed(path, text):
            if len(measured) == 4:
                raise KeyboardInterrupt  # the values are written, their line is not
            write_file(path, text)

        patch.setattr(_grid, "write_file", killed)
        with pytest.raises(KeyboardInterrupt):
            xai.metrics.benchmark_explainers(**cheap, out=tmp_path / "killed")
    measured.clear()
    found = xai.metrics.benchmark_explainers(**cheap, out=tmp_path / "killed")
    assert measured == [("perceptron", "scaled", 2, number) for number in range(3)]
    assert without_times(found) == without_times(whole)
    assert [row["spread"] for row in found.summaries] == [row["spread"] for row in whole.summaries]


def test_damaged_cells_are_measured_again(cheap, measured, tmp_path):
    whole = xai.metrics.benchmark_explainers(**cheap, out=tmp_path)
    measured.clear()
    values = next((tmp_path / "values").iterdir())
    values.write_bytes(values.read_bytes()[:-1])
    lines = (tmp_path / "cells.jsonl").read_text()
    (tmp_path / "cells.jsonl").write_text(lines[:-20])
    found = xai.metrics.benchmark_explainers(**cheap, out=tmp_path)
    assert 1 <= len(measured) <= 2
    assert without_times(found) == without_times(whole)


def test_a_damaged_grid_is_named_in_a_sentence(cheap, tmp_path):
    xai.metrics.benchmark_explainers(**cheap, out=tmp_path)
    grid = tmp_path / "grid.json"
    whole = grid.read_bytes()
    for damaged in (b"", b"{", b"[]", whole[:-9], whole.replace(b"scaled", b"scalee")):
        grid.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"grid.json is damaged \(.*\): write it again"):
            xai.metrics.benchmark_explainers(**cheap, out=tmp_path)


class Weighed(nnx.Module):
    """A module whose code the test edits."""

    power = 1.0

    def __call__(self, x):
        return x**self.power


@pytest.mark.parametrize(
    ("name", "value"), [("power", 2.0), ("__call__", lambda self, x: 3 * x)], ids=["attribute", "__call__"]
)
def test_edited_classes_of_models_are_another_grid(cheap, tmp_path, monkeypatch, name, value):
    cheap["models"] = {"weighed": Weighed()}
    xai.metrics.benchmark_explainers(**cheap, out=tmp_path)
    monkeypatch.setattr(Weighed, name, value)
    with pytest.raises(ValueError, match="the model 'weighed' changed"):
        xai.metrics.benchmark_explainers(**cheap, out=tmp_path)


def another(model, x, budget, key, ids):
    return scaled(model, x, budget, key, ids + 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: {"models": {"perceptron": xai.function(models.mlp, {"w1": 1.0})}}, "the model 'perceptron' changed"),
        (lambda: {"explainers": {"scaled": another}}, "the explainer 'scaled' changed"),
        (lambda: {"explainers": {"other": scaled}}, "the explainer 'scaled' is gone; the explainer 'other' is new"),
        (lambda: {"x": models.rows(6, PLAYERS)}, "the argument 'x' changed"),
        (lambda: {"budgets": (1, 2, 3)}, "the budget '3' is new"),
        (lambda: {"keys": [jax.random.key(7)]}, "the key '1' is gone; the key '2' is gone; the key '0' changed"),
        (lambda: {"truth": exact}, "the argument 'truth' changed"),
    ],
)
def test_another_grid_is_refused(cheap, tmp_path, change, message):
    grid = _grid.read_plan(**{name: cheap[name] for name in ("models", "explainers", "x", "budgets", "keys", "truth", "batch_size")}, repeats=1).grid()  # fmt: skip
    _grid.Cells(tmp_path, grid)
    with pytest.raises(ValueError, match=message):
        xai.metrics.benchmark_explainers(**(cheap | change()), out=tmp_path)


def test_ranks_are_those_of_scipy():
    generator = np.random.default_rng(0)
    one, other = generator.integers(0, 4, (2, 20, 7)).astype(float)
    one[3] = 2  # no ranks
    each = [stats.spearmanr(*pair).statistic for place, pair in enumerate(zip(one, other, strict=True)) if place != 3]
    assert scores.rank_correlation(one, other) == pytest.approx(np.mean(each))
    assert np.isnan(scores.rank_correlation(one[3:4], other[3:4]))
    assert scores.rank_correlation(one, one) == pytest.approx(1)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"models": {}}, TypeError, "`models` must be a dictionary of at least one"),
        ({"explainers": {"name": 3}}, TypeError, "must be callable as explainer.*, got 3 for 'name'"),
        ({"explainers": {"truth": scaled}}, ValueError, "must not contain the name 'truth'"),
        ({"budgets": (2, 2)}, ValueError, "all different"),
        ({"keys": None}, TypeError, "`keys` must be a number of keys, or a list of them"),
        ({"keys": 0}, ValueError, "keys.? must be at least 1"),
        ({"repeats": 0}, ValueError, "repeats.? must be at least 1"),
        ({"explainers": {"name": lambda model, x: x}}, TypeError, "must return Attributions, got"),
        (
            {"truth": lambda model, x: xai.Attribution(x[:, :2], x[:, 0])},
            ValueError,
            r"got \[5, 5\] in the cell .* and \[5, 2\] in others",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(cheap, tmp_path, change, error, message):
    with pytest.raises(error, match=message):
        xai.metrics.benchmark_explainers(**(cheap | change), out=tmp_path)
