"""Constants that take long to compute, kept on disk next to JAX's compiled programs where the user keeps these."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import numpy as np

from xaijax._version import __version__

Arrays = dict[str, np.ndarray]

_FOLDER = "xaijax-constants"
_MOST_BYTES = 2**25  # of one file: larger constants are computed anew


def stored(name: str, key: Sequence[Any], compute: Callable[[], Arrays], sources: Sequence[ModuleType]) -> Arrays:
    """Returns `compute()`, or what it returned to an earlier process.

    A file is written only if `jax_compilation_cache_dir` is a local folder. It is written whole or not at all, and one that
    cannot be read is written anew.

    Args:
      name: what the constants are, the beginning of the file's name.
      key: what they depend on: numbers, strings and arrays.
      compute: what computes them.
      sources: the modules whose code computes them. Another code, or another version of NumPy, has other files.
    """
    folder = _folder()
    if folder is None:
        return compute()
    file = folder / f"{name}-{_digest(key, sources)}.npz"
    with contextlib.suppress(OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile), np.load(file) as arrays:
        return {field: arrays[field] for field in arrays.files}
    arrays = compute()
    if sum(array.nbytes for array in arrays.values()) <= _MOST_BYTES:
        with contextlib.suppress(OSError):  # a full disk, or a folder that only others may write to
            _write(file, arrays)
    return arrays


def _folder() -> Path | None:
    folder: Any = jax.config.jax_compilation_cache_dir  # pyright: ignore[reportAttributeAccessIssue]
    enabled: Any = jax.config.jax_enable_compilation_cache  # pyright: ignore[reportAttributeAccessIssue]
    return Path(folder) / _FOLDER if enabled and folder and "://" not in str(folder) else None


def _digest(key: Sequence[Any], sources: Sequence[ModuleType]) -> str:
    digest = hashlib.sha256(f"{__version__} {np.__version__}".encode())
    for part in key:
        is_array = isinstance(part, np.ndarray)
        digest.update(repr((part.shape, part.dtype) if is_array else part).encode() + b"\0")
        digest.update(part.tobytes() if is_array else b"")
    for module in sources:
        with contextlib.suppress(OSError):  # modules in archives have no file; the version remains
            digest.update(Path(module.__file__ or "").read_bytes())
    return digest.hexdigest()[:32]


def _write(file: Path, arrays: Arrays) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(f".{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as opened:
            np.savez(opened, **arrays)  # pyright: ignore[reportArgumentType]
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
