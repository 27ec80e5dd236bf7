"""What all plots share: figures, one output of several, names for each example, inputs that are words."""

import functools

import jax.numpy as jnp
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

import xaijax as xai
from tests.plot._attributions import attribution, labels, texts
from xaijax._core.words import shortened, spelled
from xaijax.plot._parts.inputs import colors_of, columns_of
from xaijax.plot._parts.players import player_names, shown_and_others
from xaijax.plot._parts.rows import chosen_rows, one_output, row_of, rows_of

RNG = np.random.default_rng(0)
VALUES = RNG.normal(size=(6, 3, 2)).astype(np.float32)
BASE = np.array([[1.0, -1.0]] * 6, np.float32)
CLASSES = ["ill", "well"]


def of_classes(**fields):
    errors = jnp.asarray(np.abs(VALUES))
    return xai.Attribution(
        jnp.asarray(VALUES), jnp.asarray(BASE + VALUES.sum(axis=1)), jnp.asarray(BASE), errors,
        num_evaluations=jnp.full(6, 8), method="exact", efficient=True, **fields,
    )  # fmt: skip


EVERY_PLOT = {
    "bars": functools.partial(xai.plot.bars, example=2),
    "bars of all": functools.partial(xai.plot.bars, example=None),
    "waterfall": functools.partial(xai.plot.waterfall, example=2),
    "force": functools.partial(xai.plot.force, example=2),
    "beeswarm": xai.plot.beeswarm,
    "violin": xai.plot.violin,
    "heatmap": xai.plot.heatmap,
    "decision": xai.plot.decision,
    "dependence": functools.partial(xai.plot.dependence, player=0, inputs=VALUES[..., 0]),
    "cohort_bars": functools.partial(xai.plot.cohort_bars, labels=[0, 1] * 3),
}


@pytest.mark.parametrize("draw", EVERY_PLOT.values(), ids=EVERY_PLOT)
def test_every_plot_draws_the_output_asked_for_and_tells_its_name(draw):
    ax = draw(of_classes(), output="well", output_names=CLASSES)
    assert "exact, well" in ax.get_title()
    one = of_classes()
    errors, outputs = one.std_errors[..., 1], one.output[:, 1]
    alone = draw(
        xai.Attribution(one.values[..., 1], outputs, one.base_value[:, 1], errors, method="exact", efficient=True)
    )
    assert alone.get_title().replace("exact", "exact, well") == ax.get_title()
    assert labels(ax) == labels(alone)
    assert texts(ax) == texts(alone)
    np.testing.assert_allclose(ax.get_xlim(), alone.get_xlim(), rtol=1e-6)
    with pytest.raises(
        ValueError, match="`output` must be given, since the attribution explains 2 outputs of each example and this"
    ):
        draw(of_classes())


@pytest.mark.parametrize("draw", EVERY_PLOT.values(), ids=EVERY_PLOT)
def test_a_new_figure_is_the_current_one_and_the_settings_stay(draw):
    mine, settings = plt.figure(), dict(mpl.rcParams)
    ax = draw(of_classes(), output=0)
    assert plt.gcf() is ax.figure is not mine
    assert plt.fignum_exists(ax.figure.number)  # so that notebooks and plt.show() show it
    assert dict(mpl.rcParams) == settings


def test_one_output_is_taken_of_every_field_that_has_one_for_each_output():
    one, name = one_output(of_classes(), "well", CLASSES)
    assert name == "well"
    np.testing.assert_array_equal(one.values, VALUES[..., 1])
    np.testing.assert_array_equal(one.std_errors, np.abs(VALUES[..., 1]))
    np.testing.assert_array_equal(one.base_value, BASE[:, 1])
    assert one.num_evaluations.shape == (6,)  # of the examples, not of the outputs
    surrogate = xai.Surrogate(
        jnp.asarray(VALUES), jnp.asarray(BASE), intercept=jnp.asarray(BASE), prediction=jnp.asarray(BASE),
        r_squared=jnp.asarray(BASE * 0.5), effective_samples=jnp.arange(6.0),
    )  # fmt: skip
    one, _ = one_output(surrogate, 1, None)
    np.testing.assert_array_equal(one.r_squared, -0.5 * np.ones(6))
    np.testing.assert_array_equal(one.effective_samples, np.arange(6.0))
    assert "local R² -0.50, surrogate -1, model -1" in xai.plot.bars(surrogate, output=1).get_title()


