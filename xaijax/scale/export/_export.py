"""Writes explainers to files: one program for a model, an explainer and its options, through `jax.export`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.typing import Inputs, KeyLike
from xaijax._io import archive, files
from xaijax.scale.export._program import key_impl, plain, read_input, trace

TYPE = "exported explainer"
PLATFORMS = ["cpu", "cuda", "rocm", "tpu"]


def export(
    explainer: Callable[..., Attribution],
    x_example: Inputs,
    path: str | Path,
    *,
    platforms: Sequence[str] | None = None,
    key: KeyLike | None = None,
    batch_size: int | None = None,
    options: Mapping[str, Any] | None = None,
) -> Path:
    """Writes an explainer of a model to one file, which explains without the model's code: `xai.load(path)`.

    Why: to explain where the model is served, or years later, with JAX alone: no Flax, no module definitions, no training
    code, nothing pickled. The file contains the program for the compiler (StableHLO) and the arrays that it needs, such as
    the parameters of the model.

    The program takes any number of examples. If code of the explainer or of the model must know the number (it asks for
    `len(x)`, say), the program explains a fixed number at once and is repeated; an example's answer is the same either
    way. Checks of values, such as that of NaN, are not part of programs: the explanation of NaN is NaN.

    Args:
      explainer: maps (x, key=, ids=), or those of them that it names, to an Attribution with leading axis N: a function,
        or `functools.partial(xai.shap.values, model, masker=masker)`.
      x_example: [N, ...] inputs as the program will get them, alone or in dictionaries, lists or tuples. Their shapes
        without N and their dtypes become those of the program. Their numbers do not matter.
      path: the path of the file; the suffix `.zip` is added if it is missing. A file that is there is replaced in one step.
      platforms: where the program shall run, some of "cpu", "cuda", "rocm" and "tpu". Default: the platform at hand. The
        sizes of blocks suit the device at hand, so an explainer for accelerators is best exported on one.
      key: a JAX random key with the generator of later keys; its number does not matter. Default: `jax.random.key(0)`.
      batch_size: how many examples are explained at once. Default: all, and where the number must be known, as many as
        `x_example` holds.
      options: facts to keep with it: anything that JSON can hold. See `xai.load_options`.

    Returns:
      The path of the file.

    Raises:
      TypeError: if the explainer is not callable, returns no Attribution or calls Python on the host, or JSON cannot hold
        the options.
      ValueError: if a platform is unknown, a field of the Attribution does not have the axis N, or the explainer must be
        repeated and draws random numbers without ids.
      OSError: if the file cannot be written.
      ImportError: if the package flatbuffers is missing, which `jax.export` writes with.

    >>> import pathlib, tempfile, jax.numpy as jnp, xaijax as xai
    >>> model = xai.function(lambda w, x: (x @ w)[:, 0] * x[:, 1], jnp.eye(2))
    >>> explainer = lambda x: xai.shap.exact(xai.game(model, x, xai.mask.baseline(jnp.zeros(2))))
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = xai.scale.export(explainer, jnp.ones((1, 2)), pathlib.Path(folder.name) / "explainer")
    >>> explain = xai.load(path)
    >>> explain(jnp.array([[2.0, 3.0], [4.0, 1.0]])).values
    Array([[3., 3.],
           [2., 2.]], dtype=float32)
    """
    if not callable(explainer):
        raise TypeError(f"`explainer` must be callable as explainer(x, key=, ids=), got {check.shown(explainer)}.")
    structure, leaves, _ = read_input(x_example, "x_example")
    path = files.with_suffix("path", path, ".zip")
    batch_size = check.batch_size(batch_size)
    platforms = _read_platforms(platforms)
    key = jax.random.key(0) if key is None else check.random_key(key)
    options = files.read_options(options)

    traced = trace(explainer, structure, leaves, key, batch_size=batch_size)
    try:
        program = traced.lower(platforms)
        serialized = program.serialize()
    except NotImplementedError as error:
        if "callback" not in str(error):
            raise
        raise TypeError(
            "`explainer` must be written in JAX to be exported, got one that calls Python on the host, such as a model of "
            "xai.callback: call it where that Python is."
        ) from error
    except ImportError as error:
        raise ImportError(
            "xai.scale.export needs the package flatbuffers, which jax.export writes with: pip install flatbuffers."
        ) from error
    header = {
        "jax": jax.__version__,
        "calling_convention_version": program.calling_convention_version,
        "platforms": list(program.platforms),
        "examples_at_once": traced.examples_at_once,
        "divisible": traced.divisible,
        "input": {"structure": structure, "arrays": [_described(leaf) for leaf in leaves]},
        "key": {"impl": key_impl(key), "shape": list(plain(key).shape), "needed": traced.uses_key},
        "attribution": _describe_answer(traced.answer),
        "options": options,
    }
    constants = {str(number): np.asarray(plain(array)) for number, array in enumerate(traced.constants)}
    archive.write(path, TYPE, header, constants, {"program": bytes(serialized)})
    return path


def _read_platforms(platforms: Any) -> list[str]:
    if platforms is None:
        return [jax.export.default_export_platform()]
    if not isinstance(platforms, (list, tuple, set)) or not platforms:
        raise ValueError(
            f"`platforms` must be some of {PLATFORMS}, such as ['cpu', 'cuda'], got {check.shown(platforms)}."
        )
    return [check.one_of("platforms", platform, PLATFORMS) for platform in platforms]


def _described(array: Any) -> dict[str, Any]:
    """The dtype, and the shape without the axis N."""
    return {"dtype": np.dtype(array.dtype).name, "shape": list(array.shape[1:])}


def _describe_answer(answer: Attribution) -> dict[str, Any]:
    """The class, the fields in the order in which the program returns them, and the static ones."""
    static, arrays = files.split(answer)
    names = static.get("names")
    if names and not isinstance(names[0], str):  # of the examples at hand, and not of those to come
        static["names"] = None
    return {
        "class": type(answer).__name__,
        "fields": [{"name": name} | _described(array) for name, array in arrays.items()],
        "static": static,
    }
