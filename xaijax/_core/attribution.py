"""What every explainer returns: attributions whose fields know their axes."""

# ruff: noqa: RUF009  (_array and _static return what dataclasses.field returns)

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.axes import EXAMPLES, OUTPUTS, PLAYERS, REGIONS, default_axes
from xaijax._core.classes import ONE_CLASS, warn_of_classes
from xaijax._core.names import Names, as_names, differ_between_examples, is_list, read_names, read_output_names
from xaijax._core.rows import check_rows, taken
from xaijax._core.typing import Array, Bool, Float, Int

Choice = tuple[str, str]  # an estimator, and the reason why it was chosen


def _array(axes: str, *, optional: bool = False) -> Any:
    """Declares an array field. N: examples, P: the player axes, R: the axes of the input, K: outputs."""
    metadata = {"axes": tuple(axes.split())}
    return dataclasses.field(default=None, metadata=metadata, kw_only=True) if optional else _required(metadata)


def _required(metadata: dict[str, Any]) -> Any:
    return dataclasses.field(metadata=metadata, kw_only=True)


def _static(default: Any = dataclasses.MISSING) -> Any:
    metadata = {"static": True}
    if default is dataclasses.MISSING:
        return _required(metadata)
    return dataclasses.field(default=default, metadata=metadata, kw_only=True)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, repr=False)
