"""Records finished chunks: a line for each chunk, with its checksums and failures, in journals and then in one manifest.

A run appends lines to a journal of its own. A line is flushed to the disk after the arrays of its chunk are, so that a
chunk with a whole line is a chunk on the disk, whenever the run is killed. Each line ends with a checksum of itself; a
line that was cut short or changed is ignored. At the end all lines are sorted into `manifest.jsonl`. It contains no times
and no hosts: the same work leaves the same bytes, however often it was interrupted.
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

from xaijax._io.archive import read_json, write_json
from xaijax._io.atomic import synchronize, write_file
from xaijax._io.files import STORE_FILE
from xaijax.scale.dataset._source import Failure

FOLDER = Path(STORE_FILE).parent  # within the store: everything but its arrays
_MANIFEST, _JOURNALS = FOLDER / "manifest.jsonl", FOLDER / "journal"
FORMAT = 2  # of the store; raised by changes that older versions cannot read


@dataclasses.dataclass(frozen=True)
class Entry:
    """A finished chunk: its number, the checksum of each array, and the rows that have no explanation."""

    chunk: int
    sums: dict[str, str]
    failures: list[Failure]

    def line(self) -> str:
        failures = [[failure.row, failure.id, failure.reason] for failure in self.failures]
        text = json.dumps({"chunk": self.chunk, "failures": failures, "sums": dict(sorted(self.sums.items()))})
        return f"{text}\t{_sum(text)}\n"

    @classmethod
    def from_line(cls, line: str) -> Entry | None:
        """Returns the entry, or None for a line that was cut short or changed."""
        text, _, checksum = line.rstrip("\n").rpartition("\t")
        if not text or checksum != _sum(text):
            return None
        read = json.loads(text)
        return cls(read["chunk"], read["sums"], [Failure(*failure) for failure in read["failures"]])


class Journal:
    """The lines of one host in one run. The file is created with the first line."""

    def __init__(self, folder: Path, host: int):
        self._path = folder / _JOURNALS / f"{host:05d}-{time.time_ns()}-{os.getpid()}.jsonl"
        self._file: int | None = None
        self._lock = threading.Lock()

    def append(self, entry: Entry) -> None:
        """Writes a line, and returns when it is on the disk."""
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
    """Returns the finished chunks of the manifest and the journals; the last line of a chunk counts."""
    entries = {}
    for path in [folder / _MANIFEST, *sorted((folder / _JOURNALS).glob("*.jsonl"), key=_written)]:
        if not path.exists():
            continue
        with open(path, errors="replace") as file:
            for entry in map(Entry.from_line, file):
                if entry is not None:
                    entries[entry.chunk] = entry
    return entries


def has_manifest(folder: Path) -> bool:
    """Returns whether a run was completed, which wrote the manifest of all chunks."""
    return (folder / _MANIFEST).exists()


def finish_manifest(folder: Path, entries: Iterable[Entry]) -> None:
    """Sorts all entries into the manifest, and then removes the journals."""
    text = "".join(entry.line() for entry in sorted(entries, key=lambda entry: entry.chunk))
    write_file(folder / _MANIFEST, text)
    journals = folder / _JOURNALS
    if journals.exists():
        for path in journals.iterdir():
            path.unlink()
        journals.rmdir()


def write_description(folder: Path, description: dict[str, Any]) -> None:
    """Writes the description of a store, before anything else of it."""
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    write_json(folder / STORE_FILE, {"format": FORMAT, **description})


def read_description(folder: Path) -> dict[str, Any] | None:
    """Returns the description of a store; None where there is no store yet.

    Raises:
      ValueError: if the folder holds other files, if the description is damaged, or if a newer version wrote it.
    """
    path = folder / STORE_FILE
    if not path.exists():
        others = [other.name for other in folder.iterdir() if other.name != FOLDER.name] if folder.is_dir() else []
        if others:
            raise ValueError(
                f"`out` must be a new folder or a store, got {folder}, which holds other files ({sorted(others)[0]} among them) and no "
                "store of explanations: choose a new folder."
            )
        return None
    description = read_json(path)
    if description["format"] > FORMAT:
        raise ValueError(
            f"{folder} has format {description['format']}, but this version of xaijax reads up to {FORMAT}: a newer version wrote it."
        )
    return description


def _sum(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _written(path: Path) -> tuple[int, str]:
    """When a journal was begun, from its name."""
    _, _, rest = path.name.partition("-")
    began = rest.partition("-")[0]
    return int(began) if began.isdigit() else 0, path.name
