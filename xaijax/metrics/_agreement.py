"""Agreement of explainers on the same example (Krishna et al. 2022): of their rankings, and of their strongest players.

rank correlation = corr(rank(a), rank(b))          over all players
top agreement    = |top_k(a) and top_k(b)| / k     top_k: the k players of greatest |value|
sign agreement   = the same, of those whose values have the same sign in a and b
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core.attribution import Attribution
from xaijax._core.blocks import each, in_blocks
from xaijax._core.compile import compiled
from xaijax._core.numerics import HIGHEST, at_least_float32
from xaijax._core.typing import Array, Bool, Float

MEASURES = ("rank_correlation", "top_agreement", "sign_agreement")
TOP_SHARE = 0.2  # of the players: the strongest, where no number of them is given
_NUMBERS_AT_ONCE = 2**23  # values of maps that are compared at once


@compiled(static_argnames=("top",))
def agreements(attributions: tuple[Attribution, ...], *, top: int | None) -> Float[Array, "N A P"]:
    """Returns A measures of agreement for each example and each of the P pairs of explainers.

    The attributions are compared on the input. Maps of lower resolution are resized linearly to the finest of them;
    channels are summed where one of them has none. Positions of no player, at -1 of the regions, do not count; padded positions
    that are players of value 0 do. Equal values share their ranks, and equal values that compete for the last of the top ranks
    share those. NaN: one side has no ranks, as its values are all equal or NaN.
    """
    maps = _on_one_input(attributions)
    space = tuple(max(sizes) for sizes in zip(*(values.shape[1:] for values in maps), strict=True))
    regions = [attribution.regions for attribution in attributions if attribution.regions is not None]
    owned = [owners >= 0 for owners in regions if owners.shape[1:] == space]
    present = jnp.stack(owned).all(axis=0) if owned else None
    pairs = np.triu_indices(len(maps), k=1)

    def of_example(example: tuple[list[Array], Array | None]) -> Float[Array, "A P"]:
        maps, present = example
        values = jnp.stack(
            [each if each.shape == space else jax.image.resize(each, space, method="linear") for each in maps]
        ).reshape(len(maps), -1)
        counted = jnp.ones(values.shape[1:], bool) if present is None else present.reshape(-1)
        return jnp.stack([measure[pairs] for measure in _matrices(values, counted, top)])

    at_once = max(1, _NUMBERS_AT_ONCE // (len(maps) * int(np.prod(space))))
    return in_blocks(each(of_example), (maps, present), at_once)


@compiled
def rank_correlations(left: Float[Array, "N M"], right: Float[Array, "N M"]) -> Float[Array, " N"]:
    """Returns Spearman's rank correlation of each example; NaN where all values of one side are equal."""

    def of_example(values: Float[Array, "2 M"]) -> Float[Array, ""]:
        return _correlations(values, jnp.ones(values.shape[1:], bool))[0, 1]

    return jax.vmap(of_example)(jnp.stack([left, right], axis=1))


def _on_one_input(attributions: Sequence[Attribution]) -> list[Float[Array, "N ..."]]:
    """Returns values [N, ...] over the input, all with the same number of axes."""
    maps = [at_least_float32(attribution.on_input()) for attribution in attributions]
    if len({values.ndim for values in maps}) > 1:
        maps = [
            values.sum(axis=1 + attribution.player_axes.index("C"))
            if attribution.regions is None and "C" in attribution.player_axes
            else values
            for values, attribution in zip(maps, attributions, strict=True)
        ]
    shapes = {values.shape[1:] for values in maps}
    fixed = any(attribution.regions is None and attribution.of_players for attribution in attributions)
    if len({len(shape) for shape in shapes}) > 1 or (fixed and len(shapes) > 1):
        raise ValueError(
            "`explainers` must explain the same players or lay maps over the same input to be compared, got values of shapes "
            f"{[list(values.shape) for values in maps]}."
        )
    return maps


def _matrices(values: Float[Array, "E M"], counted: Bool[Array, " M"], top: int | None) -> list[Float[Array, "E E"]]:
    unknown = (jnp.isnan(values) & counted).any(axis=1)
    unknown = unknown[:, None] | unknown
    shares, size = _top_shares(jnp.abs(values), counted, top)
    signs = jnp.sign(values)

    def of_row(row: tuple[Array, Array]) -> tuple[Array, Array]:
        own_shares, own_signs = row
        both = jnp.minimum(own_shares, shares)
        return both.sum(axis=1) / size, jnp.where(own_signs == signs, both, 0).sum(axis=1) / size

    overlaps = jax.lax.map(of_row, (shares, signs))
    return [_correlations(values, counted), *(jnp.where(unknown, jnp.nan, overlap) for overlap in overlaps)]


def _correlations(values: Float[Array, "E M"], counted: Bool[Array, " M"]) -> Float[Array, "E E"]:
    """Returns the correlations of the ranks among the counted; NaN for values that are all equal, or NaN."""
    smaller, not_larger = _counts_below(values, counted)
    number = counted.sum().astype(values.dtype)
    ranks = jnp.where(counted, (smaller + not_larger) / number - 1, 0)  # from -1 to 1, around 0
    lengths = jnp.sqrt((ranks**2).sum(axis=1, keepdims=True))
    unit = ranks / jnp.where(lengths > 0, lengths, jnp.nan)
    unit = jnp.where((jnp.isnan(values) & counted).any(axis=1, keepdims=True), jnp.nan, unit)
    return jnp.matmul(unit, unit.T, precision=HIGHEST)


def _top_shares(
    sizes: Float[Array, "E M"], counted: Bool[Array, " M"], top: int | None
) -> tuple[Float[Array, "E M"], Array]:
    """Returns how far each player belongs to the k of greatest size, 0 to 1, and k."""
    number = counted.sum()
    wanted = jnp.ceil(TOP_SHARE * number).astype(number.dtype) if top is None else top
    size = jnp.clip(wanted, 1, jnp.maximum(number, 1))
    ordered = jnp.sort(jnp.where(counted, sizes, -1), axis=1)
    last = jnp.take(ordered, sizes.shape[1] - size, axis=1)[:, None]
    above, tied = counted & (sizes > last), counted & (sizes == last)
    left = (size - above.sum(axis=1, keepdims=True)).astype(sizes.dtype)
    share = left / jnp.maximum(tied.sum(axis=1, keepdims=True), 1).astype(sizes.dtype)
    return jnp.where(above, 1, jnp.where(tied, share, 0)), size.astype(sizes.dtype)


def _counts_below(values: Float[Array, "E M"], counted: Bool[Array, " M"]) -> tuple[Array, Array]:
    """Returns how many of the counted are smaller, and how many are not larger, than each value."""
    ordered = jnp.sort(jnp.where(counted, values, jnp.inf), axis=1)
    smaller, not_larger = (
        jax.vmap(lambda row, own, side=side: jnp.searchsorted(row, own, side=side))(ordered, values)
        for side in ("left", "right")
    )
    return smaller.astype(values.dtype), not_larger.astype(values.dtype)
