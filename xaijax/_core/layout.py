"""Layouts: the inputs and the spatial axes that the axes of a value inside a model come from.

They are read from the model's trace without computing anything. A reshape that merges the axes of a feature map into one
axis of tokens shows the grid of these tokens, a convolution shows which axis holds channels, and each value shows the
inputs that it depends on.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from xaijax._core.jaxpr import body_of_derivative, constants_and_carry, evaluate


class Factor(NamedTuple):
    """A part of an axis: `size` entries of an axis that was made as number `origin`."""

    origin: int
    size: int


class Axis(NamedTuple):
    """An axis as the axes that were merged into it, slowest first, and entries before and after them.

    A class token in front of 4 x 4 patches is Axis((Factor(1, 4), Factor(2, 4)), before=1).
    """

    factors: tuple[Factor, ...]
    before: int = 0
    after: int = 0

    @property
    def sides(self) -> tuple[int, ...]:
        """Returns the sides of the grid whose axes were merged into this axis, or () where there is no grid."""
        origins, sides = [], []
        for factor in self.factors:
            if origins and origins[-1] == factor.origin:
                sides[-1] *= factor.size
            else:
                origins.append(factor.origin)
                sides.append(factor.size)
        return tuple(sides) if len(sides) > 1 and len(set(origins)) == len(origins) else ()


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where a value comes from.

    axes: the parts of each axis.
    inputs: the numbers of the input arrays, in the order of their leaves, that the value depends on.
    channel_axes: the axes that convolutions use as channels.
    sources: for each axis, the numbers of the inputs' axes that its parts come from, in ascending order over each input;
      None where the trace does not show them.
    """

    axes: tuple[Axis, ...]
    inputs: frozenset[int] = frozenset()
    channel_axes: tuple[int, ...] = ()
    sources: tuple[tuple[int | None, ...], ...] = ()


def read_layouts(closed: Any, num_inputs: int, sites: Iterable[int]) -> tuple[list[Layout], list[Layout]]:
    """Reads the layouts of values in a trace.

    Args:
      closed: the trace of a model, whose last `num_inputs` arguments are the input arrays.
      num_inputs: the number of input arrays.
      sites: the indices of the values among the operations, in the order of evaluation.

    Returns:
      The layouts of the values, and those of the input arrays.
    """
    rule = LayoutRule(set(sites))
    variables = closed.jaxpr.invars[-num_inputs:]
    inputs = [rule.new(variable.aval.shape, frozenset([number])) for number, variable in enumerate(variables)]
    rule.num_input_origins = rule.num_origins
    count = len(closed.jaxpr.constvars) + len(closed.jaxpr.invars) - num_inputs
    evaluate(closed.jaxpr, [*[None] * count, *inputs], rule)
    return [rule.marked(rule.layouts[site]) for site in sites], [rule.marked(layout) for layout in inputs]


