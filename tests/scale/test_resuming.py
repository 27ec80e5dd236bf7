"""A run that is killed, or ends in any other way, goes on when it is started again, and leaves the same bytes."""

import errno
import json
import logging
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests.scale._killed import contents
from tests.scale._sources import BATCH, ROWS, Rows, explain, twice
from xaijax._io.fingerprint import digest

KILLS = 8  # python -m tests.scale._killed FOLDER --kills 500 makes more of them
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """What came of runs that were killed by SIGKILL, or had no room, and of the same runs started again."""
    folder = tmp_path_factory.mktemp("killed")
    flags = os.environ["XLA_FLAGS"].replace("device_count=8", "device_count=1")
    words = [sys.executable, "-m", "tests.scale._killed", str(folder), "--kills", str(KILLS)]
    done = subprocess.run(words, cwd=ROOT, env=os.environ | {"XLA_FLAGS": flags}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_killed_while_it_wrote_the_description_it_leaves_nothing_behind(tmp_path):
    for name in ("whole", "killed"):
        if name == "killed":
            (tmp_path / name / "xaijax").mkdir(parents=True)
            (tmp_path / name / "xaijax" / ".0123456789abcdef.new").write_text('{"half')
        explain(Rows(), tmp_path / name)
    files = [
        sorted(str(path.relative_to(tmp_path / name)) for path in (tmp_path / name).rglob("*"))
        for name in ("whole", "killed")
    ]
    assert files[0] == files[1]


def test_killed_at_random_moments_the_store_ends_with_the_same_bytes(killed):
    found = killed["random"]
    assert found["killed"] == KILLS
    assert found["differing"] == []


@pytest.mark.parametrize(
    "moment",
    ["half a line", "arrays half written", "arrays without an entry", "manifest not renamed", "journals not removed"],
)
def test_killed_during_a_write_the_store_ends_with_the_same_bytes(killed, moment):
    found = killed["named"][moment]
    assert found == {"status": -9, "finished": False, "again": 0, "same": True}


def test_a_compiled_explainer_killed_and_resumed_gives_the_same_bytes(killed):
    found = killed["compiled"]
    assert found["statuses"] == [-9, 0, 0]
    assert 3 <= found["found"] < 80
    assert found["same"]


@pytest.mark.parametrize("where", ["for arrays", "for a line", "for the manifest", "at all"])
def test_without_room_it_ends_with_a_sentence_and_resumes(killed, where):
    found = killed["full"][where]
    assert f"{errno.EFBIG} [Errno {errno.EFBIG}] the store" in found["said"]
    assert "cannot be written, as a file there may not grow that large" in found["said"]
    assert "start the same command again: what is finished is kept" in found["said"]
    assert (found["status"], found["again"], found["same"]) == (0, 0, True)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_a_disk_that_refuses_a_chunk_is_not_asked_again(tmp_path, monkeypatch, number):
    asked = []

    def refuse(store, chunk, values):
        asked.append(chunk)
        raise ValueError(f"Failed to write \"values/c/0\" [os_error_code='{number}']")  # as tensorstore says it

    with monkeypatch.context() as patch:
        patch.setattr("xaijax.scale.dataset._store.Store.write", refuse)
        said = (
            "the disk is full: free some space"
            if number == errno.ENOSPC
            else "writing there is not permitted: change the permissions"
        )
        with pytest.raises(OSError, match=said) as raised:
            explain(Rows(), tmp_path / "s")
    assert raised.value.errno == number
    assert len(asked) == len(set(asked))
    assert explain(Rows(), tmp_path / "s").explained == ROWS


def test_a_disk_that_fails_once_is_asked_again(tmp_path, monkeypatch):
    from xaijax.scale.dataset._store import Store

    asked, write = [], Store.write

    def fail_once(store, chunk, values):
        asked.append(chunk)
        if asked.count(chunk) == 1:
            raise RuntimeError("UNAVAILABLE: try again later")
        write(store, chunk, values)

    monkeypatch.setattr("xaijax.scale.dataset._pipeline._WAIT", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr("xaijax.scale.dataset._store.Store.write", fail_once)
        summary = explain(Rows(), tmp_path / "s")
    assert (summary.retries, summary.failed) == (5, 0)
    explain(Rows(), tmp_path / "whole")
    assert contents(tmp_path / "s") == contents(tmp_path / "whole")


@pytest.mark.parametrize("part", ["folder", "parent"])
def test_a_place_that_cannot_be_a_store_is_named(tmp_path, part):
    (tmp_path / "file").write_text("text")
    out = tmp_path / "file" if part == "folder" else tmp_path / "file" / "s"
    with pytest.raises(OSError, match=r"the store .* cannot be written, as .* is a file and not a folder"):
        explain(Rows(), out)


def test_a_folder_of_other_files_is_left_alone(tmp_path):
    (tmp_path / "results.txt").write_text("precious")
    with pytest.raises(ValueError, match=r"holds other files \(results.txt among them\) and no store"):
        explain(Rows(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["results.txt"]


@pytest.fixture
def finished(tmp_path):
    explain(Rows(), tmp_path / "s")
    return tmp_path / "s"


def _flip_a_bit(path):
    there = bytearray(path.read_bytes())
    there[7] ^= 4
    path.write_bytes(bytes(there))


def _cut(path):
    path.write_bytes(path.read_bytes()[:-9])


@pytest.mark.parametrize("name", ["values/c/2/0", "target/c/2", "xaijax/manifest.jsonl"])
@pytest.mark.parametrize("damage", [_flip_a_bit, _cut, Path.unlink], ids=["a bit", "the end", "all"])
def test_what_is_damaged_is_made_again_and_nothing_else(finished, name, damage, monkeypatch):
    before = contents(finished)
    damage(finished / name)
    read = []
    monkeypatch.setattr("xaijax.scale.dataset._explain_dataset.make_batch", _noting(read))
    summary = explain(Rows(), finished)
    chunks = {"_flip_a_bit": [0], "_cut": [4], "unlink": [0, 1, 2, 3, 4]} if "manifest" in name else {}
    assert sorted(read) == chunks.get(damage.__name__, [2])
    assert summary.rows_reused == ROWS - sum(3 if chunk == 4 else BATCH for chunk in read)
    assert contents(finished) == before


def _noting(read):
    from xaijax.scale.dataset._batches import make_batch

    def noting(source, chunks, chunk, size, ids):
        read.append(chunk)
        return make_batch(source, chunks, chunk, size, ids)

    return noting


def _files(store):
    return sorted(path for path in store.rglob("*") if path.is_file() and path.name != "summary.json")


def test_every_flipped_bit_of_a_store_is_noticed(finished):
    """One in each file, the rows included that only fill up the last chunk, and twenty more at random."""
    generator = np.random.default_rng(0)
    paths = _files(finished)
    for path in [*paths, *generator.choice(np.array(paths, object), 20)]:
        whole = path.read_bytes()
        damaged = bytearray(whole)
        damaged[generator.integers(len(damaged))] ^= 1 << int(generator.integers(8))
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="is damaged"):
            xai.load(finished)
        path.write_bytes(whole)
    assert explain(Rows(), finished).rows_reused == ROWS


@pytest.mark.parametrize("name", ["values", "target", "ids", "failed"])
def test_numbers_that_another_program_wrote_are_noticed(finished, name):
    """A whole chunk with a right CRC of its own."""
    import tensorstore

    where = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{finished}/{name}/"}}
    array = tensorstore.open(where).result()
    array[6:7] = ~array[6:7].read().result() if name == "failed" else array[6:7].read().result() + 1
    with pytest.raises(ValueError, match=f"is damaged: {name} of the rows 5 to 9 differs from what was written"):
        xai.load(finished)
    assert len(xai.load(finished, rows=slice(10, 23))) == 13


@pytest.mark.parametrize("name", ["xaijax/run.json", "zarr.json", "values/zarr.json", "xaijax/manifest.jsonl"])
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"null", b"\xff\xfe", b"[" * 10000], ids=range(7))
def test_damaged_descriptions_end_in_a_sentence(finished, name, content):
    (finished / name).write_bytes(content)
    with pytest.raises(ValueError, match=r"is damaged"):
        xai.load(finished)
    if name == "xaijax/run.json":
        with pytest.raises(ValueError, match=r"run.json is damaged \(it"):
            explain(Rows(), finished)
    else:  # what describes the arrays follows from the call, and what they hold is made again
        explain(Rows(), finished)
        assert not np.isnan(xai.load(finished).values).any()


def test_a_damaged_summary_ends_in_a_sentence(finished):
    path = finished / "xaijax/summary.json"
    path.write_bytes(path.read_bytes().replace(b'"rows": 23', b'"rows": 24'))
    with pytest.raises(ValueError, match=r"summary.json is damaged \(its checksum differs\)"):
        xai.scale.load_summary(finished)


def test_dangling_symbolic_links_are_named(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="link is a symbolic link to .*nowhere, which does not exist"):
        xai.load(tmp_path / "link")
    with pytest.raises(OSError, match="link cannot be written, as a file or a dangling symbolic link has this path"):
        explain(Rows(), tmp_path / "link")
    (tmp_path / "nowhere").mkdir()
    explain(Rows(), tmp_path / "link")
    assert len(xai.load(tmp_path / "link")) == ROWS


def test_a_finished_store_is_verified_and_left(finished):
    before = contents(finished)
    summary = explain(Rows(), finished)
    assert (summary.rows_reused, summary.rows_per_second, summary.explained) == (ROWS, 0, ROWS)
    assert contents(finished) == before


def test_an_unfinished_store_says_which_rows_are_missing(tmp_path):
    class Power(BaseException):
        pass

    def explainer(x, ids):
        if ids[0] >= 15:
            raise Power
        return twice(x, ids)

    with pytest.raises(Power):
        explain(Rows(), tmp_path / "s", explainer)
    with pytest.raises(ValueError, match=r"not finished: rows \d+ to \d+ are not yet explained \(\d of 5 chunks are\)"):
        xai.load(tmp_path / "s")
    with pytest.raises(ValueError, match="has no summary yet"):
        xai.scale.load_summary(tmp_path / "s")
    (tmp_path / "other").mkdir()
    with pytest.raises(ValueError, match="holds no store of explanations"):
        xai.load(tmp_path / "other")


def _function(weight):
    return xai.function(lambda w, x: x @ w, jnp.full((6,), weight))


def _model(weight):
    return jax.tree_util.Partial(xai.shap.linear, _function(weight))


def _doubled(model, x, rows, num_permutations=512):
    return jax.tree.map(lambda leaf: 2 * leaf, xai.shap.linear(model, x, rows, num_permutations=num_permutations))


WITH = {
    "options": {"rows": np.eye(6, dtype=np.float32), "num_permutations": 512},
    "batch_size": BATCH,
    "compiled": True,
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"explainer": _model(2.0)}, "is unchanged: the parameters of the model changed. Choose"),
        ({"explainer": jax.tree_util.Partial(_doubled, _function(1.0))}, "is unchanged: the program changed, that is"),
        (
            {"options": WITH["options"] | {"num_permutations": 7}},
            "is unchanged: the option num_permutations changed: it was 512 and is 7. Choose",
        ),
        (
            {"options": WITH["options"] | {"rows": np.ones((6, 6), np.float32)}},
            "is unchanged: the option rows changed. Choose",
        ),
        ({"options": WITH["options"] | {"target": None}}, "the option target changed: it was not given and is None"),
        ({"ids": np.arange(ROWS)[::-1]}, "is unchanged: the ids changed. Choose"),
        ({"source": Rows(shift=0.5)}, "the data changed: row 0 differs"),
        ({"source": Rows(ROWS + 1)}, "the data changed: the source had 23 rows and has 24"),
        ({"source": np.zeros((ROWS, 6))}, r"the data changed: its rows were float32\[6\] and are float64\[6\]"),
        ({"fingerprint": "v2"}, "the data changed: its fingerprint was None and is 'v2'"),
        ({"batch_size": 4}, "is unchanged: batch_size was 5 and is 4. Choose"),
    ],
)
def test_a_run_that_changed_refuses_and_says_what(change, message, tmp_path, monkeypatch):
    monkeypatch.setattr("xaijax.scale.dataset._explain_dataset._prepare", _prepare_without_compiling)
    explain(Rows(), tmp_path / "s", _model(1.0), **WITH)
    before = contents(tmp_path / "s")
    given = {"source": Rows(), "explainer": _model(1.0), **WITH} | change
    with pytest.raises(ValueError, match=message):
        explain(given.pop("source"), tmp_path / "s", given.pop("explainer"), **given)
    assert contents(tmp_path / "s") == before


