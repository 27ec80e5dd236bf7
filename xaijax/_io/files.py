"""Saves attributions to files, and loads everything that this package writes."""

from __future__ import annotations

import dataclasses
import importlib
import os
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.attribution import Attribution, Interactions, Surrogate
from xaijax._core.typing import Selection
from xaijax._io import archive

TYPE = "attribution"
CLASSES = {cls.__name__: cls for cls in (Attribution, Surrogate, Interactions)}
STORE_FILE = "xaijax/run.json"  # of a folder, which makes it a store
_SUFFIXES = (".npz", ".zip")
_STORE = "store"
_readers: dict[str, tuple[str, str]] = {}  # of the parts of the package above this one


def register_reader(content_type: str, module: str, name: str) -> None:
    """Makes `load` read one more type of files with a function, whose module is imported when it is first needed."""
    _readers[content_type] = module, name


def save(path: str | Path, attribution: Attribution, *, options: Mapping[str, Any] | None = None) -> Path:
    """Writes an attribution to one `.npz` file, in one step and without pickling.

    Why: `load` returns it bit for bit and notices any damage. `numpy.load` reads the arrays too.

    Args:
      path: the path of the file; the suffix `.npz` is added if it is missing. A file that is there is replaced, and stays as
        it was if the new one cannot be written.
      attribution: the result of an explainer.
      options: facts to keep with it, such as the arguments that made it: anything that JSON can hold.

    Returns:
      The path of the file.

    Raises:
      TypeError: if `attribution` is not an attribution, or JSON cannot hold `options`.
      OSError: if the file cannot be written, such as on a full disk.

    >>> import pathlib, tempfile, jax.numpy as jnp, xaijax as xai
    >>> attribution = xai.shap.linear(lambda x: x @ jnp.array([1.0, 2.0]), jnp.eye(2), jnp.zeros((1, 2)))
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = xai.save(pathlib.Path(folder.name) / "attribution", attribution, options={"why": "an example"})
    >>> xai.load(path).values, xai.load_options(path)
    (Array([[1., 0.],
           [0., 2.]], dtype=float32), {'why': 'an example'})
    """
    if not isinstance(attribution, Attribution) or type(attribution).__name__ not in CLASSES:
        raise TypeError(f"`attribution` must be the result of an explainer, got {type(attribution).__name__}.")
    if not check.is_concrete(attribution):
        raise TypeError("`attribution` must have values, got traced arrays: save it outside of jax.jit.")
    path = with_suffix("path", path, ".npz")
    static, fields = split(attribution)
    arrays = {name: numpy_array(name, value) for name, value in fields.items()}
    header = {"class": type(attribution).__name__, "static": static, "options": read_options(options)}
    archive.write(path, TYPE, header, arrays)
    return path


def load(path: str | Path, *, rows: Selection = None, batch_size: int | None = None) -> Any:
    """Reads any file or store of this package; its header tells what it contains.

    Args:
      path: the path of a file, with or without its suffix, or of a folder that `xai.scale.explain_dataset` wrote.
      rows: the rows to read of the explanations of a data set, or of an attribution: a number, a slice, numbers or N
        booleans. Default: all.
      batch_size: for exported explainers, the number of examples explained at once. The last batch is filled up, so that one
        compiled program serves any number of examples. Default: all at once, compiled anew for each number of examples.

    Returns:
      What was written: the attribution of `xai.save` or of a data set, of the same class and bit for bit; the
      `xai.scale.ExportedExplainer` of `xai.scale.export`; or the `xai.scale.AttributionSummary` of its `save`. Rows of a
      data set that failed are NaN, and -1 or False in fields without NaN: see `xai.scale.failures`. Arrays of 64 bits
      become arrays of NumPy, with a warning, where JAX has no 64 bits.

    Raises:
      FileNotFoundError: if there is no such file or folder.
      ValueError: if no part of this package wrote it, if it is damaged, if a newer version wrote it, or if the rows are not
        explained yet.
      IndexError, TypeError: if `rows` does not fit, or an option is given that this file does not take.
    """
    path = existing(path)
    content: Any = path if path.is_dir() else archive.read(path)
    content_type = _STORE if content is path else content.type
    if content_type == TYPE:
        read = _attribution
    elif content_type in _readers:
        module, name = _readers[content_type]
        read = getattr(importlib.import_module(module), name)
    else:
        raise ValueError(f"{path} holds a {content_type!r}, which this version of xaijax does not know.")
    given = {name: value for name, value in (("rows", rows), ("batch_size", batch_size)) if value is not None}
    for name in given:
        if name not in (read.__kwdefaults__ or {}):
            article = "an" if content_type[0] in "ae" else "a"
            raise TypeError(f"`{name}` must be left out for {path}, which holds {article} {content_type}.")
    return read(path, content, **given)


def load_options(path: str | Path) -> dict[str, Any]:
    """Reads the options that were saved with an attribution, or with an exported explainer.

    Args:
      path: the path of the file, with or without its suffix.

    Returns:
      The options as JSON holds them; {} where there are none.

    Raises:
      FileNotFoundError, ValueError: as for `load`.
    """
    path = existing(path)
    if path.is_dir():
        raise ValueError(f"`path` must be a file with options, got the store {path}.")
    return archive.read(path).header.get("options", {})


