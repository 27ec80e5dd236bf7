"""Before and after: a picture beside the one from which something was taken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.game import ModelGame
from xaijax.mask import Masker
from xaijax.metrics._ranked import player_values
from xaijax.plot._axes import check_attribution, check_example
from xaijax.plot._fonts import label_style
from xaijax.plot._maps import draw_picture, state
from xaijax.plot._panels import panels
from xaijax.plot._pictures import pictures_of
from xaijax.plot._regions import strongest_of_sign


def pair(
    images: Any,
    after: Any,
    *,
    present: Any = None,
    example: int = 0,
    outputs: Sequence[float] | None = None,
    titles: tuple[str, str] = ("before", "after"),
    gray: bool = False,
    mean: Any = None,
    std: Any = None,
    axes: Any = None,
) -> np.ndarray:
    """Draws a picture beside what became of it.

    Args:
      images: [N, H, W, C] or [N, H, W], as in `xai.plot.image`.
      after: as many images after the change; or a masker, such as `xai.mask.superpixels(50)`, that takes players away.
      present: with a masker, booleans [M] or [N, M]: which players are there afterwards.
      example: which one to draw.
      outputs: what the model says before and after, two numbers.
      titles: of the two pictures.
      gray, mean, std: as in `xai.plot.image`. Both pictures have one black and one white.
      axes: two axes to draw on. Default: those of a new figure.

    Returns:
      The two axes.

    Raises:
      TypeError, ValueError: if the pictures have different shapes, or present does not fit the masker's players.

    >>> import jax, numpy as np, xaijax as xai
    >>> images = jax.random.uniform(jax.random.key(0), (1, 8, 8, 3))
    >>> present = np.array([True, False, True, True])
    >>> axes = xai.plot.pair(images, xai.mask.grid(2, fill=0.0), present=present, outputs=[0.9, 0.2])
    >>> [ax.get_title() for ax in axes], float(axes[1].images[0].get_array()[:4, 4:].max())
    (['before\\noutput 0.9', 'after\\noutput 0.2'], 0.0)
    """
    images = np.asarray(check.numeric_array("images", images))
    if images.ndim not in (3, 4) or len(images) == 0:
        raise ValueError(f"images must have shape [N, H, W, C] or [N, H, W], but its shape is {list(images.shape)}.")
    example = check_example(example, len(images))
    note = ""
    if isinstance(after, Masker):
        changed, note = _without(images, after, present, example)
    else:
        if present is not None:
            raise ValueError("present says which players a masker leaves there, but after is no masker.")
        changed = np.asarray(check.numeric_array("after", after))
        if changed.shape != images.shape:
            raise ValueError(
                f"after must have the shape of images, {list(images.shape)}, but its shape is {list(changed.shape)}."
            )
        changed = changed[example]
    both = np.stack([images[example], changed.astype(np.result_type(images, changed))])
    pictures = pictures_of(both, [0, 1], 2, mean=mean, std=std, gray=gray)
    said = ["", ""] if outputs is None else [f"\noutput {_number(one):.3g}" for one in _two("outputs", outputs)]

    drawn = panels(axes, 1, 2, pictures.shown.shape[1:3])[0]
    for ax, picture, title, number in zip(drawn, pictures.shown, _two("titles", titles), said, strict=True):
        draw_picture(ax, picture)
        ax.set_title(f"{title}{number}", fontsize=10, **label_style([title]))
    state(drawn[0], pictures.note)
    state(drawn[1], note)
    return drawn


def removal(
    game: Any,
    attribution: Attribution,
    *,
    example: int = 0,
    top: int = 5,
    keep: bool = False,
    sign: str = "positive",
    gray: bool = False,
    mean: Any = None,
    std: Any = None,
    axes: Any = None,
) -> np.ndarray:
    """Draws a picture beside the one without its strongest regions, or with nothing else, and what the model says of both.

    Why: the plainest test of an explanation. Without what speaks for it the output should fall.

    Args:
      game: xai.game(model, images, masker, target=...) of regions.
      attribution: values [N, M] of the game's players; maps and values of other regions are averaged over the players,
        as by `xai.metrics.insertion`.
      example: which one to draw.
      top: how many players, the strongest of the sign. Default 5.
      keep: whether these are kept and all others taken away. Default False: these are taken away.
      sign: "positive" for those that speak for the output, "negative" or "both". Default "positive".
      gray, mean, std: as in `xai.plot.image`.
      axes: two axes to draw on. Default: those of a new figure.

    Returns:
      The two axes.

    Raises:
      TypeError, ValueError: if the game is not one of a model of images, or the attribution does not fit it.

    >>> import jax.numpy as jnp, numpy as np, xaijax as xai
    >>> game = xai.game(lambda x: x.sum(axis=(1, 2, 3)), jnp.ones((1, 4, 4, 1)), xai.mask.grid(2, fill=0.0))
    >>> axes = xai.plot.removal(game, xai.shap.exact(game), top=3)
    >>> [ax.get_title() for ax in axes]
    ['all of it\\noutput 16', 'without the 3 strongest\\noutput 4']
    """
    if not isinstance(game, ModelGame):
        raise TypeError(f"game must be xai.game(model, images, masker), but it is {type(game).__name__}.")
    check_attribution(attribution)
    sign = check.one_of("sign", sign, ["both", "positive", "negative"])
    values = np.asarray(player_values(game, attribution), np.float64)
    example, top = check_example(example, len(values)), check.positive_int("top", top)
    strongest = strongest_of_sign(values[example], top, sign)
    present = np.isin(np.arange(game.num_players), strongest) == keep
    worth = np.asarray(game(np.stack([np.ones_like(present), present])))[example]
    if worth.ndim != 1:
        raise ValueError("game must have one output to be stated, but it has several: give xai.game a target.")
    kept = f"nothing but the {len(strongest)} strongest" if keep else f"without the {len(strongest)} strongest"
    return pair(
        game.x, game.masker, present=present, example=example, outputs=worth.tolist(), titles=("all of it", kept),
        gray=gray, mean=mean, std=std, axes=axes,
    )  # fmt: skip


def _without(images: np.ndarray, masker: Masker, present: Any, example: int) -> tuple[np.ndarray, str]:
    """The picture that stands for the players that are present; of several references the first."""
    x = masker.read(jnp.asarray(images))
    masker.check(x)
    count = masker.num_players(x.shape[1:])
    if present is None:
        raise ValueError(
            f"present must say which of the masker's {count} players are there afterwards, but it is not given."
        )
    coalition = np.asarray(present)
    if coalition.dtype != bool or coalition.shape not in ((count,), (len(images), count)):
        raise ValueError(
            f"present must be booleans [{count}], one for each player of the masker, or [{len(images)}, {count}], but it is "
            f"{coalition.dtype}{list(coalition.shape)}."
        )
    coalition = coalition if coalition.ndim == 1 else coalition[example]
    own = jax.tree.map(lambda leaf: leaf[example], masker.prepare(x))
    references = masker.references(x[example], own)
    note = "" if len(references) == 1 else f"filled from the first of {len(references)} backgrounds"
    return np.asarray(masker.compose(x[example], references[0], jnp.asarray(coalition), own)), note


def _two(name: str, given: Any) -> Sequence[Any]:
    if isinstance(given, str) or not hasattr(given, "__len__") or len(given) != 2:
        raise ValueError(f"{name} must be two, one for each picture, but it is {given!r}.")
    return given


def _number(value: Any) -> float:
    return float(np.asarray(value))
