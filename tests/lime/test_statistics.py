"""Statistics of training rows: moments, bins, frequencies, readable conditions, data frames."""

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
    own = np.asarray(statistics.own_bins(rows))
    tables = (statistics.bins.frequency, statistics.bins.mean, statistics.bins.deviation)
    tables += (statistics.bins.low, statistics.bins.high)
    return [np.take_along_axis(np.asarray(table)[None], own[..., None], axis=2)[..., 0] for table in tables]


@pytest.mark.parametrize(
    ("bins", "quantiles"), [("quartile", [25, 50, 75]), ("decile", [10, 20, 30, 40, 50, 60, 70, 80, 90])]
)
def test_bins_are_between_quantiles_and_describe_their_rows(bins, quantiles):
    rows = ROWS.astype(np.float32)
    statistics = xai.lime.statistics(rows, bins=bins, categorical=[2])
    found = own(statistics, rows)
    for column in (0, 1):
        number = np.digitize(rows[:, column], np.percentile(rows[:, column], quantiles), right=True)
        for each in range(len(quantiles) + 1):
            inside = rows[number == each, column]
            expected = (len(inside) / 400, inside.mean(), inside.std(), inside.min(), inside.max())
            for part, value in zip(found, expected, strict=True):
                np.testing.assert_allclose(part[number == each, column], value, rtol=1e-5)
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


def test_conditions_are_inequalities_and_equations():
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


def test_categories_without_training_rows_are_unseen():
    statistics = xai.lime.statistics(np.float32(ROWS), categorical=[2])
    unseen = jax.jit(statistics.unseen)(np.array([[1, 1, 3], [1, 1, 4]], np.float32))
    np.testing.assert_array_equal(unseen, [[False, False, False], [False, False, True]])


MASK = [False, True, True]


@pytest.mark.parametrize("columns", [[1, 2], ["RM", 2], MASK, np.array(MASK), np.array([1, 2]), {1, 2}])
def test_categorical_columns_are_numbers_names_or_a_mask(columns):
    statistics = xai.lime.statistics(np.float32(np.round(ROWS)), categorical=columns, names=NAMES)
    assert statistics.types == ("number", "category", "category")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bins": "quartiles"}, "quartile"),
        ({"bins": 4}, "`bins` must be None, a name or"),
        ({"bins": {"AGE": [1.0]}}, "`bins` must name a column of .*, got 'AGE'"),
        ({"bins": {True: [1.0]}}, "`bins` must be columns between 0 and 2, got True"),
        ({"bins": {0: [2.0, 1.0]}}, r"ascending finite edges .*got \[2.0, 1.0\] for 0"),
        ({"bins": {0: [1.0, np.inf]}}, "ascending finite edges"),
        ({"bins": {0: ["low"]}}, r"`bins\[0\]` must be an array of numbers"),
        ({"bins": {2: [1.0]}, "categorical": [2]}, "not categorical"),
        ({"bins": "entropy"}, r"`labels` must have shape \[400\] with bins='entropy', got None"),
        ({"categorical": [3]}, "columns between 0 and 2, got 3"),
        ({"categorical": "RAD"}, r"sequence of columns, got 'RAD': pass \[column\]"),
        ({"categorical": [False, True]}, r"or 3 booleans, one for each feature, got \[False, True\]"),
        ({"categorical": [True, 2, 0]}, "or 3 booleans"),
        ({"categorical": [1.0]}, "columns between 0 and 2, got 1.0"),
        ({"names": ["a", "b"]}, "`names` must hold 3 names, one for each feature, got 2"),
        ({"names": "abc"}, "`names` must be a sequence of 3 names, got 'abc'"),
        ({"categorical": [2], "category_names": {2: ["a", "b"]}}, "must hold 3 names, one for each value"),
        ({"category_names": {2: ["a", "b"]}}, "must be of categorical columns, got 2, which is 'number'"),
        ({"category_names": ["a"]}, "must be {column: names}"),
    ],
)
def test_options_that_do_not_fit_the_rows_are_refused(options, message):
    options = {"names": NAMES, **options}
    with pytest.raises((TypeError, ValueError), match=message):
        xai.lime.statistics(np.float32(ROWS), **options)


