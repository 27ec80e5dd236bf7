"""Summarizes the attributions of a data set in one pass: a state of fixed size that is updated and merged."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.compile import compiled
from xaijax._core.typing import Array, ArrayOrSequence, Ids
from xaijax._io import archive, files
from xaijax.scale.summary._moments import merge_moments, moments, no_moments
from xaijax.scale.summary._readings import Readings
from xaijax.scale.summary._sketch import NO_EXAMPLE, Buckets, count_in_buckets, merge_top, no_top, top_of

TYPE = "attribution summary"
_LARGEST_ID = 2**31 - 1
_NO_CLASSES = (2**31 - 1, -(2**31))  # the least and the greatest of none


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class AttributionSummary(Readings):
    """A summary of the attributions of many examples, player by player; P is their shape without N, such as [M].

    It is a PyTree of fixed size: `summary.update(attribution, ids)` adds a batch, `left.merge(right)` the examples of another
    host or process. Counts, histograms, quantiles and the largest values do not depend on the order, and means only in their
    last digits. Start with `AttributionSummary.init(shape)`, or let `xai.scale.summarize` do it. `xai.load` reads what `save`
    wrote.

    num_examples: the number of examples that were added. Counts have 32 bits: up to 2,147,483,647 examples.
    """

    @classmethod
    def init(
        cls,
        shape: Sequence[int],
        *,
        top: int = 10,
        bins: ArrayOrSequence | None = None,
        relative_error: float = 0.01,
        sizes: tuple[float, float] = (1e-8, 1e8),
    ) -> AttributionSummary:
        """Returns a summary of no examples.

        Args:
          shape: P, the shape of values without N: [M], [M, K] or the sides of a map.
          top: k, the number of examples with the largest values that are kept for each player. Default 10.
          bins: [E] increasing limits for histograms, the same for all players, such as `numpy.linspace(-1, 1, 41)`. Default:
            the limits of the quantiles' buckets.
          relative_error: of quantiles. Default 1 %: 3,689 counts of 4 bytes for each player; twice the error takes half as
            many.
          sizes: the sizes |value| that quantiles resolve: those below count as 0, those above as infinite. Default 1e-8 to
            1e8.

        Returns:
          The summary.

        Raises:
          TypeError, ValueError: if an argument is of the wrong type or out of range.
        """
        if not isinstance(shape, Sequence) or isinstance(shape, str | bytes):
            raise TypeError(f"`shape` must be the shape of values without N, such as (12,), got {check.shown(shape)}.")
        shape = tuple(check.positive_int("shape", side) for side in shape)
        top = check.positive_int("top", top)
        relative_error = check.positive_float("relative_error", relative_error)
        if not isinstance(sizes, Sequence) or len(sizes) != 2:
            raise TypeError(f"`sizes` must be (least, greatest), such as (1e-8, 1e8), got {check.shown(sizes)}.")
        smallest, greatest = (check.positive_float("sizes", size) for size in sizes)
        if relative_error >= 0.5:
            raise ValueError(f"`relative_error` must be below 0.5, got {relative_error}.")
        if not np.finfo(np.float32).tiny <= smallest < greatest <= np.finfo(np.float32).max:
            raise ValueError(
                f"`sizes` must be (least, greatest) in the range of float32, least below greatest, got {sizes}."
            )
        bins = _read_bins(bins)
        buckets = Buckets(relative_error, smallest, greatest)
        columns = int(np.prod(shape, dtype=np.int64))
        return cls(
            num_examples=jnp.zeros((), jnp.int32),
            gaps=jnp.zeros(columns, jnp.int32),
            signed=no_moments(columns),
            absolute=no_moments(columns),
            least=jnp.full(columns, jnp.nan),
            greatest=jnp.full(columns, jnp.nan),
            sketch=jnp.zeros((columns, buckets.count), jnp.int32),
            grid=None if bins is None else jnp.zeros((columns, len(bins) + 1), jnp.int32),
            largest=no_top(top, columns),
            classes=jnp.asarray(_NO_CLASSES, jnp.int32),
            shape=shape,
            buckets=buckets,
            bins=bins,
        )

    def update(self, attribution: Attribution, ids: Ids, *, valid: ArrayOrSequence | None = None) -> AttributionSummary:
        """Returns the summary of the examples so far and of one more batch. The old summary is unchanged.

        Args:
          attribution: values [N, *P].
          ids: [N] integers from 0 to 2,147,483,647 that name the examples, all different over the whole data set.
          valid: [N] booleans, False for rows that only fill up a batch. Default: all are examples.

        Returns:
          The summary.

        Raises:
          TypeError, ValueError: if the values have other players, or `ids` or `valid` do not fit.
        """
        if not isinstance(attribution, Attribution):
            raise TypeError(f"`attribution` must be the result of an explainer, got {check.shown(attribution)}.")
        values = check.numeric_array("attribution.values", attribution.values)
        if jnp.shape(values)[1:] != self.shape:
            raise ValueError(
                f"`attribution` must have values [N, {', '.join(map(str, self.shape))}], got the shape "
                f"{list(jnp.shape(values))}."
            )
        count = jnp.shape(values)[0]
        ids = _read_ids(ids, count)
        valid = jnp.ones(count, bool) if valid is None else check.numeric_array("valid", valid)
        if valid.shape != (count,) or valid.dtype != bool:
            raise ValueError(f"`valid` must be booleans [{count}], got {check.shown(valid)}.")
        return self if count == 0 else _update(self, values, ids, valid, _targets_of(attribution))

    def merge(self, other: AttributionSummary) -> AttributionSummary:
        """Returns the summary of the examples of both, which must be different examples.

        Raises:
          TypeError, ValueError: if `other` is no summary, or was started for other players or with other options.
        """
        if not isinstance(other, AttributionSummary):
            raise TypeError(f"`other` must be an AttributionSummary, got {check.shown(other)}.")
        for name in ("shape", "buckets", "bins", "top"):
            mine, others = getattr(self, name), getattr(other, name)
            if mine != others:
                raise ValueError(f"`other` must be started with the same {name}, {mine}, to be merged, got {others}.")
        return _merge(self, other)

    def save(self, path: str | Path) -> Path:
        """Writes the summary to one `.npz` file, in one step and without pickling; `xai.load` reads it, bit for bit.

        Args:
          path: the path of the file; the suffix `.npz` is added if it is missing.

        Returns:
          The path of the file.

        Raises:
          OSError: if the file cannot be written, such as on a full disk.
        """
        path = files.with_suffix("path", path, ".npz")
        header = {"shape": self.shape, "top": self.top, "bins": self.bins, **dataclasses.asdict(self.buckets)}
        leaves = {str(number): np.asarray(leaf) for number, leaf in enumerate(jax.tree.leaves(self))}
        archive.write(path, TYPE, header, leaves)
        return path


def read_summary(path: Path, content: archive.Archive) -> AttributionSummary:
    """Reads a summary, for `xai.load`."""
    header, arrays = content.header, content.arrays
    empty = AttributionSummary.init(
        header["shape"],
        top=header["top"],
        bins=header["bins"],
        relative_error=header["error"],
        sizes=(header["least"], header["most"]),
    )
    leaves, structure = jax.tree.flatten(empty)
    expected = {str(number): (leaf.shape, leaf.dtype) for number, leaf in enumerate(leaves)}
    if expected != {name: (array.shape, array.dtype) for name, array in arrays.items()}:
        raise ValueError(f"{path} is damaged (its arrays are not those that its header describes).")
    return jax.tree.unflatten(structure, [jnp.asarray(arrays[name]) for name in expected])


@compiled
def _update(
    summary: AttributionSummary, values: Array, ids: Array, valid: Array, targets: Array | None
) -> AttributionSummary:
    numbers = values.reshape(len(values), -1).astype(jnp.float32)
    missing = valid[:, None] & jnp.isnan(numbers)
    known = valid[:, None] & ~missing
    numbers = jnp.where(known, numbers, 0)
    grid = None
    if summary.bins is not None:
        grid = count_in_buckets(_bin(numbers, summary.bins), known, len(summary.bins) + 1)
    has_any = known.any(axis=0)
    batch = AttributionSummary(
        num_examples=valid.sum(dtype=jnp.int32),
        gaps=missing.sum(axis=0, dtype=jnp.int32),
        signed=moments(numbers, known),
        absolute=moments(jnp.abs(numbers), known),
        least=jnp.where(has_any, jnp.where(known, numbers, jnp.inf).min(axis=0), jnp.nan),
        greatest=jnp.where(has_any, jnp.where(known, numbers, -jnp.inf).max(axis=0), jnp.nan),
        sketch=count_in_buckets(summary.buckets.index(numbers), known, summary.buckets.count),
        grid=grid,
        largest=top_of(
            numbers, jnp.where(ids == ids.astype(jnp.int32), ids, NO_EXAMPLE).astype(jnp.int32), known, summary.top
        ),
        classes=_extremes_of(targets, valid),
        shape=summary.shape,
        buckets=summary.buckets,
        bins=summary.bins,
    )
    return _merge(summary, batch)


def _targets_of(attribution: Attribution) -> Array | None:
    """Returns [N] the class that each example explains, or None for scores, games and all outputs."""
    return None if attribution.target is None or attribution.all_outputs else jnp.asarray(attribution.target)


def _extremes_of(targets: Array | None, valid: Array) -> Array:
    least, greatest = jnp.asarray(_NO_CLASSES, jnp.int32)
    if targets is None:
        return jnp.stack([least, greatest])
    targets = targets.astype(jnp.int32)
    return jnp.stack([jnp.where(valid, targets, least).min(), jnp.where(valid, targets, greatest).max()])


@compiled
def _merge(left: AttributionSummary, right: AttributionSummary) -> AttributionSummary:
    return dataclasses.replace(
        left,
        num_examples=left.num_examples + right.num_examples,
        gaps=left.gaps + right.gaps,
        signed=merge_moments(left.signed, right.signed),
        absolute=merge_moments(left.absolute, right.absolute),
        least=jnp.fmin(left.least, right.least),
        greatest=jnp.fmax(left.greatest, right.greatest),
        sketch=left.sketch + right.sketch,
        grid=None if left.grid is None or right.grid is None else left.grid + right.grid,
        largest=merge_top(left.largest, right.largest),
        classes=jnp.stack(
            [jnp.minimum(left.classes[0], right.classes[0]), jnp.maximum(left.classes[1], right.classes[1])]
        ),
    )


def _bin(numbers: Array, bins: tuple[float, ...]) -> Array:
    """The index of the bin: 0 below the first limit, then the bins, the last one with its end, then all above."""
    limits = jnp.asarray(bins, jnp.float32)
    index = jnp.searchsorted(limits, numbers, side="right")
    return jnp.where(numbers == limits[-1], len(bins) - 1, index).astype(jnp.int32)


def _read_bins(bins: Any) -> tuple[float, ...] | None:
    if bins is None:
        return None
    try:
        limits = check.host_array("bins", bins).astype(np.float32)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"`bins` must be at least two increasing numbers, got {check.shown(bins)}.") from None
    if limits.ndim != 1 or len(limits) < 2 or not np.isfinite(limits).all() or not (np.diff(limits) > 0).all():
        raise ValueError(f"`bins` must be at least two increasing numbers of float32, got {check.shown(bins)}.")
    return tuple(limits.tolist())


def _read_ids(ids: Any, count: int) -> Array:
    if ids is None:
        raise TypeError(f"`ids` must be integers [{count}] that name the examples, got None.")
    array = check.example_ids(ids, count)
    if check.is_concrete(array) and array.size and not 0 <= array.min() <= array.max() <= _LARGEST_ID:
        raise ValueError(f"`ids` must lie between 0 and {_LARGEST_ID}, got {array.min()} to {array.max()}.")
    return array
