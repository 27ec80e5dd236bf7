"""Whole data sets through any explainer: streamed, over many devices and hosts, and safe to kill.

The rows of the source lie in chunks. A chunk is a batch of one host: read, explained on the devices of that host, written
as one chunk of every array of the store, and entered into the manifest with its checksums. What a chunk holds depends on
its rows, their ids and the key alone; so it does not matter who makes it, or after how many attempts. `_hosts.py` says
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
from xaijax._io.atomic import is_for_the_user, not_written
from xaijax._version import __version__
from xaijax.scale.dataset._batches import Chunks, default_ids, make_batch, read_ids
from xaijax.scale.dataset._failures import Failure, Limit
from xaijax.scale.dataset._fingerprint import Fingerprint, changes, fingerprint
from xaijax.scale.dataset._hosts import Hosts, which_host
from xaijax.scale.dataset._manifest import (
    Entry,
    Journal,
    finish_manifest,
    read_description,
    read_entries,
    write_description,
)
from xaijax.scale.dataset._pipeline import Stages, stream
from xaijax.scale.dataset._recipe import Recipe, Run, read_recipe
from xaijax.scale.dataset._run_progress import RunProgress
from xaijax.scale.dataset._run_summary import Meter, Summary, summarize, write_summary
from xaijax.scale.dataset._source import Rows, Source, open_source
from xaijax.scale.dataset._store import Layout, Store, clean, create_store, layout_of, open_store

_VERIFIERS = 8  # chunks read at once to compare checksums; disks answer several questions faster than one by one


def explain_dataset(
    explainer: Callable[..., Any],
    source: Source,
    out: str | Path,
    *,
    key: Any = None,
    options: Mapping[str, Any] | None = None,
    ids: Any = None,
    fingerprint: str | None = None,
    batch_size: int = 256,
    devices: Sequence[Any] | None = None,
    hosts: tuple[int, int] | None = None,
    compiled: bool = True,
    readers: int = 1,
    max_failures: int | None = 100,
    redo_failures: bool = False,
    host_timeout: float = 20.0,
    progress: bool = True,
) -> Summary:
    """Explains every row of a data set, into one Zarr store.

    Why: what does not fit memory, takes long enough to be interrupted, or has bad rows among it. Reading, explaining and
    writing overlap. Killed at any moment, the same call goes on where it was: chunks that are finished are verified by
    their checksums, others are made again, and the store ends with the same bytes as without interruption (on other
    numbers of devices, the same up to rounding).

    Args:
      explainer: called as explainer(x, key=key, ids=ids, **options) with x [B, ...], key and ids where it takes arguments
        of these names; returns an attribution. Its parameters should be leaves: `jax.tree_util.Partial(xai.shap.values,
        model)` for the options {"masker": masker}. What a function merely closes over becomes constants of the program.
      source: rows by number, with `len(source)` and `source[i]`: an array, a list, a random access source of Grain. Rows are
        arrays, numbers, or PyTrees of them, all of one shape; errors that `source[i]` raises are recorded.
      out: the folder of the store; on several hosts one that all of them see.
      key: a JAX random key, for explainers that draw samples.
      options: keyword arguments of the explainer, their arrays arguments of the compiled program like the model's.
      ids: [N] integers that name the rows for their randomness. Default: their positions.
      fingerprint: says which data this is, such as a version. Rows are compared by 16 of them; a change of others is noticed
        by this alone.
      batch_size: rows explained at once by one host, and of one chunk of the store. Default 256: enough to keep devices busy,
        and few enough to lose little when killed. The last batch is filled up, and not compiled again.
      devices: of this host. Default: all of them. Each explains its share of every batch.
      hosts: (number of this host, number of hosts). Default: as `jax.distributed` (`xai.scale.connect`) has them.
      compiled: whether the explainer is compiled into one program for all batches. False for one that JAX cannot trace: it
        is then called with NumPy arrays, one batch at a time, and uses the devices that it likes.
      readers: threads that call source[i] at once. Default 1, as not every source allows more; reading pictures from files
        goes faster with several.
      max_failures: stops the run when more rows than this fail, on all hosts and in all runs together; None for no limit.
        Default 100: some broken files in a large data set go by, a broken reader does not.
      redo_failures: explains chunks again that have failed rows.
      host_timeout: seconds after which a silent host counts as dead and the others stop.
      progress: shows rows, rate, time left and failures on stderr: a bar on a terminal, a line a minute elsewhere. With
        several hosts host 0 shows all.

    Returns:
      A summary: rows explained and failed, rows per second, how busy the devices were, memory. Read the explanations with
      `xai.scale.load(out)`, the failed rows with `xai.scale.failures(out)`.

    Raises:
      TypeError, ValueError: if an argument is of the wrong type or out of range; or if the store was made with another
        model, explainer, options, key, ids, data or batch size: the message says which.
      OSError: if the store cannot be written: the disk is full, the folder not writable. The store resumes.
      RuntimeError: if too many rows fail, or another host died or stopped. The store resumes.

    >>> import tempfile, jax.numpy as jnp, numpy as np, xaijax as xai
    >>> model = xai.function(lambda w, x: x @ w, jnp.array([1.0, 2.0]))
    >>> explainer = jax.tree_util.Partial(xai.shap.linear, model)
    >>> rows = np.array([[1.0, 1.0], [2.0, 0.0], [np.nan, 0.0]], np.float32)
    >>> with tempfile.TemporaryDirectory() as out:
    ...     summary = explain_dataset(explainer, rows, out, options={"rows": rows[:2]}, progress=False)
    ...     print(summary.explained, summary.failed, xai.scale.failures(out)[0].reason)
    ...     print(xai.scale.load(out, slice(2)).values)
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
    devices = _read_devices(devices)
    folder = Path(out)
    number, count = which_host(hosts)
    try:
        with (
            ThreadPoolExecutor(readers, thread_name_prefix="source") as threads,
            Hosts(folder, number, count, host_timeout) as all_hosts,
        ):
            rows = open_source(source, threads if readers > 1 else None)
            chunks = Chunks(rows.num_rows, min(batch_size, rows.num_rows))
            identities = read_ids(ids, rows.num_rows)
            size = -(-chunks.chunk_rows // len(devices)) * len(devices)
            start, layout = _prepare(recipe, rows, size, devices, compiled)
            made_with = _fingerprint(recipe, rows, identities, fingerprint)
            store = _open_store(folder, layout, chunks, made_with, all_hosts)
            return _explain(
                _Task(folder, rows, chunks, identities, size, start, layout, store, devices),
                all_hosts,
                meter,
                max_failures,
                redo_failures,
                progress,
            )
    except OSError as error:
        if is_for_the_user(error) and "the store" not in str(error):
            raise not_written(folder, error) from error
        raise


@dataclasses.dataclass(frozen=True)
class _Task:
    """What is to be done, checked and opened."""

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
    """What this host has to do; and, on host 0, what is to be done when all are ready."""
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
            rows, wanted, failures = (
                sum(one.get(name, 0) for one in everywhere) for name in ("rows", "total", "failures")
            )
            limit.check(elsewhere=failures - limit.count)
            shown.update(rows, failures, total=wanted)

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
    """The chunks that this host is to explain, and the failures in those of its chunks that are finished."""
    entries = read_entries(task.folder)
    mine = task.chunks.of_host(hosts.number, hosts.count)
    finished = _verified(task.store, [entries[chunk] for chunk in mine if chunk in entries])
    if redo_failures:
        finished = {chunk for chunk in finished if not entries[chunk].failures}
    failures = [failure for chunk in sorted(finished) for failure in entries[chunk].failures]
    return [chunk for chunk in mine if chunk not in finished], failures


def _complete(task: _Task, facts: Sequence[dict[str, Any]], max_failures: int | None) -> Summary:
    """Sorts all journals into the manifest, and counts: rows in are rows out and rows recorded."""
    entries = read_entries(task.folder)
    missing = [chunk for chunk in range(len(task.chunks)) if chunk not in entries]
    if missing:
        raise RuntimeError(
            f"chunks {missing[:5]} of {task.folder} are entered by no host, although all say that they are done: do all hosts see "
            "the same folder?"
        )
    wanted = [entries[chunk] for chunk in range(len(task.chunks))]
    failed = [failure for entry in wanted for failure in entry.failures]
    Limit(max_failures, failed).check()
    finish_manifest(task.folder, wanted)
    summary = summarize(task.chunks.num_rows, len(failed), facts)
    write_summary(task.folder, summary)
    return summary


def _prepare(
    recipe: Recipe, rows: Rows, size: int, devices: Sequence[Any], compiled: bool
) -> tuple[Callable[[], Run], Layout]:
    """What will explain batches once it is compiled, and what it will return."""
    if not compiled:
        few = 2  # one example alone might lose its axis
        return lambda: recipe, layout_of(recipe(rows.good_example(few), np.arange(few, dtype=np.int32)), few)
    start, answer = recipe.trace(rows.example(size), np.arange(size, dtype=np.int32), devices)
    return start, layout_of(answer, size)


def _nothing_to_run(x: Any, ids: Any) -> Any:
    raise AssertionError("no chunk was to be explained.")


def _open_store(folder: Path, layout: Layout, chunks: Chunks, made_with: Fingerprint, hosts: Hosts) -> Store:
    """Host 0 makes the store, or finds it; all compare it with what they are about to do."""
    description = {
        "xaijax": __version__,
        "num_rows": chunks.num_rows,
        "chunk_rows": chunks.chunk_rows,
        "layout": layout.to_json(),
        "made_with": made_with,
    }
    store = None
    if hosts.first:
        found = read_description(folder)
        if found is None:
            write_description(folder, description)
        else:
            _compare(folder, found, description)
            clean(folder)
        store = create_store(folder, layout, chunks)
    hosts.reach("ready")
    if store is None:
        found = read_description(folder)
        if found is None:
            raise ValueError(
                f"host {hosts.number} does not see the store {folder} that host 0 made: choose a shared folder."
            )
        _compare(folder, found, description)
        store = open_store(folder, layout, chunks)
    return store


def _compare(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuses to mix."""
    found = changes(before["made_with"], now["made_with"])
    if before["xaijax"] != now["xaijax"]:
        found.append(f"xaijax was {before['xaijax']} and is {now['xaijax']}")
    if before["chunk_rows"] != now["chunk_rows"] and before["num_rows"] == now["num_rows"]:
        found.append(f"batch_size was {before['chunk_rows']} and is {now['chunk_rows']}")
    if not found and before["layout"] != now["layout"]:
        found.append(f"the explanations had {before['layout']} and have {now['layout']}")
    if found:
        raise ValueError(
            f"{folder} holds explanations that were made otherwise, and is left as it is: {'; '.join(found)}. Choose another "
            "folder, or call with what it was made with."
        )


def _verified(store: Store, entries: Sequence[Entry]) -> set[int]:
    """The chunks whose arrays are on the disk as they were entered."""

    def holds(entry: Entry) -> bool:
        try:
            return store.sums(entry.chunk) == entry.sums
        except Exception:  # what cannot be read is made again, whatever tensorstore says of it
            return False

    with ThreadPoolExecutor(_VERIFIERS, thread_name_prefix="verify") as threads:
        return {entry.chunk for entry, good in zip(entries, threads.map(holds, entries), strict=True) if good}


def _read_devices(devices: Any) -> list[Any]:
    if devices is None:
        return jax.local_devices()
    found = list(devices)
    if not found or not all(isinstance(one, jax.Device) for one in found):
        raise TypeError(
            f"devices must be JAX devices of this host, such as jax.local_devices(), but it is {devices!r}."
        )
    foreign = [one for one in found if one.process_index != jax.process_index()]
    if foreign:
        raise ValueError(
            f"devices must be of this host, as each host explains rows of its own, but {foreign[0]} is of another."
        )
    return found


_fingerprint = fingerprint  # the argument of the same name hides it
