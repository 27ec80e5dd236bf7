"""Explains whole data sets with any explainer: streamed, over many devices and hosts, and safe to kill.

The rows of the source are divided into chunks. A chunk is a batch of one host: read, explained on the devices of that host,
written as one chunk of every array of the store, and entered into the manifest with its checksums. A chunk depends on its
rows, their ids and the key alone, so it does not matter which host makes it, or after how many attempts. `_hosts.py` says
why hosts share nothing else.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.typing import Ids, KeyLike
from xaijax._io import atomic, files
from xaijax.scale.dataset._batches import Chunks, default_ids, make_batch, read_ids
from xaijax.scale.dataset._hosts import Hosts, which_host
from xaijax.scale.dataset._made_with import MadeWith, changes, made_with
from xaijax.scale.dataset._manifest import (
    Entry,
    Journal,
    finish_manifest,
    read_description,
    read_entries,
    write_description,
)
from xaijax.scale.dataset._pipeline import Limit, Stages, StoreNotWritten, store_not_written, stream
from xaijax.scale.dataset._recipe import Recipe, Run, read_recipe
from xaijax.scale.dataset._run import Meter, RunProgress, Summary, summarize_run, write_summary
from xaijax.scale.dataset._source import Failure, Rows, Source, open_source
from xaijax.scale.dataset._store import Layout, Store, clean, create_store, layout_of, open_store

_VERIFIERS = 8  # chunks read at once to compare checksums: disks answer several questions faster than one by one


def explain_dataset(
    explainer: Callable[..., Attribution],
    source: Source,
    out: str | Path,
    *,
    key: KeyLike | None = None,
    options: Mapping[str, Any] | None = None,
    ids: Ids = None,
    fingerprint: str | None = None,
    batch_size: int = 256,
    devices: Sequence[Any] | None = None,  # jax.Device, which type checkers do not know
    hosts: tuple[int, int] | None = None,
    compiled: bool = True,
    readers: int = 1,
    max_failures: int | None = 100,
    redo_failures: bool = False,
    host_timeout: float = 20.0,
    progress: bool = True,
) -> Summary:
    """Explains every row of a data set, into one Zarr store.

    Why: for data that does not fit memory, takes long enough to be interrupted, or contains bad rows. Reading, explaining
    and writing overlap. If it is killed at any moment, the same call continues where it was: finished chunks are verified
    by their checksums, others are made again, and the store ends with the same bytes as without interruption (on another
    number of devices, the same up to rounding).

    Args:
      explainer: called as explainer(x, key=key, ids=ids, **options) with x [B, ...], and with key and ids if it takes
        arguments of these names; returns an attribution. Its parameters should be leaves, as in
        `jax.tree_util.Partial(xai.shap.values, model)` with the options {"masker": masker}. Arrays that a function closes
        over become constants of the program.
      source: rows by index, with `len(source)` and `source[i]`: an array, a list, a random access source of Grain. Rows are
        arrays, numbers, or PyTrees of them, all of one shape. Errors that `source[i]` raises, NaN and masked values are
        recorded.
      out: the folder of the store; with several hosts one that all of them see.
      key: a JAX random key, for explainers that draw samples.
      options: keyword arguments of the explainer. Their arrays are arguments of the compiled program, like the model's.
      ids: [N] integers of 32 bits that name the rows for their randomness. Default: their indices.
      fingerprint: the version of the data. Of the data itself only 16 rows are compared when a run resumes.
      batch_size: the number of rows that one host explains at once, and of one chunk of the store. Default 256: enough to
        keep devices busy, and few enough to lose little when killed. The last batch is filled up, and not compiled again.
      devices: of this host. Default: all of them. Each explains its share of every batch.
      hosts: (number of this host, number of hosts). Default: as `jax.distributed` (`xai.scale.connect`) has them.
      compiled: whether the explainer is compiled into one program for all batches. False for an explainer that JAX cannot
        trace: it is called with NumPy arrays, one batch at a time, and uses devices as it likes.
      readers: the number of threads that call source[i] concurrently. Default 1, as not every source allows more; reading
        pictures from files is faster with several.
      max_failures: the number of failed rows above which the run stops, counted over all hosts and all runs; None for no
        limit. Default 100: some broken files in a large data set are tolerated, a broken reader is not.
      redo_failures: whether chunks with failed rows are explained again.
      host_timeout: seconds after which a silent host counts as dead and the others stop.
      progress: whether to show rows, rate, time left and failures on stderr: a bar on a terminal, a line a minute
        elsewhere. With several hosts host 0 shows all.

    Returns:
      A summary: rows explained and failed, rows per second, how busy the devices were, memory. Read the explanations with
      `xai.load(out)`, the failed rows with `xai.scale.failures(out)`.

    Raises:
      TypeError, ValueError: if an argument is of the wrong type or out of range; or if the store was made with another
        program (the code of the model and the explainer), parameters, options, key, ids, data or batch size: the message
        says which.
      OSError: if the store cannot be written, such as on a full disk. The store resumes.
      RuntimeError: if too many rows fail, or another host died or stopped. The store resumes.

    >>> import tempfile, jax.numpy as jnp, numpy as np, xaijax as xai
    >>> model = xai.function(lambda w, x: x @ w, jnp.array([1.0, 2.0]))
    >>> explainer = jax.tree_util.Partial(xai.shap.linear, model)
    >>> rows = np.array([[1.0, 1.0], [2.0, 0.0], [np.nan, 0.0]], np.float32)
    >>> with tempfile.TemporaryDirectory() as out:
    ...     summary = explain_dataset(explainer, rows, out, options={"rows": rows[:2]}, progress=False)
    ...     print(summary.explained, summary.failed, xai.scale.failures(out)[0].reason)
    ...     print(xai.load(out, rows=slice(2)).values)
    2 1 NaN in the row
    [[-0.5  1. ]
     [ 0.5 -1. ]]
    """
    meter = Meter()
    recipe = read_recipe(explainer, options, key)
    batch_size = check.positive_int("batch_size", batch_size)
    readers = check.positive_int("readers", readers)
    if max_failures is not None:
        max_failures = check.positive_int("max_failures", max_failures, least=0)
    host_timeout = check.positive_float("host_timeout", host_timeout)
    if fingerprint is not None and not isinstance(fingerprint, str):
        raise TypeError(f"`fingerprint` must be a string, such as 'version 3', got {check.shown(fingerprint)}.")
    compiled, redo_failures = check.flag("compiled", compiled), check.flag("redo_failures", redo_failures)
    progress = check.flag("progress", progress)
    devices = _read_devices(devices)
    folder = files.checked_path("out", out)
    number, count = which_host(hosts)
    try:
        with (
            ThreadPoolExecutor(readers, thread_name_prefix="source") as threads,
            Hosts(folder, number, count, host_timeout) as all_hosts,
        ):
            rows = open_source(source, threads if readers > 1 else None)
            chunks = Chunks(rows.num_rows, min(batch_size, rows.num_rows))
            row_ids = read_ids(ids, rows.num_rows)
            size = -(-chunks.chunk_rows // len(devices)) * len(devices)
            start, layout = _prepare(recipe, rows, size, devices, compiled)
            made = made_with(recipe, rows, row_ids, fingerprint, compiled=compiled, batch_rows=chunks.chunk_rows)
            store = _open_store(folder, layout, chunks, made, all_hosts)
            task = _Task(folder, rows, chunks, row_ids, size, start, layout, store, devices)
            return _explain(task, all_hosts, meter, max_failures, redo_failures, progress)
    except StoreNotWritten:
        raise
    except OSError as error:
        if atomic.is_for_the_user(error):
            raise store_not_written(folder, error) from error
        raise


@dataclasses.dataclass(frozen=True)
class _Task:
    """A checked call, with its source and store open."""

    folder: Path
    rows: Rows
    chunks: Chunks
    ids: np.ndarray | None
    size: int
    start: Callable[[], Run]
    layout: Layout
    store: Store
    devices: Sequence[Any]

    def read(self, chunk: int) -> Any:
        ids = self.ids
        return make_batch(
            self.rows, self.chunks, chunk, self.size, default_ids if ids is None else lambda rows: ids[rows]
        )


def _explain(
    task: _Task, hosts: Hosts, meter: Meter, max_failures: int | None, redo_failures: bool, progress: bool
) -> Summary:
    """Explains the chunks of this host; host 0 completes the store when all hosts are done."""
    todo, failed = _remaining(task, hosts, redo_failures)
    limit = Limit(max_failures, failed)
    limit.check()
    total = sum(len(task.chunks.rows(chunk)) for chunk in todo)
    hosts.say(total=total, failures=limit.count, **meter.facts(task.devices))
    run = task.start() if todo else _nothing_to_run
    journal = Journal(task.folder, hosts.number)
    stages = Stages(run, task.layout, task.store, journal, limit, meter, task.folder)
    with contextlib.closing(journal), RunProgress(total, shown=progress and hosts.first) as shown:

        def after_each() -> None:
            hosts.check()
            hosts.say(failures=limit.count, **meter.facts(task.devices))
            everywhere = hosts.facts().values() if hosts.first else [{"failures": limit.count}]
            rows, total, failures = (
                sum(host.get(name, 0) for host in everywhere) for name in ("rows", "total", "failures")
            )
            limit.check(elsewhere=failures - limit.count)
            shown.update(rows, failures, total=total)

        meter.start()
        stream(todo, task.read, stages, after_each)
        hosts.say(failures=limit.count, **meter.facts(task.devices))
        hosts.reach("done")
        if hosts.first:
            summary = _complete(task, list(hosts.facts().values()), max_failures)
            hosts.say(summary=dataclasses.asdict(summary))
        hosts.reach("complete")
        summary = Summary(**hosts.facts()[0]["summary"])
        shown.say(summary)
    return summary


def _remaining(task: _Task, hosts: Hosts, redo_failures: bool) -> tuple[list[int], list[Failure]]:
    """The chunks that this host has to explain, and the failures in those of its chunks that are finished."""
    entries = read_entries(task.folder)
    mine = task.chunks.of_host(hosts.number, hosts.count)
    finished = _verified(task.store, [entries[chunk] for chunk in mine if chunk in entries])
    if redo_failures:
        finished = {chunk for chunk in finished if not entries[chunk].failures}
    failures = [failure for chunk in sorted(finished) for failure in entries[chunk].failures]
    return [chunk for chunk in mine if chunk not in finished], failures


def _complete(task: _Task, facts: Sequence[dict[str, Any]], max_failures: int | None) -> Summary:
    """Sorts all journals into the manifest, and counts the rows: all are explained or recorded as failures."""
    entries = read_entries(task.folder)
    missing = [chunk for chunk in range(len(task.chunks)) if chunk not in entries]
    if missing:
        raise RuntimeError(
            f"no host has entered the chunks {missing[:5]} of {task.folder}, although all report that they are done: choose a folder "
            "that all hosts see."
        )
    finished = [entries[chunk] for chunk in range(len(task.chunks))]
    failed = [failure for entry in finished for failure in entry.failures]
    Limit(max_failures, failed).check()
    finish_manifest(task.folder, finished)
    summary = summarize_run(task.chunks.num_rows, len(failed), facts)
    write_summary(task.folder, summary)
    return summary


def _prepare(
    recipe: Recipe, rows: Rows, size: int, devices: Sequence[Any], compiled: bool
) -> tuple[Callable[[], Run], Layout]:
    """Returns a function that compiles the explainer for batches, and the layout of its answers."""
    if not compiled:
        count = 2  # one example alone might lose its axis
        answer = recipe(rows.good_example(count), np.arange(count, dtype=np.int32))
        return lambda: recipe, layout_of(answer, count)
    start, answer = recipe.trace(rows.example(size), np.arange(size, dtype=np.int32), devices)
    return start, layout_of(answer, size)


def _nothing_to_run(x: Any, ids: Any) -> Any:
    raise AssertionError("no chunk was to be explained.")


def _open_store(folder: Path, layout: Layout, chunks: Chunks, made: MadeWith, hosts: Hosts) -> Store:
    """Host 0 creates the store, or finds it; all hosts compare it with their own call."""
    description = {
        "num_rows": chunks.num_rows,
        "chunk_rows": chunks.chunk_rows,
        "layout": layout.to_json(),
        "made_with": made,
    }
    store = None
    if hosts.first:
        before = read_description(folder)
        if before is not None:
            _compare(folder, before, description)
        clean(folder)  # a run may have been killed while it wrote the description itself
        if before is None:
            write_description(folder, description)
        store = create_store(folder, layout, chunks)
    hosts.reach("ready")
    if store is None:
        before = read_description(folder)
        if before is None:
            raise ValueError(
                f"host {hosts.number} does not see the store {folder} that host 0 created: choose a folder that all hosts see."
            )
        _compare(folder, before, description)
        store = open_store(folder, layout, chunks)
    return store


def _compare(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    differences = changes(before["made_with"], now["made_with"])
    if not differences and before["layout"] != now["layout"]:
        differences.append(f"the explanations had {before['layout']} and have {now['layout']}")
    if differences:
        raise ValueError(
            f"{folder} holds explanations that were made in another way, and is unchanged: {'; '.join(differences)}. Choose another "
            "folder, or call with the arguments and code that made it."
        )


def _verified(store: Store, entries: Sequence[Entry]) -> set[int]:
    """The chunks whose arrays on the disk have the checksums that were entered."""

    def holds(entry: Entry) -> bool:
        try:
            return store.sums(entry.chunk) == entry.sums
        except Exception:  # tensorstore raises several; what cannot be read is made again
            return False

    with ThreadPoolExecutor(_VERIFIERS, thread_name_prefix="verify") as threads:
        return {entry.chunk for entry, good in zip(entries, threads.map(holds, entries), strict=True) if good}


def _read_devices(devices: Any) -> list[Any]:
    if devices is None:
        return jax.local_devices()
    listed = list(devices) if isinstance(devices, (list, tuple, np.ndarray)) else []
    if not listed or not all(isinstance(device, jax.Device) for device in listed):
        raise TypeError(
            f"`devices` must be JAX devices of this host, such as jax.local_devices(), got {check.shown(devices)}."
        )
    foreign = [device for device in listed if device.process_index != jax.process_index()]
    if foreign:
        raise ValueError(
            f"`devices` must belong to this host, as each host explains its own rows, got {foreign[0]} of another host."
        )
    return listed
