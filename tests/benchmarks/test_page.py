"""The pages with figures say what the newest record says, and goals are met or not by its rows."""

import copy
import json

import pytest

from benchmarks import _goals, _page, _record
from benchmarks.__main__ import main
from benchmarks._network_cases import network_cases
from benchmarks._run import cases

ROOT = _page.PAGE.parent.parent


@pytest.mark.parametrize("page", ["docs/benchmarks.md", "README.md"])
def test_the_figures_of_a_page_are_those_of_the_newest_record(page):
    text = (ROOT / page).read_text()
    assert text.count("<!-- record: ") == text.count("<!-- end -->") >= 2
    assert _page.filled(text, _page.newest_record()) == text, f"fill it by `python -m benchmarks page {page}`"


@pytest.fixture(scope="module")
def record():
    row = {
        "name": "CAM, small ResNet",
        "rows": 1600,
        "ratio": 1.234,
        "ratio_quartiles": [1.1, 1.3],
        "first_seconds": 0.96,
    }
    first = {"seconds": 3.21, "ratio": 4.0, "stored_seconds": 0.45, "bare_seconds": 0.8, "programs": 12}
    torch = {
        "name": "LIME, small ResNet, 49 regions",
        "peer": "captum Lime",
        "wins": "captum Lime",
        "explanations_per_second": 2.6,
        "peer_explanations_per_second": 2.9,
        "times_faster": 0.9,
        "times_faster_quartiles": [0.8, 0.95],
        "times_faster_at_equal_error": None,
        "evaluations": 200,
        "peer_evaluations": 1000,
        "error": 0.0065,
        "peer_error": 0.0071,
    }
    lime = torch | {"name": "table, numbers", "peer": "lime", "wins": "lime", "times_faster": 9.996}
    others = [
        row | {"name": f"{name}, small ResNet", "ratio": ratio} for name, ratio in (("FEM", 0.9), ("LayerCAM", 1.1))
    ]
    return {
        "overhead": [row, *others],
        "first": [
            first | {"name": "shap.values, 30 players, perceptron"},
            {"name": "first calls, image", "skipped": "no"},
        ],
        "peers": [torch, lime, {"name": "compared with shap", "peer": "shap", "skipped": "not installed"}],
    }


def test_marked_parts_are_filled_and_the_rest_of_the_page_stays(record):
    text = (
        "before\n<!-- record: overhead -->\nold\n<!-- end -->\nbetween\n<!-- record: peers -->\n<!-- end -->\nafter\n"
    )
    filled = _page.filled(text, record)
    assert "| CAM, small ResNet | 1,600 | 1.23 (1.10-1.30) | 1.0 s |\n" in filled
    assert "FEM | 1,600 | 0.90-1.10 | 1.0 s |\n" in filled  # the range of the maps that the record has
    assert "old" not in filled
    assert filled.startswith("before\n<!-- record: overhead -->\n| explanation |")
    assert filled.endswith("<!-- end -->\nafter\n")
    assert _page.filled(filled, record) == filled
    changed = copy.deepcopy(record)
    changed["overhead"][0]["ratio"] = 1.3
    assert _page.filled(filled, changed) != filled


def test_short_tables_hold_a_range_and_comparisons_lost_to_pytorch_have_a_table(record):
    parts = ("overhead_in_short", "peers_in_short", "slower", "errors", "first")
    filled = _page.filled("".join(f"<!-- record: {part} -->\n<!-- end -->\n" for part in parts), record)
    short, peers, slower, errors, first = filled.split("<!-- end -->\n")[:-1]
    assert short.endswith("| CAM, Grad-CAM, LayerCAM, small ResNet | 1.10-1.23 |\n")
    assert "| LIME of images; captum | 0.9 |\n" in peers
    assert slower.splitlines()[3:] == ["| LIME of images; captum | 2.6 | 2.9 | 0.9 (0.8-0.95) |"]  # lime needs no torch
    assert "| LIME of images; captum | 200 | 1,000 | 6.5e-03 | 7.1e-03 |\n" in errors
    assert first.endswith("| shap.values, 30 players, perceptron | 3.2 s | 0.8 s | 0.5 s | 12 |\n")


