"""What a section says is what the attribution holds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests.report.conftest import sections, table_values


def test_tables_hold_the_values_strongest_first_and_the_rest_summed(page):
    attribution = sections()[0].attribution
    for example in range(3):
        rows = page.table(f"Values of example {example},")
        assert rows[0] == ["Player", "Input", "Value", "95 % interval"]
        values, errors = (np.asarray(part[example]) for part in (attribution.values, attribution.std_errors))
        order = np.argsort(-np.abs(values), kind="stable")
        for row, place in zip(rows[1:11], order, strict=False):
            assert row[0] == (f"feature {place}" if place < 13 else "<script>alert(1)</script>")
            assert float(row[1]) == pytest.approx(np.linspace(-3, 30, 168).reshape(12, 14)[example, place], rel=1e-3)
            assert float(row[2]) == pytest.approx(values[place], rel=1e-3)
            assert float(row[3].removeprefix("± ")) == pytest.approx(1.96 * errors[place], rel=0.06)
        assert rows[11][0] == "4 others, summed"
        assert float(rows[11][2]) == pytest.approx(values[order[10:]].sum(), rel=1e-3)
        assert rows[11][3] == "not known"
        foot = {row[0]: float(row[2]) for row in rows[12:]}
        assert foot["Base value"] == pytest.approx(0.5)
        assert foot["Sum of all values"] == pytest.approx(values.sum(), rel=1e-3)
        assert foot["Output"] == pytest.approx(float(attribution.output[example]), rel=1e-3)


def test_folded_tables_hold_all_values(page):
    rows = page.table("All of these values: values of example 0,")
    values = np.asarray(sections()[0].attribution.values[0])
    assert len(rows) == 1 + 14 + 3
    np.testing.assert_allclose(sorted(float(row[2]) for row in rows[1:15]), np.sort(values), rtol=1e-3)


def test_means_are_over_all_examples(page):
    """The examples explain two classes in turn, which are not mixed."""
    rows = page.table("Mean |value| over 6 examples of no")
    sizes = np.abs(np.asarray(sections()[0].attribution.values))[::2]
    means = np.sort(sizes.mean(axis=0))[::-1]
    np.testing.assert_allclose([float(row[1]) for row in rows[1:11]], means[:10], rtol=1e-3)
    assert float(rows[11][1]) == pytest.approx(means[10:].sum(), rel=1e-3)


def test_facts_say_what_how_and_with_what(page):
    facts = dict(page.tables[0]["rows"])
    assert facts["Explained"] == "price <$>"
    assert facts["Class"] == 'no (6), <b title="x">yes (6)'
    assert facts["Examples"] == "12"
    assert facts["Players"] == "14"
    assert facts["Method"] == "SHAP"
    assert facts["Evaluations of each example"] == "64"
    assert facts["Option num_permutations"] == "8"
    assert facts["Option layers"] == '["a", "b"]'
    assert facts["Option fill"] == "mean"
    assert facts["Key"] == "jax.random.key(7)"
    assert f"xaijax {xai.__version__} with JAX {jax.__version__}" in page.text


def test_each_example_is_listed_with_its_class_and_output(page):
    (rows,) = [
        table["rows"] for table in page.tables if table["caption"] == "Each example" and len(table["rows"]) == 13
    ]
    assert rows[0] == ["Example", "Class", "Output", "Base value", "Sum of values", "Evaluations"]
    assert rows[2][:2] == ["example 1", '<b title="x">yes']
    outputs = np.asarray(sections()[0].attribution.output)
    np.testing.assert_allclose([float(row[2]) for row in rows[1:]], outputs, rtol=1e-3)


def test_pairs_have_a_table_and_account_for_the_output(page):
    found = sections()[1].attribution
    rows = page.table("Interactions")
    pairs = {frozenset(row[0].split(" × ")): float(row[1]) for row in rows[1:]}
    assert len(pairs) == 10
    for one, two in [(0, 1), (2, 4)]:
        assert pairs[frozenset("abcde"[k] for k in (one, two))] == pytest.approx(
            float(found.pairs[0, one, two]), rel=1e-3
        )
    (foot,) = [
        row for table in page.tables for row in table["rows"] if row[0].startswith("Sum of all values of players, p")
    ]
    assert float(foot[1]) == pytest.approx(float(found.output[0]), rel=1e-3)


def test_maps_say_where_they_are_strongest(read):
    heat = np.zeros((1, 6, 9))
    heat[0, 4, 1], heat[0, 0, 8] = -3.0, 1.0
    page = read(xai.Attribution(jnp.asarray(heat), jnp.ones(1), method="a map"))
    facts = dict(page.table("The map in numbers"))
    assert facts["Values"] == "from -3 to 1"
    assert facts["Strongest"] == "-3 in row 4 and column 1, lower left"
    assert facts["Half of the total |value|"] == "on 1.9 % of the area"
    assert "-3 in row 4 and column 1, lower left" in page.all("img")[0]["alt"]


def test_values_of_channels_are_summed_and_the_page_says_so(read):
    page = read(xai.Attribution(jnp.ones((1, 4, 4, 3)), jnp.ones(1), method="gradients"))
    assert dict(page.table("The map in numbers"))["Values"] == "3"
    assert "summed over channels" in page.all("img")[0]["alt"]


def test_words_are_colored_by_value_and_padding_is_left_out(page):
    words = [attributes["title"] for attributes in page.all("span") if "title" in attributes]
    assert words == ["+1", "-2", "+0.5"]
    (legend,) = [text for text in page.texts if "strongest color" in text]
    assert "±2" in legend  # the padding's 9 is no word's
    rows = [table["rows"] for table in page.tables if table["rows"][0][0] == "Word"]
    assert [[row[0] for row in table] for table in rows] == [
        ["Word", "<script>", "a", "\u05d0\u05d1", "Base value", "Output"]
    ]


def test_of_all_outputs_the_top_class_of_each_example_or_the_one_asked_for(read):
    values = jnp.arange(24.0).reshape(2, 4, 3) - 7
    attribution = xai.Attribution(values, jnp.array([[0.0, 5, 1], [9, 2, 3]]), jnp.zeros((2, 3)), method="m")
    page = read(xai.Section(attribution, classes=["a", "b", "c"]))
    top = {row[0]: float(row[1]) for row in page.table("Values of example 0")[1:]}
    assert top["player 0"] == values[0, 0, 1]
    assert top["Output"] == 5
    assert "the top class of each example, of 3 that were explained" in page.text
    page = read(xai.Section(attribution, classes=["a", "b", "c"], target=2))
    asked = {row[0]: float(row[1]) for row in page.table("Values of example 1")[1:]}
    assert asked["player 3"] == values[1, 3, 2]
    assert asked["Output"] == 3
    assert page.tables[0]["rows"][1] == ["Class", "c"]


def test_names_inputs_and_classes_are_the_attributions_own(read):
    own = table_values(
        3, 2, names=("age", "income"), inputs=jnp.array([[41.0, 2], [3, 4], [5, 6]]), output_names=("no", "yes"),
        target=jnp.ones(3, int),
    )  # fmt: skip
    page = read(own)
    rows = page.table("Values of example 0")
    assert rows[0][:3] == ["Player", "Input", "Value"]
    assert {tuple(row[:2]) for row in rows[1:3]} == {("age", "41"), ("income", "2")}
    assert dict(page.tables[0]["rows"])["Class"] == "yes"
    assert "Example 0: yes, output" in page.text


def test_examples_count_from_the_last_too(read):
    page = read(xai.Section(table_values(4, 2), examples=[-1, 0]))
    assert "Example 3: output" in page.text
    assert "Example 0: output" in page.text
    assert "Example 1: output" not in page.text


def test_values_of_different_classes_are_not_mixed(read):
    values = jnp.array([[1.0, 0.0], [0.0, 8.0], [3.0, 0.0]])
    page = read(xai.Attribution(values, values.sum(axis=1), target=jnp.array([0, 1, 0]), method="m"))
    assert "The examples explain different classes" in page.text
    assert page.table("Mean |value| over 2 examples of class 0")[1:][0][:2] == ["player 0", "2"]
    assert page.table("Mean |value| over 1 example of class 1")[1:][0][:2] == ["player 1", "8"]
    every = xai.Attribution(jnp.stack([values, -values], -1), jnp.array([[0.0, 1], [1, 0], [0, 1]]), method="m")
    assert "explain different classes" in read(every).text
    assert "explain different classes" not in read(xai.Section(every, target=1)).text


def test_units_of_values_are_stated(read):
    shap, plain = table_values(1, 2), table_values(1, 2, efficient=False)
    one = {"intercept": jnp.ones(1), "prediction": jnp.ones(1), "r_squared": jnp.ones(1)}
    lime = xai.Surrogate(shap.values, shap.output, **one, method="LIME", slopes=shap.values)
    units = [dict(read(each).tables[0]["rows"])["A value is"] for each in (shap, lime, plain)]
    assert units[:2] == ["the player's share of output − base value", "change of the output per standard deviation"]
    assert len(set(units)) == 3


def test_rounding_error_is_written_as_zero(read):
    values = np.array([[2.0, 8.8e-7, -1e-8]])
    errors = jnp.zeros((1, 3))
    page = read(
        xai.Attribution(jnp.asarray(values), jnp.asarray(values.sum(axis=1)), jnp.zeros(1), errors, efficient=True)
    )
    rows = page.table("Values")
    assert rows[0] == ["Player", "Value"]  # exact values have no intervals
    assert [row[1] for row in rows[1:4]] == ["+2", "0", "0"]
    assert "e-0" not in page.all("img")[0]["alt"]


def test_the_estimator_and_the_reason_of_its_choice_are_facts(read):
    chosen = table_values(2, 2, choices=(("exact", "4 coalitions"), ("paired", "many")), choice=jnp.zeros(2, int))
    facts = dict(read(chosen).tables[0]["rows"])
    assert (facts["Method"], facts["Estimator"], facts["Reason"]) == ("SHAP", "exact", "4 coalitions")


def test_a_game_written_by_hand_is_one_example(read):
    found = xai.shap.exact(xai.Game(lambda z: 3.0 * z[:, 0] - 1.0 * z[:, 1], num_players=2))
    page = read(xai.Section(found, names=["Ann", "Bo"], inputs=["full time", 2]))
    assert page.table("Values")[1:3] == [["Ann", "full time", "+3"], ["Bo", "2", "-1"]]
    assert "the example" in page.text.lower()
    assert "Waterfall from the base value 0 to the output 2" in page.all("img")[0]["alt"]
    assert "Ann (input full time) +3" in page.all("img")[0]["alt"]


def test_names_of_each_example_are_its_own(read):
    attribution = table_values(2, 2)
    page = read(xai.Section(attribution, names=[["age > 3", "low"], ["age <= 3", "high"]]))
    assert {row[0] for row in page.table("Values of example 1")} >= {"age <= 3", "high"}
    assert {row[0] for row in page.table("Values of example 0")} >= {"age > 3", "low"}
    assert "All examples" not in page.text  # whose names would they be


def test_a_thousand_players_are_summed_behind_the_first_five_hundred(read):
    values = np.linspace(1, 2, 1000)[None]
    page = read(xai.Section(xai.Attribution(jnp.asarray(values), jnp.ones(1), method="m")))
    rows = page.table("All of these values")
    assert rows[501][0] == "500 others, summed"
    assert float(rows[501][1]) == pytest.approx(np.linspace(1, 2, 1000)[:500].sum(), rel=1e-3)


def test_saved_options_and_keys_are_told(read, tmp_path):
    path = xai.save(tmp_path / "a", table_values(1, 2), options={"width": 0.75})
    page = read(xai.Section(xai.load(path), options=xai.load_options(path), key=jax.random.key(3)))
    facts = dict(page.tables[0]["rows"])
    assert facts["Option width"] == "0.75"
    assert facts["Key"].startswith("[0, 3]")
    old = read(xai.Section(table_values(1, 2), key=jax.random.PRNGKey(5)))
    assert dict(old.tables[0]["rows"])["Key"] == "[0, 5]"


def test_characters_that_no_page_may_hold_are_replaced(read):
    page = read(xai.Section(table_values(1, 2), title="a\x00b\ud800c", names=["d\x1be", "f"]))
    assert "a\ufffdb\ufffdc" in page.text
    assert page.table("Values")[2][0] in ("d\ufffde", "f")


def test_rounding_error_of_the_mean_is_written_0(tmp_path):
    values = jnp.array([[2.0, 3e-9], [1.0, -2e-9]])
    page = xai.report(
        tmp_path / "page", [xai.Attribution(values, values.sum(axis=1), names=("age", "zero"))]
    ).read_text()
    assert "e-09" not in page
