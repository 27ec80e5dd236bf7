"""The arrays of a store: one Zarr group (version 3), one array for each field of the attribution, written by tensorstore.

A chunk of rows is a chunk of every array, that is a file, and a file is written by one host once: beside its place,
synchronized and renamed, all of which tensorstore does. So writers need no locks, and a chunk is there whole or not at
all. What was not written reads as NaN, -1 or False.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tensorstore

from xaijax._core.attribution import Attribution
from xaijax._io.atomic import UNFINISHED, write_whole
from xaijax._io.files import _KINDS as KINDS
from xaijax.scale.dataset._batches import Chunks
from xaijax.scale.dataset._manifest import FOLDER

IDS, FAILED = "ids", "failed"
_LOCKED = "*.__lock"  # what tensorstore leaves of a file that it was writing when it was killed


@dataclasses.dataclass(frozen=True)
class Layout:
    """What a store holds of each row.

    kind: the type of the attribution.
    static: its fields that are no arrays.
    fields: the types and shapes, without N, of those that are.
    """

    kind: str
    static: dict[str, Any]
    fields: dict[str, tuple[str, tuple[int, ...]]]

    def to_json(self) -> dict[str, Any]:
        fields = {name: [kind, list(shape)] for name, (kind, shape) in self.fields.items()}
        return {"kind": self.kind, "static": self.static, "fields": fields}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Layout:
        fields = {name: (kind, tuple(shape)) for name, (kind, shape) in found["fields"].items()}
        return cls(found["kind"], dict(found["static"]), fields)

    def attribution(self, arrays: Mapping[str, Any]) -> Attribution:
        return KINDS[self.kind](**{name: arrays[name] for name in self.fields}, **self.static)

    @property
    def arrays(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """The fields, and what the store says of every row beside them."""
        return self.fields | {IDS: ("int64", ()), FAILED: ("bool", ())}


def layout_of(answer: Any, num_rows: int) -> Layout:
    """The layout for what an explainer returned, or will return, for so many rows."""
    if type(answer).__name__ not in KINDS or not isinstance(answer, Attribution):
        raise TypeError(
            f"the explainer must return an attribution ({', '.join(KINDS)}), as all explainers of xaijax do, but it returned "
            f"{type(answer).__name__}."
        )
    static, fields = {}, {}
    for field in dataclasses.fields(answer):
        value = getattr(answer, field.name)
        if field.metadata.get("static"):
            static[field.name] = value
        elif value is not None:
            if np.shape(value)[:1] != (num_rows,):
                raise ValueError(
                    f"every array of the explanation must have one entry for each of the {num_rows} rows, but {field.name} has "
                    f"shape {list(np.shape(value))}."
                )
            fields[field.name] = (np.dtype(value.dtype).name, tuple(np.shape(value)[1:]))
    return Layout(type(answer).__name__, static, fields)


@dataclasses.dataclass(frozen=True)
class Store:
    """The open arrays of a store."""

    arrays: dict[str, Any]
    chunks: Chunks

    def write(self, chunk: int, values: Mapping[str, np.ndarray]) -> None:
        """Writes all arrays of a chunk; returns when they are on the disk."""
        rows = self.chunks.rows(chunk)
        writing = [self.arrays[name][rows.start : rows.stop].write(value) for name, value in values.items()]
        for one in writing:
            one.result()

    def sums(self, chunk: int) -> dict[str, str]:
        """The checksums of what is on the disk."""
        rows = self.chunks.rows(chunk)
        reading = {name: array[rows.start : rows.stop].read() for name, array in self.arrays.items()}
        return {name: checksum(one.result()) for name, one in reading.items()}


def checksum(array: np.ndarray) -> str:
    """Of the numbers, as they are and in their order."""
    return hashlib.blake2b(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, digest_size=16).hexdigest()


def create_store(folder: Path, layout: Layout, chunks: Chunks) -> Store:
    """Makes what is missing of the files that describe the arrays."""
    description = {"zarr_format": 3, "node_type": "group", "attributes": {"explanation": layout.to_json()}}
    text = json.dumps(description, indent=1)
    group = folder / "zarr.json"
    if not group.exists() or group.read_text() != text:
        write_whole(group, text)
    return open_store(folder, layout, chunks, create=True)


def clean(folder: Path) -> None:
    """Removes what is left of files that were being written when a run was killed; while no run is writing."""
    for left in [*folder.glob(UNFINISHED), *(folder / FOLDER).glob(UNFINISHED), *folder.rglob(_LOCKED)]:
        left.unlink(missing_ok=True)


def open_store(folder: Path, layout: Layout, chunks: Chunks, *, create: bool = False) -> Store:
    """Opens the arrays."""
    opening = {
        name: tensorstore.open(_specification(folder / name, kind, shape, chunks), open=True, create=create)
        for name, (kind, shape) in layout.arrays.items()
    }
    return Store({name: one.result() for name, one in opening.items()}, chunks)


def empty(kind: str, shape: tuple[int, ...]) -> np.ndarray:
    """What stands for no answer."""
    return np.full(shape, _missing(np.dtype(kind)), np.dtype(kind))


def without_answers(values: dict[str, np.ndarray], bad: np.ndarray) -> dict[str, np.ndarray]:
    """The same with no answer for the bad rows [n]."""
    if not bad.any():
        return values
    cleared = {}
    for name, value in values.items():
        cleared[name] = np.array(value)
        cleared[name][bad] = _missing(value.dtype)
    return cleared


def on_host(attribution: Attribution, layout: Layout, count: int) -> dict[str, np.ndarray]:
    """The first `count` rows of every field; waits until they are computed."""
    fetched = jax.device_get({name: getattr(attribution, name) for name in layout.fields})
    return {name: np.asarray(value)[:count] for name, value in fetched.items()}


def _missing(kind: np.dtype) -> Any:
    if jax.numpy.issubdtype(kind, np.inexact):
        return np.nan
    return -1 if jax.numpy.issubdtype(kind, np.signedinteger) else 0


def _specification(path: Path, kind: str, shape: tuple[int, ...], chunks: Chunks) -> dict[str, Any]:
    dtype = np.dtype(kind)
    missing = _missing(dtype)
    one_byte = dtype.itemsize == 1
    codecs: list[dict[str, Any]] = [{"name": "bytes", "configuration": {} if one_byte else {"endian": "little"}}]
    if not jax.numpy.issubdtype(dtype, np.inexact):
        # Counts, classes and regions shrink to a fraction; the digits of floats hardly do, and cost time.
        codecs.append({"name": "zstd", "configuration": {"level": 1}})
    numbers = {"complex64": ["NaN", "NaN"], "complex128": ["NaN", "NaN"]}.get(kind, "NaN")
    return {
        "driver": "zarr3",
        "kvstore": {"driver": "file", "path": f"{path}/"},
        "metadata": {
            "shape": [chunks.num_rows, *shape],
            "data_type": kind,
            "chunk_grid": {
                "name": "regular",
                "configuration": {"chunk_shape": [chunks.chunk_rows, *map(_at_least_one, shape)]},
            },
            "codecs": codecs,
            "fill_value": numbers if missing is np.nan else bool(missing) if kind == "bool" else missing,
        },
    }


def _at_least_one(size: int) -> int:
    return max(1, size)
