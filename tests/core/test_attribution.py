"""Attributions survive transformations and devices."""

import itertools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests import models
from tests.explainers import CASES


def test_it_survives_device_get_and_jit():
    case = CASES["lime.tabular"]
    attribution = case(case.model(), case.inputs())
    fetched = jax.device_get(attribution)
    assert isinstance(fetched.values, np.ndarray)
    assert isinstance(fetched, xai.Surrogate)
    again = jax.jit(lambda attribution: attribution)(fetched)
    np.testing.assert_array_equal(again.r_squared, attribution.r_squared)


def test_values_of_regions_lie_on_the_input():
    attribution = xai.Attribution(
        values=jnp.array([[1.0, 2.0]]), output=jnp.zeros(1), regions=jnp.array([[[0, 1], [1, 1]]])
    )
    np.testing.assert_array_equal(attribution.on_input(), [[[1, 2], [2, 2]]])


def small(count=3, **fields):
    values = jnp.arange(2.0 * count).reshape(count, 2) - 1
    return xai.Attribution(values=values, output=values.sum(axis=1), base_value=jnp.zeros(count), method="m", **fields)


def test_examples_are_chosen_by_number_slice_list_or_truth():
    attribution = small(std_errors=jnp.ones((3, 2)))
    assert attribution.num_examples == 3
    for rows in ([2, 0], np.array([2, 0]), jnp.array([-1, -3])):
        np.testing.assert_array_equal(attribution[rows].values, [[3, 4], [-1, 0]])
    np.testing.assert_array_equal(attribution[1:].output, [3, 7])
    np.testing.assert_array_equal(attribution[[False, True, False]].values, [[1, 2]])
    one = attribution[1]
    np.testing.assert_array_equal(one.values, [1, 2])
    assert one.num_examples is None
    assert one.method == "m"
    assert [float(row.output) for row in attribution] == [-1, 3, 7]
    for rows, error in ((3, IndexError), ([0, 5], IndexError), ([0.5], TypeError), ([True, False], TypeError)):
        with pytest.raises(error, match="`rows` must be"):
            attribution[rows]
    with pytest.raises(TypeError, match=r"`rows` must select examples, got \(0, 1\): index the arrays for more axes"):
        attribution[0, 1]
    with pytest.raises(TypeError, match="one example alone"):
        one[0]


def test_traced_indices_out_of_range_give_nan():
    """JAX itself would clamp them: index 7 of three examples gave the last one."""
    attribution = small(converged=jnp.ones(3, bool))
    for rows, expected in (([2, -1, 0], [[3, 4], [3, 4], [-1, 0]]), ([7, -4], np.full((2, 2), np.nan))):
        chosen = jax.jit(lambda rows: attribution[rows])(jnp.array(rows))
        np.testing.assert_array_equal(chosen.values, expected)
        np.testing.assert_array_equal(chosen.converged, np.isfinite(expected).all(axis=1))
    np.testing.assert_array_equal(jax.jit(lambda row: attribution[row])(3).values, [np.nan, np.nan])
    with pytest.raises(TypeError, match="`rows` must be known where it holds booleans"):
        jax.jit(lambda rows: attribution[rows].values)(jnp.array([True, False, True]))


def test_a_game_with_as_many_outputs_as_players_is_one_example():
    game = xai.Game(lambda z: z @ jnp.eye(2), num_players=2)
    assert xai.shap.exact(game).num_examples is None


def test_batches_put_together_are_the_whole():
    attribution = small(std_errors=jnp.ones((3, 2)))
    whole = xai.concatenate([attribution[:1], attribution[1:]])
    jax.tree.map(np.testing.assert_array_equal, whole, attribution)
    for others, error, message in (
        ([], ValueError, "at least one attribution"),
        ([attribution, small()], ValueError, "same fields, got std_errors"),
        ([small(), small(efficient=True)], ValueError, "one efficient, got False and True"),
        ([attribution[0]], ValueError, "one example alone at index 0"),
        ([3], TypeError, "results of explainers, got int"),
        ([small(), xai.Attribution(values=jnp.ones((1, 5)), output=jnp.ones(1), base_value=jnp.ones(1), method="m")],
         ValueError, "same players"),
    ):  # fmt: skip
        with pytest.raises(error, match=message):
            xai.concatenate(others)


