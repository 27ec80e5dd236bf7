"""Data frames as arrays: the same numbers, names and codes as by hand, from pandas and from polars."""

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import xaijax as xai
from xaijax._core import frames

COLUMNS = {
    "age": [31, 42, 53],
    "income": [1.5, 2.5, 0.5],
    "member": [True, False, True],
    "city": ["Rome", "Bonn", "Rome"],
}


def pandas_frame(columns=COLUMNS):
    return pd.DataFrame(columns)


def polars_frame(columns=COLUMNS):
    return pytest.importorskip("polars").DataFrame(columns)


MAKERS = pytest.mark.parametrize("make", [pandas_frame, polars_frame])


@MAKERS
def test_columns_become_numbers_names_and_codes_of_sorted_levels(make):
    values, columns = frames.read_frame("x", make())
    np.testing.assert_array_equal(values, [[31, 1.5, 1, 1], [42, 2.5, 0, 0], [53, 0.5, 1, 1]])
    assert columns.names == ("age", "income", "member", "city")
    assert columns.levels == (None, None, None, ("Bonn", "Rome"))
    assert columns.categorical == (False, False, False, True)


@MAKERS
def test_missing_values_become_nan_where_the_caller_allows_them(make):
    table = {
        "n": [1, None, 3],
        "x": [None, 2.5, None],
        "c": ["b", None, "a"],
        "none": [None, None, None],
        "i": [1, 2, 3],
    }
    values, columns = frames.read_frame("x", make(table), missing=True)
    nan = np.nan
    np.testing.assert_array_equal(values, [[1, nan, 1, nan, 1], [nan, 2.5, nan, nan, 2], [3, nan, 0, nan, 3]])
    assert columns.levels == (None, None, ("a", "b"), None, None)
    again, _ = frames.read_frame("x", make(table)[["i", "none", "c", "x", "n"]], columns, missing=True)
    np.testing.assert_array_equal(again, values)
    with pytest.raises(
        ValueError, match="`x` must have no missing values, got 1 in 'n', 2 in 'x', 1 in 'c', 3 in 'none'"
    ):
        frames.read_frame("x", make(table))


@MAKERS
def test_integer_columns_alone_stay_integers(make):
    values, _ = frames.read_frame("x", make({"a": [1, 2], "b": ["x", "y"]}))
    assert values.dtype.kind == "i"


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pd.array([1, 2, 3], dtype="Int64"), [1, 2, 3]),
        (pd.array([True, False, True], dtype="boolean"), [1, 0, 1]),
        (pd.array([0.5, 1.5, 2.5], dtype="Float32"), [0.5, 1.5, 2.5]),
        (np.array([1, 2.5, True], object), [1, 2.5, 1]),
        (pd.array(["b", "a", "b"], dtype="string"), [1, 0, 1]),
        (np.array(["b", "a", "b"], object), [1, 0, 1]),
        (pd.Categorical(["low", "high", "low"], categories=["low", "high"], ordered=True), [0, 1, 0]),
        (pd.Categorical([30, 10, 30]), [1, 0, 1]),
    ],
)
def test_pandas_columns_of_every_type_are_read(column, expected):
    values, _ = frames.read_frame("x", pd.DataFrame({"a": column}))
    np.testing.assert_array_equal(values[:, 0], expected)


def test_categories_of_pandas_get_their_own_codes():
    column = pd.Categorical(["b", "c", "b"], categories=["c", "a", "b"])
    values, columns = frames.read_frame("x", pd.DataFrame({"a": column}))
    np.testing.assert_array_equal(values[:, 0], column.codes)
    assert columns.levels == (("c", "a", "b"),)


def test_categories_of_polars_are_sorted_and_enums_keep_their_order():
    pl = pytest.importorskip("polars")
    values, columns = frames.read_frame(
        "x",
        pl.DataFrame(
            {
                "a": pl.Series(["b", "a", "b"], dtype=pl.Categorical),
                "b": pl.Series(["low", "high", "low"], dtype=pl.Enum(["low", "mid", "high"])),
            }
        ),
    )
    np.testing.assert_array_equal(values, [[1, 0], [0, 2], [1, 0]])
    assert columns.levels == (("a", "b"), ("low", "mid", "high"))


@MAKERS
def test_an_earlier_table_defines_order_and_codes(make):
    _, columns = frames.read_frame("rows", make())
    later = make({"city": ["Rome"], "member": [False], "income": [9.0], "age": [1]})
    values, same = frames.read_frame("x", later, columns)
    np.testing.assert_array_equal(values, [[1, 9.0, 0, 1]])
    assert same == columns


