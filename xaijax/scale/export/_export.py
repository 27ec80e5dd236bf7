"""Explainers as files: one program for a model, an explainer and its options, through `jax.export`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax.scale.export import _artifact
from xaijax.scale.export._program import key_kind, plain, trace
from xaijax.scale.export._structure import read_input

PLATFORMS = ["cpu", "cuda", "rocm", "tpu"]


def export(
    explainer: Callable[..., Attribution],
    x_example: Any,
    path: str | Path,
    *,
    platforms: Sequence[str] | None = None,
    key: Any = None,
    batch_size: int | None = None,
    options: Mapping[str, Any] | None = None,
) -> Path:
    """Writes an explainer of a model to one file, which explains without the model's code: `xai.scale.load_exported`.

    Why: to explain where the model is served, or years later, with JAX alone: no Flax, no module definitions, no
    training code, nothing pickled. What is written is the program for the compiler (StableHLO) and the arrays that it
    needs, the parameters of the model among them.

    The program takes any number of examples. Where code of the explainer or of the model must know the number (it asks
    for `len(x)`, say), it is made for a number at once and repeated as often as it takes; an example's answer is the same
    either way. Checks of values, such as that of NaN, are no part of programs: the explanation of NaN is NaN.

    Args:
      explainer: maps (x, key=, ids=), or those of them that it names, to an Attribution with leading axis N: a function,
        or `functools.partial(xai.shap.values, model, masker=masker)`.
      x_example: [N, ...] inputs such as it will get, or several in dictionaries, lists or tuples: their shapes without N
        and their types become those of the program. Their numbers do not matter.
      path: where to; the ending `.zip` is added where it is missing. A file that is there is replaced at once, or not.
      platforms: where it shall run, some of "cpu", "cuda", "rocm" and "tpu". Default: here. The sizes of blocks are those
        that suit the device at hand, so an explainer for accelerators is best exported on one.
      key: a JAX random key of the kind that it will get; its number does not matter. Default: of `jax.random.key`'s kind.
      batch_size: how many examples are explained at once. Default: all, and where the number must be known, as many as
        x_example holds.
      options: what else is to be known of it: anything that JSON can say.

    Returns:
      The path of the file.

    Raises:
      TypeError: if the explainer is not callable or returns no Attribution, or the options are nothing for JSON.
      ValueError: if a platform is unknown, a field of the Attribution does not have the axis N, or the explainer must be
        repeated and draws random numbers without ids.
      ImportError: if the package flatbuffers, which `jax.export` writes with, is missing.

    >>> import pathlib, tempfile, jax.numpy as jnp, xaijax as xai
    >>> model = xai.function(lambda w, x: (x @ w)[:, 0] * x[:, 1], jnp.eye(2))
    >>> explainer = lambda x: xai.shap.exact(xai.game(model, x, xai.mask.baseline(jnp.zeros(2))))
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = xai.scale.export(explainer, jnp.ones((1, 2)), pathlib.Path(folder.name) / "explainer")
    >>> explain = xai.scale.load_exported(path)
    >>> explain(jnp.array([[2.0, 3.0], [4.0, 1.0]])).values
    Array([[3., 3.],
           [2., 2.]], dtype=float32)
    """
    if not callable(explainer):
        raise TypeError(
            f"explainer must be callable as explainer(x, key=, ids=), but it is {type(explainer).__name__}."
        )
    structure, leaves, _ = read_input(x_example)
    batch_size = check.batch_size(batch_size)
    platforms = _read_platforms(platforms)
    key = jax.random.key(0) if key is None else check.random_key(key)
    options = dict(options or {})
    _check_json(options)

    traced = trace(explainer, structure, leaves, key, batch_size=batch_size)
    program = traced.lower(platforms)
    try:
        serialized = program.serialize()
    except ImportError as error:
        raise ImportError(
            "jax.export writes programs with the package flatbuffers: pip install flatbuffers."
        ) from error
    metadata = {
        "xaijax": version("xaijax"),
        "jax": jax.__version__,
        "calling_convention_version": program.calling_convention_version,
        "platforms": list(program.platforms),
        "examples_at_once": traced.examples_at_once,
        "divisible": traced.divisible,
        "input": {"structure": structure, "arrays": [_described(leaf) for leaf in leaves]},
        "key": {"kind": key_kind(key), "shape": list(plain(key).shape), "needed": traced.uses_key},
        "attribution": _describe_answer(traced.answer),
        "options": options,
    }
    path = Path(path)
    path = path if path.suffix == ".zip" else path.with_name(path.name + ".zip")
    _artifact.write(path, metadata, bytes(serialized), [np.asarray(plain(one)) for one in traced.constants])
    return path


def _read_platforms(platforms: Any) -> list[str]:
    if platforms is None:
        return [jax.export.default_export_platform()]
    if isinstance(platforms, str) or not platforms:
        raise ValueError(f"platforms must be some of {PLATFORMS}, such as ['cpu', 'cuda'], but it is {platforms!r}.")
    return [check.one_of("platforms", platform, PLATFORMS) for platform in platforms]


def _check_json(options: dict[str, Any]) -> None:
    try:
        json.dumps(options)
    except (TypeError, ValueError) as error:
        raise TypeError(f"options must be what JSON can say, such as numbers, strings and lists: {error}.") from None


def _described(array: Any) -> dict[str, Any]:
    """Without the axis N."""
    return {"dtype": np.dtype(array.dtype).name, "shape": list(array.shape[1:])}


def _describe_answer(answer: Attribution) -> dict[str, Any]:
    """The type, the fields in the order in which the program returns them, and what is static."""
    static = [field.name for field in dataclasses.fields(answer) if field.metadata.get("static")]
    arrays = [field.name for field in dataclasses.fields(answer) if field.name not in static]
    return {
        "kind": type(answer).__name__,
        "fields": [
            {"name": name} | _described(getattr(answer, name)) for name in arrays if getattr(answer, name) is not None
        ],
        "static": {name: getattr(answer, name) for name in static},
    }
