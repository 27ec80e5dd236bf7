"""A game whose players are numbered by what an attribution says of them, the strongest first, in each example."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from xaijax._core.attribution import Attribution
from xaijax._core.examples import Example
from xaijax._core.game import ExampleGames, Game, Value
from xaijax._core.target import Target
from xaijax._core.typing import Array, Bool, Float, Int


def ranked(game: Game, attribution: Attribution) -> Game:
    """The same game, in which player 0 is the one with the greatest value, player 1 the next, and so on.

    Players that cannot change anything come last. Of equal values the first player comes first.
    """
    strengths = player_values(game, attribution)
    if isinstance(game, ExampleGames):
        return _RankedGames(game, strengths)
    players = ranks(strengths, jnp.ones(strengths.shape, bool))
    return Game(lambda coalitions: game.value(coalitions[:, players]), game.num_players)


def ranks(strengths: Float[Array, " M"], active: Bool[Array, " M"]) -> Int[Array, " M"]:
    """The place of each player, the greatest value at 0."""
    order = jnp.argsort(jnp.where(active, -strengths, jnp.inf), stable=True)
    return jnp.zeros(len(order), jnp.int32).at[order].set(jnp.arange(len(order), dtype=jnp.int32))


def player_values(game: Game, attribution: Attribution) -> Float[Array, "*N M"]:
    """A value for each player of the game: the attribution's own, or the mean of its map over the player's places."""
    num_examples, num_players = game.num_examples, game.num_players
    values = attribution.values
    if attribution.all_outputs:
        raise ValueError(
            f"attribution must explain one output of each example, but its output has shape "
            f"{list(attribution.output.shape)}: take one output with attribution.of_output(k)."
        )
    shape = (num_players,) if num_examples is None else (num_examples, num_players)
    owners = game.regions(game.prepare()) if isinstance(game, ExampleGames) else None
    if owners is None or (attribution.regions is None and values.shape == shape):
        if values.shape != shape:
            raise ValueError(
                f"attribution must have one value for each player of the game, {list(shape)}, but its values have shape "
                f"{list(values.shape)}: explain the same inputs with the same players, or make the game of the image's "
                "regions, xai.mask.superpixels() say, over which a map is averaged."
            )
        return values
    laid_out = _on_places(attribution, owners.shape)
    pooled = jax.vmap(lambda values, owners: _means(values, owners, num_players))(laid_out, owners)
    if attribution.regions is None or values.shape != shape or attribution.regions.shape != owners.shape:
        return pooled
    same = (attribution.regions == owners).reshape(len(owners), -1).all(axis=1, keepdims=True)
    return jnp.where(same, values, pooled)


def _on_places(attribution: Attribution, shape: tuple[int, ...]) -> Float[Array, "N *space"]:
    values = attribution.on_input()
    if values.ndim != len(shape) or len(values) != shape[0]:
        raise ValueError(
            f"attribution must have one value for each player of the game or a map over its inputs, {list(shape)}, but "
            f"its values have shape {list(values.shape)}."
        )
    return values if values.shape == shape else jax.image.resize(values, shape, method="linear")


def _means(values: Float[Array, "*space"], owners: Int[Array, "*space"], num_players: int) -> Float[Array, " M"]:
    ids = owners.reshape(-1)
    sums = jax.ops.segment_sum(values.reshape(-1), ids, num_players)
    return sums / jnp.maximum(jax.ops.segment_sum(jnp.ones(ids.shape, values.dtype), ids, num_players), 1)


class _RankedGames(ExampleGames):
    """Lives within a compiled program only; `prepared` carries each example's strengths beside the game's own."""

    def __init__(self, game: ExampleGames, strengths: Float[Array, "N M"]):
        self.game, self.strengths = game, strengths
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
        return self.game.prepare(), self.strengths

    def active(self, example: Example) -> Bool[Array, " M"]:
        """Of the game's own players: how many there are does not depend on their numbers."""
        return self.game.active(_own(example))

    def value_of(self, example: Example, target: Target, rows: int) -> Value:
        value = self.game.value_of(_own(example), target, rows)
        players = ranks(example.prepared[1], self.active(example))
        return lambda coalitions: value(coalitions[:, players])


def _own(example: Example) -> Example:
    return dataclasses.replace(example, prepared=example.prepared[0])
