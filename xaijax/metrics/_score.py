"""Score: what a metric says of each example, and the mean over the examples with its confidence interval."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from xaijax._core import check
from xaijax._core.numerics import at_least_float32
from xaijax._core.typing import Array, Float


class Mean(NamedTuple):
    """A mean over examples, with its confidence interval: scalars, NaN where they are unknown."""

    value: Float[Array, ""]
    std_error: Float[Array, ""]
    low: Float[Array, ""]
    high: Float[Array, ""]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Score:
    """The score of the explanation of each example, by one metric; a scalar for a game written by hand.

    values: [N] the scores. NaN where the input, the attribution or the score is undefined.
    std_errors: [N] their standard errors from random draws; None for a metric that draws nothing.
    metric: its name, such as "infidelity".
    better: "higher" or "lower", the scores of better explanations; "" where neither is.
    method: the name of the explainer.
    """

    values: Float[Array, "*N"]
    std_errors: Float[Array, "*N"] | None = None
    metric: str = dataclasses.field(default="", metadata={"static": True}, kw_only=True)
    better: str = dataclasses.field(default="", metadata={"static": True}, kw_only=True)
    method: str = dataclasses.field(default="", metadata={"static": True}, kw_only=True)

    def mean(self, level: float = 0.95) -> Mean:
        """Computes the mean over the examples and its confidence interval.

        Why: a difference between two explainers means little until it exceeds what other examples would have given.

        The standard error of N > 1 examples is their standard deviation over sqrt(N): it describes the population that
        the examples were drawn from, and contains the random draws within each. The interval uses Student's t with
        N - 1 degrees of freedom. For one example it is its own standard error, with normal quantiles.

        Args:
          level: the probability that the interval contains the mean of the population. Default 0.95.

        Returns:
          A `Mean`. NaN if any score is NaN; the interval is NaN for one example without random draws.

        Raises:
          ValueError: if the level is not between 0 and 1.

        >>> import jax.numpy as jnp, xaijax as xai
        >>> mean = xai.metrics.Score(jnp.array([1.0, 2.0, 3.0])).mean()
        >>> [round(float(part), 3) for part in mean]
        [2.0, 0.577, -0.484, 4.484]
        """
        from scipy.special import ndtri, stdtrit  # imported on first use, as SciPy takes longer than this package

        level = check.probability("level", level, usual="0.95")
        values = at_least_float32(jnp.asarray(self.values))  # scores of one's own may be counts, or hits
        if values.size > 1:
            value, count = values.mean(), values.size
            std_error = values.std(ddof=1) / jnp.sqrt(count).astype(values.dtype)
            quantile = stdtrit(count - 1, (1 + level) / 2)
        else:
            value, quantile = values.reshape(()), ndtri((1 + level) / 2)
            std_error = jnp.full((), jnp.nan, value.dtype) if self.std_errors is None else self.std_errors.reshape(())
        half = float(quantile) * std_error
        return Mean(value, std_error, value - half, value + half)
