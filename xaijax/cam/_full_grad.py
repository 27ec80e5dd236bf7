"""FullGrad (Srinivas and Fleuret 2019): the output of a ReLU network as a sum over its inputs and all its biases."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.extend import core

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.compile import compiled
from xaijax._core.convolutions import compute
from xaijax._core.grid import LayerInputs, check_inputs, find_grid
from xaijax._core.jaxpr import arguments, evaluate, is_relu, operations, trace
from xaijax._core.layout import Layout, LayoutRule
from xaijax._core.numerics import at_least_float32, ratio
from xaijax._core.target import Target
from xaijax._core.typing import Array, Inputs, ModelLike, TargetLike
from xaijax._model import Model
from xaijax.cam._map import Finish, LayerOptions, axes_of, resize, to_unit_range
from xaijax.cam._options import layer_options, read_arguments, read_finish


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class FullGradients:
    """The terms of an output: f(x) = sum x ⊙ df/dx + sum over the biases b of b ⊙ df/db.

    inputs: like x, x ⊙ df/dx.
    biases: [N, ...] each, b ⊙ df/db for every additive constant of the network at every position where it is added, by
      the path of its module (a constant between two modules belongs to the next one).
    output: [N] f(x).
    """

    inputs: Any
    biases: dict[str, Array]
    output: Array


def full_gradients(model: ModelLike, x: Inputs, *, target: TargetLike = None) -> FullGradients:
    """Computes the full gradients: the contributions of the input and of every bias of the network to the output.

    Why: gradients with respect to the input ignore the biases. For piecewise linear networks (ReLU, max pooling,
    convolution, normalization by running statistics) the sum of both terms is the output exactly. For other networks
    (GELU, softmax, LayerNorm) it is not, and the gap measures the difference.

    Every constant that is added to, or compared with, a value that depends on the input counts as a bias: the biases of
    convolutions and dense layers, the means and offsets of normalization, position embeddings, the 6 of a ReLU6. They
    are read from the trace of the model, for every framework alike, but not from the bodies of scans.

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
    return _full_gradients(model, x, target)


def full_grad(
    model: ModelLike,
    x: Inputs,
    *,
    target: TargetLike = None,
    channel_axis: int | tuple[int, int] | None = None,
    rescale: Literal["channel", "layer", "none"] = "channel",
    normalize: bool = False,
) -> Attribution:
    """FullGrad: sums the full gradients in one map at the size of the input.

    S = psi(x ⊙ df/dx) + sum_layers sum_channels psi(b ⊙ df/db)        psi = resize ∘ rescale to [0, 1] ∘ | |

    Why: no layer must be chosen: all layers count, from the pixels to the last.

    Differences: the authors' code rescales a layer as a whole, `rescale="layer"`; the paper each channel. Both leave out
    the biases of layers without spatial axes.

    Args:
      model: any model.
      x: [N, H, W, C] inputs, or a PyTree of them.
      target: an int, ints [N], a callable, one of `xai.target`, or None for the top class.
      channel_axis: the axis of the channels in the input and in layers with as many axes, 1 for channels first; two axes
        where the layers' differs from the input's. Default: the last.
      rescale: "channel", as in the paper; "layer"; or "none", where every term keeps its mass: the map then sums to the
        absolute values of all full gradients. Biases of layers without spatial axes are spread evenly, and only with
        "none". Default "channel".
      normalize: bring each map to [0, 1] by its least and largest value. Default off.

    Returns:
      values [N, H, W] of the input's size, output [N] the explained scores, target [N].

    Raises:
      TypeError, ValueError: as `xai.cam.grad_cam`; if the inputs have no spatial axes, or several sizes.

    References:
      Srinivas and Fleuret (2019), Full-gradient representation for neural network visualization, arXiv:1905.00780,
      equation 7.
    """
    check.one_of("rescale", rescale, ["channel", "layer", "none"])
    model, x, target = read_arguments(model, x, target, all_allowed=False)
    layer = layer_options(None, None, channel_axis)
    return _full_grad(model, x, target, rescale=rescale, layer=layer, finish=read_finish(True, False, normalize))


@compiled(static_argnames=("rescale", "layer", "finish"))
def _full_grad(
    model: Model, x: Any, target: Target, *, rescale: str, layer: LayerOptions, finish: Finish
) -> Attribution:
    layer = layer.of(model)
    terms, target, layouts, input_layouts = _terms(model, x, target)
    check_inputs(x, input_layouts, layer.channel_axis)
    inputs = LayerInputs(x, frozenset(), layer.channel_axis)
    size = _size_of_inputs(inputs)
    leaves = jax.tree.leaves(terms.inputs)
    floating = [leaf for leaf, given in zip(leaves, jax.tree.leaves(x), strict=True) if _is_floating(given)]
    in_space = [_channels_last(leaf, layer.channel_axis.of_input(leaf.ndim), len(size)) for leaf in floating]
    for path, term in terms.biases.items():
        has_positions = term.ndim >= 3 and len(term) == len(terms.output)
        grid = find_grid(term, x, layouts[path], path, None, layer.channel_axis) if has_positions else None
        in_space.append(grid.take(term) if grid else term.reshape(len(terms.output), -1))
    maps = sum((_shown(term, size, rescale) for term in in_space), start=jnp.zeros((len(terms.output), *size)))
    maps = check.nan_where(jnp.isnan(terms.output), finish(maps, inputs))  # a NaN output: the class does not exist
    return Attribution(maps, terms.output, target=target.index, axes=axes_of(len(size)), method="FullGrad")


