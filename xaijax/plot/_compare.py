"""Several classes or methods side by side, on one scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from xaijax._core.attribution import Attribution
from xaijax.plot._axes import check_example, output_place
from xaijax.plot._colors import check_percentile, color_bar, scale_of
from xaijax.plot._fonts import label_style
from xaijax.plot._labels import label_names
from xaijax.plot._maps import Maps, check_alpha, draw_heat, draw_picture, maps_of, name_of, resized, state
from xaijax.plot._panels import panels
from xaijax.plot._pictures import pictures_of

_SHOWN_OUTPUTS = 3


class _Panel(NamedTuple):
    title: str
    heat: np.ndarray


def compare(
    attributions: Any,
    images: Any,
    *,
    examples: Sequence[int] = (0,),
    outputs: Sequence[int | str] | None = None,
    output_names: Sequence[str] | None = None,
    labels: Sequence[Any] | None = None,
    shared: bool = True,
    gray: bool = True,
    alpha: float = 0.75,
    percentile: float = 100.0,
    signed: bool | None = None,
    mean: Any = None,
    std: Any = None,
    axes: Any = None,
) -> np.ndarray:
    """Draws pictures with what counts in them beside them, by several methods or for several classes.

    All panels have one scale, symmetric about 0 where there are negative values, and one color bar that states it, so
    that a color means the same value in all of them. Methods whose values have different units (a map of gradients and
    Shapley values, say) are better drawn with shared=False, each panel with a scale and a bar of its own.

    Args:
      attributions: of the same images, a mapping from titles to attributions or a sequence of them (titled by their
        methods), each as for `xai.plot.image`; or one of all outputs, whose columns are outputs.
      images: [N, H, W, C] or [N, H, W], as in `xai.plot.image`.
      examples: which ones to draw, a row for each. Default: the first.
      outputs: which outputs, by number or name, where one attribution explains all. Default: for each example the three
        on which the model's output is highest. Where several attributions explain all outputs, the one to draw of each.
      output_names: K names of the outputs.
      labels: N names of the images, or ints that output_names name, written over the pictures.
      shared: whether all panels have one scale. Default True.
      gray, alpha, percentile, signed, mean, std: as in `xai.plot.image`; the percentile is over all panels of a scale.
      axes: [rows, 1 + columns] axes to draw on. Default: those of a new figure.

    Returns:
      The axes [rows, 1 + columns]: the picture, then the maps.

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
    columns = _columns(attributions)
    count = len(columns[0][1].values)
    examples = [check_example(example, count) for example in examples]
    if not examples:
        raise ValueError("examples must name one at least, but it is empty.")
    alpha, percentile = check_alpha(alpha), check_percentile(percentile)
    pictures = pictures_of(images, examples, count, mean=mean, std=std, gray=gray, alone=columns[0][1].alone)
    size = pictures.shown.shape[1:3]
    rows = [_row(columns, example, outputs, output_names, size) for example in examples]
    names = label_names(labels, count, output_names) or [""] * count

    figure_axes = panels(axes, len(rows), 1 + len(rows[0]), size, bars=1 if shared else len(rows[0]))
    whole = scale_of([panel.heat for row in rows for panel in row], percentile, signed)
    for line, row, picture, example in zip(figure_axes, rows, pictures.shown, examples, strict=True):
        draw_picture(line[0], picture)
        line[0].set_title(names[example], fontsize=9, **label_style([names[example]]))
        for ax, panel in zip(line[1:], row, strict=True):
            scale = whole if shared else scale_of([panel.heat], percentile, signed)
            draw_picture(ax, picture)
            draw_heat(ax, panel.heat, scale, alpha)
            ax.set_title(panel.title, fontsize=9, **label_style([panel.title]))
            if not shared:
                color_bar(scale, ax)
                state(ax, scale.note)
    if shared:
        color_bar(whole, list(figure_axes.ravel()), whole.note or "one scale for all panels", slim=True)
    state(figure_axes[-1, 0], pictures.note)
    return figure_axes


def _columns(attributions: Any) -> list[tuple[str, Maps]]:
    """The title and the maps of each attribution, all of as many examples."""
    if isinstance(attributions, Attribution):
        attributions = [attributions]
    if isinstance(attributions, Mapping):
        columns = [(str(title), maps_of(one)) for title, one in attributions.items()]
    elif isinstance(attributions, Sequence) and not isinstance(attributions, str):
        columns = [(one.method, one) for one in map(maps_of, attributions)]
    else:
        raise TypeError(
            "attributions must be an attribution, a sequence of them or a mapping from titles to them, but it is "
            f"{type(attributions).__name__}."
        )
    if not columns:
        raise ValueError("attributions must hold one at least, but it is empty.")
    counts = [len(maps.values) for _, maps in columns]
    if len(set(counts)) > 1:
        raise ValueError(f"attributions must be of the same images, but they have {counts} examples.")
    return columns


def _row(
    columns: list[tuple[str, Maps]], example: int, outputs: Any, output_names: Sequence[str] | None, size: Any
) -> list[_Panel]:
    """What is drawn of one example: the outputs of one attribution, or one output of each."""
    if len(columns) == 1 and columns[0][1].every:
        title, maps = columns[0]
        said = maps.outputs[example]
        if outputs is None:
            places = np.argsort(-said, kind="stable")[:_SHOWN_OUTPUTS].tolist()
        else:
            places = [output_place(output, output_names, len(said)) for output in outputs]
        heats = [resized(maps.values[example, ..., place], size, of_regions=maps.of_regions) for place in places]
        titles = [f"{name_of(place, output_names)}, output {said[place]:.3g}" for place in places]
        return [_Panel(title, heat) for title, heat in zip(titles, heats, strict=True)]
    if outputs is not None and len(outputs) not in (1, len(columns)):
        raise ValueError(
            f"outputs must be one, or one for each of the {len(columns)} attributions, but it is {outputs!r}."
        )
    chosen = [None] * len(columns) if outputs is None else [*outputs] * (len(columns) // len(outputs))
    row = []
    for (title, maps), output in zip(columns, chosen, strict=True):
        of_output = maps.chosen(output if maps.every else None, output_names)
        name = of_output.names[example]
        named = f"{title}, {name}" if name and output_names is not None else title
        row.append(_Panel(named, resized(of_output.values[example], size, of_regions=maps.of_regions)))
    return row