def _prepare_without_compiling(recipe, rows, size, devices, compiled):
    from xaijax.scale.dataset._store import layout_of

    def run(x, ids):
        return xai.Attribution(2 * x, x.sum(axis=1))

    return lambda: run, layout_of(run(rows.example(2), None), 2)


def test_another_key_is_refused(tmp_path):
    def explainer(x, key, ids):
        return twice(x, ids)

    explain(Rows(), tmp_path / "s", explainer, key=jax.random.key(0))
    with pytest.raises(ValueError, match="is unchanged: the key changed. Choose"):
        explain(Rows(), tmp_path / "s", explainer, key=jax.random.key(1))
    explain(Rows(), tmp_path / "s", explainer, key=jax.random.key(0))


SCALE = np.array([1.0, 2.0])


def _helper(x):
    return x * SCALE[0]


def _reads_a_global(x):
    return _helper(x)


def test_functions_are_what_they_do_and_read(monkeypatch):
    def closing(over):
        return lambda x: x + over

    assert digest(closing(jnp.arange(3))) == digest(closing(jnp.arange(3)))
    assert digest(closing(jnp.arange(3))) != digest(closing(jnp.arange(3) + 1))
    assert digest(lambda x: x + 1) != digest(lambda x: x + 2)
    assert digest(jax.jit(_helper)) != digest(jax.jit(_reads_a_global))
    before = digest(_reads_a_global)
    monkeypatch.setitem(_helper.__globals__, "SCALE", np.array([3.0, 2.0]))
    assert digest(_reads_a_global) != before


