"""Converts to and from `shap.Explanation`, so that each library's plots draw the other's attributions."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.typing import Inputs


def to_shap(
    attribution: Attribution,
    *,
    inputs: Inputs | None = None,
    names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
) -> Any:
    """Makes a `shap.Explanation` of an attribution, for the plots of the package shap, which must be installed.

    Args:
      attribution: values [N, M] or [N, M, K] with a base value; or of one example alone.
      inputs: [N, M] the explained feature values. Default: the attribution's own.
      names: M names of the players. Default: the attribution's own.
      output_names: K names of the outputs. Default: the attribution's own.

    Returns:
      The explanation: values, base_values, data, feature_names and output_names, with the standard errors as error_std.

    Raises:
      TypeError, ValueError: if it is no attribution with a base value, or names or inputs do not fit it.
      ImportError: if shap is not installed.
    """
    if not isinstance(attribution, Attribution):
        raise TypeError(f"`attribution` must be the result of an explainer, got {check.shown(attribution)}.")
    if attribution.base_value is None:
        raise ValueError("`attribution` must have a base value, which shap's plots start from, got one without.")
    attribution = attribution.with_names(names, output_names=output_names, inputs=inputs)
    names = attribution.names  # pyright: ignore[reportAssignmentType]
    if names and not isinstance(names[0], str):
        raise ValueError(
            "`attribution` must have the same names for all examples, got names for each: select one by [i]."
        )
    errors, data = attribution.std_errors, attribution.inputs
    return _shap().Explanation(
        values=np.asarray(attribution.values, np.float64),
        base_values=np.asarray(attribution.base_value, np.float64),
        data=None if data is None else np.asarray(data),
        feature_names=None if names is None else list(names),
        output_names=list(attribution.output_names or ()) or None if attribution.all_outputs else None,
        error_std=None if errors is None else np.asarray(errors, np.float64),
    )


def from_shap(explanation: Any) -> Attribution:
    """Makes an attribution of a `shap.Explanation`, for the plots of this library.

    Args:
      explanation: of N rows and M features, values [N, M] or [N, M, K]; or of one row, [M].

    Returns:
      The attribution: values; base_value; output, which is their sum; the names of features and outputs, and the feature
      values, if they are given as numbers. shap's error_std is left out, as it is not a standard error.

    Raises:
      TypeError, ValueError: if it is no explanation, or has no base values that fit.
    """
    if not all(hasattr(explanation, name) for name in ("values", "base_values", "feature_names")):
        raise TypeError(f"`explanation` must be a shap.Explanation, got {check.shown(explanation)}.")
    values = _numbers("values", explanation.values)
    if not 1 <= values.ndim <= 3:
        raise ValueError(
            f"`explanation` must have values [M], [N, M] or [N, M, K], got the shape {list(values.shape)}."
        )
    if explanation.base_values is None:
        raise ValueError(
            "`explanation` must have base_values, without which the explained output is unknown, got None."
        )
    base = _numbers("base_values", explanation.base_values)
    totals = values.sum(axis=1 if values.ndim > 1 else 0)
    if base.ndim == totals.ndim + 1 and base.shape[-1] == 1:  # as several of shap's explainers have them
        base = base[..., 0]
    try:
        base = np.broadcast_to(base, totals.shape)
    except ValueError:
        raise ValueError(
            f"`explanation` must have base_values of the shape of its outputs, {list(totals.shape)}, got {list(base.shape)}."
        ) from None
    attribution = Attribution(
        values=jnp.asarray(values, jnp.float32),
        output=jnp.asarray(base + totals, jnp.float32),
        base_value=jnp.asarray(base, jnp.float32),
        axes={1: "M", 2: "N M", 3: "N M K"}[values.ndim],
        method="shap.Explanation",
        efficient=True,
    )
    return _with_names(attribution, explanation)


def _with_names(attribution: Attribution, explanation: Any) -> Attribution:
    """The attribution with those names and feature values of the explanation that fit it."""
    names, outputs = explanation.feature_names, getattr(explanation, "output_names", None)
    if names is not None and np.shape(names) == (attribution.num_players,):
        attribution = attribution.with_names([str(name) for name in names])
    if outputs is not None and np.shape(outputs) == (attribution.num_outputs,):
        attribution = attribution.with_names(output_names=[str(name) for name in outputs])
    try:
        data = np.asarray(getattr(explanation, "data", None), np.float32)
        return dataclasses.replace(attribution.with_names(inputs=data), inputs=jnp.asarray(data))
    except (TypeError, ValueError):  # there are none, or they are words
        return attribution


def _numbers(name: str, value: Any) -> np.ndarray:
    try:
        return np.asarray(value, np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"`explanation` must have {name} that are numbers, got {check.shown(value)}.") from None


def _shap() -> Any:
    try:
        import shap  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ImportError("xai.to_shap needs the package shap, which is not installed: pip install shap.") from None
    return shap
