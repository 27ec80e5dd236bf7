"""Targets: which scalar of the outputs is explained, for each example."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.compile import compiled
from xaijax._core.numerics import at_least_float32
from xaijax._core.typing import Array, Int, TargetLike
from xaijax._model import Model, as_model, several


class ExampleScore:
    """A score of one example's outputs, with arrays that belong to the example: made by `xai.target`."""

    def bind(self, outputs: Any, num_examples: int) -> Target:
        """Checks the score against the shapes of the outputs [N, ...] and returns it as a target."""
        raise TypeError(f"{type(self).__name__} does not say how it scores outputs.")

    def of_model(self, model: Model) -> Model:
        """Returns the model whose outputs are scored: the model itself, or a part of it."""
        return model


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Target:
    """Says which scalar of the outputs is explained.

    index: [N] the class of each example; None for the top class, for a score and for all outputs.
    score: a callable from outputs [n, ...] to one scalar for each of the n rows, or None.
    arguments: the arrays of a score that differ between examples, with leading axis N; then score((row, arguments)) scores
      one row.
    every: whether all outputs are explained at once.
    single: whether index and arguments belong to one example, without N, for any number of rows.
    """

    index: Int[Array, "..."] | None = None
    score: Model | None = None
    arguments: Any = None
    every: bool = dataclasses.field(default=False, metadata={"static": True})
    single: bool = dataclasses.field(default=False, metadata={"static": True})

    @property
    def is_top(self) -> bool:
        """Whether the top class of each example is explained."""
        return self.index is None and self.score is None and not self.every

    def resolve(self, outputs: Any) -> Target:
        """Returns the target with the top class of each example instead of None."""
        if not self.is_top:
            return self
        return dataclasses.replace(self, index=jnp.argmax(_as_classes(outputs), axis=-1).astype(jnp.int32))

    @property
    def per_example(self) -> tuple[Any, Any]:
        """The parts that differ between examples, for `of_example`."""
        return self.index, self.arguments

    def of_example(self, per_example: tuple[Any, Any]) -> Target:
        """Returns the target of one example from its part of `per_example`, for any number of rows."""
        index, arguments = per_example
        return dataclasses.replace(self, index=index, arguments=arguments, single=True)

    def of_examples(self, rows: Int[Array, " n"]) -> Target:
        """Returns the target of some of the examples."""
        index, arguments = jax.tree.map(lambda leaf: leaf[rows], self.per_example)
        return dataclasses.replace(self, index=index, arguments=arguments)

    def select(self, outputs: Any) -> Array:
        """Returns the explained values of outputs [n, ...]: [n], or [n, K] for all outputs. An index out of range gives NaN."""
        if self.score is not None:
            if self.arguments is None:
                scores = self.score(outputs)
            else:
                of_row = jax.vmap(lambda row, arguments: self.score((row, arguments)), (0, None if self.single else 0))  # pyright: ignore[reportOptionalCall]
                scores = of_row(outputs, self.arguments)
            rows = jax.tree.leaves(outputs)[0].shape[0]
            if jnp.shape(scores) != (rows,):
                raise ValueError(
                    f"`target` must map the outputs of {rows} rows to one number each, shape ({rows},), got shape "
                    f"{jnp.shape(scores)}: keep the first axis of the outputs, the rows."
                )
            if jnp.issubdtype(scores.dtype, jnp.complexfloating):
                raise TypeError(
                    f"`target` must return real numbers, got {scores.dtype}: return jnp.abs or jnp.real of them."
                )
            return at_least_float32(scores)
        classes = at_least_float32(_as_classes(outputs))
        if self.every:
            return classes
        assert self.index is not None, "resolve the target first"
        inside = (self.index >= 0) & (self.index < classes.shape[1])
        index = jnp.where(inside, self.index, 0)
        if self.single:  # one example's class for all its rows: a slice, where a gather would go row by row
            chosen = jax.lax.dynamic_index_in_dim(classes, index, axis=1, keepdims=False)
        else:
            chosen = jnp.take_along_axis(classes, index[:, None], axis=1)[:, 0]
        return chosen * jnp.where(inside, 1.0, jnp.nan).astype(chosen.dtype)  # a factor, so that gradients are NaN too

    def as_argument(self) -> TargetLike:
        """Returns what stands for this target, which was read before, as the `target` of another explainer."""
        if self.every:
            return "all"
        return self.index if self.score is None else _Resolved(self)

    def pull_back(self, outputs: Any, pull: Callable[..., Any]) -> tuple[Target, Array, Any]:
        """Differentiates the explained scores.

        Args:
          outputs: the model's outputs [N, ...].
          pull: pulls cotangents of the outputs back, as `jax.vjp` returns it with them.

        Returns:
          The target with its top classes resolved, the scores [N], and their gradients: each example's own.
        """
        target = self.resolve(outputs)
        scores, pull_scores = jax.vjp(target.select, outputs)
        return target, scores, pull(*pull_scores(jnp.ones_like(scores)))