class LayoutRule:
    """A rule for `evaluate` that computes the layouts of an operation's results from those of its operands."""

    def __init__(self, sites: set[int] | None = None):
        self.sites = sites or set()
        self.layouts: dict[int, Layout] = {}
        self.channels: set[int] = set()  # origins of axes that a convolution uses as channels
        self.resized: dict[int, int] = {}  # from the origin of an axis to that of the axis it was resized from
        self.num_origins = self.num_input_origins = 0
        self.num_operations = 0

    def __call__(self, equation: Any, operands: Sequence[Any]) -> list[Layout | None]:
        results = self.results(equation, operands)
        if self.num_operations in self.sites:
            self.layouts[self.num_operations] = results[0] or self.new(equation.outvars[0].aval.shape)
        self.num_operations += 1
        return results

    def results(self, equation: Any, operands: Sequence[Any]) -> list[Layout | None]:
        """Returns the layouts of the results, None for results that depend on no input."""
        layouts = [operand if isinstance(operand, Layout) else None for operand in operands]
        known = [layout for layout in layouts if layout is not None]
        if not known:
            return [None] * len(equation.outvars)
        inputs = frozenset().union(*(layout.inputs for layout in known))
        inner = body_of_derivative(equation)
        if inner is not None:
            body = evaluate(inner.jaxpr, [*[None] * len(inner.consts), *layouts], self.results)
            results = [result.axes if isinstance(result, Layout) else None for result in body]
        else:
            results = _RULES.get(equation.primitive.name, _like_operands)(self, equation, layouts)
        shapes = [variable.aval.shape for variable in equation.outvars]
        return [Layout(axes or self.axes(shape), inputs) for axes, shape in zip(results, shapes, strict=True)]

    def marked(self, layout: Layout) -> Layout:
        """Returns the layout with the axes that hold channels, as far as the trace shows them."""
        axes = tuple(number for number, axis in enumerate(layout.axes) if self.is_channel(axis))
        sources = tuple(tuple(dict.fromkeys(map(self.source, axis.factors))) for axis in layout.axes)
        return dataclasses.replace(layout, channel_axes=axes, sources=sources)

    def source(self, factor: Factor) -> int | None:
        """Returns the origin of the input's axis that a part comes from, or None where the trace does not show it."""
        origin = factor.origin
        while origin in self.resized:
            origin = self.resized[origin]
        return origin if origin <= self.num_input_origins else None

    def is_channel(self, axis: Axis) -> bool:
        return bool(axis.factors) and all(factor.origin in self.channels for factor in axis.factors)

    def new(self, shape: Sequence[Any], inputs: frozenset[int] = frozenset()) -> Layout:
        return Layout(self.axes(shape), inputs)

    def axes(self, shape: Sequence[Any]) -> tuple[Axis, ...]:
        """Returns new axes of a shape."""
        return tuple(self.axis(size) for size in shape)

    def axis(self, size: Any) -> Axis:
        """Returns a new axis; one of length 1 has no position and so no parts."""
        if isinstance(size, int) and size == 1:
            return Axis(())
        self.num_origins += 1
        return Axis((Factor(self.num_origins, size),))

    def resize(self, axis: Axis, size: Any) -> Axis:
        """Returns a new axis that covers the same direction as another one, such as that of a strided convolution."""
        new, origins = self.axis(size), {factor.origin for factor in axis.factors}
        if new.factors and len(origins) == 1:
            self.resized[new.factors[0].origin] = origins.pop()
        return new

    def richest(self, axes: Sequence[Axis]) -> Axis:
        """Returns the axis that says most: a grid before a plain axis, channels before others, the first of equals."""
        return max(axes, key=lambda axis: (len(axis.sides), self.is_channel(axis), len(axis.factors)))


Axes = tuple[Axis, ...] | None  # of a result; None for new ones
Rule = Callable[[LayoutRule, Any, list[Layout | None]], list[Axes]]


def _like_operands(rule: LayoutRule, equation: Any, layouts: list[Layout | None]) -> list[Axes]:
    """Elementwise operations keep the axes of their operands; others keep those axes of the first that keep their length."""
    shapes = [variable.aval.shape for variable in equation.invars]
    arrays = [(layout, shape) for layout, shape in zip(layouts, shapes, strict=True) if layout is not None]

    def of(shape: tuple[Any, ...]) -> Axes:
        if all(other in ((), shape) for other in shapes):
            same = [layout.axes for layout, other in arrays if other == shape]
            return tuple(map(rule.richest, zip(*same, strict=True))) if same else None
        layout, first = arrays[0]
        if len(first) != len(shape):
            return None
        pairs = zip(layout.axes, first, shape, strict=True)
        return tuple(axis if size == other else rule.resize(axis, size) for axis, other, size in pairs)

    return [of(variable.aval.shape) for variable in equation.outvars]


def _new(rule: LayoutRule, equation: Any, layouts: list[Layout | None]) -> list[Axes]:
    """Operations that change the order of entries."""
    return [None] * len(equation.outvars)


def _transpose(rule: LayoutRule, equation: Any, layouts: list[Layout | None]) -> list[Axes]:
    (layout, *_) = layouts
    return [tuple(layout.axes[number] for number in equation.params["permutation"])] if layout else [None]


