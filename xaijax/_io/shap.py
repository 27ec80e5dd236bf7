"""To and from `shap.Explanation`, so that each library's plots draw the other's attributions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from xaijax._core.attribution import Attribution


def to_shap(attribution: Attribution, *, inputs: Any = None, names: Sequence[str] | None = None) -> Any:
    """Makes a `shap.Explanation` of an attribution, for the plots of the package shap, which must be installed.

    Args:
      attribution: values [N, M] or [N, M, K] with a base value; or of one example alone.
      inputs: [N, M] the inputs.
      names: M names of the players.

    Returns:
      The explanation: values, base_values, data and feature_names, with the standard errors as error_std.

    Raises:
      TypeError, ValueError, ImportError: if it is no attribution with a base value, or shap is not installed.
    """
    if not isinstance(attribution, Attribution):
        raise TypeError(f"attribution must be what an explainer returns, but it is {type(attribution).__name__}.")
    if attribution.base_value is None:
        raise ValueError("attribution has no base value to start from, as maps have none: shap cannot draw it.")
    errors = attribution.std_errors
    return _shap().Explanation(
        values=np.asarray(attribution.values, np.float64),
        base_values=np.asarray(attribution.base_value, np.float64),
        data=None if inputs is None else np.asarray(inputs),
        feature_names=None if names is None else list(names),
        error_std=None if errors is None else np.asarray(errors, np.float64),
    )


def from_shap(explanation: Any) -> Attribution:
    """Makes an attribution of a `shap.Explanation`, for the plots of this library.

    Args:
      explanation: of N rows and M features, values [N, M] or [N, M, K]; or of one row, [M].

    Returns:
      The attribution: values; base_value; output, their sum. shap's error_std, which is no standard error, is left out.

    Raises:
      TypeError, ValueError: if it is no explanation, or has no base values that fit.
    """
    if not all(hasattr(explanation, name) for name in ("values", "base_values", "feature_names")):
        raise TypeError(f"explanation must be a shap.Explanation, but it is {type(explanation).__name__}.")
    values = np.asarray(explanation.values, np.float64)
    base = explanation.base_values
    axis = 1 if values.ndim > 1 else 0
    totals = values.sum(axis=axis)
    if base is None:
        raise ValueError("explanation has no base_values, so that the output it explains is not known.")
    base = np.asarray(base, np.float64)
    if base.ndim == totals.ndim + 1 and base.shape[-1] == 1:  # as several of shap's explainers have them
        base = base[..., 0]
    try:
        base = np.broadcast_to(base, totals.shape)
    except ValueError:
        raise ValueError(
            f"explanation must have base_values for its outputs, {list(totals.shape)}, but they are {list(base.shape)}."
        ) from None
    return Attribution(
        values=jnp.asarray(values, jnp.float32),
        output=jnp.asarray(base + totals, jnp.float32),
        base_value=jnp.asarray(base, jnp.float32),
        axes="N M K"[: 2 * values.ndim - 1] if values.ndim > 1 else "M",
        method="shap.Explanation",
        efficient=True,
    )


def _shap() -> Any:
    try:
        import shap  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ImportError("xai.to_shap makes an object of the package shap, which is not installed.") from None
    return shap
