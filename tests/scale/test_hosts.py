"""Hosts share a store and nothing else; when one dies the others say so and stop."""

import json
import signal
import threading
import time

import pytest

import xaijax as xai
from tests.scale import _killed
from tests.scale._killed import contents
from tests.scale._sources import ROWS, Rows, explain, twice
from tests.scale.test_explain_dataset import free_port, start_host
from xaijax.scale.dataset._manifest import read_entries

DEATHS = {  # whether jax.distributed connects the two, and which one is killed
    "connected, the other host": (True, 1),
    "connected, the coordinator": (True, 0),
    "by files alone, host 0": (False, 0),
    "by files alone, host 1": (False, 1),
}


SLOW = ("connected, the other host", "by files alone, host 0")


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in DEATHS]
)
def death(request, tmp_path_factory):
    """Two processes, one of which is killed when three chunks are entered: how the other ended, and when."""
    connected, dying = DEATHS[request.param]
    folder = tmp_path_factory.mktemp("death") / "s"
    port = free_port() if connected else 0
    hosts = [start_host("slowly", port, 2, number, folder) for number in range(2)]
    while len(read_entries(folder)) < 3:
        assert all(host.poll() is None for host in hosts), hosts[0].communicate()
        time.sleep(0.05)
    hosts[dying].send_signal(signal.SIGKILL)
    killed = time.monotonic()
    _, said = hosts[1 - dying].communicate()
    return request.param, folder, dying, hosts[1 - dying].returncode, said, time.monotonic() - killed


def test_when_a_host_is_killed_the_other_ends_within_a_minute_and_says_so(death):
    name, _, dying, status, said, seconds = death
    assert seconds < 60
    assert status != 0
    if name == "connected, the coordinator":  # JAX ends the process before anybody can speak
        assert "most likely indicates that another task died" in said
    else:
        assert f"RuntimeError: host {dying} of 2 has been silent for" in said
        assert "start the same command again" in said


def test_after_a_death_the_run_resumes_on_one_host_with_the_same_bytes(death, tmp_path):
    _, folder, *_ = death
    assert 3 <= len(read_entries(folder)) < 23
    _killed.run(folder)
    _killed.run(tmp_path / "whole")
    found = {path: there for path, there in contents(folder).items() if not path.startswith("xaijax/hosts/")}
    assert found == contents(tmp_path / "whole")


def together(count, out, source=Rows, explainer=twice, **options):
    """Hosts as threads of this process; what each returned, or raised."""
    found = [None] * count

    def host(number):
        given = options | {"hosts": (number, count), "host_timeout": 5.0}
        try:
            found[number] = explain(
                source(number) if number and source is not Rows else source(), out, explainer, **given
            )
        except Exception as error:
            found[number] = error

    threads = [threading.Thread(target=host, args=[number]) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_any_number_of_hosts_leaves_the_same_bytes(tmp_path):
    explain(Rows(broken={3: KeyError("a")}), tmp_path / "one")
    for count in (2, 3, 7):  # five chunks: two hosts of seven have nothing to do
        summaries = together(count, tmp_path / str(count), lambda *_: Rows(broken={3: KeyError("a")}))
        assert all(one == summaries[0] for one in summaries)
        assert (summaries[0].rows, summaries[0].failed, summaries[0].hosts) == (ROWS, 1, count)
        assert contents(tmp_path / str(count)) == contents(tmp_path / "one")


def test_a_run_may_go_on_with_other_hosts(tmp_path):
    broken = {row: ValueError("broken file") for row in (2, 7, 12)}
    errors = together(2, tmp_path / "s", lambda *_: Rows(broken=broken), max_failures=1)
    assert all(isinstance(error, RuntimeError) for error in errors)
    assert any("max_failures is 1" in str(error) for error in errors)
    assert 0 < len(read_entries(tmp_path / "s")) <= 5
    together(3, tmp_path / "s", lambda *_: Rows(broken=broken))
    explain(Rows(broken=broken), tmp_path / "one")
    assert contents(tmp_path / "s") == contents(tmp_path / "one")


def test_failures_of_all_hosts_count_together(tmp_path):
    """One in each chunk: no host has more than three."""
    broken = {row: ValueError("broken file") for row in (2, 7, 12, 17, 22)}
    errors = together(2, tmp_path / "s", lambda *_: Rows(broken=broken), max_failures=4)
    assert any("5 rows could not be explained, but max_failures is 4" in str(error) for error in errors)
    assert xai.scale.failures(tmp_path / "s")


def test_a_host_with_other_data_stops_all(tmp_path):
    errors = together(2, tmp_path / "s", lambda number=0: Rows(shift=number))
    assert "the data changed: row 0 differs" in str(errors[1])
    assert "host 1 of 2 stopped: ValueError" in str(errors[0])


def test_an_error_of_one_host_stops_the_others(tmp_path):
    def explainer(x, ids):
        time.sleep(0.3)
        if 5 in ids:
            raise FloatingPointError("overflow in the model")
        return twice(x, ids)

    errors = together(2, tmp_path / "s", explainer=explainer)
    assert isinstance(errors[1], FloatingPointError)
    assert "host 1 of 2 stopped: FloatingPointError: overflow in the model" in str(errors[0])


def test_files_of_hosts_of_an_earlier_run_mean_nothing(tmp_path):
    folder = tmp_path / "s" / "xaijax" / "hosts"
    folder.mkdir(parents=True)
    for number in range(3):
        left = {
            "token": f"{number}",
            "run": "0",
            "listed": {"1": "1", "2": "2"},
            "state": "complete",
            "beat": 9,
            "facts": {},
        }
        (folder / f"{number}.json").write_text(json.dumps(left | {"stopped": "long ago"}))
    assert [one.explained for one in together(3, tmp_path / "s")] == [ROWS] * 3


def test_hosts_that_do_not_come_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr("xaijax.scale.dataset._hosts._LATE", 0.5)
    with pytest.raises(RuntimeError, match=r"hosts \[1, 2\] of the 3 hosts did not arrive within 0 s"):
        explain(Rows(), tmp_path / "s", hosts=(0, 3))


def test_connecting_needs_what_jax_needs_and_alone_nothing(monkeypatch):
    called = []

    def initialize(*arguments, **times):
        called.append((arguments, times))
        if None in arguments:
            raise ValueError("coordinator_address should be defined.")

    monkeypatch.setattr("jax.distributed.initialize", initialize)
    assert xai.scale.connect() == 1
    assert xai.scale.connect(hosts=1) == 1
    assert len(called) == 1
    xai.scale.connect("localhost:1", 2, 0)
    arguments, times = called[-1]
    assert arguments == ("localhost:1", 2, 0)
    assert sum(times.values()) < 60  # seconds, in which a host ends after the death of another
    with pytest.raises(ValueError, match=r"the hosts cannot be connected: coordinator_.* \(given: hosts, host\)"):
        xai.scale.connect(hosts=2, host=0)
    with pytest.raises(TypeError, match="hosts.? must be an int"):
        xai.scale.connect("localhost:1", hosts="2")
