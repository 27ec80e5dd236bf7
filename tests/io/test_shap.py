"""Names, inputs and numbers of shap.Explanation fit the attribution, or are refused."""

import types

import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai


def attribution(**fields):
    values = jnp.array([[1.0, -2.0, 0.5], [0.0, 3.0, 1.0]])
    return xai.Attribution(values=values, output=values.sum(axis=1), base_value=jnp.zeros(2), **fields)


@pytest.fixture(autouse=True)
def shap(monkeypatch):
    """The package in its place takes the same arguments, and is imported at once."""
    monkeypatch.setattr("xaijax._io.shap._shap", lambda: types.SimpleNamespace(Explanation=types.SimpleNamespace))


def test_names_and_inputs_are_the_attributions_own():
    inputs = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], np.float32)
    explanation = xai.to_shap(attribution(names=("a", "b", "c"), inputs=inputs))
    assert explanation.feature_names == ["a", "b", "c"]
    np.testing.assert_array_equal(explanation.data, inputs)
    back = xai.from_shap(explanation)
    assert back.names == ("a", "b", "c")
    np.testing.assert_array_equal(back.inputs, inputs)
    np.testing.assert_array_equal(back.values, attribution().values)
    other = xai.to_shap(attribution(names=("a", "b", "c"), inputs=inputs), names=["d", "e", "f"], inputs=inputs + 1)
    assert other.feature_names == ["d", "e", "f"]
    np.testing.assert_array_equal(other.data, inputs + 1)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"names": ["a", "b"]}, ValueError, "`names` must hold 3 names"),
        ({"names": ["a", "b", "c", "d"]}, ValueError, "`names` must hold 3 names"),
        ({"names": "abc"}, TypeError, "`names` must be a sequence of 3 names"),
        ({"inputs": np.ones((2, 4))}, ValueError, r"`inputs` must have shape \[2, 3\], got \[2, 4\]"),
        ({"inputs": np.ones((3, 2))}, ValueError, r"`inputs` must have shape \[2, 3\], got \[3, 2\]"),
        ({"inputs": np.ma.array(np.ones((2, 3)), mask=np.eye(2, 3))}, TypeError, "got a masked array"),
        ({"names": [["a", "b", "c"], ["a", "b", "d"]]}, ValueError, "the same names for all examples"),
    ],
)
def test_names_and_inputs_of_other_lengths_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        xai.to_shap(attribution(), **options)


def test_words_are_no_inputs_and_names_that_do_not_fit_are_left_out():
    explanation = types.SimpleNamespace(
        values=np.ones((2, 3)), base_values=0.0, data=np.array([["a"] * 3] * 2), feature_names=["x"]
    )
    back = xai.from_shap(explanation)
    assert (back.inputs, back.names) == (None, None)
    np.testing.assert_array_equal(back.output, [3, 3])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"values": np.array([["a"]])}, TypeError, "must have values that are numbers"),
        ({"base_values": "x"}, TypeError, "must have base_values that are numbers"),
        ({"base_values": None}, ValueError, "must have base_values"),
        ({"base_values": np.zeros(3)}, ValueError, r"base_values of the shape of its outputs, \[2\], got \[3\]"),
        ({"values": np.ones((1, 1, 1, 1))}, ValueError, r"values \[M\], \[N, M\] or \[N, M, K\]"),
    ],
)
def test_explanations_that_do_not_fit_are_refused(change, error, message):
    given = {"values": np.ones((2, 2)), "base_values": 0.0, "data": None, "feature_names": None} | change
    with pytest.raises(error, match=message):
        xai.from_shap(types.SimpleNamespace(**given))
