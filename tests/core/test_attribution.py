"""Attributions survive transformations, devices and files."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests import models
from tests.explainers import CASES


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_saved_and_loaded_it_is_the_same(case, tmp_path):
    attribution = case(case.model(), case.inputs())
    path = xai.save(tmp_path / "attribution", attribution)
    assert path.suffix == ".npz"
    loaded = xai.load(path)
    assert type(loaded) is type(attribution)
    assert loaded.method == attribution.method
    assert jax.tree.structure(loaded) == jax.tree.structure(attribution)
    jax.tree.map(np.testing.assert_array_equal, loaded, attribution)


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


def test_other_files_are_refused(tmp_path):
    np.savez(tmp_path / "other.npz", values=np.zeros(3))
    with pytest.raises(ValueError, match="holds no attribution"):
        xai.load(tmp_path / "other.npz")
    with pytest.raises(TypeError, match="attribution must be what an explainer returns"):
        xai.save(tmp_path / "x", models.rows(2))


def test_a_file_keeps_the_options_that_made_it(tmp_path):
    case = CASES["shap.exact, regions"]
    attribution = case(case.model(), case.inputs())
    path = xai.save(tmp_path / "attribution", attribution, options={"seed": 3, "layers": ["a", "b"]})
    assert xai.load_options(path) == {"seed": 3, "layers": ["a", "b"]}
    assert xai.load_options(xai.save(tmp_path / "other", attribution)) == {}
    with pytest.raises(TypeError, match="options must be what JSON can say"):
        xai.save(tmp_path / "x", attribution, options={"key": jax.random.key(0)})


def small(count=3, **fields):
    values = jnp.arange(2.0 * count).reshape(count, 2) - 1
    return xai.Attribution(values=values, output=values.sum(axis=1), base_value=jnp.zeros(count), method="m", **fields)


def test_files_that_are_cut_short_foreign_or_newer_are_refused(tmp_path):
    path = xai.save(tmp_path / "attribution", small())
    whole = path.read_bytes()
    for size in (0, 10, len(whole) // 2, len(whole) - 30):
        (tmp_path / "cut.npz").write_bytes(whole[:size])
        with pytest.raises(ValueError, match="cut short, or no file that xai.save wrote"):
            xai.load(tmp_path / "cut.npz")
    (tmp_path / "text.npz").write_text("no zip at all")
    with pytest.raises(ValueError, match="cut short, or no file that xai.save wrote"):
        xai.load(tmp_path / "text.npz")
    for header, message in (
        ({"format": 99, "kind": "Attribution"}, "format 99, but this version"),
        ({"kind": "Map"}, "'Map'"),
    ):
        np.savez(tmp_path / "new.npz", header=np.array(json.dumps(header)), values=np.zeros(3))
        with pytest.raises(ValueError, match=message):
            xai.load(tmp_path / "new.npz")
    with pytest.raises(FileNotFoundError):
        xai.load(tmp_path / "none.npz")


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
        with pytest.raises(error, match="attribution"):
            attribution[rows]
    with pytest.raises(TypeError, match="one example alone"):
        one[0]


def test_a_game_with_as_many_outputs_as_players_is_one_example():
    game = xai.Game(lambda z: z @ jnp.eye(2), num_players=2)
    assert xai.shap.exact(game).num_examples is None


def test_batches_put_together_are_the_whole():
    attribution = small(std_errors=jnp.ones((3, 2)))
    whole = xai.concatenate([attribution[:1], attribution[1:]])
    jax.tree.map(np.testing.assert_array_equal, whole, attribution)
    for others, error, message in (
        ([], ValueError, "empty"),
        ([attribution, small()], ValueError, "one kind and method"),
        ([attribution[0]], ValueError, "single game"),
        ([3], TypeError, "what explainers return"),
        ([small(), xai.Attribution(values=jnp.ones((1, 5)), output=jnp.ones(1), base_value=jnp.ones(1), method="m")],
         ValueError, "same players"),
    ):  # fmt: skip
        with pytest.raises(error, match=message):
            xai.concatenate(others)


def test_mean_sizes_are_over_examples():
    np.testing.assert_allclose(small().mean_abs(), [5 / 3, 2])


def test_records_say_each_value_once():
    attribution = small(target=jnp.array([1, 0, 1]), std_errors=jnp.full((3, 2), 0.5))
    found = xai.records(attribution, names=["a", "b"], inputs=np.arange(6).reshape(3, 2))
    assert len(found) == 6
    assert found[3] == {
        "example": 1, "player": 1, "value": 2.0, "name": "b", "class": 0, "std_error": 0.5, "input": 3, "output": 3.0,
        "base_value": 0.0,
    }  # fmt: skip
    every_class = xai.Attribution(values=jnp.arange(4.0).reshape(1, 2, 2), output=jnp.array([[5.0, 6]]))
    assert [(row["player"], row["class"], row["value"], row["output"]) for row in xai.records(every_class)] == [
        (0, 0, 0.0, 5.0), (0, 1, 1.0, 6.0), (1, 0, 2.0, 5.0), (1, 1, 3.0, 6.0),
    ]  # fmt: skip
    assert xai.records(attribution[1])[1]["value"] == 2.0
    with pytest.raises(ValueError, match="must be of players"):
        xai.records(xai.Attribution(values=jnp.ones((2, 3, 3)), output=jnp.ones(2)))
    with pytest.raises(ValueError, match="names must be one for each of the 2 players"):
        xai.records(attribution, names=["a"])
    with pytest.raises(ValueError, match=r"inputs must have shape \[3, 2\]"):
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
