"""Many hosts, one store.

Each host explains every n-th chunk of rows on the devices of its own, and writes these chunks. Nothing that a host
computes is needed by another, so there are no collectives and no messages while batches go through: a slow host slows
none, and the program that is compiled, and with it every rounding of the answers, depends on the devices of one host and
not on how many hosts there are. Batches sharded over one mesh of all devices of all hosts would give the same answers,
but there each batch waits for the slowest host, and the death of one blocks all others in a collective that cannot be
interrupted.

What hosts do have in common is the store, so they talk through small files in it, a few times a second at most: that
they have come, that the store is ready, that they are active, that they are done. Each host writes its own file and reads
that of host 0, which reads all. A file of an earlier run cannot be taken for one of this run: host 0 answers with the
number that a host drew at its start, and a host takes part with the number that host 0 drew.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import threading
import time
from pathlib import Path
from typing import Any, Self

import jax

from xaijax._core import check
from xaijax.scale.dataset._manifest import FOLDER

_HOSTS = "hosts"
_STATES = ("coming", "here", "ready", "done", "complete")  # in this order
_BEATS = 10  # in the time after which a silent host counts as dead
_LOOK = 0.02  # seconds for each host between two looks while waiting: host 0 reads as many files at each
_LATE = 600.0  # seconds for all hosts to come: as long as schedulers take to start them


class Hosts:
    """This host among the others: `with Hosts(...) as hosts`.

    number: of this host, from 0.
    count: of all hosts.
    """

    def __init__(self, store: Path, number: int, count: int, timeout: float):
        self.number, self.count = number, count
        self._folder, self._timeout = store / FOLDER / _HOSTS, timeout
        self._lock = threading.Lock()
        self._mine: dict[str, Any] = {"drawn": secrets.token_hex(8), "state": _STATES[0], "beat": 0, "facts": {}}
        self._heard: dict[int, tuple[dict[str, Any], float]] = {}
        self._trouble: str | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="hosts", daemon=True)

    @property
    def first(self) -> bool:
        """Whether this is host 0, which creates and completes the store."""
        return self.number == 0

    def __enter__(self) -> Self:
        if self.count > 1:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._write()
            self._thread.start()
            try:
                self.reach("here", patience=_LATE)
            except BaseException as error:
                self.__exit__(type(error), error, None)
                raise
        return self

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if self.count == 1:
            return
        if error is not None and self._trouble is None:
            self._mine["stopped"] = f"{type(error).__name__}: {error}"
        elif error is not None:
            self._mine["stopped"] = self._trouble
        self._over.set()
        self._thread.join()
        with contextlib.suppress(OSError):  # the disk may be what is wrong
            if error is not None:
                self._write()
            else:
                self._leave()

    def say(self, **facts: Any) -> None:
        """What host 0 is to know of this host; it goes with the next beat."""
        with self._lock:
            self._mine["facts"] |= facts

    def facts(self) -> dict[int, dict[str, Any]]:
        """What the hosts said last, this one included; known to host 0."""
        with self._lock:
            others = {number: heard["facts"] for number, (heard, _) in self._heard.items() if self._takes_part(heard)}
            return others | {self.number: dict(self._mine["facts"])}

    def check(self) -> None:
        """Raises where another host is dead, or stopped."""
        if self._trouble is not None:
            raise RuntimeError(
                f"{self._trouble}. This host ({self.number} of {self.count}) stops too, so that nothing waits in vain. All that "
                "is finished is kept: start the same command again, on as many hosts as there are."
            )

    def reach(self, state: str, *, patience: float | None = None) -> None:
        """Says that this host has come so far. Host 0 waits for all others to say so, and the others for host 0."""
        if self.count == 1:
            return
        with self._lock:
            self._mine["state"] = state
        self._beat()
        waited_until = None if patience is None else time.monotonic() + patience
        while not (self._is_complete() or self._all_at(state)):
            self.check()
            if waited_until is not None and time.monotonic() > waited_until:
                raise RuntimeError(
                    f"{self._missing()} of the {self.count} hosts did not come within {patience:.0f} s: start the same command on "
                    "all of them, with a store that all of them see."
                )
            time.sleep(min(_LOOK * self.count, self._timeout / _BEATS))
            self._beat()

    def _all_at(self, state: str) -> bool:
        least = _STATES.index(state)
        with self._lock:
            heard = [
                one
                for number in self._others()
                if (one := self._heard.get(number, ({}, 0.0))[0]) and self._takes_part(one)
            ]
            return len(heard) == len(self._others()) and all(_STATES.index(one["state"]) >= least for one in heard)

    def _is_complete(self) -> bool:
        """Whether host 0 has said that the store is complete: from then on hosts leave."""
        said = self._mine if self.first else self._heard.get(0, ({}, 0.0))[0]
        return said.get("state") == "complete" and (self.first or self._takes_part(said))

    def _missing(self) -> str:
        with self._lock:
            here = [number for number in self._others() if self._takes_part(self._heard.get(number, ({}, 0.0))[0])]
        missing = [number for number in self._others() if number not in here]
        return f"hosts {missing}" if len(missing) > 1 else f"host {missing[0]}"

    def _others(self) -> range:
        return range(1, self.count) if self.first else range(1)

    def _takes_part(self, heard: dict[str, Any]) -> bool:
        """Whether this file of another host is one of this run."""
        if self.first:
            return heard.get("run") == self._mine["drawn"]
        return heard.get("came", {}).get(str(self.number)) == self._mine["drawn"]

    def _watch(self) -> None:
        while not self._over.wait(self._timeout / _BEATS):
            self._beat()

    def _beat(self) -> None:
        try:
            self._listen()
            self._write()
        except OSError as error:
            self._trouble = self._trouble or f"the files of the hosts in the store cannot be read or written ({error})"

    def _write(self) -> None:
        """The file of this host, found whole or as it was; nothing that must survive a loss of power."""
        with self._lock:
            self._mine["beat"] += 1
            text = json.dumps(self._mine)
            beside = self._folder / f"{self.number}.json.new"
            beside.write_text(text)
            os.replace(beside, self._folder / f"{self.number}.json")

    def _listen(self) -> None:
        now = time.monotonic()
        with self._lock:
            for number in self._others():
                found = self._read(number)
                before, since = self._heard.get(number, (None, now))
                if found is None:
                    found = before
                if found is None:
                    continue
                self._heard[number] = (found, now if found != before else since)
                self._judge(number, found, now - self._heard[number][1])
            self._answer()

    def _answer(self) -> None:
        """Host 0 names what the others drew, the others take the number of host 0 that named them."""
        if self.first:
            self._mine["came"] = {str(number): heard["drawn"] for number, (heard, _) in self._heard.items()}
        elif 0 in self._heard and self._takes_part(self._heard[0][0]):
            self._mine["run"] = self._heard[0][0]["drawn"]

    def _judge(self, number: int, heard: dict[str, Any], silent: float) -> None:
        if not self._takes_part(heard) or self._trouble is not None or self._is_complete():
            return
        if "stopped" in heard:
            self._trouble = f"host {number} of {self.count} stopped: {heard['stopped']}"
        elif silent > self._timeout:
            self._trouble = (
                f"host {number} of {self.count} has been silent for {silent:.0f} s: it was killed, or lost the store"
            )

    def _read(self, number: int) -> dict[str, Any] | None:
        try:
            return json.loads((self._folder / f"{number}.json").read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return None

    def _leave(self) -> None:
        """The files of the hosts go when all have seen that the store is complete."""
        mine = self._folder / f"{self.number}.json"
        if not self.first:
            mine.unlink(missing_ok=True)
            return
        self._write()
        until = time.monotonic() + self._timeout
        while any((self._folder / f"{number}.json").exists() for number in self._others()) and time.monotonic() < until:
            time.sleep(0.05)
        for path in self._folder.iterdir():
            path.unlink(missing_ok=True)
        self._folder.rmdir()


def which_host(hosts: Any) -> tuple[int, int]:
    """This host and the number of hosts: as JAX knows them, or as given."""
    if hosts is None:
        return jax.process_index(), jax.process_count()
    if not (isinstance(hosts, tuple) and len(hosts) == 2):
        raise TypeError(f"hosts must be (number of this host, number of hosts), such as (0, 2), but it is {hosts!r}.")
    number = check.positive_int("hosts[0]", hosts[0], least=0)
    count = check.positive_int("hosts[1]", hosts[1])
    if number >= count:
        raise ValueError(f"hosts[0] must be below hosts[1], as hosts are numbered from 0, but hosts is {hosts}.")
    return number, count