class Attribution:
    """An explanation: how much each player, or each position of a map, contributes to the explained output.

    Shapes: N examples, P the player axes (M for players, h w for a map, H W C for pixels), K outputs. N is missing for
    one example alone, K where one output of each example is explained. `axes` says which are there.

    values: [N, P, K] the contributions.
    output: [N, K] the model's output, which is explained.
    base_value: [N, K] what the values start from, such as the mean output over the background; None for maps.
    std_errors: [N, P, K] the standard error of each value; 0 where a value is exact, None where it is unknown.
    target: [N] the explained class; None for a score, for all outputs and for games written by hand.
    regions: [N, R] the player that each position of the input belongs to; None where the players are the features.
    num_evaluations: [N] the number of coalitions or samples evaluated for each example, the empty and the grand
      coalition included; None for methods that evaluate none.
    converged: [N] whether the precision that `until` asks for was reached; None without `until`.
    inputs: [N, P] the explained feature values, where each player is one feature; None elsewhere.
    choice: [N] the index into `choices` of the estimator that computed each example.
    axes: the axes of `values`, such as "N M", "N M K", "N h w", or "M" for one game. Default, for attributions made by
      hand, by the ranks of the arrays alone: an output [N] means N, [N, K] means N and K; the other axes of `values` are
      those of players ("M"), a map ("h w") or pixels ("H W C").
    method: a short name: "SHAP", "LIME", "Grad-CAM".
    efficient: whether the values sum to output - base_value.
    names: the names of the M players, or one tuple of names for each example; None where they have none.
    output_names: the names of the model's outputs; None where they have none.
    choices: pairs (estimator, reason), the same for every budget, so that budgets never change the tree structure.
    rules: for methods that evaluate a model by rules, triples (operation, rule, number of such operations), where rule is ""
      for operations without one; of the operations that depend on the input.
    context: where the players are the spans of one text in their order, and the outputs the tokens of a response to it: the
      texts before and after the spans; None elsewhere.

    An attribution is a PyTree: it passes through `jit`, `vmap` and `device_get`; `xai.save` and `xai.load` keep it.
    `attribution[rows]` selects examples, and `attribution[3]` is one example alone, without N.
    """

    values: Float[Array, "..."] = dataclasses.field(metadata={"axes": (EXAMPLES, PLAYERS, OUTPUTS)})
    output: Float[Array, "..."] = dataclasses.field(metadata={"axes": (EXAMPLES, OUTPUTS)})
    base_value: Float[Array, "..."] | None = dataclasses.field(default=None, metadata={"axes": (EXAMPLES, OUTPUTS)})
    std_errors: Float[Array, "..."] | None = dataclasses.field(
        default=None, metadata={"axes": (EXAMPLES, PLAYERS, OUTPUTS)}
    )
    target: Int[Array, "..."] | None = _array("N", optional=True)
    regions: Int[Array, "..."] | None = _array("N R", optional=True)
    num_evaluations: Int[Array, "..."] | None = _array("N", optional=True)
    converged: Bool[Array, "..."] | None = _array("N", optional=True)
    inputs: Array | None = _array("N P", optional=True)
    choice: Int[Array, "..."] | None = _array("N", optional=True)
    axes: str = _static("")
    method: str = _static("")
    efficient: bool = _static(False)
    names: Names | None = _static(None)
    output_names: tuple[str, ...] | None = _static(None)
    choices: tuple[Choice, ...] = _static(())
    rules: tuple[tuple[str, str, int], ...] = _static(())
    context: tuple[str, str] | None = _static(None)

    notebook_picture: ClassVar[Callable[[Attribution], str] | None] = None  # set by the package, which knows the plots

    def __post_init__(self) -> None:
        if isinstance(self.axes, str) and self.axes == "":
            ranks = (_rank("values", self.values), _rank("output", self.output))
            object.__setattr__(self, "axes", default_axes(*ranks))
        if not isinstance(self.axes, str) or len(set(self.axes.split())) != len(self.axes.split()):
            raise TypeError(
                f'`axes` must name the axes of `values`, such as "N M" or "N h w", got {check.shown(self.axes)}.'
            )
        for name in ("names", "output_names", "choices", "rules", "context"):
            if isinstance(value := getattr(self, name), list | np.ndarray) and is_list(value):
                object.__setattr__(self, name, as_names(value))

    # The axes

    @property
    def has_examples(self) -> bool:
        """Whether there is an axis N, and not one example alone."""
        return EXAMPLES in self.axes.split()

    @property
    def all_outputs(self) -> bool:
        """Whether there is an axis K: all outputs are explained, not one of each example."""
        return OUTPUTS in self.axes.split()

    @property
    def player_axes(self) -> tuple[str, ...]:
        """The axes of the players: ("M",), or ("h", "w") for a map."""
        return tuple(name for name in self.axes.split() if name not in (EXAMPLES, OUTPUTS))

    @property
    def of_players(self) -> bool:
        """Whether the values belong to M players, rather than to the positions of a map or an input."""
        return self.player_axes == ("M",)

    @property
    def of_spans(self) -> bool:
        """Whether the players are the spans of one text, with a context, rather than any players."""
        return self.of_players and self.context is not None

    @property
    def num_examples(self) -> int | None:
        """N, or None for one example alone: a game written by hand, or `attribution[3]`."""
        return self._size(EXAMPLES) if self.has_examples else None

    @property
    def num_players(self) -> int:
        """M, or the number of positions of a map."""
        return int(np.prod([self._size(name) for name in self.player_axes], dtype=int))

    @property
    def num_outputs(self) -> int | None:
        """K, or None where one output of each example is explained."""
        return self._size(OUTPUTS) if self.all_outputs else None

    def _size(self, axis: str) -> int:
        names, shape = self.axes.split(), jnp.shape(self.values)
        if len(shape) != len(names):
            advice = (
                "it was stacked by vmap or scan: take one with jax.tree.map(lambda leaf: leaf[i], attribution)"
                if len(shape) > len(names)
                else "select examples with attribution[i] and outputs with attribution.of_output(k)"
            )
            raise TypeError(
                f"attribution must have values with the axes [{', '.join(names)}], got shape {list(shape)}: {advice}."
            )
        return shape[names.index(axis)]

    def axes_of(self, field: str) -> tuple[str, ...]:
        """Returns the names of a field's axes, such as ("N", "M"); R stands for all axes of the input."""
        check.one_of("field", field, self.array_fields())
        (declared,) = (each.metadata["axes"] for each in dataclasses.fields(self) if each.name == field)
        present = {EXAMPLES: (EXAMPLES,) * self.has_examples, OUTPUTS: (OUTPUTS,) * self.all_outputs}
        present |= {PLAYERS: self.player_axes, REGIONS: (REGIONS,)}
        return tuple(name for axis in declared for name in present[axis])

    @classmethod
    def array_fields(cls) -> list[str]:
        """Returns the names of the fields that hold arrays."""
        return [field.name for field in dataclasses.fields(cls) if not field.metadata.get("static")]

    def _map_fields(self, axis: str, function: Callable[[Array], Any], **static: Any) -> Self:
        """Applies a function to the fields that have an axis."""
        changed = {
            name: function(getattr(self, name))
            for name in self.array_fields()
            if getattr(self, name) is not None and axis in self.axes_of(name)
        }
        return dataclasses.replace(self, **changed, **static)

    # Parts of it

    def __len__(self) -> int:
        count = self.num_examples
        if count is None:
            raise TypeError("attribution is of one example alone and has no length.")
        return count

    def __iter__(self) -> Iterator[Self]:
        return (self[number] for number in range(len(self)))

    def __getitem__(self, rows: Any) -> Self:
        count = self.num_examples
        if count is None:
            raise TypeError("attribution is of one example alone: it has no other examples to select.")
        if not isinstance(rows, slice):
            rows = check_rows(rows, count)
        names: Any = self.names
        if differ_between_examples(names):
            if not isinstance(rows, slice) and not check.is_concrete(rows):
                raise TypeError("attribution has names for each example: `rows` must be known, got a traced array.")
            numbers = np.arange(count)[rows]
            names = names[numbers] if np.ndim(numbers) == 0 else tuple(names[number] for number in numbers)
        alone = not isinstance(rows, slice) and np.ndim(rows) == 0
        axes = " ".join(self.axes.split()[1:]) if alone else self.axes
        return self._map_fields(EXAMPLES, lambda leaf: taken(leaf, rows), axes=axes, names=names)

    def of_output(self, output: int | str) -> Self:
        """Returns the attribution of one output, by its index or its name, where all outputs are explained.

        Raises:
          TypeError, IndexError, ValueError: if one output is explained already, or there is no such output.
        """
        count = self.num_outputs
        if count is None:
            raise TypeError("attribution explains one output of each example already; explain target='all' to choose.")
        number = self._output_number(output, count)
        target = jnp.full(np.shape(self.output)[:-1], number, jnp.int32)
        axes = " ".join(name for name in self.axes.split() if name != OUTPUTS)
        return self._map_fields(OUTPUTS, lambda leaf: leaf[..., number], target=target, axes=axes)

    def _output_number(self, output: Any, count: int) -> int:
        if isinstance(output, str):
            if self.output_names is None:
                raise TypeError(
                    f"`output` must be an index, as the attribution has no output names, got {check.shown(output)}."
                )
            return self.output_names.index(check.one_of("output", output, self.output_names))
        if isinstance(output, bool) or not isinstance(output, int | np.integer):
            raise TypeError(f"`output` must be the index or the name of an output, got {check.shown(output)}.")
        if not -count <= output < count:
            raise IndexError(
                f"`output` must be from {-count} to {count - 1}, as there are {count} outputs, got {output}."
            )
        return int(output) % count

    def on_input(self) -> Array:
        """Returns the values laid out over the input, [N, ...]: each position gets the value of its player."""
        if self.regions is None:
            return self.values
        lay_out = jax.vmap(_take_players) if self.has_examples else _take_players
        return lay_out(self.values, self.regions)

    def mean_abs(self) -> Array:
        """Returns the mean of |value| over the examples: [M], or [M, K].

        Warns where the examples explain different classes, such as the top class of each.
        """
        if not self.has_examples:
            raise TypeError("attribution is of one example alone: there are no examples to average over.")
        if not self.all_outputs:
            warn_of_classes(self.target, self.output_names, ONE_CLASS)
        return jnp.abs(self.values).mean(axis=0)

    @property
    def completeness_gap(self) -> Array | None:
        """[N, K] the sum of the values minus (output - base_value); None without a base value."""
        if self.base_value is None:
            return None
        names = self.axes.split()
        total = self.values.sum(axis=tuple(names.index(name) for name in self.player_axes))
        return total - (self.output - self.base_value)

    @property
    def rule_share(self) -> float | None:
        """The share of the operations that had a rule; None for methods without rules."""
        total = sum(count for _, _, count in self.rules)
        return sum(count for _, rule, count in self.rules if rule) / total if total else None

    @property
    def without_rule(self) -> tuple[str, ...]:
        """The operations that had no rule and kept their own derivative, with their module paths."""
        return tuple(operation for operation, rule, _ in self.rules if not rule)

    # What describes it

    @property
    def estimator(self) -> str:
        """The estimator that computed the values; all of them where the examples differ, or it is not known yet."""
        return " or ".join(dict.fromkeys(estimator for estimator, _ in self._chosen() if estimator))

    @property
    def reason(self) -> str:
        """Why this estimator was chosen; "" where it was called by name."""
        return " or ".join(dict.fromkeys(reason for _, reason in self._chosen() if reason))

    def _chosen(self) -> list[Choice]:
        if self.choice is None or not check.is_concrete(self.choice) or len(self.choices) < 2:
            return list(self.choices)
        numbers = np.unique(np.asarray(self.choice))
        return [self.choices[number] for number in numbers if 0 <= number < len(self.choices)]

    def player_names(self, example: int | None = None) -> list[str]:
        """Returns a name for each player: its own, or "player 0", "player 1", ...

        Args:
          example: which example's names, where these differ.
        """
        if example is not None:
            count = self.num_examples or 1
            example = check.positive_int("example", example, least=-count, most=count - 1)
        if self.names is None:
            return [f"player {number}" for number in range(self.num_players)]
        if not differ_between_examples(self.names):
            return list(self.names)  # pyright: ignore[reportReturnType]
        if example is None:
            raise ValueError("attribution has names for each example: `example` must say whose, got None.")
        return list(self.names[example])

    def with_names(
        self,
        names: Sequence[str] | Sequence[Sequence[str]] | None = None,
        *,
        output_names: Sequence[str] | None = None,
        inputs: Any = None,
    ) -> Self:
        """Returns the same attribution with names of players and outputs, and with the explained feature values.

        Args:
          names: M names of the players, or N sequences of them. Default: as they are.
          output_names: K names of the model's outputs. Default: as they are.
          inputs: [N, P] the explained feature values. Default: as they are.

        Raises:
          TypeError, ValueError: if the numbers of names or the shape of the inputs do not fit the values.
        """
        changed: dict[str, Any] = {}
        if names is not None:
            changed["names"] = read_names(names, self.num_players, self.num_examples)
        if output_names is not None:
            changed["output_names"] = read_output_names(output_names, self.num_outputs)
        if inputs is not None:
            shape = tuple(self._size(axis) for axis in self.axes_of("inputs"))
            read = inputs if isinstance(inputs, jax.Array) else check.host_array("inputs", inputs)
            if np.shape(read) != shape:
                raise ValueError(f"`inputs` must have shape {list(shape)}, got {list(np.shape(read))}.")
            changed["inputs"] = read
        return dataclasses.replace(self, **changed)

    def without_inputs(self) -> Self:
        """Returns the same attribution without the explained feature values."""
        return dataclasses.replace(self, inputs=None)

    def __repr__(self) -> str:
        title = f"{type(self).__name__} by {self.method or 'no method'}"
        if self.estimator:
            title += f" ({self.estimator})"
        given = {field: getattr(self, field) for field in self.array_fields() if getattr(self, field) is not None}
        if self.reason:
            title += f"\n  {'reason':<19} {self.reason}"
        return "\n".join([title, *(f"  {field:<19} {_described(value)}" for field, value in given.items())])

    def _repr_html_(self) -> str | None:
        picture = type(self).notebook_picture
        return None if picture is None else picture(self)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, repr=False)
