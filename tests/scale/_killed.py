"""Runs that are killed and started again, in processes of their own: `python -m tests.scale._killed FOLDER --kills 200`.

One process imports everything and starts no thread; each run is a fork of it, so that it costs no imports, and is killed
by SIGKILL. Prints as JSON what happened.
"""

import argparse
import json
import os
import random
import resource
import signal
import time
from pathlib import Path

import numpy as np

import xaijax as xai
from xaijax._io import atomic
from xaijax.scale.dataset import _explain_dataset, _manifest, _store

ROWS, BATCH = 230, 10
NO_ANSWER = 17  # the row that holds NaN


class Rows:
    """Rows that differ, one with NaN, one that cannot be read, one of another shape."""

    def __len__(self):
        return ROWS

    def __getitem__(self, row):
        if row == 101:
            raise ValueError("broken file")
        found = np.cos(np.arange(6.0 if row != 140 else 5.0) + row).astype(np.float32)
        if row == NO_ANSWER:
            found[2] = np.nan
        return found


def explain(x, ids, pause=0.004):
    """Values that show a row in the wrong place, and a second array that is written as compressed chunks."""
    time.sleep(pause)
    values = np.sin(x * (1 + ids[:, None])).astype(np.float32)
    return xai.Attribution(values, values.sum(axis=1), target=ids % 7, std_errors=values**2, method="waves")


def run(out):
    xai.scale.explain_dataset(explain, Rows(), out, batch_size=BATCH, compiled=False, progress=False)


def fork(call, *arguments):
    child = os.fork()
    if child == 0:
        try:
            call(*arguments)
            os._exit(0)
        finally:
            os._exit(1)
    return child


def ended(child):
    """The exit status, or minus the signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def contents(folder):
    """Every byte of a store but those that say how long it took."""
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file() and path.name != "summary.json")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def _kill_self(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


def _half_a_line(out):
    """In the fourth line of the journal."""
    lines = []

    class HalfOs:
        def __getattr__(self, name):
            return getattr(os, name)

        def write(self, file, line):
            lines.append(line)
            if len(lines) < 4:
                return os.write(file, line)
            os.write(file, line[: len(line) // 2])
            os.fsync(file)
            _kill_self()

    _manifest.os = HalfOs()
    run(out)


def _arrays_half_written(out):
    """When the arrays of the fifth chunk have been handed to tensorstore, before any is known to be written."""
    chunks = []

    def write(store, chunk, values):
        rows = store.chunks.rows(chunk)
        writing = [store.arrays[name][rows.start : rows.stop].write(value) for name, value in values.items()]
        chunks.append(chunk)
        if len(chunks) == 5:
            writing[0].result()
            _kill_self()
        for one in writing:
            one.result()

    _store.Store.write = write
    run(out)


def _arrays_without_an_entry(out):
    """When the arrays of a chunk are written and its line is not."""

    class Journal(_manifest.Journal):
        def append(self, entry):
            if entry.chunk == 6:
                _kill_self()
            super().append(entry)

    _explain_dataset.Journal = Journal
    run(out)


def _manifest_not_renamed(out):
    def whole(path, text):
        if path.name == "manifest.jsonl":
            path.with_name("manifest.jsonl.1.new").write_text(text[: len(text) // 2])
            _kill_self()
        atomic.write_file(path, text)

    _manifest.write_file = whole
    run(out)


def _journals_not_removed(out):
    _manifest.Path.unlink = _kill_self
    run(out)


MOMENTS = {
    "half a line": _half_a_line,
    "arrays half written": _arrays_half_written,
    "arrays without an entry": _arrays_without_an_entry,
    "manifest not renamed": _manifest_not_renamed,
    "journals not removed": _journals_not_removed,
}


def _allow(size):
    """No file may grow beyond so many bytes, as on a disk that is full."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def _no_room_for_arrays(out):
    """From the fifth chunk on."""
    write = _store.Store.write

    def limited(store, chunk, values):
        if chunk == 4:
            _allow(150)
        write(store, chunk, values)

    _store.Store.write = limited
    run(out)


