"""Explainers in files: the same numbers in a process that knows nothing of the model, and clear words for bad files."""

import functools
import json
import os
import pickle
import subprocess
import sys
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests import models
from xaijax._core.blocks import in_blocks
from xaijax._io import archive

KEY, INNER_KEY = jax.random.key(3), jax.random.key(9)
SCALE = np.arange(1, 4).astype(jnp.bfloat16)
N = 5

# Flax cannot be imported here, nor the models' code.
ANSWER = """
import sys
sys.modules["flax"] = sys.modules["tests"] = None
folder, *names = sys.argv[1:]
import jax, numpy as np, xaijax as xai
xai.scale.compilation_cache(folder + "/programs")
for name in names:
    explain = xai.load(f"{folder}/{name}.zip")
    xai.save(f"{folder}/{name}", explain(np.load(f"{folder}/{name}.npy"), jax.random.key(3), np.arange(5) + 40))
assert not any(module.startswith("flax") for module in sys.modules if sys.modules[module])
"""


def grad_cam(x):
    return xai.cam.grad_cam(models.linen_net(), x, layer="conv", upsample=True)


def permutation(x, key, ids):
    game = xai.game(models.table_net(), x, xai.mask.background(models.rows(5, seed=1)), target=2)
    return xai.shap.permutation(game, num_permutations=3, key=key, ids=ids)


def lime():
    return functools.partial(
        xai.lime.tabular,
        models.table_net(),
        training_statistics=xai.lime.statistics(models.rows(50, seed=2)),
        num_samples=64,
    )


def known(x):
    """Cheap to compile: of a dictionary, with every type of constant, random, and with pairs."""
    scale = x["rows"] * SCALE + jax.random.uniform(INNER_KEY, (3,))
    return xai.Interactions(
        values=scale, output=scale.sum(axis=1) + x["more"][0], pairs=scale[:, :, None] * scale[:, None], index="known"
    )


def inputs(count=N):
    return {"rows": models.rows(count, 3), "more": (jnp.arange(count),)}