def test_goals_are_met_at_the_precision_that_is_shown(record):
    goals = _page.filled("<!-- record: goals -->\n<!-- end -->", record)
    words = "2 s, or twice the bare model's; stored 0.5 s | {} s (4.0 times the bare model's); stored 0.5 s | {} |"
    assert f"30 players | {words.format('3.2', 'no')}" in goals
    assert "| interactions of all pairs | 1.3 | not in this record |  |" in goals
    assert "| LIME of images; captum: times faster | at least 1 | 0.9 (0.8-0.95) | no |" in goals
    assert "| LIME of numbers; lime: times faster | at least 10 | 10 (0.8-0.95) | yes |" in goals
    faster = copy.deepcopy(record)
    faster["first"][0]["seconds"] = 2.04
    faster["overhead"].append({"name": "interactions SHAP, perceptron", "ratio": 1.304, "ratio_quartiles": [1.2, 1.4]})
    faster["networks"] = [
        {"name": "Grad-CAM, ResNet-50, 32 images at 224", "ratio": 1.0, "ratio_quartiles": [1, 1], "memory_ratio": 1.25}
    ]
    goals = _page.filled("<!-- record: goals -->\n<!-- end -->", faster)
    assert f"30 players | {words.format('2.0', 'yes')}" in goals
    assert "| interactions of all pairs | 1.3 | 1.30 (1.20-1.40) | yes |" in goals
    assert "| the same: peak memory | 1.2 | 1.25 | no |" in goals


def test_the_command_shows_the_goals_of_a_record(record, tmp_path, capsys):
    path = tmp_path / "record.json"
    path.write_text(json.dumps(record | {"schema": _record.SCHEMA}))
    assert main(["goals", str(path)]) == _goals.lines(record)
    assert f"1 met, 2 not met, {len(_goals.GOALS) - 3} not measured" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["goals", str(tmp_path / "missing.json")])


@pytest.mark.slow
def test_each_goal_is_a_case_of_the_full_form():
    names = {case.name for case in [*cases("full"), *network_cases("full")]}
    assert {goal.fields["name"] for goal in _goals.GOALS if goal.section in ("overhead", "networks")} <= names


def test_a_full_record_is_preferred_to_a_later_quick_one(tmp_path):
    for form, day, platform in (("full", 1, "cpu"), ("full", 2, "cpu"), ("quick", 3, "cpu"), ("full", 4, "gpu")):
        head = {"schema": _record.SCHEMA, "form": form, "date": f"2026-01-0{day}", "device": {"platform": platform}}
        (tmp_path / f"{form}-{day}.json").write_text(json.dumps(head))
    assert _page.newest_record(tmp_path)["date"] == "2026-01-02"


def test_parts_are_shares_and_operations_are_shown_of_slow_explanations_only():
    parts = [
        {"name": "LIME", "whole": 0.05, "parts": {"model": 0.01, "drawing": 0.02, "rest": -0.0025}},
        {"name": "Grad-CAM", "whole": 0.002, "parts": {"model": 0.001, "map": 0.001}},
    ]
    row = {"flops_ratio": 1.5, "peak_fraction": 0.021, "bare_peak_fraction": 0.4}
    overhead = [row | {"name": "LIME", "ratio": 3.0}, row | {"name": "CAM", "ratio": 1.0}]
    overhead.append(row | {"name": "unknown operations", "ratio": 3.0, "flops_ratio": None})
    marks = "<!-- record: parts -->\n<!-- end -->\n<!-- record: roofline -->\n<!-- end -->\n"
    lines = _page.filled(marks, {"parts": parts, "overhead": overhead}).splitlines()
    assert "| LIME | 50 | 20% | 40% | -5% |  |" in lines
    assert "| Grad-CAM | 2 | 50% |  |  | 50% |" in lines
    assert "| LIME | 3.00 | 1.50 | 2.1% | 40.0% |" in lines
    assert not any("CAM | 1.00" in line or "unknown" in line for line in lines)


def test_unknown_parts_and_missing_records_are_named(record, tmp_path):
    with pytest.raises(ValueError, match="must name a part of the page, got 'speed'"):
        _page.filled("<!-- record: speed -->\n<!-- end -->", record)
    with pytest.raises(ValueError, match="must hold a quick or full record of a CPU, got none"):
        _page.newest_record(tmp_path)


def test_the_command_fills_the_pages_that_it_is_given(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("<!-- record: source -->\n<!-- end -->\n")
    main(["page", str(page)])
    assert page.read_text().startswith("<!-- record: source -->\nMeasured on ")
    assert "--out" not in page.read_text()  # the folder of one machine
