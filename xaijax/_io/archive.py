"""The one file format of the package: a zip of a header in JSON and of arrays in NumPy's format, with a checksum.

header.json   the type of the content ("type"), the version of the format, the dtype and shape of every array, and what
              the writer adds
NAME.npy      one array each; `numpy.load` reads them too
NAME.bin      raw bytes, such as a compiled program
the comment   of the zip is a hash of every byte before it, so that no flipped bit goes unnoticed

Nothing is pickled. Nothing is compressed either: the content never takes more memory than the file takes on the disk.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import jax.numpy as jnp
import numpy as np

from xaijax._io.atomic import write_file, writing
from xaijax._version import __version__

FORMAT = 2  # of the file; raised by changes that older versions cannot read
_HEADER, _CHECKSUM = "header.json", "checksum"
_SEAL = b"xaijax "  # the comment: this, and the checksum
_SEAL_BYTES = len(_SEAL) + 64
_BLOCK = 2**22  # bytes hashed at once
_LARGE = 2**31 - 2**20  # bytes of an entry above which the zip needs its 64-bit form


@dataclasses.dataclass(frozen=True)
class Archive:
    """The content of a file.

    type: the type of the content, such as "attribution".
    header: what the writer added, as JSON holds it.
    arrays: by name.
    blobs: raw bytes, by name.
    """

    type: str
    header: dict[str, Any]
    arrays: dict[str, np.ndarray]
    blobs: dict[str, bytes]


def write(
    path: Path,
    content_type: str,
    header: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    blobs: Mapping[str, bytes] | None = None,
) -> None:
    """Writes a file in one step. Equal content makes equal files.

    Raises:
      TypeError: if the header is not JSON, or an array does not hold numbers.
      OSError: if the file cannot be written; the message says why, and the file that was there is unchanged.
    """
    blobs = {} if blobs is None else blobs
    for name, array in arrays.items():
        if not is_number(array.dtype):
            raise TypeError(f"`{name}` must be an array of numbers to be saved, got {array.dtype}{list(array.shape)}.")
    described = {name: [array.dtype.name, list(array.shape)] for name, array in arrays.items()}
    full = {"type": content_type, "format": FORMAT, "xaijax": __version__, **header}
    text = to_json(full | {"arrays": described, "blobs": {name: len(blob) for name, blob in blobs.items()}})
    with writing(path) as file:
        with zipfile.ZipFile(file, "w") as archive:
            _add(archive, _HEADER, text.encode())
            for name, array in arrays.items():
                _add(archive, f"{name}.npy", array)
            for name, blob in blobs.items():
                _add(archive, f"{name}.bin", blob)
            archive.comment = _SEAL + bytes(64)  # replaced by the checksum
        _seal(file)


def read(path: Path) -> Archive:
    """Reads a file.

    Raises:
      ValueError: if no part of this package wrote the file, if it is damaged, or if a newer version wrote it.
    """
    try:
        with open(path, "rb") as file:
            _check_seal(path, file)
            with zipfile.ZipFile(file) as archive:
                return _read_entries(path, archive)
    except (zipfile.BadZipFile, EOFError, zlib.error, KeyError, TypeError, NotImplementedError) as error:
        raise ValueError(_damaged(path, str(error))) from None


def write_json(path: Path, value: Mapping[str, Any], *, durable: bool = True) -> None:
    """Writes a dictionary as a JSON file, in one step, together with a checksum of itself."""
    write_file(path, _sealed_json(value), durable=durable)


def read_json(path: Path) -> dict[str, Any]:
    """Reads a dictionary that `write_json` wrote.

    Raises:
      ValueError: if the file is damaged.
      FileNotFoundError: if there is none.
    """
    content = path.read_bytes()
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        raise ValueError(_damaged(path, "it is not JSON")) from None
    if not isinstance(value, dict) or value.pop(_CHECKSUM, None) is None or _sealed_json(value) != content:
        raise ValueError(_damaged(path, "its checksum differs"))
    return value


def is_number(dtype: np.dtype) -> bool:
    """Returns whether a dtype is one of JAX's: integers, floats (bfloat16 and others included), complex or boolean."""
    return jnp.issubdtype(dtype, jnp.number) or dtype == np.bool_


def to_json(value: Any, name: str = "options") -> str:
    """Returns the text of a value in JSON.

    Raises:
      TypeError: if JSON cannot hold it, or would return it changed (keys that are no strings).
    """
    _check_keys(value, name)
    try:
        return json.dumps(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"`{name}` must be what JSON can hold, such as numbers, strings and lists: {error}.") from None


def _sealed_json(value: Mapping[str, Any]) -> bytes:
    checksum = hashlib.blake2b(json.dumps(value).encode(), digest_size=16).hexdigest()
    return (json.dumps({**value, _CHECKSUM: checksum}, indent=1) + "\n").encode()


def _check_keys(value: Any, name: str, depth: int = 0) -> None:
    if depth > 200:
        raise TypeError(f"`{name}` must be what JSON can hold, got a nesting of more than 200 levels.")
    if isinstance(value, dict):
        wrong = [key for key in value if not isinstance(key, str)]
        if wrong:
            raise TypeError(
                f"`{name}` must be what JSON can hold, got a dictionary with the key {wrong[0]!r}: keys must be strings."
            )
        for part in value.values():
            _check_keys(part, name, depth + 1)
    elif isinstance(value, (list, tuple)):
        for part in value:
            _check_keys(part, name, depth + 1)


