"""The arrays of a store: a Zarr group (version 3) with one array for each field of the attribution.

A chunk of rows is a chunk of every array, which is one file, written once by one host. Tensorstore writes it under another
name, flushes and renames it, so that writers need no locks and a chunk is complete or missing. What was not written reads
as NaN, -1 or False. The manifest holds a checksum of the numbers of each chunk, and every read compares it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._io import files
from xaijax._io.atomic import UNFINISHED, write_file
from xaijax.metrics.comparison._example_scores import ExampleScores
from xaijax.scale.dataset._batches import Chunks
from xaijax.scale.dataset._manifest import Entry

IDS, FAILED = "ids", "failed"
CLASSES = files.CLASSES | {ExampleScores.__name__: ExampleScores}
_LOCKED = "*.__lock"  # files that tensorstore leaves behind when it is killed while writing
_READ_AHEAD = 8  # chunks: disks answer several questions faster than one after another


@dataclasses.dataclass(frozen=True)
class Layout:
    """The fields that a store holds of each row.

    class_name: of the attribution, or of the scores of a comparison.
    static: its fields that are not arrays.
    fields: the dtypes and shapes, without N, of those that are.
    """

    class_name: str
    static: dict[str, Any]
    fields: dict[str, tuple[str, tuple[int, ...]]]

    def to_json(self) -> dict[str, Any]:
        fields = {name: [dtype, list(shape)] for name, (dtype, shape) in self.fields.items()}
        return json.loads(json.dumps({"class": self.class_name, "static": self.static, "fields": fields}))

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Layout:
        fields = {name: (dtype, tuple(shape)) for name, (dtype, shape) in value["fields"].items()}
        return cls(value["class"], dict(value["static"]), fields)

    def joined(self, arrays: Mapping[str, Any]) -> Any:
        """Returns the attribution, or the scores, of these arrays."""
        return files.joined(CLASSES[self.class_name], self.static, {name: arrays[name] for name in self.fields})

    @property
    def of_scores(self) -> bool:
        """Whether the store holds the scores of a comparison, and not explanations."""
        return self.class_name == ExampleScores.__name__

    @property
    def never_nan(self) -> tuple[str, ...]:
        """The fields in which NaN means that a row could not be explained; single scores may be undefined."""
        return ("output",) if self.of_scores else ("values", "output")

    @property
    def arrays(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """The fields, and the id and the flag of every row."""
        return self.fields | {IDS: ("int64", ()), FAILED: ("bool", ())}


def layout_of(answer: Any, num_rows: int) -> Layout:
    """Returns the layout for the answer of an explainer for so many rows, or for its shapes."""
    if not isinstance(answer, Attribution | ExampleScores) or type(answer).__name__ not in CLASSES:
        raise TypeError(
            f"`explainer` must return an attribution ({', '.join(files.CLASSES)}), as all explainers of xaijax do, got "
            f"{check.shown(answer)}."
        )
    static, arrays = files.split(answer)
    fields = {}
    for name, value in arrays.items():
        if np.shape(value)[:1] != (num_rows,):
            raise ValueError(
                f"`explainer` must return arrays with one entry for each of the {num_rows} rows, got {name} of shape "
                f"{list(np.shape(value))}."
            )
        fields[name] = (np.dtype(value.dtype).name, tuple(np.shape(value)[1:]))
    return Layout(type(answer).__name__, _of_all_rows(static), fields)


def _of_all_rows(static: dict[str, Any]) -> dict[str, Any]:
    """Without names that differ between the examples of a batch, as the store holds one set of names for all rows."""
    names = static.get("names")
    return static | {"names": None} if names and not isinstance(names[0], str) else static


@dataclasses.dataclass(frozen=True)
class Store:
    """The open arrays of a store."""

    folder: Path
    arrays: dict[str, Any]
    chunks: Chunks

    def write(self, chunk: int, values: Mapping[str, np.ndarray]) -> None:
        """Writes all arrays of a chunk; returns when they are on the disk."""
        rows = self.chunks.rows(chunk)
        writing = [self.arrays[name][rows.start : rows.stop].write(value) for name, value in values.items()]
        for written in writing:
            written.result()

    def sums(self, chunk: int) -> dict[str, str]:
        """Returns the checksums of the numbers on the disk."""
        return {name: checksum(read.result()) for name, read in self._start_reading(chunk, self.arrays).items()}

    def read(self, names: Iterable[str], rows: np.ndarray, entries: Mapping[int, Entry]) -> dict[str, np.ndarray]:
        """Reads rows of finished chunks, given by one index or by indices [n], and compares the checksums of the chunks.

        Raises:
          ValueError: if the numbers are not those that were written.
        """
        names = list(names)
        chunk_of, row_in_chunk = np.divmod(rows.reshape(-1), self.chunks.chunk_rows)
        values = {
            name: np.empty((rows.size, *self.arrays[name].shape[1:]), self.arrays[name].dtype.numpy_dtype)
            for name in names
        }
        reading: deque[tuple[int, dict[str, Any]]] = deque()
        needed = deque(np.unique(chunk_of).tolist())
        while needed or reading:
            while needed and len(reading) < _READ_AHEAD:
                chunk = needed.popleft()
                reading.append((chunk, self._start_reading(chunk, names)))
            chunk, parts = reading.popleft()
            wanted = chunk_of == chunk
            for name, part in parts.items():
                values[name][wanted] = self._verified(chunk, name, part, entries[chunk])[row_in_chunk[wanted]]
        return {name: value.reshape((*rows.shape, *value.shape[1:])) for name, value in values.items()}

    def _start_reading(self, chunk: int, names: Iterable[str]) -> dict[str, Any]:
        rows = self.chunks.rows(chunk)
        return {name: self.arrays[name][rows.start : rows.stop].read() for name in names}

    def _verified(self, chunk: int, name: str, reading: Any, entry: Entry) -> np.ndarray:
        try:
            value = np.asarray(reading.result())
        except Exception:  # tensorstore raises several, of files that are cut short or that it cannot decompress
            value = None
        if value is None or checksum(value) != entry.sums.get(name):
            rows = self.chunks.rows(chunk)
            raise ValueError(
                f"{self.folder} is damaged: {name} of the rows {rows.start} to {rows.stop - 1} differs from what was written: start its "
                "command again, which explains these rows again."
            )
        return value


def checksum(array: np.ndarray) -> str:
    """Returns a hash of the numbers in their order."""
    return hashlib.blake2b(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, digest_size=16).hexdigest()


def create_store(folder: Path, layout: Layout, chunks: Chunks) -> Store:
    """Writes the files that describe the arrays, where they are missing or damaged, and opens the arrays."""
    for path, text in _descriptions(folder, layout, chunks).items():
        if not path.exists() or path.read_bytes() != text.encode():
            path.parent.mkdir(exist_ok=True)
            write_file(path, text)
    return open_store(folder, layout, chunks)


def open_store(folder: Path, layout: Layout, chunks: Chunks) -> Store:
    """Opens the arrays.

    Raises:
      ValueError: if the files that describe them are missing or damaged.
    """
    import tensorstore

    for path, text in _descriptions(folder, layout, chunks).items():
        if not path.is_file() or path.read_bytes() != text.encode():
            raise ValueError(
                f"{path} is damaged or missing, which describes an array of the store: start the command of the store again, which "
                "writes it again."
            )
    opening = {
        name: tensorstore.open(
            {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{folder / name}/"}}, open=True
        )
        for name in layout.arrays
    }
    return Store(folder, {name: opened.result() for name, opened in opening.items()}, chunks)


def clean(folder: Path) -> None:
    """Removes files that a killed run was writing; only while no run is writing."""
    for left in [*folder.rglob(UNFINISHED), *folder.rglob(_LOCKED)]:
        left.unlink(missing_ok=True)


def empty(dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """Returns an array of missing answers: NaN, -1 or False."""
    return np.full(shape, _missing(np.dtype(dtype)), np.dtype(dtype))


def without_answers(values: dict[str, np.ndarray], bad: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the same arrays with missing answers for the bad rows [n]."""
    if not bad.any():
        return values
    cleared = {}
    for name, value in values.items():
        cleared[name] = np.array(value)
        cleared[name][bad] = _missing(value.dtype)
    return cleared


