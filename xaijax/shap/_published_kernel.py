"""KernelSHAP as published (Lundberg & Lee 2017): coalitions one by one, with replacement, sizes by the Shapley kernel."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_solve

from xaijax._core import random
from xaijax._core.attribution import Attribution
from xaijax._core.compile import compiled
from xaijax._core.game import Game, Value
from xaijax._core.numerics import ranks
from xaijax._core.typing import Array, Bool, Key
from xaijax.shap._paired import efficient

_HIGHEST = jax.lax.Precision.HIGHEST


@compiled(static_argnames=("num_evaluations", "batch_size"), title="shap.kernel")
def published(game: Game, key: Key[Array, ""], ids: Any, num_evaluations: int, batch_size: int | None) -> Attribution:
    """Least squares of v(z) - v(nobody) on z, all samples alike, with the sum of the coefficients given."""
    num_players, count = game.num_players, num_evaluations - 2
    sizes = np.arange(1, num_players)
    chances = 1 / (sizes * (num_players - sizes))
    ends = jnp.asarray(np.cumsum(chances / chances.sum())[:-1], jnp.float32)

    def shapley(v: Value, key: Key[Array, ""], active: Bool[Array, " M"]) -> dict[str, Array]:
        size_key, order_key = jax.random.split(key)
        drawn = 1 + jnp.sum(random.uniform(size_key, (count, 1)) > ends, axis=1)
        coalitions = ranks(random.uniform(order_key, (count, num_players))) < drawn[:, None]
        limits = jnp.stack([jnp.zeros(num_players, bool), jnp.ones(num_players, bool)])
        worth = v(jnp.concatenate([limits, coalitions]))
        shape = worth.shape[1:]
        empty, full, *_ = worth = worth.reshape(len(worth), -1)
        total = full - empty
        there = coalitions.astype(worth.dtype)
        centered = there - there.mean(axis=1, keepdims=True)  # without the direction in which the sum is given
        goal = worth[2:] - empty - drawn[:, None] * total / num_players
        gram = jnp.matmul(centered.T, centered, precision=_HIGHEST)
        size = jnp.trace(gram) / num_players
        gram = gram + size * (1 / num_players + 1e-6 * jnp.eye(num_players, dtype=gram.dtype))
        root = (jnp.linalg.cholesky(gram), True)
        values = cho_solve(root, jnp.matmul(centered.T, goal, precision=_HIGHEST))
        # [M, S], through the small inverse: a solve for all samples at once waits for the processor's other threads.
        pulls = jnp.matmul(cho_solve(root, jnp.eye(num_players, dtype=gram.dtype)), centered.T, precision=_HIGHEST)
        residuals = goal - jnp.matmul(centered, values, precision=_HIGHEST)
        spared = jnp.maximum(1 - (centered * pulls.T).sum(axis=1), 1e-3)[:, None]
        variances = jnp.matmul(pulls**2, (residuals / spared) ** 2, precision=_HIGHEST)
        errors = jnp.sqrt(jnp.where(variances == 0, 1, variances)) * (variances != 0)
        errors = errors if count > num_players else jnp.full_like(errors, jnp.inf)
        return {
            "values": efficient(values + total / num_players, total, active).reshape(-1, *shape),
            "std_errors": jnp.where(active[:, None], errors, 0).reshape(-1, *shape),
            "base_value": empty.reshape(shape),
            "output": full.reshape(shape),
            "num_evaluations": jnp.asarray(num_evaluations, jnp.int32),
        }

    return game.attribute(
        Attribution,
        shapley,
        key=key,
        ids=ids,
        coalitions_at_once=num_evaluations,
        batch_size=batch_size,
        method="SHAP",
        estimator="kernel regression, as published",
        efficient=True,
    )
