"""How an estimator's values settle as it evaluates more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax.plot._axes import caption, check_attribution, new_axes, one_row, player_names, titled
from xaijax.plot._fonts import label_style
from xaijax.plot._series import MARKERS, color_of, logarithmic

_LOGARITHMIC = 10  # from the fewest evaluations to the most


def convergence(
    attributions: Sequence[Attribution],
    *,
    example: int = 0,
    evaluations: Any = None,
    truth: Any = None,
    output: int | str | None = None,
    output_names: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    players: Sequence[int] | None = None,
    top: int = 5,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draws values against the number of evaluations, each with the band that holds the truth in 95 % of all draws.

    Why: it shows whether more evaluations would change the picture, and whether the standard errors are honest: the bands
    should close about one number, and about the truth where it is known.

    Args:
      attributions: by one estimator of the same game with more and more evaluations: two at least, each of values [N, M]
        with std_errors (without them no bands are drawn).
      example: which row to draw.
      evaluations: how many each took, one number for each attribution. Default: their own num_evaluations.
      truth: the exact values, an attribution or [M] or [N, M] numbers: dashed lines.
      output, output_names: which output, by number or name, where all are explained, and their names.
      names: M names of the players.
      players: which ones to draw. Default: the strongest by the last attribution.
      top: how many, where players are not given. Default 5.
      ax: axes to draw on. Default: those of a new figure.
      title: default, the method and the output.

    Returns:
      The axes: a line for each player, the largest value first in the legend. The axis of evaluations is logarithmic where
      the most are ten times the fewest.

    Raises:
      TypeError, ValueError: if the attributions are of different games, or do not say how much they evaluated.

    >>> import jax, jax.numpy as jnp, xaijax as xai
    >>> game = xai.Game(lambda z: z @ jnp.array([1.0, 2.0]) + z[:, 0] * z[:, 1], num_players=2)
    >>> runs = [xai.shap.permutation(game, num_permutations=n, key=jax.random.key(0)) for n in (2, 8)]
    >>> ax = xai.plot.convergence(runs, truth=xai.shap.exact(game), names=["a", "b"])
    >>> ax.get_legend_handles_labels()[1]
    ['b', 'a', 'exact']
    """
    if isinstance(attributions, Attribution) or not isinstance(attributions, Sequence) or len(attributions) < 2:
        raise TypeError("attributions must be a sequence of two at least, of more and more evaluations.")
    rows = [one_row(one, example, output=output, output_names=output_names) for one in attributions]
    counts = [len(row.values) for row in rows]
    if len(set(counts)) > 1:
        raise ValueError(f"attributions must be of one game, but they have {counts} players.")
    values, errors = np.stack([row.values for row in rows]), np.stack([row.std_errors for row in rows])
    at = _evaluations(attributions, evaluations, example)
    order = np.argsort(at, kind="stable")
    at, values, errors = at[order], values[order], errors[order]
    labels = player_names(names, counts[0])
    exact = _truth(truth, example, counts[0], output, output_names)
    shown = _players(players, values[-1], top)

    ax = new_axes(ax, (6.6, 4.0))
    for number, player in enumerate(sorted(shown, key=lambda player: -values[-1, player])):
        color = color_of(number)
        band = 1.96 * errors[:, player]
        ax.fill_between(at, values[:, player] - band, values[:, player] + band, color=color, alpha=0.16, lw=0)
        marker = MARKERS[number % len(MARKERS)]
        ax.plot(at, values[:, player], color=color, marker=marker, ms=4.5, lw=1.5, label=labels[player])
        if exact is not None:
            ax.axhline(exact[player], color=color, lw=1.1, ls=(0, (4, 2)), zorder=1)
    if exact is not None:
        ax.plot([], [], color="0.4", lw=1.1, ls=(0, (4, 2)), label="exact")
    if at[-1] >= _LOGARITHMIC * at[0] > 0:
        logarithmic(ax)
    ax.set_xlabel("evaluations of the game" + ("; bands hold 95 %" if errors.any() else ""), fontsize=9)
    ax.set_ylabel("value", fontsize=9)
    ax.tick_params(labelsize=8)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8, frameon=False, prop=_font(labels))
    titled(ax, title, caption(attributions[-1].method, rows[-1].of))
    return ax


def _font(labels: list[str]) -> dict[str, Any]:
    style = label_style(labels)
    return {"size": 8} | ({"family": style["fontfamily"]} if "fontfamily" in style else {})


def _evaluations(attributions: Sequence[Attribution], given: Any, example: int) -> np.ndarray:
    if given is None:
        missing = [number for number, one in enumerate(attributions) if one.num_evaluations is None]
        if missing:
            raise ValueError(f"attributions {missing} do not say how much they evaluated: pass evaluations.")
        found = [np.asarray(one.num_evaluations) for one in attributions]
        return np.array([float(one if one.ndim == 0 else one[example]) for one in found])
    numbers = np.asarray(check.numeric_array("evaluations", given), np.float64)
    if numbers.shape != (len(attributions),) or not (numbers > 0).all():
        raise ValueError(
            f"evaluations must be {len(attributions)} numbers above 0, one for each attribution, but it is {numbers.tolist()}."
        )
    return numbers


def _truth(truth: Any, example: int, count: int, output: Any, output_names: Any) -> np.ndarray | None:
    if truth is None:
        return None
    if isinstance(truth, Attribution):
        check_attribution(truth)
        exact = one_row(truth, example, output=output, output_names=output_names).values
    else:
        exact = np.asarray(check.numeric_array("truth", truth), np.float64)
        exact = exact[example] if exact.ndim == 2 else exact
    if exact.shape != (count,) or not np.isfinite(exact).all():
        raise ValueError(
            f"truth must be {count} finite values, one for each player, but its shape is {list(exact.shape)}."
        )
    return exact


def _players(players: Any, values: np.ndarray, top: int) -> list[int]:
    if players is None:
        return np.argsort(-np.abs(values), kind="stable")[: check.positive_int("top", top)].tolist()
    chosen = [check.positive_int("players", player, least=0) for player in players]
    if not chosen or max(chosen) >= len(values):
        raise ValueError(f"players must be numbers from 0 to {len(values) - 1}, one at least, but it is {players!r}.")
    return chosen
