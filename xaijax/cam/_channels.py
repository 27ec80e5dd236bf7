"""Channels as players of a game: the Shapley values that Ablation-CAM and Score-CAM approximate."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.blocks import in_blocks, rows_at_once
from xaijax._core.compile import compiled
from xaijax._core.examples import Example
from xaijax._core.game import ExampleGames, Value
from xaijax._core.numerics import HIGHEST, ratio
from xaijax._core.target import Target
from xaijax._core.typing import Array, Bool, Float, Inputs, Int, ModelLike, TargetLike
from xaijax._model import Model
from xaijax.cam._map import Cut, Finish, LayerOptions, axes_of, tap_layer
from xaijax.cam._options import layer_options, read_arguments, read_finish


@dataclasses.dataclass(frozen=True)
class _Tapped:
    """Holds the static parts of a tapped layer: its options, its activations' shape without N, the number of players."""

    layer: LayerOptions
    shape: tuple[int, ...]
    num_players: int


class ChannelGame(ExampleGames):
    """N games whose players are the channels of a layer, or groups of channels; absent channels are zero.

    v(S) = y(A with the channels outside S at zero). The features are computed once for each example, then the tail alone.
    """

    def __init__(self, model: Model, x: Any, target: Target, groups: Int[Array, " C"], tapped: _Tapped):
        self.model, self.x, self.target, self.groups, self.tapped = model, x, target, groups, tapped

    @property
    def num_players(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.tapped.num_players

    def rows_at_once(self, batch_size: int | None) -> int:
        return rows_at_once(batch_size, 4 * math.prod(self.tapped.shape))

    def tap(self, x: Any) -> Cut:
        """Cuts the model at the layer."""
        return tap_layer(self.model, x, self.tapped.layer)

    def value_of(self, example: Example, target: Target, rows: int) -> Value:
        alone = jax.tree.map(lambda leaf: leaf[None], example.x)
        activations, tail, _ = self.tap(alone)

        def worth(coalition: Bool[Array, " M"]) -> Array:
            return target.select(tail(jnp.where(coalition[self.groups], activations, 0)))[0]

        return lambda coalitions: in_blocks(jax.vmap(worth), coalitions, rows)


def channel_game(
    model: ModelLike,
    x: Inputs,
    *,
    layer: str | None = None,
    target: TargetLike = None,
    groups: Any = None,
    grid: tuple[int, ...] | None = None,
    channel_axis: int | tuple[int, int] | None = None,
) -> ChannelGame:
    """Returns the games of a layer's channels: the output as a function of the channels that are present.

    Why: Score-CAM and Ablation-CAM weight a channel by its effect alone or by the loss without it. The Shapley value
    averages over all orders and shares interactions fairly. Every estimator in `xai.shap` explains these games at the
    cost of the tail, and `xai.cam.channel_map` turns the values into a map.

    Args:
      model: any model.
      x: [N, ...] inputs, or a PyTree of them.
      layer: the path of the layer, from `xai.layers(model, x)`. Default: the last one with spatial axes.
      target: an int, ints [N], a callable, one of `xai.target`, "all" for all outputs, or None for the top class.
      groups: ints [C], the player (from 0) that each channel belongs to; or an int, the number of groups of neighboring
        channels. Default: every channel is a player.
      grid: the sides (h, w) of a layer of tokens; tokens before the grid are kept.
      channel_axis: the axis of the channels, 1 for channels first; two axes where the layer's differs from the input's.

    Returns:
      N games with M players each.

    Raises:
      TypeError, ValueError: as `xai.cam.grad_cam`; if groups do not fit the channels.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> model = xai.compose(lambda x: x, lambda a: a.sum(axis=(1, 2)) @ jnp.array([[1.0], [2.0]]))
    >>> games = xai.cam.channel_game(model, jnp.ones((1, 2, 2, 2)))
    >>> shapley = xai.shap.exact(games)
    >>> shapley.values.tolist(), xai.cam.channel_map(games, shapley).values.tolist()
    ([[4.0, 8.0]], [[[3.0, 3.0], [3.0, 3.0]]])
    """
    model, x, target = read_arguments(model, x, target)
    options = layer_options(layer, grid, channel_axis)
    shape = _activations.eval_shape(model, x, layer=options).shape
    members, num_players = _read_groups(groups, shape[-1])
    return ChannelGame(model, x, target, members, _Tapped(options, shape[1:], num_players))


def channel_map(
    games: ChannelGame,
    attribution: Attribution,
    *,
    relu: bool = False,
    upsample: bool | tuple[int, ...] = False,
    normalize: bool = False,
) -> Attribution:
    """Spreads each channel's value over its positions in proportion to its activations.

    L = sum_k phi_k |A_k| / sum_ij |A_k|        a group's value is shared by its channels in the same way

    Why: the map sums to the sum of the values. With Shapley values that is y(A) - y(0): the map lays the output out in
    space. A channel that is zero everywhere has no position; its Shapley value is 0.

    Args:
      games: the games, from `xai.cam.channel_game`.
      attribution: an estimator's attribution of these games, values [N, M].
      relu: keep only positive evidence for the target. Default off, as the sum would not hold.
      upsample: resize the maps to the size of the input, or to a size (h, w). Default off.
      normalize: divide each map by its largest absolute value; with relu, bring it to [0, 1]. Default off.

    Returns:
      values [N, h, w], or [N, h, w, K] where all outputs are explained; output and base_value as the attribution's.

    Raises:
      TypeError, ValueError: if the attribution is not one of these games.
    """
    if not isinstance(games, ChannelGame):
        raise TypeError(f"`games` must come from xai.cam.channel_game, got {check.shown(games)}.")
    expected = (games.num_examples, games.num_players)
    if not isinstance(attribution, Attribution) or attribution.values.shape[:2] != expected:
        got = list(attribution.values.shape) if isinstance(attribution, Attribution) else check.shown(attribution)
        raise ValueError(f"`attribution` must hold values {list(expected)} for these games, got {got}.")
    return _channel_map(games, attribution, finish=read_finish(relu, upsample, normalize))


@compiled(static_argnames=("finish",))
def _channel_map(games: ChannelGame, attribution: Attribution, *, finish: Finish) -> Attribution:
    activations, _, inputs = games.tap(games.x)
    mass = jnp.abs(activations)
    space = tuple(range(1, mass.ndim - 1))
    members = jax.nn.one_hot(games.groups, games.num_players, dtype=mass.dtype)
    of_group = jnp.einsum("nc,cm->nm", mass.sum(axis=space), members, precision=HIGHEST)

    def lay_out(values: Float[Array, "N M"]) -> Array:
        density = ratio(values, of_group)
        return finish(jnp.einsum("n...c,cm,nm->n...", mass, members, density, precision=HIGHEST), inputs)

    values = attribution.values
    maps = lay_out(values) if values.ndim == 2 else jax.vmap(lay_out, in_axes=-1, out_axes=-1)(values)
    return Attribution(
        values=maps,
        output=attribution.output,
        base_value=attribution.base_value,
        target=attribution.target,
        axes=axes_of(len(space), every_class=attribution.all_outputs),
        method=attribution.method,
        efficient=attribution.efficient and finish == Finish(False, False, False),
    )


@compiled(static_argnames=("layer",))
def _activations(model: Model, x: Any, *, layer: LayerOptions) -> Array:
    return tap_layer(model, x, layer).activations


def _read_groups(groups: Any, channels: int) -> tuple[Int[Array, " C"], int]:
    """Returns the player of each channel, and the number of players."""
    if groups is None:
        return jnp.arange(channels), channels
    if isinstance(groups, int):
        count = check.positive_int("groups", groups)
        if count > channels:
            raise ValueError(f"`groups` must be at most the number of channels, {channels}, got {count}.")
        return jnp.arange(channels) * count // channels, count
    members = check.numeric_array("groups", groups)
    if members.shape != (channels,) or not jnp.issubdtype(members.dtype, jnp.integer):
        raise ValueError(f"`groups` must be ints [{channels}], the player of each channel, got {check.shown(members)}.")
    if not check.is_concrete(members):
        raise TypeError(
            "`groups` must be known when compiling, as they determine the number of players, got a traced array."
        )
    count = int(members.max()) + 1
    missing = sorted(set(range(count)) - set(members.tolist()))
    if int(members.min()) < 0 or missing:
        raise ValueError(
            f"`groups` must number the players from 0 without gaps, got no channels for players {missing or 'below 0'}."
        )
    return members.astype(jnp.int32), count


jax.tree_util.register_pytree_node(
    ChannelGame,
    lambda game: ((game.model, game.x, game.target, game.groups), game.tapped),
    lambda tapped, children: ChannelGame(*children, tapped),
)
