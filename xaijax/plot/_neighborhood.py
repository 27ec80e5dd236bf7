"""A local explanation in two dimensions: the samples around an instance, and the line fitted to them."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize

from xaijax._core import check
from xaijax._core.attribution import Surrogate
from xaijax._core.typing import ArrayOrSequence, NamesLike
from xaijax.metrics import PartialDependence
from xaijax.plot._parts.axes import draw_legend, draws, new_axes, titled
from xaijax.plot._parts.colors import SIGNED
from xaijax.plot._parts.fonts import label_style
from xaijax.plot._parts.players import labels_of, player_names
from xaijax.plot._parts.rows import check_attribution, check_example

_AREA, _AREAS = 90.0, 6000.0  # square points: of the largest weight at most, and the sum over all samples
_INSTANCE = "#ffd23f"
_STRENGTH = 0.35  # of the surface's colors, so that samples stand out


@draws
def neighborhood(
    rows: ArrayOrSequence,
    outputs: ArrayOrSequence,
    *,
    instance: ArrayOrSequence,
    weights: ArrayOrSequence | None = None,
    surrogate: Surrogate | None = None,
    example: int = 0,
    repeats: bool = False,
    surface: PartialDependence | None = None,
    level: float | None = None,
    features: tuple[int, int] = (0, 1),
    names: NamesLike = None,
    limits: ArrayOrSequence | None = None,
    legend: bool = True,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draws the samples of a local explanation, colored by the model's output, with their weight as area.

    A dashed line shows where the surrogate equals `level`. With a surface, a curve shows where the model equals it: close to
    the instance, the line should follow the curve. All other features are those of the instance.

    Args:
      rows: [S, D] the samples, as the model saw them.
      outputs: [S] the model's outputs.
      instance: [D] the explained row.
      weights: [S] the weight of each sample; samples of weight 0 are not drawn. Default: all equal.
      surrogate: from `xai.lime.tabular`, with slopes [N, D].
      example: which of the surrogate's examples the instance is.
      repeats: whether the other examples are the same instance with other samples: their lines are drawn faintly. Default
        False.
      surface: the model's output around the instance, for the background:
        `xai.metrics.partial_dependence(model, instance[None], (0, 1), grids=(across, up))` for features 0 and 1.
      level: the output at the lines, which is white. Default: 0.5 where all outputs are probabilities, otherwise the
        surrogate's own prediction or the mean output.
      features: the indices of the two features to draw.
      names: D names of the features. Default: the surrogate's own.
      limits: ((left, right), (bottom, top)). Default: those of the surface or of the samples.
      legend: whether to explain the markers below the axes. Default True.
      ax: axes to draw on. Default: those of a new figure.
      title: Default: the method and its local R².

    Returns:
      The axes.

    Raises:
      TypeError, ValueError: if shapes do not fit, numbers are not finite, or the surrogate has no slopes.

    References:
      Ribeiro, Singh & Guestrin (2016), arXiv:1602.04938, figure 3.

    >>> import numpy as np, xaijax as xai
    >>> rows = np.random.default_rng(0).normal(size=(20, 2))
    >>> ax = xai.plot.neighborhood(rows, rows @ [1.0, 2.0], instance=np.zeros(2), names=["age", "income"])
    >>> ax.get_xlabel(), ax.get_ylabel(), len(ax.collections[0].get_offsets())
    ('age', 'income', 20)
    """
    rows, instance = _numbers("rows", rows, 2), _numbers("instance", instance, 1)
    count, width = rows.shape
    outputs = _numbers("outputs", outputs, 1)
    weights = np.ones(count) if weights is None else _numbers("weights", weights, 1)
    for name, length in (("outputs", count), ("weights", count), ("instance", width)):
        given = {"outputs": outputs, "weights": weights, "instance": instance}[name]
        if len(given) != length:
            raise ValueError(f"`{name}` must have {length} numbers to fit rows {list(rows.shape)}, got {len(given)}.")
    if (weights < 0).any() or not weights.any():
        raise ValueError("`weights` must be zero or more, at least one of them above zero.")
    pair = _check_features(features, width)
    example = check.positive_int("example", example, least=0 if surrogate is None else -count)
    slopes, predictions = _lines(surrogate, example, width)
    level = _level(outputs, predictions) if level is None else check.finite_float("level", level)
    repeats, legend = check.flag("repeats", repeats), check.flag("legend", legend)
    grids = None if surface is None else _check_surface(surface, pair)
    own = surrogate.names if names is None and surrogate is not None else names
    labels = labels_of(player_names(own, width, example=example), width, "feature")

    reach = max(float(np.abs(outputs - level).max()), 1e-12)
    norm = Normalize(level - reach, level + reach)
    ends = _limits(rows[:, pair], instance[pair], limits, grids)
    ax = new_axes(ax, (5.6, 4.8))
    if surface is not None and grids is not None:
        _draw_surface(ax, np.asarray(surface.outputs[0], np.float64).T, grids, norm, level)
    weighted = weights > 0
    order = np.flatnonzero(weighted)[np.argsort(-weights[weighted], kind="stable")]  # small ones above large ones
    ax.scatter(
        *rows[order][:, pair].T, s=_areas(weights[order]), c=outputs[order], cmap=SIGNED, norm=norm,
        alpha=0.85, lw=0.5, ec="0.35", zorder=3, label="sample, area: weight",
    )  # fmt: skip
    last = len(slopes) if repeats else min(len(slopes), 1)
    for number in range(last - 1, -1, -1):  # the surrogate of the samples shown comes last, above the others
        _line(ax, slopes[number][pair], predictions[number], instance[pair], level, first=number == 0)
    ax.plot(*instance[pair], "P", ms=13, mfc=_INSTANCE, mec="black", mew=1.4, ls="", zorder=6, label="instance")
    ax.set_xlim(*ends[0])
    ax.set_ylim(*ends[1])
    ax.set_xlabel(labels[pair[0]], fontsize=9, **label_style(labels))
    ax.set_ylabel(labels[pair[1]], fontsize=9, **label_style(labels))
    ax.tick_params(labelsize=8)
    bar = ax.figure.colorbar(ScalarMappable(norm, SIGNED), ax=ax, fraction=0.046, pad=0.03)
    bar.set_label(f"the model's output; white is {level:.3g}", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    if legend:
        draw_legend(ax, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2)
    titled(ax, title, _caption(surrogate, example))
    return ax


def _numbers(name: str, given: Any, rank: int) -> np.ndarray:
    array = np.asarray(check.numeric_array(name, given), np.float64)
    if array.ndim != rank or array.size == 0:
        raise ValueError(f"`{name}` must have {rank} {'axis' if rank == 1 else 'axes'}, got shape {list(array.shape)}.")
    if not np.isfinite(array).all():
        raise ValueError(f"`{name}` must be finite, got NaN or infinity: drop those rows first.")
    return array


def _check_features(features: Any, width: int) -> list[int]:
    pair = list(features) if check.is_list(features) else []
    pair = [check.positive_int("features", feature, least=0) for feature in pair]
    if len(pair) != 2 or pair[0] == pair[1] or max(pair) >= width:
        raise ValueError(
            f"`features` must be two different indices from 0 to {width - 1}, got {check.shown(features)}."
        )
    return pair


def _check_surface(surface: PartialDependence, pair: list[int]) -> list[np.ndarray]:
    """Returns the grids of a surface of the two features that are drawn, around one row."""
    if not isinstance(surface, PartialDependence):
        raise TypeError(f"`surface` must come from xai.metrics.partial_dependence, got {check.shown(surface)}.")
    if list(surface.features) != pair or len(surface.outputs) != 1:
        raise ValueError(
            f"`surface` must be of features {tuple(pair)} around one row, got features {surface.features} of "
            f"{len(surface.outputs)} rows: pass xai.metrics.partial_dependence(model, instance[None], {tuple(pair)})."
        )
    return [np.asarray(grid, np.float64) for grid in surface.grids]


def _lines(surrogate: Surrogate | None, example: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns slopes [n, D] and predictions [n] of the surrogates, the example's first."""
    if surrogate is None:
        return np.zeros((0, width)), np.zeros(0)
    if not isinstance(surrogate, Surrogate) or surrogate.slopes is None:
        raise TypeError(
            "`surrogate` must be a result of xai.lime.tabular, with slopes for each feature, got one without slopes."
        )
    check_attribution(surrogate)
    slopes, predictions = np.asarray(surrogate.slopes, np.float64), np.asarray(surrogate.prediction, np.float64)
    if slopes.ndim == 1:
        slopes, predictions = slopes[None], predictions[None]
    if slopes.ndim != 2 or slopes.shape[1] != width or predictions.shape != slopes.shape[:1]:
        raise ValueError(
            f"`surrogate` must explain one output of {width} features, slopes [N, {width}], got shape {list(slopes.shape)}."
        )
    example = check_example(example, len(slopes))
    order = [example, *(number for number in range(len(slopes)) if number != example)]
    return slopes[order], predictions[order]


def _level(outputs: np.ndarray, predictions: np.ndarray) -> float:
    if outputs.min() >= 0 and outputs.max() <= 1:
        return 0.5
    return float(predictions[0]) if len(predictions) else float(outputs.mean())


def _limits(
    rows: np.ndarray, instance: np.ndarray, limits: ArrayOrSequence | None, grids: list[np.ndarray] | None
) -> np.ndarray:
    """Returns the smallest and the largest number on each axis, [2, 2]."""
    if limits is not None:
        given = np.asarray(check.numeric_array("limits", limits), np.float64)
        if given.shape != (2, 2) or not (given[:, 0] < given[:, 1]).all():
            raise ValueError(
                f"`limits` must be ((left, right), (bottom, top)), each increasing, got {check.shown(limits)}."
            )
        return given
    if grids is not None:
        return np.array([[grid[0], grid[-1]] for grid in grids])
    points = np.concatenate([rows, instance[None]])
    low, high = points.min(axis=0), points.max(axis=0)
    margin = np.where(high > low, 0.06 * (high - low), 1.0)
    return np.stack([low - margin, high + margin], axis=1)


def _areas(weights: np.ndarray) -> np.ndarray:
    """Returns areas proportional to the weights, smaller where many samples count."""
    effective = weights.sum() ** 2 / (weights**2).sum()
    return 2 + min(_AREA, _AREAS / effective) * weights / weights.max()


def _draw_surface(ax: Axes, outputs: np.ndarray, grids: list[np.ndarray], norm: Normalize, level: float) -> None:
    """Draws the model's outputs [up, across] behind the samples, with a curve where they equal the level."""
    # Opaque: translucent triangles would show the seams between them.
    colors = 1 - _STRENGTH * (1 - colormaps[SIGNED](np.linspace(0, 1, 256))[:, :3])
    style: Any = {"norm": norm, "zorder": 0, "shading": "gouraud", "rasterized": True}
    ax.pcolormesh(*grids, outputs, cmap=ListedColormap(colors), **style)
    if outputs.min() < level < outputs.max():
        ax.contour(*grids, outputs, levels=[level], colors="black", linewidths=1.2, zorder=2)
        ax.plot([], [], color="black", lw=1.2, label=f"model = {level:.3g}")


def _line(ax: Axes, slope: np.ndarray, prediction: float, instance: np.ndarray, level: float, *, first: bool) -> None:
    """Draws the line prediction + slope · (z - instance) = level."""
    size = float(slope @ slope)
    if size == 0:
        return
    through = instance + (level - prediction) * slope / size
    style: Any = (
        {"lw": 2.4, "ls": (0, (4, 2)), "zorder": 5} if first else {"lw": 0.9, "alpha": 0.25, "ls": "--", "zorder": 4}
    )
    label = f"surrogate = {level:.3g}" if first else None
    ax.axline(tuple(through), tuple(through + [-slope[1], slope[0]]), color="black", label=label, **style)


def _caption(surrogate: Surrogate | None, example: int) -> str:
    if surrogate is None:
        return ""
    fidelity = np.asarray(surrogate.r_squared, np.float64).reshape(-1)[example]
    return f"{surrogate.method}: local R² {fidelity:.2f}" if surrogate.method else f"local R² {fidelity:.2f}"
