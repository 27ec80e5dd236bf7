"""The finished cells of a grid, in a folder: killed at any moment, it holds whole cells and goes on.

grid.json      what the grid was made of, in short: a hash of each model, explainer, key and of the data
cells.jsonl    one line for each finished cell
values/*.npy   its values, written before its line, which holds their checksum
"""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from xaijax._io.atomic import write_whole

FORMAT = 1  # of the folder; raised by changes that older versions cannot read
_GRID, _CELLS, _VALUES = "grid.json", "cells.jsonl", "values"
Grid = dict[str, dict[str, str]]  # "models" -> its name -> its hash


class Cells:
    """The cells of one grid: `cells.find(name)` are the record and the values of a finished one."""

    def __init__(self, folder: Path, grid: Grid):
        """Opens or makes the folder.

        Raises:
          ValueError: if it holds the cells of another grid, or of a newer version.
        """
        self._folder = folder
        (folder / _VALUES).mkdir(parents=True, exist_ok=True)
        if (folder / _GRID).exists():
            _check_grid(folder, grid)
        else:
            write_whole(folder / _GRID, json.dumps({"format": FORMAT} | grid, indent=1) + "\n")
        self._records = _read_records(folder / _CELLS)

    def find(self, name: str) -> tuple[dict[str, Any], np.ndarray] | None:
        """None where the cell is not finished, or its values are not those that were written."""
        record = self._records.get(name)
        path = self._path(name)
        if record is None or not path.exists():
            return None
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != record["sha256"]:
            return None
        return record, np.load(io.BytesIO(content), allow_pickle=False)

    def keep(self, name: str, record: dict[str, Any], values: np.ndarray) -> None:
        """Writes the values, and then the line: all lines anew and renamed, so that none is ever cut short."""
        buffer = io.BytesIO()
        np.save(buffer, values, allow_pickle=False)
        content = buffer.getvalue()
        path = self._path(name)
        beside = path.with_suffix(".new")
        beside.write_bytes(content)
        beside.replace(path)
        self._records[name] = {"cell": name, **record, "sha256": hashlib.sha256(content).hexdigest()}
        lines = [json.dumps(one) + "\n" for one in self._records.values()]
        write_whole(self._folder / _CELLS, "".join(lines))

    def _path(self, name: str) -> Path:
        return self._folder / _VALUES / f"{hashlib.sha256(name.encode()).hexdigest()[:24]}.npy"


def _check_grid(folder: Path, grid: Grid) -> None:
    try:
        before = json.loads((folder / _GRID).read_text())
    except ValueError as error:
        raise ValueError(f"{folder / _GRID} cannot be read ({error}): remove the folder, or choose another.") from None
    if before.pop("format", FORMAT) > FORMAT:
        raise ValueError(f"{folder} was written by a newer version of xaijax: it reads up to format {FORMAT}.")
    found = []
    for kind in sorted({*before, *grid}):
        one, other = before.get(kind, {}), grid.get(kind, {})
        found += [f"{kind} {name!r} is gone" for name in one if name not in other]
        found += [f"{kind} {name!r} is new" for name in other if name not in one]
        found += [f"{kind} {name!r} changed" for name in one if name in other and one[name] != other[name]]
    if found:
        raise ValueError(
            f"{folder} holds the cells of another grid, which do not mix with these: {'; '.join(found)}. Choose another "
            "folder, or ask for the same grid again."
        )


def _read_records(path: Path) -> dict[str, dict[str, Any]]:
    """By cell; a line that is cut short is none."""
    records = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        records[record["cell"]] = record
    return records
