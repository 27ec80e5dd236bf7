"""SP-LIME: a few explanations that cover the features a model uses (Ribeiro, Singh & Guestrin 2016, section 4)."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.classes import ONE_CLASS, warn_of_classes
from xaijax._core.compile import compiled
from xaijax._core.numerics import dot, ratio
from xaijax._core.typing import Array, ArrayOrSequence, Float, Int, KeyLike


class Pick(NamedTuple):
    """Picked examples.

    examples: [B] their indices, in the order of picking.
    coverage: [B] the share of all importance that the examples up to each cover.
    importance: [M] of each player, the root of the sum of its absolute coefficients.
    """

    examples: Int[Array, " B"]
    coverage: Float[Array, " B"]
    importance: Float[Array, " M"]


def submodular_pick(
    attribution: Attribution | ArrayOrSequence,
    num_picks: int,
    *,
    key: KeyLike | None = None,
    sample_size: int | None = None,
) -> Pick:
    """Picks examples whose explanations cover the important players with little repetition.

    I_j = sqrt(sum_i |W_ij|)    c(V) = sum_j 1[some i in V has W_ij != 0] I_j

    Examples are picked one by one, each adding most to c, the first of equals. This comes within 1 - 1/e of the best
    choice. Give explanations of few features (`num_features`): every coefficient other than 0 covers its player.

    Why: a global view of a model from local explanations, in as few examples as a reader will look at.

    Args:
      attribution: of N examples, with values [N, M] whose columns are the same players in every example; or such an array.
      num_picks: B, at most N.
      key: a JAX random key, where only some examples are candidates.
      sample_size: the number of candidates, drawn without replacement. Default: all.

    Returns:
      The picked examples, their coverage and the importance of the players. Warns where the examples explain different
      classes, such as the top class of each: the importance is then a sum over all of them.

    Raises:
      TypeError, ValueError: if the values have no columns, or there are fewer examples than picks.
    """
    targets = None
    if isinstance(attribution, Attribution):
        axes, values, targets = attribution.axes, attribution.values, attribution.target
    else:
        values = check.numeric_array("attribution", attribution)
        axes = "N M" if values.ndim == 2 else str(list(values.shape))
    if axes != "N M":
        raise ValueError(
            f"`attribution` must have values with the axes N M, one row for each example, got {axes}: pick for one output "
            "at a time, as in attribution.of_output(0)."
        )
    if len(values) == 0:
        raise ValueError("`attribution` must hold at least one example, got none.")
    check.no_nan("attribution", values)
    num_picks = check.positive_int("num_picks", num_picks)
    if (key is None) != (sample_size is None):
        given = "key" if sample_size is None else "sample_size"
        raise ValueError(f"`key` and `sample_size` must be given both or not at all, got {given} alone.")
    size = len(values) if sample_size is None else check.positive_int("sample_size", sample_size)
    if not num_picks <= size <= len(values):
        raise ValueError(
            f"`num_picks` must be at most the number of candidates, and these at most that of examples, got {num_picks} picks "
            f"of {size} candidates of {len(values)} examples."
        )
    warn_of_classes(targets, None, ONE_CLASS)
    return _pick(values, None if key is None else check.random_key(key), num_picks=num_picks, size=size)


@compiled(static_argnames=("num_picks", "size"), title="lime.submodular_pick")
def _pick(values: Float[Array, "N M"], key: Any, num_picks: int, size: int) -> Pick:
    num_examples = len(values)
    candidate = jnp.ones(num_examples, bool)
    if key is not None:
        chosen = jax.random.choice(key, num_examples, (size,), replace=False)
        candidate = jnp.zeros(num_examples, bool).at[chosen].set(True)
    values = jnp.where(candidate[:, None], jnp.abs(values), 0)
    importance = jnp.sqrt(values.sum(axis=0))

    def step(state: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        covered, free = state
        gains = jnp.where(free, dot((values > 0) & ~covered, importance), -1)
        best = jnp.argmax(gains)
        covered = covered | (values[best] > 0)
        return (covered, free.at[best].set(False)), (best, (covered * importance).sum())

    start = (jnp.zeros(values.shape[1], bool), candidate)
    _, (examples, coverage) = jax.lax.scan(step, start, length=num_picks)
    return Pick(examples, ratio(coverage, importance.sum()), importance)
