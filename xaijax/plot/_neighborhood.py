"""What LIME does, in two dimensions: samples around an instance, and the line that is fitted to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from xaijax._core import check
from xaijax._core.attribution import Surrogate
from xaijax.plot._axes import SIGNED, check_attribution, check_example, new_axes, player_names, titled
from xaijax.plot._fonts import label_style

_GRID = 121  # points along each side of the background
_AREA, _AREAS = 90.0, 6000.0  # square points: of the greatest weight at most, and of all samples together
_INSTANCE = "#ffd23f"


def neighborhood(
    rows: Any,
    outputs: Any,
    *,
    instance: Any,
    weights: Any = None,
    surrogate: Surrogate | None = None,
    example: int = 0,
    repeats: bool = False,
    model: Callable[[Any], Any] | None = None,
    level: float | None = None,
    features: tuple[int, int] = (0, 1),
    names: Sequence[str] | None = None,
    limits: Any = None,
    legend: bool = True,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draws the samples of a local explanation: their color is what the model says, their area their weight.

    A line shows where the surrogate says `level`, and where the model is given a curve shows where it says so itself: near
    the instance the line should follow the curve. All other features are at the instance's.

    Args:
      rows: [S, D] the samples, as the model saw them.
      outputs: [S] what the model said of them.
      instance: [D] the explained row.
      weights: [S] how much each sample counts; those of weight 0 are not drawn. Default: all the same.
      surrogate: from `xai.lime.tabular` with slopes [N, D].
      example: which of the surrogate's examples the instance is.
      repeats: whether the other examples are the same instance with other samples: their lines are drawn faintly. Default
        False.
      model: from rows [n, D] to outputs [n], for the background.
      level: the output at the lines, which is white. Default: 0.5 where all outputs are probabilities, else the
        surrogate's own prediction or the mean output.
      features: which two features to draw, by number.
      names: D names of the features.
      limits: ((left, right), (bottom, top)). Default: those of the samples.
      legend: whether to explain the marks below the picture. Default True.
      ax: axes to draw on. Default: those of a new figure.
      title: default, the method and its local R².

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
    for name, given, length in (
        ("outputs", outputs, count),
        ("weights", weights, count),
        ("instance", instance, width),
    ):
        if len(given) != length:
            raise ValueError(
                f"{name} must have {length} numbers to fit rows {list(rows.shape)}, but it has {len(given)}."
            )
    if (weights < 0).any() or not weights.any():
        raise ValueError("weights must be zero or more, and one of them more, but they are not.")
    pair = list(features)
    if (
        len(pair) != 2
        or pair[0] == pair[1]
        or any(not 0 <= check.positive_int("features", f, least=0) < width for f in pair)
    ):
        raise ValueError(f"features must be two different numbers from 0 to {width - 1}, but it is {features!r}.")
    slopes, predictions = _lines(surrogate, example, width)
    level = _level(outputs, predictions) if level is None else float(level)

    reach = max(float(np.abs(outputs - level).max()), 1e-12)
    norm = Normalize(level - reach, level + reach)
    ends = _limits(rows[:, pair], instance[pair], limits)
    ax = new_axes(ax, (5.6, 4.8))
    if model is not None:
        _background(ax, model, instance, pair, ends, norm, level)
    there = weights > 0
    order = np.flatnonzero(there)[np.argsort(-weights[there], kind="stable")]  # small ones above large ones
    ax.scatter(
        *rows[order][:, pair].T, s=_areas(weights[order]), c=outputs[order], cmap=SIGNED, norm=norm,
        alpha=0.85, lw=0.5, ec="0.35", zorder=3, label="a sample: its area is its weight",
    )  # fmt: skip
    last = len(slopes) if repeats else min(len(slopes), 1)
    for number in range(last - 1, -1, -1):  # the surrogate of the samples shown comes last, above the others
        _line(ax, slopes[number][pair], predictions[number], instance[pair], level, first=number == 0)
    ax.plot(*instance[pair], "P", ms=13, mfc=_INSTANCE, mec="black", mew=1.4, ls="", zorder=6, label="the instance")
    ax.set_xlim(*ends[0])
    ax.set_ylim(*ends[1])
    labels = player_names(names, width) if names is not None else [f"feature {number}" for number in range(width)]
    ax.set_xlabel(labels[pair[0]], fontsize=9, **label_style(labels))
    ax.set_ylabel(labels[pair[1]], fontsize=9, **label_style(labels))
    ax.tick_params(labelsize=8)
    bar = ax.figure.colorbar(ScalarMappable(norm, SIGNED), ax=ax, fraction=0.046, pad=0.03)
    bar.set_label(f"the model's output; white is {level:.3g}", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    if legend:
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2, fontsize=8, frameon=False)
    titled(ax, title, _caption(surrogate, example))
    return ax


def _numbers(name: str, given: Any, rank: int) -> np.ndarray:
    array = np.asarray(check.numeric_array(name, given), np.float64)
    if array.ndim != rank or array.size == 0:
        raise ValueError(
            f"{name} must have {rank} {'axis' if rank == 1 else 'axes'}, but its shape is {list(array.shape)}."
        )
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds numbers that are not finite: there is no place for them; drop them first.")
    return array


def _lines(surrogate: Surrogate | None, example: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Slopes [n, D] and predictions [n] of the surrogates, the example's first."""
    if surrogate is None:
        return np.zeros((0, width)), np.zeros(0)
    if not isinstance(surrogate, Surrogate) or surrogate.slopes is None:
        raise TypeError(
            "surrogate must be what xai.lime.tabular returns, with slopes for each feature, but it has none."
        )
    check_attribution(surrogate)
    slopes, predictions = np.asarray(surrogate.slopes, np.float64), np.asarray(surrogate.prediction, np.float64)
    if slopes.ndim == 1:
        slopes, predictions = slopes[None], predictions[None]
    if slopes.ndim != 2 or slopes.shape[1] != width or predictions.shape != slopes.shape[:1]:
        raise ValueError(
            f"surrogate must explain one output of {width} features, slopes [N, {width}], but its slopes have shape "
            f"{list(slopes.shape)}."
        )
    example = check_example(example, len(slopes))
    order = [example, *(number for number in range(len(slopes)) if number != example)]
    return slopes[order], predictions[order]