@pytest.mark.parametrize(
    ("value", "message"),
    [(np.nan, "`rows` must hold no NaN, got NaN in rows"), (np.inf, "`rows` must be finite, got .* in RM of row 7")],
)
def test_training_rows_that_are_not_finite_are_refused(value, message):
    rows = np.float32(ROWS).copy()
    rows[7, 1] = value
    with pytest.raises(ValueError, match=message):
        xai.lime.statistics(rows, names=NAMES)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.ma.masked_less(ROWS, 1), "masked array"),
        (ROWS * 1j, "real numbers"),
        ([["a", "b"], ["c", "d"]], "array of numbers"),
        (np.zeros((5, 0)), r"shape \[B, D\]"),
    ],
)
def test_rows_of_other_types_are_refused(rows, message):
    with pytest.raises((TypeError, ValueError), match=message):
        xai.lime.statistics(rows)


CONSTANTS = [0.1, 123456.7, 1600001.0, -3e-20, 1e25, 0.0, 2.0**24 + 1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("constant", CONSTANTS)
@pytest.mark.parametrize("bins", [None, "quartile"])
def test_constant_columns_have_deviation_0_and_their_value_as_mean(constant, dtype, bins):
    """A rounded mean leaves a deviation of 3e-8, 0.05 and 0.75 in the first three."""
    with jax.enable_x64(dtype == np.float64):
        rows = np.stack([np.full(1000, constant), np.arange(1000) * 1e-3], axis=1).astype(dtype)
        statistics = xai.lime.statistics(rows, bins=bins)
        assert statistics.deviation.dtype == dtype
        assert statistics.deviation[0] == 0
        assert statistics.mean[0] == rows[0, 0]
        np.testing.assert_allclose(statistics.deviation[1], rows[:, 1].std(dtype=np.float64), rtol=1e-6)
        if bins:
            assert statistics.bins.deviation[0].max() == 0
            assert sorted(np.asarray(statistics.bins.frequency)[0])[-1] == 1
        traced = jax.jit(xai.lime.statistics)(rows)
        assert (traced.deviation[0], traced.mean[0]) == (0, rows[0, 0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bins", [None, "quartile", "entropy"])
def test_columns_that_are_constant_up_to_rounding_have_deviation_0(dtype, bins):
    with jax.enable_x64(dtype == np.float64):
        noise = RNG.integers(-1, 2, 1000) * np.finfo(dtype).eps
        rows = np.stack([0.3 * (1 + noise), 1 + 1e3 * noise], axis=1).astype(dtype)
        statistics = xai.lime.statistics(rows, bins=bins, labels=rows[:, 1] if bins == "entropy" else None)
        assert statistics.deviation[0] == 0
        assert statistics.deviation[1] > 0
        if bins:
            assert (statistics.own_frequency(rows)[:, 0] == 1).all()


def test_statistics_of_huge_and_tiny_columns_are_those_of_scaled_ones():
    rows = np.float32(ROWS)
    exponents = np.array([80, -100, 118])  # squares of the first and the last overflow, of the second underflow
    plain, scaled = (xai.lime.statistics(part, bins="decile") for part in (rows, np.ldexp(rows, exponents)))
    for name in ("mean", "deviation"):
        np.testing.assert_allclose(np.ldexp(getattr(scaled, name), -exponents), getattr(plain, name), rtol=1e-6)
        found = np.ldexp(getattr(scaled.bins, name), -exponents[:, None])
        np.testing.assert_allclose(found, getattr(plain.bins, name), rtol=1e-5)


@pytest.mark.parametrize(
    ("edges", "x", "expected"),
    [
        ([20230101.0, 20230601.0, 20231201.0], 20230301.0, "20230101 < date <= 20230601"),
        ([1234.5671, 1234.5672], 1234.56715, "1234.5671 < date <= 1234.5672"),
        ([0.25, 0.5], 0.75, "date > 0.5"),
        ([1e20, 1.0001e20], 0.0, "date <= 1e+20"),
        ([4.9, 7], 5.0, "4.9 < date <= 7"),
    ],
)
def test_conditions_have_as_many_digits_as_tell_edges_apart(edges, x, expected, float64):
    rows = np.stack([np.linspace(-1e8, 1e8, 50), np.zeros(50)], axis=1)
    statistics = xai.lime.statistics(rows, bins={0: edges}, names=["date", "other"])
    assert statistics.conditions([[x, 0.0]])[0][0] == expected


def test_categories_that_agree_in_four_digits_are_told_apart():
    products = np.array([[1234567], [1234568], [1234569], [1234567]])
    statistics = xai.lime.statistics(products, categorical=[0], names=["product"])
    assert statistics.conditions(products[:3]) == [["product = 1234567"], ["product = 1234568"], ["product = 1234569"]]
    floats = np.array([[0.123456], [0.1234561], [0.1234562]])
    statistics = xai.lime.statistics(floats, categorical=[0])
    assert len({text for (text,) in statistics.conditions(floats)}) == 3


def test_integers_stay_exact_beyond_what_float32_holds():
    rows = np.array([[16777216], [16777217], [16777218], [16777217]])
    statistics = xai.lime.statistics(rows, categorical=[0])
    assert statistics.low.dtype == np.int32
    np.testing.assert_array_equal(statistics.own_bins(rows)[:, 0], [0, 1, 2, 1])
    np.testing.assert_array_equal(np.asarray(statistics.bins.frequency)[0], [0.25, 0.5, 0.25])
    edges = xai.lime.statistics(rows, bins={0: [16777216.0]})
    np.testing.assert_array_equal(edges.own_bins(rows)[:, 0], [0, 1, 1, 1])
    np.testing.assert_allclose(xai.lime.statistics(rows).deviation[0], rows.std(), rtol=1e-6)


COLUMNS = {"age": [31, 42, 53, 42], "income": [1.5, 2.5, 0.5, 1.0], "city": ["Rome", "Bonn", "Rome", "Oslo"]}


def frame_of(library):
    return pytest.importorskip(library).DataFrame


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_data_frames_give_names_categories_and_integers(library):
    frame = frame_of(library)
    statistics = xai.lime.statistics(frame(COLUMNS))
    assert statistics.names == ("age", "income", "city")
    assert statistics.types == ("number", "number", "category")
    assert statistics.integers == (True, False, True)
    turned = frame({name: COLUMNS[name][:2] for name in ("city", "income", "age")})
    assert statistics.conditions(turned) == [["age", "income", "city = Rome"], ["age", "income", "city = Bonn"]]
    np.testing.assert_array_equal(statistics.read(turned), [[31, 1.5, 2], [42, 2.5, 0]])
    binned = xai.lime.statistics(frame(COLUMNS), bins={"age": [40.0]})
    assert binned.conditions(frame(COLUMNS))[0] == ["age <= 40", "income", "city = Rome"]
    with pytest.raises(ValueError, match="no missing values, got 1 in 'income'"):
        xai.lime.statistics(frame(COLUMNS | {"income": [1.5, None, 0.5, 1.0]}))
    with pytest.raises(TypeError, match="got strings or categories in 'city'"):
        xai.lime.statistics(np.ones((3, 3))).read(frame(COLUMNS))


def test_declared_categories_that_no_row_has_keep_their_names():
    pd = pytest.importorskip("pandas")
    city = lambda values: pd.DataFrame({"city": pd.Categorical(values, ["Bonn", "Oslo", "Rome"])})  # noqa: E731
    statistics = xai.lime.statistics(city(["Rome", "Bonn"]))
    assert statistics.conditions(city(["Oslo"])) == [["city = Oslo"]]
    assert statistics.unseen(statistics.read(city(["Oslo", "Rome"]))).tolist() == [[True], [False]]
