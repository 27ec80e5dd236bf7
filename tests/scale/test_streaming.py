"""Reading, explaining and writing overlap, in bounded memory; and say how far they are."""

import io
import json
import re
import subprocess
import sys
import threading

import jax
import numpy as np
import pytest

import xaijax as xai
from tests.scale import _measured
from tests.scale._sources import BATCH, ROWS, Rows, explain, twice
from xaijax.scale.dataset import _pipeline
from xaijax.scale.dataset._manifest import read_entries
from xaijax.scale.dataset._run import RunProgress, describe, duration

PATIENCE = 20  # seconds, for what happens in a fraction of one


def test_the_next_batch_is_read_while_one_is_explained(tmp_path):
    reading = threading.Event()

    class Noticed(Rows):
        def __getitem__(self, row):
            if threading.current_thread().name.startswith("read") and row == 2 * BATCH:
                reading.set()
            return super().__getitem__(row)

    waited = []

    def explainer(x, ids):
        if ids[0] == BATCH:  # the second batch
            waited.append(reading.wait(PATIENCE))
        return twice(x, ids)

    explain(Noticed(), tmp_path / "s", explainer)
    assert waited == [True]


def test_batches_are_written_while_others_are_explained(tmp_path):
    waited = []

    def explainer(x, ids):
        if ids[0] == 15:  # while this one is on the devices, the first ones are written
            for _ in range(PATIENCE * 100):
                if 0 in read_entries(tmp_path / "s"):
                    waited.append(True)
                    break
                threading.Event().wait(0.01)
        return twice(x, ids)

    explain(Rows(), tmp_path / "s", explainer)
    assert waited == [True]


def test_reading_is_only_a_few_batches_ahead_of_a_slow_disk(tmp_path, monkeypatch):
    from xaijax.scale.dataset._store import Store

    source, write, ahead = Rows(60 * BATCH), Store.write, []

    def slow(store, chunk, values):
        threading.Event().wait(0.02)
        rows = [row for row in source.read[16:] if row % BATCH == 0]  # the sample is read before
        ahead.append(len(rows) - len(read_entries(tmp_path / "s")))
        write(store, chunk, values)

    monkeypatch.setattr("xaijax.scale.dataset._store.Store.write", slow)
    explain(source, tmp_path / "s")
    assert len(ahead) == 60
    most = _pipeline._READ_AHEAD + _pipeline._IN_FLIGHT + 2  # and the one that is explained, and one just read
    assert 3 <= max(ahead) <= most


def test_memory_is_flat():
    """`python -m tests.scale._measured memory 100000` is the same for longer."""
    found = _measured.memory(12_000, batch_size=128)
    assert found["growth"] < 0.05, found


def test_a_summary_says_what_the_run_came_to(tmp_path):
    def explainer(x, ids):
        threading.Event().wait(0.05)
        return twice(x, ids)

    summary = explain(Rows(broken={2: KeyError("a")}), tmp_path / "s", explainer)
    assert summary == xai.scale.load_summary(tmp_path / "s")
    assert (summary.rows, summary.explained, summary.failed, summary.rows_reused) == (ROWS, ROWS - 1, 1, 0)
    assert (summary.hosts, summary.devices, summary.retries) == (1, 8, 0)
    assert summary.seconds >= 0.25
    assert summary.rows_per_second == pytest.approx(ROWS / summary.seconds)
    assert 0.25 / summary.seconds <= summary.busy_share <= 1
    assert summary.peak_memory_bytes > 50 * 2**20
    assert json.loads((tmp_path / "s/xaijax/summary.json").read_text())["explained"] == ROWS - 1
    lines = str(summary).splitlines()
    assert lines[0] == "23 rows: 22 explained, 1 failed"
    assert re.fullmatch(r"devices busy \d+\.\d%, 0 retries, peak memory [\d,]+ MiB", lines[2])


def test_where_there_is_no_terminal_a_line_comes_each_minute():
    lines, now = [], [0.0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("xaijax.scale.dataset._run.time.monotonic", lambda: now[0])
        with RunProgress(1000, terminal=False, write=lines.append) as progress:
            for second in range(0, 200, 10):
                now[0] = float(second)
                progress.update(5 * second, second // 100)
    assert lines == [
        "300 of 1,000 rows (30.0%), no failures, 5 rows/s, 2 min 20 s left",
        "600 of 1,000 rows (60.0%), 1 failure, 5 rows/s, 1 min 20 s left",
        "900 of 1,000 rows (90.0%), 1 failure, 5 rows/s, 20 s left",
    ]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (59.7, "1 min 0 s"), (3600 * 26.5, "1 d 2 h"), (5000, "1 h 23 min"), (61, "1 min 1 s")],
)
def test_durations_in_two_units(seconds, said):
    assert duration(seconds) == said


def test_without_a_rate_nothing_is_promised():
    assert describe(0, 50, 3.0, 2_000) == "0 of 50 rows (0.0%), 2,000 failures, 0 rows/s, unknown time left"
    assert describe(100_000, 200_000, 50.0, 0).startswith(
        "100,000 of 200,000 rows (50.0%), no failures, 2,000 rows/s, 50 s left"
    )


def test_storage_and_display_are_imported_on_first_use():
    code = """
import sys, xaijax as xai
xai.scale.explain_dataset, xai.scale.export, xai.scale.summarize, xai.metrics.benchmark_explainers
print([name for name in ("tensorstore", "rich") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_on_a_terminal_there_is_a_bar(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with RunProgress(1000) as progress:
        progress.update(250, 3)
    assert "250 of 1,000 rows (25.0%), 3 failures" in terminal.getvalue()
    assert "━" in terminal.getvalue()


def test_a_run_ends_with_its_summary_and_a_quiet_one_writes_nothing(tmp_path, capfd):
    summary = explain(Rows(), tmp_path / "loud", progress=True)
    assert capfd.readouterr() == ("", f"{summary}\n")
    explain(Rows(), tmp_path / "quiet", progress=False)
    assert capfd.readouterr() == ("", "")


def test_throughput_is_measured_against_the_bare_explainer():
    """`python -m tests.scale._measured throughput` is the same for longer; shares of such a short run say little."""
    (found,) = _measured.throughput(rows=16, batch_size=8, repeats=1, channels=4)
    assert found["share"] > 0
    assert 0 < found["busy_share"] <= 1


def test_the_program_waits_for_nobody(tmp_path):
    """An explainer of JAX returns before its answer is there; the store has it nevertheless."""
    model = jax.tree_util.Partial(xai.shap.linear, lambda x: x.sum(axis=1))
    source = np.arange(138, dtype=np.float32).reshape(ROWS, 6)
    given = {"options": {"rows": source[:2]}, "compiled": True, "devices": jax.devices()[:2]}
    explain(source, tmp_path / "s", model, **given)
    np.testing.assert_allclose(xai.load(tmp_path / "s").values, source - source[:2].mean(axis=0), rtol=1e-6)
