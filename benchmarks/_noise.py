"""Whether two samples of times differ by more than their repeats do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

FEWEST = 3  # repeats: with fewer nothing is known of their spread
# Of a normal law: what the quartiles are apart in standard deviations, and the standard error of a median in those of a mean.
_QUARTILES, _MEDIAN = 1.349, 1.2533


class Change(NamedTuple):
    """ratio: of the medians, b / a; low, high: its interval, nan where there are too few repeats to know."""

    ratio: float
    low: float
    high: float


def change(a: Sequence[float], b: Sequence[float], *, doubt: float, paired: bool = False) -> Change:
    """The ratio of two medians with an interval that misses the truth with the chance `doubt`, for steady noise.

    The logarithms' standard errors come from their quartiles, which a straggler among the repeats does not move, and the
    interval from Student's law with half the usual degrees of freedom, since quartiles of few repeats are uncertain. Of
    equal samples of 5 to 15 normal numbers so judged, up to 1.4 times as many as `doubt` says are called different at a
    doubt of 5 %, and up to twice as many at 0.1 %.

    paired: a's and b's numbers belong together one by one, as errors with the same seeds do: the noise is that of the
    ratios.
    """
    first, second = (np.log(np.asarray(one, np.float64)) for one in (a, b))
    if paired:
        ratios = second - first
        middle, error, freedom = float(np.median(ratios)), _error(ratios), (len(ratios) - 1) / 2
        few = len(ratios) < FEWEST
    else:
        middle = float(np.median(second) - np.median(first))
        error = math.hypot(_error(first), _error(second))
        freedom = (len(first) + len(second) - 2) / 2
        few = min(len(first), len(second)) < FEWEST
    if few:
        return Change(math.exp(middle), math.nan, math.nan)
    width = float(stats.t.ppf(1 - doubt / 2, freedom)) * error
    return Change(math.exp(middle), math.exp(middle - width), math.exp(middle + width))


def _error(logarithms: np.ndarray) -> float:
    """The standard error of the median."""
    low, high = np.quantile(logarithms, [0.25, 0.75])
    return float(_MEDIAN * (high - low) / _QUARTILES / math.sqrt(len(logarithms)))
