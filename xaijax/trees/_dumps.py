"""Reads dumps of forests: files, text, JSON and UBJSON. The libraries that wrote them are not needed."""

from __future__ import annotations

import contextlib
import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from xaijax._core import check

LIGHTGBM_TEXT = "tree\n"  # how LightGBM's text begins
_NUMBERS = {b"i": ">i1", b"U": ">u1", b"I": ">i2", b"l": ">i4", b"L": ">i8", b"d": ">f4", b"D": ">f8"}
_CONSTANTS = {b"Z": None, b"T": True, b"F": False}


def is_dump(model: Any) -> bool:
    """Returns whether an object may be a dump: a path, text, bytes, or a dict of JSON."""
    return isinstance(model, (str, os.PathLike, bytes, bytearray, memoryview, dict))


def read_dump(model: Any) -> dict[str, Any] | str:
    """Returns the content of a dump: a dict of JSON or UBJSON, or LightGBM's text.

    Raises:
      FileNotFoundError: if a path names no file.
      ValueError: if the content is neither.
    """
    if isinstance(model, dict):
        return model
    source = "text" if isinstance(model, str) else "bytes"
    if isinstance(model, os.PathLike) or (isinstance(model, str) and _is_path(model)):
        path = Path(model)
        if not path.is_file():
            raise FileNotFoundError(f"`model` must be a forest or the path of its dump, but {path} does not exist.")
        model, source = path.read_bytes(), f"the file {path}"
    content = model.encode(errors="replace") if isinstance(model, str) else bytes(model)
    if content.startswith(LIGHTGBM_TEXT.encode()):
        return content.decode(errors="replace")
    with damaged(f"dump ({source})"):
        if content.startswith(b"{") and content[1:2] in _NUMBERS:
            return _Ubjson(content).value()
        if content.lstrip().startswith(b"{"):
            return json.loads(content)
    raise ValueError(
        f"`model` must be a dump in JSON, in UBJSON or in LightGBM's text, got {source} that begins with "
        f"{check.shown(content[:20])}: write it by save_model of XGBoost with a path that ends in .json, by save_model of "
        'LightGBM, or by save_model(path, format="json") of CatBoost.'
    )


def _is_path(text: str) -> bool:
    return "\n" not in text and not text.lstrip().startswith("{") and len(text) < 4096 and "\0" not in text


def with_trees(trees: Any) -> Any:
    """Returns the trees of a dump, or raises where there are none."""
    if not len(trees):
        raise ValueError("`model` must have a tree, got a forest without any: train it for at least one iteration.")
    return trees


@contextlib.contextmanager
def damaged(source: str) -> Iterator[None]:
    """Turns errors of reading into one sentence, those apart that are one already."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError, struct.error, RecursionError) as error:
        if str(error).startswith("`model`"):
            raise
        reason = f"no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())[:200].rstrip(".")
        raise ValueError(
            f"`model` must be an undamaged {source}, got one that cannot be read ({reason}): write it again."
        ) from error


class _Ubjson:
    """Reads UBJSON; arrays of numbers of one type become arrays of NumPy."""

    def __init__(self, content: bytes):
        self._content, self._position = content, 0

    def value(self) -> Any:
        return self._of_type(self._bytes(1))

    def _of_type(self, marker: bytes) -> Any:
        if marker in _NUMBERS:
            return self._numbers(marker, 1)[0].item()
        if marker in _CONSTANTS:
            return _CONSTANTS[marker]
        if marker == b"S":
            return self._bytes(self._size()).decode()
        if marker == b"C":
            return self._bytes(1).decode()
        if marker == b"[":
            return self._array()
        if marker == b"{":
            return self._object()
        raise ValueError(f"unknown type {marker!r} at byte {self._position}")

    def _array(self) -> Any:
        marker, size = self._header()
        if marker in _NUMBERS and size is not None:
            return self._numbers(marker, size)
        values = []
        while not self._ends(b"]", size, len(values)):
            values.append(self.value() if marker is None else self._of_type(marker))
        return values

    def _object(self) -> dict[str, Any]:
        marker, size = self._header()
        members: dict[str, Any] = {}
        number = 0
        while not self._ends(b"}", size, number):
            name = self._bytes(self._size()).decode()
            members[name] = self.value() if marker is None else self._of_type(marker)
            number += 1
        return members

    def _header(self) -> tuple[bytes | None, int | None]:
        """Returns the type of all members and their number, where an array or object begins with them."""
        marker = size = None
        if self._next() == b"$":
            self._position += 1
            marker = self._bytes(1)
        if self._next() == b"#":
            self._position += 1
            size = self._size()
        return marker, size

    def _ends(self, end: bytes, size: int | None, number: int) -> bool:
        if size is not None:
            return number >= size
        if self._next() == end:
            self._position += 1
            return True
        return False

    def _size(self) -> int:
        size = self.value()
        if not isinstance(size, int) or size < 0:
            raise ValueError(f"a length of {size!r} at byte {self._position}")
        return size

    def _next(self) -> bytes:
        return self._content[self._position : self._position + 1]

    def _bytes(self, number: int) -> bytes:
        taken = self._content[self._position : self._position + number]
        if len(taken) < number:
            raise ValueError(f"it ends after {len(self._content)} bytes")
        self._position += number
        return taken

    def _numbers(self, marker: bytes, number: int) -> np.ndarray:
        dtype = np.dtype(_NUMBERS[marker])
        return np.frombuffer(self._bytes(number * dtype.itemsize), dtype)
