"""Insertion and deletion (Petsiuk, Das & Saenko 2018): the output as the players of greatest value come or go.

area = integral over t in [0, 1] of v(the first t M players), or of v(all but the first t M players), by trapezoids
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.compile import compiled
from xaijax._core.game import Game, as_game
from xaijax._core.typing import Array, Bool, Float, Int
from xaijax.metrics._ranked import ranked


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Curve:
    """The outputs as players are inserted or deleted, the greatest value first; without N for a game written by hand.

    fractions: [N, M + 1] the share of the players that were inserted or deleted, from 0 to 1. Players that are not active
      (padding) do not count: where an example has some, its share stays at 1 for the last of them.
    outputs: [N, M + 1] the model's output at these fractions.
    area: [N] the area under the curve, by trapezoids.
    target: [N] the class whose output it is; None for a score and for games.
    order: "insertion" or "deletion".
    method: the explainer's name.
    """

    fractions: Float[Array, "..."]
    outputs: Float[Array, "..."]
    area: Float[Array, "..."]
    target: Int[Array, "..."] | None = None
    order: str = dataclasses.field(default="", metadata={"static": True}, kw_only=True)
    method: str = dataclasses.field(default="", metadata={"static": True}, kw_only=True)


def insertion(game: Game, attribution: Attribution, *, batch_size: int | None = None) -> Curve:
    """Computes the output as players are inserted one by one, the greatest value first.

    Why: an attribution that is faithful to the model raises the output early, so that the area is large. The curve uses
    the game's own way of removing players, so it compares methods only where this is the same.

    Args:
      game: xai.game(model, x, masker, target=...), or xai.Game(value, num_players). The masker defines the input before
        any player is inserted; RISE starts from a blurred image, `xai.mask.superpixels(50, fill="blur")`.
      attribution: values [N, M] of the game's players, or [M] of one game; or maps [N, h, w], or values of other
        regions, which are averaged over each of the game's players (a map is resized linearly before). The order is by
        value: evidence against the output comes last.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      A `Curve`, after M + 1 evaluations of the game for each example. NaN where an input or a value is NaN.

    Raises:
      TypeError: if the game or the attribution is of another type.
      ValueError: if their players do not fit, there are several outputs, or they are of different classes.

    References:
      Petsiuk, Das & Saenko (2018), RISE: Randomized input sampling for explanation of black-box models,
      arXiv:1806.07421, section 4.2. There single pixels come in steps; here it is one player at a time.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> game = xai.Game(lambda coalitions: coalitions @ jnp.array([4.0, 7.0, 5.0]), num_players=3)
    >>> curve = xai.metrics.insertion(game, xai.shap.exact(game))
    >>> [round(output, 3) for output in curve.outputs.tolist()], round(float(curve.area), 3)
    ([0.0, 7.0, 12.0, 16.0], 9.0)
    """
    return _read_and_run(game, attribution, "insertion", batch_size)


def deletion(game: Game, attribution: Attribution, *, batch_size: int | None = None) -> Curve:
    """Computes the output as players are deleted one by one, the greatest value first.

    Why: an attribution that is faithful to the model lowers the output early, so that the area is small.

    Args:
      game: as in `insertion`; RISE paints removed pixels gray.
      attribution: as in `insertion`.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      A `Curve`, as from `insertion`.

    Raises:
      TypeError, ValueError: as `insertion`.

    References:
      Petsiuk, Das & Saenko (2018), arXiv:1806.07421, section 4.2.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> game = xai.Game(lambda coalitions: coalitions @ jnp.array([4.0, 7.0, 5.0]), num_players=3)
    >>> curve = xai.metrics.deletion(game, xai.shap.exact(game))
    >>> [round(output, 3) for output in curve.outputs.tolist()], round(float(curve.area), 3)
    ([16.0, 9.0, 4.0, 0.0], 7.0)
    """
    return _read_and_run(game, attribution, "deletion", batch_size)


def _read_and_run(game: Any, attribution: Any, order: str, batch_size: int | None) -> Curve:
    game = as_game(game)
    if not isinstance(attribution, Attribution):
        raise TypeError(f"`attribution` must be the result of an explainer, got {check.shown(attribution)}.")
    curve = _curve(game, attribution, order=order, batch_size=check.batch_size(batch_size))
    _check_targets(curve.target, attribution.target)
    return curve


@compiled(static_argnames=("order", "batch_size"))
def _curve(game: Game, attribution: Attribution, *, order: str, batch_size: int | None) -> Curve:
    nested = _nested(game.num_players, order)

    def solve(value: Any, _key: Any, active: Bool[Array, " M"]) -> dict[str, Array]:
        outputs = value(nested)
        if outputs.ndim != 1:
            raise ValueError(
                "`game` must have one output, by which its players are ordered, got several: pass a target to xai.game."
            )
        count = jnp.maximum(active.sum(), 1)
        fractions = jnp.minimum(jnp.arange(len(outputs)), count).astype(outputs.dtype) / count
        area = (jnp.diff(fractions) * (outputs[1:] + outputs[:-1]) / 2).sum()
        return {"fractions": fractions, "outputs": outputs, "area": area, "output": outputs[-1]}

    fields = ranked(game, attribution).solve_each(solve, coalitions_at_once=len(nested), batch_size=batch_size)
    kept = {name: fields.get(name) for name in ("fractions", "outputs", "area", "target")}
    curve = Curve(**kept, order=order, method=attribution.method)  # pyright: ignore[reportArgumentType]
    unknown = jnp.isnan(attribution.values)  # these have no order
    unknown = unknown.any() if curve.area.ndim == 0 else unknown.reshape(len(unknown), -1).any(axis=1)
    return check.nan_where(unknown, curve)


def _nested(num_players: int, order: str) -> Bool[Array, "S M"]:
    """Returns coalitions that grow, or shrink, by one player at a time, in the order of their numbers."""
    steps, players = np.arange(num_players + 1)[:, None], np.arange(num_players)
    return jnp.asarray(players < steps if order == "insertion" else players >= steps)


def _check_targets(of_game: Any, of_attribution: Any) -> None:
    if of_game is None or of_attribution is None or not check.is_concrete(of_game, of_attribution):
        return
    own, explained = np.asarray(of_game), np.asarray(of_attribution)
    if own.shape == explained.shape and (own != explained).any():
        first = int(np.flatnonzero(own != explained)[0])
        raise ValueError(
            f"`attribution` must explain the game's own output, got class {explained[first]} for example {first}, where the "
            f"game has class {own[first]}: make the game with target=attribution.target."
        )