def test_other_values_come_back_unchanged():
    array = np.ones((2, 3))
    assert frames.read_frame("x", array) == (array, None)
    assert not frames.is_frame(array)


def test_a_series_of_pandas_is_one_row_with_names():
    values, columns = frames.read_frame("row", pandas_frame()[["age", "income"]].mean())
    np.testing.assert_allclose(values, [42, 1.5])
    assert columns.names == ("age", "income")
    row, _ = frames.read_frame("row", pd.Series({"income": 1.0, "age": 3}), columns)
    np.testing.assert_array_equal(row, [3, 1])


_, KNOWN = frames.read_frame("rows", pandas_frame())
MISTAKES = {
    "missing numbers": (lambda make: make({"a": [1.0, None, float("nan")], "b": [1, 2, 3]}), "got 2 in 'a'"),
    "missing strings": (lambda make: make({"a": ["x", None]}), "no missing values, got 1 in 'a': fill them"),
    "dates": (lambda make: make({"when": np.array(["2020-01-01"], "datetime64[ms]")}), "got 'when' of .*turn times into"),
    "lists": (lambda make: make({"a": [[1, 2], [3, 4]]}), "numbers, booleans, strings or categories, got 'a'"),
    "integers that uint32 holds": (
        lambda make: make({"id": [2**31, 1], "age": [3, 4]}),
        "got 1 to 2147483648 in 'id': convert all columns to uint32",
    ),
    "integers that only 64 bits hold with others": (
        lambda make: make({"id": [2**31, 1], "age": [-3, 4]}),
        "got 1 to 2147483648 in 'id': subtract an offset, or set",
    ),
    "large integers": (lambda make: make({"id": [2**40, 1]}), "32 bits, got 1 to 1099511627776 in 'id': subtract"),
    "merged integers": (lambda make: make({"id": [2**24, 2**24 + 1], "b": [0.5, 1]}), "different values of 'id' become"),
    "another column": (
        lambda make: (make({"age": [1], "income": [1.0], "member": [True], "town": ["Rome"]}), KNOWN),
        "`x` must have the columns 'age', .*lacks 'city' and has 'town' in addition",
    ),
    "an unknown level": (
        lambda make: (make(COLUMNS | {"city": ["Rome", "Oslo", "Bonn"]}), KNOWN),
        "known levels in column 'city', got 'Oslo', while the rows have 'Bonn', 'Rome': pass rows that have them there",
    ),
    "numbers for strings": (
        lambda make: (make(COLUMNS | {"city": [1, 2, 3]}), KNOWN),
        "strings or categories in column 'city', as in the rows, got numbers",
    ),
}  # fmt: skip


@MAKERS
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_answered_with_a_sentence(mistake, make):
    call, sentence = MISTAKES[mistake]
    given = call(make)
    with pytest.raises((TypeError, ValueError), match=sentence):
        frames.read_frame("x", *(given if isinstance(given, tuple) else (given,)))


def test_an_unknown_level_is_compared_with_what_the_user_passed():
    frame, other = pd.DataFrame({"city": ["Rome", "Bonn"], "a": [1, 2]}), pd.DataFrame({"city": ["Oslo"], "a": [1]})
    statistics, masker = xai.lime.statistics(frame), xai.mask.background(frame)
    for read, rows in (
        (lambda: statistics.read(other), "the training rows"),
        (lambda: masker.read(other), "the masker's rows"),
        (lambda: frames.read_pair(("x", "background"), other, frame), "the rows of `background`"),
    ):
        with pytest.raises(
            ValueError, match=f"`x` must have known levels.*got 'Oslo', while {rows} have 'Bonn', 'Rome'"
        ):
            read()


def test_repeated_names_and_lazy_frames_are_refused():
    with pytest.raises(ValueError, match="different names, got 'a' more than once"):
        frames.read_frame("x", pd.DataFrame([[1, 2]], columns=["a", "a"]))
    pl = pytest.importorskip("polars")
    with pytest.raises(TypeError, match=r"polars LazyFrame: pass x.collect\(\)"):
        frames.read_frame("x", pl.LazyFrame({"a": [1]}))


def test_names_of_a_frame_that_is_explained_over_an_array_of_background_rows():
    frame = pd.DataFrame({"age": [1.0, 2.0], "income": [3.0, 5.0]})
    attribution = xai.shap.values(lambda x: x @ jnp.array([1.0, 2.0]), frame, xai.mask.background(np.zeros((1, 2))))
    assert attribution.names == ("age", "income")
    np.testing.assert_allclose(attribution.values, [[1, 6], [2, 10]], atol=1e-6)
