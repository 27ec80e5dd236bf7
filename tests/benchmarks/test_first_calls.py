"""First calls in new processes: what is compiled, and what the folder of stored programs saves."""

import pytest

from benchmarks import _first_calls
from benchmarks._compare import figures


@pytest.fixture(scope="module")
def rows():
    return {row["name"]: row for row in _first_calls.measure("tiny")}


def test_first_calls_are_timed_with_nothing_stored_and_with_all_programs_stored(rows):
    imported, first, again, texts = rows.values()
    assert imported["name"] == "import xaijax"
    assert imported["seconds"] > imported["bare_seconds"] > 0  # the import of JAX is part of it
    assert imported["programs"] == 0
    assert first["programs"] > again["programs"]  # the function of the same code uses the first one's programs
    assert first["seconds"] > first["stored_seconds"] > 0
    assert first["ratio"] == first["seconds"] / first["bare_seconds"]
    assert first["cpu_seconds"] > 0.1
    assert texts["texts"] == 4  # of 1, 2, 3 and 4 words
    assert 1 <= texts["texts_compiled"] <= 4


def test_first_calls_are_compared_by_cpu_time_and_programs(rows):
    seen = {(figure.name, figure.measure, figure.noise) for figure in figures({"first": list(rows.values())})}
    name = "shap.values, 5 players, perceptron"
    assert {(name, "CPU time", "device"), (name, "CPU time, stored", "device"), (name, "programs", "none")} <= seen
    assert ("lime.strings, texts of 1 to 4 words", "programs", "none") in seen
    assert len(seen) == 3 * 3 + 1


def test_a_process_that_fails_is_named_in_a_sentence(monkeypatch):
    monkeypatch.setattr(_first_calls, "_CHILD", "raise SystemExit('no device')")
    rows = _first_calls.measure("tiny")
    assert [row["skipped"] for row in rows] == ["its process failed: no device"] * 2
    assert _first_calls.table(rows).caption.count("no device") == 2
    assert not list(figures({"first": rows}))
