"""Neighborhoods of coalitions: which players each sample lacks."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln

from xaijax._core import random
from xaijax._core.numerics import ranks, ranks_of_distinct
from xaijax._core.typing import Array, Bool, Float, Int, Key
from xaijax.lime._neighborhood import (
    DISTANCES,
    Layout,
    Samples,
    block_layout,
    independent_layout,
    kernel,
    log_kernel,
    samples,
)

SAMPLINGS = ["weighted", "coins", "sizes"]
_PAIRS = list(range(2, 65, 2))


def coalition_layout(sampling: str, drawn: int) -> Layout:
    """Returns the layout in which coalitions are drawn."""
    return block_layout(drawn, _PAIRS) if sampling == "weighted" else independent_layout(drawn)


def draw_coalitions(
    sampling: str, key: Key[Array, ""], active: Bool[Array, " M"], distance: str, width: float | Array, layout: Layout
) -> Samples:
    """Draws one round of coalitions as points z - 1, 0 for present and -1 for absent players; the input comes first.

    "weighted": from P(z) ∝ pi(z), every coalition with weight one. "coins": each player is present by a fair coin, with
    weight pi, as in the paper. "sizes": the number of absent players is uniform between 1 and M, with weight pi, as in the
    package lime for text.
    """
    if sampling == "weighted":
        log_sizes = log_size_distribution(jnp.sum(active), len(active), distance, width)
        absent = _draw_weighted(key, active, log_sizes, layout)
        # The input's share of the distribution is known and needs no draws. The drawn coalitions share the rest.
        certain = jnp.exp(log_sizes[0])
        weight = jnp.exp(jax.nn.logsumexp(log_sizes[1:])) / layout.drawn
        weights = jnp.concatenate([certain[None], jnp.full(layout.drawn, weight)])
    else:
        draw_absent = _draw_coins if sampling == "coins" else _draw_sizes
        absent = draw_absent(key, active, layout.drawn)
        share = jnp.where(active.any(), jnp.mean(~absent, axis=1, where=active), 1)
        weights = jnp.concatenate([jnp.ones(1), kernel(DISTANCES[distance](share), width)])
    points = -jnp.concatenate([jnp.zeros((1, len(active)), bool), absent]).astype(weights.dtype)
    return samples(points, weights)


def log_size_distribution(
    num_active: Int[Array, ""], num_players: int, distance: str, width: float | Array
) -> Float[Array, " {num_players}+1"]:
    """Returns log P(a players are absent) ∝ log C(M, a) + log pi, for a = 0 ... M; -inf beyond the active players."""
    absent = jnp.arange(num_players + 1)
    present = jnp.maximum(num_active - absent, 0)
    binomial = gammaln(num_active + 1.0) - gammaln(absent + 1.0) - gammaln(present + 1.0)
    share = present / jnp.maximum(num_active, 1)
    # A constant at share 0, where the root of the cosine distance has no derivative.
    distances = DISTANCES[distance](jnp.where(present > 0, share, 0.0))
    logits = jnp.where(absent <= num_active, binomial + log_kernel(distances, width), -jnp.inf)
    return logits - jax.nn.logsumexp(logits)


def _draw_weighted(
    key: Key[Array, ""], active: Bool[Array, " M"], log_sizes: Float[Array, " M+1"], layout: Layout
) -> Bool[Array, "n M"]:
    """Draws absent players, given that there are some, in blocks.

    Sizes are the quantiles of their distribution at stratified levels, in antithetic pairs of a small and a large one. The
    absent players of a block follow one another in random orders of all players, starting a new order at the end of one,
    so that each is absent about equally often. Where half of the players are absent, pairs are complements.
    """
    sizes = jnp.exp(log_sizes[1:] - jax.nn.logsumexp(log_sizes[1:]))
    cumulative = jnp.cumsum(sizes)[:-1]
    num_active = jnp.maximum(jnp.sum(active), 1)

    def draw_blocks(key: Key[Array, ""], number: int, length: int) -> Bool[Array, "n M"]:
        level_key, order_key = jax.random.split(key)
        pairs, orders = (length + 1) // 2, length // 2 + 1
        offsets = random.uniform(level_key, (number, pairs))
        numbers = random.uniform(order_key, (number, orders, len(active)))

        def draw_block(offsets: Float[Array, " pairs"], numbers: Float[Array, "orders M"]) -> Bool[Array, "length M"]:
            low = (jnp.arange(pairs) + offsets) / length
            levels = jnp.stack([low, 1 - low], axis=1).reshape(-1)[:length]
            counts = 1 + jnp.sum(levels[:, None] > cumulative, axis=1)
            ends = jnp.cumsum(counts)
            passes, starts = jnp.divmod(ends - counts, num_active)
            own = _random_orders(numbers, active)[passes % orders]
            return ((own - starts[:, None]) % num_active < counts[:, None]) & active

        return jax.vmap(draw_block)(offsets, numbers).reshape(-1, len(active))

    key, rest_key = jax.random.split(key)
    parts = [(key, layout.number, layout.length), (rest_key, layout.rest, 1)]
    return jnp.concatenate([draw_blocks(*part) for part in parts if part[1]])


def _draw_coins(key: Key[Array, ""], active: Bool[Array, " M"], drawn: int) -> Bool[Array, "n M"]:
    return ~random.bernoulli(key, 0.5, (drawn, len(active))) & active


def _draw_sizes(key: Key[Array, ""], active: Bool[Array, " M"], drawn: int) -> Bool[Array, "n M"]:
    size_key, order_key = jax.random.split(key)
    num_active = jnp.maximum(jnp.sum(active), 1)
    counts = jax.random.randint(size_key, (drawn,), 1, num_active + 1)
    numbers = random.uniform(order_key, (drawn, len(active)))
    return (_random_orders(numbers, active) < counts[:, None]) & active


def _random_orders(numbers: Float[Array, "... M"], active: Bool[Array, " M"]) -> Int[Array, "... M"]:
    """Returns the ranks of uniform numbers among those of the active players, which come first.

    The numbers are multiples of 2^-23. With up to 256 players, number and index fit one integer, and no two are equal.
    """
    players = numbers.shape[-1]
    if players > 256:
        return ranks(jnp.where(active, numbers, 2.0))
    index = jnp.arange(players, dtype=jnp.int32)
    whole = (numbers * 2**23).astype(jnp.int32) - 2**22
    return ranks_of_distinct(jnp.where(active, whole * 256, 2**30) + index)
