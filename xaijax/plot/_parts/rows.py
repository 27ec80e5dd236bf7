"""One output of one example, or of all, as numbers: what plots read from an attribution's schema."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from xaijax._core import check
from xaijax._core.attribution import Attribution, Surrogate
from xaijax._core.classes import name_of_output, warn_of_classes
from xaijax._core.rounding import rounding_error, without_rounding_error
from xaijax._core.words import num_present, shortened
from xaijax.plot._parts.inputs import Column, columns_of, plain_array
from xaijax.plot._parts.players import inputs_of_example, labels_of, player_names

UNUSED: Any = object()  # instead of names or inputs that a plot does not draw


class Row(NamedTuple):
    """The values of one example for one output.

    values, std_errors: [M], the errors 0 where values are exact; both exactly 0 where they are rounding error.
    base_value: None where the method has none.
    output: the output that is explained.
    names: the M names; None where they are not known.
    labels: the M names as short labels.
    inputs: the M inputs; None where they are not known.
    of: the name of the output; "" where it is not known.
    rounding: the size up to which sums of values are rounding error.
    """

    values: np.ndarray
    std_errors: np.ndarray
    base_value: float | None
    output: float
    names: list[str] | None
    labels: list[str]
    inputs: list[Any] | None
    of: str
    rounding: float

    def span(self, least: float, most: float) -> float:
        """Returns the length of an axis of values, 0 where its ends differ by rounding error alone."""
        return most - least if most - least > self.rounding else 0.0


class Rows(NamedTuple):
    """The values of many examples for one output.

    values, std_errors: [N, M], the errors 0 where values are exact; both exactly 0 where they are rounding error.
    base_value, output: [N]; base_value None where the method has none.
    names, labels, of: as in `Row`.
    columns: the inputs of each player; None where they are not known.
    drawn: the indices of the rows to draw.
    numbers: [N] the rows' indices in the attribution.
    note: states that the rows to draw explain different classes; "" where they explain one.
    """

    values: np.ndarray
    std_errors: np.ndarray
    base_value: np.ndarray | None
    output: np.ndarray
    names: list[str] | None
    labels: list[str]
    of: str
    columns: list[Column] | None
    drawn: np.ndarray
    numbers: np.ndarray
    note: str


def row_of(
    attribution: Attribution,
    example: int,
    *,
    names: Any = None,
    inputs: Any = None,
    output: int | str | None = None,
    output_names: Sequence[str] | None = None,
) -> Row:
    """Reads one example, or a single game, for one output; names and inputs default to the attribution's own."""
    check_attribution(attribution)
    count = attribution.num_examples
    example = check_example(example, 1 if count is None else count)
    names, inputs = _own(attribution, names, inputs)
    single = attribution if count is None else attribution[example]
    single, of = one_output(single, output, output_names)
    rounding, single = float(rounding_error(single)), without_rounding_error(single)
    values = np.asarray(single.values)
    names = player_names(names, len(values), example=example, num_examples=count)
    inputs = inputs_of_example(inputs, example, len(values), count)
    base = None if single.base_value is None else float(np.asarray(single.base_value))
    present = slice(len(values) if names is None else num_present(names, values))
    names, inputs = (None if part is None else part[present] for part in (names, inputs))
    return Row(
        values[present], _errors(single, values)[present], base, float(np.asarray(single.output)), names,
        labels_of(names, len(values[present])), inputs, of, rounding,
    )  # fmt: skip


