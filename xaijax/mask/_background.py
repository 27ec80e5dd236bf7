"""Absent features take their values from background rows, from one baseline, or from cluster centers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.frames import Columns, read_frame, refuse_categories
from xaijax._core.masker import Masker
from xaijax._core.names import read_names
from xaijax._core.numerics import at_least_float32, power_of_two
from xaijax._core.typing import Array, ArrayOrSequence, Bool, Float, Inputs, Int, KeyLike, Shaped

OWN_CENTERS = 25  # of a data frame that is its own background: the cost of a row of each, and errors of a few percent
_OWN_KEY = 0


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, repr=False)
class Background(Masker):
    """Replaces absent features by those of background rows.

    rows: [B, ...] background inputs.
    groups: [...] the player of each feature; None where every feature is a player.
    shares: [B] the weight of each row, with sum 1; None where all count the same.
    num_groups: the number of players that the groups define.
    columns: the columns of the data frame that the rows were read from, or None.
    player_names: [M] names of the players that were passed, or None.
    host_rows: the rows in float64, where they were passed as such: forests compare them so. Lost by transformations.
    """

    rows: Shaped[Array, "B *input"]
    groups: Int[Array, "..."] | None = None
    shares: Float[Array, " B"] | None = None
    num_groups: int = dataclasses.field(default=0, metadata={"static": True})
    columns: Columns | None = dataclasses.field(default=None, metadata={"static": True})
    player_names: tuple[str, ...] | None = dataclasses.field(default=None, metadata={"static": True})
    host_rows: ClassVar[np.ndarray | None] = None

    def read(self, x: Any) -> Array:
        return read_like("x", x, self.rows, self.columns)

    def check(self, x: Shaped[Array, "N *input"]) -> None:
        if x.shape[1:] != self.rows.shape[1:]:
            advice = ": x is one example without its batch axis, pass x[None]" if x.shape == self.rows.shape[1:] else ""
            raise ValueError(
                f"`x` must have the shape [N, {', '.join(map(str, self.rows.shape[1:]))}] of the background's rows, got "
                f"{list(x.shape)}{advice}."
            )

    def num_players(self, shape: tuple[int, ...]) -> int:
        return math.prod(shape) if self.groups is None else self.num_groups

    def names(self, shape: tuple[int, ...]) -> tuple[str, ...] | None:
        if self.player_names is not None or self.columns is None:
            return self.player_names
        return self.columns.names if self.groups is None else None

    def inputs(self, x: Shaped[Array, "N *input"], prepared: Any) -> Shaped[Array, "N M"] | None:
        return x.reshape(len(x), -1) if self.groups is None else None

    def owners(self, shape: tuple[int, ...], prepared: Any) -> Int[Array, "..."] | None:
        return self.groups

    def active(self, x: Shaped[Array, "*input"], prepared: Any) -> Bool[Array, " M"]:
        """Returns the players that differ from some background row."""
        differs = (self.references(x, prepared) != x[None]).any(axis=0)
        if self.groups is None:
            return differs.reshape(-1)
        differs = differs.reshape(*self.groups.shape, -1).any(axis=-1)
        return jnp.zeros(self.num_groups, bool).at[self.groups].max(differs)

    def exists(self, x: Shaped[Array, "*input"], prepared: Any) -> Bool[Array, " M"]:
        return jnp.ones(self.num_players(x.shape), bool)

    def references(self, x: Shaped[Array, "*input"], prepared: Any) -> Shaped[Array, "B *input"]:
        return self.rows.astype(x.dtype)

    def weights(self) -> Float[Array, " B"] | None:
        return self.shares


def background(
    rows: Inputs,
    *,
    groups: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
    names: Sequence[str] | None = None,
    allow_missing: bool = False,
) -> Background:
    """Replaces absent features by those of background rows and averages over the rows.

    Why: the interventional expectation, v(S) = mean_b f(x_S, b_{not S}): the model's output when absent features are
    drawn independently of the present ones (Janzing, Minorics & Blöbaum 2020). Take 20 to 200 rows from the training
    data: the cost grows in proportion to their number, the sampling error of the background falls with its square root.

    Args:
      rows: [B, ...] inputs of the model, such as training rows, B at least 1; or a data frame of pandas or polars.
        Columns of strings or categories become integer codes. Data frames passed as x get the same codes, and their
        columns are reordered by name.
      groups: [...] integers 0..G-1 of the shape of one input (or of its leading axes): features with the same number
        are one player. Default: every feature is a player.
      weights: [B] the weight of each row in the average, such as the sizes of clusters. Default: all the same.
      names: M names of the players. Default: the columns of a data frame, those of a group joined by " + ".
      allow_missing: whether the rows may hold NaN or missing values, for models that read it as a missing value, such as
        forests. Default False.

    Returns:
      A masker for inputs of the shape of the rows. A player that equals all rows gets exactly 0. Negative weights that
      are traced make all values NaN.

    Raises:
      TypeError, ValueError: if there are no rows, they hold NaN or missing values, the groups do not fit or have gaps,
        or weights are negative.
    """
    allow_missing = check.flag("allow_missing", allow_missing)
    read, columns = read_frame("rows", rows, missing=allow_missing)
    values = check.numeric_array("rows", read)
    if values.ndim < 2:
        raise ValueError(
            f"`rows` must have shape [B, ...], got {list(values.shape)}: use xai.mask.baseline for one row."
        )
    if values.shape[0] == 0:
        raise ValueError("`rows` must hold at least one row [B, ...], got none.")
    masker = _background(values, columns, groups, weights, names, allow_missing=allow_missing)
    return _with_host_rows(masker, read)


def baseline(row: Inputs, *, groups: ArrayOrSequence | None = None, names: Sequence[str] | None = None) -> Background:
    """Replaces absent features by those of one fixed input, such as a row of means, zeros, or a black image.

    Why: one model evaluation for each coalition, and an answer to "why this rather than that?". The answer depends on
    the baseline, so choose a meaningful one.

    Args:
      row: [...] one input of the model, without the batch axis; a data frame of one row; or a series of pandas whose
        index holds the columns, such as `df.mean()`.
      groups: as in `background`.
      names: as in `background`.

    Returns:
      A masker for inputs of the shape of the row.

    Raises:
      TypeError, ValueError: as `background`.
    """
    read, columns = read_frame("row", row)
    values = check.numeric_array("row", read)
    if columns is not None and values.ndim == 2:
        if len(values) != 1:
            raise ValueError(f"`row` must be one row, got a data frame of {len(values)}: use xai.mask.background.")
        values = values[0]
    if values.ndim == 0:
        raise ValueError("`row` must have the shape of one input, got a scalar.")
    if values.size == 0:
        raise ValueError(f"`row` must hold at least one value, got shape {list(values.shape)}.")
    masker = _background(values[None], columns, groups, None, names, name="row")
    return _with_host_rows(masker, np.reshape(read, (1, *values.shape)) if isinstance(read, np.ndarray) else None)


def k_means(
    rows: Inputs,
    num_clusters: int,
    *,
    key: KeyLike,
    groups: ArrayOrSequence | None = None,
    names: Sequence[str] | None = None,
) -> Background:
    """Replaces absent features by those of cluster centers, which represent a large background.

    Why: the cost grows with the number of background rows. A few dozen centers, weighted by the number of rows that
    they represent, give nearly the same values as thousands of rows. Each feature of a center takes the nearest value
    that occurs in the rows, so that integers and categories stay what they are.

    Args:
      rows: [B, D] inputs of the model, such as all training rows, or a data frame, as in `background`.
      num_clusters: the number of clusters, at most the number of different rows. Empty clusters are left out.
      key: a JAX random key, for the initial centers (k-means++).
      groups: as in `background`.
      names: as in `background`.

    Returns:
      A masker for inputs [N, D].

    Raises:
      TypeError, ValueError: if the rows are no table, hold NaN, or are fewer than the clusters.

    References:
      Arthur & Vassilvitskii (2007), k-means++: the advantages of careful seeding.
    """
    values, columns = _read_rows("rows", rows)
    if not check.is_concrete(values):
        raise TypeError("`rows` must be known when compiling, got a traced array: make the masker outside jax.jit.")
    if values.ndim != 2:
        raise ValueError(f"`rows` must have shape [B, D], got {list(values.shape)}.")
    if len(values) == 0:
        raise ValueError("`rows` must hold at least one row, got none.")
    check.no_nan("rows", values)
    key = check.random_key(key)
    if not check.is_concrete(key):
        raise TypeError("`key` must be known when compiling, got a traced key: make the masker outside jax.jit.")
    num_clusters = check.positive_int("num_clusters", num_clusters)
    from scipy.cluster.vq import kmeans2  # imported on first use: it takes a quarter of a second

    table = np.asarray(values)
    different = len(np.unique(table, axis=0))
    if num_clusters > different:
        raise ValueError(f"`num_clusters` must be at most the {different} different rows, got {num_clusters}.")
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)).reshape(-1))
    numbers = table.astype(np.float64)
    varies = (numbers != numbers[0]).any(axis=0)  # the mean of a constant column is rounded
    scaled = np.where(varies, numbers - numbers.mean(axis=0), 0) / np.where(varies, numbers.std(axis=0), 1)
    _, members = kmeans2(scaled, num_clusters, minit="++", rng=rng)
    clusters, sizes = np.unique(members, return_counts=True)
    centers = np.stack([_nearest(table, numbers[members == cluster].mean(axis=0)) for cluster in clusters])
    return _background(jnp.asarray(centers.astype(table.dtype)), columns, groups, sizes, names)


def own_background(name: str, frame: Any) -> Background:
    """Returns the background that a data frame is for itself: at most OWN_CENTERS centers of its rows.

    The centers always start from `jax.random.key(0)`, so that a frame has one background for every key of its values.

    Raises:
      TypeError, ValueError: if it is no data frame, or its rows are all equal.
    """
    rows, columns = read_frame(name, frame)
    if columns is None or np.ndim(rows) != 2:
        raise TypeError(
            "`masker` must come from xai.mask, such as xai.mask.background(rows), got None: only a data frame is a background "
            "for itself, as an array may as well be a batch, tokens or an image."
        )
    different = len(np.unique(rows, axis=0))
    if different < 2:
        raise ValueError(
            f"`{name}` must have at least 2 different rows to be its own background, got {different}: pass a masker, such "
            "as xai.mask.background(rows) of training rows."
        )
    return few_centers(frame, different)


def few_centers(rows: Any, different: int) -> Background:
    """Returns the background of at most OWN_CENTERS centers of rows, of which so many are different."""
    return k_means(rows, min(OWN_CENTERS, different), key=jax.random.key(_OWN_KEY))


def read_like(name: str, x: Any, rows: Array, columns: Columns | None) -> Array:
    """Reads inputs as a masker's rows were read, in the dtype that holds both."""
    x, own = read_frame(name, x, columns, "the masker's rows")
    if columns is None:
        refuse_categories(name, own, "make the masker from a data frame, whose levels define the codes")
    x = check.numeric_array(name, x)
    with jax.numpy_dtype_promotion("standard"):
        return x.astype(jnp.promote_types(x.dtype, rows.dtype))