CASES = {
    "grad_cam": (grad_cam, lambda: models.images(N), set()),
    "permutation": (permutation, lambda: models.rows(N), {"key", "ids"}),
    "lime": (lime(), lambda: models.rows(N), {"key", "ids"}),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    for name, (explainer, x, _) in CASES.items():
        np.save(folder / f"{name}.npy", x())
        assert xai.scale.export(explainer, x()[:2], folder / name) == folder / f"{name}.zip"
    return folder


@pytest.fixture(scope="module")
def originals():
    given = {"key": KEY, "ids": jnp.arange(N) + 40}
    return {
        name: explainer(x(), **{argument: given[argument] for argument in takes})
        for name, (explainer, x, takes) in CASES.items()
    }


@pytest.fixture(scope="module")
def simple(tmp_path_factory):
    """The file of an explainer that is cheap to compile."""
    return xai.scale.export(known, inputs(1), tmp_path_factory.mktemp("simple") / "known.zip", options={"why": "test"})


def same(found, expected, tolerance=2e-6):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


def test_a_process_without_flax_and_the_models_code_gives_the_same_numbers(folder, originals, tmp_path):
    script = tmp_path / "answer.py"
    script.write_text(ANSWER)
    finished = subprocess.run([sys.executable, script, folder, *CASES], capture_output=True, text=True, env=os.environ)
    assert finished.returncode == 0, finished.stderr
    for name, expected in originals.items():
        same(xai.load(folder / f"{name}.npz"), expected)
    assert any((folder / "programs").iterdir())


def test_answers_do_not_depend_on_the_batch(folder, originals):
    explain = xai.load(folder / "permutation.zip", batch_size=2)
    backwards = np.arange(N)[::-1]
    found = explain(models.rows(N)[backwards], KEY, 40 + backwards)
    same(found, originals["permutation"][backwards])
    one = explain(models.rows(N)[4:], KEY, [44])
    same(one, originals["permutation"][4:])
    assert explain._run._cache_size() == 1  # the program for batches of two serves for all


def test_all_that_an_attribution_holds_comes_back(simple):
    explain = xai.load(simple)
    same(explain(inputs()), known(inputs()), 1e-6)
    same(jax.jit(explain)(inputs(2)), known(inputs(2)), 1e-6)
    assert explain.metadata["options"] == {"why": "test"}
    assert explain.metadata["attribution"]["fields"][2] == {"name": "pairs", "dtype": "float32", "shape": [3, 3]}
    assert repr(explain) == "ExportedExplainer(Interactions; x: int32[N], float32[N, 3]; platforms: cpu)"


def test_code_that_must_know_the_number_is_repeated(tmp_path):
    def explainer(x, key, ids):
        assert isinstance(len(x), int)
        noise = jax.vmap(lambda one: jax.random.uniform(jax.random.fold_in(key, one)))(ids)
        return xai.Attribution(values=x * noise[:, None], output=noise)

    path = xai.scale.export(explainer, models.rows(2, 3), tmp_path / "fixed")
    explain = xai.load(path)
    assert explain.metadata["examples_at_once"] == 2
    for count in (1, 2, 5):
        x, ids = models.rows(count, 3), jnp.arange(count)
        same(explain(x, KEY), explainer(x, KEY, ids), 1e-6)

    def by_position(x, key):
        return explainer(x, key, jnp.arange(len(x)))

    with pytest.raises(ValueError, match="`explainer` must take ids"):
        xai.scale.export(by_position, models.rows(2, 3), tmp_path / "positions")


def test_randomness_by_position_is_not_cut_into_batches(tmp_path):
    def explainer(x, key):
        return xai.Attribution(values=x * jax.random.uniform(key, x.shape), output=x[:, 0])

    path = xai.scale.export(explainer, models.rows(2, 3), tmp_path / "positions", key=jax.random.PRNGKey(0))
    x = models.rows(4, 3)
    same(xai.load(path)(x, jax.random.PRNGKey(5)), explainer(x, jax.random.PRNGKey(5)), 1e-6)
    with pytest.raises(ValueError, match="random numbers by the positions of examples"):
        xai.load(path, batch_size=2)
    with pytest.raises(TypeError, match="a raw key, jax.random.PRNGKey, got jax.random.key"):
        xai.load(path)(x, KEY)


def test_blocks_of_an_open_number_of_rows_answer_each_once():
    seen = []

    def function(rows):
        seen.append(rows.shape[0])
        return 2 * rows.sum(axis=1)

    (count,) = jax.export.symbolic_shape("n")
    program = jax.export.export(jax.jit(lambda rows: in_blocks(function, rows, 3)))(
        jax.ShapeDtypeStruct((count, 2), jnp.float32)
    )
    assert not any(isinstance(size, int) for size in seen)
    for length in (1, 3, 4, 8, 9, 100):
        rows = jnp.arange(2.0 * length).reshape(length, 2)
        np.testing.assert_array_equal(program.call(rows), 2 * rows.sum(axis=1))


def test_sharded_examples_are_explained_on_their_devices(simple):
    mesh = jax.sharding.Mesh(jax.devices(), ("n",))
    x = jax.device_put(inputs(16), jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("n")))
    found = xai.load(simple)(x)
    assert len(found.values.sharding.device_set) == len(jax.devices())
    same(found, known(inputs(16)), 1e-6)


def test_warming_up_compiles(simple):
    explain = xai.load(simple, batch_size=3)
    explain.warm_up()
    explain(inputs(7))
    assert explain._run._cache_size() == 1


def test_nothing_is_pickled(tmp_path, monkeypatch):
    def forbidden(*arguments, **options):
        raise AssertionError("pickle was used")

    for name in ("dump", "dumps", "load", "loads"):
        monkeypatch.setattr(pickle, name, forbidden)
    path = xai.scale.export(known, inputs(1), tmp_path / "known")
    xai.load(path)(inputs(2))
    with zipfile.ZipFile(path) as file:
        assert sorted(file.namelist()) == ["0.npy", "1.npy", "header.json", "program.bin"]
        assert json.loads(file.read("header.json"))["type"] == "exported explainer"


def test_equal_explainers_make_equal_files(simple, tmp_path):
    again = xai.scale.export(known, inputs(1), tmp_path / "known.zip", options={"why": "test"})
    assert again.read_bytes() == simple.read_bytes()
    with zipfile.ZipFile(simple) as file:
        assert b".py" not in file.read("program.bin")