def rows_of(
    attribution: Attribution,
    *,
    names: Any = None,
    inputs: Any = None,
    rows: Any = None,
    output: int | str | None = None,
    output_names: Sequence[str] | None = None,
    noted: bool = True,
) -> Rows:
    """Reads all examples, or a single game, for one output; names and inputs default to the attribution's own.

    Where the rows explain different classes, `output` chooses the rows of one class; without it a warning says so, unless
    the plot itself tells the classes apart (`noted` False).
    """
    check_attribution(attribution)
    alone = attribution.num_examples is None
    names, inputs = _own(attribution, names, inputs)
    of_class = np.ones(attribution.num_examples or 1, bool)
    targets = None if attribution.all_outputs else targets_of(attribution)
    if output is not None and targets is not None:
        output_names, output = (
            _read_output_names(attribution, output_names),
            _target_index(attribution, output, output_names),
        )
        of_class = targets == output
        of = "" if output_names is None else shortened(str(output_names[output]))
        single = attribution
    else:
        single, of = one_output(attribution, output, output_names)
    single = without_rounding_error(single)
    values, outputs = np.asarray(single.values), np.asarray(single.output, np.float64)
    errors, base = (
        _errors(single, values),
        None if single.base_value is None else np.asarray(single.base_value, np.float64),
    )
    if alone:
        values, errors, outputs, base = values[None], errors[None], outputs[None], None if base is None else base[None]
    base = None if base is None else np.broadcast_to(base, outputs.shape)
    numbers = np.flatnonzero(of_class)
    given = chosen_rows(rows, len(values))
    drawn = np.searchsorted(numbers, given[of_class[given]])
    if not len(drawn):
        raise ValueError(f"`rows` must hold at least one row that explains output {output!r}, got none.")
    names = player_names(names, values.shape[1], num_examples=attribution.num_examples)
    columns = None
    if inputs is not None:
        columns = [Column(column.numbers[of_class], column.words) for column in columns_of(inputs, values.shape)]
    note = ""
    if targets is not None and noted:
        note = note_of_classes(targets[of_class][drawn], _read_output_names(attribution, output_names))
    return Rows(
        values[of_class], errors[of_class], None if base is None else base[of_class], outputs[of_class], names,
        labels_of(names, values.shape[1]), of, columns, drawn, numbers, note,
    )  # fmt: skip


def _own(attribution: Attribution, names: Any, inputs: Any) -> tuple[Any, Any]:
    """Returns names and inputs: the attribution's own where they are None, and None where a plot does not use them."""
    names = attribution.names if names is None else names
    inputs = attribution.inputs if inputs is None else inputs
    return None if names is UNUSED else names, None if inputs is UNUSED else inputs


def one_output(
    attribution: Attribution, output: int | str | None, output_names: Sequence[str] | None
) -> tuple[Attribution, str]:
    """Returns the attribution of one output, values [N, M] or [M], and the name of the output, "" where unknown."""
    if not attribution.of_players:
        raise ValueError(
            f"`attribution` must have one value for each player, axes 'N M', got axes {attribution.axes!r}: draw maps with "
            "xai.plot.image."
        )
    names = _read_output_names(attribution, output_names)
    if not attribution.all_outputs:
        return attribution, _name_of_target(attribution, output, names)
    count = attribution.num_outputs or 0
    if output is None and count > 1:
        raise ValueError(
            f"`output` must be given, since the attribution explains {count} outputs of each example and this plot shows "
            f"one: pass a number from 0 to {count - 1} or an output's name."
        )
    index = output_index(0 if output is None else output, names, count)
    of = f"output {index}" if names is None else shortened(str(names[index]))
    return attribution.of_output(index), of if count > 1 or names is not None else ""


def targets_of(attribution: Attribution) -> np.ndarray | None:
    """Returns the class that each row explains, [N] or [1]; None for scores and games."""
    return None if attribution.target is None else np.atleast_1d(np.asarray(attribution.target))


def note_of_classes(targets: np.ndarray, output_names: Sequence[str] | None) -> str:
    """Returns the note of a plot whose rows explain different classes, and warns of it; "" for one class."""
    fix = (
        "pass output= for the rows of one class, or draw a panel for each class with "
        "xai.plot.cohorts(xai.plot.beeswarm, attribution)"
    )
    listed = warn_of_classes(targets, output_names, fix)
    return f"rows explain different classes: {listed}" if listed else ""


def _name_of_target(attribution: Attribution, output: Any, output_names: Sequence[str] | None) -> str:
    """Returns the name of the class that all rows explain, "" where they differ or it has no name."""
    targets = targets_of(attribution)
    classes = [] if targets is None else np.unique(targets).tolist()
    if output is not None:
        if not classes:
            raise ValueError(
                f"`output` must be left out, since the attribution explains one score of each example, got {check.shown(output)}."
            )
        _target_index(attribution, output, output_names)
    return name_of_output(classes[0], output_names) if output_names is not None and len(classes) == 1 else ""


def _target_index(attribution: Attribution, output: Any, output_names: Sequence[str] | None) -> int:
    """Returns the class that `output` means, where some row explains it."""
    targets, names = targets_of(attribution), _read_output_names(attribution, output_names)
    assert targets is not None
    index = output_index(output, names, max(len(names or ()), int(targets.max()) + 1))
    if index not in targets:
        raise ValueError(
            f"`output` must be a class that the attribution explains, {np.unique(targets)[:5].tolist()}, got {check.shown(output)}: "
            "explain all outputs with target='all'."
        )
    return index


