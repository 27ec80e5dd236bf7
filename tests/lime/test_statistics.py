"""What is known of the training data: bins, frequencies, readable conditions."""

import jax
import numpy as np
import pytest
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

import xaijax as xai

RNG = np.random.default_rng(0)
ROWS = np.stack([RNG.gamma(2, size=400), RNG.normal(5, 2, 400), RNG.choice([0, 3, 7], 400, p=[0.5, 0.3, 0.2])], axis=1)
NAMES = ["LSTAT", "RM", "RAD"]


def own(statistics, rows):
    """[N, D] the training data's frequency, mean, deviation, low and high in each row's bin, by the statistics."""
    place = np.asarray(statistics.own_bins(rows))
    tables = (statistics.bins.frequency, statistics.bins.mean, statistics.bins.deviation)
    tables += (statistics.bins.low, statistics.bins.high)
    return [np.take_along_axis(np.asarray(table)[None], place[..., None], axis=2)[..., 0] for table in tables]


@pytest.mark.parametrize(
    ("bins", "quantiles"), [("quartile", [25, 50, 75]), ("decile", [10, 20, 30, 40, 50, 60, 70, 80, 90])]
)
def test_bins_are_between_quantiles_and_know_their_rows(bins, quantiles):
    rows = ROWS.astype(np.float32)
    statistics = xai.lime.statistics(rows, bins=bins, categorical=[2])
    found = own(statistics, rows)
    for column in (0, 1):
        place = np.digitize(rows[:, column], np.percentile(rows[:, column], quantiles), right=True)
        for one in range(len(quantiles) + 1):
            inside = rows[place == one, column]
            expected = (len(inside) / 400, inside.mean(), inside.std(), inside.min(), inside.max())
            for part, value in zip(found, expected, strict=True):
                np.testing.assert_allclose(part[place == one, column], value, rtol=1e-5)
    for category in (0, 3, 7):
        same = rows[:, 2] == category
        np.testing.assert_allclose(found[0][same, 2], same.mean(), rtol=1e-6)
        np.testing.assert_allclose(found[1][same, 2], category)


@pytest.mark.parametrize("values", [False, True])
def test_entropy_bins_are_the_thresholds_of_a_tree(values):
    labels = ROWS[:, 0] + 0.1 * ROWS[:, 1] if values else (ROWS[:, 0] > 1.3).astype(int)
    tree = (
        DecisionTreeRegressor(max_depth=3, random_state=0)
        if values
        else DecisionTreeClassifier(criterion="entropy", max_depth=3, random_state=0)
    )
    fitted = tree.fit(np.float32(ROWS[:, :1]), labels).tree_
    thresholds = np.unique(fitted.threshold[fitted.children_left != -1])
    statistics = xai.lime.statistics(ROWS.astype(np.float32), bins="entropy", labels=labels, categorical=[2])
    edges = np.asarray(statistics.bins.edges)[0]
    np.testing.assert_allclose(edges[np.isfinite(edges)], thresholds, rtol=1e-6)


def test_conditions_read_as_a_person_would_write_them():
    statistics = xai.lime.statistics(
        np.float32(ROWS), bins={"LSTAT": [1.0, 2.5]}, categorical=["RAD"], names=NAMES,
        category_names={"RAD": ["none", "some", "many"]},
    )  # fmt: skip
    rows = np.array([[0.5, 4, 0], [1.0, 4, 3], [1.7, 4, 7], [9.0, 4, 0]], np.float32)
    assert statistics.conditions(rows) == [
        ["LSTAT <= 1", "RM", "RAD = none"],
        ["LSTAT <= 1", "RM", "RAD = some"],  # edges belong to the bin below, as in lime
        ["1 < LSTAT <= 2.5", "RM", "RAD = many"],
        ["LSTAT > 2.5", "RM", "RAD = none"],
    ]
    plain = xai.lime.statistics(np.float32(ROWS), categorical=[2])
    assert plain.conditions(rows[1:2]) == [["x0", "x1", "x2 = 3"]]
    assert xai.lime.statistics(np.float32(ROWS)).conditions(rows[:1]) == [["x0", "x1", "x2"]]


def test_a_column_of_one_value_has_one_bin():
    rows = np.float32(ROWS).copy()
    rows[:, 1] = 4
    statistics = xai.lime.statistics(rows, bins="quartile")
    np.testing.assert_allclose(own(statistics, rows)[0][:, 1], 1)
    assert statistics.conditions(rows[:1])[0][1] == "x1 <= 4"


def test_unseen_categories_are_known():
    statistics = xai.lime.statistics(np.float32(ROWS), categorical=[2])
    unseen = jax.jit(statistics.unseen)(np.array([[1, 1, 3], [1, 1, 4]], np.float32))
    np.testing.assert_array_equal(unseen, [[False, False, False], [False, False, True]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bins": "quartiles"}, "quartile"),
        ({"bins": 4}, "bins must be None, a name or"),
        ({"bins": {"AGE": [1.0]}}, "names the column 'AGE'"),
        ({"bins": {0: [2.0, 1.0]}}, "must be ascending edges"),
        ({"bins": {2: [1.0]}, "categorical": [2]}, "not categorical"),
        ({"bins": "entropy"}, r"needs labels of shape \[400\]"),
        ({"categorical": [3]}, "columns between 0 and 2"),
        ({"names": ["a", "b"]}, "names must be 3"),
        (
            {"categorical": [2], "category_names": {2: ["a", "b"]}},
            "2 names, but the column is of kind 'category' with 3",
        ),
    ],
)
def test_options_that_do_not_fit_the_rows_are_said(options, message):
    options = {"names": NAMES, **options}
    with pytest.raises((TypeError, ValueError), match=message):
        xai.lime.statistics(np.float32(ROWS), **options)


def test_training_rows_with_nan_are_said():
    rows = np.float32(ROWS).copy()
    rows[7, 1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        xai.lime.statistics(rows)
