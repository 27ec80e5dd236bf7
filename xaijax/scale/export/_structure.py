"""The nesting of arrays in dictionaries, lists and tuples, as JSON says it."""

from __future__ import annotations

from typing import Any

import jax

from xaijax._core import check


def described(tree: Any) -> Any:
    """The structure of an input, as what JSON can hold; equal structures are equal.

    Raises:
      TypeError: if it holds anything but arrays in dictionaries with strings for keys, lists and tuples.
    """
    if isinstance(tree, dict):
        if not all(isinstance(name, str) for name in tree):
            raise TypeError(f"the keys of dictionaries of inputs must be strings, but they are {list(tree)}.")
        return {"dict": {name: described(tree[name]) for name in sorted(tree)}}
    for kind in (list, tuple):
        if type(tree) is kind:
            return {kind.__name__: [described(one) for one in tree]}
    if len(jax.tree.leaves(tree)) != 1 or jax.tree.leaves(tree)[0] is not tree:
        raise TypeError(
            f"inputs must be arrays, alone or in dictionaries, lists and tuples, but there is a {type(tree).__name__}."
        )
    return "array"


def rebuilt(structure: Any, leaves: list[Any]) -> Any:
    """A tree of this structure around the leaves, in the order of `jax.tree.leaves`."""
    return _rebuilt(structure, iter(leaves))


def _rebuilt(structure: Any, leaves: Any) -> Any:
    if structure == "array":
        return next(leaves)
    ((kind, parts),) = structure.items()
    if kind == "dict":
        return {name: _rebuilt(part, leaves) for name, part in parts.items()}
    return {"list": list, "tuple": tuple}[kind]([_rebuilt(part, leaves) for part in parts])


def read_input(x: Any) -> tuple[Any, list[jax.Array], int]:
    """Its structure, its arrays and the number of examples."""
    structure = described(x)
    leaves = [check.numeric_array("x", leaf) for leaf in jax.tree.leaves(x)]
    return structure, leaves, check.examples(leaves)
