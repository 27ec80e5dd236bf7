"""Maskers made from data frames: names, codes and feature values reach the attribution."""

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import xaijax as xai

ROWS = pd.DataFrame({"age": [30, 40, 50, 20], "income": [1.5, 2.5, 0.5, 1.0], "city": ["Rome", "Bonn", "Oslo", "Rome"]})
CODES = np.array([[30, 1.5, 2], [40, 2.5, 0], [50, 0.5, 1], [20, 1.0, 2]], np.float32)
LATER = ROWS.iloc[1:3][["city", "age", "income"]]


def model(x):
    return x[:, 0] * x[:, 1] + 10 * x[:, 2]


def as_polars(frame):
    return pytest.importorskip("polars").DataFrame(frame.to_dict("list"))


@pytest.mark.parametrize("convert", [lambda frame: frame, as_polars], ids=["pandas", "polars"])
def test_a_table_of_strings_is_explained_like_its_codes_with_names(convert):
    attribution = xai.shap.exact(xai.game(model, convert(LATER), xai.mask.background(convert(ROWS))))
    by_hand = xai.shap.exact(xai.game(model, CODES[1:3], xai.mask.background(CODES)))
    np.testing.assert_array_equal(attribution.values, by_hand.values)
    np.testing.assert_array_equal(attribution.inputs, CODES[1:3])
    assert attribution.names == ("age", "income", "city")
    assert by_hand.names is None


def test_a_baseline_is_a_frame_of_one_row_or_a_series():
    numbers = ROWS[["age", "income"]]
    x = numbers.iloc[:2]
    means = xai.game(lambda x: x[:, 0] * x[:, 1], x, xai.mask.baseline(numbers.mean()))
    np.testing.assert_allclose(means(np.zeros((1, 2), bool)), np.full((2, 1), 35 * 1.375), rtol=1e-6)
    first = xai.mask.baseline(numbers.iloc[[0]])
    np.testing.assert_array_equal(first.rows, [[30, 1.5]])
    assert first.names((2,)) == means.names == ("age", "income")
    with pytest.raises(ValueError, match="`row` must be one row, got a data frame of 4"):
        xai.mask.baseline(numbers)


def test_groups_are_named_by_their_columns_or_by_names():
    assert xai.mask.background(ROWS, groups=[0, 1, 0]).names((3,)) == ("age + city", "income")
    named = xai.mask.background(CODES, groups=[0, 1, 0], names=["person", "money"])
    assert named.names((3,)) == ("person", "money")
    assert named.inputs(jnp.asarray(CODES), ()) is None
    attribution = xai.shap.exact(xai.game(model, CODES[:1], named))
    assert attribution.names == ("person", "money")
    assert attribution.inputs is None


def test_gaussian_and_k_means_take_frames_of_numbers(key):
    numbers = ROWS[["age", "income"]]
    assert xai.mask.gaussian(numbers).names((2,)) == ("age", "income")
    assert xai.mask.gaussian(numbers, names=["a", "b"]).names((2,)) == ("a", "b")
    centers = xai.mask.k_means(ROWS, 4, key=key)
    assert {tuple(row) for row in centers.rows.tolist()} == {tuple(row) for row in CODES.tolist()}
    np.testing.assert_array_equal(centers.read(LATER), CODES[1:3])
    with pytest.raises(TypeError, match="`rows` must have numeric columns, got strings or categories in 'city'"):
        xai.mask.gaussian(ROWS)


def test_integer_inputs_and_float_rows_meet_in_one_dtype():
    """Of a frame of integers all coalitions are floats, as are the rows, under every promotion."""
    x = pd.DataFrame({"age": [30], "income": [2]})
    masker = xai.mask.background(ROWS[["age", "income"]])
    assert masker.read(x).dtype == jnp.float32


def test_joint_parts_keep_their_names_and_values():
    masker = xai.mask.joint({"person": xai.mask.background(ROWS), "image": xai.mask.grid((1, 2), fill=0.0)})
    x = masker.read({"person": LATER, "image": np.ones((2, 3, 4, 1), np.float32)})
    shapes = {"person": (3,), "image": (3, 4, 1)}
    assert masker.names(shapes) == ("image 0", "image 1", "age", "income", "city")
    np.testing.assert_array_equal(masker.inputs(x, masker.prepare(x)), np.hstack([np.full((2, 2), np.nan), CODES[1:3]]))
    twice = xai.mask.joint({"first": xai.mask.background(ROWS), "last": xai.mask.background(ROWS)})
    assert twice.names({"first": (3,), "last": (3,)})[::3] == ("first age", "last age")
    assert xai.mask.joint([xai.mask.grid(2)]).names([(4, 4, 1)]) is None


@pytest.mark.parametrize(
    ("x", "masker", "sentence"),
    [
        (ROWS.assign(more=1), lambda: xai.mask.background(ROWS), "`x` must have the columns .* has 'more' in addition"),
        (ROWS.assign(city="Nice"), lambda: xai.mask.background(ROWS), "known levels in column 'city', got 'Nice'"),
        (ROWS, lambda: xai.mask.background(CODES), "make the masker from a data frame, whose levels define the codes"),
        (ROWS.assign(age=[1, None, 2, 3]), lambda: xai.mask.background(ROWS), "`x` must have no missing .* 1 in 'age'"),
        (
            ROWS,
            lambda: xai.mask.background(ROWS.assign(age=None)),
            "`rows` must have no missing values, got 4 in 'age'",
        ),
        (ROWS, lambda: xai.mask.background(ROWS, names=["a", "b"]), "`names` must hold 3 names, one per player, got 2"),
    ],
)
def test_a_mistake_is_answered_with_a_sentence(x, masker, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        xai.game(model, x, masker())
