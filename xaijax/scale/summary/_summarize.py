"""Summarizes the attributions of a data set batch by batch, and keeps only the summary."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.typing import ArrayOrSequence, Ids
from xaijax.scale.summary._attribution_summary import AttributionSummary


def summarize(
    attributions: Iterable[Attribution] | Attribution,
    *,
    ids: Ids | Iterable[Ids] = None,
    top: int = 10,
    bins: ArrayOrSequence | None = None,
    relative_error: float = 0.01,
    sizes: tuple[float, float] = (1e-8, 1e8),
) -> AttributionSummary:
    """Summarizes the attributions of a data set, batch by batch: means, histograms, quantiles and the largest values.

    Why: which features matter overall, how much they vary and where, from more explanations than fit memory.

    Args:
      attributions: of batches, such as a generator of them; or one attribution of all examples.
      ids: for one attribution its ids [N], for batches an iterable of theirs. Default: counted from 0.
      top: the number of examples with the largest values that are kept for each player. Default 10.
      bins: [E] increasing limits for histograms, the same for all players. Default: the limits of the quantiles' buckets.
      relative_error: of quantiles. Default 1 %.
      sizes: the sizes |value| that quantiles resolve: those below count as 0, those above as infinite. Default 1e-8 to 1e8.

    Returns:
      The summary. Warns where the examples explain different classes, such as the top class of each: means and quantiles
      then mix values that cannot be compared.

    Raises:
      TypeError, ValueError: if there are no examples, they do not fit together, or an option is out of range.

    References:
      Chan, Golub & LeVeque (1979), Updating formulae and a pairwise algorithm for computing sample variances.
      Masson, Rim & Lee (2019), DDSketch: A fast and fully-mergeable quantile sketch with relative-error guarantees,
      arXiv:1908.10693.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> rows = jnp.array([[1.0, -4.0], [3.0, 2.0], [2.0, 0.0]])
    >>> weights = jnp.array([1.0, 2.0])
    >>> batches = (xai.shap.linear(lambda x: x @ weights, rows[i : i + 1], jnp.zeros((1, 2))) for i in range(3))
    >>> summary = xai.scale.summarize(batches, top=1)
    >>> summary.mean_abs, summary.top_examples()[0]
    (Array([2., 4.], dtype=float32), Array([[1, 0]], dtype=int32))
    """
    ids_of_batches: Any = ids
    if isinstance(attributions, Attribution):
        attributions, ids_of_batches = [attributions], None if ids is None else [ids]
    for name, batches in (("attributions", attributions), ("ids", ids_of_batches)):
        if not isinstance(batches, Iterable) and not (name == "ids" and ids is None):
            raise TypeError(f"`{name}` must be one for each batch, got {check.shown(batches)}.")
    remaining_ids = None if ids_of_batches is None else iter(ids_of_batches)
    summary, num_seen = None, 0
    for attribution in attributions:
        if not isinstance(attribution, Attribution):
            raise TypeError(f"`attributions` must be the results of explainers, got {check.shown(attribution)}.")
        shape = jnp.shape(attribution.values)
        if len(shape) < 2:
            raise ValueError(f"`attributions` must have examples, values [N, ...], got the shape {list(shape)}.")
        if summary is None:
            summary = AttributionSummary.init(shape[1:], top=top, bins=bins, relative_error=relative_error, sizes=sizes)
        if remaining_ids is None:
            batch_ids = np.arange(num_seen, num_seen + shape[0], dtype=np.int32)
        else:
            batch_ids = next(remaining_ids, None)
            if batch_ids is None:
                raise ValueError("`ids` must be given for every batch of attributions, got fewer.")
        summary = summary.update(attribution, batch_ids)
        num_seen += shape[0]
    if summary is None or num_seen == 0:
        raise ValueError("`attributions` must hold at least one example, got none.")
    if remaining_ids is not None and next(remaining_ids, None) is not None:
        raise ValueError("`ids` must be given for every batch of attributions, got more.")
    summary.warn_of_classes()
    return summary
