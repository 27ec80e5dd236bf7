"""Coordinates many hosts that write one store.

Each host explains every n-th chunk of rows on its own devices, and writes these chunks. No host needs a result of another,
so there are no collectives and no messages while batches are explained. A slow host delays no other, and the compiled
program, with every rounding of its answers, depends on the devices of one host and not on the number of hosts. Batches
sharded over one mesh of all devices of all hosts would give the same answers. But then each batch would wait for the
slowest host, and the death of one would block all others in a collective that cannot be interrupted.

Hosts share the store, so they communicate through small files in it, a few times a second at most: that they have arrived,
that the store is ready, that they are running, that they are done. Each host writes its own file and reads that of host 0,
which reads all. Files of an earlier run cannot be mistaken for those of this run: every host draws a random token at its
start, host 0 lists the tokens of the hosts that take part, and a host adopts the token of host 0 that lists it.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import threading
import time
from pathlib import Path
from typing import Any, Self

import jax

from xaijax._core import check
from xaijax._io.atomic import write_file
from xaijax.scale.dataset._manifest import FOLDER

_HOSTS = FOLDER / "hosts"
_STATES = ("arriving", "here", "ready", "done", "complete")  # in this order
_BEATS = 10  # in the time after which a silent host counts as dead
_LOOK = 0.02  # seconds for each host between two looks while waiting, as host 0 reads as many files in each
_LATE = 600.0  # seconds for all hosts to arrive: as long as schedulers take to start them

# Seconds. JAX's own are 100 and 300: a host whose partner died would wait for minutes until it may end.
_HEARTBEAT, _SHUTDOWN = 40, 10


def connect(coordinator: str | None = None, hosts: int | None = None, host: int | None = None) -> int:
    """Connects the processes of several hosts, or does nothing on one machine.

    Why: `jax.distributed.initialize` with timeouts that let a host end within a minute of another's death, and the same line
    for a script that runs alone. Call it before anything else of JAX.

    Args:
      coordinator: the address of host 0, "name:port", which all hosts can reach. Default: determined by JAX on SLURM, Open
        MPI, Kubernetes and Cloud TPU, and from the environment variable JAX_COORDINATOR_ADDRESS.
      hosts: the number of hosts. Default: determined by JAX.
      host: the number of this host, from 0. Default: determined by JAX.

    Returns:
      The number of hosts, 1 if none were given or determined.

    Raises:
      TypeError, ValueError: if some of the three are given and JAX does not find the others.
      RuntimeError: if JAX has started already, unless `hosts` is 1.
    """
    if coordinator is not None and not isinstance(coordinator, str):
        raise TypeError(f"`coordinator` must be an address, such as 'host0:1234', got {check.shown(coordinator)}.")
    if hosts is not None:
        hosts = check.positive_int("hosts", hosts)
    if host is not None:
        host = check.positive_int("host", host, least=0, most=2**31 - 1 if hosts is None else hosts - 1)
    if jax.distributed.is_initialized():
        return jax.process_count()
    if hosts == 1:
        return 1
    given = [
        name for name, value in (("coordinator", coordinator), ("hosts", hosts), ("host", host)) if value is not None
    ]
    try:
        jax.distributed.initialize(
            coordinator, hosts, host, heartbeat_timeout_seconds=_HEARTBEAT, shutdown_timeout_seconds=_SHUTDOWN
        )
    except RuntimeError as error:
        if "before any JAX" not in str(error):
            raise
        raise RuntimeError(
            "xai.scale.connect must be called before anything else of JAX, which has started already: call it in the first "
            "lines of the script."
        ) from error
    except ValueError as error:
        if not given and "coordinator_address" in str(error):
            return 1
        raise ValueError(
            f"the hosts cannot be connected: {error} Pass coordinator, hosts and host, all three if no scheduler provides them"
            f"{' (given: ' + ', '.join(given) + ')' if given else ''}."
        ) from error
    return jax.process_count()


def which_host(hosts: Any) -> tuple[int, int]:
    """Returns the number of this host and the number of hosts: as given, or as JAX knows them."""
    if hosts is None:
        return jax.process_index(), jax.process_count()
    if not (isinstance(hosts, tuple) and len(hosts) == 2):
        raise TypeError(
            f"`hosts` must be (number of this host, number of hosts), such as (0, 2), got {check.shown(hosts)}."
        )
    number = check.positive_int("hosts[0]", hosts[0], least=0)
    count = check.positive_int("hosts[1]", hosts[1])
    if number >= count:
        raise ValueError(f"`hosts[0]` must be below hosts[1], as hosts are numbered from 0, got {hosts}.")
    return number, count


class Hosts:
    """This host among the others: `with Hosts(...) as hosts`.

    number: of this host, from 0.
    count: of all hosts.
    """

    def __init__(self, store: Path, number: int, count: int, timeout: float):
        self.number, self.count = number, count
        self._folder, self._timeout = store / _HOSTS, timeout
        self._lock = threading.Lock()
        self._mine: dict[str, Any] = {"token": secrets.token_hex(8), "state": _STATES[0], "beat": 0, "facts": {}}
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

    def __exit__(self, error_type: Any, error: BaseException | None, traceback: Any) -> None:
        if self.count == 1:
            return
        if error is not None and self._trouble is None:
            self._mine["stopped"] = f"{type(error).__name__}: {error}"
        elif error is not None:
            self._mine["stopped"] = self._trouble
        self._over.set()
        self._thread.join()
        with contextlib.suppress(OSError):  # the disk may be the cause
            if error is not None:
                self._write()
            else:
                self._leave()

    def say(self, **facts: Any) -> None:
        """Tells host 0 facts about this host, with the next beat."""
        with self._lock:
            self._mine["facts"] |= facts

    def facts(self) -> dict[int, dict[str, Any]]:
        """Returns the latest facts about the hosts, this one included, as host 0 knows them."""
        with self._lock:
            others = {number: heard["facts"] for number, (heard, _) in self._heard.items() if self._takes_part(heard)}
            return others | {self.number: dict(self._mine["facts"])}

    def check(self) -> None:
        """Raises if another host died or stopped."""
        if self._trouble is not None:
            raise RuntimeError(
                f"{self._trouble}. This host ({self.number} of {self.count}) stops too, rather than wait in vain. All that "
                "is finished is kept: start the same command again, on as many hosts as there are."
            )

    def reach(self, state: str, *, patience: float | None = None) -> None:
        """Reports that this host is in a state. Host 0 waits until all others are, and the others wait for host 0."""
        if self.count == 1:
            return
        with self._lock:
            self._mine["state"] = state
        self._beat()
        deadline = None if patience is None else time.monotonic() + patience
        while not (self._is_complete() or self._all_at(state)):
            self.check()
            if deadline is not None and time.monotonic() > deadline:
                raise RuntimeError(
                    f"{self._missing()} of the {self.count} hosts did not arrive within {patience:.0f} s: start the same command on "
                    "all of them, with a store that all of them see."
                )
            time.sleep(min(_LOOK * self.count, self._timeout / _BEATS))
            self._beat()

    def _all_at(self, state: str) -> bool:
        least = _STATES.index(state)
        with self._lock:
            others = [self._heard.get(number, ({}, 0.0))[0] for number in self._others()]
            return all(heard and self._takes_part(heard) and _STATES.index(heard["state"]) >= least for heard in others)

    def _is_complete(self) -> bool:
        """Whether host 0 has reported that the store is complete: from then on hosts leave."""
        heard = self._mine if self.first else self._heard.get(0, ({}, 0.0))[0]
        return heard.get("state") == "complete" and (self.first or self._takes_part(heard))

    def _missing(self) -> str:
        with self._lock:
            here = [number for number in self._others() if self._takes_part(self._heard.get(number, ({}, 0.0))[0])]
        missing = [number for number in self._others() if number not in here]
        return f"hosts {missing}" if len(missing) > 1 else f"host {missing[0]}"

    def _others(self) -> range:
        return range(1, self.count) if self.first else range(1)

    def _takes_part(self, heard: dict[str, Any]) -> bool:
        """Whether this file of another host belongs to this run."""
        if self.first:
            return heard.get("run") == self._mine["token"]
        return heard.get("listed", {}).get(str(self.number)) == self._mine["token"]

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
        """Writes the file of this host, which need not survive a loss of power."""
        with self._lock:
            self._mine["beat"] += 1
            write_file(self._folder / f"{self.number}.json", json.dumps(self._mine), durable=False)

    def _listen(self) -> None:
        now = time.monotonic()
        with self._lock:
            for number in self._others():
                before, since = self._heard.get(number, (None, now))
                heard = self._read(number) or before
                if heard is None:
                    continue
                self._heard[number] = (heard, now if heard != before else since)
                self._judge(number, heard, now - self._heard[number][1])
            self._answer()

    def _answer(self) -> None:
        """Lists the tokens of the others, as host 0; or adopts the token of host 0, once it lists this host."""
        if self.first:
            self._mine["listed"] = {str(number): heard["token"] for number, (heard, _) in self._heard.items()}
        elif 0 in self._heard and self._takes_part(self._heard[0][0]):
            self._mine["run"] = self._heard[0][0]["token"]

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
        """The file of a host; None where there is none, or it is damaged, which its next beat repairs."""
        try:
            heard = json.loads((self._folder / f"{number}.json").read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        good = isinstance(heard, dict) and {"token", "state", "facts"} <= heard.keys() and heard["state"] in _STATES
        return heard if good else None

    def _leave(self) -> None:
        """Removes the files of the hosts when all have seen that the store is complete."""
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
