"""Curves of the output as the players of greatest value come or go, and the areas under and between them.

Insertion and deletion (Petsiuk, Das & Saenko 2018), by trapezoids:
area = integral over t in [0, 1] of v(the first t M players), or of v(all but the first t M players)

Symmetric relevance gain (Blücher, Vielhaben & Strodthoff 2024), of players removed in either order:
gain = area (least relevant first) - area (most relevant first)
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
from xaijax._core.game import Game, Value
from xaijax._core.typing import Array, Bool, Float, Int
from xaijax.metrics._players import by_rank, check_targets, read_game_and_attribution, score_each
from xaijax.metrics._score import Score

LEAST_FIRST = "deletion, the least value first"
BETTER = {"insertion": "higher", "deletion": "lower", LEAST_FIRST: "higher"}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Curve(Score):
    """A score with the outputs that it comes from; without N for a game written by hand.

    values: [N] the score: of insertion and deletion the area under the curve, by trapezoids.
    fractions: [N, T] the share of the players that were inserted or deleted: T = M + 1 shares from 0 to 1 for insertion and
      deletion. Players that are not active (padding) do not count: where an example has some, its share stays at 1 for the
      last of them.
    outputs: [N, T] the model's output at these fractions.
    target: [N] the class whose output it is; None for a score and for games.
    std_errors, metric, better, method: as of a `Score`.
    """

    fractions: Float[Array, "*N T"] = dataclasses.field(kw_only=True)
    outputs: Float[Array, "*N T"] = dataclasses.field(kw_only=True)
    target: Int[Array, "*N"] | None = dataclasses.field(default=None, kw_only=True)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class RelevanceGain(Score):
    """The symmetric relevance gain of each example, and the two curves that it lies between.

    values: [N] the area under `least_first` minus that under `most_first`.
    most_first: the outputs as the players of greatest value are deleted first: the curve of `deletion`.
    least_first: the outputs as those of least value are deleted first.
    std_errors, metric, better, method: as of a `Score`.
    """

    most_first: Curve = dataclasses.field(kw_only=True)
    least_first: Curve = dataclasses.field(kw_only=True)


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
    >>> [round(output, 3) for output in curve.outputs.tolist()], round(float(curve.values), 3)
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
      Petsiuk, Das & Saenko (2018), arXiv:1806.07421, section 4.2. Quantus' PixelFlipping leaves out the full input, and
      its area is not divided by the number of players.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> game = xai.Game(lambda coalitions: coalitions @ jnp.array([4.0, 7.0, 5.0]), num_players=3)
    >>> curve = xai.metrics.deletion(game, xai.shap.exact(game))
    >>> [round(output, 3) for output in curve.outputs.tolist()], round(float(curve.values), 3)
    ([16.0, 9.0, 4.0, 0.0], 7.0)
    """
    return _read_and_run(game, attribution, "deletion", batch_size)


def symmetric_relevance_gain(game: Game, attribution: Attribution, *, batch_size: int | None = None) -> RelevanceGain:
    """Computes the area between the outputs as the least and as the most relevant players are removed first.

    Why: deletion alone rewards players whose removal leaves the data distribution, which lowers any output. That happens in
    both orders, and their difference is what the attribution knows. A random order has the expectation 0, as it is as
    likely as its reverse; so the gain needs no normalization. Reversed values have the negative gain.

    Removing the least relevant players first is inserting the most relevant ones, read from the end: the gain equals the
    area of `insertion` minus that of `deletion` in the same game.

    Args:
      game: as in `insertion`.
      attribution: as in `insertion`.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      A `RelevanceGain` in units of the output, after 2 M evaluations of the game for each example. NaN where an
      input or a value is NaN.

    Raises:
      TypeError, ValueError: as `insertion`.

    References:
      Blücher, Vielhaben & Strodthoff (2024), Decoupling pixel flipping and occlusion strategy for consistent XAI
      benchmarks, arXiv:2401.06654.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> game = xai.Game(lambda coalitions: coalitions @ jnp.array([4.0, 7.0, 5.0]), num_players=3)
    >>> gain = xai.metrics.symmetric_relevance_gain(game, xai.shap.exact(game))
    >>> [round(output, 3) for output in gain.least_first.outputs.tolist()], round(float(gain.values), 3)
    ([16.0, 12.0, 7.0, 0.0], 2.0)
    """
    game = read_game_and_attribution(game, attribution)
    gain = _gain(game, attribution, batch_size=check.batch_size(batch_size))
    check_targets(gain.most_first.target, attribution.target)
    return gain


