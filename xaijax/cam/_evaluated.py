"""Maps that evaluate the model on many variants of each example: turns an equation into an explainer.

The equation of a map sees one example. It evaluates changed inputs, or changed activations by the tail alone, and never
more rows in one evaluation than fit on the device.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Concatenate, ParamSpec, Protocol

import jax

from xaijax._core import check, examples
from xaijax._core.attribution import Attribution
from xaijax._core.blocks import in_blocks
from xaijax._core.compile import compiled
from xaijax._core.examples import Fields, explain_examples, model_rows
from xaijax._core.target import Target
from xaijax._core.typing import Array, Float
from xaijax._model import Model
from xaijax.cam._map import (
    Finish,
    LayerOptions,
    axes_of,
    differentiate,
    input_size,
    resize,
    tap_layer,
    to_unit_range,
)
from xaijax.cam._options import EvaluatedOptions, explainer, read_arguments, read_finish, read_layer

P = ParamSpec("P")
Read = Callable[[str, Any], Any]  # (name, value) -> the checked option


@dataclasses.dataclass(frozen=True)
class Example:
    """Holds one example for the equation of an evaluated map.

    model: the model; x: [1, ...] its input; key: its random key, or None.
    target: the explained output, for any number of rows that are variants of this example.
    activations: [1, *space, C] A, in float32 or more; tail: the outputs as a function of them.
    tap: returns both of them for another input [1, ...].
    rows: the number of model rows in one evaluation.
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
        """Computes y of the inputs change(variant) for all variants [V, ...]: [V], or [V, K] for all outputs."""

        def of_block(block: Any) -> Array:
            return self.target.select(self.model(jax.vmap(change)(block)))

        return in_blocks(of_block, variants, self.rows)

    def tail_scores(self, change: Callable[[Any], Array], variants: Any) -> Array:
        """Computes y of the activations change(variant), [*space, C] each, by the tail alone: [V] or [V, K]."""

        def of_variant(variant: Any) -> Array:
            return self.target.select(self.tail(change(variant)[None]))[0]

        return in_blocks(jax.vmap(of_variant), variants, self.rows)

    @property
    def size(self) -> tuple[int, ...]:
        """Returns the spatial sides of the input."""
        return input_size(self.x, self.activations.ndim - 2)

    def mask(self, map: Float[Array, "*space"]) -> Float[Array, "*other"]:
        """Turns a map into a mask on the input: resizes it to the input's size and brings it to [0, 1]."""
        return to_unit_range(resize(map[None], self.size))[0]

    def masked(self, mask: Float[Array, "*space"]) -> Any:
        """Computes X ∘ H, the input times a mask; arrays of x that have not the mask's size stay as they are."""
        return jax.tree.map(lambda leaf: times_mask(mask, leaf[0]), self.x)

    def gradients(self) -> Float[Array, "1 *space C"]:
        """Computes dy/dA."""
        return differentiate(self.activations, self.tail, self.target)[0].gradients


def times_mask(mask: Float[Array, "*space"], leaf: Array) -> Array:
    """Multiplies one input [*space, C] or [*space] by a mask; inputs of another size are returned as they are."""
    if leaf.shape[: mask.ndim] != mask.shape or leaf.ndim > mask.ndim + 1:
        return leaf
    return leaf * mask.reshape(mask.shape + (1,) * (leaf.ndim - mask.ndim)).astype(leaf.dtype)


class EvaluatedMap(Protocol[P]):
    """An explainer that evaluates the model on many variants of each example."""

    __name__: str

    def __call__(self, model: Any, x: Any, *arguments: P.args, **options: P.kwargs) -> Attribution: ...


@dataclasses.dataclass(frozen=True)
class Equation:
    """An equation, example -> map [*space] or [*space, K], with its static options, compared by value.

    variants: the number of rows that the equation evaluates for one example; None for one for each channel.
    """

    function: Callable[..., Array]
    title: str
    layer: LayerOptions
    finish: Finish
    batch_size: int | None
    variants: int | None
    options: tuple[tuple[str, Any], ...]


def evaluated(
    title: str,
    *,
    relu: bool = True,
    shared: type = EvaluatedOptions,
    every_class: bool = False,
    variants: int | str | None = None,
    reads: Mapping[str, Read] | None = None,
) -> Callable[[Callable[Concatenate[Example, P], Array]], EvaluatedMap[P]]:
    """Turns the equation of a map, example -> map [*space], into an explainer (model, x, *, ...) -> Attribution.

    Args:
      title: the name of the method.
      relu: the paper's choice.
      shared: the shared options that the map takes, such as those of maps that draw random numbers.
      every_class: whether the equation serves target="all", maps [*space, K] from scores [..., K].
      variants: the number of rows that the equation evaluates for one example, or the option that says so. Default: the
        number of channels.
      reads: the check of each of the equation's own options. Options that are arrays then are arguments of the compiled
        program, all others are static.
    """
    reads = reads or {}

    def decorate(equation: Callable[Concatenate[Example, P], Array]) -> Any:
        defaults = getattr(equation, "__kwdefaults__", None) or {}

        def explain(model: Any, x: Any, shared: dict[str, Any], own: dict[str, Any]) -> Attribution:
            options = {name: reads[name](name, value) for name, value in {**defaults, **own}.items()}
            arrays = {name: value for name, value in options.items() if isinstance(value, jax.Array)}
            static = {name: value for name, value in options.items() if name not in arrays}
            model, x, target = read_arguments(model, x, shared["target"], all_allowed=every_class)
            chosen = Equation(
                equation,
                title,
                read_layer(shared),
                read_finish(shared["relu"], shared["upsample"], shared["normalize"]),
                check.batch_size(shared["batch_size"]),
                options[variants] if isinstance(variants, str) else variants,
                tuple(sorted(static.items())),
            )
            key = check.random_key(shared.get("key")) if random else None
            ids = check.example_ids(shared.get("ids"), check.examples(x))
            return _explain(model, x, target, key, ids, arrays, equation=chosen)

        return explainer(equation, explain, shared, relu=relu, every_class=every_class)

    random = "key" in shared.__annotations__
    return decorate


@compiled(static_argnames=("equation",), title=lambda options: options["equation"].title)
def _explain(
    model: Model, x: Any, target: Target, key: Any, ids: Any, arrays: dict[str, Array], *, equation: Equation
) -> Attribution:
    rows = model_rows(model, x, equation.batch_size)

    def tapped(x: Any) -> tuple[Array, Callable[[Array], Any]]:
        return tap_layer(model, x, equation.layer)

    def explain_one(example: examples.Example, target: Target) -> Fields:
        alone = jax.tree.map(lambda leaf: leaf[None], example.x)
        activations, tail = tapped(alone)
        seen = Example(model, alone, example.key, target, activations, tail, tapped, rows)
        return {"values": equation.function(seen, **arrays, **dict(equation.options))}

    variants = equation.variants or jax.eval_shape(lambda x: tapped(x)[0], x).shape[-1]
    fields, target = explain_examples(
        explain_one, model, x, target, key=key, ids=ids, rows=rows, rows_per_example=variants
    )
    maps = _finished(fields["values"], x, equation.finish, target.every)
    axes = axes_of(maps.ndim - 1 - target.every, every_class=target.every)
    return Attribution(values=maps, output=fields["output"], target=target.index, axes=axes, method=equation.title)


def _finished(maps: Array, x: Any, finish: Finish, every: bool) -> Array:
    if not every:
        return finish(maps, x)
    return jax.vmap(lambda of_class: finish(of_class, x), in_axes=-1, out_axes=-1)(maps)
