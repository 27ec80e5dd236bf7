"""An explainer taken apart: arrays, which are arguments of the compiled program, and everything else."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from xaijax._core import check
from xaijax._io.fingerprint import is_array
from xaijax.scale.dataset._store import layout_of

Run = Callable[[Any, Any], Any]  # from x [B, ...] and ids [B] to an attribution
_ROWS = "rows"  # the one axis of the mesh


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What is done to each batch.

    explainer: callable PyTree, whose arrays are the parameters of the model.
    options: keyword arguments of it.
    key: or None.
    takes_key, takes_ids: whether it is given them.
    """

    explainer: Any
    options: dict[str, Any]
    key: Any
    takes_key: bool
    takes_ids: bool

    def __call__(self, x: Any, ids: Any) -> Any:
        return _call(self.explainer, self.options, x, self._key(), self._ids(ids))

    def lower(self, x: Any, ids: Any, devices: Sequence[Any]) -> Any:
        """The program for batches like x [B, ...], ids [B], before it is compiled."""
        program, held, rows = self._program(devices)
        return program.lower(*held, *_shapes((x, self._ids(ids)), rows))

    def trace(self, x: Any, ids: Any, devices: Sequence[Any]) -> tuple[Callable[[], Run], Any]:
        """What compiles the program for such batches, which takes long, and its answer as shapes."""
        program, held, rows = self._program(devices)
        lowered = program.lower(*held, *_shapes((x, self._ids(ids)), rows))

        def compile() -> Run:
            compiled = lowered.compile()
            return lambda x, ids: compiled(*held, *jax.device_put((x, self._ids(ids)), rows))

        return compile, lowered.out_info

    def _program(self, devices: Sequence[Any]) -> tuple[Any, tuple[Any, Any], NamedSharding]:
        """The program, its arguments that do not change, and where rows lie.

        The rows are split over the devices and each device explains its own: `shard_map` leaves the compiler no
        collective to put in. Parameters, options and key lie on every device, as arguments.
        """
        mesh = Mesh(np.array(devices), (_ROWS,))
        split, everywhere = PartitionSpec(_ROWS), PartitionSpec()
        held, rebuild = separate((self.explainer, self.options))

        def explain(held: Any, key: Any, x: Any, ids: Any) -> Any:
            explainer, options = rebuild(held)
            answer = _call(explainer, options, x, key, ids)
            layout_of(answer, check.examples(x))  # what has no rows cannot be split over devices
            return answer

        specs = {"in_specs": (everywhere, everywhere, split, split), "out_specs": split}
        program = jax.jit(jax.shard_map(explain, mesh=mesh, check_vma=False, **specs))
        return program, jax.device_put((held, self._key()), NamedSharding(mesh, everywhere)), NamedSharding(mesh, split)

    def _ids(self, ids: Any) -> Any:
        return ids if self.takes_ids else None

    def _key(self) -> Any:
        return self.key if self.takes_key else None


def read_recipe(explainer: Any, options: Mapping[str, Any] | None, key: Any) -> Recipe:
    """Checks that the explainer can be called as explainer(x, key=key, ids=ids, **options)."""
    if not callable(explainer):
        raise TypeError(
            f"explainer must be callable as explainer(x, key=key, ids=ids, **options), but it is {type(explainer).__name__}."
        )
    options = {} if options is None else options
    if not isinstance(options, Mapping) or not all(isinstance(name, str) for name in options):
        raise TypeError(f"options must be a dict of the explainer's keyword arguments, but it is {options!r}.")
    if key is not None:
        key = check.random_key(key)
    try:
        named = inspect.signature(explainer).parameters
    except (TypeError, ValueError):  # there are callables that cannot say
        return Recipe(explainer, dict(options), key, key is not None, key is not None)
    anything = any(one.kind == one.VAR_KEYWORD for one in named.values())
    unknown = [name for name in options if name not in named and not anything]
    if unknown:
        guess = check.did_you_mean(unknown[0], list(named))
        raise TypeError(
            f"options holds {unknown[0]!r}, which the explainer does not take{guess}; it takes {list(named)}."
        )
    for name in ("key", "ids"):
        if name in options:
            raise TypeError(f"options holds {name!r}: pass it to explain_dataset itself, as {name}=.")
    takes_key = "key" in named or (anything and key is not None)
    takes_ids = "ids" in named or (anything and key is not None)
    if takes_key and key is None and named["key"].default is not None:
        raise TypeError("the explainer draws random numbers: pass key=, such as jax.random.key(0).")
    if key is not None and not takes_key:
        raise TypeError("key was given, but the explainer takes none: leave it out.")
    if key is not None and not takes_ids:
        raise TypeError(
            "the explainer takes a key but no ids, so the samples of an example would depend on the batch that it is in: give "
            "it an argument ids=None and hand it on, as xai.shap.values(..., key=key, ids=ids)."
        )
    return Recipe(explainer, dict(options), key, takes_key and key is not None, takes_ids)


def separate(tree: Any) -> tuple[list[Any], Callable[[Sequence[Any]], Any]]:
    """The arrays of a PyTree, and how to put others in their place."""
    leaves, structure = jax.tree.flatten(tree)
    places = [number for number, leaf in enumerate(leaves) if is_array(leaf)]

    def rebuild(arrays: Sequence[Any]) -> Any:
        filled = list(leaves)
        for place, array in zip(places, arrays, strict=True):
            filled[place] = array
        return jax.tree.unflatten(structure, filled)

    return [leaves[place] for place in places], rebuild


def _call(explainer: Any, options: dict[str, Any], x: Any, key: Any, ids: Any) -> Any:
    given = {name: value for name, value in (("key", key), ("ids", ids)) if value is not None}
    return explainer(x, **given, **options)


def _shapes(tree: Any, sharding: NamedSharding) -> Any:
    def shape(leaf: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(leaf.shape, jax.dtypes.canonicalize_dtype(leaf.dtype), sharding=sharding)

    return jax.tree.map(shape, tree)
