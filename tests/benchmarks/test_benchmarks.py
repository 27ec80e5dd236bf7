"""The benchmark runs, and its file says what was measured."""

import json
import math

import jax
import jax.numpy as jnp
import pytest

from benchmarks import _memory, _shap_cases, _timing
from benchmarks.__main__ import main
from benchmarks._cases import cases
from benchmarks._timing import Case, measure


def test_a_small_run_writes_what_it_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(_memory, "measure", lambda: [])
    main(["--small", "--repeats", "1", "--only", "permutation SHAP", "--out", str(tmp_path / "results.json")])
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["command"].startswith("python -m benchmarks --small --repeats 1 --only 'permutation SHAP'")
    assert {"xaijax", "jax", "jaxlib", "flax", "numpy", "python"} == set(results["versions"])
    assert [row["name"] for row in results["overhead"]] == ["permutation SHAP, perceptron"]
    for row in results["overhead"]:
        assert math.isfinite(row["ratio"])
        assert row["ratio"] > 0
        assert row["ratio_quartiles"][0] <= row["ratio"] <= row["ratio_quartiles"][1]
        assert row["first_seconds"] > row["second_seconds"] > 0
        assert row["rows_per_second"] == pytest.approx(row["rows"] / row["seconds"])


def test_the_cases_run():
    chosen = {case.name: case for case in cases(small=True)}
    assert len(chosen) == len(cases(small=True))
    for kind in (
        "all eleven together",
        "Group-CAM",
        "Ablation-CAM",
        "LIME of quartiles",
        "LIME of words",
        "interactions",
    ):
        (case,) = (case for name, case in chosen.items() if name.startswith(kind))
        assert jax.tree.all(jax.tree.map(lambda leaf: bool(jnp.isfinite(leaf).all()), case.explain())), case.name


def test_the_ratio_is_taken_against_the_faster_bare_model(monkeypatch):
    now = 0.0

    def work(*seconds):
        """Takes these times, one after another."""
        times = iter(seconds)

        def run():
            nonlocal now
            now += next(times)

        return run

    monkeypatch.setattr(_timing.time, "perf_counter", lambda: now)
    explain = work(9, 3, 4, 2, 6)  # the first call, the second, and three repeats
    measured = measure(Case("sums", 8, explain, {"slow": work(7, 4, 1, 4), "fast": work(7, 2, 2, 2)}, {}), repeats=3)
    assert measured["bare_best"] == "fast"
    assert measured["bare_seconds"] == {"slow": 4, "fast": 2}
    assert measured["ratio"] == 2
    assert measured["ratio_quartiles"] == [1.5, 2.5]
    assert (measured["first_seconds"], measured["second_seconds"], measured["seconds"]) == (9, 3, 4)
    assert measured["rows_per_second"] == 2


def test_solvers_are_timed_apart():
    for row in _shap_cases.solvers(2, small=True):
        assert (row["players"], row["evaluations"]) == (5, 30)
        assert row["milliseconds"] > 0
