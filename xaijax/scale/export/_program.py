"""Traces an explainer into a program for any number of examples, and describes the nesting of its inputs."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import eval_jaxpr
from jax.interpreters.partial_eval import dce_jaxpr_consts

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.blocks import repeated
from xaijax._core.calls import call_noted


@dataclasses.dataclass(frozen=True)
class Traced:
    """An explainer as a function of leaves of x [n, ...], the numbers of a key, and ids [n].

    used: which of the arguments the answer depends on, in the order of their arrays.
    answer: the attribution as shapes.
    examples_at_once: how many examples it explains at once; None for all.
    takes_ids: whether the explainer takes ids.
    """

    jaxpr: Any
    constants: Sequence[Any]
    arguments: tuple[Any, ...]
    used: Sequence[bool]
    answer: Attribution
    examples_at_once: int | None
    takes_ids: bool

    def lower(self, platforms: Sequence[str]) -> jax.export.Exported:
        """Returns the program as a function of (constants, leaves, the numbers of the key, ids).

        Constants become arguments: the parameters of a large model are then no part of the program (which may not exceed
        2 GB), and the compiler does not calculate with them.
        """
        impls = [key_impl(constant) for constant in self.constants]

        def run(constants: list[Any], *arguments: Any) -> list[Any]:
            known = [as_key(constant, impl) for constant, impl in zip(constants, impls, strict=True)]
            needed = [leaf for leaf, used in zip(jax.tree.leaves(arguments), self.used, strict=True) if used]
            return eval_jaxpr(self.jaxpr, known, *needed)

        shapes = [jax.ShapeDtypeStruct(np.shape(array), array.dtype) for array in map(plain, self.constants)]
        with _without_source_lines():
            return jax.export.export(jax.jit(run), platforms=platforms)(shapes, *self.arguments)

    @property
    def uses_key(self) -> bool:
        """Whether any answer depends on the key."""
        return self.used[-2]

    @property
    def divisible(self) -> bool:
        """Whether answers are the same in any batch, which random numbers drawn by position are not."""
        return self.takes_ids or not self.uses_key


def trace(
    explainer: Callable[..., Attribution], structure: Any, leaves: Sequence[Any], key: Any, *, batch_size: int | None
) -> Traced:
    """Traces an explainer for `batch_size` examples at once; or for any number, or else for as many as there are.

    Code that asks for the number of examples cannot be traced for an open number, and fails in as many ways as there are to
    ask. So any failure is a reason to try a known number. If that fails too, its message is about the explainer itself.
    """
    if batch_size is None:
        try:
            return _trace(explainer, structure, leaves, key, None)
        except Exception:
            batch_size = leaves[0].shape[0]
    return _trace(explainer, structure, leaves, key, batch_size)


def key_impl(key: Any) -> str | None:
    """Returns the generator of a typed key, or of typed keys; None for raw keys and for every other array."""
    return str(jax.random.key_impl(key)) if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else None


def plain(array: Any) -> Any:
    """Returns the numbers that a typed key consists of, and other arrays as they are."""
    return jax.random.key_data(array) if key_impl(array) else array


def as_key(numbers: Any, impl: str | None) -> Any:
    """Returns the typed key of its numbers: the inverse of `plain`."""
    return numbers if impl is None else jax.random.wrap_key_data(numbers, impl=impl)


def read_input(x: Any, name: str = "x") -> tuple[Any, list[jax.Array], int]:
    """Returns the nesting of an input as JSON can hold it, its arrays, and the number of examples."""
    structure = _nesting(x, name)
    leaves = [check.numeric_array(name, leaf) for leaf in jax.tree.leaves(x)]
    return structure, leaves, check.examples(leaves, name=name)


def _nesting(tree: Any, name: str) -> Any:
    if isinstance(tree, dict):
        if not all(isinstance(part, str) for part in tree):
            raise TypeError(f"`{name}` must hold dictionaries with strings as keys, got {check.shown(list(tree))}.")
        return {"dict": {part: _nesting(tree[part], name) for part in sorted(tree)}}
    for cls in (list, tuple):
        if type(tree) is cls:
            return {cls.__name__: [_nesting(part, name) for part in tree]}
    if len(jax.tree.leaves(tree)) != 1 or jax.tree.leaves(tree)[0] is not tree:
        raise TypeError(
            f"`{name}` must hold arrays, alone or in dictionaries, lists and tuples, got {check.shown(tree)} among them."
        )
    return "array"


def _nested(structure: Any, leaves: Iterator[Any]) -> Any:
    """The leaves, in the order of `jax.tree.leaves`, nested as `_nesting` described it."""
    if structure == "array":
        return next(leaves)
    ((cls, parts),) = structure.items()
    if cls == "dict":
        return {name: _nested(part, leaves) for name, part in parts.items()}
    return {"list": list, "tuple": tuple}[cls]([_nested(part, leaves) for part in parts])


def _trace(
    explainer: Callable[..., Attribution], structure: Any, leaves: Sequence[Any], key: Any, at_once: int | None
) -> Traced:
    impl, numbers = key_impl(key), plain(key)
    takes = _named_arguments(explainer)

    def explain(leaves: list[Any], numbers: Any, ids: Any) -> Attribution:
        given = {"key": as_key(numbers, impl), "ids": ids}
        chosen = {name: given[name] for name in takes}
        answer = call_noted("explainer", explainer, _nested(structure, iter(leaves)), **chosen)
        _check_answer(answer, ids.shape[0])
        return answer

    def explain_blocks(leaves: list[Any], numbers: Any, ids: Any) -> Attribution:
        if at_once is None:
            return explain(leaves, numbers, ids)
        num_blocks = (ids.shape[0] + at_once - 1) // at_once
        return repeated(lambda block: explain(block[0], numbers, block[1]), (leaves, ids), num_blocks, at_once)

    (count,) = jax.export.symbolic_shape("n")
    arguments = (
        [jax.ShapeDtypeStruct((count, *leaf.shape[1:]), leaf.dtype) for leaf in leaves],
        jax.ShapeDtypeStruct(numbers.shape, numbers.dtype),
        jax.ShapeDtypeStruct((count,), jnp.int32),
    )
    closed, answer = jax.make_jaxpr(explain_blocks, return_shape=True)(*arguments)
    # Without constants that no answer depends on: counters of random numbers, parameters of heads that are not read.
    jaxpr, kept, used = dce_jaxpr_consts(closed.jaxpr, [True] * len(closed.jaxpr.outvars))
    constants = [constant for constant, is_kept in zip(closed.consts, kept, strict=True) if is_kept]
    traced = Traced(jaxpr, constants, arguments, used, answer, at_once, "ids" in takes)
    if at_once is not None and not traced.divisible:
        raise ValueError(
            "`explainer` must take ids, as it draws random numbers and is repeated block by block: without ids, examples at "
            "the same position of different blocks would share theirs. Take ids and pass them on, as in "
            "lambda x, key, ids: explain(x, key=key, ids=ids)."
        )
    return traced


def _named_arguments(explainer: Callable[..., Any]) -> set[str]:
    """Which of key and ids an explainer takes."""
    try:
        parameters = inspect.signature(explainer).parameters
    except (TypeError, ValueError):  # some callables have no signature
        return {"key", "ids"}
    if any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters.values()):
        return {"key", "ids"}
    return {"key", "ids"} & set(parameters)


@contextlib.contextmanager
def _without_source_lines() -> Iterator[None]:
    """Programs without the names of the files they were traced from: no names of folders, and equal programs are equal."""
    before = jax.config.jax_traceback_in_locations_limit  # pyright: ignore[reportAttributeAccessIssue]
    jax.config.update("jax_traceback_in_locations_limit", 0)
    try:
        yield
    finally:
        jax.config.update("jax_traceback_in_locations_limit", before)


def _check_answer(answer: Any, num_examples: Any) -> None:
    if not isinstance(answer, Attribution):
        raise TypeError(f"`explainer` must return an Attribution, got {check.shown(answer)}.")
    for path, leaf in jax.tree_util.tree_leaves_with_path(answer):
        if jnp.shape(leaf)[:1] != (num_examples,):
            raise ValueError(
                f"`explainer` must return fields with the leading axis N = {num_examples} of x, got "
                f"{jax.tree_util.keystr(path)} of shape {list(jnp.shape(leaf))}."
            )
