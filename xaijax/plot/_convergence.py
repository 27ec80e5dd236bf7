"""The values of an estimator against the number of evaluations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.typing import ArrayOrSequence, NamesLike
from xaijax._core.words import Z
from xaijax.plot._parts.axes import caption, draw_legend, draws, logarithmic, new_axes, titled, without_frame
from xaijax.plot._parts.colors import MARKERS, color_of
from xaijax.plot._parts.players import shown_and_others
from xaijax.plot._parts.rows import UNUSED, check_attribution, check_example, row_of

_LOGARITHMIC = 10  # from the fewest evaluations to the most


@draws
def convergence(
    attributions: Sequence[Attribution],
    *,
    example: int = 0,
    evaluations: ArrayOrSequence | None = None,
    truth: Attribution | ArrayOrSequence | None = None,
    output: int | str | None = None,
    output_names: Sequence[str] | None = None,
    names: NamesLike = None,
    players: Sequence[int | str] | None = None,
    top: int = 5,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draws values against the number of evaluations, each with the band that covers the truth in 95 % of all draws.

    Why: it shows whether more evaluations would change the picture, and whether the standard errors are honest. The bands
    should close around one number, and around the truth where it is known.

    Args:
      attributions: by one estimator of the same game with more and more evaluations: at least two, each of values [N, M]
        with std_errors (without them no bands are drawn).
      example: the row to draw.
      evaluations: how many each took, one number for each attribution. Default: their own num_evaluations.
      truth: the exact values, an attribution or [M] or [N, M] numbers, drawn as dashed lines.
      output: the output, by index or name, where all K are explained.
      output_names: names of the outputs. Default: the attribution's own.
      names: M names of the players. Default: the attribution's own.
      players: the players to draw, by index or name. Default: the strongest by the last attribution.
      top: how many, where players are not given. Default 5.
      ax: axes to draw on. Default: those of a new figure.
      title: Default: the method and the output.

    Returns:
      The axes, with a line for each player, the largest value first in the legend. The axis of evaluations is logarithmic
      where the largest number is at least ten times the smallest.

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
        raise TypeError(
            f"`attributions` must be a sequence of at least two, with more and more evaluations, got "
            f"{check.shown(attributions)}."
        )
    options = {"names": names, "inputs": UNUSED, "output": output, "output_names": output_names}
    for number, attribution in enumerate(attributions):
        check_attribution(attribution, f"attributions[{number}]")
    rows = [row_of(attribution, example, **options) for attribution in attributions]
    counts = [len(row.values) for row in rows]
    if len(set(counts)) > 1:
        raise ValueError(f"`attributions` must be of one game, got {counts} players.")
    values, errors = np.stack([row.values for row in rows]), np.stack([row.std_errors for row in rows])
    at = _evaluations(attributions, evaluations, example)
    increasing = np.argsort(at, kind="stable")
    at, values, errors = at[increasing], values[increasing], errors[increasing]
    labels = rows[-1].labels
    exact = _truth(truth, example, counts[0], output, output_names)
    shown, _ = shown_and_others(values[-1], top if players is None else counts[0], players, rows[-1].names, "players")

    ax = new_axes(ax, (6.6, 4.0))
    for number, player in enumerate(sorted(shown, key=lambda player: -values[-1, player])):
        color = color_of(number)
        band = Z * errors[:, player]
        ax.fill_between(at, values[:, player] - band, values[:, player] + band, color=color, alpha=0.16, lw=0)
        marker = MARKERS[number % len(MARKERS)]
        ax.plot(at, values[:, player], color=color, marker=marker, ms=4.5, lw=1.5, label=labels[player])
        if exact is not None:
            ax.axhline(float(exact[player]), color=color, lw=1.1, ls=(0, (4, 2)), zorder=1)
    if exact is not None:
        ax.plot([], [], color="0.4", lw=1.1, ls=(0, (4, 2)), label="exact")
    if at[-1] >= _LOGARITHMIC * at[0] > 0:
        logarithmic(ax)
    ax.set_xlabel("evaluations of the game" + ("; bands cover 95 %" if errors.any() else ""), fontsize=9)
    ax.set_ylabel("value", fontsize=9)
    ax.tick_params(labelsize=8)
    without_frame(ax)
    draw_legend(ax, loc="center left", bbox_to_anchor=(1.0, 0.5))
    titled(ax, title, caption(attributions[-1].method, rows[-1].of))
    return ax


def _evaluations(attributions: Sequence[Attribution], given: ArrayOrSequence | None, example: int) -> np.ndarray:
    if given is None:
        missing = [number for number, each in enumerate(attributions) if each.num_evaluations is None]
        if missing:
            raise ValueError(
                f"`evaluations` must be given, since attributions {missing} do not state their num_evaluations."
            )
        counts = [np.asarray(each.num_evaluations) for each in attributions]
        return np.array([float(each if each.ndim == 0 else each[example]) for each in counts])
    numbers = np.asarray(check.numeric_array("evaluations", given), np.float64)
    if numbers.shape != (len(attributions),) or not (numbers > 0).all():
        raise ValueError(
            f"`evaluations` must be {len(attributions)} numbers above 0, one for each attribution, got {check.shown(given)}."
        )
    return numbers


def _truth(
    truth: Attribution | ArrayOrSequence | None,
    example: int,
    count: int,
    output: int | str | None,
    output_names: Sequence[str] | None,
) -> np.ndarray | None:
    if truth is None:
        return None
    if isinstance(truth, Attribution):
        exact = row_of(truth, example, names=UNUSED, inputs=UNUSED, output=output, output_names=output_names).values
    else:
        exact = np.asarray(check.numeric_array("truth", truth), np.float64)
        exact = exact[check_example(example, len(exact))] if exact.ndim == 2 and len(exact) else exact
    if exact.shape != (count,) or not np.isfinite(exact).all():
        raise ValueError(f"`truth` must be {count} finite values, one for each player, got shape {list(exact.shape)}.")
    return exact