_SEVERAL_SIZES = (
    "`x` must have one size for FullGrad, whose map has the size of the inputs, got inputs of the shapes {shapes}: "
    "xai.cam.full_gradients returns the terms of each input."
)


def _size_of_inputs(inputs: LayerInputs) -> tuple[int, ...]:
    """Returns the spatial sides of the input, which are those of the map."""
    axes = max(jnp.ndim(leaf) for leaf in jax.tree.leaves(inputs.x)) - 2
    if axes < 1:
        raise ValueError(
            f"`x` must be inputs with spatial axes [N, ..., C] for FullGrad, got the shapes "
            f"{[list(leaf.shape) for leaf in jax.tree.leaves(inputs.x)]}: xai.cam.full_gradients returns the terms themselves."
        )
    return inputs.size(axes, _SEVERAL_SIZES)


def _channels_last(term: Array, channel_axis: int, num_axes: int) -> Array:
    """Returns the term of an input as [N, *space, C]; inputs without channels get one."""
    return term[..., None] if term.ndim == num_axes + 1 else jnp.moveaxis(term, channel_axis, -1)


def _shown(term: Array, size: tuple[int, ...], rescale: str) -> Array:
    """Computes psi of one term [N, *space, C], summed over its channels, [N, *size]; other terms have no positions."""
    term = jnp.abs(term)
    if term.ndim != len(size) + 2:
        if rescale != "none":
            return jnp.zeros((len(term), *size))
        total = term.reshape(len(term), -1).sum(axis=1)
        return jnp.broadcast_to(total.reshape(-1, *(1,) * len(size)) / math.prod(size), (len(term), *size))
    space = tuple(range(1, term.ndim - 1))
    if rescale != "none":
        axes = space if rescale == "channel" else (*space, term.ndim - 1)
        return resize(to_unit_range(term, axes).sum(axis=-1), size)
    summed = term.sum(axis=-1)
    large = resize(summed, size)
    return large * ratio(summed.sum(axis=space, keepdims=True), large.sum(axis=space, keepdims=True))


@compiled
def _full_gradients(model: Model, x: Any, target: Target) -> FullGradients:
    return _terms(model, x, target)[0]


def _terms(model: Model, x: Any, target: Target) -> tuple[FullGradients, Target, dict[str, Layout], list[Layout]]:
    """Computes the terms; returns them, the resolved target, and the layouts of the biases and of the inputs."""
    closed, structure = trace(model, x)
    leaves, tree = jax.tree.flatten(x)
    movable = [leaf for leaf in leaves if _is_floating(leaf)]

    def run(movable: list[Array], bumps: list[Array] | None) -> tuple[Any, _Biases]:
        given = iter(movable)
        moved = tree.unflatten([next(given) if _is_floating(leaf) else leaf for leaf in leaves])
        rule = _Biases(bumps)
        values = arguments(closed, model, moved)
        inputs = [_FromInput(value, rule.layout.new(value.shape)) for value in values[-len(leaves) :]]
        rule.inputs = [value.layout for value in inputs]
        results = evaluate(closed.jaxpr, [*values[: -len(leaves)], *inputs], rule)
        plain = [value.value if isinstance(value, _FromInput) else value for value in results]
        return jax.tree.unflatten(structure, plain), rule

    shapes = jax.eval_shape(lambda movable: run(movable, None)[1].constants, movable)
    zeros = [jnp.zeros(shape.shape, shape.dtype) for shape in shapes]
    rules: list[_Biases] = []

    def outputs(movable: list[Array], bumps: list[Array]) -> tuple[Any, list[Array]]:
        result, rule = run(movable, bumps)
        rules.append(rule)
        return result, rule.constants

    answers, pull_back, constants = jax.vjp(outputs, movable, zeros, has_aux=True)
    target, scores, (slopes, bias_slopes) = target.pull_back(answers, pull_back)
    given = iter([at_least_float32(leaf * slope) for leaf, slope in zip(movable, slopes, strict=True)])
    inputs = tree.unflatten([next(given) if _is_floating(leaf) else jnp.zeros(leaf.shape) for leaf in leaves])
    products = [_product(constant, slope) for constant, slope in zip(constants, bias_slopes, strict=True)]
    (rule, *_) = rules
    biases, layouts = _by_path(rule, products)
    return FullGradients(inputs, biases, scores), target, layouts, list(map(rule.layout.marked, rule.inputs))