def test_programs_for_other_platforms_are_written_here_and_refused_here(simple, tmp_path):
    path = xai.scale.export(known, inputs(1), tmp_path / "known", platforms=("tpu", "cuda"))
    with pytest.raises(ValueError, match=r"exported for \['tpu', 'cuda'\], but JAX runs on cpu here"):
        xai.load(path)


def test_a_broken_attempt_leaves_the_old_file(simple, tmp_path, monkeypatch):
    path = tmp_path / "known.zip"
    path.write_bytes(simple.read_bytes())

    def full(*arguments):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        xai.scale.export(known, inputs(1), path)
    assert [file.name for file in tmp_path.iterdir()] == ["known.zip"]
    assert path.read_bytes() == simple.read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"calling_convention_version": 99}, "with calling convention 99, but JAX .* reads"),
        ({"attribution": {"class": "Newer"}}, "returns a 'Newer', which this version does not know"),
        ({"platforms": ["tpu", "cuda"]}, r"exported for \['tpu', 'cuda'\], but JAX runs on cpu here"),
    ],
)
def test_programs_of_other_versions_and_platforms_are_refused(simple, tmp_path, change, message):
    content = archive.read(simple)
    archive.write(tmp_path / "other.zip", content.type, content.header | change, content.arrays, content.blobs)
    with pytest.raises(ValueError, match=message):
        xai.load(tmp_path / "other")


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (lambda: models.rows(2, 3), TypeError, "nested as it was exported"),
        (lambda: inputs() | {"rows": models.rows(N, 4)}, ValueError, r"\[3\] after N, .* got \[5, 4\]"),
        (
            lambda: inputs() | {"rows": jnp.ones((N, 3), int)},
            TypeError,
            "the dtype float32, as it was exported, got int32",
        ),
        (lambda: inputs() | {"rows": models.rows(2, 3)}, ValueError, "share one leading batch axis"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(simple, x, error, message):
    with pytest.raises(error, match=message):
        xai.load(simple)(x())


@pytest.mark.parametrize(
    "ids",
    [np.arange(N) + 2**32, np.arange(N, dtype=np.uint64) + 2**63, np.ma.array(np.arange(N), mask=[1, 0, 0, 0, 0])],
)
def test_ids_of_64_bits_and_masked_ids_are_refused(simple, ids):
    with pytest.raises((TypeError, ValueError), match="`ids` must (fit 32 bits|be an array without missing values)"):
        xai.load(simple)(inputs(), ids=ids)


def test_a_key_is_asked_for_where_it_is_used(folder):
    with pytest.raises(TypeError, match="`key` must be given"):
        xai.load(folder / "lime.zip")(models.rows(1))
    assert not xai.load(folder / "grad_cam.zip").metadata["key"]["needed"]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"explainer": "grad_cam"}, TypeError, "`explainer` must be callable"),
        ({"explainer": lambda x: x}, TypeError, "must return an Attribution"),
        ({"explainer": lambda x: known(x)[0]}, ValueError, "leading axis N"),
        ({"platforms": ["gpu"]}, ValueError, "platforms.? must be one of"),
        ({"platforms": "cpu"}, ValueError, "`platforms` must be some of"),
        ({"options": {"model": known}}, TypeError, "options.? must be what JSON can hold"),
        ({"batch_size": 0}, ValueError, "batch_size.? must be at least 1"),
        ({"x_example": {1: models.IMAGE}}, TypeError, "dictionaries with strings as keys"),
    ],
)
def test_what_cannot_be_exported_is_refused(tmp_path, change, error, message):
    arguments = {"explainer": known, "x_example": inputs(2), "path": tmp_path / "never"} | change
    with pytest.raises(error, match=message):
        xai.scale.export(**arguments)
    assert not any(tmp_path.iterdir())


def test_the_programs_own_explainer_error_is_shown(tmp_path):
    def explainer(x):
        return xai.cam.grad_cam(models.linen_net(), x, layer="convv")

    with pytest.raises(ValueError, match="did you mean"):
        xai.scale.export(explainer, models.images(2), tmp_path / "never")
