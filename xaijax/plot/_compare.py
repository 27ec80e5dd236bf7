"""Maps of several classes or methods, side by side on one scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.classes import name_of_output
from xaijax._core.typing import ArrayOrSequence
from xaijax.plot._parts.axes import draws, panels, titled
from xaijax.plot._parts.colors import check_percentile, color_bar, scale_of
from xaijax.plot._parts.images import images_of
from xaijax.plot._parts.maps import (
    Maps,
    check_alpha,
    draw_heat,
    draw_image,
    label_names,
    maps_of,
    resized,
    write_notes,
)
from xaijax.plot._parts.rows import check_attribution, check_examples, output_index

_SHOWN_OUTPUTS = 3


class _Panel(NamedTuple):
    title: str
    heat: np.ndarray


@draws
def compare(
    attributions: Attribution | Sequence[Attribution] | Mapping[str, Attribution],
    images: ArrayOrSequence,
    *,
    examples: Sequence[int] = (0,),
    outputs: Sequence[int | str] | None = None,
    output_names: Sequence[str] | None = None,
    labels: ArrayOrSequence | None = None,
    shared: bool = True,
    gray: bool = True,
    alpha: float = 0.75,
    percentile: float = 100.0,
    signed: bool | None = None,
    mean: ArrayOrSequence | None = None,
    std: ArrayOrSequence | None = None,
    axes: Sequence[Axes] | np.ndarray | None = None,
) -> np.ndarray:
    """Draws images with their maps next to them, by several methods or for several classes.

    All panels have one scale, symmetric about 0 where there are negative values, and one color bar that states it: a color
    means the same value in all of them. Methods whose values have different units (a map of gradients and Shapley values)
    are better drawn with shared=False, each panel with a scale and a color bar of its own.

    Args:
      attributions: of the same images: a mapping from titles to attributions, a sequence of attributions (titled by their
        methods), each as for `xai.plot.image`; or one attribution of all outputs, with an output in each column.
      images: [N, H, W, C] or [N, H, W], as in `xai.plot.image`.
      examples: the images to draw, a row for each. Default: the first.
      outputs: the outputs, by index or name, where one attribution explains all. Default: the three highest outputs of each
        example. Where several attributions explain all outputs, the output to draw of each.
      output_names: names of the outputs. Default: the attribution's own.
      labels: N names of the images, or ints that output_names name, as titles of the images.
      shared: whether all panels have one scale. Default True.
      gray, alpha, percentile, signed, mean, std: as in `xai.plot.image`; the percentile is over all panels of a scale.
      axes: [rows, 1 + columns] axes to draw on. Default: those of a new figure.

    Returns:
      The axes [rows, 1 + columns]: the image, then the maps.

    Raises:
      TypeError, ValueError: as `xai.plot.image`; if the axes are not as many as the panels.

    >>> import jax, jax.numpy as jnp, xaijax as xai
    >>> images = jax.random.uniform(jax.random.key(0), (2, 8, 8, 3))
    >>> first = xai.Attribution(images[..., 0], jnp.ones(2), method="red")
    >>> second = xai.Attribution(-images[..., 2], jnp.ones(2), method="blue")
    >>> axes = xai.plot.compare([first, second], images, examples=[0, 1])
    >>> [ax.get_title() for ax in axes[0]]
    ['', 'red', 'blue']
    """
    columns = _columns(attributions, output_names)
    count, shared = len(columns[0][1].values), check.flag("shared", shared)
    indices = check_examples(examples, count)
    alpha, percentile = check_alpha(alpha), check_percentile(percentile)
    if outputs is not None and not (check.is_list(outputs) and len(outputs)):
        raise TypeError(f"`outputs` must be a sequence of outputs, by index or name, got {check.shown(outputs)}.")
    read = images_of(images, indices, count, mean=mean, std=std, gray=gray, alone=columns[0][1].alone)
    size = read.shown.shape[1:3]
    rows = [_row(columns, example, outputs, size) for example in indices]
    names = label_names(labels, count, columns[0][1].output_names) or [""] * count

    figure_axes = panels(axes, len(rows), 1 + len(rows[0]), size, bars=1 if shared else len(rows[0]))
    whole = scale_of([panel.heat for row in rows for panel in row], percentile, signed)
    for line, row, image, example in zip(figure_axes, rows, read.shown, indices, strict=True):
        draw_image(line[0], image)
        titled(line[0], None, names[example], size=9)
        for ax, panel in zip(line[1:], row, strict=True):
            scale = whole if shared else scale_of([panel.heat], percentile, signed)
            draw_image(ax, image)
            draw_heat(ax, panel.heat, scale, alpha)
            titled(ax, None, panel.title, size=9)
            if not shared:
                color_bar(scale, ax)
                write_notes(ax, scale.note)
    if shared:
        color_bar(whole, list(figure_axes.ravel()), whole.note or "one scale for all panels", slim=True)
    write_notes(figure_axes[-1, 0], read.note)
    return figure_axes


def _columns(attributions: Any, output_names: Sequence[str] | None) -> list[tuple[str, Maps]]:
    """Returns the title and the maps of each attribution, all of equally many examples."""
    if isinstance(attributions, Attribution):
        attributions = [attributions]
    if isinstance(attributions, Mapping):
        for title, each in attributions.items():
            check_attribution(each, f"attributions[{title!r}]")
        columns = [(str(title), maps_of(each, output_names)) for title, each in attributions.items()]
    elif check.is_list(attributions):
        for number, each in enumerate(attributions):
            check_attribution(each, f"attributions[{number}]")
        columns = [(maps.method, maps) for maps in (maps_of(each, output_names) for each in attributions)]
    else:
        raise TypeError(
            "`attributions` must be an attribution, a sequence of them or a mapping from titles to them, got "
            f"{check.shown(attributions)}."
        )
    if not columns:
        raise ValueError("`attributions` must hold at least one attribution, got none.")
    counts = [len(maps.values) for _, maps in columns]
    if len(set(counts)) > 1:
        raise ValueError(f"`attributions` must be of the same images, got {counts} examples.")
    return columns


def _row(columns: list[tuple[str, Maps]], example: int, outputs: Any, size: Any) -> list[_Panel]:
    """Returns the panels of one example: the outputs of one attribution, or one output of each attribution."""
    if len(columns) == 1 and columns[0][1].all_outputs:
        maps = columns[0][1]
        answers, names = maps.outputs[example], maps.output_names
        if outputs is None:
            indices = np.argsort(-answers, kind="stable")[:_SHOWN_OUTPUTS].tolist()
        else:
            indices = [output_index(output, names, len(answers)) for output in outputs]
        heats = [resized(maps.values[example, ..., index], size, of_regions=maps.of_regions) for index in indices]
        titles = [f"{name_of_output(index, names)}, output {answers[index]:.3g}" for index in indices]
        return [_Panel(title, heat) for title, heat in zip(titles, heats, strict=True)]
    if outputs is not None and len(outputs) not in (1, len(columns)):
        raise ValueError(
            f"`outputs` must be one, or one for each of the {len(columns)} attributions, got {check.shown(outputs)}."
        )
    if outputs is not None and not any(maps.all_outputs for _, maps in columns):
        raise ValueError("`outputs` must be left out, since each attribution explains one output of each example.")
    wanted = [None] * len(columns) if outputs is None else [*outputs] * (len(columns) // len(outputs))
    row = []
    for (title, maps), output in zip(columns, wanted, strict=True):
        chosen = maps.chosen(output if maps.all_outputs else None)
        name = chosen.names[example]
        named = f"{title}, {name}" if name and maps.output_names is not None else title
        row.append(_Panel(named, resized(chosen.values[example], size, of_regions=maps.of_regions)))
    return row
