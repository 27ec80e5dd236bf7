"""Removal: the output, and the input, without the players that an attribution calls the strongest."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.compile import compiled
from xaijax._core.game import Value
from xaijax._core.model_game import ModelGame
from xaijax._core.typing import Array, Bool, Float, Int, Shaped
from xaijax.metrics._players import by_rank, player_values

SIGNS = ["both", "positive", "negative"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Removal:
    """Inputs before and after the strongest players are removed, and the outputs on the way.

    before: [N, ...] the inputs.
    after: [N, ...] the inputs without the players, filled from the masker's first reference.
    output: [N] the value of the grand coalition.
    outputs: [N, T + 1] the value with 0, 1, ..., T of the strongest players removed, or with keep, the value of the 0, 1,
      ..., T strongest players alone.
    present: [N, M] the players that are present afterwards.
    num_changed: [N] how many players were removed (with keep: kept): T, or fewer where fewer have the sign.
    keep: whether the strongest players are kept and all others removed.
    num_references: how many references the value is averaged over.
    """

    before: Shaped[Array, "N ..."]
    after: Shaped[Array, "N ..."]
    output: Float[Array, " N"]
    outputs: Float[Array, "N T+1"]
    present: Bool[Array, "N M"]
    num_changed: Int[Array, " N"]
    keep: bool = dataclasses.field(default=False, metadata={"static": True}, kw_only=True)
    num_references: int = dataclasses.field(default=1, metadata={"static": True}, kw_only=True)

    @property
    def output_after(self) -> Array:
        """The value of the players that are present afterwards, [N]."""
        return jnp.take_along_axis(self.outputs, self.num_changed[:, None], axis=1)[:, 0]


def removal(
    game: ModelGame,
    attribution: Attribution,
    *,
    top: int = 5,
    keep: bool = False,
    sign: str = "positive",
    batch_size: int | None = None,
) -> Removal:
    """Removes the strongest players of each example one by one, and computes what the output becomes.

    Why: the plainest test of an explanation. Without the players that speak for the output, the output should fall.
    `xai.plot.removal` draws images before and after.

    Args:
      game: `xai.game(model, x, masker, target=...)`, whose masker removes the players.
      attribution: values [N, M] of the game's players; maps and values of other regions are averaged over the players,
        as by `xai.metrics.insertion`.
      top: T, how many players, the strongest of the sign. Default 5.
      keep: whether these are kept and all others removed. Default False: these are removed.
      sign: "positive" for players that speak for the output, "negative" or "both". Default "positive".
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      A `Removal`, after T + 2 evaluations of the game for each example.

    Raises:
      TypeError, ValueError: if the game is not one of a model, or the attribution does not fit it.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> game = xai.game(lambda x: x.sum(axis=(1, 2, 3)), jnp.ones((1, 4, 4, 1)), xai.mask.grid(2, fill=0.0))
    >>> removed = xai.metrics.removal(game, xai.shap.exact(game), top=3)
    >>> removed.outputs.tolist(), removed.output_after.tolist()
    ([[16.0, 12.0, 8.0, 4.0]], [4.0])
    """
    if not isinstance(game, ModelGame):
        raise TypeError(f"`game` must be xai.game(model, x, masker), got {type(game).__name__}.")
    if not isinstance(attribution, Attribution):
        raise TypeError(f"`attribution` must be the result of an explainer, got {type(attribution).__name__}.")
    keep = check.flag("keep", keep)
    sign, top = check.one_of("sign", sign, SIGNS), check.positive_int("top", top)
    values = player_values(game, attribution)
    strengths = {"both": jnp.abs(values), "positive": jnp.maximum(values, 0), "negative": jnp.maximum(-values, 0)}[sign]
    top = min(top, game.num_players)
    steps, players = np.arange(top + 1)[:, None], np.arange(game.num_players)
    nested = np.concatenate([players < steps if keep else players >= steps, np.ones((1, game.num_players), bool)])
    outputs = _outputs(game, strengths, jnp.asarray(nested), batch_size=check.batch_size(batch_size))
    num_changed = jnp.minimum((strengths > 0).sum(axis=1), top)
    order = jnp.argsort(
        jnp.argsort(-strengths, axis=1, stable=True), axis=1
    )  # the rank of each player, 0 the strongest
    present = (order < num_changed[:, None]) == keep
    prepared = game.prepare()
    references = jax.vmap(game.masker.references)(game.x, prepared)
    return Removal(
        before=game.x,
        after=jax.vmap(game.masker.compose)(game.x, references[:, 0], present, prepared),
        output=outputs[:, -1],
        outputs=outputs[:, :-1],
        present=present,
        num_changed=num_changed,
        keep=keep,
        num_references=references.shape[1],
    )


@compiled(static_argnames=("batch_size",))
def _outputs(
    game: ModelGame, strengths: Float[Array, "N M"], coalitions: Bool[Array, "S M"], *, batch_size: int | None
) -> Float[Array, "N S"]:
    """Returns the values of coalitions whose player 0 is the strongest of each example, player 1 the next, and so on."""

    def solve(value: Value, _key: object, active: Bool[Array, " M"], strengths: Float[Array, " M"]) -> dict[str, Array]:
        outputs = by_rank(value, strengths, active)(coalitions)
        if outputs.ndim != 1:
            raise ValueError("`game` must have one output, got several: give xai.game a target.")
        return {"outputs": outputs, "output": outputs[-1]}

    fields = game.solve_each(solve, coalitions_at_once=len(coalitions), batch_size=batch_size, given=strengths)
    return fields["outputs"]
