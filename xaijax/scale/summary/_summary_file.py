"""Summaries in files: NumPy's .npz with a header in JSON, and nothing pickled."""

from __future__ import annotations

import json
import os
import uuid
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

FORMAT = 1  # of the file; raised by changes that older versions cannot read
_KIND = "xaijax attribution summary"


def write(path: Path, header: dict[str, Any], arrays: Sequence[np.ndarray]) -> Path:
    """Writes under another name first, so that a broken attempt never stands in the place of a whole file."""
    path = path if path.suffix == ".npz" else path.with_name(path.name + ".npz")
    told = json.dumps({"kind": _KIND, "format": FORMAT, "arrays": len(arrays), **header})
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial.npz")
    try:
        np.savez(partial, header=np.array(told), **{str(number): array for number, array in enumerate(arrays)})  # pyright: ignore[reportArgumentType]
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def read(path: Path) -> tuple[dict[str, Any], list[np.ndarray]]:
    """The header, and the arrays in order.

    Raises:
      ValueError: if the file is none of ours, is cut short, or was written by a newer version.
    """
    try:
        with zipfile.ZipFile(path), np.load(path, allow_pickle=False) as file:
            header = json.loads(str(file["header"])) if "header" in file else {}
            if header.get("kind") != _KIND:
                raise ValueError(f"{path} holds no summary: it must be a file that AttributionSummary.save wrote.")
            if header["format"] > FORMAT:
                raise ValueError(
                    f"{path} has format {header['format']}, but this version of xaijax reads up to {FORMAT}: it was written "
                    "by a newer one."
                )
            return header, [file[str(number)] for number in range(header["arrays"])]
    except (zipfile.BadZipFile, EOFError, KeyError) as error:
        raise ValueError(
            f"{path} cannot be read: it is cut short, or no file that AttributionSummary.save wrote ({error})."
        ) from None