def test_what_changes_by_itself_is_no_part_of_a_function():
    """Locks, loggers, displays and caches of packages; a thing that holds itself; one that is held a thousand times."""
    lock, log, itself = threading.Lock(), logging.getLogger("a"), {}
    itself["again"] = itself
    many = [itself]
    for _ in range(60):
        many = [many, many]

    def function(x):
        return lock, log, many, xai.shap.exact(x)

    before = digest(function)
    with lock:
        logging.getLogger("a.b")
        xai.shap.exact(xai.Game(lambda z: z.sum(axis=1), num_players=2))
        assert digest(function) == before


def test_a_fingerprint_is_the_same_in_every_process():
    program = """
import flax.linen as nn, jax, numpy as np, xaijax as xai
from flax import nnx
from xaijax._io.fingerprint import digest
weights = np.ones((2, 3), np.float32)
linen = xai.linen(nn.Dense(3, use_bias=False), {"params": {"kernel": weights}})
things = [linen, nnx.Linear(2, 3, rngs=nnx.Rngs(0)), jax.tree_util.Partial(xai.cam.grad_cam, linen), lambda x: x @ weights,
          {"b": {3, 1, "x"}, "a": [1.5, None, True]}, jax.random.key(3), xai.mask.background(weights)]
print([digest(one) for one in things])
"""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2")
    ]
    said = [one.communicate()[0] for one in running]
    assert said[0] == said[1]
    assert len(set(json.loads(said[0].replace("'", '"')))) == 7


def test_a_store_can_be_moved(finished, tmp_path):
    shutil.move(finished, tmp_path / "elsewhere")
    assert explain(Rows(), tmp_path / "elsewhere").rows_reused == ROWS
