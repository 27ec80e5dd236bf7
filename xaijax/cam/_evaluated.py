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
from xaijax._core.grid import LayerInputs
from xaijax._core.target import Target
from xaijax._core.typing import Array, Float, Inputs, ModelLike
from xaijax._model import Model
from xaijax.cam._map import Cut, Finish, LayerOptions, axes_of, resize, tap_layer, to_unit_range
from xaijax.cam._options import EvaluatedOptions, explainer, read_arguments, read_finish, read_layer

P = ParamSpec("P")
Read = Callable[[str, Any], Any]  # (name, value) -> the checked option


@dataclasses.dataclass(frozen=True)
class Example:
    """Holds one example for the equation of an evaluated map.

    model: the model; x: [1, ...] its input; key: its random key, or None.
    target: the explained output, for any number of rows that are variants of this example.
    activations: [1, *space, C] A, in float32 or more; tail: the outputs as a function of them.
    inputs: x as the layer depends on it.
    tap: cuts the model at the layer for another input [1, ...].
    rows: the number of model rows in one evaluation.
    """

    model: Model
    x: Any
    key: Any
    target: Target
    activations: Float[Array, "1 *space C"]
    tail: Callable[[Array], Any]
    inputs: LayerInputs
    tap: Callable[[Any], Cut]
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
        """Returns the spatial sides of the inputs that the layer depends on."""
        return self.inputs.size(self.activations.ndim - 2, _SEVERAL_SIZES)

    def mask(self, map: Float[Array, "*space"]) -> Float[Array, "*other"]:
        """Turns a map into a mask on the input: resizes it to the input's size and brings it to [0, 1]."""
        return to_unit_range(resize(map[None], self.size))[0]

    def masked(self, mask: Float[Array, "*space"]) -> Any:
        """Computes X ∘ H [...], the input times a mask; arrays that the layer does not depend on stay as they are."""
        return self.change(lambda leaf, mask: leaf * mask, mask)

    def change(self, function: Callable[..., Array], mask: Float[Array, "*space"], *others: Any) -> Any:
        """Computes function(leaf, mask, ...) for the arrays of the input that the layer depends on."""

        def changed(leaf: Array, *rest: Array) -> Array:
            return function(leaf, mask[..., None].astype(leaf.dtype), *rest)

        return self.inputs.map(changed, mask.shape, *others)

    def gradients(self) -> Float[Array, "1 *space C"]:
        """Computes dy/dA."""
        return Cut(self.activations, self.tail, self.inputs).differentiate(self.target)[0].gradients


class EvaluatedMap(Protocol[P]):
    """An explainer that evaluates the model on many variants of each example."""

    __name__: str

    def __call__(self, model: ModelLike, x: Inputs, *arguments: P.args, **options: P.kwargs) -> Attribution: ...


_SEVERAL_SIZES = (
    "`layer` must depend on inputs of one size, with as many spatial axes as the layer, which its channels mask, got inputs "
    "of the shapes {shapes}: choose a layer of one branch, or pass grid=(h, w) for a layer of tokens."
)


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

    def tapped(x: Any) -> Cut:
        return tap_layer(model, x, equation.layer)

    def explain_one(example: examples.Example, target: Target) -> Fields:
        alone = jax.tree.map(lambda leaf: leaf[None], example.x)
        seen = Example(model, alone, example.key, target, *tapped(alone), tapped, rows)
        maps = equation.function(seen, **arrays, **dict(equation.options))
        return {"values": _finished(maps, seen.inputs, equation.finish, target.every)}

    channels = jax.eval_shape(lambda x: tapped(x).activations, x).shape[-1]
    fields, target = explain_examples(
        explain_one, model, x, target, key=key, ids=ids, rows=rows, rows_per_example=equation.variants or channels
    )
    axes = axes_of(fields["values"].ndim - 1 - target.every, every_class=target.every)
    return Attribution(**fields, target=target.index, axes=axes, method=equation.title)


def _finished(maps: Array, inputs: LayerInputs, finish: Finish, every: bool) -> Array:
    """Finishes the map of one example, [*space] or [*space, K]."""
    finished = lambda map: finish(map[None], inputs)[0]  # noqa: E731
    return jax.vmap(finished, in_axes=-1, out_axes=-1)(maps) if every else finished(maps)
