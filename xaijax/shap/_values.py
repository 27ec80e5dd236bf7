"""The front of the Shapley estimators: it chooses one."""

from __future__ import annotations

from typing import Any

from xaijax._attribution import Attribution
from xaijax._game import game
from xaijax._target import TargetLike
from xaijax.mask import Masker
from xaijax.shap._exact import exact
from xaijax.shap._permutation import permutation

_EXACT_PLAYERS = 10  # 1,024 coalitions: what 57 permutations of ten players cost, without their sampling error


def values(
    model: Any,
    x: Any,
    masker: Masker,
    *,
    key: Any,
    target: TargetLike = None,
    num_permutations: int = 16,
    ids: Any = None,
    batch_size: int | None = None,
) -> Attribution:
    """Shapley values of a model's output (SHAP): exact for up to ten players, sampled by permutations beyond.

    Why: the one attribution that is fair to features that act together, and that sums to the output minus the base
    value. `attribution.method` says which estimator was chosen.

    Args:
      model: any model: `xai.linen(...)`, an NNX module, a function.
      x: [N, ...] inputs.
      masker: who the players are and what stands in for absent ones, such as `xai.mask.background(rows)`.
      key: a JAX random key; not used where the values are exact.
      target: an int, ints [N], a callable from outputs to one number for each row, "all", or None for the top class.
      num_permutations: P, for more than ten players; see `xai.shap.permutation`.
      ids: [N] integers that name the examples for their randomness. Default: their positions.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      values [N, M] (all outputs: [N, M, K]), base_value, output, and std_errors where they are sampled.

    References:
      Shapley (1953); Štrumbelj & Kononenko (2014); Lundberg & Lee (2017), A unified approach to interpreting model
      predictions, arXiv:1705.07874.

    >>> import jax, jax.numpy as jnp, xaijax as xai
    >>> model = lambda x: x[:, 0] * x[:, 1]
    >>> masker = xai.mask.baseline(jnp.zeros(2))
    >>> xai.shap.values(model, jnp.array([[2.0, 3.0]]), masker, key=jax.random.key(0)).values
    Array([[3., 3.]], dtype=float32)
    """
    games = game(model, x, masker, target=target)
    if games.num_players <= _EXACT_PLAYERS:
        return exact(games, batch_size=batch_size)
    return permutation(games, num_permutations=num_permutations, key=key, ids=ids, batch_size=batch_size)