class _Resolved(ExampleScore):
    """A score that was read before."""

    def __init__(self, target: Target):
        self._target = target

    def bind(self, outputs: Any, num_examples: int) -> Target:
        return self._target


def _as_classes(outputs: Array) -> Array:
    return outputs[:, None] if outputs.ndim == 1 else outputs


@compiled(title="model")
def apply(model: Model, x: Any) -> Any:
    """The bare model, compiled; `apply.eval_shape` shares the cache of traces."""
    return model(x)


def output_shapes(model: Model, x: Any, num_examples: int) -> Any:
    """Shapes and types of the model's outputs, without computing them; its trace is cached like a compilation's."""
    if check.is_concrete(x):
        model.observe(x)
    outputs = apply.eval_shape(model, x)
    for leaf in jax.tree.leaves(outputs):
        if not leaf.shape or leaf.shape[0] != num_examples:
            choice = several(outputs)
            if choice:
                raise ValueError(choice)
            shapes = jax.tree.map(lambda part: part.shape, x)
            raise ValueError(
                f"`model` must return one row of outputs for each of the {num_examples} examples, but for `x` of shape "
                f"{shapes} got shape {leaf.shape}: check that x has a leading batch axis (x[None] for one "
                "example) and that the model keeps it (jax.vmap(model) for a model of one example)."
            )
    return outputs


def bind_target(
    model: Model, x: Any, target: TargetLike, num_examples: int, *, all_allowed: bool
) -> tuple[Model, Target]:
    """Returns the model whose outputs are explained, which is a part of it for a unit inside, and the target."""
    if isinstance(target, ExampleScore):
        model = target.of_model(model)
    return model, as_target(target, output_shapes(model, x, num_examples), num_examples, all_allowed=all_allowed)


def as_target(target: TargetLike, outputs: Any, num_examples: int, *, all_allowed: bool) -> Target:
    """Reads the `target` argument and checks it against the shapes of the outputs.

    Raises:
      TypeError: if `target` is of a type that it may not have.
      ValueError: if a class is out of range, or the number of classes is not the number of examples.
    """
    if isinstance(target, ExampleScore):
        return target.bind(outputs, num_examples)
    if callable(target):
        return Target(score=as_model(target, "target"))
    choice = several(outputs)
    if choice:
        raise ValueError(choice)
    shape = getattr(outputs, "shape", None)
    if shape is None or len(shape) > 2:
        shapes = jax.tree.map(lambda leaf: leaf.shape, outputs)
        raise ValueError(
            f"`target` must be a callable from the outputs to one number for each example, as the model returns outputs "
            f"of shape {shapes}, neither [N, K] nor [N], got {check.shown(target)}."
        )
    if jnp.issubdtype(outputs.dtype, jnp.complexfloating):
        raise TypeError(
            f"`target` must be a callable that returns real numbers, such as lambda y: jnp.abs(y[:, 0]), as the model "
            f"returns {outputs.dtype}, got {check.shown(target)}."
        )
    num_classes = 1 if len(shape) == 1 else shape[1]
    if num_classes == 0:
        raise ValueError(f"the model must return at least one output, got outputs of shape {list(shape)}.")
    if target is None:
        return Target()
    if isinstance(target, str):
        if target == "all" and all_allowed:
            return Target(every=True)
        accepted = "an int, ints [N], a callable, one of xai.target" + (
            ', "all" or None' if all_allowed else " or None"
        )
        hint = f": use {target}" if target.strip().isdigit() else check.did_you_mean(target, ["all"] * all_allowed)
        raise ValueError(f"`target` must be {accepted}, got {check.shown(target)}{hint}.")
    return Target(index=class_index(target, num_classes, num_examples))


def class_index(target: Any, num_classes: int, num_examples: int) -> Int[Array, " N"]:
    """Reads an int or ints [N] that name classes. Out of range raises; traced indices out of range give NaN later."""
    if type(target) is int and 0 <= target < num_classes:  # the usual case, without a program
        return jnp.asarray(np.full(num_examples, target, np.int32))
    index = check.numeric_array("target", target)
    if not jnp.issubdtype(index.dtype, jnp.integer):
        raise TypeError(
            f"`target` must be an int, ints [N], a callable, one of xai.target or None, got {check.shown(target)}."
        )
    if index.shape not in ((), (num_examples,)):
        raise ValueError(
            f"`target` must be one int or one for each of the {num_examples} examples, got shape {list(index.shape)}."
        )
    if not check.is_concrete(index):
        return jnp.broadcast_to(index.astype(jnp.int32), (num_examples,))
    known = np.asarray(index)
    outside = (known < 0) | (known >= num_classes)
    if outside.any():
        wrong = np.unique(known[outside])
        raise ValueError(
            f"`target` must be from 0 to {num_classes - 1}, as the model returns {num_classes} "
            f"output{'s' if num_classes > 1 else ''}, got {', '.join(map(str, wrong[:5]))}."
        )
    return jnp.asarray(np.full(num_examples, known, np.int32))
