"""Localization: does an explanation point at the object that is known to be the reason? Masks mark the object.

relevance mass = sum of positive values within the mask / sum of all positive values
relevance rank = share of the K strongest positions that lie in the mask, K the number of its positions
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check, settings
from xaijax._core.attribution import Attribution
from xaijax._core.compile import compiled
from xaijax._core.numerics import at_least_float32, ratio
from xaijax._core.typing import Array, ArrayOrSequence, Bool, Float, Int
from xaijax.metrics._players import without_channels
from xaijax.metrics._score import Score

SIGNS = ["positive", "absolute"]
Space = Float[Array, "*space"]
Marked = Bool[Array, "*space"]


def pointing_game(maps: Attribution | Array, masks: ArrayOrSequence, *, tolerance: int = 0) -> Score:
    """Computes whether the strongest position of each map lies on the object: 1 for a hit, 0 for a miss.

    Several strongest positions count by their share: a constant map scores the share of the mask, as chance does.

    Args:
      maps: an attribution, of which each position of the input gets the value of its player; or values [N, *space].
        Values of pixels with channels are summed over the channels. A map of lower resolution is resized linearly to the
        shape of the masks. Positions of no player, at -1 of `attribution.regions`, neither count nor compete. The padding of
        texts has players, of value 0, which do: cut it off.
      masks: booleans [N, *space], True on the object; `box_masks` makes them from boxes and spans.
      tolerance: a position at most so many pixels from the object is a hit too (Euclidean). Zhang et al. take 15 for
        images of about 500 pixels. Default 0.

    Returns:
      A `Score`, higher is better. NaN where a map holds NaN.

    Raises:
      TypeError, ValueError: if maps and masks do not fit each other, or a mask is empty (under a transformation: NaN).

    References:
      Zhang et al. (2018), Top-down neural attention by excitation backprop, IJCV 126, section 4.1.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> maps, masks = jnp.array([[[0.0, 3.0], [1.0, 0.0]]]), jnp.array([[[True, False], [True, False]]])
    >>> [float(xai.metrics.pointing_game(maps, masks, tolerance=t).values[0]) for t in (0, 1)]
    [0.0, 1.0]
    """
    tolerance = check.positive_int("tolerance", tolerance, least=0)
    return _score("pointing game", _pointing, maps, masks, tolerance=tolerance)


def relevance_mass(maps: Attribution | Array, masks: ArrayOrSequence, *, sign: str = "positive") -> Score:
    """Computes the share of a map's mass that lies on the object.

    With the default sign, this is the energy-based pointing game of Wang et al., and attribution localization of
    Kohlbrenner et al.; relevance mass accuracy of Arras et al. takes maps that are positive or were made so. It is
    differentiable with respect to the maps.

    Args:
      maps, masks: as in `pointing_game`.
      sign: which values count: "positive" (default), or "absolute" for values of both signs by their size.

    Returns:
      A `Score`, higher is better: from 0 to 1, and 0 for a map without mass. NaN where a map holds NaN.

    Raises:
      TypeError, ValueError: as `pointing_game`.

    References:
      Wang et al. (2020), Score-CAM, arXiv:1910.01279, section 4.3. Kohlbrenner et al. (2020), Towards best practice in
      explaining neural network decisions with LRP, arXiv:1910.09840, equation 9. Arras, Osman & Samek (2022), CLEVR-XAI,
      arXiv:2003.07258, equation 1.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> maps, masks = jnp.array([[3.0, -2.0, 1.0]]), jnp.array([[True, True, False]])
    >>> [round(float(xai.metrics.relevance_mass(maps, masks, sign=sign).values[0]), 3) for sign in ("positive", "absolute")]
    [0.75, 0.833]
    """
    return _score("relevance mass", _mass, maps, masks, sign=check.one_of("sign", sign, SIGNS))


def relevance_rank(maps: Attribution | Array, masks: ArrayOrSequence) -> Score:
    """Computes the share of the K strongest positions that lie on the object, where K is the object's own size.

    Positions that tie for the last ranks count by their share, so that a constant map scores as chance does.

    Args:
      maps, masks: as in `pointing_game`.

    Returns:
      A `Score`, higher is better: from 0 to 1. NaN where a map holds NaN.

    Raises:
      TypeError, ValueError: as `pointing_game`.

    References:
      Arras, Osman & Samek (2022), CLEVR-XAI, arXiv:2003.07258, equation 2.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> maps, masks = jnp.array([[3.0, 0.0, 2.0, 1.0]]), jnp.array([[True, True, False, False]])
    >>> float(xai.metrics.relevance_rank(maps, masks).values[0])
    0.5
    """
    return _score("relevance rank", _rank, maps, masks)


def top_k_intersection(maps: Attribution | Array, masks: ArrayOrSequence, k: int) -> Score:
    """Computes the share of the k strongest positions that lie on the object.

    Args:
      maps, masks: as in `pointing_game`.
      k: the number of positions.

    Returns:
      A `Score`, higher is better: from 0 to 1; below 1 for every map where the object has fewer than k positions.

    Raises:
      TypeError, ValueError: as `pointing_game`; if there are fewer than k positions.

    References:
      Theiner, Müller-Budack & Ewerth (2022), Interpretable semantic photo geolocation, arXiv:2104.14995, section 4.4.
    """
    return _score("top-k intersection", _top_k, maps, masks, k=check.positive_int("k", k))


def attribution_auc(maps: Attribution | Array, masks: ArrayOrSequence) -> Score:
    """Computes the area under the ROC curve of the map as a detector of the object's positions.

    It is the probability that a position on the object has a greater value than one elsewhere; ties count one half.

    Args:
      maps, masks: as in `pointing_game`. A mask of all positions is refused: there is nothing to tell apart.

    Returns:
      A `Score`, higher is better: 1 for a perfect ranking, 0.5 for chance. NaN where a map holds NaN.

    Raises:
      TypeError, ValueError: as `pointing_game`; if a mask marks all positions.

    References:
      Fawcett (2006), An introduction to ROC analysis, Pattern Recognition Letters 27, section 7.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> maps, masks = jnp.array([[3.0, 0.0, 2.0, 1.0]]), jnp.array([[True, True, False, False]])
    >>> float(xai.metrics.attribution_auc(maps, masks).values[0])
    0.5
    """
    return _score("attribution AUC", _auc, maps, masks, partial=True)


@settings.own
def grid_pointing_game(
    maps: Attribution | Array, cells: ArrayOrSequence, grid: tuple[int, int], *, sign: str = "positive"
) -> Score:
    """Computes the share of a map's mass in the explained class's own cell of a mosaic.

    Why: a mosaic of images of different classes is a test whose right answer is known by construction, for any classifier.

    Args:
      maps: as in `pointing_game`, of mosaics: each explains the class of one cell.
      cells: ints [N] that cell, in reading order.
      grid: (rows, columns) of the mosaics.
      sign: as in `relevance_mass`.

    Returns:
      A `Score`, higher is better: from 0 to 1; chance is 1 / (rows · columns).

    Raises:
      TypeError, ValueError: if there is no such cell, or the cells do not divide the maps evenly.

    References:
      Böhle, Fritz & Schiele (2021), Convolutional dynamic alignment networks, arXiv:2104.00032, section 5.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> float(xai.metrics.grid_pointing_game(jnp.array([[[1.0, 3.0]]]), jnp.array([1]), (1, 2)).values[0])
    0.75
    """
    sign = check.one_of("sign", sign, SIGNS)
    if not isinstance(grid, tuple) or len(grid) != 2:
        raise TypeError(f"`grid` must be a tuple (rows, columns) of the mosaics, got {check.shown(grid)}.")
    rows, columns = (check.positive_int("grid", number) for number in grid)
    values = maps.on_input() if isinstance(maps, Attribution) else check.numeric_array("maps", maps)
    if isinstance(maps, Attribution) and maps.player_axes[-1] == "C":
        values = values.sum(axis=-1)
    if values.ndim != 3 or values.shape[1] % rows or values.shape[2] % columns:
        raise ValueError(
            f"`maps` must explain one output of each example by a map [N, h, w] that a grid of {rows} x {columns} divides "
            f"evenly, got shape {list(values.shape)}: "
            "resize the maps to the mosaics, as by upsample=True."
        )
    cells = check.numeric_array("cells", cells)
    if cells.shape != values.shape[:1] or not jnp.issubdtype(cells.dtype, jnp.integer):
        raise ValueError(
            f"`cells` must be ints [{len(values)}], one cell for each map, got {cells.dtype}{list(cells.shape)}."
        )
    if check.is_concrete(cells) and not (int(cells.min()) >= 0 and int(cells.max()) < rows * columns):
        raise ValueError(
            f"`cells` must be from 0 to {rows * columns - 1}, got {int(cells.min())} to {int(cells.max())}."
        )
    height, width = values.shape[1:]
    owners = np.arange(height)[:, None] // (height // rows) * columns + np.arange(width) // (width // columns)
    method = maps.method if isinstance(maps, Attribution) else ""
    return Score(
        _localized(values, cells[:, None, None] == owners, None, _mass, (("sign", sign),)),
        metric="grid pointing game", better="higher", method=method,
    )  # fmt: skip


@settings.own
def box_masks(boxes: ArrayOrSequence, shape: tuple[int, ...]) -> Bool[Array, "N *space"]:
    """Returns masks that are True inside of boxes of an image, or spans of a text.

    Args:
      boxes: ints [N, 2 d] for d axes, (top, left, bottom, right) for images and (start, stop) for spans: first positions
        inside, then first positions outside. [N, B, 2 d] for several boxes of each example, whose union counts; boxes of
        zeros fill up examples with fewer.
      shape: the d sizes, (height, width) or (length,).

    Returns:
      Booleans [N, *shape].

    Raises:
      TypeError, ValueError: if the boxes are no integers, reach outside, or are empty.

    >>> import xaijax as xai
    >>> xai.metrics.box_masks([[1, 3]], (5,)).tolist()
    [[False, True, True, False, False]]
    """
    if not isinstance(shape, tuple) or not shape:
        raise TypeError(
            f"`shape` must be a tuple of sizes, such as (height, width) or (length,), got {check.shown(shape)}."
        )
    shape = tuple(check.positive_int("shape", size) for size in shape)
    boxes = check.numeric_array("boxes", boxes)
    if boxes.ndim not in (2, 3) or boxes.shape[-1] != 2 * len(shape) or not jnp.issubdtype(boxes.dtype, jnp.integer):
        raise ValueError(
            f"`boxes` must be ints [N, {2 * len(shape)}] or [N, B, {2 * len(shape)}] for {len(shape)} "
            f"ax{'i' if len(shape) == 1 else 'e'}s, got {boxes.dtype}{list(boxes.shape)}."
        )
    first, last = boxes[..., : len(shape)], boxes[..., len(shape) :]
    if check.is_concrete(boxes):
        _check_boxes(np.asarray(first), np.asarray(last), shape)
    inside = jnp.ones((*boxes.shape[:-1], *[1] * len(shape)), bool)
    for axis, size in enumerate(shape):
        positions = jnp.arange(size)
        along = (positions >= first[..., axis, None]) & (positions < last[..., axis, None])
        others = [size if number == axis else 1 for number in range(len(shape))]
        inside = inside & along.reshape(*boxes.shape[:-1], *others)
    return inside.any(axis=1) if boxes.ndim == 3 else inside


def _check_boxes(first: np.ndarray, last: np.ndarray, shape: tuple[int, ...]) -> None:
    filling = (first == 0).all(axis=-1) & (last == 0).all(axis=-1) & (first.ndim == 3)
    bad = ((first < 0) | (last > np.array(shape)) | (first >= last)).any(axis=-1) & ~filling
    if bad.any():
        where = tuple(np.argwhere(bad)[0])
        raise ValueError(
            f"`boxes` must lie inside of {list(shape)} and hold at least one position, got "
            f"{[*first[where].tolist(), *last[where].tolist()]} for example {where[0]}: first positions inside, then first "
            "positions outside."
        )


def _score(metric: str, function: Any, maps: Any, masks: Any, partial: bool = False, **options: Any) -> Score:
    method = maps.method if isinstance(maps, Attribution) else ""
    alone = isinstance(maps, Attribution) and not maps.has_examples
    values, masks, counted = _read(maps, masks, alone)
    if "k" in options and options["k"] > masks[0].size:
        raise ValueError(f"`k` must be at most the number of positions of a map, {masks[0].size}, got {options['k']}.")
    _check_marked(masks, partial)
    scores = _localized(values, masks, counted, function, tuple(options.items()))
    return Score(scores[0] if alone else scores, metric=metric, better="higher", method=method)


def _read(
    maps: Any, masks: Any, alone: bool
) -> tuple[Float[Array, "N ..."], Bool[Array, "N ..."], Bool[Array, "N ..."] | None]:
    """Returns values and masks of the same number of axes, and which positions have a player; None for all of them."""
    if isinstance(maps, Attribution) and maps.all_outputs:
        raise ValueError(
            "`maps` must explain one output of each example, got all outputs: take one by attribution.of_output(k)."
        )
    values = maps.on_input() if isinstance(maps, Attribution) else check.numeric_array("maps", maps)
    if values.ndim < 2 - alone or not values.size:
        raise ValueError(f"`maps` must be values [N, *space], got shape {list(values.shape)}.")
    masks = check.numeric_array("masks", masks)
    if masks.dtype != bool:
        raise TypeError(f"`masks` must be booleans, True on the object, got {masks.dtype}: pass labels == object.")
    if isinstance(maps, Attribution):
        values = without_channels(maps, masks.shape)
    if alone:
        values, masks = values[None], masks[None]
    of_players = isinstance(maps, Attribution) and (maps.regions is not None or maps.player_axes[-1] in ("M", "C"))
    is_resized = (
        not of_players
        and values.ndim == masks.ndim > 2
        and len(values) == len(masks)
        and all(np.less_equal(values.shape, masks.shape))
    )
    if values.shape != masks.shape and not is_resized:
        raise ValueError(
            f"`masks` must have the shape of `maps`, {list(values.shape[alone:])}, got {list(masks.shape[alone:])}."
        )
    if not isinstance(maps, Attribution) or maps.regions is None:
        return values, masks, None
    counted = maps.regions.reshape(masks.shape) >= 0
    return values, masks & counted, counted


def _check_marked(masks: Any, partial: bool) -> None:
    if not check.is_concrete(masks):
        return
    flat = np.asarray(masks).reshape(len(masks), -1)
    for wrong, fault in ((~flat.any(axis=1), "none"), (flat.all(axis=1) & partial, "all of them")):
        if wrong.any():
            raise ValueError(
                f"`masks` must mark some of the positions of each example, got {fault} for example "
                f"{int(np.flatnonzero(wrong)[0])}: leave such examples out."
            )


@compiled(static_argnames=("function", "options"))
def _localized(
    values: Array, masks: Array, counted: Array | None, function: Any, options: tuple[tuple[str, Any], ...]
) -> Float[Array, " N"]:
    values = at_least_float32(values)
    if values.shape != masks.shape:
        values = jax.image.resize(values, masks.shape, method="linear")
    counted = jnp.ones(masks.shape, bool) if counted is None else counted
    scores = jax.vmap(functools.partial(function, **dict(options)))(values, masks, counted)
    bad = ~masks.reshape(len(masks), -1).any(axis=1) | check.rows_with_nan(values)
    return check.nan_where(bad, scores)


def _pointing(values: Space, mask: Marked, counted: Marked, tolerance: int) -> Float[Array, ""]:
    return _share_of_strongest(values, _within(mask, tolerance) & counted if tolerance else mask, counted, 1)


def _mass(values: Space, mask: Marked, counted: Marked, sign: str) -> Float[Array, ""]:
    mass = jnp.abs(values) if sign == "absolute" else jnp.maximum(values, 0)
    return ratio(jnp.where(mask, mass, 0).sum(), mass.sum())


def _rank(values: Space, mask: Marked, counted: Marked) -> Float[Array, ""]:
    return _share_of_strongest(values, mask, counted, mask.sum())


def _top_k(values: Space, mask: Marked, counted: Marked, k: int) -> Float[Array, ""]:
    return _share_of_strongest(values, mask, counted, k)


def _auc(values: Space, mask: Marked, counted: Marked) -> Float[Array, ""]:
    """By the mean rank of the object's positions (Mann & Whitney 1947); equal values share their ranks."""
    values, mask, counted = values.reshape(-1), mask.reshape(-1), counted.reshape(-1)
    ordered = jnp.sort(jnp.where(counted, values, jnp.inf))  # the others after all that count
    smaller = jnp.searchsorted(ordered, values, side="left").astype(values.dtype)
    not_larger = jnp.searchsorted(ordered, values, side="right").astype(values.dtype)
    inside = mask.sum().astype(values.dtype)
    outside = counted.sum().astype(values.dtype) - inside
    mean_below = jnp.where(mask, (smaller + not_larger) / 2, 0).sum() / inside
    return jnp.where(outside > 0, (mean_below - inside / 2) / jnp.maximum(outside, 1), jnp.nan)


