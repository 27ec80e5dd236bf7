"""SP-LIME: a few explanations that together show what a model looks at (Ribeiro, Singh & Guestrin 2016, section 4)."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.compile import compiled
from xaijax._core.typing import Array, Float, Int


class Pick(NamedTuple):
    """examples [B] the picked ones, in order; coverage [B] the share of all importance covered by so many of them;
    importance [M] of each player, the root of the sum of its absolute coefficients."""

    examples: Int[Array, " B"]
    coverage: Float[Array, " B"]
    importance: Float[Array, " M"]


def submodular_pick(
    attribution: Attribution | Any, num_picks: int, *, key: Any = None, sample_size: Any = None
) -> Pick:
    """Picks examples whose explanations cover the important players with little said twice.

    I_j = sqrt(sum_i |W_ij|)    c(V) = sum_j 1[some i in V has W_ij != 0] I_j

    One by one the example that adds most to c is picked, which comes within 1 - 1/e of the best choice; of equals the
    first. Give explanations of few features (`num_features`): a coefficient that is small but not 0 covers its player.

    Why: a global view of a model from local explanations, in as many examples as somebody is willing to look at.

    Args:
      attribution: of N examples, values [N, M] whose columns mean the same for every example; or such an array.
      num_picks: B, at most N.
      key: a JAX random key, where only some examples are to be candidates.
      sample_size: how many; they are drawn without replacement. Default: all.

    Returns:
      The picked examples, their coverage and the importance of the players.

    Raises:
      TypeError, ValueError: if the values have no columns, or there are fewer examples than picks.
    """
    values = attribution.values if isinstance(attribution, Attribution) else attribution
    values = check.numeric_array("attribution", values)
    if values.ndim != 2:
        raise ValueError(
            f"attribution must have values [N, M], one row for each example, but their shape is {list(values.shape)}: "
            "pick for one output at a time."
        )
    num_picks = check.positive_int("num_picks", num_picks)
    if (key is None) != (sample_size is None):
        raise ValueError("key and sample_size go together: the key draws that many candidates.")
    size = len(values) if sample_size is None else check.positive_int("sample_size", sample_size)
    if not num_picks <= size <= len(values):
        raise ValueError(
            f"num_picks must be at most the number of candidates and these at most that of examples, but they are "
            f"{num_picks}, {size} and {len(values)}."
        )
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
        gains = jnp.where(free, ((values > 0) & ~covered) @ importance, -1)
        best = jnp.argmax(gains)
        covered = covered | (values[best] > 0)
        return (covered, free.at[best].set(False)), (best, (covered * importance).sum())

    start = (jnp.zeros(values.shape[1], bool), candidate)
    _, (examples, coverage) = jax.lax.scan(step, start, length=num_picks)
    total = importance.sum()
    return Pick(examples, coverage / jnp.where(total > 0, total, 1), importance)