def split(attribution: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the static fields of an attribution, or of another dataclass of arrays, and its arrays, by name."""
    names = {field.name: bool(field.metadata.get("static")) for field in dataclasses.fields(attribution)}
    static = {name: getattr(attribution, name) for name, is_static in names.items() if is_static}
    arrays = {name: getattr(attribution, name) for name, is_static in names.items() if not is_static}
    return static, {name: value for name, value in arrays.items() if value is not None}


def joined(cls: Any, static: Mapping[str, Any], arrays: Mapping[str, Any]) -> Any:
    """Returns the attribution, or other dataclass, of what `split` returned, after JSON had it."""
    return cls(**arrays, **{name: _as_tuples(value) for name, value in static.items()})


def _as_tuples(value: Any) -> Any:
    """Lists of JSON as the tuples that static fields hold."""
    return tuple(map(_as_tuples, value)) if isinstance(value, (list, tuple)) else value


def read_options(options: Any) -> dict[str, Any]:
    """Returns options as a dictionary that JSON can hold, or raises where it cannot."""
    if options is not None and not isinstance(options, Mapping):
        raise TypeError(f"`options` must be a dictionary, got {check.shown(options)}.")
    options = dict(options or {})
    archive.to_json(options)
    return options


def numpy_array(name: str, value: Any) -> np.ndarray:
    """Returns a field of an attribution as an array of numbers.

    Raises:
      TypeError: if it is none, or has missing values.
    """
    if np.ma.is_masked(value):
        raise TypeError(f"`{name}` must be an array without missing values, got a masked array: fill it first.")
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        array = np.empty((), object)
    if not archive.is_number(array.dtype):
        raise TypeError(f"`{name}` must be an array of numbers, got {array.dtype} of {type(value).__name__}.")
    return array


def jax_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Returns arrays of JAX with the same bits; those of 64 bits stay NumPy's where JAX would halve them."""
    wide = [name for name, array in arrays.items() if jax.dtypes.canonicalize_dtype(array.dtype) != array.dtype]
    if wide:
        warnings.warn(
            f"{path} holds arrays of 64 bits ({', '.join(f'{name}: {arrays[name].dtype}' for name in wide)}), which stay NumPy "
            "arrays, as JAX would round them to 32 bits: call jax.config.update('jax_enable_x64', True) before loading.",
            stacklevel=_frames_of_the_package(),
        )
    return {name: array if name in wide else jnp.asarray(array) for name, array in arrays.items()}


def with_suffix(name: str, path: Any, suffix: str) -> Path:
    """Returns a path that ends in a suffix."""
    path = checked_path(name, path)
    return path if path.suffix == suffix else path.with_name(path.name + suffix)


def checked_path(name: str, path: Any) -> Path:
    """Returns a path, or raises where the argument is none."""
    if not isinstance(path, (str, os.PathLike)) or isinstance(os.fspath(path), bytes) or "\0" in str(path):
        raise TypeError(f"`{name}` must be a path, such as 'explanations', got {check.shown(path)}.")
    if str(path).encode(errors="ignore").decode() != str(path):
        raise ValueError(
            f"`{name}` must be a path in Unicode, got {check.shown(str(path))}, which has a lone surrogate."
        )
    if not Path(path).name:
        raise ValueError(f"`{name}` must name a file or a folder, got {str(path)!r}.")
    return Path(path)


def existing(path: Any, name: str = "path") -> Path:
    """Returns the path of the file or store that a path names, with or without the suffix.

    Raises:
      FileNotFoundError, ValueError: if there is none, or more than one.
    """
    path = checked_path(name, path)
    candidates = [path.with_name(path.name + suffix) for suffix in _SUFFIXES]
    there = [path] if path.is_file() or (path / STORE_FILE).is_file() else []
    there += [candidate for candidate in candidates if candidate.is_file()]
    if len(there) == 1 or (there and there[0] == path and path.suffix in _SUFFIXES):
        return there[0]
    if there:
        raise ValueError(
            f"`{name}` must name one file, got {path}, which may be any of {[str(candidate) for candidate in there]}."
        )
    for link in (path, *candidates):
        if link.is_symlink():
            raise FileNotFoundError(f"{link} is a symbolic link to {os.readlink(link)}, which does not exist.")
    if path.is_dir():
        raise ValueError(f"{path} holds no store of explanations: it must be a folder that explain_dataset wrote.")
    raise FileNotFoundError(f"{path} does not exist, and neither do {' or '.join(map(str, candidates))}.")


def _attribution(path: Path, content: archive.Archive, *, rows: Selection = None) -> Attribution:
    class_name, static = content.header.get("class"), content.header.get("static")
    if class_name not in CLASSES:
        raise ValueError(
            f"{path} holds a {class_name!r}, which this version of xaijax does not know; it knows {sorted(CLASSES)}."
        )
    try:
        attribution = joined(CLASSES[class_name], static or {}, jax_arrays(path, content.arrays))
    except TypeError as error:
        raise ValueError(f"{path} is damaged (its fields are not those of {class_name}: {error}).") from None
    return attribution if rows is None else attribution[rows]


def _frames_of_the_package() -> int:
    """How many calls lie between a warning and the line of the user."""
    frame, count, package = sys._getframe(1), 1, __name__.split(".")[0]
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] == package:
        frame, count = frame.f_back, count + 1
    return count