def _squeeze(rule: LayoutRule, equation: Any, layouts: list[Layout | None]) -> list[Axes]:
    (layout, *_) = layouts
    removed = equation.params.get("dimensions", equation.params.get("axes"))
    return [tuple(axis for number, axis in enumerate(layout.axes) if number not in removed)] if layout else [None]


def _broadcast(rule: LayoutRule, equation: Any, layouts: list[Layout | None]) -> list[Axes]:
    (layout, *_) = layouts
    if layout is None:
        return [None]
    shape, given = equation.outvars[0].aval.shape, equation.invars[0].aval.shape
    axes = list(rule.axes(shape))
    for axis, old, number in zip(layout.axes, given, equation.params["broadcast_dimensions"], strict=True):
        if old == shape[number]:
            axes[number] = axis
    return [tuple(axes)]


def _dot(rule: LayoutRule, equation: Any, layouts: list[Layout | None]) -> list[Axes]:
    """Batch axes, then the free axes of the left and of the right operand."""
    (left_summed, right_summed), (left_batch, right_batch) = equation.params["dimension_numbers"]
    shapes = [variable.aval.shape for variable in equation.invars]
    axes = [layout.axes if layout else rule.axes(shape) for layout, shape in zip(layouts, shapes, strict=True)]
    left, right = axes
    batch = [rule.richest([left[one], right[other]]) for one, other in zip(left_batch, right_batch, strict=True)]
    left_free = [axis for number, axis in enumerate(left) if number not in (*left_summed, *left_batch)]
    right_free = [axis for number, axis in enumerate(right) if number not in (*right_summed, *right_batch)]
    return [(*batch, *left_free, *right_free)]


def _convolution(rule: LayoutRule, equation: Any, layouts: list[Layout | None]) -> list[Axes]:
    (layout, *_) = layouts
    numbers = equation.params["dimension_numbers"]
    shape, given = equation.outvars[0].aval.shape, equation.invars[0].aval.shape
    axes = list(rule.axes(shape))
    rule.channels.update(factor.origin for factor in axes[numbers.out_spec[1]].factors)
    if layout is not None:
        rule.channels.update(factor.origin for factor in layout.axes[numbers.lhs_spec[1]].factors)
        for number, (new, old) in enumerate(zip(numbers.out_spec, numbers.lhs_spec, strict=True)):
            if number > 1:
                same = shape[new] == given[old]
                axes[new] = layout.axes[old] if same else rule.resize(layout.axes[old], shape[new])
            elif number == 0 and shape[new] == given[old]:
                axes[new] = layout.axes[old]
    return [tuple(axes)]


def _concatenate(rule: LayoutRule, equation: Any, layouts: list[Layout | None]) -> list[Axes]:
    """Along the concatenated axis one grid may have other entries, such as a class token, before and after it."""
    dimension, shape = equation.params["dimension"], equation.outvars[0].aval.shape
    lengths = [variable.aval.shape[dimension] for variable in equation.invars]
    known = [layout.axes for layout in layouts if layout is not None]
    axes = list(map(rule.richest, zip(*known, strict=True)))
    grids = [number for number, layout in enumerate(layouts) if layout and layout.axes[dimension].sides]
    if len(grids) == 1:
        (number,) = grids
        grid = axes[dimension]
        before, after = sum(lengths[:number]) + grid.before, grid.after + sum(lengths[number + 1 :])
        axes[dimension] = Axis(grid.factors, before, after)
    elif len(lengths) > 1:
        axes[dimension] = rule.axis(shape[dimension])
    return [tuple(axes)]


def _slice(rule: LayoutRule, equation: Any, layouts: list[Layout | None]) -> list[Axes]:
    (layout, *_), shape = layouts, equation.invars[0].aval.shape
    starts, limits = equation.params["start_indices"], equation.params["limit_indices"]
    strides = equation.params["strides"] or (1,) * len(shape)
    if layout is None:
        return [None]
    ranges = zip(layout.axes, shape, starts, limits, strides, strict=True)
    return [tuple(_part(rule, *arguments) for arguments in ranges)]


