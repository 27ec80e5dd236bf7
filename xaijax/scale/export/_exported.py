"""Reads exported explainers, which are called like the original."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.typing import Ids, Inputs, KeyLike
from xaijax._io import files
from xaijax._io.archive import Archive
from xaijax.scale.export._program import key_impl, plain, read_input


class ExportedExplainer:
    """An explainer that was exported: `explain(x, key, ids)` returns what the original returns for the same arguments.

    metadata: the header of the file: its `options`, the versions of JAX and xaijax that wrote it, `platforms`, the
      `input` and the `attribution` with their shapes and dtypes, and `examples_at_once`, None for all.
    batch_size: how many examples its program gets at a time; None for all.

    It can be called within `jit`. Its gradients are not part of the file.
    """

    def __init__(
        self, program: jax.export.Exported, constants: list[Any], metadata: dict[str, Any], batch_size: int | None
    ):
        self.metadata, self.batch_size = metadata, batch_size
        self._constants = constants
        self._run = jax.jit(program.call)

    def __call__(self, x: Inputs, key: KeyLike | None = None, ids: Ids = None) -> Attribution:
        """Explains examples.

        Args:
          x: [N, ...] inputs, with the shapes and dtypes it was exported for, except N.
          key: a JAX random key with the generator it was exported for; may be None if nothing is random.
          ids: [N] integers of 32 bits that name the examples for their randomness. Default: their positions.

        Returns:
          An attribution of the class and method of the original. Inputs with NaN have explanations of NaN.

        Raises:
          TypeError, ValueError: if the arguments do not fit.
        """
        leaves, num_examples = self._read_input(x)
        key = self._read_key(key)
        ids, too_large = _read_ids(ids, num_examples)
        if self.batch_size is None:
            fields = self._run(self._constants, leaves, key, ids)
        else:
            fields = self._in_batches(leaves, key, ids, num_examples)
        answer = self.metadata["attribution"]
        names = [field["name"] for field in answer["fields"]]
        explained = files.joined(
            files.CLASSES[answer["class"]], answer["static"], dict(zip(names, fields, strict=True))
        )
        return explained if too_large is None else check.nan_where(too_large, explained)

    def warm_up(self, num_examples: int = 1) -> None:
        """Compiles the program for a number of examples, by explaining zeros, so that the first answer comes at once.

        Why: the compiler runs for each new number of examples, or once if there is a `batch_size`. With
        `xai.scale.compilation_cache` it reuses the programs that an earlier process compiled.

        Args:
          num_examples: N of the calls to come.
        """
        count = check.positive_int("num_examples", num_examples)
        leaves = [jnp.zeros((count, *array["shape"]), array["dtype"]) for array in self.metadata["input"]["arrays"]]
        key = jnp.zeros(self.metadata["key"]["shape"], jnp.uint32)
        ids = jnp.arange(count, dtype=jnp.int32)
        if self.batch_size is None:
            jax.block_until_ready(self._run(self._constants, leaves, key, ids))
        else:
            jax.block_until_ready(self._in_batches(leaves, key, ids, count))

    def __repr__(self) -> str:
        answer = self.metadata["attribution"]
        inputs = ", ".join(
            f"{array['dtype']}[N{''.join(f', {side}' for side in array['shape'])}]"
            for array in self.metadata["input"]["arrays"]
        )
        return (
            f"ExportedExplainer({answer['static'].get('method') or answer['class']}; x: {inputs}; "
            f"platforms: {', '.join(self.metadata['platforms'])})"
        )

    def _in_batches(self, leaves: list[Any], key: Any, ids: Any, num_examples: int) -> list[Any]:
        """Explains batch by batch; the last example fills up the last batch, so that one program serves any number."""
        assert self.batch_size is not None
        answers = []
        for start in range(0, num_examples, self.batch_size):
            rows = np.minimum(np.arange(start, start + self.batch_size), num_examples - 1)
            answers.append(self._run(self._constants, [leaf[rows] for leaf in leaves], key, ids[rows]))
        return [jnp.concatenate(parts)[:num_examples] for parts in zip(*answers, strict=True)]

    def _read_input(self, x: Any) -> tuple[list[Any], int]:
        structure, leaves, num_examples = read_input(x)
        exported = self.metadata["input"]
        if structure != exported["structure"]:
            raise TypeError(f"`x` must be nested as it was exported, {exported['structure']}, got {structure}.")
        for leaf, expected in zip(leaves, exported["arrays"], strict=True):
            if list(leaf.shape[1:]) != expected["shape"]:
                raise ValueError(
                    f"`x` must have the shape [N, ...] with {expected['shape']} after N, as it was exported, got "
                    f"{list(leaf.shape)}: export the explainer again for other shapes."
                )
            if leaf.dtype.name != expected["dtype"]:
                wide = " (64 bits need jax.config.update('jax_enable_x64', True))" if "64" in expected["dtype"] else ""
                raise TypeError(
                    f"`x` must have the dtype {expected['dtype']}, as it was exported, got {leaf.dtype.name}: convert it "
                    f"first{wide}."
                )
        return leaves, num_examples

    def _read_key(self, key: Any) -> Any:
        exported = self.metadata["key"]
        if key is None:
            if exported["needed"]:
                raise TypeError(
                    "`key` must be given, such as jax.random.key(0), as the explainer draws random numbers."
                )
            return jnp.zeros(exported["shape"], jnp.uint32)
        key = check.random_key(key)
        if key_impl(key) != exported["impl"] or list(plain(key).shape) != exported["shape"]:
            raise TypeError(
                f"`key` must be a key like the one it was exported for, {_described_key(exported['impl'])}, got "
                f"{_described_key(key_impl(key))}."
            )
        return plain(key)


def read_exported(path: Path, content: Archive, *, batch_size: int | None = None) -> ExportedExplainer:
    """Reads an exported explainer, for `xai.load`."""
    batch_size, metadata = check.batch_size(batch_size), content.header
    version = metadata["calling_convention_version"]
    least, most = jax.export.minimum_supported_calling_convention_version, jax.export.maximum_supported_calling_convention_version  # fmt: skip
    if not least <= version <= most:
        raise ValueError(
            f"{path} was written by JAX {metadata['jax']} with calling convention {version}, but JAX {jax.__version__} reads "
            f"{least} to {most}: export the explainer again, or install a version of JAX nearer to that one."
        )
    if batch_size is not None and not metadata["divisible"]:
        raise ValueError(
            f"`batch_size` must be left out for {path}: it draws random numbers by the positions of examples, as its explainer "
            "takes no ids, and in batches they would differ. Or export an explainer that takes ids."
        )
    here = jax.export.default_export_platform()
    if here not in metadata["platforms"]:
        raise ValueError(
            f"{path} was exported for {metadata['platforms']}, but JAX runs on {here} here: export it with "
            f"platforms=[{here!r}, ...], or set JAX_PLATFORMS before JAX starts."
        )
    if metadata["attribution"]["class"] not in files.CLASSES:
        raise ValueError(
            f"{path} returns a {metadata['attribution']['class']!r}, which this version does not know; it knows "
            f"{sorted(files.CLASSES)}."
        )
    wide = [name for name, array in content.arrays.items() if jax.dtypes.canonicalize_dtype(array.dtype) != array.dtype]
    if wide:
        raise ValueError(
            f"{path} computes with 64 bits, which are disabled here: call jax.config.update('jax_enable_x64', True) first."
        )
    try:
        program = jax.export.deserialize(bytearray(content.blobs["program"]))
    except ImportError as error:
        raise ImportError(
            "xai.load needs the package flatbuffers for exported explainers: pip install flatbuffers."
        ) from error
    constants = [jnp.asarray(content.arrays[str(number)]) for number in range(len(content.arrays))]
    return ExportedExplainer(program, constants, metadata, batch_size)


def _read_ids(ids: Any, num_examples: int) -> tuple[jax.Array, jax.Array | None]:
    """The ids of 32 bits that the program takes, those from 2**31 on as negative numbers of the same bits.

    And which traced ids of 64 bits do not fit, whose answers are NaN; None for ids that are known to fit.
    """
    ids = check.example_ids(ids, num_examples)
    if ids is None:
        return jnp.arange(num_examples, dtype=jnp.int32), None
    too_large = None
    if ids.dtype.itemsize > 4 and not check.is_concrete(ids):
        too_large = (ids < -(2**31)) | (ids >= 2**32)
    return ids.astype(jnp.uint32).astype(jnp.int32), too_large


def _described_key(impl: str | None) -> str:
    return "a raw key, jax.random.PRNGKey" if impl is None else f"jax.random.key(..., impl={impl!r})"