def test_one_example_of_several_outputs_is_read_alone_or_among_others():
    among, alone = row_of(of_classes(), 2, output=1), row_of(of_classes()[2], 0, output=1)
    np.testing.assert_array_equal(among.values, VALUES[2, :, 1])
    np.testing.assert_array_equal(alone.values, among.values)
    assert alone.base_value == among.base_value == -1
    assert rows_of(of_classes()[2], output=0).values.shape == (1, 3)


def test_the_name_of_a_target_is_told_where_it_is_one():
    given = attribution(VALUES[..., 0], target=jnp.array([1, 1, 0, 1, 1, 1]))
    assert row_of(given, 2, output_names=CLASSES).of == "ill"
    assert row_of(given, 0, output_names=CLASSES).of == "well"
    assert rows_of(given, output_names=CLASSES, noted=False).of == ""
    assert rows_of(given[:2], output="well", output_names=CLASSES).of == "well"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"output": 2}, "`output` must be between .* and 1, got 2"),
        ({"output": "ill"}, "`output` must be a number where no output names are known"),
        ({"output": "il", "output_names": CLASSES}, r"output.? must be one of .* \(did you mean 'ill'"),
        ({"output": 0, "output_names": ["a"]}, "`output_names` must be 2, one for each output"),
        ({"output": 1.5}, "output.? must be an int"),
    ],
)
def test_outputs_that_are_none_are_refused(options, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        xai.plot.beeswarm(of_classes(), **options)
    one = attribution(VALUES[..., 0])
    with pytest.raises(
        ValueError, match="`output` must be left out, since the attribution explains one score of each example"
    ):
        xai.plot.beeswarm(one, output=0)


def test_an_example_alone_has_no_others():
    game = of_classes()[1]
    with pytest.raises(ValueError, match="`example` must be between .* and 0, got 1"):
        xai.plot.bars(game, example=1, output=0)
    with pytest.raises(ValueError, match=r"`inputs` must have one row for each example, \[1, 3\]"):
        xai.plot.waterfall(game, inputs=VALUES[..., 0], output=0)


CONDITIONS = [["a <= 1", "b > 2"], ["1 < a <= 3", "b <= 2"]]


@pytest.mark.parametrize("draw", [xai.plot.bars, xai.plot.waterfall])
def test_each_example_has_its_own_conditions(draw):
    given = attribution([[2.0, 1.0], [1.0, 2.0]])
    assert labels(draw(given, example=0, names=CONDITIONS)) == ["a <= 1", "b > 2"]
    assert labels(draw(given, example=1, names=np.array(CONDITIONS))) == ["b <= 2", "1 < a <= 3"]
    assert labels(draw(given[1], names=CONDITIONS[1:])) == ["b <= 2", "1 < a <= 3"]
    with pytest.raises(ValueError, match="`names` must be one list for all examples or one for each of the 2"):
        draw(given, names=CONDITIONS[:1])


def test_all_examples_have_only_conditions_that_are_common_to_them():
    given = attribution([[2.0, 1.0], [1.0, 1.0]])
    assert labels(xai.plot.bars(given, example=None, names=[["a", "b"], ["a", "b"]])) == ["a", "b"]
    with pytest.raises(ValueError, match="`names` must be the same for all examples in a plot of all of them"):
        xai.plot.bars(given, example=None, names=CONDITIONS)
    with pytest.raises(TypeError, match="`names` must be a sequence of 2 names"):
        player_names("ab", 2)


def test_conditions_of_tables_stand_beside_the_coefficients_they_belong_to():
    rows = RNG.normal(size=(50, 2)).astype(np.float32)
    known = xai.lime.statistics(rows, bins={"low": [0.0], "high": [-1.0, 1.0]}, names=["low", "high"])
    names = known.conditions(np.array([[1.0, 0.5], [-1.0, 3.0]], np.float32))
    coefficients = attribution([[4.0, 1.0], [-1.0, 4.0]])
    assert labels(xai.plot.bars(coefficients, example=0, names=names)) == ["low > 0", "-1 < high <= 1"]
    assert labels(xai.plot.bars(coefficients, example=1, names=names)) == ["high > 1", "low <= 0"]


def test_long_names_are_cut_in_the_middle_and_conditions_keep_their_bounds():
    assert shortened("a" * 28) == "a" * 28
    assert shortened("a" * 40) == "a" * 14 + "…" + "a" * 13
    assert shortened("two\nlines") == "two lines"
    assert shortened("0.1234 < mean concave points <= 0.5678") == "0.1234 < mean concave points <= 0.5678"
    assert shortened("4.9 < " + "x" * 50 + " <= 7") == "4.9 < " + "x" * 14 + "…" + "x" * 13 + " <= 7"
    assert shortened("y" * 50 + " > 7") == "y" * 14 + "…" + "y" * 13 + " > 7"


def test_inputs_may_be_words_and_whole_numbers_stay_whole():
    assert [spelled(value) for value in (12345, 12345.0, 0.123456, 1e12, True, "red", np.float32(2))] == [
        "12345", "12345", "0.1235", "1e+12", "True", "red", "2",
    ]  # fmt: skip
    given = np.array([[1.5, "red"], [2, "blue"]], object)
    assert labels(xai.plot.waterfall(attribution([[1, 2]] * 2), example=1, names=["a", "b"], inputs=given)) == [
        "b = blue", "a = 2",
    ]  # fmt: skip
    assert "b = blue" in texts(xai.plot.force(attribution([[1.0, 1.0]] * 2), example=1, names=["a", "b"], inputs=given))


def test_columns_of_words_are_in_the_order_of_the_alphabet():
    numbers, words = columns_of(np.array([[1, "b"], [2.5, "a"], [3, "b"]], object), (3, 2))
    np.testing.assert_array_equal(numbers.numbers, [1, 2.5, 3])
    assert numbers.words is None
    np.testing.assert_array_equal(words.numbers, [1, 0, 1])
    assert words.words == ("a", "b")
    np.testing.assert_allclose(colors_of(words)(words.numbers), [0.75, 0.25, 0.75])
    (strings,) = columns_of([["1.5"], ["2"]], (2, 1))  # numbers that were read as text
    np.testing.assert_array_equal(strings.numbers, [1.5, 2])
    with pytest.raises(TypeError, match="inputs.? must be an array of numbers or words, (but it is|got) ndarray"):
        columns_of(np.zeros((1, 1), "datetime64[s]"), (1, 1))


def test_players_are_shown_in_the_order_given():
    sizes = np.array([1.0, 3.0, 2.0, 0.0])
    shown, others = shown_and_others(sizes, 2)
    assert (shown.tolist(), others.tolist()) == ([1, 2], [0, 3])
    shown, others = shown_and_others(sizes, 10, ["d", 0], ["a", "b", "c", "d"])
    assert (shown.tolist(), others.tolist()) == ([3, 0], [1, 2])
    for wrong in ([], [0, 0]):
        with pytest.raises(ValueError, match="`order` must name players, each of them once"):
            shown_and_others(sizes, 2, wrong)
    with pytest.raises(ValueError, match="`order` must be between .* and 3, got 4"):
        shown_and_others(sizes, 2, [4])


def test_rows_are_chosen_by_number_or_booleans():
    assert chosen_rows(None, 3).tolist() == [0, 1, 2]
    assert chosen_rows([2, 0], 3).tolist() == [2, 0]
    assert chosen_rows([False, True, True], 3).tolist() == [1, 2]
    for wrong, sentence in (
        ([], "`rows` must be indices of rows or 3 booleans, and choose at least one"),
        ([True], "3 booleans"),
        ([3], "`rows` must be between -3 and 2"),
        ([0.5], "float"),
    ):
        with pytest.raises(ValueError, match=sentence):
            chosen_rows(wrong, 3)


def test_long_titles_are_broken_into_lines_that_fit():
    given = xai.Attribution(jnp.ones((1, 2)), jnp.ones(1), method="a very long method " * 6)
    ax = xai.plot.bars(given)
    assert ax.get_title().count("\n") >= 1
    ax.figure.canvas.draw()
    assert ax.title.get_window_extent().width < ax.figure.bbox.width
    assert xai.plot.bars(given, title="mine $x^2$").get_title() == "mine $x^2$"


def test_dollar_signs_in_names_are_no_mathematics():
    ax = xai.plot.bars(attribution([1.0, 2.0]), names=["price in $", "from $5 to $_"])
    ax.figure.canvas.draw()  # mathematics would fail at the last one
    assert labels(ax) == ["from $5 to $_", "price in $"]
    assert not any(label.get_parse_math() for label in ax.get_yticklabels())