def test_ten_classes_on_a_map_of_ten_rows_are_no_batch():
    values = jax.random.normal(jax.random.key(0), (1, 10, 7, 10))
    every = xai.Attribution(values=values, output=jnp.arange(10.0)[None], axes="N h w K", method="m")
    assert (every.num_examples, every.num_players, every.num_outputs) == (1, 70, 10)
    alone = every[0]
    assert (alone.axes, alone.num_examples, alone.num_outputs) == ("h w K", None, 10)
    with pytest.raises(TypeError, match="one example alone"):
        alone[0]
    fourth = every.of_output(3)
    assert (fourth.axes, fourth.target.tolist(), fourth.output.tolist()) == ("N h w", [3], [3.0])
    np.testing.assert_array_equal(fourth.values, values[..., 3])
    np.testing.assert_array_equal(alone.of_output(-1).values, values[0, ..., 9])
    assert alone.of_output(-1).target.tolist() == 9
    for output, error, message in (
        (10, IndexError, "from -10 to 9"), (True, TypeError, "got True"), ("cat", TypeError, "no output names"),
    ):  # fmt: skip
        with pytest.raises(error, match=message):
            every.of_output(output)
    with pytest.raises(TypeError, match="one output of each example already"):
        fourth.of_output(0)


def test_one_output_of_every_field_by_number_and_by_name():
    case = CASES["shap.values, all outputs"]
    every = case(case.model(), case.inputs()).with_names(output_names=["a", "b", "c"])
    for number, name in enumerate("abc"):
        own = every.of_output(name)
        np.testing.assert_array_equal(own.std_errors, every.std_errors[..., number])
        np.testing.assert_array_equal(own.num_evaluations, every.num_evaluations)
        np.testing.assert_array_equal(own.target, [number] * 4)
        np.testing.assert_array_equal(own.base_value, every.base_value[:, number])


def test_one_example_lies_on_its_input():
    case = CASES["shap.exact, regions"]
    attribution = case(case.model(), case.inputs())
    np.testing.assert_array_equal(attribution[2].on_input(), attribution.on_input()[2])
    np.testing.assert_array_equal(attribution[-1].on_input(), attribution.on_input()[3])
    assert len(attribution) == 4
    assert [row.axes for row in attribution] == ["M"] * 4


def test_leaves_that_lost_or_gained_an_axis_are_noticed():
    for change, message in (
        (lambda leaf: leaf[0], r"select examples with attribution\[i\]"),
        (lambda leaf: leaf[None], "vmap"),
    ):
        with pytest.raises(TypeError, match=message):
            len(jax.tree.map(change, small()))


def test_budgets_do_not_change_the_tree():
    model, masker = models.table_net(), xai.mask.background(models.rows(5, seed=1))
    x, key = models.rows(3), jax.random.key(0)
    games = xai.game(model, x, masker, target=0)
    few, many = (xai.shap.permutation(games, key=key, num_permutations=count) for count in (8, 16))
    assert (
        jax.tree.map(lambda left, right: left - right, many, few).num_evaluations.tolist()
        == [16 * (x.shape[1] - 1)] * 3
    )
    players = x.shape[1]
    budgets = (2 * players, 6 * players, 2**players)
    chosen = [xai.shap.values(model, x, masker, key=key, target=0, num_evaluations=budget) for budget in budgets]
    assert len({result.estimator for result in chosen}) == 3
    for left, right in itertools.pairwise(chosen):
        assert jax.tree.structure(left) == jax.tree.structure(right)
        picked = jax.lax.cond(True, lambda left=left: left, lambda right=right: right)
        assert (picked.estimator, picked.reason) == (left.estimator, left.reason)
    whole = xai.concatenate([chosen[0][:1], chosen[2][1:]])
    assert [row.estimator for row in whole] == [chosen[0].estimator, "exact", "exact"]


def test_names_and_inputs_travel_with_the_attribution():
    model, rows, x = models.table_net(), models.rows(5, seed=1), models.rows(3)
    names = [f"column {letter}" for letter in "abcdefghijkl"[: x.shape[1]]]
    attribution = xai.shap.values(
        model, x, xai.mask.background(rows), key=jax.random.key(0), names=names, output_names=["no", "maybe", "yes"]
    )
    np.testing.assert_array_equal(attribution.inputs, x)
    assert attribution[1].player_names() == names
    record = xai.records(attribution)[x.shape[1] + 1]
    assert (record["name"], record["input"]) == (names[1], float(x[1, 1]))
    assert record["output"] == ["no", "maybe", "yes"][int(attribution.target[1])]
    np.testing.assert_array_equal(jax.jit(lambda a: a)(attribution).inputs, x)
    assert jax.jit(lambda a: a)(attribution).names == tuple(names)
    assert attribution.without_inputs().inputs is None


