"""Neighborhoods of coalitions: which players are absent together."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln

from xaijax._core import random
from xaijax._core.numerics import ranks
from xaijax._core.typing import Array, Bool, Float, Int, Key
from xaijax.lime._kernel import DISTANCES, kernel, log_kernel
from xaijax.lime._neighborhood import Blocks, Samples, blocks, independent, samples

SAMPLINGS = ["weighted", "coins", "sizes"]
_PAIRS = list(range(2, 65, 2))


def layout(sampling: str, drawn: int) -> Blocks:
    """How the coalitions are drawn together."""
    return blocks(drawn, _PAIRS) if sampling == "weighted" else independent(drawn)


def draw(
    sampling: str, key: Key[Array, ""], active: Bool[Array, " M"], distance: str, width: float | Array, together: Blocks
) -> Samples:
    """One round of coalitions as points z - 1: 0 for players present, -1 for absent ones; the input's row comes first.

    "weighted": from P(z) ∝ pi(z), every coalition with weight one, see `_weighted`. "coins": each player is there by a
    fair coin, with weight pi, as in the paper. "sizes": the number of absent players is uniform between 1 and M, with
    weight pi, as in the package lime for text.
    """
    if sampling == "weighted":
        log_sizes = size_law(jnp.sum(active), len(active), distance, width)
        absent = _weighted(key, active, log_sizes, together)
        # The input has a share of the law that is known: it needs no draws. The others share the rest of it.
        certain = jnp.exp(log_sizes[0])
        weight = jnp.exp(jax.nn.logsumexp(log_sizes[1:])) / together.drawn
        weights = jnp.concatenate([certain[None], jnp.full(together.drawn, weight)])
    else:
        chosen = _coins if sampling == "coins" else _sizes
        absent = chosen(key, active, together.drawn)
        share = jnp.where(active.any(), jnp.mean(~absent, axis=1, where=active), 1)
        weights = jnp.concatenate([jnp.ones(1), kernel(DISTANCES[distance](share), width)])
    points = -jnp.concatenate([jnp.zeros((1, len(active)), bool), absent]).astype(weights.dtype)
    return samples(points, weights)


def size_law(num_alive: Int[Array, ""], num_players: int, distance: str, width: float | Array) -> Float[Array, " M+1"]:
    """log P(a players are absent) ∝ log C(M, a) + log pi, for a = 0 ... M; -inf beyond the players active."""
    absent = jnp.arange(num_players + 1)
    present = jnp.maximum(num_alive - absent, 0)
    binomial = gammaln(num_alive + 1.0) - gammaln(absent + 1.0) - gammaln(present + 1.0)
    share = present / jnp.maximum(num_alive, 1)
    # A straight line at share 0, where the root of the cosine distance has no slope.
    distances = DISTANCES[distance](jnp.where(present > 0, share, 0.0))
    logits = jnp.where(absent <= num_alive, binomial + log_kernel(distances, width), -jnp.inf)
    return logits - jax.nn.logsumexp(logits)


def _weighted(
    key: Key[Array, ""], active: Bool[Array, " M"], log_sizes: Float[Array, " M+1"], together: Blocks
) -> Bool[Array, "n M"]:
    """Absent players, given that there are some, in blocks.

    Sizes are the quantiles of their law at stratified places, in antithetic pairs: small with large. The absent players
    of a block follow one another in random orders of all players, an order beginning anew at its end, so that each is
    absent about equally often; where half of the players are absent, pairs are complements.
    """
    sizes = jnp.exp(log_sizes[1:] - jax.nn.logsumexp(log_sizes[1:]))
    cumulative = jnp.cumsum(sizes)[:-1]
    num_alive = jnp.maximum(jnp.sum(active), 1)

    def in_blocks(key: Key[Array, ""], number: int, length: int) -> Bool[Array, "n M"]:
        place_key, order_key = jax.random.split(key)
        pairs, orders = (length + 1) // 2, length // 2 + 1
        places = random.uniform(place_key, (number, pairs))
        numbers = random.uniform(order_key, (number, orders, len(active)))

        def block(places: Float[Array, " pairs"], numbers: Float[Array, "orders M"]) -> Bool[Array, "length M"]:
            low = (jnp.arange(pairs) + places) / length
            quantiles = jnp.stack([low, 1 - low], axis=1).reshape(-1)[:length]
            counts = 1 + jnp.sum(quantiles[:, None] > cumulative, axis=1)
            ends = jnp.cumsum(counts)
            passes, starts = jnp.divmod(ends - counts, num_alive)
            own = ranks(jnp.where(active, numbers, 2.0))[passes % orders]  # random orders of those active
            return ((own - starts[:, None]) % num_alive < counts[:, None]) & active

        return jax.vmap(block)(places, numbers).reshape(-1, len(active))

    key, rest_key = jax.random.split(key)
    parts = [(key, together.number, together.length), (rest_key, together.rest, 1)]
    return jnp.concatenate([in_blocks(*part) for part in parts if part[1]])


def _coins(key: Key[Array, ""], active: Bool[Array, " M"], drawn: int) -> Bool[Array, "n M"]:
    return ~random.bernoulli(key, 0.5, (drawn, len(active))) & active


def _sizes(key: Key[Array, ""], active: Bool[Array, " M"], drawn: int) -> Bool[Array, "n M"]:
    size_key, order_key = jax.random.split(key)
    num_alive = jnp.maximum(jnp.sum(active), 1)
    counts = jax.random.randint(size_key, (drawn,), 1, num_alive + 1)
    numbers = random.uniform(order_key, (drawn, len(active)))
    return (ranks(jnp.where(active, numbers, 2.0)) < counts[:, None]) & active
