"""Maps over images: the maps in an attribution, and how they are laid over images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from matplotlib.axes import Axes

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.classes import name_of_output
from xaijax._core.rounding import rounding_error, zero_up_to
from xaijax.plot._parts.axes import fitted
from xaijax.plot._parts.colors import Scale
from xaijax.plot._parts.fonts import label_style
from xaijax.plot._parts.inputs import plain_array
from xaijax.plot._parts.rows import check_attribution, output_index, targets_of

_NOTE_SIZE = 7


class Chosen(NamedTuple):
    """The maps of one output: values [N, h, w], outputs [N], targets [N] or None, and the N names of the output."""

    values: np.ndarray
    outputs: np.ndarray
    targets: np.ndarray | None
    names: list[str]


class Maps(NamedTuple):
    """The maps of one output or of several.

    values: [N, h, w, K] of K outputs, or of one.
    outputs: [N, K] the outputs.
    all_outputs: whether all outputs are explained, so that one has to be chosen.
    targets: [N] the class that is explained; None where all are, and for scores.
    method: the explainer's name.
    output_names: K names, or None.
    alone: whether the attribution was of one example without N.
    of_regions: whether values are constant on regions, whose borders must stay sharp.
    """

    values: np.ndarray
    outputs: np.ndarray
    all_outputs: bool
    targets: np.ndarray | None
    method: str
    output_names: Sequence[str] | None
    alone: bool
    of_regions: bool

    def chosen(self, output: int | str | None) -> Chosen:
        """Returns the maps of one output, which has to be given where all are explained."""
        count, num_outputs = len(self.values), self.values.shape[-1]
        if self.all_outputs:
            if output is None and num_outputs > 1:
                raise ValueError(
                    f"`output` must be given, since the attribution explains {num_outputs} outputs of each example and this "
                    f"plot shows one: pass a number from 0 to {num_outputs - 1} or an output's name, or draw several with "
                    "xai.plot.compare."
                )
            index = output_index(0 if output is None else output, self.output_names, num_outputs)
            name = name_of_output(index, self.output_names)
            return Chosen(self.values[..., index], self.outputs[:, index], np.full(count, index), [name] * count)
        if output is not None:
            raise ValueError("`output` must be left out, since the attribution explains one output of each example.")
        names = [""] * count
        if self.targets is not None:
            names = [name_of_output(int(target), self.output_names) for target in self.targets]
        return Chosen(self.values[..., 0], self.outputs[:, 0], self.targets, names)


def maps_of(attribution: Attribution, output_names: Sequence[str] | None = None) -> Maps:
    """Reads maps with an axis N and zeros for rounding error; the channels of values that lie on the input are summed."""
    check_attribution(attribution)
    alone, all_outputs = attribution.num_examples is None, attribution.all_outputs
    values, outputs = np.asarray(attribution.on_input(), np.float64), np.asarray(attribution.output)
    rounding = rounding_error(attribution)
    values, outputs, rounding = (part[None] if alone else part for part in (values, outputs, rounding))
    values, outputs, rounding = (part if all_outputs else part[..., None] for part in (values, outputs, rounding))
    if values.ndim == 5:
        values = values.sum(axis=3)
    if values.ndim != 4 or outputs.ndim != 2:
        raise ValueError(
            "`attribution` must hold maps, axes 'N h w', or values of image regions, got axes "
            f"{attribution.axes!r}{'' if attribution.regions is not None else ' without regions'}."
        )
    values = zero_up_to(rounding[:, None, None], values)
    names = attribution.output_names if output_names is None else output_names
    names = None if names is None else check.texts("output_names", names)
    if names is not None and not names:
        raise ValueError("`output_names` must hold at least one name, got none.")
    targets = None if all_outputs else targets_of(attribution)
    return Maps(
        values, outputs, all_outputs, targets, attribution.method, names, alone, attribution.regions is not None
    )


def resized(heat: np.ndarray, shape: tuple[int, ...], *, of_regions: bool) -> np.ndarray:
    """Returns a map of the image's size, resized linearly, or with sharp borders of regions."""
    if heat.shape == shape:
        return heat
    return np.asarray(jax.image.resize(heat, shape, "nearest" if of_regions else "linear"), np.float64)


