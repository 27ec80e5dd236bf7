"""Explainers that were exported, as functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.attribution import Attribution, Interactions, Surrogate
from xaijax.scale.export import _artifact
from xaijax.scale.export._program import key_kind, plain
from xaijax.scale.export._structure import read_input

_KINDS = {kind.__name__: kind for kind in (Attribution, Surrogate, Interactions)}


class ExportedExplainer:
    """An explainer that was exported: `explain(x, key, ids)` is what the original says of the same arguments.

    metadata: what the file says of it: its `options`, the versions of JAX and xaijax that wrote it, `platforms`, the
      `input` and the `attribution` with their shapes and types, and `examples_at_once`, None for all.
    batch_size: how many examples its program gets at a time; None for all.

    It can be called within `jit`. Gradients of it are not part of the file.
    """

    def __init__(
        self, program: jax.export.Exported, constants: list[Any], metadata: dict[str, Any], batch_size: int | None
    ):
        self.metadata, self.batch_size = metadata, batch_size
        self._constants = constants
        self._run = jax.jit(program.call)

    def __call__(self, x: Any, key: Any = None, ids: Any = None) -> Attribution:
        """Explains examples.

        Args:
          x: [N, ...] inputs, of the shapes and types it was exported for, but for N.
          key: a JAX random key, of the kind it was exported for; None only where nothing is random.
          ids: [N] integers that name the examples for their randomness. Default: their positions.

        Returns:
          An attribution of the type and method of the original. Inputs with NaN have explanations of NaN.

        Raises:
          TypeError, ValueError: if the arguments do not fit.
        """
        leaves, num_examples = self._read_input(x)
        key = self._read_key(key)
        ids = check.example_ids(ids, num_examples)
        ids = jnp.arange(num_examples, dtype=jnp.int32) if ids is None else ids.astype(jnp.int32)
        if self.batch_size is None:
            fields = self._run(self._constants, leaves, key, ids)
        else:
            fields = self._in_batches(leaves, key, ids, num_examples)
        told = self.metadata["attribution"]
        names = [field["name"] for field in told["fields"]]
        return _KINDS[told["kind"]](**dict(zip(names, fields, strict=True)), **told["static"])

    def warm_up(self, num_examples: int = 1) -> None:
        """Compiles the program for so many examples, by explaining zeros, so that the first answer comes at once.

        Why: the compiler runs for each new number of examples, or once where there is a `batch_size`. With
        `xai.scale.compilation_cache` it finds what an earlier process compiled.

        Args:
          num_examples: N of the calls to come.
        """
        count = check.positive_int("num_examples", num_examples)
        leaves = [jnp.zeros((count, *told["shape"]), told["dtype"]) for told in self.metadata["input"]["arrays"]]
        key = jnp.zeros(self.metadata["key"]["shape"], jnp.uint32)
        ids = jnp.arange(count, dtype=jnp.int32)
        if self.batch_size is None:
            jax.block_until_ready(self._run(self._constants, leaves, key, ids))
        else:
            jax.block_until_ready(self._in_batches(leaves, key, ids, count))

    def __repr__(self) -> str:
        told = self.metadata
        inputs = ", ".join(
            f"{one['dtype']}[N{''.join(f', {side}' for side in one['shape'])}]" for one in told["input"]["arrays"]
        )
        return (
            f"ExportedExplainer({told['attribution']['static'].get('method') or told['attribution']['kind']}; x: {inputs}; "
            f"platforms: {', '.join(told['platforms'])})"
        )

    def _in_batches(self, leaves: list[Any], key: Any, ids: Any, num_examples: int) -> list[Any]:
        """Batch by batch, the last one filled up with the last example, so that one program serves for all numbers."""
        assert self.batch_size is not None
        answers = []
        for start in range(0, num_examples, self.batch_size):
            rows = np.minimum(np.arange(start, start + self.batch_size), num_examples - 1)
            answers.append(self._run(self._constants, [leaf[rows] for leaf in leaves], key, ids[rows]))
        return [jnp.concatenate(parts)[:num_examples] for parts in zip(*answers, strict=True)]

    def _read_input(self, x: Any) -> tuple[list[Any], int]:
        structure, leaves, num_examples = read_input(x)
        told = self.metadata["input"]
        if structure != told["structure"]:
            raise TypeError(
                f"x must be nested as the explainer was exported for, {told['structure']}, but it is {structure}."
            )
        for leaf, expected in zip(leaves, told["arrays"], strict=True):
            if list(leaf.shape[1:]) != expected["shape"]:
                raise ValueError(
                    f"x must have the shape [N, ...] with {expected['shape']} behind N that the explainer was exported for, "
                    f"but its shape is {list(leaf.shape)}: export another for other shapes."
                )
            if leaf.dtype.name != expected["dtype"]:
                wide = " (64 bits need jax.config.update('jax_enable_x64', True))" if "64" in expected["dtype"] else ""
                raise TypeError(
                    f"x must be of the type {expected['dtype']} that the explainer was exported for, but it is "
                    f"{leaf.dtype.name}: convert it first{wide}."
                )
        return leaves, num_examples

    def _read_key(self, key: Any) -> Any:
        told = self.metadata["key"]
        if key is None:
            if told["needed"]:
                raise TypeError("key must be given, such as jax.random.key(0): the explainer draws random numbers.")
            return jnp.zeros(told["shape"], jnp.uint32)
        key = check.random_key(key)
        if key_kind(key) != told["kind"] or list(plain(key).shape) != told["shape"]:
            raise TypeError(
                f"key must be of the kind that the explainer was exported for, {_named(told['kind'])}, but it is "
                f"{_named(key_kind(key))}."
            )
        return plain(key)


def load_exported(path: str | Path, *, batch_size: int | None = None) -> ExportedExplainer:
    """Reads an explainer that `xai.scale.export` wrote.

    Why: explanations without the model's code. JAX and this package are needed, no Flax, and nothing is unpickled.

    Args:
      path: of the file.
      batch_size: how many examples the program gets at a time, the last batch filled up: it is compiled once, whatever
        the number of examples. Default: all at once, which compiles for each number of examples by itself. It changes no
        example's answer but for rounding.

    Returns:
      A function of (x, key=None, ids=None) with the answers of the original: see `ExportedExplainer`.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: if it is no such file, is cut short or damaged, was written by a newer version of this package or for a
        version of JAX that is too far from this one, or is not for the platform at hand.
    """
    path, batch_size = Path(path), check.batch_size(batch_size)
    metadata, serialized, constants = _artifact.read(path)
    version = metadata["calling_convention_version"]
    least, most = jax.export.minimum_supported_calling_convention_version, jax.export.maximum_supported_calling_convention_version  # fmt: skip
    if not least <= version <= most:
        raise ValueError(
            f"{path} was written by JAX {metadata['jax']} with calling convention {version}, but JAX {jax.__version__} reads "
            f"{least} to {most}: export the explainer again, or install a version of JAX nearer to that one."
        )
    if batch_size is not None and not metadata["divisible"]:
        raise ValueError(
            f"{path} draws random numbers by the positions of examples, as its explainer takes no ids: in batches they would "
            "be others. Leave batch_size out, or export an explainer that takes ids."
        )
    here = jax.export.default_export_platform()
    if here not in metadata["platforms"]:
        raise ValueError(
            f"{path} was exported for {metadata['platforms']}, but JAX runs on {here} here: export it with "
            f"platforms=[{here!r}, ...], or set JAX_PLATFORMS before JAX starts."
        )
    if metadata["attribution"]["kind"] not in _KINDS:
        raise ValueError(
            f"{path} explains by a {metadata['attribution']['kind']!r}, which this version does not know; it knows "
            f"{sorted(_KINDS)}."
        )
    try:
        program = jax.export.deserialize(bytearray(serialized))
    except ImportError as error:
        raise ImportError("jax.export reads programs with the package flatbuffers: pip install flatbuffers.") from error
    return ExportedExplainer(program, [jnp.asarray(constant) for constant in constants], metadata, batch_size)


def _named(kind: str | None) -> str:
    return "the old one, jax.random.PRNGKey" if kind is None else f"jax.random.key(..., impl={kind!r})"
