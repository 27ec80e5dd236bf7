"""Warnings are given exactly where they should be."""

import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests.report.conftest import table_values
from xaijax._report._explained import explained
from xaijax._report._warnings import checks_of, warnings_of

NAN, INF = float("nan"), float("inf")


def warnings(attribution):
    return warnings_of(explained(attribution))


def heads(attribution):
    return [sentence.split(":")[0] for sentence in warnings(attribution)]


def surrogate(r_squared=0.9, held_out: float | None = 0.8, stable=1.0, **fields):
    values = jnp.array([[2.0, -1.0, 0.5], [1.0, 0.5, 0.25]])
    two = jnp.ones(2)
    return xai.Surrogate(
        values, two, std_errors=jnp.abs(values) * 0.1, intercept=two, prediction=two, r_squared=r_squared * two,
        held_out_r_squared=None if held_out is None else held_out * two, stability=stable * two, method="LIME", **fields,
    )  # fmt: skip


def with_errors(values, errors):
    values = jnp.asarray([values])
    return xai.Attribution(
        values, values.sum(axis=1), jnp.zeros(1), jnp.asarray([errors]), method="SHAP", efficient=True
    )


def pairs(together=1.0, index="k-SII", **fields):
    matrix = jnp.array([[[0.0, together], [together, 0.0]]])
    return xai.Interactions(
        jnp.array([[1.0, 2.0]]), jnp.array([4.0]), jnp.zeros(1), pairs=matrix, index=index, **fields
    )


FINE = {
    "shapley": table_values(),
    "a surrogate": surrogate(),
    "R² at the bound": surrogate(r_squared=0.5, held_out=0.5, stable=0.5),
    "no held-out R²": surrogate(held_out=None),
    "reached": table_values(2, converged=jnp.ones(2, bool)),
    "an interval as wide as half the value": with_errors([1.0, 1.0], [0.25 / 1.96, 0.0]),
    "exact zeros": with_errors([1.0, 0.0], [0.0, 0.0]),
    "rounding error": with_errors([1.0, 1e-8], [0.0, 1e-7]),
    "pairs that sum": pairs(),
    "SII, which does not sum": pairs(3.0, "SII"),
    "a map": xai.Attribution(jnp.ones((2, 3, 3)), jnp.ones(2), jnp.ones(2), method="CAM"),
    "Banzhaf values, which do not sum": xai.Attribution(jnp.ones((1, 2)), jnp.ones(1), jnp.ones(1), method="Banzhaf"),
    "a map of channels": xai.Attribution(
        jnp.ones((1, 2, 2)), jnp.ones(1), jnp.zeros(1), method="Channels", axes="N h w", efficient=True
    ),
    "the fourth strongest is wide": with_errors([4.0, 3.0, 2.0, 1.0], [0.0, 0.0, 0.0, 9.0]),
}
DOUBTFUL = {
    "low R²": (surrogate(r_squared=0.49, held_out=0.1), ["Low local fidelity"]),
    "low held-out R²": (surrogate(held_out=0.4), ["Low held-out fidelity"]),
    "unstable": (surrogate(stable=0.3), ["Unstable choice"]),
    "unknown stability": (surrogate(stable=NAN), ["Unknown stability"]),
    "cap": (table_values(2, converged=jnp.array([True, False])), ["Cap reached"]),
    "includes 0": (with_errors([1.0, 4.0], [0.6, 0.1]), ["Wide intervals"]),
    "wider than the value": (with_errors([1.0, 4.0], [0.3, 0.1]), ["Wide intervals"]),
    "infinite errors": (with_errors([1.0, 4.0], [INF, INF]), ["Unknown intervals"]),
    "NaN": (xai.Attribution(
        jnp.array([[1.0, NAN], [1.0, 2.0]]), jnp.array([1.0, 3.0]), jnp.zeros(2), method="SHAP", efficient=True
    ), ["Not finite"]),
    "gap": (xai.Attribution(jnp.ones((1, 2)), jnp.array([2.01]), jnp.zeros(1), efficient=True),
            ["Efficiency gap"]),
    "gap of pairs": (pairs(1.5), ["Efficiency gap"]),
    "wide pairs": (pairs(pair_errors=jnp.array([[[0.0, 0.9], [0.9, 0.0]]])), ["Wide intervals"]),
}  # fmt: skip


