"""The layers of a model in the order in which it uses their parameters, and draws of other parameters for them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.jaxpr import evaluate, make_jaxpr
from xaijax._core.typing import Array
from xaijax._model import Model, unflatten

# Operations that only move a parameter's numbers, before it is used.
_MOVES = ("convert_element_type", "reshape", "transpose", "broadcast_in_dim", "squeeze", "copy", "copy_p")


@dataclasses.dataclass(frozen=True)
class _Parameter:
    """Stands for a parameter in a trace: its index among the model's arrays."""

    index: int


_SHOWN = 6  # layers that a message lists


class Steps(NamedTuple):
    """Which parameters are drawn anew in which step.

    layers: L names, from the top of the model to the bottom.
    drawn: [L, A] whether each of the model's arrays belongs to the layer.
    """

    layers: tuple[str, ...]
    drawn: np.ndarray

    @property
    def ever_drawn(self) -> list[bool]:
        """[A] whether any step draws each of the arrays."""
        return [bool(column.any()) for column in self.drawn.T]


def read_layers(layers: Any) -> tuple[str, ...] | None:
    """Checks the paths of layers."""
    if layers is None:
        return None
    if not isinstance(layers, (list, tuple)) or not layers or not all(isinstance(path, str) for path in layers):
        raise TypeError(
            f"`layers` must be a list of paths of layers, such as ['head', 'blocks/1'], got {check.shown(layers)}."
        )
    return tuple(layers)


def steps_of(model: Model, x: Any, layers: Sequence[str] | None) -> Steps:
    """Returns the layers of a model, or those that the user names, in the user's order.

    A layer is a module with parameters of its own; a parameter of no module is a layer by itself.

    Raises:
      ValueError: if the model has no parameters, or no such layer.
    """
    names = {
        index: name
        for index, (name, array) in enumerate(zip(model.parameter_names(), model.arrays, strict=True))
        if name is not None and jnp.issubdtype(jnp.result_type(array), jnp.floating) and np.size(array) > 1
    }
    used = [index for index in _order_of_use(model, x) if index in names]
    if not used:
        raise ValueError(
            "`model` must have floating parameters with more than one number, got none that it uses: bind them as arguments, "
            "such as xai.function(function, parameters), where a function closes over them."
        )
    known = list(dict.fromkeys(_layer_of(names[index]) for index in used))[::-1]
    chosen = known if layers is None else layers
    drawn = np.zeros((len(chosen), len(model.arrays)), bool)
    for number, layer in enumerate(chosen):
        for index in used:
            own = _layer_of(names[index])
            path = own if layers is None else names[index]
            drawn[number, index] = path == layer or (layers is not None and path.startswith(f"{layer}/"))
        if not drawn[number].any():
            raise ValueError(
                f"`layers` must be paths of modules or parameters, got {layer!r}{check.did_you_mean(layer, known)}: the model has "
                f"{known[:_SHOWN]}{f' and {len(known) - _SHOWN} more' if len(known) > _SHOWN else ''}."
            )
    return Steps(tuple(chosen), drawn)


def with_drawn(model: Model, parameters: Sequence[Array | None], flags: Any) -> Model:
    """Returns the model with drawn parameters where a flag says so; flags [A] may be traced."""
    arrays = [
        array if parameter is None else jnp.where(flag, parameter, array)
        for array, parameter, flag in zip(model.arrays, parameters, flags, strict=True)
    ]
    return unflatten(type(model), model.static, arrays)


def permuted(model: Model, key: Array, drawn: Sequence[bool]) -> list[Array | None]:
    """Returns the arrays of the model that are drawn, each with its numbers in a random order; None for the others.

    All are sorted at once, by the array that a number belongs to and then at random: sorting each by itself would compile as
    many programs as there are shapes.
    """
    leaves = [jnp.asarray(array) for array, flag in zip(model.arrays, drawn, strict=True) if flag]
    owners = jnp.asarray(np.repeat(np.arange(len(leaves), dtype=np.int32), [leaf.size for leaf in leaves]))
    numbers = jnp.concatenate([leaf.reshape(-1).astype(jnp.result_type(*leaves)) for leaf in leaves])
    _, _, numbers = jax.lax.sort((owners, jax.random.bits(key, owners.shape, jnp.uint32), numbers), num_keys=2)
    parts = jnp.split(numbers, np.cumsum([leaf.size for leaf in leaves])[:-1].tolist())
    shaped = (part.reshape(leaf.shape).astype(leaf.dtype) for part, leaf in zip(parts, leaves, strict=True))
    return [next(shaped) if flag else None for flag in drawn]


def _layer_of(name: str) -> str:
    return name.rpartition("/")[0] or name


def _order_of_use(model: Model, x: Any) -> list[int]:
    """Returns the indices of the model's arrays that an operation uses, in the order of the operations."""
    of_arrays = lambda arrays, x: unflatten(type(model), model.static, arrays)(x)  # noqa: E731
    closed, _ = make_jaxpr(of_arrays, tuple(model.arrays), x)
    used: dict[int, None] = {}

    def rule(equation: Any, inputs: list[Any]) -> list[Any]:
        parameters = [value for value in inputs if isinstance(value, _Parameter)]
        if equation.primitive.name in _MOVES and len(parameters) == 1:
            return parameters
        used.update(dict.fromkeys(parameter.index for parameter in parameters))
        return [None] * len(equation.outvars)

    parameters = [_Parameter(index) for index in range(len(model.arrays))]
    others = len(closed.jaxpr.invars) - len(parameters)
    evaluate(closed.jaxpr, [*[None] * len(closed.consts), *parameters, *[None] * others], rule)
    return list(used)