def _share_of_strongest(values: Space, mask: Marked, counted: Marked, count: int | Int[Array, ""]) -> Float[Array, ""]:
    """Returns which share of the `count` strongest positions lies in the mask; those that tie for the last count evenly."""
    values, mask = jnp.where(counted, values, -jnp.inf).reshape(-1), mask.reshape(-1)
    last = jnp.sort(values)[values.size - jnp.maximum(count, 1)]
    above, tied = values > last, values == last
    left = (count - above.sum()).astype(values.dtype)
    share = (tied & mask).sum().astype(values.dtype) / tied.sum().astype(values.dtype)
    return ((above & mask).sum().astype(values.dtype) + left * share) / jnp.asarray(count, values.dtype)


def _within(mask: Bool[Array, "*space"], distance: int) -> Bool[Array, "*space"]:
    """Returns the positions at most so far from the mask: squared distances are minimized along one axis at a time."""
    far = 2 * mask.ndim * distance**2 + 1
    squares = jnp.where(mask, 0, far)
    steps = jnp.arange(2 * distance + 1)
    for axis in range(mask.ndim):
        padding = [(distance * (number == axis),) * 2 for number in range(mask.ndim)]
        padded = jnp.pad(squares, padding, constant_values=far)

        def nearer(least: Array, step: Array, padded: Array = padded, axis: int = axis) -> tuple[Array, None]:
            shifted = jax.lax.dynamic_slice_in_dim(padded, step, mask.shape[axis], axis)
            return jnp.minimum(least, shifted + (step - distance) ** 2), None

        squares = jax.lax.scan(nearer, squares, steps)[0]
    return squares <= distance**2