def on_host(answer: Any, layout: Layout, count: int) -> dict[str, np.ndarray]:
    """Returns the first `count` rows of every field; waits until they are computed."""
    fetched = jax.device_get({name: getattr(answer, name) for name in layout.fields})
    return {name: np.asarray(value)[:count] for name, value in fetched.items()}


def _missing(dtype: np.dtype) -> Any:
    if jax.numpy.issubdtype(dtype, np.inexact):
        return np.nan
    return -1 if jax.numpy.issubdtype(dtype, np.signedinteger) else 0


def _descriptions(folder: Path, layout: Layout, chunks: Chunks) -> dict[Path, str]:
    """The content of every zarr.json: of the group, and of each array."""
    group = {"zarr_format": 3, "node_type": "group", "attributes": {"explanation": layout.to_json()}}
    texts = {folder / "zarr.json": json.dumps(group, indent=1)}
    for name, (dtype, shape) in layout.arrays.items():
        texts[folder / name / "zarr.json"] = json.dumps(_description(np.dtype(dtype), shape, chunks), indent=1)
    return texts


def _description(dtype: np.dtype, shape: tuple[int, ...], chunks: Chunks) -> dict[str, Any]:
    missing = _missing(dtype)
    one_byte = dtype.itemsize == 1
    codecs: list[dict[str, Any]] = [{"name": "bytes", "configuration": {} if one_byte else {"endian": "little"}}]
    if not jax.numpy.issubdtype(dtype, np.inexact):
        # Counts, classes and regions shrink to a fraction; the digits of floats hardly do, and cost time.
        codecs.append({"name": "zstd", "configuration": {"level": 1, "checksum": False}})
    codecs.append({"name": "crc32c"})  # of the whole file, the rows included that only fill up the last chunk
    nan = ["NaN", "NaN"] if jax.numpy.issubdtype(dtype, np.complexfloating) else "NaN"
    chunk_shape = [chunks.chunk_rows, *(max(1, side) for side in shape)]
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [chunks.num_rows, *shape],
        "data_type": dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk_shape}},
        "chunk_key_encoding": {"name": "default"},
        "codecs": codecs,
        "fill_value": nan if missing is np.nan else bool(missing) if dtype == np.bool_ else missing,
    }
