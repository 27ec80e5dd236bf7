"""Exponents are fitted correctly, and memory is constant in sizes that are evaluated in blocks."""

import io

import pytest
from rich.console import Console

from benchmarks import _growth


@pytest.fixture(scope="module")
def rows():
    return {(row["explainer"], row["axis"]): row for row in _growth.measure(quick=False, small=True)}


def test_an_exponent_is_the_slope_of_the_logarithms():
    assert _growth.exponent([1, 2, 4], [3, 12, 48]) == pytest.approx(2)
    assert _growth.exponent([10, 100, 1000], [7, 7, 7]) == pytest.approx(0)
    # Logarithms 0, 1, 1 to the base of the sizes: the least-squares slope is 1/2.
    assert _growth.exponent([1, 10, 100], [1, 10, 10]) == pytest.approx(0.5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("explainer", "axis", "most"),
    [
        ("permutation SHAP", "batch", 1.02),
        ("permutation SHAP", "samples", 1.02),
        # A block holds fewer coalitions, each with more rows, so that the number of rows varies.
        ("permutation SHAP", "background", 1.4),
        ("kernel SHAP", "batch", 1.02),
        ("LIME of tables", "batch", 1.02),
        ("LIME of images", "samples", 1.1),
    ],
)
def test_memory_does_not_grow_with_sizes_that_are_evaluated_in_blocks(rows, explainer, axis, most):
    row = rows[explainer, axis]
    assert row["expected_memory_exponent"] == [0, 0]
    assert row["sizes"][1] == 4 * row["sizes"][0]
    assert 0 < row["bytes"][1] < most * row["bytes"][0]


@pytest.mark.slow
def test_memory_grows_where_all_inputs_are_evaluated_at_once(rows):
    row = rows["Grad-CAM", "batch"]
    assert row["memory_exponent"] == pytest.approx(1, abs=0.05)
    assert row["expected_memory_exponent"] == [1, 1]


@pytest.mark.slow
def test_repeats_are_kept(rows):
    for row in rows.values():
        assert [len(each) for each in row["seconds_each"]] == [1, 1]
        assert [each[0] for each in row["seconds_each"]] == row["seconds"]
        assert min(row["seconds"]) > 0
        assert row["time_exponent"] == _growth.exponent(row["sizes"], row["seconds"])


@pytest.mark.slow
def test_the_table_has_both_exponents(rows):
    printed = io.StringIO()
    Console(file=printed, width=200).print(_growth.table(list(rows.values())))
    lines = [line for line in printed.getvalue().splitlines() if "ms" in line]
    assert len(lines) == len(rows)
    for line, row in zip(lines, rows.values(), strict=True):
        cells = [cell.strip() for cell in line.strip("│").split("│")]
        assert cells[:3] == [row["explainer"], row["axis"], "{:,}-{:,}".format(*row["sizes"])]
        assert cells[4:6] == [f"{row['time_exponent']:.2f}", f"{row['expected_time_exponent'][0]:g}"]
        assert cells[7] == f"{row['memory_exponent']:.2f}"


def test_the_full_form_reaches_large_sizes():
    full = {(case.explainer, case.axis): case.full for case in _growth.growths()}
    assert len(full) == len(_growth.growths())
    for (_, axis), sizes in full.items():
        assert list(sizes) == sorted(sizes)
        assert len(sizes) >= 3
        if axis == "batch":
            assert (sizes[0], sizes[-1]) == (1, 4096)
        if axis == "features":
            assert sizes[0] == 10
            assert sizes[-1] >= 1000


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in _growth.growths() if case.explainer.startswith("Gaussian")][:1])
def test_cases_without_a_small_form_can_be_lowered(case):
    program = case.build(2)
    assert "while" in program.lowered.as_text()
    assert len(program.arguments[2]) == 1
