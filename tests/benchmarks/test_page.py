"""The pages with figures say what the newest record says."""

import copy

import pytest

from benchmarks import _page
from benchmarks.__main__ import main

ROOT = _page.PAGE.parent.parent


@pytest.mark.parametrize("page", ["docs/benchmarks.md", "README.md"])
def test_the_figures_of_a_page_are_those_of_the_newest_record(page):
    text = (ROOT / page).read_text()
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
    first = {"seconds": 3.21, "ratio": 4.0, "stored_seconds": 0.45}
    others = [
        row | {"name": f"{name}, small ResNet", "ratio": ratio} for name, ratio in (("FEM", 0.9), ("LayerCAM", 1.1))
    ]
    return {
        "overhead": [row, *others],
        "first": [
            first | {"name": "shap.values, 30 players, perceptron"},
            {"name": "first calls, image", "skipped": "no"},
        ],
        "peers": [{"name": "compared with lime", "peer": "lime", "skipped": "not installed"}],
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


def test_goals_name_the_figures_of_their_rows_and_what_a_record_lacks(record):
    goals = _page.filled("<!-- record: goals -->\n<!-- end -->", record)
    assert (
        "30 players | 2 s, or twice the bare model's; stored 0.5 s | 3.2 s (4.0 times the bare model's); stored 0.5 s"
        in goals
    )
    assert "| interactions of all pairs | 1.3 | not in this record |" in goals


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
