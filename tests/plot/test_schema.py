"""Plots read the attribution's schema: names, inputs and outputs of its own, efficiency, classes, axes."""

import functools
import warnings

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest

import xaijax as xai
from tests.plot._attributions import attribution, labels, texts
from xaijax.plot._parts.rows import unit_of

RNG = np.random.default_rng(0)
VALUES = (RNG.normal(size=(6, 3)) * [3, 2, 1]).astype(np.float32)
INPUTS = RNG.normal(size=(6, 3)).astype(np.float32)
OWN = attribution(
    VALUES, names=("age", "income", "rooms"), output_names=("ill", "well"), inputs=jnp.asarray(INPUTS),
    target=jnp.zeros(6, jnp.int32),
)  # fmt: skip
MIXED = attribution(VALUES, target=jnp.array([0, 1, 1, 0, 1, 1]), output_names=("ill", "well"))

OF_MANY_ROWS = {
    "bars": functools.partial(xai.plot.bars, example=None),
    "beeswarm": xai.plot.beeswarm,
    "violin": xai.plot.violin,
    "heatmap": xai.plot.heatmap,
    "decision": xai.plot.decision,
    "dependence": functools.partial(xai.plot.dependence, player=0, inputs=INPUTS),
    "cohort_bars": functools.partial(xai.plot.cohort_bars, labels=[0, 0, 0, 1, 1, 1]),
}


@pytest.mark.parametrize(
    "draw", [xai.plot.beeswarm, xai.plot.violin, xai.plot.heatmap, xai.plot.bars, xai.plot.decision]
)
def test_names_and_outputs_are_the_attributions_own(draw):
    ax = draw(OWN)
    assert set(labels(ax)) == {"age", "income", "rooms"}
    assert "test, ill" in ax.get_title()
    assert set(labels(draw(OWN, names=["a", "b", "c"]))) == {"a", "b", "c"}  # an argument goes first


def test_inputs_are_the_attributions_own():
    expected = [f"{name} = {value:.4g}" for name, value in zip(OWN.names, INPUTS[2], strict=True)]
    assert set(labels(xai.plot.waterfall(OWN, example=2))) == set(expected)
    assert set(expected) <= set(texts(xai.plot.force(OWN, example=2)))
    np.testing.assert_array_equal(xai.plot.beeswarm(OWN).collections[0].get_array(), INPUTS[:, 0])
    np.testing.assert_array_equal(xai.plot.dependence(OWN, "income").collections[0].get_offsets()[:, 0], INPUTS[:, 1])
    with pytest.raises(ValueError, match="`inputs` must be given, since the attribution holds none"):
        xai.plot.dependence(attribution(VALUES), 0)


def test_words_are_the_names_of_the_players():
    words = attribution([[1.0, -2.0], [3.0, 0.5]], names=(("good", "film"), ("bad", "book")))
    assert texts(xai.plot.text(words, example=-1)) == ["bad", "book"]
    assert ">good</span>" in xai.plot.text_html(words)
    assert labels(xai.plot.bars(words, example=1)) == ["bad", "book"]
    with pytest.raises(ValueError, match="`names` must be the same for all examples in a plot of all"):
        xai.plot.bars(words, example=None)


def test_negative_examples_count_from_the_last():
    assert labels(xai.plot.waterfall(OWN, example=-1)) == labels(xai.plot.waterfall(OWN, example=5))
    for wrong in (6, -7):
        with pytest.raises(ValueError, match=f"`example` must be .*, got {wrong}"):
            xai.plot.bars(OWN, example=wrong)


@pytest.mark.parametrize("draw", [xai.plot.waterfall, xai.plot.force, xai.plot.decision])
def test_what_leads_to_the_output_is_a_field_and_no_part_of_the_method(draw):
    draw(attribution(VALUES, method="renamed"))
    for other in (attribution(VALUES, method="exact Shapley values", efficient=False), xai.Attribution(*OWN_ARRAYS)):
        with pytest.raises(ValueError, match="`attribution` must have values that sum to output − base value"):
            draw(other)


OWN_ARRAYS = (jnp.asarray(VALUES), jnp.asarray(VALUES.sum(axis=1)))


def test_as_many_classes_as_columns_are_no_examples():
    """Ten outputs of a 10x7 map of one example were once read as ten examples."""
    maps = xai.Attribution(jnp.ones((10, 7, 10)), jnp.arange(10.0), axes="h w K", method="Grad-CAM")
    ax = xai.plot.image(maps, output=3)
    assert ax.images[0].get_array().shape == (10, 7)
    assert ax.get_title() == "Grad-CAM, class 3"
    with pytest.raises(
        ValueError, match="`attribution` must have one value for each player, axes 'N M', got axes 'h w K'"
    ):
        xai.plot.bars(maps)


