"""The maps in attributions of images, and how they are laid over pictures."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from matplotlib.axes import Axes

from xaijax._core import check
from xaijax.plot._axes import check_attribution, output_place
from xaijax.plot._colors import Scale
from xaijax.plot._fonts import label_style

_NOTE_SIZE, _LETTER = 7, 0.62  # points, and how wide a letter is for its size


class Maps(NamedTuple):
    """Maps of one output or of several.

    values: [N, h, w, K] for K outputs, or one.
    outputs: [N, K] what the model says.
    every: whether all outputs are explained, so that one has to be chosen.
    targets: [N] the class that is explained, or None.
    alone: whether the attribution was of one example without N.
    of_regions: whether values are constant on regions, which must not be blurred.
    """

    values: np.ndarray
    outputs: np.ndarray
    every: bool
    targets: np.ndarray | None
    method: str
    alone: bool
    of_regions: bool

    def chosen(self, output: Any, output_names: Sequence[str] | None) -> Chosen:
        """The maps of one output, which has to be named where all are explained."""
        count, num_outputs = len(self.values), self.values.shape[-1]
        if self.every:
            if output is None and num_outputs > 1:
                raise ValueError(
                    f"attribution explains {num_outputs} outputs of each example, and this picture is of one: pass output=, a "
                    f"number from 0 to {num_outputs - 1} or one of output_names, or draw several with xai.plot.compare."
                )
            place = output_place(0 if output is None else output, output_names, num_outputs)
            name = name_of(place, output_names)
            return Chosen(self.values[..., place], self.outputs[:, place], np.full(count, place), [name] * count)
        if output is not None:
            raise ValueError("output must be left out where attribution explains one output of each example already.")
        names = [""] * count
        if self.targets is not None:
            names = [name_of(int(target), output_names) for target in self.targets]
        return Chosen(self.values[..., 0], self.outputs[:, 0], self.targets, names)


class Chosen(NamedTuple):
    """Maps of one output: values [N, h, w], outputs [N], targets [N] or None, and the N names of what is explained."""

    values: np.ndarray
    outputs: np.ndarray
    targets: np.ndarray | None
    names: list[str]


def maps_of(attribution: Any) -> Maps:
    """The maps, with N; the channels of an input's own values are summed."""
    check_attribution(attribution)
    alone = attribution.num_examples is None
    if alone:
        attribution = jax.tree.map(lambda leaf: leaf[None], attribution)
    values, outputs = np.asarray(attribution.on_input(), np.float64), np.asarray(attribution.output)
    every = values.ndim == 4 and outputs.ndim == 2 and values.shape[-1] == outputs.shape[-1]
    if values.ndim == 4 and outputs.ndim == 1:
        values = values.sum(axis=-1)
    if not every and (values.ndim != 3 or outputs.ndim != 1):
        raise ValueError(
            "attribution must hold maps [N, h, w] or values of regions, or with K behind where all outputs are explained, "
            f"but its values have shape {list(np.shape(attribution.values))}."
        )
    targets = None if every or attribution.target is None else np.asarray(attribution.target)
    values, outputs = (values, outputs) if every else (values[..., None], outputs[:, None])
    return Maps(values, outputs, every, targets, attribution.method, alone, attribution.regions is not None)


def name_of(output: int, output_names: Sequence[str] | None) -> str:
    if output_names is None:
        return f"class {output}"
    if not 0 <= output < len(output_names):
        raise ValueError(
            f"output_names must name every output, but of {output} there is none: it has {len(output_names)}."
        )
    return str(output_names[output])


def resized(heat: np.ndarray, shape: tuple[int, ...], *, of_regions: bool) -> np.ndarray:
    """A map as large as its picture: linearly, or with the borders of regions kept."""
    if heat.shape == shape:
        return heat
    return np.asarray(jax.image.resize(heat, shape, "nearest" if of_regions else "linear"), np.float64)


def check_alpha(alpha: Any) -> float:
    alpha = check.positive_float("alpha", alpha, zero_allowed=True)
    if alpha > 1:
        raise ValueError(f"alpha must lie between 0 and 1, but it is {alpha}.")
    return alpha


def draw_picture(ax: Axes, picture: np.ndarray) -> None:
    """As it is: 0 is black and 1 is white, in gray or in color."""
    ax.imshow(picture, cmap="gray", vmin=0, vmax=1)
    without_ticks(ax)


def draw_heat(ax: Axes, heat: np.ndarray, scale: Scale, alpha: float | None) -> None:
    """The colors of a map: alone (alpha None), or over a picture, the weaker the more transparent."""
    opacity = None if alpha is None else alpha * scale.strength(heat)
    ax.imshow(heat, cmap=scale.colors, norm=scale.norm, alpha=opacity)
    without_ticks(ax)


def without_ticks(ax: Axes) -> None:
    ax.set_xticks([])
    ax.set_yticks([])


def state(ax: Axes, *notes: str) -> None:
    """Says below a picture what a reader must know of it, in lines as long as the picture is wide."""
    figure: Any = ax.get_figure(root=True)
    inches = ax.get_window_extent().width / figure.dpi
    letters = max(20, int(inches * 72 / (_NOTE_SIZE * _LETTER)))
    said = "\n".join(textwrap.fill(note, letters) for note in notes if note)
    if said:
        ax.set_xlabel(said, fontsize=_NOTE_SIZE, **label_style([said]))