def _level(outputs: np.ndarray, predictions: np.ndarray) -> float:
    if outputs.min() >= 0 and outputs.max() <= 1:
        return 0.5
    return float(predictions[0]) if len(predictions) else float(outputs.mean())


def _limits(rows: np.ndarray, instance: np.ndarray, limits: Any) -> np.ndarray:
    """[2, 2] of each axis the least and the most."""
    if limits is not None:
        given = np.asarray(limits, np.float64)
        if given.shape != (2, 2) or not (given[:, 0] < given[:, 1]).all():
            raise ValueError(f"limits must be ((left, right), (bottom, top)), each growing, but it is {limits!r}.")
        return given
    points = np.concatenate([rows, instance[None]])
    low, high = points.min(axis=0), points.max(axis=0)
    margin = np.where(high > low, 0.06 * (high - low), 1.0)
    return np.stack([low - margin, high + margin], axis=1)


def _areas(weights: np.ndarray) -> np.ndarray:
    """Shares of the weight as areas, smaller where many samples count."""
    effective = weights.sum() ** 2 / (weights**2).sum()
    return 2 + min(_AREA, _AREAS / effective) * weights / weights.max()


def _background(
    ax: Axes,
    model: Callable[[Any], Any],
    instance: np.ndarray,
    pair: list[int],
    ends: np.ndarray,
    norm: Normalize,
    level: float,
) -> None:
    across, up = (np.linspace(low, high, _GRID) for low, high in ends)
    every = np.tile(instance, (_GRID * _GRID, 1))
    every[:, pair] = np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2)
    said = np.asarray(model(jnp.asarray(every, jnp.float32)), np.float64)
    if said.shape != (len(every),):
        raise ValueError(
            f"model must map rows [n, D] to outputs [n], but for {len(every)} rows it returned shape {list(said.shape)}: give "
            "one output, such as lambda x: model(x)[:, 1]."
        )
    said = said.reshape(_GRID, _GRID)
    extent = (ends[0, 0], ends[0, 1], ends[1, 0], ends[1, 1])
    ax.imshow(
        said, extent=extent, origin="lower", aspect="auto", cmap=SIGNED, norm=norm, alpha=0.35, zorder=0,
        interpolation="bilinear",
    )  # fmt: skip
    if said.min() < level < said.max():
        ax.contour(across, up, said, levels=[level], colors="black", linewidths=1.2, zorder=2)
        ax.plot([], [], color="black", lw=1.2, label=f"where the model says {level:.3g}")


def _line(ax: Axes, slope: np.ndarray, prediction: float, instance: np.ndarray, level: float, *, first: bool) -> None:
    """prediction + slope · (z - instance) = level"""
    size = float(slope @ slope)
    if size == 0:
        return
    through = instance + (level - prediction) * slope / size
    style: Any = (
        {"lw": 2.4, "ls": (0, (4, 2)), "zorder": 5} if first else {"lw": 0.9, "alpha": 0.25, "ls": "--", "zorder": 4}
    )
    label = f"where the surrogate says {level:.3g}" if first else None
    ax.axline(tuple(through), tuple(through + [-slope[1], slope[0]]), color="black", label=label, **style)


def _caption(surrogate: Surrogate | None, example: int) -> str:
    if surrogate is None:
        return ""
    fidelity = np.asarray(surrogate.r_squared, np.float64).reshape(-1)[example]
    return f"{surrogate.method}: local R² {fidelity:.2f}" if surrogate.method else f"local R² {fidelity:.2f}"