def _no_room_for_a_line(out):
    """The fourth line of the journal is cut short."""
    lines = []

    class Journal(_manifest.Journal):
        def append(self, entry):
            lines.append(len(entry.line()))
            if len(lines) == 4:
                _allow(sum(lines) - lines[-1] // 2)
            super().append(entry)

    _explain_dataset.Journal = Journal
    run(out)


def _no_room_for_the_manifest(out):
    finish = _explain_dataset.finish_manifest

    def limited(*arguments):
        _allow(1000)
        finish(*arguments)

    _explain_dataset.finish_manifest = limited
    run(out)


def _no_room_at_all(out):
    _allow(10)
    run(out)


FULL = {
    "for arrays": _no_room_for_arrays,
    "for a line": _no_room_for_a_line,
    "for the manifest": _no_room_for_the_manifest,
    "at all": _no_room_at_all,
}


def on_full_disks(folder, reference):
    """Runs where there is no room, and again where there is."""
    found = {}
    for name, call in FULL.items():
        out, reader_writer = folder / f"no-room-{name.replace(' ', '-')}", os.pipe()

        def say(call=call, out=out, writer=reader_writer[1]):
            try:
                call(out)
            except OSError as error:
                os.write(writer, f"{error.errno} {error}".encode())

        status = ended(fork(say))
        os.close(reader_writer[1])
        with os.fdopen(reader_writer[0]) as reader:
            said = reader.read()
        again = ended(fork(run, out))
        found[name] = {"status": status, "said": said, "again": again, "same": contents(out) == reference}
    return found


def at_random_moments(folder, kills, seed, reference):
    """Kills runs after a random time each, on one store until a run is faster than its killer, then on the next."""
    chance = random.Random(seed)
    started = time.monotonic()
    assert ended(fork(run, folder / "timed")) == 0
    longest = time.monotonic() - started
    killed, stores, differing = 0, 0, []
    while killed < kills:
        out, status = folder / f"random-{stores}", -signal.SIGKILL
        while status != 0:
            child = fork(run, out)
            if killed < kills:
                time.sleep(chance.uniform(0, 0.6 * longest))  # so that most stores are killed more than once
                os.kill(child, signal.SIGKILL)
            status = ended(child)
            assert status in (0, -signal.SIGKILL), status
            killed += status != 0
        stores += 1
        if contents(out) != reference:
            differing.append(str(out))
    return {"killed": killed, "stores": stores, "differing": differing}


def at_named_moments(folder, reference):
    """Kills a run in the middle of each of these, and starts it again."""
    found = {}
    for name, moment in MOMENTS.items():
        out = folder / name.replace(" ", "-")
        status = ended(fork(moment, out))
        before = contents(out)
        again = ended(fork(run, out))
        found[name] = {
            "status": status,
            "finished": before == reference,
            "again": again,
            "same": contents(out) == reference,
        }
    return found


def run_lime(out):
    """A compiled explainer that draws samples."""
    import jax
    import jax.numpy as jnp

    rows = np.random.default_rng(0).normal(size=(400, 4)).astype(np.float32)
    model = xai.function(lambda w, x: jnp.sin(x @ w).sum(axis=1), jnp.ones((4, 3)))
    options = {"training_statistics": xai.lime.statistics(rows[:50]), "num_samples": 40}
    explainer = jax.tree_util.Partial(xai.lime.tabular, model)
    xai.scale.explain_dataset(
        explainer, rows, out, key=jax.random.key(5), options=options, batch_size=5, progress=False
    )


def of_a_compiled_explainer(folder):
    """Kills it when three chunks are entered, and starts it again."""
    whole, cut = folder / "lime", folder / "lime-killed"
    child = fork(run_lime, cut)
    while sum(path.read_bytes().count(b"\n") for path in cut.glob("xaijax/journal/*")) < 3:
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    status = ended(child)
    found = len(_manifest.read_entries(cut))
    statuses = [status, ended(fork(run_lime, cut)), ended(fork(run_lime, whole))]
    return {"statuses": statuses, "found": found, "same": contents(cut) == contents(whole)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    assert ended(fork(run, arguments.folder / "reference")) == 0
    reference = contents(arguments.folder / "reference")
    found = {
        "random": at_random_moments(arguments.folder, arguments.kills, arguments.seed, reference),
        "named": at_named_moments(arguments.folder, reference),
        "full": on_full_disks(arguments.folder, reference),
        "compiled": of_a_compiled_explainer(arguments.folder),
        "files": sorted(reference),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
