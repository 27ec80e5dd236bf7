"""Games whose players are numbered by their values in an attribution, the greatest first, in each example."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from xaijax._core.attribution import Attribution
from xaijax._core.examples import Example
from xaijax._core.game import ExampleGames, Game, Value
from xaijax._core.numerics import ranks
from xaijax._core.target import Target
from xaijax._core.typing import Array, Bool, Float, Int


def ranked(game: Game, attribution: Attribution) -> Game:
    """Returns the same game, in which player 0 has the greatest value, player 1 the next, and so on.

    Players that are not active come last. Of equal values the first player comes first.
    """
    values = player_values(game, attribution)
    if isinstance(game, ExampleGames):
        return _RankedGames(game, values)
    players = ranks(-values)
    return Game(lambda coalitions: game.value(coalitions[:, players]), game.num_players)


def player_values(game: Game, attribution: Attribution) -> Float[Array, "*N M"]:
    """Returns a value for each player of the game: the attribution's own, or the mean of its map over the player."""
    num_examples, num_players = game.num_examples, game.num_players
    values = attribution.values
    if attribution.all_outputs:
        raise ValueError(
            f"`attribution` must explain one output of each example, got outputs of shape "
            f"{list(attribution.output.shape)}: take one of them by attribution.of_output(k)."
        )
    shape = (num_players,) if num_examples is None else (num_examples, num_players)
    owners = game.regions(game.prepare()) if isinstance(game, ExampleGames) else None
    if owners is None or (attribution.regions is None and values.shape == shape):
        if values.shape != shape:
            raise ValueError(
                f"`attribution` must have one value for each player of the game, {list(shape)}, got shape "
                f"{list(values.shape)}: explain the same inputs with the same players, or make the game of regions of the "
                "image, such as xai.mask.superpixels(), over which a map is averaged."
            )
        return values
    maps = _on_input(attribution, owners.shape)
    pooled = jax.vmap(lambda values, owners: _means(values, owners, num_players))(maps, owners)
    if attribution.regions is None or values.shape != shape or attribution.regions.shape != owners.shape:
        return pooled
    same = (attribution.regions == owners).reshape(len(owners), -1).all(axis=1, keepdims=True)
    return jnp.where(same, values, pooled)


def _on_input(attribution: Attribution, shape: tuple[int, ...]) -> Float[Array, "N *space"]:
    """Returns the attribution as a map of this shape, resized linearly where it is smaller or larger."""
    values = attribution.on_input()
    if values.ndim != len(shape) or len(values) != shape[0]:
        raise ValueError(
            f"`attribution` must have one value for each player of the game or a map over its inputs, {list(shape)}, got "
            f"shape {list(values.shape)}."
        )
    return values if values.shape == shape else jax.image.resize(values, shape, method="linear")


def _means(values: Float[Array, "*space"], owners: Int[Array, "*space"], num_players: int) -> Float[Array, " M"]:
    ids = owners.reshape(-1)
    sums = jax.ops.segment_sum(values.reshape(-1), ids, num_players)
    return sums / jnp.maximum(jax.ops.segment_sum(jnp.ones(ids.shape, values.dtype), ids, num_players), 1)


class _RankedGames(ExampleGames):
    """Exists within a compiled program only; `prepared` carries each example's values next to the game's own."""

    def __init__(self, game: ExampleGames, values: Float[Array, "N M"]):
        self.game, self.values = game, values
        self.model, self.x, self.target = game.model, game.x, game.target

    @property
    def num_players(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.game.num_players

    @property
    def rows_per_coalition(self) -> int:
        return self.game.rows_per_coalition

    def rows_at_once(self, batch_size: int | None) -> int:
        return self.game.rows_at_once(batch_size)

    def prepare(self) -> Any:
        return self.game.prepare(), self.values

    def active(self, example: Example) -> Bool[Array, " M"]:
        """Returns the game's own active players; only their count is used, which their order does not change."""
        return self.game.active(_own(example))

    def value_of(self, example: Example, target: Target, rows: int) -> Value:
        value = self.game.value_of(_own(example), target, rows)
        players = ranks(jnp.where(self.active(example), -example.prepared[1], jnp.inf))
        return lambda coalitions: value(coalitions[:, players])


def _own(example: Example) -> Example:
    return dataclasses.replace(example, prepared=example.prepared[0])