@dataclasses.dataclass(eq=False)
class _FromInput:
    """A value that depends on the input, and its layout."""

    value: Any
    layout: Layout


# Operations of degree one in all operands jointly: constants in them are biases, except the operands listed here.
_JOINING = {"add": (), "sub": (), "add_any": (), "max": (), "min": (), "concatenate": (), "select_n": (0,)}
# The operations of piecewise linear activations with derivatives of their own.
_PIECES = ("max", "min", "clamp", "select_n", "ge", "gt", "le", "lt", "neg")


class _Biases:
    """A rule that adds a bump to every constant that is joined with a value that depends on the input."""

    def __init__(self, bumps: list[Array] | None):
        self.bumps = bumps
        self.layout = LayoutRule()
        self.inputs: list[Layout] = []
        self.constants: list[Array] = []
        self.layouts: list[Layout] = []
        self.paths: list[str | None] = []

    def __call__(self, equation: Any, inputs: list[Any]) -> list[Any]:
        name = equation.primitive.name
        if name == "name":  # the output of a module: the constants before it that have no path belong to the module
            path = equation.params["name"]
            self.paths = [path if other is None else other for other in self.paths]
        if not any(isinstance(value, _FromInput) for value in inputs):
            return compute(equation, inputs)
        if name == "custom_jvp_call" and not is_relu(equation):
            inner = equation.params["call_jaxpr"]
            if all(operation.primitive.name in _PIECES for operation in operations(inner.jaxpr)):  # ReLU6: its 6 counts
                return evaluate(inner.jaxpr, [*inner.consts, *inputs], self)
        layouts = [layout for layout in self.layout.results(equation, _layouts(inputs)) if layout is not None]
        values = [value.value if isinstance(value, _FromInput) else value for value in inputs]
        for index, value in enumerate(inputs):
            is_bias = name in _JOINING and index not in _JOINING[name] and not isinstance(value, _FromInput)
            if is_bias and not _is_no_bias(equation.invars[index], value):
                values[index] = self._bumped(equation, values[index], layouts[0])
        if name == "clamp":  # as two comparisons, with bounds at every position
            low, middle, high = values
            bounds = [
                self._bumped(equation, bound, layouts[0])
                if not isinstance(given, _FromInput) and not _is_no_bias(variable, given)
                else bound
                for bound, given, variable in (
                    (low, inputs[0], equation.invars[0]),
                    (high, inputs[2], equation.invars[2]),
                )
            ]
            return [_FromInput(jnp.minimum(jnp.maximum(middle, bounds[0]), bounds[1]), layouts[0])]
        return [_FromInput(answer, layout) for answer, layout in zip(compute(equation, values), layouts, strict=True)]

    def _bumped(self, equation: Any, constant: Any, layout: Layout) -> Array:
        """Adds the bump to a constant, at every position of the result that it is joined to."""
        result = equation.outvars[0].aval
        if equation.primitive.name == "concatenate":
            layout = self.layout.new(jnp.shape(constant))
        else:
            constant = jnp.broadcast_to(constant, result.shape)
        constant = constant.astype(result.dtype)
        number = len(self.constants)
        self.constants.append(constant)
        self.layouts.append(self.layout.marked(layout))
        self.paths.append(None)
        return constant if self.bumps is None else constant + self.bumps[number]


def _layouts(values: list[Any]) -> list[Layout | None]:
    return [value.layout if isinstance(value, _FromInput) else None for value in values]


def _product(constant: Array, slope: Array) -> Array:
    """Computes b ⊙ df/db, and 0 where the output does not depend on b, such as the -inf of an attention mask."""
    return at_least_float32(jnp.where(slope == 0, 0, constant) * slope)


def _is_floating(value: Any) -> bool:
    return jnp.issubdtype(jnp.result_type(value), jnp.floating)


def _is_no_bias(variable: Any, value: Any) -> bool:
    """Returns whether a constant is not a floating number, or a literal zero of the program (as in max(x, 0))."""
    if not _is_floating(value):
        return True
    return isinstance(variable, core.Literal) and not jnp.shape(value) and float(value) == 0


def _by_path(rule: _Biases, products: list[Array]) -> tuple[dict[str, Array], dict[str, Layout]]:
    """Names the terms by their module's path, numbered if a module's constants differ in shape; returns their layouts.

    Terms of one shape are added up: a normalization's mean and offset, each times its slope, make the one bias
    (offset - scale · mean / deviation) that the paper counts.
    """
    named: dict[str, Array] = {}
    layouts: dict[str, Layout] = {}
    for path, product, layout in zip(rule.paths, products, rule.layouts, strict=True):
        base, number = path or "output", 0
        name = base
        while name in named and named[name].shape != product.shape:
            number += 1
            name = f"{base}#{number}"
        named[name] = named[name] + product if name in named else product
        layouts.setdefault(name, layout)
    return named, layouts
