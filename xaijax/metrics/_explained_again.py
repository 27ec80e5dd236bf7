"""Explainers that a metric calls again: for other inputs, keys, classes or parameters, within one compiled program."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.errors import ConcretizationTypeError, TracerArrayConversionError

from xaijax._core import check, frames, settings
from xaijax._core.attribution import Attribution
from xaijax._core.blocks import each, in_blocks
from xaijax._core.calls import accepted, call_noted, takes
from xaijax._core.compile import is_eager
from xaijax._core.examples import model_rows
from xaijax._core.numerics import at_least_float32
from xaijax._core.target import Target, bind_target
from xaijax._core.typing import Array, Bool, Float
from xaijax._model import Model, as_model

_NEEDS_VALUES = (
    ConcretizationTypeError,
    TracerArrayConversionError,
)  # raised where NumPy asks a traced array for numbers


class Explainer(Model):
    """An explainer as compiled programs see it: a function, which is compared, or a callable PyTree, whose arrays are traced.

    Programs of functions that code makes anew are dropped like those of models, see `_core/compile.py`.
    """

    def takes(self, option: str) -> bool:
        """Returns whether the explainer names an option, which `functools.partial` has not bound."""
        return takes(self.content, option)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Task:
    """What a metric explains again, after its arguments were checked; a PyTree.

    explainer, model: callable PyTrees. x: inputs [N, ...]. target: None for explainers that take none, which explain what
    they like. key: of all randomness. ids: [N], or None. batch_size: model rows in one evaluation, or None.
    """

    explainer: Explainer
    model: Model
    x: Any
    target: Target | None
    key: Any
    ids: Any
    batch_size: int | None = dataclasses.field(metadata={"static": True})

    @property
    def num_examples(self) -> int:
        """N."""
        return check.examples(self.x)

    @property
    def own_ids(self) -> Array:
        """[N] the ids of the examples, their indices by default."""
        return jnp.arange(self.num_examples) if self.ids is None else self.ids

    @property
    def rows(self) -> int:
        """The number of model rows in one evaluation."""
        return model_rows(self.model, self.x, self.batch_size)

    def at_once(self, count: int) -> int:
        """Returns how many explanations of all examples run side by side, out of `count`."""
        return max(1, min(count, self.rows // self.num_examples))

    def outputs(self) -> Any:
        """Returns the model's outputs."""
        return in_blocks(self.model, self.x, self.rows)

    def explain(self, side_by_side: int = 1) -> Attribution:
        """Explains x, with the options that the explainer names.

        side_by_side: as many explanations are computed at the same time, each in blocks of its part of the rows.
        """
        explainer = self.explainer.content
        batch_size = self.batch_size if side_by_side == 1 else max(1, self.rows // side_by_side)
        given = {"key": self.key, "ids": self.own_ids, "batch_size": batch_size}
        if self.target is not None:
            given["target"] = self.target.as_argument()
        with settings.of_user():
            attribution = call_noted("explainer", explainer, self.model, self.x, **accepted(explainer, given))
        _check_attribution(attribution, self.num_examples)
        return attribution

    def resolved(self) -> Task:
        """Returns the task with the top class of each x as the target, so that it stays when anything else changes."""
        if self.target is None or not self.target.is_top:
            return self
        return dataclasses.replace(self, target=self.target.resolve(self.outputs()))

    def nan_where_invalid(self, attribution: Attribution, fields: Any) -> Any:
        """Replaces what belongs to examples whose input, values or output is NaN."""
        parts = (self.x, at_least_float32(attribution.values), at_least_float32(attribution.output))
        return check.nan_where(check.rows_with_nan(parts), fields)


def read_task(
    explainer: Any,
    model: Any,
    x: Any,
    key: Any,
    ids: Any,
    target: Any,
    batch_size: Any,
    *,
    perturbed: bool = False,
) -> Task:
    """Checks the arguments that all metrics share which explain again.

    perturbed: whether noise is added to x, which must then be one array of floating numbers.

    Raises:
      TypeError, ValueError: in a sentence that names the argument.
    """
    if not callable(explainer) or inspect.isclass(explainer):
        raise TypeError(
            f"`explainer` must be a function (model, x, ...), such as xai.gradient.saliency, got {check.shown(explainer)}."
        )
    called = Explainer(explainer)
    x = _read_inputs(x, perturbed)
    num_examples = check.examples(x)
    model, bound = as_model(model), None
    if check.is_concrete(x):
        model.observe(x)
    if called.takes("target"):
        model, bound = bind_target(model, x, target, num_examples, all_allowed=False)
    elif target is not None:
        raise ValueError(
            "`target` must be None for an explainer that has no argument `target`, or has it bound, got "
            f"{check.shown(target)}: let the explainer take it, such as lambda model, x, target: ..."
        )
    key, ids = check.random_key(key), check.example_ids(ids, num_examples)
    return Task(called, model, x, bound, key, ids, check.batch_size(batch_size))


def run(program: Callable[..., Any], task: Task, *arguments: Any, **options: Any) -> Any:
    """Runs a compiled program of a task; or its function without compiling, for explainers that need values.

    Such explainers, of NumPy or torch, are called once for each explanation, with arrays that have values.
    """
    try:
        return program(task, *arguments, on_host=False, **options)
    except _NEEDS_VALUES:
        if not is_eager(task, arguments):
            raise
    with settings.of_package():
        return inspect.unwrap(program)(task, *arguments, on_host=True, **options)


def for_each(function: Callable[[Array], Any], count: int, at_once: int, on_host: bool) -> Any:
    """Returns function(number) for the numbers below `count`, stacked; on the host one call after the other."""
    if not on_host:
        return in_blocks(each(function), jnp.arange(count), at_once)
    answers = [function(jnp.asarray(number)) for number in range(count)]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *answers)


