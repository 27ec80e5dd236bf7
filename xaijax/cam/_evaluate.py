"""Scores of changed inputs and of changed activations, example by example, never more rows than fit at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax

from xaijax._core import check, examples
from xaijax._core.attribution import Attribution, axes_of_map
from xaijax._core.blocks import in_blocks
from xaijax._core.compile import compiled
from xaijax._core.examples import Fields, explain_examples, model_rows
from xaijax._core.target import Target, TargetLike
from xaijax._core.typing import Array, Float
from xaijax._model import Model
from xaijax.cam._map import (
    Finish,
    differentiate,
    input_size,
    read_arguments,
    read_finish,
    read_shape,
    resize,
    tap_places,
    to_unit_range,
)

Method = Callable[["Example"], Array]


@dataclasses.dataclass(frozen=True)
class Example:
    """One example, as the equations of the evaluated maps see it.

    model: the model; x: [1, ...] its input; key: its random key, or None.
    target: of any number of rows that are variants of this example.
    activations: [1, *space, C] A, in float32 or more; tail: the outputs as a function of them.
    tap: both of them, for another input [1, ...].
    rows: how many model rows are evaluated together.
    """

    model: Model
    x: Any
    key: Any
    target: Target
    activations: Float[Array, "1 *space C"]
    tail: Callable[[Array], Any]
    tap: Callable[[Any], tuple[Array, Callable[[Array], Any]]]
    rows: int

    @property
    def channels(self) -> int:
        return self.activations.shape[-1]

    def scores(self, change: Callable[[Any], Any], variants: Any) -> Array:
        """y of the inputs change(variant), one example's each, for all variants [V, ...]; [V], or [V, K] for all."""

        def of_block(block: Any) -> Array:
            return self.target.select(self.model(jax.vmap(change)(block)))

        return in_blocks(of_block, variants, self.rows)

    def tail_scores(self, change: Callable[[Any], Array], variants: Any) -> Array:
        """y of the activations change(variant), [*space, C] each, by the tail alone; [V], or [V, K] for all."""

        def of_variant(variant: Any) -> Array:
            return self.target.select(self.tail(change(variant)[None]))[0]

        return in_blocks(jax.vmap(of_variant), variants, self.rows)

    @property
    def size(self) -> tuple[int, ...]:
        """The sides of the input's places."""
        return input_size(self.x, self.activations.ndim - 2)

    def mask(self, map: Float[Array, "*space"]) -> Float[Array, "*other"]:
        """A map as a mask on the input: resized to its size and brought to [0, 1]."""
        return to_unit_range(resize(map[None], self.size))[0]

    def masked(self, mask: Float[Array, "*space"]) -> Any:
        """X ∘ H: the input times a mask; arrays of x without the mask's places stay as they are."""
        return jax.tree.map(lambda leaf: over_places(mask, leaf[0]), self.x)

    def gradients(self) -> Float[Array, "1 *space C"]:
        """dy/dA"""
        return differentiate(self.activations, self.tail, self.target)[0].gradients


def over_places(mask: Float[Array, "*space"], one: Array) -> Array:
    """One input [*space, C] or [*space] times a mask, or as it is where it has other places."""
    if one.shape[: mask.ndim] != mask.shape or one.ndim > mask.ndim + 1:
        return one
    return one * mask.reshape(mask.shape + (1,) * (one.ndim - mask.ndim)).astype(one.dtype)


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """An equation, example -> map [*space] or [*space, K], with what it is evaluated for; compared by value.

    variants: how many rows the equation evaluates at once for an example; None for one for each channel.
    """

    function: Callable[..., Array]
    title: str
    layer: str | None
    grid: tuple[int, ...] | None
    finish: Finish
    batch_size: int | None
    variants: int | None
    options: tuple[tuple[str, Any], ...]


def explain(
    function: Callable[..., Array],
    title: str,
    model: Any,
    x: Any,
    *,
    layer: str | None,
    target: TargetLike,
    grid: Any,
    relu: bool,
    upsample: Any,
    normalize: bool,
    batch_size: int | None,
    key: Any = None,
    ids: Any = None,
    arrays: Any = (),
    variants: int | None = None,
    all_allowed: bool = False,
    **options: Any,
) -> Attribution:
    """The attribution whose maps are function(example, *arrays, **options), for each example; options are static."""
    model, x, target = read_arguments(model, x, target, all_allowed=all_allowed)
    equation = Evaluated(
        function,
        title,
        layer,
        read_shape("grid", grid),
        read_finish(relu, upsample, normalize),
        check.batch_size(batch_size),
        variants,
        tuple(sorted(options.items())),
    )
    return _explain(model, x, target, key, check.example_ids(ids, check.examples(x)), arrays, equation=equation)


@compiled(static_argnames=("equation",), title=lambda options: options["equation"].title)
def _explain(
    model: Model, x: Any, target: Target, key: Any, ids: Any, arrays: Any, *, equation: Evaluated
) -> Attribution:
    rows = model_rows(model, x, equation.batch_size)

    def tapped(model: Model, x: Any) -> tuple[Array, Callable[[Array], Any]]:
        return tap_places(model, x, equation.layer, equation.grid)

    def explain_one(example: examples.Example, target: Target) -> Fields:
        alone = jax.tree.map(lambda leaf: leaf[None], example.x)
        activations, tail = tapped(model, alone)
        seen = Example(model, alone, example.key, target, activations, tail, lambda x: tapped(model, x), rows)
        return {"values": equation.function(seen, *arrays, **dict(equation.options))}

    fields, target = explain_examples(
        explain_one,
        model,
        x,
        target,
        key=key,
        ids=ids,
        rows=rows,
        rows_per_example=equation.variants or jax.eval_shape(lambda model, x: tapped(model, x)[0], model, x).shape[-1],
    )
    maps = _finished(fields["values"], x, equation.finish, target.every)
    axes = " ".join(["N", axes_of_map(maps.ndim - 1 - target.every), *["K"] * target.every])
    return Attribution(values=maps, output=fields["output"], target=target.index, axes=axes, method=equation.title)


def _finished(maps: Array, x: Any, finish: Finish, every: bool) -> Array:
    if not every:
        return finish(maps, x)
    return jax.vmap(lambda one: finish(one, x), in_axes=-1, out_axes=-1)(maps)