class Surrogate(Attribution):
    """An explanation by a linear surrogate fitted around the input (LIME); `values` are its coefficients.

    intercept: [N, K] the surrogate at the origin of the interpretable representation.
    prediction: [N, K] the surrogate at the input, to compare with `output`.
    r_squared: [N, K] the weighted R² of the surrogate in its neighborhood: its local fidelity, 1 at best.
    held_out_r_squared: [N, K] the same, with each sample predicted by a fit of the others.
    effective_samples: [N] the number of equally weighted samples that would carry as much information.
    stability: [N, K] the probability that another draw ranks the same players highest; NaN where there are too few
      samples to estimate it.
    slopes: [N, P, K] the coefficients for one unit of each feature, for tables of numbers; None elsewhere.
    unseen: [N, P] whether a feature's bin, category or constant value occurs in no training row, for tables; None elsewhere.
    """

    intercept: Float[Array, "..."] = _array("N K")
    prediction: Float[Array, "..."] = _array("N K")
    r_squared: Float[Array, "..."] = _array("N K")
    held_out_r_squared: Float[Array, "..."] | None = _array("N K", optional=True)
    effective_samples: Float[Array, "..."] | None = _array("N", optional=True)
    stability: Float[Array, "..."] | None = _array("N K", optional=True)
    slopes: Float[Array, "..."] | None = _array("N P K", optional=True)
    unseen: Bool[Array, "..."] | None = _array("N P", optional=True)


