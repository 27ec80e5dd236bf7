"""Attributions in files: NumPy's .npz with a header in JSON, and nothing pickled."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from xaijax._core.attribution import Attribution, Interactions, Surrogate

FORMAT = 1  # of the file; raised by changes that older versions cannot read
_KINDS = {kind.__name__: kind for kind in (Attribution, Surrogate, Interactions)}


def save(path: str | Path, attribution: Attribution, *, options: Mapping[str, Any] | None = None) -> Path:
    """Writes an attribution to one `.npz` file, without pickling.

    Args:
      path: where to; the ending `.npz` is added where it is missing.
      attribution: what an explainer returned.
      options: what else is to be known of it, such as the arguments that made it: anything that JSON can say.

    Returns:
      The path of the file.

    Raises:
      TypeError: if it is no attribution, or the options are nothing for JSON.
    """
    if not isinstance(attribution, Attribution):
        raise TypeError(f"attribution must be what an explainer returns, but it is {type(attribution).__name__}.")
    path = Path(path)
    path = path if path.suffix == ".npz" else path.with_name(path.name + ".npz")
    arrays: dict[str, Any] = {}
    header: dict[str, Any] = {"format": FORMAT, "kind": type(attribution).__name__, "options": dict(options or {})}
    for field in dataclasses.fields(attribution):
        value = getattr(attribution, field.name)
        if field.metadata.get("static"):
            header[field.name] = value
        elif value is not None:
            arrays[field.name] = np.asarray(value)
    try:
        written = json.dumps(header)
    except (TypeError, ValueError) as error:
        raise TypeError(f"options must be what JSON can say, such as numbers, strings and lists: {error}.") from None
    np.savez(path, header=np.array(written), **arrays)
    return path


def load(path: str | Path) -> Attribution:
    """Reads an attribution that `save` wrote.

    Args:
      path: of the file.

    Returns:
      The attribution, of the type it had, bit for bit.

    Raises:
      ValueError: if the file is not such a file, is cut short, or was written by a newer version.
    """
    header, arrays = _read(path)
    kind = _KINDS[header.pop("kind")]
    fields = {field.name for field in dataclasses.fields(kind)}
    return kind(**arrays, **{name: value for name, value in header.items() if name in fields})


def load_options(path: str | Path) -> dict[str, Any]:
    """Reads the options that were saved with an attribution.

    Args:
      path: of the file.

    Returns:
      The options as `save` was given them, {} where there were none.

    Raises:
      ValueError: as for `load`.
    """
    return _read(path)[0].get("options", {})


def _read(path: str | Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The header, and the arrays."""
    try:
        with zipfile.ZipFile(path), np.load(path, allow_pickle=False) as file:
            if "header" not in file:
                raise ValueError(f"{path} holds no attribution: it must be a file that xai.save wrote.")
            header = json.loads(str(file["header"]))
            arrays = {name: jnp.asarray(file[name]) for name in file.files if name != "header"}
    except (zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"{path} cannot be read: it is cut short, or no file that xai.save wrote ({error}).") from None
    if header.get("format", FORMAT) > FORMAT:
        raise ValueError(
            f"{path} has format {header['format']}, but this version of xaijax reads up to {FORMAT}: it was written by a "
            "newer one."
        )
    if header.get("kind") not in _KINDS:
        raise ValueError(
            f"{path} holds a {header.get('kind')!r}, which this version does not know; it knows {sorted(_KINDS)}."
        )
    return header, arrays
