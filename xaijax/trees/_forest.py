"""A forest as a model: codes of the inputs, and the descent from the roots to the leaves."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.custom_derivatives import SymbolicZero

from xaijax._core import calls, check, settings
from xaijax._core.blocks import in_blocks
from xaijax._core.compile import compiled
from xaijax._core.frames import Columns, read_frame, refuse_categories
from xaijax._core.typing import Array, Inputs, Int
from xaijax._model import Model
from xaijax.trees._nodes import MISSING, Nodes

_PATHS_AT_ONCE = 2**22  # rows times trees


class Forest(Model):
    """Trees whose outputs are summed: `forest(x)` maps x[N, D] to outputs [N, K], or [N] where K is 1.

    It is a model that every explainer takes, and `xai.shap.trees` explains it exactly. `xai.trees.read` makes one. Under
    `jax.jit` and `jax.vmap` it is exact for float32 inputs; called with float64 arrays of NumPy it compares in float64, as
    the library does.

    The splits, `nodes`, are static; the outputs of the leaves, `value` [nodes, K], and `bias` [K] are arrays that gradients
    flow to. `columns` has the names and levels of the data frame that the model was fitted to, `output_names` the classes,
    `library` where the forest comes from, and `output` what its outputs are.
    """

    no_layers = "a forest has no layers: explain it by xai.shap.trees, xai.shap.values or xai.lime"

    def __init__(
        self,
        nodes: Nodes,
        value: Any,
        bias: Any,
        *,
        columns: Columns | None = None,
        output_names: Sequence[str] | None = None,
        library: str = "",
        output: str = "raw margin",
    ):
        names = None if output_names is None else tuple(output_names)
        super().__init__((value, bias, _on_device(nodes)), nodes, columns, names, library, output)

    @property
    def nodes(self) -> Nodes:
        """The splits of all trees, on the host."""
        return cast(Nodes, self.static.options[0])

    @property
    def columns(self) -> Columns | None:
        """The names of the features, and the levels of those that are categories of a data frame; None if not known."""
        return cast("Columns | None", self.static.options[1])

    @property
    def feature_names(self) -> tuple[str, ...] | None:
        """[D] the names of the features that the library knows, or None."""
        return None if self.columns is None else self.columns.names

    @property
    def output_names(self) -> tuple[str, ...] | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        """[K] the names of the outputs, such as classes, or None."""
        return cast("tuple[str, ...] | None", self.static.options[2])

    @property
    def library(self) -> str:
        """Where the forest comes from, such as "scikit-learn RandomForestRegressor"."""
        return cast(str, self.static.options[3])

    @property
    def output(self) -> str:
        """What the outputs are, such as "raw margin"."""
        return cast(str, self.static.options[4])

    @property
    def value(self) -> Any:
        """[nodes, K] the outputs of the leaves, with learning rates and averages included; 0 at splits."""
        return self.arrays[0]

    @property
    def bias(self) -> Any:
        """[K] what is added to the sum over the trees."""
        return self.arrays[1]

    @property
    def num_outputs(self) -> int:
        """K."""
        return self.bias.shape[0]

    def codes(self, x: Inputs) -> Int[Array, "N D"] | np.ndarray:
        """Returns the integer codes of inputs: the number of the feature's cuts that are at most x, and -1 where missing.

        Args:
          x: [N, D] inputs, or a data frame with the forest's columns. Arrays with values are compared on the host in
            float64; traced ones on the device, in their own dtype.

        Returns:
          int32 [N, D], of NumPy where x has values. A split goes left where code <= nodes.cut.

        Raises:
          TypeError, ValueError: if x is no table of D columns of numbers.
        """
        rows = self.read(x)
        if isinstance(rows, Tracer):
            with settings.of_package():
                return _codes_on_device(self.nodes, self.content[2], rows)
        return self.nodes.codes(rows)

    def invalid(self, x: Any) -> Any:
        """Returns which rows [N] have no output, as the library refuses their missing values."""
        is_nan = jnp.isnan if isinstance(x, Tracer) else np.isnan
        return is_nan(x).any(axis=1) & (not self.nodes.rule.nan_allowed)

    def _call(self, x: Any) -> Any:
        x = self.read(x)
        with settings.of_package():
            return _evaluate(self, self.codes(x), self.invalid(x))

    def read(self, x: Inputs) -> Any:
        """Returns inputs [N, D] as an array, of NumPy where x has values.

        Args:
          x: [N, D] inputs, or a data frame with the forest's columns, in any order. Columns of categories become the codes
            of the forest's levels, and missing values NaN.

        Returns:
          [N, D] a traced array as it is, or one of NumPy.

        Raises:
          TypeError, ValueError: if x is no table of D columns of numbers.
        """
        x, own = read_frame("x", x, self.columns, "the forest's training rows", missing=True)
        if self.columns is None:
            refuse_categories("x", own, "the forest knows no levels, pass their codes as numbers")
        if not isinstance(x, Tracer):
            x = check.host_array("x", x)
            if x.dtype.kind not in "biuf":
                x = np.asarray(check.numeric_array("x", x))
        if x.ndim != 2 or x.shape[1] != self.nodes.num_features:
            raise ValueError(
                f"`x` must have shape [N, {self.nodes.num_features}], the features of the forest, got {list(x.shape)}."
            )
        check.examples(x)
        return x

    def __reduce__(self) -> Any:
        return _rebuilt, (self.nodes, *map(np.asarray, self.arrays[:2]), *self.static.options[1:])

    def __repr__(self) -> str:
        nodes = self.nodes
        return (
            f"Forest({self.library}: {nodes.num_trees} trees of depth {nodes.depth}, {nodes.num_features} features, "
            f"{self.num_outputs} outputs, {self.output})"
        )


def class_names(classes: Sequence[Any] | None, num_outputs: int) -> list[str] | None:
    """Returns the names of the outputs of a boosted classifier: its classes, or the second of two; None for others."""
    if classes is None:
        return None
    return list(map(str, classes if num_outputs > 1 else classes[1:]))


def _rebuilt(nodes: Nodes, value: Any, bias: Any, columns: Any, outputs: Any, library: str, output: str) -> Forest:
    return Forest(nodes, value, bias, columns=columns, output_names=outputs, library=library, output=output)


@compiled
def _evaluate(forest: Forest, codes: Int[Array, "N D"], invalid: Array) -> Array:
    value, bias, device = forest.content
    nodes = forest.nodes

    def outputs(codes: Any) -> Array:
        leaves = _leaves(nodes, device, codes)
        return jnp.asarray(value)[leaves].sum(axis=1) + jnp.asarray(bias)

    result = in_blocks(outputs, codes, max(1, _PATHS_AT_ONCE // nodes.num_trees))
    result = jnp.where(invalid[:, None], jnp.nan, result)
    return result[:, 0] if forest.num_outputs == 1 else result


def _leaves(nodes: Nodes, device: Any, codes: Int[Array, "N D"]) -> Int[Array, "N T"]:
    """Returns the leaf of each row in each tree."""
    # A missing value has two codes, in two copies of the columns: below all cuts for splits that send it left, and above.
    codes = jnp.concatenate([codes, jnp.where(codes == MISSING, jnp.iinfo(jnp.int32).max, codes)], axis=1)
    child, column, cut = (jnp.asarray(device[name]) for name in ("child", "column", "cut"))

    def descend(_: Any, node: Array) -> Array:
        code = jnp.take_along_axis(codes, column[node], axis=1)
        goes_right = code > cut[node]
        if len(nodes.category_words):
            start = jnp.asarray(device["category_start"])[node]
            word = jnp.asarray(device["category_words"])[start + (code >> 5)]
            in_set = (word >> (code & 31).astype(jnp.uint32)) & 1
            is_missing = (code < 0) | (code == jnp.iinfo(jnp.int32).max)
            goes_right = jnp.where((start >= 0) & ~is_missing, in_set == 0, goes_right)
        return child[node] + goes_right

    roots = jnp.broadcast_to(jnp.arange(nodes.num_trees, dtype=jnp.int32), (codes.shape[0], nodes.num_trees))
    return jax.lax.fori_loop(0, nodes.depth, descend, roots)


def _on_device(nodes: Nodes) -> dict[str, np.ndarray]:
    """Returns the arrays of the descent. A leaf is its own left child, and nothing goes right there."""
    is_leaf = nodes.left < 0
    arrays = {
        "child": np.where(is_leaf, np.arange(len(is_leaf)), nodes.left).astype(np.int32),
        "column": np.where(is_leaf | nodes.missing_left, nodes.feature, nodes.feature + nodes.num_features),
        "cut": np.where(is_leaf, np.iinfo(np.int32).max, nodes.cut).astype(np.int32),
        "cuts": _ordered(_rounded_up(nodes.cuts)),
    }
    arrays["column"] = arrays["column"].astype(np.int32)
    if len(nodes.category_words):
        arrays |= {"category_start": nodes.category_start, "category_words": nodes.category_words}
    return arrays


def _rounded_up(cuts: np.ndarray) -> np.ndarray:
    """Returns the smallest float32 numbers that are at least the cuts: x < cut and x < rounded agree for x in float32."""
    with np.errstate(over="ignore", under="ignore"):
        rounded = cuts.astype(np.float32)
        return np.where(rounded < cuts, np.nextafter(rounded, np.float32(np.inf)), rounded)


def _ordered(x: Any) -> Any:
    """Returns integers in the order of floating numbers. XLA compares floating numbers below 1e-38 as zeros."""
    if isinstance(x, np.ndarray):
        bits = x.view(np.dtype(f"i{x.dtype.itemsize}"))
        return np.where(bits < 0, -(bits & np.iinfo(bits.dtype).max), bits)
    bits = jax.lax.bitcast_convert_type(x, jnp.dtype(f"int{8 * x.dtype.itemsize}"))
    return jnp.where(bits < 0, -(bits & jnp.iinfo(bits.dtype).max), bits)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _codes_on_device(nodes: Nodes, device: Any, x: Array) -> Int[Array, "N D"]:
    rule = nodes.rule
    wide = x.dtype == jnp.float64 and not rule.float32
    x = x if wide else x.astype(jnp.float32)
    cuts = jnp.asarray(_ordered(nodes.cuts) if wide else device["cuts"])
    missing = jnp.isnan(x)
    key = _ordered(x)
    if rule.zero is not None:
        zero = np.asarray(rule.zero, x.dtype)
        key = jnp.where(jnp.abs(key) <= _ordered(zero), 0, key)
    if rule.nan_is_zero:
        as_zero = missing & np.array(rule.nan_is_zero)
        key, missing = jnp.where(as_zero, 0, key), missing & ~as_zero
    if rule.zero_is_missing:
        missing = missing | ((key == 0) & np.array(rule.zero_is_missing))
    if not len(nodes.cuts):
        return jnp.where(missing, MISSING, jnp.zeros(x.shape, jnp.int32))
    first, last = (jnp.broadcast_to(ends, x.shape) for ends in (nodes.cut_starts[:-1], nodes.cut_starts[1:]))

    def halve(_: Any, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bounds
        middle = (low + high) // 2
        above = (low < high) & (cuts[jnp.minimum(middle, len(nodes.cuts) - 1)] <= key)
        return jnp.where(above, middle + 1, low), jnp.where(above, high, middle)

    steps = int(nodes.num_cuts.max()).bit_length()
    low, _ = jax.lax.fori_loop(0, steps, halve, (first, last))
    return jnp.where(missing, MISSING, low - first)


def _refuse_derivative(nodes: Nodes, primals: Any, tangents: Any) -> Any:
    device, x = primals
    if not isinstance(tangents[1], SymbolicZero):
        raise TypeError(
            f"`model` must be differentiable for {calls.explainer_name() or 'derivatives'}, got a forest, which is constant "
            "between its thresholds: use a method that only evaluates the model, such as xai.shap.trees or xai.lime."
        )
    codes = _codes_on_device(nodes, device, x)
    return codes, np.zeros(codes.shape, jax.dtypes.float0)


_codes_on_device.defjvp(_refuse_derivative, symbolic_zeros=True)
