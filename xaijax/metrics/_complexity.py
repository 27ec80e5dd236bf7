"""Complexity: how few players carry an explanation. |a| are the sizes of the values, p = |a| / sum |a|.

Gini index = sum over i, j of |p_i - p_j| / (2 n),   entropy = -sum p log p,   effective size = exp(entropy)
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.compile import compiled
from xaijax._core.numerics import at_least_float32
from xaijax._core.typing import Array, Bool, Float
from xaijax.metrics._score import Score


def gini(attribution: Attribution) -> Score:
    """Computes the Gini index of the sizes of the values: 0 if all players share the explanation evenly, near 1 if one has it.

    Players that own no part of the input, such as words that a short text lacks, do not count. The padding of texts whose
    players are single positions counts as players of value 0.

    Args:
      attribution: of one output of each example: values of players, a map, or pixels.

    Returns:
      A `Score`, higher is sparser: from 0 to 1 - 1/n for n players. NaN where all values are 0 or one is NaN.

    Raises:
      TypeError, ValueError: if it is no attribution, or one of all outputs.

    References:
      Chalasani et al. (2020), Concise explanations of neural networks using adversarial training, arXiv:1810.06583,
      section 6. Hurley & Rickard (2009), Comparing measures of sparsity, arXiv:0811.4706.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> alone, even = (xai.Attribution(jnp.array([values]), jnp.ones(1)) for values in ([0.0, 1.0], [-1.0, 1.0]))
    >>> float(xai.metrics.gini(alone).values[0]), float(xai.metrics.gini(even).values[0])
    (0.5, 0.0)
    """
    return _score("Gini index", "higher", attribution)


def entropy(attribution: Attribution) -> Score:
    """Computes the entropy of the shares that the players have in the explanation, in nats.

    Args:
      attribution: as in `gini`.

    Returns:
      A `Score`, lower is simpler: from 0 to log n for n players. NaN where all values are 0 or one is NaN.

    Raises:
      TypeError, ValueError: as `gini`.

    References:
      Bhatt, Weller & Moura (2020), Evaluating and aggregating feature-based model explanations, arXiv:2005.00631,
      section 3.3, "complexity".

    >>> import jax.numpy as jnp, xaijax as xai
    >>> even = xai.Attribution(jnp.array([[1.0, -1.0, 1.0, 1.0]]), jnp.ones(1))
    >>> round(float(xai.metrics.entropy(even).values[0]), 4), round(float(xai.metrics.effective_size(even).values[0]), 4)
    (1.3863, 4.0)
    """
    return _score("entropy", "lower", attribution)


def effective_size(attribution: Attribution) -> Score:
    """Computes how many players the explanation amounts to: as many as would have this entropy if they shared it evenly.

    Args:
      attribution: as in `gini`.

    Returns:
      A `Score`, lower is simpler: from 1 to n for n players. NaN where all values are 0 or one is NaN.

    Raises:
      TypeError, ValueError: as `gini`.

    References:
      Hill (1973), Diversity and evenness: a unifying notation and its consequences, Ecology 54, number of order 1.
    """
    return _score("effective size", "lower", attribution)


def _score(metric: str, better: str, attribution: Attribution) -> Score:
    if not isinstance(attribution, Attribution):
        raise TypeError(f"`attribution` must be the result of an explainer, got {check.shown(attribution)}.")
    if attribution.all_outputs:
        raise ValueError(
            "`attribution` must explain one output of each example, got all outputs: take one by attribution.of_output(k)."
        )
    return Score(_complexity(attribution, metric), metric=metric, better=better, method=attribution.method)


@compiled(static_argnames=("metric",))
def _complexity(attribution: Attribution, metric: str) -> Float[Array, "*N"]:
    function = {"Gini index": _gini, "entropy": _entropy, "effective size": _effective_size}[metric]
    if not attribution.has_examples:
        return function(attribution.values.reshape(-1), _counted(attribution))
    flat = attribution.values.reshape(len(attribution.values), -1)
    return jax.vmap(function)(flat, jax.vmap(_counted)(attribution))


def _counted(attribution: Attribution) -> Bool[Array, " P"]:
    """Returns the players of one example that own some part of the input."""
    size = attribution.values.size
    if attribution.regions is None:
        return jnp.ones(size, bool)
    owners = attribution.regions.reshape(-1)
    return jnp.zeros(size, bool).at[jnp.where(owners < 0, size, owners)].set(True, mode="drop")


def _shares(values: Float[Array, " P"], counted: Bool[Array, " P"]) -> Float[Array, " P"]:
    sizes = jnp.where(counted, jnp.abs(at_least_float32(values)), 0)
    return sizes / sizes.sum()  # 0 / 0 is NaN: such an explanation has no shares


def _gini(values: Float[Array, " P"], counted: Bool[Array, " P"]) -> Float[Array, ""]:
    """By ranks: the k-th smallest of n shares is not smaller than k - 1 others and not larger than n - k."""
    shares = jnp.sort(_shares(values, counted))
    count = counted.sum().astype(shares.dtype)
    ranks = jnp.arange(1, values.size + 1).astype(shares.dtype) - (values.size - count)
    return ((2 * ranks - count - 1) * shares).sum() / count


def _entropy(values: Float[Array, " P"], counted: Bool[Array, " P"]) -> Float[Array, ""]:
    shares = _shares(values, counted)
    zero = shares == 0
    return -jnp.where(zero, 0, shares * jnp.log(jnp.where(zero, 1, shares))).sum()


def _effective_size(values: Float[Array, " P"], counted: Bool[Array, " P"]) -> Float[Array, ""]:
    return jnp.exp(_entropy(values, counted))
