"""Explains batches: an explainer whose arrays are arguments of one compiled program, with its options and key."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from xaijax._core import check
from xaijax._core.calls import call_noted
from xaijax._io.fingerprint import is_array, program_digest
from xaijax.scale.dataset._store import layout_of

Run = Callable[[Any, Any], Any]  # from x [B, ...] and ids [B] to an attribution
_ROWS = "rows"  # the only axis of the mesh


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How each batch is explained.

    explainer: callable PyTree, whose arrays are the parameters of the model.
    options: its keyword arguments.
    key: or None.
    takes_key, takes_ids: whether it is called with them.
    """

    explainer: Any
    options: dict[str, Any]
    key: Any
    takes_key: bool
    takes_ids: bool

    def __call__(self, x: Any, ids: Any) -> Any:
        return _call(self.explainer, self.options, x, self._key(), self._ids(ids))

    def lower(self, x: Any, ids: Any, devices: Sequence[Any]) -> Any:
        """Returns the program for batches like x [B, ...], ids [B], before it is compiled."""
        program, held, rows = self._program(devices)
        return program.lower(*held, *_shapes((x, self._ids(ids)), rows))

    def trace(self, x: Any, ids: Any, devices: Sequence[Any]) -> tuple[Callable[[], Run], Any]:
        """Returns a function that compiles the program for such batches, which takes long, and its answer as shapes."""
        program, held, rows = self._program(devices)
        lowered = program.lower(*held, *_shapes((x, self._ids(ids)), rows))

        def compile() -> Run:
            compiled = lowered.compile()
            return lambda x, ids: compiled(*held, *jax.device_put((x, self._ids(ids)), rows))

        return compile, lowered.out_info

    def fingerprint(self, x: Any, ids: Any, code: str) -> str:
        """Returns a hash of the traced explainer for x [B, ...], ids [B] on one device; its arrays are arguments."""
        held, explain = self._explain()
        x = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, _narrowed(leaf.dtype)), x)
        return program_digest(explain, held, self._key(), x, self._ids(ids), code=code)

    def _program(self, devices: Sequence[Any]) -> tuple[Any, tuple[Any, Any], NamedSharding]:
        """The program, its arguments that do not change, and the sharding of rows.

        The rows are divided over the devices and each device explains its own: with `shard_map` the compiler has no reason
        to add a collective. Parameters, options and key are arguments that lie on every device.
        """
        mesh = Mesh(np.array(devices), (_ROWS,))
        split, everywhere = PartitionSpec(_ROWS), PartitionSpec()
        held, explain = self._explain()
        specs = {"in_specs": (everywhere, everywhere, split, split), "out_specs": split}
        program = jax.jit(jax.shard_map(explain, mesh=mesh, check_vma=False, **specs))
        return program, jax.device_put((held, self._key()), NamedSharding(mesh, everywhere)), NamedSharding(mesh, split)

    def _explain(self) -> tuple[list[Any], Callable[..., Any]]:
        """The arrays of the explainer and its options, and a function of (these, key, x, ids)."""
        held, rebuild = separate((self.explainer, self.options))

        def explain(held: Any, key: Any, x: Any, ids: Any) -> Any:
            explainer, options = rebuild(held)
            answer = _call(explainer, options, x, key, ids)
            layout_of(answer, check.examples(x))  # fields without rows cannot be divided over devices
            return answer

        return held, explain

    def _ids(self, ids: Any) -> Any:
        return ids if self.takes_ids else None

    def _key(self) -> Any:
        return self.key if self.takes_key else None


def read_recipe(explainer: Any, options: Mapping[str, Any] | None, key: Any) -> Recipe:
    """Checks that the explainer can be called as explainer(x, key=key, ids=ids, **options)."""
    if not callable(explainer):
        raise TypeError(
            f"`explainer` must be callable as explainer(x, key=key, ids=ids, **options), got {check.shown(explainer)}."
        )
    options = {} if options is None else options
    if not isinstance(options, Mapping) or not all(isinstance(name, str) for name in options):
        raise TypeError(
            f"`options` must be a dictionary of the explainer's keyword arguments, got {check.shown(options)}."
        )
    for leaf in jax.tree.leaves((dict(options), explainer)):
        if np.ma.is_masked(leaf):
            raise TypeError("`options` must hold arrays without missing values, got a masked array: fill it first.")
    if key is not None:
        key = check.random_key(key)
    try:
        parameters = inspect.signature(explainer).parameters
    except (TypeError, ValueError):  # some callables have no signature
        return Recipe(explainer, dict(options), key, key is not None, key is not None)
    anything = any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters.values())
    unknown = [name for name in options if name not in parameters and not anything]
    if unknown:
        guess = check.did_you_mean(unknown[0], list(parameters))
        raise TypeError(
            f"`options` must hold arguments of the explainer, {list(parameters)}, got {unknown[0]!r}{guess}."
        )
    for name in ("key", "ids"):
        if name in options:
            raise TypeError(f"`options` must not hold {name!r}: pass it to explain_dataset itself, as {name}=.")
    takes_key = "key" in parameters or (anything and key is not None)
    takes_ids = "ids" in parameters or (anything and key is not None)
    if takes_key and key is None and parameters["key"].default is not None:
        raise TypeError("`key` must be given, such as jax.random.key(0), as the explainer requires one.")
    if key is not None and not takes_key:
        raise TypeError("`key` must be left out, as the explainer takes no key.")
    if key is not None and not takes_ids:
        raise TypeError(
            "`explainer` must take ids where it takes a key, or the samples of an example would depend on its batch: add an "
            "argument ids=None and pass it on, as xai.shap.values(..., key=key, ids=ids)."
        )
    return Recipe(explainer, dict(options), key, takes_key and key is not None, takes_ids)


def separate(tree: Any) -> tuple[list[Any], Callable[[Sequence[Any]], Any]]:
    """Returns the arrays of a PyTree, and a function that rebuilds it around other arrays."""
    leaves, structure = jax.tree.flatten(tree)
    positions = [position for position, leaf in enumerate(leaves) if is_array(leaf)]

    def rebuild(arrays: Sequence[Any]) -> Any:
        filled = list(leaves)
        for position, array in zip(positions, arrays, strict=True):
            filled[position] = array
        return jax.tree.unflatten(structure, filled)

    return [leaves[position] for position in positions], rebuild


def _call(explainer: Any, options: dict[str, Any], x: Any, key: Any, ids: Any) -> Any:
    given = {name: value for name, value in (("key", key), ("ids", ids)) if value is not None}
    return call_noted("explainer", explainer, x, **given, **options)


def _shapes(tree: Any, sharding: NamedSharding) -> Any:
    def shape(leaf: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(leaf.shape, _narrowed(leaf.dtype), sharding=sharding)

    return jax.tree.map(shape, tree)


def _narrowed(dtype: Any) -> Any:
    """The dtype that JAX makes of it, which has 32 bits instead of 64 unless x64 is enabled."""
    return jax.dtypes.canonicalize_dtype(dtype)
