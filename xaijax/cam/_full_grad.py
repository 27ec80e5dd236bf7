"""FullGrad (Srinivas and Fleuret 2019): a ReLU network's output as a sum over its inputs and all its biases."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.compile import compiled
from xaijax._core.jaxpr import apply, arguments, evaluate, is_relu, operations, trace
from xaijax._core.numerics import at_least_float32, ratio
from xaijax._core.places import find_places
from xaijax._core.target import Target, TargetLike
from xaijax._core.typing import Array
from xaijax._model import Model
from xaijax.cam._map import (
    Finish,
    axes_of,
    input_size,
    resize,
    to_unit_range,
)
from xaijax.cam._options import read_arguments, read_finish


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class FullGradients:
    """An output as a sum: f(x) = sum x ⊙ df/dx + sum over the biases b of b ⊙ df/db.

    inputs: like x, x ⊙ df/dx.
    biases: [N, ...] each, b ⊙ df/db for every additive constant of the network at every place where it is added, by the
      path of the module that it belongs to (a constant between two modules: of the next one).
    output: [N] f(x).
    """

    inputs: Any
    biases: dict[str, Array]
    output: Array


def full_gradients(model: Any, x: Any, *, target: TargetLike = None) -> FullGradients:
    """The full gradients: what the input and every bias of the network contribute to the output.

    Why: gradients alone forget the biases, which hold half of what a network knows. For networks that are piecewise
    linear (ReLU, max pooling, convolution, normalization by running statistics) the sum of both is the output exactly.
    For others (GELU, softmax, LayerNorm) it is not, and the gap says by how much.

    Every constant that is added to, or compared with, something that depends on the input counts as a bias: those of
    convolutions and dense layers, the means and offsets of normalization, position embeddings, the 6 of a ReLU6. Found
    in the trace of the model, for every framework alike; not within bodies of scans.

    Args:
      model: any model.
      x: [N, ...] inputs, or a PyTree of them.
      target: an int, ints [N], a callable, one of `xai.target`, or None for the top class.

    Returns:
      The terms of the sum.

    References:
      Srinivas and Fleuret (2019), Full-gradient representation for neural network visualization, arXiv:1905.00780,
      definition 1 and proposition 1.
    """
    model, x, target = read_arguments(model, x, target, all_allowed=False)
    return _full_gradients(model, x, target)[0]


def full_grad(
    model: Any,
    x: Any,
    *,
    target: TargetLike = None,
    rescale: str = "channel",
    normalize: bool = False,
) -> Attribution:
    """FullGrad: the full gradients as one map at the size of the input.

    S = psi(x ⊙ df/dx) + sum_layers sum_channels psi(b ⊙ df/db)        psi = resize ∘ rescale to [0, 1] ∘ | |

    Why: no layer to choose: all layers count, from the pixels to the last.

    Differences: the authors' code rescales a layer as a whole, `rescale="layer"`; the paper each channel. Biases of
    layers without places are left out there too.

    Args:
      model: any model.
      x: [N, H, W, C] inputs, or a PyTree of them.
      target: an int, ints [N], a callable, one of `xai.target`, or None for the top class.
      rescale: "channel", as in the paper; "layer"; or "none", where every term keeps its mass: the map then sums to the
        sum of the sizes of all full gradients. Biases of layers without places are the same everywhere: they show in
        the map with "none" alone.
      normalize: bring each map to [0, 1]. Default off.

    Returns:
      values [N, H, W] of the input's size, output [N] the explained scores, target [N].

    References:
      Srinivas and Fleuret (2019), Full-gradient representation for neural network visualization, arXiv:1905.00780,
      equation 7.
    """
    check.one_of("rescale", rescale, ["channel", "layer", "none"])
    model, x, target = read_arguments(model, x, target, all_allowed=False)
    return _full_grad(model, x, target, rescale=rescale, finish=read_finish(False, False, normalize))


@compiled(static_argnames=("rescale", "finish"))
def _full_grad(model: Model, x: Any, target: Target, *, rescale: str, finish: Finish) -> Attribution:
    found, target = _full_gradients(model, x, target)
    size = _size_of_pictures(x)
    floating = [leaf for leaf in jax.tree.leaves(found.inputs) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    terms = [_shown(term, x, size, rescale) for term in [*floating, *found.biases.values()]]
    values = finish(sum(terms, start=jnp.zeros((len(found.output), *size))), x)
    return Attribution(values, found.output, target=target.index, axes=axes_of(len(size)), method="FullGrad")


def _shown(term: Array, x: Any, size: tuple[int, ...], rescale: str) -> Array:
    """psi of one term, summed over its channels, [N, *size]."""
    if term.ndim == len(size) + 1 and term.shape[1:] == size:
        term = term[..., None]  # inputs without channels
    if term.ndim < 3:
        if rescale != "none":
            return jnp.zeros((len(term), *size))
        total = jnp.abs(term).reshape(len(term), -1).sum(axis=1)
        return jnp.broadcast_to(total.reshape(-1, *(1,) * len(size)) / math.prod(size), (len(term), *size))
    term = jnp.abs(find_places(term, x, "of a bias", None).take(term))
    space = tuple(range(1, term.ndim - 1))
    if len(space) != len(size):
        return jnp.zeros((len(term), *size))
    if rescale != "none":
        axes = space if rescale == "channel" else (*space, term.ndim - 1)
        return resize(to_unit_range(term, axes).sum(axis=-1), size)
    summed = term.sum(axis=-1)
    large = resize(summed, size)
    axes = tuple(range(1, large.ndim))
    return large * ratio(summed.sum(axis=axes, keepdims=True), large.sum(axis=axes, keepdims=True))


def _size_of_pictures(x: Any) -> tuple[int, ...]:
    axes = max(jnp.ndim(leaf) for leaf in jax.tree.leaves(x)) - 2
    if axes < 1:
        raise ValueError(
            f"FullGrad draws a map over inputs [N, ..., C], but x has shape {jax.tree.map(jnp.shape, x)}: "
            "xai.cam.full_gradients gives the terms themselves."
        )
    return input_size(x, axes)


@dataclasses.dataclass(eq=False)
class _FromInput:
    """A value that depends on the input."""

    value: Any


# Operations of degree one in all operands together: constants in them are biases. The operands that are none.
_JOINING = {"add": (), "sub": (), "add_any": (), "max": (), "min": (), "concatenate": (), "select_n": (0,)}
# What piecewise linear activations with derivatives of their own are made of.
_PIECES = ("max", "min", "clamp", "select_n", "ge", "gt", "le", "lt", "neg")


class _Biases:
    """A rule that adds a bump to every constant which meets a value that depends on the input."""

    def __init__(self, bumps: list[Array] | None):
        self.bumps = bumps
        self.constants: list[Array] = []
        self.paths: list[str | None] = []

    def __call__(self, equation: Any, inputs: list[Any]) -> list[Any]:
        name = equation.primitive.name
        if name == "name":  # the module whose output this is: the constants before it without a path are its own
            path = equation.params["name"]
            self.paths = [path if other is None else other for other in self.paths]
        if not any(isinstance(value, _FromInput) for value in inputs):
            return apply(equation, inputs)
        if name == "custom_jvp_call" and not is_relu(equation):
            inner = equation.params["call_jaxpr"]
            if all(one.primitive.name in _PIECES for one in operations(inner.jaxpr)):  # ReLU6: its 6 counts
                return evaluate(inner.jaxpr, [*inner.consts, *inputs], self)
        values = [value.value if isinstance(value, _FromInput) else value for value in inputs]
        for place, value in enumerate(inputs):
            is_bias = name in _JOINING and place not in _JOINING[name] and not isinstance(value, _FromInput)
            if is_bias and not _is_nothing(equation.invars[place], value):
                shape = jnp.shape(values[place]) if name == "concatenate" else equation.outvars[0].aval.shape
                values[place] = self._bumped(
                    jnp.broadcast_to(values[place], shape).astype(equation.outvars[0].aval.dtype)
                )
        if name == "clamp":  # as the two comparisons that it is, with bounds at every place
            low, middle, high = values
            bounds = [
                self._bumped(jnp.broadcast_to(bound, middle.shape))
                if not isinstance(given, _FromInput) and not _is_nothing(variable, given)
                else bound
                for bound, given, variable in (
                    (low, inputs[0], equation.invars[0]),
                    (high, inputs[2], equation.invars[2]),
                )
            ]
            return [_FromInput(jnp.minimum(jnp.maximum(middle, bounds[0]), bounds[1]))]
        return [_FromInput(answer) for answer in apply(equation, values)]

    def _bumped(self, constant: Array) -> Array:
        number = len(self.constants)
        self.constants.append(constant)
        self.paths.append(None)
        return constant if self.bumps is None else constant + self.bumps[number]


def _is_nothing(variable: Any, value: Any) -> bool:
    """Whether a constant is no number, or a zero that stands in the program (as in max(x, 0))."""
    if not jnp.issubdtype(jnp.result_type(value), jnp.floating):
        return True
    return isinstance(variable, core.Literal) and not jnp.shape(value) and float(value) == 0


@compiled
def _full_gradients(model: Model, x: Any, target: Target) -> tuple[FullGradients, Target]:
    closed, structure = trace(model, x)

    def run(x: Any, bumps: list[Array] | None) -> tuple[Any, _Biases]:
        rule = _Biases(bumps)
        count = len(closed.jaxpr.constvars) + len(closed.jaxpr.invars) - len(jax.tree.leaves(x))
        values = arguments(closed, model, x)
        results = evaluate(closed.jaxpr, [*values[:count], *map(_FromInput, values[count:])], rule)
        plain = [value.value if isinstance(value, _FromInput) else value for value in results]
        return jax.tree.unflatten(structure, plain), rule

    leaves, tree = jax.tree.flatten(x)
    floating = [jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in leaves]

    def with_bumps(movable: list[Array], bumps: list[Array] | None) -> tuple[Any, _Biases]:
        given = iter(movable)
        return run(
            tree.unflatten([next(given) if moves else leaf for moves, leaf in zip(floating, leaves, strict=True)]),
            bumps,
        )

    movable = [leaf for moves, leaf in zip(floating, leaves, strict=True) if moves]
    shapes = jax.eval_shape(lambda movable: with_bumps(movable, None)[1].constants, movable)
    zeros = [jnp.zeros(shape.shape, shape.dtype) for shape in shapes]
    paths: list[str | None] = []

    def outputs(movable: list[Array], bumps: list[Array]) -> tuple[Any, list[Array]]:
        result, rule = with_bumps(movable, bumps)
        paths[:] = rule.paths
        return result, rule.constants

    answers, pull_back, constants = jax.vjp(outputs, movable, zeros, has_aux=True)
    target, scores, (slopes, bias_slopes) = target.pull_back(answers, pull_back)
    given = iter([at_least_float32(leaf * slope) for leaf, slope in zip(movable, slopes, strict=True)])
    inputs = tree.unflatten(
        [next(given) if moves else jnp.zeros(leaf.shape) for moves, leaf in zip(floating, leaves, strict=True)]
    )
    products = [at_least_float32(one * slope) for one, slope in zip(constants, bias_slopes, strict=True)]
    return FullGradients(inputs, _by_path(paths, products), scores), target


def _by_path(paths: list[str | None], products: list[Array]) -> dict[str, Array]:
    """Names for the terms: the module's path, numbered where a module's constants are of several shapes.

    Those of one shape are added up: a normalization's mean and offset, each times its slope, make the one bias
    (offset - scale · mean / deviation) that the paper counts.
    """
    named: dict[str, Array] = {}
    for path, product in zip(paths, products, strict=True):
        base, number = path or "output", 0
        name = base
        while name in named and named[name].shape != product.shape:
            number += 1
            name = f"{base}#{number}"
        named[name] = named[name] + product if name in named else product
    return named
