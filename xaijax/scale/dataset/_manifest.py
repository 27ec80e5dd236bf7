"""What is finished: a line for each chunk, with its checksums and failures, in journals that end as one manifest.

A run appends to a journal of its own, and a line is synchronized after the arrays of its chunk are: whatever kills the
run, a chunk with a whole line is a chunk on the disk. Each line ends with its own checksum, so that a line cut short
counts for nothing. At the end all lines are sorted into `manifest.jsonl`, which holds no times and no hosts: the same
work leaves the same bytes, however often it was interrupted.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from xaijax._io.atomic import synchronize, write_whole
from xaijax.scale.dataset._failures import Failure

FOLDER = "xaijax"  # within the store: everything that is no array
_DESCRIPTION, _MANIFEST, _JOURNALS = "run.json", "manifest.jsonl", "journal"
FORMAT = 1  # raised by changes that older versions cannot read


@dataclasses.dataclass(frozen=True)
class Entry:
    """A finished chunk: its number, the checksum of each array, and the rows that have no explanation."""

    chunk: int
    sums: dict[str, str]
    failures: list[Failure]

    def line(self) -> str:
        failures = [[one.row, one.id, one.reason] for one in self.failures]
        text = json.dumps({"chunk": self.chunk, "failures": failures, "sums": dict(sorted(self.sums.items()))})
        return f"{text}\t{_sum(text)}\n"

    @classmethod
    def from_line(cls, line: str) -> Entry | None:
        """None for a line that was cut short, or changed."""
        text, _, found = line.rstrip("\n").rpartition("\t")
        if not text or found != _sum(text):
            return None
        read = json.loads(text)
        return cls(read["chunk"], read["sums"], [Failure(*one) for one in read["failures"]])


class Journal:
    """The lines of one host in one run; the file is made with the first."""

    def __init__(self, folder: Path, host: int):
        self._path = folder / FOLDER / _JOURNALS / f"{host:05d}-{time.time_ns()}-{os.getpid()}.jsonl"
        self._file: int | None = None
        self._lock = threading.Lock()

    def append(self, entry: Entry) -> None:
        """Returns when the line is on the disk."""
        with self._lock:
            if self._file is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o666)
                synchronize(self._path.parent)
            line = memoryview(entry.line().encode())
            while line:
                line = line[os.write(self._file, line) :]
            os.fsync(self._file)

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def read_entries(folder: Path) -> dict[int, Entry]:
    """The finished chunks, by manifest and journals; the last line of a chunk counts."""
    entries = {}
    for path in [folder / FOLDER / _MANIFEST, *sorted((folder / FOLDER / _JOURNALS).glob("*.jsonl"), key=_written)]:
        if not path.exists():
            continue
        with open(path, errors="replace") as file:
            for entry in map(Entry.from_line, file):
                if entry is not None:
                    entries[entry.chunk] = entry
    return entries


def finish_manifest(folder: Path, entries: Iterable[Entry]) -> None:
    """Sorts everything into the manifest, and removes the journals after it is there."""
    write_whole(
        folder / FOLDER / _MANIFEST, "".join(entry.line() for entry in sorted(entries, key=lambda one: one.chunk))
    )
    journals = folder / FOLDER / _JOURNALS
    if journals.exists():
        for path in journals.iterdir():
            path.unlink()
        journals.rmdir()


def write_description(folder: Path, description: dict[str, Any]) -> None:
    """What a store is of, written before anything else of it."""
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    write_whole(folder / FOLDER / _DESCRIPTION, json.dumps({"format": FORMAT, **description}, indent=1))


def read_description(folder: Path) -> dict[str, Any] | None:
    """None where no store was begun."""
    path = folder / FOLDER / _DESCRIPTION
    if not path.exists():
        others = [one.name for one in folder.iterdir() if one.name != FOLDER] if folder.is_dir() else []
        if others:
            raise ValueError(
                f"{folder} holds other files ({sorted(others)[0]} among them) and no store of explanations: choose a new folder."
            )
        return None
    found = json.loads(path.read_text())
    if found["format"] > FORMAT:
        raise ValueError(
            f"{folder} has format {found['format']}, but this version of xaijax reads up to {FORMAT}: a newer one wrote it."
        )
    return found


def _sum(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _written(path: Path) -> int:
    """When a journal was begun, by its name."""
    return int(path.name.split("-")[1])