def _read_and_run(game: Any, attribution: Any, order: str, batch_size: int | None) -> Curve:
    game = read_game_and_attribution(game, attribution)
    curve = _curve(game, attribution, order=order, batch_size=check.batch_size(batch_size))
    check_targets(curve.target, attribution.target)
    return curve


@compiled(static_argnames=("order", "batch_size"))
def _curve(game: Game, attribution: Attribution, *, order: str, batch_size: int | None) -> Curve:
    coalitions = jnp.asarray(_nested(game.num_players, order))

    def solve(
        value: Value, _key: Any, active: Bool[Array, " M"], _exists: Any, values: Float[Array, " M"]
    ) -> dict[str, Array]:
        return _with_area(by_rank(value, values, active)(coalitions), active)

    fields = score_each(game, attribution, solve, coalitions_at_once=len(coalitions), batch_size=batch_size)
    return Curve(**fields, metric=order, better=BETTER[order], method=attribution.method)


@compiled(static_argnames=("batch_size",), title="metrics.symmetric_relevance_gain")
def _gain(game: Game, attribution: Attribution, *, batch_size: int | None) -> RelevanceGain:
    players = game.num_players
    deleted, inserted = (_nested(players, order) for order in ("deletion", "insertion"))
    coalitions = jnp.asarray(np.concatenate([deleted, inserted[1:-1]]))  # both curves have the same ends

    def solve(
        value: Value, _key: Any, active: Bool[Array, " M"], _exists: Any, values: Float[Array, " M"]
    ) -> dict[str, dict[str, Array]]:
        outputs = by_rank(value, values, active)(coalitions)
        most_first = outputs[: players + 1]
        inserted = jnp.concatenate([most_first[-1:], outputs[players + 1 :], most_first[:1]])
        least_first = inserted[jnp.maximum(active.sum() - jnp.arange(players + 1), 0)]
        return {"most_first": _with_area(most_first, active), "least_first": _with_area(least_first, active)}

    fields = score_each(game, attribution, solve, coalitions_at_once=len(coalitions), batch_size=batch_size)
    most, least = (
        Curve(**fields[name], target=fields["target"], metric=order, better=BETTER[order], method=attribution.method)
        for name, order in (("most_first", "deletion"), ("least_first", LEAST_FIRST))
    )
    return RelevanceGain(
        least.values - most.values,
        most_first=most,
        least_first=least,
        metric="symmetric relevance gain",
        better="higher",
        method=attribution.method,
    )


def _with_area(outputs: Float[Array, " T"], active: Bool[Array, " M"]) -> dict[str, Array]:
    """Returns the fields of the curve through the outputs with 0, 1, ... active players inserted or deleted."""
    count = jnp.maximum(active.sum(), 1).astype(outputs.dtype)
    fractions = jnp.minimum(jnp.arange(len(outputs), dtype=outputs.dtype), count) / count
    area = (jnp.diff(fractions) * (outputs[1:] + outputs[:-1]) / 2).sum()
    return {"values": area, "fractions": fractions, "outputs": outputs}


def _nested(num_players: int, order: str) -> np.ndarray:
    """Returns coalitions [M + 1, M] that grow, or shrink, by one player at a time, in the order of their numbers."""
    steps, players = np.arange(num_players + 1)[:, None], np.arange(num_players)
    return players < steps if order == "insertion" else players >= steps