def _add(archive: zipfile.ZipFile, name: str, content: bytes | np.ndarray) -> None:
    """Adds an entry; an array in NumPy's format, which keeps the bytes of dtypes that it does not know (bfloat16)."""
    entry = zipfile.ZipInfo(name)  # without a date, so that equal content makes equal files
    size = content.nbytes if isinstance(content, np.ndarray) else len(content)
    with archive.open(entry, "w", force_zip64=size > _LARGE) as file:
        if not isinstance(content, np.ndarray):
            file.write(content)
            return
        np.lib.format.write_array(file, np.ascontiguousarray(content).reshape(content.shape), allow_pickle=False)


def _seal(file: IO[bytes]) -> None:
    """Writes the checksum of everything before it over the end of the file."""
    hashed = file.seek(0, os.SEEK_END) - _SEAL_BYTES
    checksum = _checksum(file, hashed)
    file.seek(hashed)
    file.write(_SEAL + checksum)


def _check_seal(path: Path, file: IO[bytes]) -> None:
    """Compares the checksum at the end of the file with the bytes before it."""
    hashed = file.seek(0, os.SEEK_END) - _SEAL_BYTES
    seal = b""
    if hashed > 0:
        file.seek(hashed)
        seal = file.read()
    if not seal.startswith(_SEAL):
        raise ValueError(
            f"{path} cannot be read: it is cut short or damaged, or neither xai.save, xai.scale.export nor "
            "AttributionSummary.save wrote it. Write it again, or copy it again."
        )
    if seal != _SEAL + _checksum(file, hashed):
        raise ValueError(_damaged(path, "its checksum differs"))


def _checksum(file: IO[bytes], size: int) -> bytes:
    """The SHA-256 of the first bytes of a file, in hexadecimal digits."""
    file.seek(0)
    total = hashlib.sha256()
    while size > 0 and (block := file.read(min(_BLOCK, size))):
        size -= len(block)
        total.update(block)
    return total.hexdigest().encode()


def _read_entries(path: Path, archive: zipfile.ZipFile) -> Archive:
    total, size = sum(entry.file_size for entry in archive.infolist()), os.path.getsize(path)
    if total > size or any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
        raise ValueError(
            f"{path} is refused: its content would take {total:,} bytes, more than the file itself ({size:,} bytes), which no file of "
            "xaijax does, as they are not compressed."
        )
    try:
        header = json.loads(archive.read(_HEADER))
    except (ValueError, RecursionError):
        raise ValueError(_damaged(path, "its header is not JSON")) from None
    if not isinstance(header, dict) or not isinstance(header.get("type"), str):
        raise ValueError(_damaged(path, "its header does not say what it holds"))
    if not isinstance(header.get("format"), int) or header["format"] > FORMAT:
        raise ValueError(
            f"{path} has format {header.get('format')}, but this version of xaijax reads up to {FORMAT}: a newer version wrote it, "
            f"xaijax {header.get('xaijax')}."
        )
    described, blobs = header.pop("arrays"), header.pop("blobs")
    expected = {_HEADER, *(f"{name}.npy" for name in described), *(f"{name}.bin" for name in blobs)}
    if sorted(expected) != sorted(archive.namelist()):
        raise ValueError(
            _damaged(path, f"its header names {sorted(expected)}, but it holds {sorted(archive.namelist())}")
        )
    arrays = {name: _array(path, name, archive.read(f"{name}.npy"), *described[name]) for name in described}
    content_type = header.pop("type")
    return Archive(content_type, header, arrays, {name: archive.read(f"{name}.bin") for name in blobs})


def _array(path: Path, name: str, content: bytes, dtype_name: str, shape: list[int]) -> np.ndarray:
    """The array of an entry, which must be what the header says."""
    buffer = io.BytesIO(content)
    dtype = _dtype(dtype_name)
    try:
        np.lib.format.read_magic(buffer)
        actual_shape, fortran, actual_dtype = np.lib.format.read_array_header_1_0(buffer)
    except ValueError:
        raise ValueError(_damaged(path, f"{name} is no array of NumPy's format")) from None
    stored = f"V{dtype.itemsize}" if dtype is not None and dtype.kind == "V" else dtype
    rest = memoryview(content)[buffer.tell() :]
    expected = dtype is not None and dtype.itemsize * int(np.prod(shape, dtype=object))
    if dtype is None or fortran or list(actual_shape) != shape or actual_dtype != stored or len(rest) != expected:
        raise ValueError(
            _damaged(
                path,
                f"its header says that {name} is {dtype_name}{shape}, but it is {actual_dtype}{list(actual_shape)}",
            )
        )
    return np.frombuffer(rest, dtype=dtype).reshape(shape)


def _dtype(name: Any) -> np.dtype | None:
    """The dtype of a name; None for names that are not dtypes of numbers."""
    try:
        dtype = np.dtype(name) if isinstance(name, str) else None
    except TypeError:
        return None
    return dtype if dtype is not None and is_number(dtype) and dtype.name == name else None


def _damaged(path: Path, why: str) -> str:
    return f"{path} is damaged ({why}): write it again, or copy it again."
