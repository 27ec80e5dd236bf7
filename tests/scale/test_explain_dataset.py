"""A store holds the answer of the explainer for each row, with any explainer and any other rows."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests import models
from tests.scale import _host
from tests.scale._killed import contents
from tests.scale._sources import BATCH, ROWS, Explainer, Rows, explain
from tests.test_composition import assert_equal
from xaijax.scale.dataset._manifest import read_entries
from xaijax.scale.dataset._recipe import read_recipe

CASES = ("grad_cam", "lime", "permutation", "kernel")
each_case = pytest.mark.parametrize("name", CASES)
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def by_one_device(tmp_path_factory):
    folder = tmp_path_factory.mktemp("one")
    _host.explain_all(folder, devices=jax.devices()[:1])
    return folder


@pytest.fixture(scope="module")
def by_eight_devices(tmp_path_factory):
    folder = tmp_path_factory.mktemp("eight")
    _host.explain_all(folder)
    return folder


@pytest.fixture(
    scope="module", params=[3, pytest.param(2, marks=pytest.mark.slow), pytest.param(4, marks=pytest.mark.slow)]
)
def by_hosts(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hosts")
    port = free_port()
    hosts = [start_host("all", port, request.param, number, folder) for number in range(request.param)]
    said = [host.communicate(timeout=240)[1] for host in hosts]
    assert [host.returncode for host in hosts] == [0] * request.param, said
    return folder, request.param


def free_port():
    with socket.socket() as one:
        one.bind(("localhost", 0))
        return one.getsockname()[1]


def start_host(what, port, count, number, folder):
    """A process of its own, with two devices."""
    flags = re.sub(r"(device_count)=8", r"\1=2", os.environ["XLA_FLAGS"])
    words = [sys.executable, "-m", "tests.scale._host", what, str(port), str(count), str(number), str(folder)]
    return subprocess.Popen(
        words,
        cwd=ROOT,
        env=os.environ | {"XLA_FLAGS": flags},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def assert_same_store(one, other):
    """The same numbers, and the same rows without."""
    left, right = xai.load(one), xai.load(other)
    known = ~np.isnan(np.asarray(left.output))
    np.testing.assert_array_equal(known, ~np.isnan(np.asarray(right.output)))
    assert_equal(left[known], right[known])
    np.testing.assert_array_equal(xai.scale.load_ids(one), xai.scale.load_ids(other))
    assert xai.scale.failures(one) == xai.scale.failures(other)


@each_case
def test_the_store_holds_what_the_explainer_says(name, by_one_device):
    explainer, source, options, key = _host.cases()[name]
    stored = xai.load(by_one_device / name)
    good = np.flatnonzero(~np.isnan(source.reshape(len(source), -1)).any(axis=1))
    given = {} if key is None else {"key": key, "ids": jnp.asarray(good)}
    assert_equal(explainer(source[good], **options, **given), stored[good])
    assert len(good) == len(source) - len(xai.scale.failures(by_one_device / name))


@each_case
def test_eight_devices_say_what_one_says(name, by_one_device, by_eight_devices):
    assert_same_store(by_one_device / name, by_eight_devices / name)
    assert xai.scale.load_summary(by_eight_devices / name).devices == 8


@pytest.mark.parametrize("name", _host.ON_HOSTS)
def test_processes_on_several_hosts_say_what_one_says(name, by_one_device, by_hosts):
    folder, count = by_hosts
    assert_same_store(by_one_device / name, folder / name)
    summary = xai.scale.load_summary(folder / name)
    assert (summary.hosts, summary.devices, summary.rows_reused) == (count, 2 * count, 0)
    assert not (folder / name / "xaijax" / "hosts").exists()


def test_devices_exchange_nothing():
    explainer, source, options, key = _host.cases()["lime"]
    program = read_recipe(explainer, options, key).lower(source[:8], np.arange(8, dtype=np.int32), jax.devices())
    text = program.compile().as_text()
    assert "num_partitions=8" in text
    for collective in ("all-reduce", "all-gather", "all-to-all", "collective-permute", "reduce-scatter"):
        assert collective not in text


def test_parameters_are_arguments_of_the_program():
    model = xai.function(lambda w, x: x @ w, jnp.full((6,), 3.25))
    explainer = jax.tree_util.Partial(xai.shap.linear, model)
    recipe = read_recipe(explainer, {"rows": jnp.full((2, 6), 5.75)}, None)
    text = recipe.lower(np.ones((4, 6), np.float32), np.arange(4, dtype=np.int32), jax.devices()[:1]).as_text()
    assert "3.25" not in text
    assert "5.75" not in text


def test_the_last_batch_is_not_compiled_again(tmp_path):
    shapes = []

    def explainer(x):
        shapes.append(x.shape)
        return xai.Attribution(2 * x, x.sum(axis=1))

    source = np.arange(138, dtype=np.float32).reshape(ROWS, 6)
    xai.scale.explain_dataset(explainer, source, tmp_path / "s", batch_size=BATCH, progress=False)
    assert set(shapes) == {(1, 6), (BATCH, 6)}  # a row for each of eight devices, and the program that is compared
    assert shapes.count((1, 6)) <= 2  # for the shapes of the answer, and to compile
    np.testing.assert_array_equal(xai.load(tmp_path / "s").values, 2 * source)


def test_the_answer_of_a_row_follows_its_id_alone(tmp_path):
    explainer, source, options, key = _host.cases()["permutation"]
    order = np.random.default_rng(0).permutation(len(source))
    given = {"key": key, "options": options, "progress": False}
    xai.scale.explain_dataset(explainer, source, tmp_path / "a", batch_size=8, **given)
    xai.scale.explain_dataset(explainer, source[order], tmp_path / "b", batch_size=16, ids=order, **given)
    there = xai.load(tmp_path / "b")
    here = xai.load(tmp_path / "a", rows=order)
    known = ~np.isnan(np.asarray(here.output))
    assert_equal(here[known], there[known])
    np.testing.assert_array_equal(xai.scale.load_ids(tmp_path / "b"), order)


def test_rows_may_be_trees_and_any_model_may_explain_them(tmp_path):
    """Rows with a label each, an NNX module, and its class explained."""

    def explainer(net, x):
        return xai.cam.grad_cam(net, x["image"], layer="blocks/0", target=x["label"])

    images, labels = np.array(models.images(4)), np.array([2, 0, 1, 2])
    source = [{"image": image, "label": label} for image, label in zip(images, labels, strict=True)]
    bound = jax.tree_util.Partial(explainer, models.nnx_net())
    xai.scale.explain_dataset(bound, source, tmp_path / "s", batch_size=3, devices=jax.devices()[:1], progress=False)
    expected = xai.cam.grad_cam(models.nnx_net(), images, layer="blocks/0", target=labels)
    assert_equal(expected, xai.load(tmp_path / "s"))


def test_an_exported_explainer_explains_a_data_set(tmp_path):
    rows = np.arange(138, dtype=np.float32).reshape(ROWS, 6)
    path = xai.scale.export(lambda x: xai.shap.linear(lambda x: x @ jnp.arange(6.0), x, rows[:2]), rows, tmp_path / "e")
    given = {"batch_size": 8, "progress": False}
    xai.scale.explain_dataset(xai.load(path), rows, tmp_path / "s", **given)
    np.testing.assert_allclose(xai.load(tmp_path / "s").values, (rows - rows[:2].mean(axis=0)) * np.arange(6))
    again = xai.scale.explain_dataset(xai.load(path), rows, tmp_path / "s", **given)
    assert again.rows_reused == ROWS


def _without_rows(x):
    return xai.Attribution(x, x.sum(axis=1), base_value=x.sum())


def bad_rows():
    return {
        1: ValueError("broken file"),
        4: np.array([0, 1, np.nan, 0, 0, 0], np.float32),
        7: np.zeros(5, np.float32),
        8: np.array(["a"] * 6),
        **{row: KeyError(row) for row in range(10, 15)},  # a whole chunk
        22: {"x": np.zeros(6, np.float32)},
    }


def test_bad_rows_are_recorded_and_the_rest_goes_on(tmp_path):
    ids = np.arange(ROWS) + 100
    summary = explain(Rows(broken=bad_rows()), tmp_path / "bad", ids=ids)
    explain(Rows(), tmp_path / "good", ids=ids)
    found = xai.scale.failures(tmp_path / "bad")
    assert [one.row for one in found] == sorted(bad_rows())
    assert [one.id for one in found] == [row + 100 for row in sorted(bad_rows())]
    reasons = {one.row: one.reason for one in found}
    assert reasons[1] == "ValueError: broken file"
    assert reasons[4] == "NaN in the row"
    assert reasons[7] == "wrong shape [5], expected [6]"
    assert reasons[8] == "wrong dtype <U1, expected float32"
    assert reasons[12] == "KeyError: 12"
    assert reasons[22].startswith("wrong structure")
    assert (summary.rows, summary.explained, summary.failed) == (ROWS, ROWS - len(found), len(found))
    bad, good = xai.load(tmp_path / "bad"), xai.load(tmp_path / "good")
    failed = np.isin(np.arange(ROWS), list(bad_rows()))
    assert_equal(good[~failed], bad[~failed])
    assert np.isnan(bad.values[failed]).all()
    assert np.isnan(bad.output[failed]).all()
    assert (bad.target[failed] == -1).all()


def test_masked_values_are_failures(tmp_path):
    source = np.ma.array(np.ones((ROWS, 6), np.float32))
    source[4, 2] = np.ma.masked
    source[9] = np.ma.masked
    explain(source, tmp_path / "s")
    assert [(failure.row, failure.reason) for failure in xai.scale.failures(tmp_path / "s")] == [
        (4, "masked values in the row"),
        (9, "masked values in the row"),
    ]
    assert np.isnan(xai.load(tmp_path / "s").values[np.array([4, 9])]).all()


def test_64_bits_are_kept_in_a_store(tmp_path):
    def explainer(x, ids):
        values = x.astype(np.float64) / 3
        return xai.Attribution(values, values.sum(axis=1), target=ids.astype(np.int64) + 2**40)

    explain(Rows(), tmp_path / "s", explainer)
    with pytest.warns(UserWarning, match=r"values: float64, output: float64, target: int64\), which stay NumPy"):
        loaded = xai.load(tmp_path / "s", rows=[3, 5])
    assert (loaded.values.dtype, loaded.target.tolist()) == (np.float64, [2**40 + 3, 2**40 + 5])
    np.testing.assert_array_equal(loaded.values[0], Rows()[3].astype(np.float64) / 3)


def test_names_are_kept_and_those_of_single_examples_are_not(tmp_path):
    def named(names):
        return lambda x, ids: xai.Attribution(x, x.sum(axis=1), names=names, output_names=("yes",), efficient=True)

    explain(Rows(), tmp_path / "all", named(tuple("abcdef")))
    loaded = xai.load(tmp_path / "all", rows=3)
    assert (loaded.names, loaded.output_names, loaded.efficient, loaded.axes) == (tuple("abcdef"), ("yes",), True, "M")
    explain(Rows(), tmp_path / "all", named(tuple("abcdef")))  # resumes
    explain(Rows(), tmp_path / "each", named((tuple("abcdef"),) * 5))
    assert xai.load(tmp_path / "each").names is None


def test_an_explanation_that_is_nan_is_a_failure(tmp_path):
    def explainer(x, ids):
        found = Explainer()(x, ids)
        found.values[ids == 6, 2] = np.nan
        return found

    explain(Rows(), tmp_path / "s", explainer)
    (failure,) = xai.scale.failures(tmp_path / "s")
    assert (failure.row, failure.reason) == (6, "NaN in the explanation")
    assert np.isnan(xai.load(tmp_path / "s", rows=6).values).all()


def test_too_many_failures_stop_the_run_and_a_higher_limit_goes_on(tmp_path):
    source = Rows(broken={row: ValueError("broken file") for row in range(3, 20)})
    with pytest.raises(
        RuntimeError, match=r"rows could not be explained, but max_failures is 4\. The last: row \d+, ValueError: br"
    ):
        explain(source, tmp_path / "s", max_failures=4)
    finished = len(read_entries(tmp_path / "s"))
    assert 0 < finished <= 5
    with pytest.raises(RuntimeError, match="max_failures is 5"):
        explain(source, tmp_path / "s", max_failures=5)
    summary = explain(source, tmp_path / "s", max_failures=17)
    assert (summary.failed, summary.explained) == (17, 6)
    explain(source, tmp_path / "whole", max_failures=None)
    assert contents(tmp_path / "s") == contents(tmp_path / "whole")


def test_storage_that_fails_once_is_asked_again(tmp_path, monkeypatch):
    monkeypatch.setattr("xaijax.scale.dataset._source._WAIT", 0.0)
    row = np.arange(6, dtype=np.float32)
    source = Rows(broken={3: [OSError("timeout"), OSError("timeout"), row], 5: OSError("gone")})
    summary = explain(source, tmp_path / "s")
    assert [(one.row, one.reason) for one in xai.scale.failures(tmp_path / "s")] == [(5, "OSError: gone")]
    assert summary.retries == 4
    np.testing.assert_array_equal(xai.load(tmp_path / "s", rows=3).values, 2 * row + 3)


def test_failed_chunks_are_explained_again_when_asked(tmp_path):
    explain(Rows(broken={6: ValueError("not there today")}), tmp_path / "s")
    explain(Rows(), tmp_path / "s")
    assert len(xai.scale.failures(tmp_path / "s")) == 1
    summary = explain(Rows(), tmp_path / "s", redo_failures=True)
    assert summary.rows_reused == ROWS - BATCH
    assert xai.scale.failures(tmp_path / "s") == []
    explain(Rows(), tmp_path / "whole")
    assert contents(tmp_path / "s") == contents(tmp_path / "whole")


def test_several_readers_read_the_same(tmp_path):
    explain(Rows(broken=bad_rows()), tmp_path / "one")
    explain(Rows(broken=bad_rows()), tmp_path / "four", readers=4)
    assert contents(tmp_path / "one") == contents(tmp_path / "four")


def test_any_rows_of_a_store_can_be_read(tmp_path):
    explain(Rows(), tmp_path / "s")
    whole = np.asarray(xai.load(tmp_path / "s").values)
    for rows in (slice(4, 13), slice(None, None, 3), [5, 1, 1, 22], -1, np.arange(ROWS) % 2 == 0):
        np.testing.assert_array_equal(xai.load(tmp_path / "s", rows=rows).values, whole[rows])
    assert xai.load(tmp_path / "s").method == "twice"
    with pytest.raises(IndexError, match="`rows` must lie within the 23 rows of the store, got 23"):
        xai.load(tmp_path / "s", rows=23)
    for rows in ([0.5], slice("a"), [[1], [2, 3]], "1", [[1]], np.ma.array([1], mask=[True]), 10**30):
        with pytest.raises(TypeError, match="`rows` must be a number, a slice, numbers or 23 booleans"):
            xai.load(tmp_path / "s", rows=rows)


def test_the_store_is_plain_zarr(tmp_path):
    """As the format has it: described by zarr.json, a file for each chunk, little endian numbers and their CRC."""
    explain(Rows(), tmp_path / "s")
    chunk = np.frombuffer((tmp_path / "s/values/c/1/0").read_bytes()[:-4], "<f4").reshape(BATCH, 6)
    np.testing.assert_array_equal(chunk, xai.load(tmp_path / "s", rows=slice(5, 10)).values)
    assert '"zarr_format": 3' in (tmp_path / "s/zarr.json").read_text()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"explainer": 3}, "`explainer` must be callable as explainer"),
        ({"source": 3}, "`source` must give its rows by source"),
        ({"source": []}, "`source` must have at least one row"),
        ({"source": [["a"]]}, "rows that are arrays of numbers, or PyTrees of them, got rows of <U1"),
        (
            {"source": Rows(2, broken={0: KeyError(1), 1: KeyError(2)})},
            "can be read, got none among .*; row 0: KeyError: 1",
        ),
        ({"key": 3}, "key.? must be one JAX random key"),
        ({"key": jax.random.PRNGKey(0)}, "`key` must be left out"),
        ({"options": {"factr": 2}}, "must hold arguments of the explainer, .* got 'factr' \\(did you mean 'factor'"),
        ({"options": {"ids": 2}}, "pass it to explain_dataset itself, as ids="),
        ({"options": [2]}, "`options` must be a dict"),
        ({"ids": np.arange(3)}, r"ids.? must be integers \[23\], one for each row of the source, got int64\[3\]"),
        ({"ids": [[1], [2, 3]]}, r"`ids` must be integers \[23\]"),
        ({"ids": np.arange(ROWS) + 2**31}, "`ids` must fit int32"),
        ({"ids": np.arange(ROWS) + 2**32}, "`ids` must fit int32"),
        ({"ids": np.arange(ROWS, dtype=np.uint64) + 2**63}, "`ids` must fit int32"),
        ({"ids": -np.arange(ROWS) - 2**31}, "`ids` must fit int32"),
        (
            {"ids": np.ma.array(np.arange(ROWS), mask=np.arange(ROWS) == 2)},
            "without missing values, got a masked array",
        ),
        ({"options": {"factor": np.ma.array([1.0], mask=[True])}}, "without missing values, got a masked array"),
        ({"source": np.array([[None] * 6] * 3, object)}, "rows that are arrays of numbers, .* got rows of object"),
        ({"source": np.ones(())}, "`source` must have rows"),
        ({"source": [["a", {}], [1]]}, "rows that are arrays of numbers"),
        ({"fingerprint": 3}, "`fingerprint` must be a string"),
        ({"batch_size": 0}, "batch_size.? must be at least 1"),
        ({"readers": 0}, "readers.? must be at least 1"),
        ({"max_failures": -1}, "max_failures.? must be at least 0"),
        ({"host_timeout": 0}, "host_timeout.? must be finite and above zero"),
        ({"devices": [3]}, "`devices` must be JAX devices"),
        ({"hosts": 2}, "`hosts` must be"),
        ({"hosts": (2, 2)}, r"`hosts\[0\]` must be below hosts\[1\]"),
        ({"explainer": lambda x, key: x, "key": jax.random.PRNGKey(0)}, "must take ids where it takes a key"),
        ({"explainer": lambda x, key, ids: x}, "`key` must be given"),
        ({"explainer": lambda x: x}, "`explainer` must return an attribution"),
        (
            {"explainer": lambda x: xai.Attribution(x, x[:1, 0])},
            "one entry for each of the 2 rows, got output of shape",
        ),
        ({"explainer": _without_rows, "compiled": True}, r"each of the \d rows, got base_value of shape \[\]"),
    ],
)
def test_wrong_arguments_are_named(change, message, tmp_path):
    given = {"explainer": _by_factor, "source": Rows()} | change
    source, explainer = given.pop("source"), given.pop("explainer")
    with pytest.raises((TypeError, ValueError), match=message):
        explain(source, tmp_path / "s", explainer, **given)
    assert not (tmp_path / "s").exists()


def _by_factor(x, ids, factor=2.0):
    return Explainer(factor)(x, ids)
