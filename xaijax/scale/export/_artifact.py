"""The file of an exported explainer: a zip of its metadata in JSON, its program and its arrays, with checksums.

metadata.json    what the program takes and gives, and the sizes and SHA-256 sums of the other entries
program.bin      the program as `jax.export` serializes it
arrays/0.bin ... the arrays that it needs, such as the model's parameters, as raw little-endian bytes

Nothing is pickled, and nothing in the file is run but the program, by XLA.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

FORMAT = 1  # of the file; raised by changes that older versions cannot read
KIND = "xaijax exported explainer"
_METADATA, _PROGRAM = "metadata.json", "program.bin"


def write(path: Path, metadata: dict[str, Any], program: bytes, arrays: Sequence[np.ndarray]) -> None:
    """Writes the file under another name first, so that a broken attempt never stands in the place of a whole one."""
    entries = {_PROGRAM: program}
    described = []
    for number, array in enumerate(arrays):
        name = f"arrays/{number}.bin"
        entries[name] = array.tobytes()
        described.append({"entry": name, "dtype": array.dtype.name, "shape": list(array.shape)})
    sums = {name: {"bytes": len(entry), "sha256": _sum(entry)} for name, entry in entries.items()}
    header = {"kind": KIND, "format": FORMAT, **metadata, "arrays": described, "entries": sums}
    entries = {_METADATA: json.dumps(header, indent=1).encode()} | entries
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        with zipfile.ZipFile(partial, "w") as file:
            for name, entry in entries.items():
                # Parameters hardly get smaller by compression. Without a date equal programs make equal files.
                squeezed = zipfile.ZIP_STORED if name.startswith("arrays/") else zipfile.ZIP_DEFLATED
                file.writestr(zipfile.ZipInfo(name), entry, compress_type=squeezed)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def read(path: Path) -> tuple[dict[str, Any], bytes, list[np.ndarray]]:
    """The metadata, the program and the arrays.

    Raises:
      ValueError: if the file is none of ours, was written by a newer version, is cut short or damaged.
    """
    try:
        with zipfile.ZipFile(path) as file:
            metadata = _read_metadata(path, file)
            entries = {name: _read_entry(path, file, name, told) for name, told in metadata["entries"].items()}
    except (zipfile.BadZipFile, EOFError, zlib.error, KeyError, NotImplementedError) as error:
        raise ValueError(
            f"{path} cannot be read: it is cut short, damaged, or no file that xai.scale.export wrote ({error}). Export "
            "the explainer again, or copy the file again."
        ) from None
    arrays = []
    for told in metadata["arrays"]:
        array = np.frombuffer(entries[told["entry"]], dtype=jnp.dtype(told["dtype"]))
        arrays.append(array.reshape(told["shape"]))
    return metadata, entries[_PROGRAM], arrays


def _read_metadata(path: Path, file: zipfile.ZipFile) -> dict[str, Any]:
    names = file.namelist()
    if _METADATA not in names:
        hint = ": attributions are read by xai.load" if "header.npy" in names else ""
        raise ValueError(
            f"{path} holds no exported explainer, but {names[:3]}{hint}; it must come from xai.scale.export."
        )
    try:
        metadata = json.loads(file.read(_METADATA))
    except ValueError as error:
        raise ValueError(f"{path} cannot be read: its metadata is no JSON ({error}).") from None
    if not isinstance(metadata, dict) or metadata.get("kind") != KIND:
        raise ValueError(f"{path} holds no exported explainer: its metadata does not say {KIND!r}.")
    if metadata.get("format", FORMAT) > FORMAT:
        raise ValueError(
            f"{path} has format {metadata['format']}, but this version of xaijax reads up to {FORMAT}: it was written by "
            f"a newer one, xaijax {metadata.get('xaijax')}."
        )
    return metadata


def _read_entry(path: Path, file: zipfile.ZipFile, name: str, told: dict[str, Any]) -> bytes:
    entry = file.read(name)
    if len(entry) != told["bytes"] or _sum(entry) != told["sha256"]:
        raise ValueError(
            f"{path} is damaged: the checksum of {name} is not the one in its metadata. Export the explainer again, or copy "
            "the file again."
        )
    return entry


def _sum(entry: bytes) -> str:
    return hashlib.sha256(entry).hexdigest()