def check_alpha(alpha: float) -> float:
    alpha = check.positive_float("alpha", alpha, zero_allowed=True)
    if alpha > 1:
        raise ValueError(f"`alpha` must be between 0 and 1, got {alpha}.")
    return alpha


def draw_image(ax: Axes, image: np.ndarray) -> None:
    """Draws an image in gray or in color, 0 black and 1 white."""
    ax.imshow(image, cmap="gray", vmin=0, vmax=1)
    _without_ticks(ax)


def draw_heat(ax: Axes, heat: np.ndarray, scale: Scale, alpha: float | None) -> None:
    """Draws the colors of a map: opaque (alpha None), or over an image, more transparent where values are weaker."""
    opacity = None if alpha is None else alpha * scale.strength(heat)
    ax.imshow(heat, cmap=scale.colors, norm=scale.norm, alpha=opacity)
    _without_ticks(ax)


def _without_ticks(ax: Axes) -> None:
    ax.set_xticks([])
    ax.set_yticks([])


def write_notes(ax: Axes, *notes: str, color: Any = None, size: float = _NOTE_SIZE) -> None:
    """Writes below an image what a reader must know of it, in lines that are no wider than the image."""
    text = "\n".join(fitted(ax, note, size * 1.1) for note in notes if note)
    if text:
        ax.set_xlabel(text, fontsize=size, **({} if color is None else {"color": color}), **label_style([text]))


def label_names(labels: Any, count: int, output_names: Sequence[str] | None) -> list[str] | None:
    """Returns the name of each image's label; integer labels are named as the outputs are."""
    if labels is None:
        return None
    if not check.is_list(labels) or len(labels) != count:
        raise ValueError(f"`labels` must be {count}, one for each image, got {check.shown(labels)}.")
    given = check_unmasked("labels", labels)
    if any(isinstance(label, dict | list | tuple | set | np.ndarray) for label in labels):
        raise TypeError(f"`labels` must be names or ints, got {check.shown(labels)}.")
    if not np.issubdtype(given.dtype, np.integer):
        return [str(label) for label in labels]
    if output_names is not None and (given.min() < 0 or given.max() >= len(output_names)):
        raise ValueError(
            f"`labels` must be between 0 and {len(output_names) - 1}, as output_names are, got {check.shown(labels)}."
        )
    return [name_of_output(label, output_names) for label in given.tolist()]


def check_unmasked(name: str, given: Any) -> np.ndarray:
    """Returns labels as an array; hidden entries of a masked array belong to no group, and are refused."""
    if isinstance(given, np.ma.MaskedArray) and np.ma.is_masked(given):
        raise TypeError(f"`{name}` must be an array without missing values, got a masked array: drop those rows first.")
    return plain_array(name, given)


def checked_probabilities(probabilities: Any, count: int, targets: np.ndarray | None) -> np.ndarray | None:
    """Returns the probability of each example's class [N], given as such or as those of all classes [N, K]."""
    if probabilities is None:
        return None
    given = np.asarray(check.numeric_array("probabilities", probabilities), np.float64)
    if given.ndim == 2 and len(given) == count and targets is not None:
        if targets.max() >= given.shape[1]:
            raise ValueError(f"`probabilities` must include class {targets.max()}, got {given.shape[1]} classes.")
        given = given[np.arange(count), targets]
    if given.shape != (count,):
        raise ValueError(
            f"`probabilities` must be [{count}], one for each image, or [{count}, K] of all classes where the explained "
            f"class is known, got shape {list(given.shape)}."
        )
    if not ((given >= 0) & (given <= 1)).all():
        raise ValueError(f"`probabilities` must be between 0 and 1, got {given.min():.3g} to {given.max():.3g}.")
    return given
