"""What the attributions of a data set say as a whole, in one pass: a state of fixed size, and what is read from it."""

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
from xaijax._core.typing import Array
from xaijax.scale.summary import _summary_file
from xaijax.scale.summary._moments import merge_moments, moments, no_moments
from xaijax.scale.summary._readings import Readings
from xaijax.scale.summary._sketch import Buckets, count_places
from xaijax.scale.summary._top import merge_top, no_top, top_of


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class AttributionSummary(Readings):
    """The attributions of many examples, summarized player by player; P below is their shape without N, such as [M].

    A PyTree of fixed size: `summary.update(attribution, ids)` adds a batch, `one.merge(other)` those of another host or
    process; in whatever order, counts, histograms, quantiles and the largest values come out the same, and means up to the
    last digits, as if everything had been in memory. Start with `AttributionSummary.init(shape)`, or let
    `xai.scale.summarize` do it.

    num_examples: how many examples were added. Counts are of 32 bits: up to 2,147,483,647 examples.
    """

    @classmethod
    def init(
        cls,
        shape: Sequence[int],
        *,
        top: int = 10,
        bins: Any = None,
        relative_error: float = 0.01,
        sizes: tuple[float, float] = (1e-8, 1e8),
    ) -> AttributionSummary:
        """A summary of no examples.

        Args:
          shape: P, that of values without N: [M], [M, K] or the sides of a map.
          top: k, how many examples with the largest values are remembered for each player. Default 10.
          bins: [E] increasing limits for histograms, the same for all players, such as `numpy.linspace(-1, 1, 41)`. Default:
            histograms with the limits of the quantiles' buckets.
          relative_error: of quantiles. Default 1 %: 3,689 counts of 4 bytes for each player. Twice the error, half of them.
          sizes: the sizes |value| that are told apart: quantiles below count as 0, above as infinite. Default 1e-8 to 1e8.

        Returns:
          The summary.

        Raises:
          TypeError, ValueError: if an argument is of the wrong type or out of range.
        """
        shape = tuple(check.positive_int("shape", side) for side in shape)
        top = check.positive_int("top", top)
        relative_error = check.positive_float("relative_error", relative_error)
        smallest, greatest = (check.positive_float("sizes", size) for size in sizes)
        if relative_error >= 0.5:
            raise ValueError(f"relative_error must be below 0.5, but it is {relative_error}.")
        if not np.finfo(np.float32).tiny <= smallest < greatest <= np.finfo(np.float32).max:
            raise ValueError(
                f"sizes must be (least, most) in the range of float32, least below most, but it is {sizes}."
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
            shape=shape,
            buckets=buckets,
            bins=bins,
        )

    def update(self, attribution: Attribution, ids: Any, *, there: Any = None) -> AttributionSummary:
        """With the examples of one more batch.

        Args:
          attribution: values [N, *P].
          ids: [N] integers from 0 that name the examples, all different over the whole data set.
          there: [N] booleans, False for rows that only fill up a batch. Default: all are examples.

        Returns:
          The summary of the examples so far and these. The old one is unchanged.

        Raises:
          TypeError, ValueError: if the values have other players, or ids or there do not fit.
        """
        if not isinstance(attribution, Attribution):
            raise TypeError(f"attribution must be what an explainer returns, but it is {type(attribution).__name__}.")
        values = attribution.values
        if jnp.shape(values)[1:] != self.shape:
            raise ValueError(
                f"attribution must have values [N, {', '.join(map(str, self.shape))}], but their shape is "
                f"{list(jnp.shape(values))}."
            )
        count = jnp.shape(values)[0]
        ids = _read_ids(ids, count)
        there = jnp.ones(count, bool) if there is None else check.numeric_array("there", there)
        if there.shape != (count,) or there.dtype != bool:
            raise ValueError(f"there must be booleans [{count}], but it is {there.dtype.name}{list(there.shape)}.")
        return _update(self, values, ids, there)

    def merge(self, other: AttributionSummary) -> AttributionSummary:
        """The summary of the examples of both, which must be different ones.

        Raises:
          TypeError, ValueError: if other is no summary, or was started for other players or with other options.
        """
        if not isinstance(other, AttributionSummary):
            raise TypeError(f"other must be an AttributionSummary, but it is {type(other).__name__}.")
        for name in ("shape", "buckets", "bins", "top"):
            one, another = getattr(self, name), getattr(other, name)
            if one != another:
                raise ValueError(
                    f"summaries must be started alike to be merged, but their {name} are {one} and {another}."
                )
        return _merge(self, other)

    def save(self, path: str | Path) -> Path:
        """Writes the summary to one `.npz` file, without pickling; the ending is added where it is missing.

        Args:
          path: where to.

        Returns:
          The path of the file.
        """
        header = {"shape": self.shape, "top": self.top, "bins": self.bins, **dataclasses.asdict(self.buckets)}
        return _summary_file.write(Path(path), header, [np.asarray(leaf) for leaf in jax.tree.leaves(self)])

    @classmethod
    def load(cls, path: str | Path) -> AttributionSummary:
        """Reads what `save` wrote, bit for bit.

        Args:
          path: of the file.

        Returns:
          The summary, which goes on where it was.

        Raises:
          ValueError: if the file is no such file, is cut short, or was written by a newer version.
        """
        header, leaves = _summary_file.read(Path(path))
        empty = cls.init(
            header["shape"],
            top=header["top"],
            bins=header["bins"],
            relative_error=header["error"],
            sizes=(header["least"], header["most"]),
        )
        known = [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(empty)]
        if known != [(leaf.shape, leaf.dtype) for leaf in leaves]:
            raise ValueError(f"{path} is damaged: its arrays are not those that its header speaks of.")
        return jax.tree.unflatten(jax.tree.structure(empty), [jnp.asarray(leaf) for leaf in leaves])


