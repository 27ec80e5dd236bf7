"""Scores of the explanations of each example, by several explainers and several metrics: what a comparison is made from."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.calls import accepted, call_noted, free_parameters, is_required, noted, takes
from xaijax._core.compile import many_explainers
from xaijax._core.masker import Masker
from xaijax._core.model_game import game
from xaijax._core.numerics import at_least_float32
from xaijax._core.typing import Array, Float
from xaijax._model import as_model
from xaijax.metrics._agreement import agreements
from xaijax.metrics._score import Score

GIVEN = ("game", "attribution", "maps", "model", "x", "explainer", "masks", "key", "ids", "target", "batch_size")
_EXPLANATION = ("values", "output", "base_value", "target", "regions")  # fields that say what is explained
_OF_METRICS = 2**31  # folded into the key: no usual id is as large

Explainers = Mapping[str, Callable[..., Attribution]]
Metrics = Mapping[str, Callable[..., Any]]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ExampleScores:
    """The scores of each example, for E explainers and T metrics.

    scores: [N, E, T] NaN where a score is undefined.
    std_errors: [N, E, T] from the random draws of the example; NaN for metrics that draw nothing.
    output: [N] the output that the first explainer explained.
    agreement: [N, A, P] A measures of agreement between each of P pairs of explainers; None for one explainer.
    explainers, metrics: their names.
    better: "higher", "lower" or "" of each metric.
    """

    scores: Float[Array, "N E T"]
    std_errors: Float[Array, "N E T"]
    output: Float[Array, " N"]
    agreement: Float[Array, "N A P"] | None = None
    explainers: tuple[str, ...] = dataclasses.field(default=(), metadata={"static": True}, kw_only=True)
    metrics: tuple[str, ...] = dataclasses.field(default=(), metadata={"static": True}, kw_only=True)
    better: tuple[str, ...] = dataclasses.field(default=(), metadata={"static": True}, kw_only=True)


def score_examples(
    model: Any,
    x: Any,
    *,
    explainers: Explainers,
    metrics: Metrics,
    key: Array,
    ids: Any = None,
    masker: Any = None,
    masks: Any = None,
    target: Any = None,
    batch_size: int | None = None,
    top: int | None = None,
) -> ExampleScores:
    """Explains the examples by every explainer once, and scores each explanation by every metric.

    Explainers get the key itself; metrics get another one, the same for all, so that no metric evaluates the samples that
    an explainer was fitted to, and all explainers are scored on the same random draws.
    """
    model, num_examples = as_model(model), check.examples(x)
    given = {"key": key, "ids": ids, "target": target, "batch_size": batch_size}
    attributions = {
        name: _explained(name, explainer, model, x, given, num_examples) for name, explainer in explainers.items()
    }
    _check_targets(attributions)
    known = given | {"model": model, "x": x, "masks": masks, "key": jax.random.fold_in(key, _OF_METRICS)}
    if any("game" in free_parameters(metric) for metric in metrics.values()) and masker is not None:
        known["game"] = game(model, x, masker, target=target)
    scores = {
        (name, metric): _scored(
            name, metric, function, known | _of_explainer(explainers[name], attribution), num_examples
        )
        for name, attribution in attributions.items()
        for metric, function in metrics.items()
    }
    shape = (num_examples, len(explainers), len(metrics))
    together = tuple(attributions.values())
    return ExampleScores(
        jnp.stack([score.values for score in scores.values()], axis=1).reshape(shape),
        jnp.stack([_errors(score) for score in scores.values()], axis=1).reshape(shape),
        together[0].output,
        agreements(together, top=top) if len(together) > 1 else None,
        explainers=tuple(explainers),
        metrics=tuple(metrics),
        better=tuple(_better(metric, [scores[name, metric] for name in explainers]) for metric in metrics),
    )


def read_functions(role: str, functions: Any) -> dict[str, Callable[..., Any]]:
    """Reads functions by name: a dictionary, or a sequence of functions that have names."""
    if check.is_list(functions) and all(map(callable, functions)):
        named = [(_name_of(function), function) for function in functions]
        if any(not name or name == "<lambda>" for name, _ in named):
            raise TypeError(f"`{role}` must have names, got a list with functions without one: pass a dictionary.")
        if len({name for name, _ in named}) < len(named):
            raise ValueError(
                f"`{role}` must have different names, got {[name for name, _ in named]}: pass a dictionary."
            )
        functions = dict(named)
    if not isinstance(functions, Mapping) or not functions or not all(isinstance(name, str) for name in functions):
        raise TypeError(
            f"`{role}` must be a dictionary of at least one function by name, or a list of functions, got {check.shown(functions)}."
        )
    for name, function in functions.items():
        if not callable(function):
            raise TypeError(f"`{role}[{name!r}]` must be a function, got {check.shown(function)}.")
    return dict(functions)


def read_options(
    metrics: Metrics, key: Any, masker: Any, has_masks: bool, top: Any, level: Any
) -> tuple[Array, Masker | None, int | None, float]:
    """Checks the options of a comparison, and that all arguments that the metrics need are known."""
    if masker is not None and not isinstance(masker, Masker):
        raise TypeError(
            f"`masker` must come from xai.mask, such as xai.mask.background(rows), got {check.shown(masker)}."
        )
    _check_metrics(metrics, {"game": ("masker", masker is not None), "masks": ("masks", has_masks)})
    top = None if top is None else check.positive_int("top", top)
    return check.random_key(key), masker, top, check.probability("level", level, usual="0.95")


def _check_metrics(metrics: Metrics, sources: Mapping[str, tuple[str, bool]]) -> None:
    for name, metric in metrics.items():
        for argument, parameter in free_parameters(metric).items():
            required = is_required(parameter)
            if required and argument not in GIVEN:
                raise TypeError(
                    f"`metrics[{name!r}]` must take arguments among {', '.join(GIVEN)}, got {argument!r}, which has no "
                    "default: bind it with functools.partial."
                )
            source, is_given = sources.get(argument, ("", True))
            if required and not is_given:
                raise ValueError(
                    f"`{source}` must be given for the metric {name!r}, which takes `{argument}`, got None."
                )


def _name_of(function: Any) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    return getattr(function, "__name__", "")


def _explained(name: str, explainer: Any, model: Any, x: Any, given: dict[str, Any], num_examples: int) -> Attribution:
    with many_explainers(), noted(f"The explainer {name!r} raised this error."):
        answer = call_noted("explainers", explainer, model, x, **accepted(explainer, given))
    if not isinstance(answer, Attribution):
        raise TypeError(f"`explainers[{name!r}]` must return an Attribution, got {check.shown(answer)}.")
    if answer.num_examples != num_examples or answer.all_outputs:
        raise ValueError(
            f"`explainers[{name!r}]` must explain one output of each of the {num_examples} examples, got values with the "
            f"axes {answer.axes!r} and shape {list(jnp.shape(answer.values))}."
        )
    return answer


def _check_targets(attributions: Mapping[str, Attribution]) -> None:
    targets = {name: each.target for name, each in attributions.items() if each.target is not None}
    if not check.is_concrete(targets):
        return
    (first, own), *others = [(name, np.asarray(target)) for name, target in targets.items()] or [("", np.zeros(0))]
    for name, other in others:
        if (own != other).any():
            row = int(np.flatnonzero(own != other)[0])
            raise ValueError(
                f"`explainers` must explain the same outputs, got class {own[row]} by {first!r} and class {other[row]} by "
                f"{name!r} for example {row}: pass `target`, and explainers that take an argument target."
            )


def _of_explainer(explainer: Any, attribution: Attribution) -> dict[str, Any]:
    bare = _bare(attribution)
    return {"attribution": bare, "maps": bare, "explainer": explainer}


def _bare(attribution: Attribution) -> Attribution:
    """Returns the explanation without what its estimator reports, so that a metric is compiled once for all explainers."""
    kept = {name: getattr(attribution, name) for name in _EXPLANATION}
    return Attribution(**kept, axes=attribution.axes, efficient=attribution.efficient, names=attribution.names)


def _scored(explainer: str, metric: str, function: Any, known: Mapping[str, Any], num_examples: int) -> Score:
    named = free_parameters(function)
    given = {name: known.get(name) for name in GIVEN if name in named}
    if "explainer" in named and not takes(known["explainer"], "target"):
        given |= {"target": None} if "target" in named else {}  # it would have nowhere to go
    given = accepted(function, given)
    with many_explainers(), noted(f"The metric {metric!r} raised this error for the explainer {explainer!r}."):
        answer = call_noted("metrics", function, **given)
    score = answer if isinstance(answer, Score) else Score(check.numeric_array(f"metrics[{metric!r}]", answer))
    if jnp.shape(score.values) != (num_examples,):
        raise ValueError(
            f"`metrics[{metric!r}]` must return a Score, or numbers, of each of the {num_examples} examples, got shape "
            f"{list(jnp.shape(score.values))}."
        )
    return dataclasses.replace(score, values=at_least_float32(jnp.asarray(score.values)))


def _errors(score: Score) -> Array:
    return jnp.full_like(score.values, jnp.nan) if score.std_errors is None else score.std_errors


def _better(metric: str, scores: Sequence[Score]) -> str:
    better = {score.better for score in scores}
    if len(better) > 1 or not better <= {"higher", "lower", ""}:
        raise ValueError(
            f"`metrics[{metric!r}]` must return scores of which the higher are better, or the lower, or neither (an empty "
            f"text), got {sorted(better)}."
        )
    return better.pop()