def test_names_of_each_example_are_sliced_and_joined():
    first = small(2, names=(("a", "b"), ("c", "d")))
    assert first[1].player_names() == ["c", "d"]
    assert first[[1, 0]].names == (("c", "d"), ("a", "b"))
    joined = xai.concatenate([first, small(1, names=("e", "f"))])
    assert joined.names == (("a", "b"), ("c", "d"), ("e", "f"))
    assert [row["name"] for row in xai.records(joined)] == list("abcdef")
    with pytest.raises(ValueError, match="`example` must say whose"):
        first.player_names()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"names": ["a"]}, ValueError, "`names` must hold 2 names, one per player, got 1"),
        ({"names": "ab"}, TypeError, "`names` must be a sequence of 2 names"),
        ({"names": [1, 2]}, TypeError, "`names` must be strings"),
        ({"names": [["a", "b"], ["c"], ["d", "e"]]}, ValueError, r"`names\[1\]` must hold 2 names"),
        ({"output_names": 3}, TypeError, "`output_names` must be a sequence"),
        ({"inputs": np.ones((2, 2))}, ValueError, r"`inputs` must have shape \[3, 2\], got \[2, 2\]"),
    ],
)
def test_wrong_names_and_inputs_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        small().with_names(**options)


def test_mean_sizes_are_over_examples():
    np.testing.assert_allclose(small().mean_abs(), [5 / 3, 2])


def average(attribution):
    return attribution.mean_abs()


def curves(attribution):
    return xai.metrics.PartialDependence(
        outputs=attribution.values, output=attribution.output, inputs=jnp.ones((3, 1)), grids=(jnp.arange(2.0),),
        target=attribution.target,
    ).mean  # fmt: skip


@pytest.mark.parametrize(
    ("of_rows", "fix"),
    [
        (average, r"target=0, or average the rows of one class, attribution\[attribution.target == 0\]"),
        (lambda attribution: xai.scale.summarize([attribution[:2], attribution[2:]]), "target=0, or average"),
        (lambda attribution: xai.lime.submodular_pick(attribution, 1), "target=0, or average"),
        (curves, "target=0"),
    ],
    ids=["mean_abs", "summarize", "submodular_pick", "partial dependence"],
)
def test_averages_over_rows_that_explain_different_classes_say_so(of_rows, fix):
    mixed = small(target=jnp.array([1, 1, 0]))
    with pytest.warns(
        UserWarning, match=r"different classes \((2 of class 1, 1 of|from class 0 to) class [01]\).*" + fix
    ):
        of_rows(mixed)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for rows in (mixed[mixed.target == 1], small(target=jnp.array([2, 2, 2])), small()):
            average(rows)
            xai.scale.summarize(rows)
        jax.jit(average)(mixed)
        average(xai.Attribution(values=jnp.ones((3, 2, 2)), output=jnp.ones((3, 2)), axes="N M K"))


def test_records_say_each_value_once():
    attribution = small(target=jnp.array([1, 0, 1]), std_errors=jnp.full((3, 2), 0.5))
    found = xai.records(attribution, names=["a", "b"], inputs=np.arange(6).reshape(3, 2))
    assert len(found) == 6
    assert found[3] == {
        "example": 1, "output": 0, "player": 1, "name": "b", "value": 2.0, "std_error": 0.5, "input": 3,
        "model_output": 3.0, "base_value": 0.0,
    }  # fmt: skip
    every_class = xai.Attribution(values=jnp.arange(4.0).reshape(1, 2, 2), output=jnp.array([[5.0, 6]]))
    assert [(row["player"], row["output"], row["value"], row["model_output"]) for row in xai.records(every_class)] == [
        (0, 0, 0.0, 5.0), (0, 1, 1.0, 6.0), (1, 0, 2.0, 5.0), (1, 1, 3.0, 6.0),
    ]  # fmt: skip
    assert xai.records(attribution[1])[1]["value"] == 2.0
    with pytest.raises(ValueError, match="must be of players"):
        xai.records(xai.Attribution(values=jnp.ones((2, 3, 3)), output=jnp.ones(2)))
    with pytest.raises(ValueError, match="`names` must hold 2 names, one per player, got 1"):
        xai.records(attribution, names=["a"])
    with pytest.raises(ValueError, match=r"`inputs` must have shape \[3, 2\], got \[2\]"):
        xai.records(attribution, inputs=np.ones(2))


def test_it_says_what_it_holds_also_while_tracing():
    attribution = small(converged=jnp.array([True, False, True]))
    said = repr(attribution)
    assert said.startswith("Attribution by m\n")
    assert "values              float32[3, 2] from -1 to 4" in said
    assert "base_value          float32[3] all 0" in said
    assert "converged           bool[3] 2 of 3" in said
    assert "std_errors" not in said
    inside = []
    jax.jit(lambda attribution: inside.append(repr(attribution)) or attribution.values)(attribution)
    assert "float32[3, 2]\n" in inside[0]
    assert "float32[3, 2] from 0 to 4, 1 NaN" in repr(
        xai.Attribution(values=attribution.values.at[0, 0].set(jnp.nan), output=attribution.output)
    )
