"""Sufficiency and comprehensiveness (DeYoung et al. 2020): the output that the players of greatest value leave or take along.

sufficiency       = mean over shares t of v(all players) - v(the first t M players alone)
comprehensiveness = mean over shares t of v(all players) - v(all but the first t M players)
"""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.compile import compiled
from xaijax._core.game import Game, Value
from xaijax._core.typing import Array, Bool, Float
from xaijax.metrics._players import by_rank, check_targets, read_game_and_attribution, score_each
from xaijax.metrics.faithfulness._curves import Curve

_SHARES = (0.01, 0.05, 0.1, 0.2, 0.5)  # of the paper
_BETTER = {"sufficiency": "lower", "comprehensiveness": "higher"}


def sufficiency(
    game: Game,
    attribution: Attribution,
    *,
    shares: float | Sequence[float] = _SHARES,
    batch_size: int | None = None,
) -> Curve:
    """Computes how much of the output is lost when only the players of greatest value stay, averaged over shares of players.

    Why: if these are what the model decides by, they alone give nearly the same output, and the loss is small. Made for
    texts, whose words a person reads as the reason; `comprehensiveness` asks whether other players would do as well.

    Args:
      game: `xai.game(model, x, masker, target=...)`, such as with `xai.mask.tokens`, or `xai.Game(value, num_players)`. The
        paper explains the probability of the predicted class, by a model of probabilities or `target=xai.target.probability()`.
      attribution: as in `insertion`: values [N, M] of the players, or a map that is averaged over each of them.
      shares: shares of each example's active players, from 0 to 1, rounded up to whole players. Default: 1, 5, 10, 20 and
        50 %, as in the paper.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      A `Curve`: values [N], the mean loss in units of the output; fractions [N, T], the shares in whole players; outputs
      [N, T] of these players alone. It takes T + 1 evaluations of the game for each example. NaN where an input or a value
      is NaN.

    Raises:
      TypeError, ValueError: as `insertion`, or if the shares are none between 0 and 1.

    References:
      DeYoung et al. (2020), ERASER: A benchmark to evaluate rationalized NLP models, arXiv:1911.03429, section 4.2. Its
      equation for several shares counts the share 0 as one more; its code averages over the shares alone, as here. Pass
      0 as one of the shares for the equation.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> game = xai.Game(lambda coalitions: coalitions @ jnp.array([4.0, 7.0, 5.0, 0.0]), num_players=4)
    >>> lost = xai.metrics.sufficiency(game, xai.shap.exact(game), shares=[0.25, 0.5])
    >>> [round(output, 3) for output in lost.outputs.tolist()], round(float(lost.values), 3)
    ([7.0, 12.0], 6.5)
    """
    return _read_and_run(game, attribution, shares, "sufficiency", batch_size)


def comprehensiveness(
    game: Game,
    attribution: Attribution,
    *,
    shares: float | Sequence[float] = _SHARES,
    batch_size: int | None = None,
) -> Curve:
    """Computes how much of the output is lost without the players of greatest value, averaged over shares of players.

    Why: if these are all that the model decides by, little remains without them, and the loss is large.

    Args:
      game: as in `sufficiency`.
      attribution: as in `sufficiency`.
      shares: as in `sufficiency`.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      A `Curve`, as from `sufficiency`; outputs [N, T] are those without the players.

    Raises:
      TypeError, ValueError: as `sufficiency`.

    References:
      DeYoung et al. (2020), arXiv:1911.03429, section 4.2.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> game = xai.Game(lambda coalitions: coalitions @ jnp.array([4.0, 7.0, 5.0, 0.0]), num_players=4)
    >>> lost = xai.metrics.comprehensiveness(game, xai.shap.exact(game), shares=[0.25, 0.5])
    >>> [round(output, 3) for output in lost.outputs.tolist()], round(float(lost.values), 3)
    ([9.0, 4.0], 9.5)
    """
    return _read_and_run(game, attribution, shares, "comprehensiveness", batch_size)


def _read_and_run(game: Any, attribution: Any, shares: Any, metric: str, batch_size: int | None) -> Curve:
    game = read_game_and_attribution(game, attribution)
    curve = _top_shares(
        game, attribution, shares=_read_shares(shares), metric=metric, batch_size=check.batch_size(batch_size)
    )
    check_targets(curve.target, attribution.target)
    return curve


def _read_shares(shares: Any) -> tuple[float, ...]:
    shares = [shares] if isinstance(shares, numbers.Number) else shares
    if not check.is_list(shares) or len(shares) == 0:
        raise TypeError(f"`shares` must be numbers between 0 and 1, such as [0.1, 0.2], got {check.shown(shares)}.")
    read = tuple(check.finite_float("shares", share, expected="between 0 and 1") for share in shares)
    if min(read) < 0 or max(read) > 1:
        raise ValueError(f"`shares` must be between 0 and 1, got {check.shown(list(read))}: write 10 % as 0.1.")
    return read


@compiled(static_argnames=("shares", "metric", "batch_size"), title=lambda options: f"metrics.{options['metric']}")
def _top_shares(
    game: Game, attribution: Attribution, *, shares: tuple[float, ...], metric: str, batch_size: int | None
) -> Curve:
    num_players = game.num_players
    # Of 0 to M active players; rounding to nine digits keeps 0.1 x 30 at 3.
    counts = np.ceil(np.round(np.arange(num_players + 1)[:, None] * np.asarray(shares), 9)).astype(np.int32)

    def solve(
        value: Value, _key: Any, active: Bool[Array, " M"], _exists: Any, values: Float[Array, " M"]
    ) -> dict[str, Array]:
        num_active = active.sum()
        top = np.arange(num_players, dtype=np.int32)[None] < jnp.asarray(counts)[num_active][:, None]
        coalitions = top if metric == "sufficiency" else ~top
        coalitions = jnp.concatenate([jnp.ones((1, num_players), bool), coalitions])
        outputs = by_rank(value, values, active)(coalitions)
        kept, of = (part.astype(outputs.dtype) for part in (jnp.asarray(counts)[num_active], num_active))
        fractions = kept / jnp.maximum(of, 1)
        return {"values": (outputs[0] - outputs[1:]).mean(), "fractions": fractions, "outputs": outputs[1:]}

    fields = score_each(game, attribution, solve, coalitions_at_once=1 + len(shares), batch_size=batch_size)
    return Curve(**fields, metric=metric, better=_BETTER[metric], method=attribution.method)
