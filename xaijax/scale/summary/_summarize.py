"""The attributions of a data set, summarized batch by batch: nothing is kept but the summary."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import jax.numpy as jnp
import numpy as np

from xaijax._core.attribution import Attribution
from xaijax.scale.summary._attribution_summary import AttributionSummary


def summarize(
    attributions: Iterable[Attribution] | Attribution, *, ids: Any = None, **options: Any
) -> AttributionSummary:
    """Summarizes the attributions of a data set, batch by batch: means, histograms, quantiles and the largest values.

    Why: which features count overall, how much they vary and where, from more explanations than fit memory.

    Args:
      attributions: of batches, such as a generator of them; or one attribution of all.
      ids: for one attribution its ids [N], for batches an iterable of theirs. Default: positions, counted on.
      **options: top, bins, relative_error and sizes of `AttributionSummary.init`.

    Returns:
      The summary.

    Raises:
      TypeError, ValueError: if there are no attributions, they do not fit together, or an option is out of range.

    References:
      Chan, Golub & LeVeque (1979), Updating formulae and a pairwise algorithm for computing sample variances.
      Masson, Rim & Lee (2019), DDSketch: A fast and fully-mergeable quantile sketch with relative-error guarantees,
      arXiv:1908.10693.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> rows = jnp.array([[1.0, -4.0], [3.0, 2.0], [2.0, 0.0]])
    >>> batches = (xai.Attribution(values=rows[i : i + 1], output=rows[i : i + 1].sum(axis=1)) for i in range(3))
    >>> summary = xai.scale.summarize(batches, top=1)
    >>> summary.mean_abs, summary.top_examples()[0]
    (Array([2., 2.], dtype=float32), Array([[1, 0]], dtype=int32))
    """
    if isinstance(attributions, Attribution):
        attributions, ids = [attributions], None if ids is None else [ids]
    given = None if ids is None else iter(ids)
    summary, seen = None, 0
    for attribution in attributions:
        if not isinstance(attribution, Attribution):
            raise TypeError(f"attributions must be what explainers return, but one is {type(attribution).__name__}.")
        if summary is None:
            if jnp.ndim(attribution.values) < 2:
                raise ValueError(
                    f"attributions must have examples, values [N, ...], but have shape {list(jnp.shape(attribution.values))}."
                )
            summary = AttributionSummary.init(jnp.shape(attribution.values)[1:], **options)
        count = jnp.shape(attribution.values)[0]
        if given is None:
            these = np.arange(seen, seen + count, dtype=np.int32)
        else:
            these = next(given, None)
            if these is None:
                raise ValueError("ids must be given for every batch of attributions, but there are fewer.")
        summary = summary.update(attribution, these)
        seen += count
    if summary is None:
        raise ValueError("attributions is empty: there must be at least one.")
    if given is not None and next(given, None) is not None:
        raise ValueError("ids must be given for every batch of attributions, but there are more.")
    return summary