@compiled
def _update(summary: AttributionSummary, values: Array, ids: Array, there: Array) -> AttributionSummary:
    numbers = values.reshape(len(values), -1).astype(jnp.float32)
    missing = there[:, None] & jnp.isnan(numbers)
    known = there[:, None] & ~missing
    numbers = jnp.where(known, numbers, 0)
    grid = None
    if summary.bins is not None:
        grid = count_places(_bin(numbers, summary.bins), known, len(summary.bins) + 1)
    some = known.any(axis=0)
    batch = AttributionSummary(
        num_examples=there.sum(dtype=jnp.int32),
        gaps=missing.sum(axis=0, dtype=jnp.int32),
        signed=moments(numbers, known),
        absolute=moments(jnp.abs(numbers), known),
        least=jnp.where(some, jnp.where(known, numbers, jnp.inf).min(axis=0), jnp.nan),
        greatest=jnp.where(some, jnp.where(known, numbers, -jnp.inf).max(axis=0), jnp.nan),
        sketch=count_places(summary.buckets.place(numbers), known, summary.buckets.count),
        grid=grid,
        largest=top_of(numbers, ids.astype(jnp.int32), known, summary.top),
        shape=summary.shape,
        buckets=summary.buckets,
        bins=summary.bins,
    )
    return _merge(summary, batch)


@compiled
def _merge(one: AttributionSummary, other: AttributionSummary) -> AttributionSummary:
    return dataclasses.replace(
        one,
        num_examples=one.num_examples + other.num_examples,
        gaps=one.gaps + other.gaps,
        signed=merge_moments(one.signed, other.signed),
        absolute=merge_moments(one.absolute, other.absolute),
        least=jnp.fmin(one.least, other.least),
        greatest=jnp.fmax(one.greatest, other.greatest),
        sketch=one.sketch + other.sketch,
        grid=None if one.grid is None or other.grid is None else one.grid + other.grid,
        largest=merge_top(one.largest, other.largest),
    )


def _bin(numbers: Array, bins: tuple[float, ...]) -> Array:
    """0 below the first limit, then the bins, the last one with its end, then what lies above."""
    limits = jnp.asarray(bins, jnp.float32)
    place = jnp.searchsorted(limits, numbers, side="right")
    return jnp.where(numbers == limits[-1], len(bins) - 1, place).astype(jnp.int32)


def _read_bins(bins: Any) -> tuple[float, ...] | None:
    if bins is None:
        return None
    limits = np.asarray(bins, dtype=np.float32)
    if limits.ndim != 1 or len(limits) < 2 or not np.isfinite(limits).all() or not (np.diff(limits) > 0).all():
        raise ValueError(f"bins must be at least two increasing limits, but they are {bins!r}.")
    return tuple(limits.tolist())


def _read_ids(ids: Any, count: int) -> Array:
    if ids is None:
        raise TypeError(f"ids must be integers [{count}] that name the examples, but it is None.")
    if check.is_concrete(ids):
        known = np.asarray(ids)
        if known.size and known.dtype.kind in "iu" and not 0 <= known.min() <= known.max() < 2**31:
            raise ValueError(f"ids must lie between 0 and 2147483647, but they go from {known.min()} to {known.max()}.")
    return check.example_ids(ids, count)