@pytest.mark.parametrize("draw", OF_MANY_ROWS.values(), ids=OF_MANY_ROWS)
def test_rows_that_explain_different_classes_are_stated_and_one_class_is_offered(draw):
    with pytest.warns(UserWarning, match=r"different classes \(4 of well, 2 of ill\).*pass output= ") as caught:
        ax = draw(MIXED)
    assert caught[0].filename == __file__
    assert ax.get_xlabel().endswith("rows explain different classes: 4 of well, 2 of ill")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ill = draw(MIXED, output="ill")
        alone = draw(MIXED[jnp.array([0, 3])], **({"labels": [0, 1]} if "labels" in getattr(draw, "keywords", {}) else {}),
                     **({"inputs": INPUTS[[0, 3]]} if "inputs" in getattr(draw, "keywords", {}) else {}))  # fmt: skip
        draw(OWN)
    assert "test, ill" in ill.get_title()
    assert "different" not in ill.get_xlabel()
    assert labels(ill) == labels(alone)
    np.testing.assert_allclose(ill.get_xlim(), alone.get_xlim(), rtol=1e-5)
    with pytest.raises(ValueError, match=r"`output` must be a class that the attribution explains, \[0, 2\], got 1"):
        draw(attribution(VALUES, target=2 * MIXED.target), output=1)


def test_interactions_that_explain_different_classes_are_stated():
    pairs = jnp.zeros((6, 3, 3))
    given = attribution(VALUES, kind=xai.Interactions, pairs=pairs, target=MIXED.target)
    for draw in (xai.plot.interactions, xai.plot.network):
        with pytest.warns(UserWarning, match="different classes"):
            ax = draw(given, example=None)
        assert "rows explain different classes: 4 of class 1, 2 of class 0" in (
            ax.get_xlabel() + ax.get_title()
        ).replace("\n", " ")


def test_a_panel_for_each_class():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        axes = xai.plot.cohorts(xai.plot.beeswarm, MIXED)
        bars = xai.plot.cohort_bars(MIXED)
    assert [ax.get_title() for ax in axes] == ["ill: 2 rows", "well: 4 rows"]
    assert [text.get_text() for text in bars.get_legend().get_texts()] == ["ill (2 rows)", "well (4 rows)"]
    with pytest.raises(ValueError, match="`labels` must be given"):
        xai.plot.cohorts(xai.plot.beeswarm, attribution(VALUES))


def test_masked_labels_are_refused():
    masked = np.ma.array([0, 1, 0, 1, 0, 1], mask=[0, 0, 1, 0, 0, 0])
    with pytest.raises(TypeError, match="`labels` must be an array without missing values, got a masked array"):
        xai.plot.cohorts(xai.plot.beeswarm, OWN, masked)
    pictures, regions = np.zeros((1, 2, 2, 3)), np.ma.array([[0, 1], [0, 1]], mask=[[0, 1], [0, 0]])
    with pytest.raises(TypeError, match="`labels` must be an array without missing values, got a masked array"):
        xai.plot.borders(pictures, regions)


def test_units_of_values_are_stated():
    unit = unit_of(attribution([1.0]))
    assert xai.plot.bars(OWN).get_xlabel() == xai.plot.beeswarm(OWN).get_xlabel() == unit
    one = {"intercept": jnp.ones(1), "prediction": jnp.ones(1), "r_squared": jnp.ones(1)}
    lime = attribution([1.0], kind=xai.Surrogate, efficient=False, **one)
    slopes = attribution([1.0], kind=xai.Surrogate, efficient=False, slopes=jnp.ones((1, 1)), **one)
    table = attribution([1.0], kind=xai.Surrogate, efficient=False, inputs=jnp.ones((1, 1)), **one)
    units = {unit, unit_of(lime), unit_of(slopes), unit_of(table), unit_of(attribution([1.0], efficient=False))}
    assert len(units) == 5
    assert unit_of(slopes).endswith("per standard deviation")


def test_rounding_error_is_written_as_zero():
    values = [1.0, 8.8e-7, -3e-8, 2e-3]
    assert texts(xai.plot.bars(attribution(values))) == ["+1", "+0.002", "0", "0"]
    assert texts(xai.plot.waterfall(attribution(values))) == ["+1", "+0.002", "0", "0"]
    assert texts(xai.plot.bars(attribution([8.8e-7, 1e-7], base_value=0.0))) == [
        "+8.8e-07",
        "+1e-07",
    ]  # as large as all


def test_traced_attributions_are_refused():
    with pytest.raises(TypeError, match="must have known values, got traced arrays"):
        jax.jit(lambda given: xai.plot.bars(given).get_xlim()[0])(OWN)


def test_two_figures_are_two_pictures(tmp_path):
    for name, values in (("first", [1.0, 2.0]), ("second", [-5.0, 1.0])):
        xai.plot.waterfall(attribution(values))
        plt.savefig(tmp_path / f"{name}.png")
    assert (tmp_path / "first.png").read_bytes() != (tmp_path / "second.png").read_bytes()


@pytest.mark.parametrize(
    "mistake",
    [
        lambda: xai.plot.bars(attribution([1.0]), title=3),
        lambda: xai.plot.force(attribution([1.0]), title=3),
        lambda: xai.plot.cohorts(functools.partial(xai.plot.beeswarm, top=0), OWN, [0, 0, 0, 1, 1, 1]),
        lambda: xai.plot.compare(xai.Attribution(jnp.ones((1, 2, 2)), jnp.ones(1)), np.ones((1, 2, 2)), percentile="x"),
    ],
)
def test_mistakes_leave_no_figure_behind(mistake):
    mine = plt.figure()
    with pytest.raises((TypeError, ValueError), match="`"):
        mistake()
    assert plt.get_fignums() == [mine.number]
    assert plt.gcf() is mine
