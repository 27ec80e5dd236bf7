"""The neighborhood of an input: the samples that LIME fits its line to, their weights, and how they were drawn.

The explanation is a line fitted under the distribution P(z) ∝ pi_x(z) P_0(z). P_0 is the sampling of the paper (fair
coins, Gaussians), and pi_x(z) = exp(-D(x, z)² / sigma²) is the kernel (Ribeiro, Singh & Guestrin 2016, section 3.4). The
paper draws from P_0 and weights each sample by pi_x. Samples drawn from P itself, with weight one (GLIME: Tan, Tian & Li
2023), give the same line, and no width makes their weights vanish.

Samples come in blocks, each drawn independently of the others. Within a block they are spread evenly: stratified,
balanced, in antithetic pairs. The variation between blocks therefore estimates what another draw would change, for any
design within blocks. The standard errors are made of it.

Default widths sigma. The package lime 0.2 takes the square root of the kernel, so that its width w is sigma = sqrt(2) w.

| players | D | sigma | lime's w |
|---|---|---|---|
| features of a row | euclidean, in standard deviations or in conditions that fail | 0.75 sqrt(D) | 0.75 sqrt(D) |
| regions, words | cosine, 1 - sqrt(share of players present) | 0.25 | 0.25 (words: 25, of 100 times the distance) |
| regions, words | euclidean, sqrt(share of players absent) | 0.75 | |
| regions, words | hamming, share of players absent | 0.4 | |
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from xaijax._core.typing import Array, Bool, Float


class Pairs(NamedTuple):
    """Points of equal weight in pairs of opposites, middle ± half, whose first points follow one another.

    middle: [M] the point between both.
    halves: [M, H] of the pairs in their order, and then of the independent rows, which are middle + half.
    """

    middle: Float[Array, " M"]
    halves: Float[Array, "M H"]


class Samples(NamedTuple):
    """Samples around one input; the first is the input itself.

    points: [S, M] their positions relative to the input, which is at 0.
    weights: [S] their weights in the fit.
    drawn: [S] False for samples without randomness: the input, and rows that are reserved for later rounds.
    controls: [S, E] control variates, whose mean is 0 at every point. Fitted together with the points, they reduce the
      noise of the points' coefficients and leave their expectation as it is.
    pairs: the same points, where each block's second half is exactly opposite to its first; else None.
    """

    points: Float[Array, "S M"]
    weights: Float[Array, " S"]
    drawn: Bool[Array, " S"]
    controls: Float[Array, "S E"]
    pairs: Pairs | None = None


def samples(
    points: Float[Array, "S M"],
    weights: Float[Array, " S"],
    controls: Array | None = None,
    pairs: Pairs | None = None,
) -> Samples:
    """Returns samples of which the first is the input."""
    if controls is None:
        controls = jnp.zeros((len(points), 0), points.dtype)
    drawn: Any = np.arange(len(points)) > 0  # known: sums of it need no program
    return Samples(points, weights, drawn, controls, pairs)


@dataclasses.dataclass(frozen=True)
class Layout:
    """Which samples form a block: after the input's row come, `rounds` times, `number` blocks of `length` rows and `rest`
    independent rows."""

    number: int
    length: int
    rest: int
    rounds: int = 1

    @property
    def drawn(self) -> int:
        """The number of rows drawn in one round."""
        return self.number * self.length + self.rest

    def block_sums(self, rows: Float[Array, "S ..."]) -> Float[Array, "B ..."]:
        """Returns the sum of each block's rows, without the input's row."""
        shape = rows.shape[1:]
        rounds = rows[1:].reshape(self.rounds, -1, *shape)
        end = self.number * self.length
        blocks = rounds[:, :end].reshape(self.rounds * self.number, self.length, *shape).sum(axis=1)
        return jnp.concatenate([blocks, rounds[:, end:].reshape(self.rounds * self.rest, *shape)])


# Blocks are long enough to be spread evenly, and short enough that at least 40 can be compared: the t distribution of 40
# degrees of freedom has 2.02 where the normal one has 1.96.
_FEWEST_BLOCKS, _LONGEST_BLOCK = 40, 64


def block_layout(drawn: int, lengths: list[int]) -> Layout:
    """Returns blocks of the longest possible length that leaves at least 40 of them; the remaining rows are independent."""
    fitting = [length for length in lengths if length <= min(_LONGEST_BLOCK, drawn // _FEWEST_BLOCKS)]
    if not fitting:
        return independent_layout(drawn)
    return Layout(drawn // max(fitting), max(fitting), drawn % max(fitting))


def independent_layout(drawn: int) -> Layout:
    """Returns the layout of rows that are all independent."""
    return Layout(0, 1, drawn)


def kernel(distances: Float[Array, "..."], width: float | Array) -> Float[Array, "..."]:
    """Returns pi = exp(-D² / sigma²), with sigma the width."""
    return jnp.exp(log_kernel(distances, width))


def log_kernel(distances: Float[Array, "..."], width: float | Array) -> Float[Array, "..."]:
    """Returns log pi = -D² / sigma²."""
    return -((distances / width) ** 2)


# The distance D of a coalition from the grand coalition, between 0 and 1, from the share |z| / M of players in it.
DISTANCES: dict[str, Callable[[Array], Array]] = {
    "cosine": lambda share: 1 - jnp.sqrt(share),  # 1 - z·1 / (||z|| ||1||)
    # ||z - 1|| / sqrt(M); rounding can lift a share slightly above 1.
    "euclidean": lambda share: jnp.sqrt(jnp.maximum(1 - share, 0)),
    "hamming": lambda share: 1 - share,
}

KERNEL_WIDTHS = {"cosine": 0.25, "euclidean": 0.75, "hamming": 0.4}


def check_width(width: float, distance: str, num_players: int) -> None:
    """Raises an error where all coalitions but the grand coalition have weight 0 in float32."""
    nearest = _distance_without(1 / num_players, distance)
    # M coalitions lack one player; coalitions that lack more weigh less or vanish as well.
    if math.log(num_players) - (nearest / width) ** 2 < math.log(np.finfo(np.float32).tiny):
        raise ValueError(too_narrow(width, distance, num_players, "every coalition but the grand coalition"))


def too_narrow(width: float, distance: str, num_players: int, vanished: str) -> str:
    """Returns the error text for a kernel under which `vanished` has weight 0."""
    return (
        f"`kernel_width` must leave weight to some coalitions, got {width:g}, at which {vanished} has weight 0: the "
        f"{distance} distance of one absent player is {_distance_without(1 / num_players, distance):.3g}, the median "
        f"distance of coalitions {_distance_without(0.5, distance):.3g}. Choose a width of this order, such as "
        f"{KERNEL_WIDTHS[distance]}."
    )


def _distance_without(share: float, distance: str) -> float:
    """D of a coalition that lacks this share of the players."""
    return {"cosine": 1 - math.sqrt(1 - share), "euclidean": math.sqrt(share), "hamming": share}[distance]
