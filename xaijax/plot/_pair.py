"""Before and after: an image next to the one from which players were removed."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes

from xaijax._core import check
from xaijax._core.typing import ArrayOrSequence
from xaijax._core.words import counted
from xaijax.mask import Masker
from xaijax.metrics import Removal
from xaijax.plot._parts.axes import draws, panels, titled
from xaijax.plot._parts.images import images_of
from xaijax.plot._parts.maps import draw_image, write_notes
from xaijax.plot._parts.rows import check_example


@draws
def pair(
    images: ArrayOrSequence,
    after: ArrayOrSequence | Masker,
    *,
    present: ArrayOrSequence | None = None,
    example: int = 0,
    outputs: Sequence[float] | None = None,
    titles: tuple[str, str] = ("before", "after"),
    gray: bool = False,
    mean: ArrayOrSequence | None = None,
    std: ArrayOrSequence | None = None,
    axes: Sequence[Axes] | np.ndarray | None = None,
) -> np.ndarray:
    """Draws an image next to its changed version.

    Args:
      images: [N, H, W, C] or [N, H, W], as in `xai.plot.image`.
      after: as many images after the change; or a masker, such as `xai.mask.superpixels(50)`, that removes players.
      present: with a masker, booleans [M] or [N, M]: the players that are present afterwards.
      example: the image to draw.
      outputs: the outputs before and after, two numbers.
      titles: the titles of the two images.
      gray, mean, std: as in `xai.plot.image`. Both images have the same black and white.
      axes: two axes to draw on. Default: those of a new figure.

    Returns:
      The two axes.

    Raises:
      TypeError, ValueError: if the images have different shapes, or present does not fit the masker's players.

    >>> import jax, numpy as np, xaijax as xai
    >>> images = jax.random.uniform(jax.random.key(0), (1, 8, 8, 3))
    >>> present = np.array([True, False, True, True])
    >>> axes = xai.plot.pair(images, xai.mask.grid(2, fill=0.0), present=present, outputs=[0.9, 0.2])
    >>> [ax.get_title() for ax in axes], float(axes[1].images[0].get_array()[:4, 4:].max())
    (['before\\noutput 0.9', 'after\\noutput 0.2'], 0.0)
    """
    before = np.asarray(check.numeric_array("images", images))
    if before.ndim not in (3, 4) or len(before) == 0:
        raise ValueError(f"`images` must have shape [N, H, W, C] or [N, H, W], got {list(before.shape)}.")
    example = check_example(example, len(before))
    note = ""
    if isinstance(after, Masker):
        changed, note = _without(before, after, present, example)
    else:
        if present is not None:
            raise ValueError("`present` must be left out unless `after` is a masker, whose players it names.")
        changed = np.asarray(check.numeric_array("after", after))
        if changed.shape != before.shape:
            raise ValueError(f"`after` must have the shape of images, {list(before.shape)}, got {list(changed.shape)}.")
        changed = changed[example]
    both = np.stack([before[example], changed.astype(np.result_type(before, changed))])
    read = images_of(both, [0, 1], 2, mean=mean, std=std, gray=gray)
    answers = ["", ""] if outputs is None else [f"\noutput {each:.3g}" for each in _two_numbers("outputs", outputs)]
    if len(check.texts("titles", titles)) != 2:
        raise ValueError(f"`titles` must be two, one for each image, got {check.shown(titles)}.")

    drawn = panels(axes, 1, 2, read.shown.shape[1:3])[0]
    for ax, image, title, answer in zip(drawn, read.shown, titles, answers, strict=True):
        draw_image(ax, image)
        titled(ax, None, f"{title}{answer}")
    write_notes(drawn[0], read.note)
    write_notes(drawn[1], note)
    return drawn


@draws
def removal(
    removed: Removal,
    *,
    example: int = 0,
    gray: bool = False,
    mean: ArrayOrSequence | None = None,
    std: ArrayOrSequence | None = None,
    axes: Sequence[Axes] | np.ndarray | None = None,
) -> np.ndarray:
    """Draws an image next to the one without its strongest regions, or with these alone, and states both outputs.

    Why: the plainest test of an explanation. Without the regions that speak for the output, the output should fall.

    Args:
      removed: from `xai.metrics.removal`, of images.
      example: the image to draw.
      gray, mean, std: as in `xai.plot.image`.
      axes: two axes to draw on. Default: those of a new figure.

    Returns:
      The two axes.

    Raises:
      TypeError, ValueError: if the result is not one of images.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> game = xai.game(lambda x: x.sum(axis=(1, 2, 3)), jnp.ones((1, 4, 4, 1)), xai.mask.grid(2, fill=0.0))
    >>> axes = xai.plot.removal(xai.metrics.removal(game, xai.shap.exact(game), top=3))
    >>> [ax.get_title() for ax in axes]
    ['whole image\\noutput 16', 'without the 3 strongest\\noutput 4']
    """
    if not isinstance(removed, Removal):
        raise TypeError(f"`removed` must come from xai.metrics.removal, got {check.shown(removed)}.")
    example = check_example(example, len(removed.before))
    count = int(removed.num_changed[example])
    title = f"the {count} strongest alone" if removed.keep else f"without the {count} strongest"
    drawn = pair(
        removed.before, removed.after, example=example, titles=("whole image", title),
        outputs=[float(removed.output[example]), float(removed.output_after[example])],
        gray=gray, mean=mean, std=std, axes=axes,
    )  # fmt: skip
    if removed.num_references > 1:
        write_notes(drawn[1], f"filled from the first of {counted(removed.num_references, 'reference')}")
    return drawn


def _without(
    images: np.ndarray, masker: Masker, present: ArrayOrSequence | None, example: int
) -> tuple[np.ndarray, str]:
    """Returns the image with the present players alone, filled from the first reference, and a note if there are more."""
    x = masker.read(jnp.asarray(images))
    masker.check(x)
    count = masker.num_players(x.shape[1:])
    if present is None:
        raise ValueError(f"`present` must be given with a masker: booleans [{count}], one for each of its players.")
    coalition = np.asarray(present)
    if coalition.dtype != bool or coalition.shape not in ((count,), (len(images), count)):
        raise ValueError(
            f"`present` must be booleans [{count}], one for each player of the masker, or [{len(images)}, {count}], got "
            f"{coalition.dtype}{list(coalition.shape)}."
        )
    coalition = coalition if coalition.ndim == 1 else coalition[example]
    own = jax.tree.map(lambda leaf: leaf[example], masker.prepare(x))
    references = masker.references(x[example], own)
    note = "" if len(references) == 1 else f"filled from the first of {counted(len(references), 'reference')}"
    return np.asarray(masker.compose(x[example], references[0], jnp.asarray(coalition), own)), note


def _two_numbers(name: str, given: Sequence[float]) -> np.ndarray:
    numbers = np.asarray(check.numeric_array(name, given), np.float64)
    if numbers.shape != (2,):
        raise ValueError(f"`{name}` must be two numbers, one for each image, got {check.shown(given)}.")
    return numbers