_OF_VALUES_ALONE = ("SII", "BII")  # indices whose pairs are not part of the sum


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, repr=False)
class Interactions(Attribution):
    """An explanation by players and their interactions; `values` are the index's values of single players.

    pairs: [N, M, M, K] the interaction of each pair, symmetric, 0 on the diagonal.
    pair_errors: [N, M, M, K] their standard errors; None where they are exact.
    triples: [N, M, M, M, K] the interaction of each three players, symmetric, 0 where players repeat; None below order 3.
    index: the interaction index.
    """

    pairs: Float[Array, "..."] = _array("N P P K")
    pair_errors: Float[Array, "..."] | None = _array("N P P K", optional=True)
    triples: Float[Array, "..."] | None = _array("N P P P K", optional=True)
    index: str = _static("")

    @property
    def completeness_gap(self) -> Array | None:
        """[N, K] the sum of the values minus (output - base_value), with each pair and triple once where these share the sum."""
        gap = super().completeness_gap
        if gap is None or self.index in _OF_VALUES_ALONE:
            return gap
        for name, times in (("pairs", 2), ("triples", 6)):
            if (part := getattr(self, name)) is not None:
                axes = [axis for axis, letter in enumerate(self.axes_of(name)) if letter in self.player_axes]
                gap += part.sum(axis=tuple(axes)) / times
        return gap