def _split(rule: LayoutRule, equation: Any, layouts: list[Layout | None]) -> list[Axes]:
    (layout, *_), axis, start = layouts, equation.params["axis"], 0
    if layout is None:
        return [None] * len(equation.outvars)
    results: list[Axes] = []
    for size in equation.params["sizes"]:
        part = _part(rule, layout.axes[axis], equation.invars[0].aval.shape[axis], start, start + size, 1)
        results.append((*layout.axes[:axis], part, *layout.axes[axis + 1 :]))
        start += size
    return results


def _part(rule: LayoutRule, axis: Axis, length: Any, start: Any, limit: Any, stride: Any) -> Axis:
    """Returns the axis of the entries start..limit: a grid stays one where only entries around it are removed."""
    if start == 0 and limit == length and stride == 1:
        return axis
    around = axis.before or axis.after
    if around and stride == 1 and start <= axis.before and length - limit <= axis.after:
        return Axis(axis.factors, axis.before - start, axis.after - (length - limit))
    return rule.resize(axis, -(-(limit - start) // stride))


def _scan(rule: LayoutRule, equation: Any, layouts: list[Layout | None]) -> list[Axes]:
    """Carried values keep their axes; the values stacked by the loop have new ones."""
    first, count = constants_and_carry(equation.params)
    carried = [layout.axes if layout else None for layout in layouts[first : first + count]]
    return [*carried, *[None] * (len(equation.outvars) - count)]


def _reshape(rule: LayoutRule, equation: Any, layouts: list[Layout | None]) -> list[Axes]:
    """Merges and splits axes: equal axes at both ends are kept, those between are laid out again."""
    (layout, *_) = layouts
    if layout is None or equation.params.get("dimensions") is not None:
        return [None]
    shape = equation.outvars[0].aval.shape
    old = [
        (size, axis) for size, axis in zip(equation.invars[0].aval.shape, layout.axes, strict=True) if not _is_one(size)
    ]
    new = [size for size in shape if not _is_one(size)]
    front, back = [], []
    while old and new and old[0][0] == new[0]:
        front.append(old.pop(0)[1])
        new.pop(0)
    while old and new and old[-1][0] == new[-1]:
        back.insert(0, old.pop()[1])
        new.pop()
    middle = _regrouped([axis for _, axis in old], [size for size, _ in old], new) or [rule.axis(size) for size in new]
    axes = iter([*front, *middle, *back])
    return [tuple(Axis(()) if _is_one(size) else next(axes) for size in shape)]


def _is_one(size: Any) -> bool:
    return isinstance(size, int) and size == 1


def _regrouped(axes: list[Axis], sizes: list[Any], new: list[Any]) -> list[Axis] | None:
    """Returns the factors of `axes` distributed over axes of new sizes, or None where that is not possible."""
    if any(axis.before or axis.after for axis in axes) or not all(isinstance(size, int) for size in (*sizes, *new)):
        return None
    factors = [factor for axis in axes for factor in axis.factors]
    if math.prod(factor.size for factor in factors) != math.prod(new):
        return None
    grouped = []
    for size in new:
        taken: list[Factor] = []
        while size > 1:
            origin, length = factors.pop(0)
            share = math.gcd(size, length)
            if share < min(size, length):
                return None
            taken.append(Factor(origin, share))
            if share < length:
                factors.insert(0, Factor(origin, length // share))
            size //= share
        grouped.append(Axis(tuple(taken)))
    return grouped


_RULES: dict[str, Rule] = {
    "transpose": _transpose,
    "squeeze": _squeeze,
    "broadcast_in_dim": _broadcast,
    "dot_general": _dot,
    "conv_general_dilated": _convolution,
    "depthwise_convolution": _convolution,
    "concatenate": _concatenate,
    "slice": _slice,
    "split": _split,
    "scan": _scan,
    "reshape": _reshape,
    "gather": _new,
    "sort": _new,
    "rev": _new,
    **dict.fromkeys(["reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "reduce_and", "reduce_or"], _squeeze),
    **dict.fromkeys(["argmax", "argmin", "reduce_xor"], _squeeze),
}
