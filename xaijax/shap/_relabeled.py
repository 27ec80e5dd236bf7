"""One game as a design of pairs sees it, and its values from the pairs.

The design is a constant. Each explanation relabels its players by its own key, so that no two explanations share a
design and their errors do not add up over a data set: player i of the game is player labels[i] of the design.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from xaijax._core import random
from xaijax._core.game import Value
from xaijax._core.numerics import in_own_units, power_of_two, ranks, zero_where
from xaijax._core.typing import Array, Bool, Float, Int, Key

# Games whose values each device solves for side by side. CPUs have fast triangular solvers for single matrices alone.
_AT_ONCE = {"cpu": 1, "accelerator": 16}


class Pairs(NamedTuple):
    """The values of n coalitions, and those of their complements."""

    own: Float[Array, "*N n K"]
    complements: Float[Array, "*N n K"]


class Parts(NamedTuple):
    """The parts of n pairs (v(z), v(1 - z)): half their differences and half their sums."""

    odd: Float[Array, "n K"]
    even: Float[Array, "n K"]


# (parts, the grand coalition's last; [M] the active players) -> [M, K] the values of the design's players and errors.
# Where pairs are chosen, it takes their coalitions [n, M] as well.
Solve = Callable[..., tuple[Float[Array, "M K"], Float[Array, "M K"]]]


class Relabeled(NamedTuple):
    """One game as its design sees it.

    labels: [M] the design's player of each of the game's players. active: [M] the game's players that change anything.
    ends: [2, ...] the values of the empty and the grand coalition. pairs: the values of the pairs so far.
    coalitions: [n, M] the coalitions of the pairs; None where the design is a constant.
    """

    labels: Int[Array, "*N M"]
    active: Bool[Array, "*N M"]
    ends: Float[Array, "..."]
    pairs: Pairs
    coalitions: Bool[Array, "*N n M"] | None = None


def relabel(v: Value, coalitions: Bool[Array, "n M"], key: Key[Array, ""], active: Bool[Array, " M"]) -> Relabeled:
    """Evaluates a game at the pairs of a design."""
    num_players = coalitions.shape[1]
    labels = labels_of(key, num_players)
    ends = jnp.stack([jnp.zeros(num_players, bool), jnp.ones(num_players, bool)])
    own = coalitions[:, labels]
    values = v(jnp.concatenate([ends, own, ~own]))
    pairs = values[2:].reshape(2, len(own), -1)
    return Relabeled(labels, active, values[:2], Pairs(pairs[0], pairs[1]))


def labels_of(key: Key[Array, ""], num_players: int) -> Int[Array, " M"]:
    return ranks(random.uniform(key, (num_players,)))


def evaluate(v: Value, coalitions: Bool[Array, "n M"]) -> Pairs:
    values = v(jnp.concatenate([coalitions, ~coalitions]))
    return Pairs(*values.reshape(2, len(coalitions), -1))


def of_design(game: Relabeled) -> Bool[Array, " M"]:
    """Returns which of the design's players are active."""
    return jnp.zeros(len(game.labels), bool).at[game.labels].set(game.active)


def in_units(game: Relabeled) -> tuple[Parts, Parts]:
    """Returns the parts with the grand coalition's last, in units [K], powers of two; and the units.

    In these units squares neither overflow nor vanish, regardless of the scale of the outputs. Values are scaled before
    anything else is done with them: differences of tiny values would be subnormal, which CPUs take for 0.
    """
    empty, grand = game.ends.reshape(2, 1, -1)
    own, complements = jnp.concatenate([game.pairs.own, grand]), jnp.concatenate([game.pairs.complements, empty])
    unit = power_of_two(jnp.concatenate([own, complements]))
    own, complements = own / unit[None], complements / unit[None]
    odd, odd_units = in_own_units((own - complements) / 2, unit)
    even, even_units = in_own_units((own + complements) / 2, unit)
    return Parts(odd, even), Parts(odd_units, even_units)


def solved(game: Relabeled, solve: Solve) -> tuple[Array, Array]:
    """Returns the values [M, ...] of the game's own players, which sum to its gain, and their standard errors."""
    num_players, shape = len(game.labels), game.ends.shape[1:]
    parts, units = in_units(game)
    chosen = () if game.coalitions is None else (game.coalitions,)
    values, errors = solve(parts, of_design(game), *chosen)
    values = units.odd[None] * efficient(values[game.labels], 2 * parts.odd[-1], game.active)
    errors = units.odd[None] * errors[game.labels]
    errors = jnp.where(jnp.isnan(values), jnp.nan, jnp.where(game.active[:, None], errors, 0))
    return values.reshape(num_players, *shape), errors.reshape(num_players, *shape)


def efficient(values: Float[Array, "M K"], total: Float[Array, " K"], active: Bool[Array, " M"]) -> Float[Array, "M K"]:
    """Returns the values with 0 for inactive players, and the others shifted alike until all sum to the total."""
    values = zero_where(~active, values)
    shared = active | ~active.any()  # where no player is active, all of them share the derivative
    missing = (total - values.sum(axis=0)) / shared.sum().astype(values.dtype)
    return zero_where(~active, jnp.where(shared[:, None], values + missing[None], values))


def games_at_once(games: Relabeled) -> int:
    """Returns how many games a program without the model solves for side by side: at least one on each device."""
    devices = games.labels.devices()
    return len(devices) * _AT_ONCE["cpu" if {device.platform for device in devices} == {"cpu"} else "accelerator"]