def _with_host_rows(masker: Background, rows: Any) -> Background:
    """Gives a masker its rows in float64, if they were passed as such."""
    if isinstance(rows, np.ndarray) and rows.dtype == np.float64 and masker.rows.dtype != np.float64:
        object.__setattr__(masker, "host_rows", np.array(rows))  # a copy: the caller may change the rows
    return masker


def _read_rows(name: str, rows: Any) -> tuple[Array, Columns | None]:
    rows, columns = read_frame(name, rows)
    rows = check.numeric_array(name, rows)
    return rows, columns


def _background(
    rows: Array,
    columns: Columns | None,
    groups: Any,
    weights: Any,
    names: Any,
    *,
    name: str = "rows",
    allow_missing: bool = False,
) -> Background:
    if not allow_missing:
        check.no_nan(name, rows)
    shares = None if weights is None else _read_weights(weights, len(rows))
    num_players, num_groups = math.prod(rows.shape[1:]), 0
    if groups is not None:
        groups = check.labels("groups", groups)
        if groups.shape != rows.shape[1 : 1 + groups.ndim]:
            raise ValueError(
                f"`groups` must have the shape of one row, {list(rows.shape[1:])}, or of its leading axes, got "
                f"{list(groups.shape)}."
            )
        num_players = num_groups = int(groups.max()) + 1
    player_names: Any = None if names is None else read_names(names, num_players, None)
    if names is None and columns is not None and groups is not None:
        members = [[] for _ in range(num_groups)]
        for column, group in zip(columns.names, groups.tolist(), strict=True):
            members[group].append(column)
        player_names = tuple(map(" + ".join, members))
    groups = None if groups is None else jnp.asarray(groups, jnp.int32)
    return Background(rows, groups, shares, num_groups, columns, player_names)


def _read_weights(weights: Any, count: int) -> Float[Array, " B"]:
    weights = check.numeric_array("weights", weights)
    if weights.shape != (count,):
        raise ValueError(
            f"`weights` must have one number for each of the {count} rows, got shape {list(weights.shape)}."
        )
    weights = at_least_float32(weights)
    if check.is_concrete(weights):
        known = np.asarray(weights, np.float64)
        if not (np.isfinite(known).all() and (known >= 0).all() and known.max() > 0):
            raise ValueError(
                f"`weights` must be finite, not negative and not all 0, got {known.min()} to {known.max()}."
            )
        known = known / known.max()  # so that the sum of huge weights stays finite
        return jnp.asarray(known / known.sum(), weights.dtype)
    valid = jnp.isfinite(weights).all() & (weights >= 0).all() & (weights > 0).any()
    scaled = weights / power_of_two(weights)
    return jnp.where(valid, scaled / scaled.sum(), jnp.nan)


def _nearest(rows: np.ndarray, center: np.ndarray) -> np.ndarray:
    """Returns the value of each feature that is nearest to the center's."""
    return np.take_along_axis(rows, np.abs(rows - center).argmin(axis=0)[None], axis=0)[0]
