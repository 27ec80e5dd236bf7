"""An explainer as a program for an open number of examples."""

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

from xaijax._core.attribution import Attribution
from xaijax._core.blocks import repeated
from xaijax.scale.export._structure import rebuilt


def named_arguments(explainer: Callable[..., Any]) -> set[str]:
    """Which of key and ids an explainer takes."""
    try:
        named = inspect.signature(explainer).parameters
    except (TypeError, ValueError):  # there are callables that cannot say
        return {"key", "ids"}
    if any(one.kind == one.VAR_KEYWORD for one in named.values()):
        return {"key", "ids"}
    return {"key", "ids"} & set(named)


def key_kind(key: Any) -> str | None:
    """The generator of a key, or of keys among the constants; None for the old kind and for everything else."""
    return str(jax.random.key_impl(key)) if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else None


def plain(array: Any) -> Any:
    """Keys as the numbers that they are made of."""
    return jax.random.key_data(array) if key_kind(array) else array


def as_key(numbers: Any, kind: str | None) -> Any:
    """The reverse of `plain`."""
    return numbers if kind is None else jax.random.wrap_key_data(numbers, impl=kind)


@dataclasses.dataclass(frozen=True)
class Traced:
    """An explainer of leaves of x [n, ...], a key's numbers and ids [n].

    used: which of the arguments the answer depends on, in the order of their arrays.
    answer: what it returns, as shapes.
    examples_at_once: how many examples it explains at once; None for all.
    takes_ids: whether the explainer does.
    """

    jaxpr: Any
    constants: Sequence[Any]
    arguments: tuple[Any, ...]
    used: Sequence[bool]
    answer: Attribution
    examples_at_once: int | None
    takes_ids: bool

    def lower(self, platforms: Sequence[str]) -> jax.export.Exported:
        """As a program of (constants, leaves, the key's numbers, ids).

        Constants become arguments, so that the parameters of a large model are no part of the program (which may not
        exceed 2 GB), and the compiler does not calculate with them.
        """
        kinds = [key_kind(constant) for constant in self.constants]

        def run(constants: list[Any], *arguments: Any) -> list[Any]:
            known = [as_key(constant, kind) for constant, kind in zip(constants, kinds, strict=True)]
            needed = [one for one, used in zip(jax.tree.leaves(arguments), self.used, strict=True) if used]
            return eval_jaxpr(self.jaxpr, known, *needed)

        shapes = [jax.ShapeDtypeStruct(np.shape(one), one.dtype) for one in map(plain, self.constants)]
        with _without_source_lines():
            return jax.export.export(jax.jit(run), platforms=platforms)(shapes, *self.arguments)

    @property
    def uses_key(self) -> bool:
        """Whether any answer depends on the key."""
        return self.used[-2]

    @property
    def divisible(self) -> bool:
        """Whether examples are explained alike in any batch: random numbers by position would differ."""
        return self.takes_ids or not self.uses_key


def trace(
    explainer: Callable[..., Attribution], structure: Any, leaves: Sequence[Any], key: Any, *, batch_size: int | None
) -> Traced:
    """Traces an explainer for `batch_size` examples at once, or for all where it can, else for as many as there are.

    What asks for the number of examples cannot be traced for an open one: it fails in as many ways as there are to ask.
    So any failure is a reason to try a known number; if that fails too, its message is about the explainer itself.
    """
    if batch_size is None:
        try:
            return _trace(explainer, structure, leaves, key, None)
        except Exception:
            batch_size = leaves[0].shape[0]
    return _trace(explainer, structure, leaves, key, batch_size)


def _trace(
    explainer: Callable[..., Attribution], structure: Any, leaves: Sequence[Any], key: Any, at_once: int | None
) -> Traced:
    kind, numbers = key_kind(key), plain(key)
    takes = named_arguments(explainer)

    def explain(leaves: list[Any], numbers: Any, ids: Any) -> Attribution:
        given = {"key": as_key(numbers, kind), "ids": ids}
        answer = explainer(rebuilt(structure, leaves), **{name: given[name] for name in takes})
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
    # Without what no answer depends on: a model's counters of random numbers, the parameters of heads that are not read.
    jaxpr, kept, used = dce_jaxpr_consts(closed.jaxpr, [True] * len(closed.jaxpr.outvars))
    constants = [constant for constant, is_kept in zip(closed.consts, kept, strict=True) if is_kept]
    traced = Traced(jaxpr, constants, arguments, used, answer, at_once, "ids" in takes)
    if at_once is not None and not traced.divisible:
        raise ValueError(
            "explainer draws random numbers, but takes no ids: explained in blocks, examples at the same place of different "
            "blocks would share theirs. Let it take ids and pass them on: lambda x, key, ids: ..., or ids=ids."
        )
    return traced


@contextlib.contextmanager
def _without_source_lines() -> Iterator[None]:
    """Programs without the names of the files they were traced from: nobody's folders, and equal programs are equal."""
    before = jax.config.jax_traceback_in_locations_limit  # pyright: ignore[reportAttributeAccessIssue]
    jax.config.update("jax_traceback_in_locations_limit", 0)
    try:
        yield
    finally:
        jax.config.update("jax_traceback_in_locations_limit", before)


def _check_answer(answer: Any, num_examples: Any) -> None:
    if not isinstance(answer, Attribution):
        raise TypeError(f"explainer must return an Attribution, but it returned {type(answer).__name__}.")
    for path, leaf in jax.tree_util.tree_leaves_with_path(answer):
        if jnp.shape(leaf)[:1] != (num_examples,):
            raise ValueError(
                f"explainer must return fields with the leading axis N = {num_examples} of x, but its "
                f"{jax.tree_util.keystr(path)} has shape {list(jnp.shape(leaf))}."
            )
