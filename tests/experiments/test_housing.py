"""Force, dependence and summary plots of a regressor, and files of the Boston data."""

import json
from types import SimpleNamespace
from urllib.error import URLError

import numpy as np
import pytest

import xaijax as xai
from experiments import housing
from experiments._tables import BOSTON, PRICE, boston_from, boston_from_openml

FIGURES = ["housing_dependence.png", "housing_force.png", "housing_summary.png"]
FEW = ["--splits", "2", "--background", "10"]


def districts(count=80):
    """Generates rows whose price falls with lstat and rises with rm; the first lstat is 4.98."""
    rng = np.random.default_rng(0)
    table = rng.normal(size=(count, len(BOSTON))).round(4)
    table[:, 12] = rng.uniform(1.6, 22, count).round(2)
    table[0, 12] = 4.98
    table[:, 3] = rng.integers(0, 2, count)
    table[:, 8] = rng.choice([1, 2, 24], count)
    return table, 40 - table[:, 12] + 3 * table[:, 5]


def write(path, names, rows, quote=""):
    lines = [",".join(quote + name + quote for name in names), *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def file(tmp_path):
    table, prices = districts()
    return write(tmp_path / "districts.csv", BOSTON + [PRICE], np.column_stack([table, prices]))


@pytest.mark.slow
def test_a_high_body_mass_index_pushes_the_forecast_up_and_a_low_one_down(tmp_path, capsys):
    housing.main(["--out", str(tmp_path), "--rows", "60", *FEW])
    numbers, printed = json.loads((tmp_path / "numbers.json").read_text()), capsys.readouterr().out
    assert numbers["test R²"] == numbers["test R², all splits"][0] > 0.25
    assert len(numbers["test R², all splits"]) == 2
    added = list(numbers["value of bmi at"].values())
    assert added[0] < 0 < added[-1]
    assert numbers["rank correlation of bmi and its value"] > 0.9
    assert f"over all rows: {numbers['rank correlation of bmi and its value']:+.3f}" in printed
    assert numbers["largest gap to efficiency"] < 1e-2  # of forecasts around 150
    assert numbers["estimator"] == "exact"
    assert sorted(path.name for path in tmp_path.glob("*.png")) == FIGURES
    assert "racial" not in printed
    kept = xai.load(tmp_path / "housing_shap.npz")
    assert kept.values.shape == (60, 10)
    sizes = np.abs(np.asarray(kept.values)).mean(axis=0)
    np.testing.assert_allclose(list(numbers["mean |value|"].values()), np.sort(sizes)[::-1], rtol=1e-4)


@pytest.mark.slow
def test_a_file_of_districts_is_explained_with_the_note(file, tmp_path, capsys):
    few = ["--rows", "40", "--evaluations", "130", "--epochs", "40", *FEW]
    housing.main(["--boston", str(file), "--out", str(tmp_path / "out"), *few])
    numbers, printed = json.loads((tmp_path / "out" / "numbers.json").read_text()), capsys.readouterr().out
    assert "racial self-segregation" in printed
    assert "racial self-segregation" in numbers["note"]
    assert "Gaussian process" in numbers["estimator"]
    lstats, added = zip(*numbers["value of lstat at"].items(), strict=True)
    assert list(lstats) == sorted(lstats, key=float)
    assert added[0] > 0 > added[-1]
    assert numbers["rank correlation of lstat and its value"] < -0.9
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == FIGURES


def test_the_rows_shown_are_the_nearest_from_the_smallest_up():
    column = np.array([4.98, 9.0, 20.0, 1.7, 7.8, 5.0])
    assert housing.nearest(column, (4.98, 1.6, 7.9, 20.8)) == [3, 0, 4, 2]
    assert housing.nearest(np.arange(101.0)[::-1], None) == [95, 65, 35, 5]


def test_columns_are_read_by_name_in_any_order_and_case(file, tmp_path):
    table, prices = districts()
    names = [PRICE.upper(), "town", *(name.upper() for name in BOSTON[::-1])]
    rows = [[price, "Nahant", *row[::-1]] for row, price in zip(table, prices, strict=True)]
    shuffled = write(tmp_path / "shuffled.csv", names, rows, quote='"')
    expected, read = boston_from(file, 0), boston_from(shuffled, 0)
    np.testing.assert_array_equal(read.train_x, expected.train_x)
    np.testing.assert_array_equal(read.test_y, expected.test_y)
    in_units = np.concatenate([read.in_units(read.train_x), read.in_units(read.test_x)])
    np.testing.assert_allclose(np.sort(in_units, axis=0), np.sort(table, axis=0), atol=1e-4)
    assert read.names == BOSTON


@pytest.mark.parametrize(
    ("names", "rows", "sentence"),
    [
        (BOSTON, [[1.0] * 13] * 9, r"add the columns \['medv'\]"),
        (BOSTON[1:] + [PRICE], [[1.0] * 13] * 9, r"add the columns \['crim'\]"),
        (BOSTON + [PRICE], [[1.0] * 14, [1.0] * 13 + ["dear"]], "got row 3: .*dear"),
        (BOSTON + [PRICE], [[1.0] * 14, [1.0] * 13], "must hold numbers in the columns .* got row 3"),
        (BOSTON + [PRICE], [[1.0] * 14], "rows to train on, got 1"),
        ([], [], "must begin with a row of names"),
    ],
)
def test_a_file_of_something_else_is_refused(names, rows, sentence, tmp_path):
    with pytest.raises(ValueError, match=sentence):
        boston_from(write(tmp_path / "wrong.csv", names, rows), 0)


def test_a_missing_file_is_refused_in_a_sentence(tmp_path, capsys):
    with pytest.raises(SystemExit):
        housing.main(["--boston", str(tmp_path / "none.csv"), "--out", str(tmp_path / "out")])
    assert "there is no such file" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_table_can_be_downloaded_through_scikit_learn(file, monkeypatch):
    """Categories arrive as codes, in an order of their own: river 0 and 1, roads 1, 24 and 2."""
    table, prices = districts()
    coded, categories = table.copy(), {"CHAS": ["0", "1"], "RAD": ["1", "24", "2"]}
    coded[:, 8] = [categories["RAD"].index(str(int(value))) for value in table[:, 8]]

    def fetch(**options):
        assert (options["name"], options["version"]) == ("boston", 1)
        names = [name.upper() for name in BOSTON]
        return SimpleNamespace(data=coded, target=prices, feature_names=names, categories=categories)

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch)
    downloaded, expected = boston_from_openml(0), boston_from(file, 0)
    np.testing.assert_array_equal(downloaded.train_x, expected.train_x)
    np.testing.assert_array_equal(downloaded.test_y, expected.test_y)


def test_without_a_network_the_error_names_the_option_for_a_file(tmp_path, monkeypatch, capsys):
    def fetch(**_):
        raise URLError("no network")

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch)
    with pytest.raises(SystemExit):
        housing.main(["--openml", "--out", str(tmp_path / "out")])
    assert "cannot be downloaded from openml.org" in capsys.readouterr().err
