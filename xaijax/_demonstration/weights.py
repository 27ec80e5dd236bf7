"""Reads files of weights that torch wrote before version 1.6, without torch and without executing anything in them.

Such a file is five pickles (a magic number, a version, the platform, the tensors, the order of their storages) and then
the bytes of each storage. A pickle may name any function and call it. The reader here knows two names, replaces both by
harmless ones, and refuses all others.
"""

from __future__ import annotations

import collections
import io
import pickle
import struct
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

_MAGIC = 0x1950A86A20F9469CFC6C
_DTYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}
_REMEDY = "install the package that it comes from again"


class _Storage(NamedTuple):
    dtype: np.dtype
    key: str
    size: int


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Forbidden(Exception):
    """A file names an object that is no part of a tensor."""


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
    return _Tensor(storage, offset, shape, strides)


class _Reader(pickle.Unpickler):
    """Reads numbers, strings, containers and tensors."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if module == "torch" and name in _DTYPES:
            return name
        raise _Forbidden(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> _Storage:
        _, name, key, _, size, _ = pid
        return _Storage(_DTYPES[name], key, size)


def read_weights(path: Path) -> dict[str, np.ndarray]:
    """Returns the arrays of floating numbers in a file of weights, by name.

    Raises:
      ValueError: if the file is cut short, is another file, or holds other objects than tensors, none of which is made.
    """
    try:
        return _arrays(io.BytesIO(path.read_bytes()))
    except _Forbidden as error:
        raise ValueError(
            f"`path` must be a file of tensors alone, got {path.name} with {error} in it, which was not executed: "
            f"{_REMEDY}."
        ) from None
    except Exception as error:  # pickle.UnpicklingError, EOFError, and what broken bytes make of its operations
        raise ValueError(
            f"`path` must be a whole file of weights that torch saved before version 1.6, got {path.name} "
            f"({type(error).__name__}: {error}): {_REMEDY}."
        ) from None


def _arrays(file: io.BytesIO) -> dict[str, np.ndarray]:
    magic, _, _ = (_Reader(file).load() for _ in range(3))
    if magic != _MAGIC:
        raise ValueError("no magic number of torch")
    tensors, order = _Reader(file).load(), _Reader(file).load()
    sizes = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    storages = {}
    for key in order:
        (count,) = struct.unpack("<q", file.read(8))
        _, _, size = sizes[key]
        content = file.read(size * sizes[key].dtype.itemsize)
        if count != size or len(content) != size * sizes[key].dtype.itemsize:
            raise ValueError(f"the file ends within the storage {key}")
        storages[key] = np.frombuffer(content, sizes[key].dtype)
    arrays = {name: _array(tensor, storages[tensor.storage.key]) for name, tensor in tensors.items()}
    return {name: array for name, array in arrays.items() if array.dtype.kind == "f"}


def _array(tensor: _Tensor, values: np.ndarray) -> np.ndarray:
    """Returns a copy of a tensor, all of whose entries lie within its storage."""
    last = tensor.offset + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True))
    if min((tensor.offset, *tensor.strides)) < 0 or min(tensor.shape, default=1) < 1 or last >= len(values):
        raise ValueError(f"a tensor of shape {tensor.shape} reaches beyond its storage")
    strides = [stride * values.itemsize for stride in tensor.strides]
    return np.lib.stride_tricks.as_strided(values[tensor.offset :], tensor.shape, strides, writeable=False).copy()