def _read_output_names(attribution: Attribution, output_names: Sequence[str] | None) -> Sequence[str] | None:
    if output_names is None:
        return attribution.output_names
    return check.texts("output_names", output_names)


def output_index(output: int | str, output_names: Sequence[str] | None, count: int) -> int:
    """Returns the index of an output given by index or name."""
    if output_names is not None and len(output_names) != count:
        raise ValueError(f"`output_names` must be {count}, one for each output, got {len(output_names)}.")
    if isinstance(output, str):
        if output_names is None:
            raise ValueError(
                f"`output` must be a number where no output names are known, got {check.shown(output)}: pass output_names."
            )
        return list(output_names).index(check.one_of("output", output, output_names))
    index = check.positive_int("output", output, least=0)
    if index >= count:
        raise ValueError(f"`output` must be between 0 and {count - 1}, got {index}.")
    return index


def unit_of(attribution: Attribution) -> str:
    """Returns what one value means, for the axis of values."""
    if isinstance(attribution, Surrogate):
        if attribution.slopes is not None:
            return "coefficient: change of the output per standard deviation"
        if attribution.inputs is not None:
            return "coefficient: change of the output per standard deviation, or if the condition holds"
        return "coefficient: change of the output if the player is present"
    if attribution.efficient:
        return "value: the player's share of output − base value"
    return "value: the player's effect on the output"


def check_attribution(attribution: object, name: str = "attribution") -> None:
    if not isinstance(attribution, Attribution):
        raise TypeError(f"`{name}` must be the result of an explainer, got {check.shown(attribution)}.")
    if not check.is_concrete(attribution):
        raise TypeError("`attribution` must have known values, got traced arrays: draw it outside of jax.jit.")
    if not np.isfinite(np.asarray(attribution.values)).all():
        raise ValueError("`attribution` must have finite values, got NaN or infinity: look at its inputs.")


def check_example(example: int, num_examples: int, name: str = "example") -> int:
    """Returns the index of an example; negative ones count from the last."""
    index = check.positive_int(name, example, least=-num_examples)
    if index >= num_examples:
        raise ValueError(f"`{name}` must be between {-num_examples} and {num_examples - 1}, got {index}.")
    return index % num_examples


def check_examples(examples: Any, num_examples: int) -> list[int]:
    """Returns the indices of several examples, at least one; None for all."""
    if examples is None:
        return list(range(num_examples))
    if not check.is_list(examples):
        raise TypeError(f"`examples` must be a sequence of indices of examples, got {check.shown(examples)}.")
    indices = [check_example(example, num_examples, "examples") for example in examples]
    if not indices:
        raise ValueError("`examples` must hold at least one example, got none.")
    return indices


def chosen_rows(rows: Any, num_examples: int, name: str = "rows") -> np.ndarray:
    """Returns the indices of the rows to draw, given as indices or as booleans [N]; None for all."""
    if rows is None:
        return np.arange(num_examples)
    given = plain_array(name, rows)
    if given.dtype == bool and given.shape == (num_examples,):
        given = np.flatnonzero(given)
    if given.ndim != 1 or not len(given) or not np.issubdtype(given.dtype, np.integer):
        raise ValueError(
            f"`{name}` must be indices of rows or {num_examples} booleans, and choose at least one, got "
            f"{given.dtype}{list(given.shape)}."
        )
    if given.min() < -num_examples or given.max() >= num_examples:
        raise ValueError(
            f"`{name}` must be between {-num_examples} and {num_examples - 1}, got {given.min()} to {given.max()}."
        )
    return given % num_examples


def _errors(attribution: Attribution, values: np.ndarray) -> np.ndarray:
    """Returns the standard errors, 0 where they are not known."""
    if attribution.std_errors is None:
        return np.zeros_like(values)
    errors = np.asarray(attribution.std_errors, np.float64)
    return np.where(np.isfinite(errors), errors, 0)


def check_leads_to_output(attribution: Attribution) -> None:
    """Refuses values that do not lead from the base value to the output."""
    check_attribution(attribution)
    if attribution.base_value is None or not attribution.efficient:
        name = attribution.method or "this attribution"
        raise ValueError(
            f"`attribution` must have values that sum to output − base value, got {name}, whose values do not: draw them "
            "with xai.plot.bars or xai.plot.heatmap."
        )