def _rank(name: str, value: Any) -> int:
    try:
        return np.ndim(value)
    except ValueError as error:
        raise TypeError(f"`{name}` must be an array, got {check.shown(value)}.") from error


def _take_players(values: Array, regions: Array) -> Array:
    """Returns the value of the player at each position, and 0 where none is, at -1."""
    belongs = (regions >= 0).reshape(regions.shape + (1,) * (values.ndim - 1))
    return jnp.where(belongs, values[regions], 0)


def _described(value: Any) -> str:
    """Returns the shape, and the range of the values where they are known."""
    if not hasattr(value, "dtype") or not hasattr(value, "shape"):
        return repr(value)
    shape = f"{np.dtype(value.dtype).name}[{', '.join(map(str, value.shape))}]"
    if isinstance(value, jax.ShapeDtypeStruct) or not check.is_concrete(value) or value.size == 0:
        return shape
    known = np.asarray(value)
    if known.dtype == object or not (known.dtype == bool or np.issubdtype(known.dtype, np.number)):
        return shape
    if known.size == 1:
        return f"{shape} {known.reshape(-1)[0]:.6g}" if known.dtype != bool else f"{shape} {known.reshape(-1)[0]}"
    if known.dtype == bool:
        return f"{shape} {int(known.sum())} of {known.size}"
    missing = int(np.isnan(known).sum()) if np.issubdtype(known.dtype, np.floating) else 0
    if missing == known.size:
        return f"{shape} all NaN"
    low, high = (np.nanmin(known), np.nanmax(known)) if missing else (known.min(), known.max())
    extent = f"all {low:.4g}" if low == high else f"from {low:.4g} to {high:.4g}"
    return f"{shape} {extent}" + (f", {missing} NaN" if missing else "")