@pytest.mark.parametrize("attribution", FINE.values(), ids=FINE)
def test_nothing_is_said_of_what_is_fine(attribution):
    assert warnings(attribution) == []


@pytest.mark.parametrize(("attribution", "expected"), DOUBTFUL.values(), ids=DOUBTFUL)
def test_what_is_doubtful_is_warned_of_once(attribution, expected):
    assert heads(attribution) == expected


def test_warnings_name_numbers_and_examples():
    fields = {"r_squared": jnp.array([0.9, 0.123])}
    low = warnings(xai.Surrogate(**{**vars(surrogate()), **fields}))[0]
    assert "below 0.5 for example 1 (lowest 0.123)" in low
    cap = warnings(table_values(9, converged=jnp.arange(9) % 9 == 0))[0]
    assert "8 of 9 examples (the first: 1, 2, 3, 4 and 5)" in cap
    every = warnings(table_values(9, converged=jnp.zeros(9, bool)))[0]
    assert "all 9 examples" in every
    wide = warnings(with_errors([1.0, 4.0, 2.0], [0.6, 1.1, 0.1]))[0]
    assert "of 3 strongest values" in wide
    assert "1 include 0" not in wide
    assert "1 includes 0" in wide
    assert "1 is wider than the value itself" in wide
    gap = warnings(xai.Attribution(jnp.ones((1, 2)), jnp.array([2.25]), jnp.zeros(1), efficient=True))[0]
    assert "largest gap 0.25" in gap


def test_rounding_is_no_gap_and_sampled_values_have_their_errors():
    def gap(size, dtype=jnp.float32, errors=None):
        values = jnp.ones((1, 2), dtype)
        found = xai.Attribution(values, jnp.array([2.0 + size]), jnp.zeros(1), errors, efficient=True)
        return "Efficiency gap" in heads(found)

    assert not gap(3e-4)
    assert gap(5e-4)
    assert not gap(0.05, dtype=jnp.bfloat16)
    errors = jnp.full((1, 2), 0.05)
    assert not gap(0.19, errors=errors)
    assert gap(0.21, errors=errors)


def test_conditions_that_no_training_row_has_are_warned_of():
    one = explained(surrogate())
    object.__setattr__(one.attribution, "unseen", np.array([[False, True, False], [False] * 3]))
    (sentence,) = warnings_of(one)
    assert "the bin, category or constant value of 1 feature of example 0" in sentence
    object.__setattr__(one.attribution, "unseen", np.zeros((2, 3), bool))
    assert warnings_of(one) == []
    assert "every condition and category occurs in the training data" in checks_of(one)


def test_the_page_has_the_warnings_or_what_was_checked(read):
    page = read(surrogate(r_squared=0.2, held_out=0.1))
    assert page.text.count("Low local fidelity") == 1
    assert [group["class"] for group in page.all("div") if group.get("class") == "warnings"] == ["warnings"]
    page = read(table_values(1, 3))
    assert "No warnings. Checked:" in page.text
    assert not [group for group in page.all("div") if group.get("class") == "warnings"]
    for sentence in checks_of(explained(table_values(1, 3))):
        assert sentence in page.text
    assert len(checks_of(explained(surrogate()))) == 5


def test_examples_that_are_not_finite_are_in_no_picture_and_no_mean(read):
    values = np.array([[1.0, 2.0], [NAN, 1.0], [3.0, 4.0]])
    page = read(xai.Attribution(jnp.asarray(values), jnp.ones(3), method="m"))
    assert "Not finite: example 1" in page.text
    assert [float(row[1]) for row in page.table("Mean |value| over 2 examples")[1:]] == [3.0, 2.0]
    assert not [table for table in page.tables if table["caption"].startswith("Values of example 1")]
    assert [table for table in page.tables if table["caption"].startswith("Values of example 2")]
    nothing = read(xai.Attribution(jnp.full((1, 2), NAN), jnp.ones(1), method="m"))
    assert "Not finite: the example" in nothing.text
    assert not nothing.pictures()
