"""Solves the games of an attribution: each with the values of its players, which may be ranked by them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.examples import Fields
from xaijax._core.game import ExampleGames, Game, Value, as_game
from xaijax._core.numerics import at_least_float32, ranks
from xaijax._core.typing import Array, Bool, Float, Int

Players = Bool[Array, " M"]
# (v, key, active, exists, values [M] of the players) -> the fields of one game's score
SolveScore = Callable[[Value, Any, Players, Players, Float[Array, " M"]], Fields]


def read_game_and_attribution(game: Any, attribution: Any) -> Game:
    """Checks the types of the first two arguments of a metric."""
    game = as_game(game)
    if not isinstance(attribution, Attribution):
        raise TypeError(f"`attribution` must be the result of an explainer, got {check.shown(attribution)}.")
    return game


def check_targets(of_game: Any, of_attribution: Any) -> None:
    """Raises ValueError if a game and an attribution are of different classes, as far as these are known."""
    if of_game is None or of_attribution is None or not check.is_concrete(of_game, of_attribution):
        return
    own, explained = np.asarray(of_game), np.asarray(of_attribution)
    if own.shape == explained.shape and (own != explained).any():
        first = int(np.flatnonzero(own != explained)[0])
        raise ValueError(
            f"`attribution` must explain the game's own output, got class {explained[first]} for example {first}, where the "
            f"game has class {own[first]}: make the game with target=attribution.target."
        )


def score_each(
    game: Game,
    attribution: Attribution,
    solve: SolveScore,
    *,
    key: Any = None,
    ids: Any = None,
    coalitions_at_once: int,
    batch_size: int | None,
) -> Fields:
    """Runs `solve(v, key, active, exists, values)` for every game; returns its fields and the target.

    The fields are NaN where an example's attribution holds NaN.
    """

    def solve_one(value: Value, key: Any, active: Players, exists: Players, values: Float[Array, " M"]) -> Fields:
        def of_one_output(coalitions: Bool[Array, "S M"]) -> Float[Array, " S"]:
            outputs = value(coalitions)
            if outputs.ndim != 1:
                raise ValueError(
                    "`game` must have one output, which the attribution explains, got several: pass a target to xai.game."
                )
            return outputs

        return {"scores": solve(of_one_output, key, active, exists, values), "output": jnp.zeros(())}

    fields = game.solve_each(
        solve_one,
        key=key,
        ids=ids,
        coalitions_at_once=coalitions_at_once,
        batch_size=batch_size,
        with_existing=True,
        given=at_least_float32(player_values(game, attribution)),
    )
    unknown = jnp.isnan(attribution.values)
    unknown = unknown.any() if game.num_examples is None else unknown.reshape(len(unknown), -1).any(axis=1)
    return check.nan_where(unknown, fields["scores"]) | {"target": fields.get("target")}


def by_rank(value: Value, values: Float[Array, " M"], active: Players) -> Value:
    """Returns v of the same game, in which player 0 has the greatest value, player 1 the next, and so on.

    Players that are not active come last. Of equal values the first player comes first.
    """
    players = ranks(jnp.where(active, -values, jnp.inf))
    return lambda coalitions: value(coalitions[:, players])


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


def without_channels(attribution: Attribution, shape: tuple[int, ...]) -> Float[Array, "*N *space"]:
    """Returns the values over the inputs, those of pixels summed over their channels.

    These are the axis C. An explainer that does not ask for it takes the last axis for it; where only the sum over another
    one has this shape, that is the axis of the channels.
    """
    values = attribution.on_input()
    if attribution.regions is not None or "C" not in attribution.player_axes or values.ndim != len(shape) + 1:
        return values
    named = attribution.axes.split().index("C")
    axes = [axis for axis in range(values.ndim) if values.shape[:axis] + values.shape[axis + 1 :] == shape]
    return values.sum(axis=named if named in axes or not axes else axes[0])


def _on_input(attribution: Attribution, shape: tuple[int, ...]) -> Float[Array, "N *space"]:
    """Returns the attribution as a map of this shape, resized linearly where it is smaller or larger; channels are summed."""
    values = without_channels(attribution, shape)
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