def rows_of(attribution: Attribution) -> Float[Array, "N M"]:
    """Returns the values of each example in a row, in float32 or wider."""
    return _flat(attribution.values)


def laid_out(attribution: Attribution) -> Float[Array, "N M"]:
    """Returns the same where inputs differ: values of regions, which differ with the inputs, are laid out over these."""
    return _flat(attribution.on_input())


def std_errors(samples: Float[Array, "S N"]) -> Float[Array, " N"] | None:
    """Returns the standard errors of the mean over independent samples; None for one sample, which does not tell."""
    count = len(samples)
    if count == 1:
        return None
    return samples.std(axis=0, ddof=1) / jnp.sqrt(count).astype(samples.dtype)


def largest(samples: Float[Array, "S N"], counted: Bool[Array, "S N"]) -> Float[Array, " N"]:
    """Returns the largest of the samples that count, by its index, so that the derivative is that sample's; NaN if none counts."""
    index = jnp.argmax(jnp.where(counted, jax.lax.stop_gradient(samples), -jnp.inf), axis=0)
    taken = jnp.take_along_axis(samples, index[None], axis=0)[0]
    return jnp.where(counted.any(axis=0), taken, jnp.nan)


def _flat(values: Array) -> Array:
    values = at_least_float32(jnp.asarray(values))
    return values.reshape(len(values), -1)


def _read_inputs(x: Any, perturbed: bool) -> Any:
    x, columns = frames.read_frame("x", x)
    if not perturbed:
        frames.refuse_categories("x", columns, "pass their codes in an array")
        is_tree = not isinstance(x, list) and any(hasattr(leaf, "shape") for leaf in jax.tree.leaves(x))
        return jax.tree.map(lambda leaf: check.numeric_array("x", leaf), x) if is_tree else check.numeric_array("x", x)
    frames.refuse_categories("x", columns, "noise is added to numbers")
    x = check.numeric_array("x", x)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(
            f"`x` must be floating numbers, to which the noise is added, got {check.shown(x)}: convert numbers with "
            ".astype(float), and measure a model of ids from its embeddings on."
        )
    if x.ndim < 2 or 0 in x.shape:
        raise ValueError(
            f"`x` must have at least one example and one feature, [N, ...], got shape {list(x.shape)}: pass x[None] for one "
            "example."
        )
    return x


def _check_attribution(attribution: Any, num_examples: int) -> None:
    if not isinstance(attribution, Attribution):
        raise TypeError(f"`explainer` must return an Attribution, got {check.shown(attribution)}.")
    if attribution.all_outputs:
        raise ValueError(
            "`explainer` must explain one output of each example, got all outputs: take one by attribution.of_output(k)."
        )
    shape = jnp.shape(attribution.values)
    if len(shape) < 2 or shape[0] != num_examples:
        raise ValueError(
            f"`explainer` must return values [{num_examples}, ...] for x of {num_examples} examples, got shape {list(shape)}."
        )
