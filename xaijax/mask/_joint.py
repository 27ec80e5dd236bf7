"""Several inputs at once: the players of all of them play one game."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core.masker import Masker
from xaijax._core.numerics import at_least_float32
from xaijax._core.typing import Array, Bool, Float, Shaped


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, repr=False)
class Joint(Masker):
    """Joins maskers of several inputs; the players follow one another, part by part.

    parts: the masker of each input.
    structure: the PyTree structure of the inputs.
    """

    parts: tuple[Masker, ...]
    structure: Any = dataclasses.field(metadata={"static": True})

    def read(self, x: Any) -> Any:
        if jax.tree.structure(x) != self.structure:
            raise ValueError(
                f"`x` must have the structure of the masker's parts, {self.structure}, got {jax.tree.structure(x)}."
            )
        return jax.tree.unflatten(
            self.structure, [part.read(leaf) for part, leaf in zip(self.parts, jax.tree.leaves(x), strict=True)]
        )

    def check(self, x: Any) -> None:
        leaves = jax.tree.leaves(x)
        for part, leaf in zip(self.parts, leaves, strict=True):
            part.check(leaf)
        counts = {
            jax.eval_shape(lambda part, leaf: jax.vmap(part.references)(leaf, part.prepare(leaf)), part, leaf).shape[1]
            for part, leaf in zip(self.parts, leaves, strict=True)
        } - {1}
        if len(counts) > 1:
            raise ValueError(
                f"`parts` must have one background row or all the same number of rows, as these belong to each other, got "
                f"{sorted(counts)}."
            )

    def assumes_channels_last(self, shape: Sequence[tuple[int, ...]]) -> list[bool]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return [bool(part.assumes_channels_last(size)) for part, size in zip(self.parts, shape, strict=True)]

    def num_players(self, shape: Sequence[tuple[int, ...]]) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        return sum(self._counts(shape))

    def names(self, shape: Sequence[tuple[int, ...]]) -> tuple[str, ...] | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Returns the names of the parts, with the part's key before those that are missing or repeated."""
        own = [part.names(size) for part, size in zip(self.parts, shape, strict=True)]
        if all(names is None for names in own):
            return None
        paths, _ = jax.tree_util.tree_flatten_with_path(jax.tree.unflatten(self.structure, range(len(self.parts))))
        labels = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in paths]
        given = [name for names in own if names is not None for name in names]
        unique = len(set(given)) == len(given)
        return tuple(
            itertools.chain.from_iterable(
                [f"{label} {number}" for number in range(count)]
                if names is None
                else names
                if unique
                else [f"{label} {name}" for name in names]
                for label, names, count in zip(labels, own, self._counts(shape), strict=True)
            )
        )

    def inputs(self, x: Any, prepared: Any) -> Shaped[Array, "N M"] | None:
        """Returns the feature values of the parts, with NaN for players that are no single features."""
        leaves = jax.tree.leaves(x)
        own = [part.inputs(leaf, its) for part, leaf, its in zip(self.parts, leaves, prepared, strict=True)]
        if all(values is None for values in own):
            return None
        counts = self._counts([leaf.shape[1:] for leaf in leaves])
        missing = [jnp.full((len(leaves[0]), count), jnp.nan) for count in counts]
        filled = [gap if values is None else at_least_float32(values) for values, gap in zip(own, missing, strict=True)]
        dtype = max((values.dtype for values in filled), key=lambda dtype: dtype.itemsize)
        return jnp.concatenate([values.astype(dtype) for values in filled], axis=1)

    def split(self, values: Any, x: Any) -> Any:
        """Splits values [N, M, ...] of all players into [N, m, ...] for the m players of each input."""
        ends = np.cumsum(self._counts([leaf.shape[1:] for leaf in jax.tree.leaves(x)]))[:-1]
        return jax.tree.unflatten(self.structure, jnp.split(values, ends, axis=1))

    def prepare(self, x: Any) -> tuple[Any, ...]:
        return tuple(part.prepare(leaf) for part, leaf in zip(self.parts, jax.tree.leaves(x), strict=True))

    def active(self, x: Any, prepared: Any) -> Bool[Array, " M"]:
        each = zip(self.parts, jax.tree.leaves(x), prepared, strict=True)
        return jnp.concatenate([part.active(leaf, own) for part, leaf, own in each])

    def exists(self, x: Any, prepared: Any) -> Bool[Array, " M"]:
        each = zip(self.parts, jax.tree.leaves(x), prepared, strict=True)
        return jnp.concatenate([part.exists(leaf, own) for part, leaf, own in each])

    def references(self, x: Any, prepared: Any) -> Any:
        each = zip(self.parts, jax.tree.leaves(x), prepared, strict=True)
        references = [part.references(leaf, own) for part, leaf, own in each]
        count = max(len(rows) for rows in references)
        return jax.tree.unflatten(
            self.structure, [jnp.broadcast_to(rows, (count, *rows.shape[1:])) for rows in references]
        )

    def weights(self) -> Float[Array, " B"] | None:
        weights = (part.weights() for part in self.parts)
        return next((own for own in weights if own is not None and len(own) > 1), None)  # one row has all the weight

    def compose(self, x: Any, reference: Any, coalition: Bool[Array, " M"], prepared: Any) -> Any:
        leaves, rows = jax.tree.leaves(x), jax.tree.leaves(reference)
        ends = list(itertools.accumulate(self._counts([leaf.shape for leaf in leaves]), initial=0))
        composed = [
            part.compose(leaf, row, coalition[start:end], own)
            for part, leaf, row, own, (start, end) in zip(
                self.parts, leaves, rows, prepared, itertools.pairwise(ends), strict=True
            )
        ]
        return jax.tree.unflatten(self.structure, composed)

    def _counts(self, shapes: Sequence[tuple[int, ...]]) -> list[int]:
        return [part.num_players(shape) for part, shape in zip(self.parts, shapes, strict=True)]


def joint(parts: Any) -> Joint:
    """Makes the players of several inputs the players of one game: an image and a table row, a question and a text.

    Why: a model of several inputs has one output, and the contribution of one input depends on the others. To hold an
    input fixed, leave it out of x and bind it to the model instead.

    Args:
      parts: maskers with the structure of the model's input x: {"image": xai.mask.grid(4),
        "row": xai.mask.background(rows)}. Those with several background rows must have the same number, as row b of one
        is used with row b of the others.

    Returns:
      A masker for inputs of this structure. The players of the first input come first, as in `jax.tree.leaves(x)`;
      `split(values, x)` splits values by input. Where some parts have names, the other players are called by the part's
      key and their number.

    Raises:
      TypeError, ValueError: if a part is no masker, or more than one has weights.
    """
    leaves, structure = jax.tree.flatten(parts, is_leaf=lambda part: isinstance(part, Masker))
    for part in leaves:
        if not isinstance(part, Masker):
            raise TypeError(f"`parts` must be maskers from xai.mask, got {type(part).__name__}.")
    if not leaves:
        raise ValueError("`parts` must hold at least one masker, got none.")
    if sum(part.weights() is not None for part in leaves) > 1:
        raise ValueError(
            "`parts` must have weights in one part at most, got several: the weights are those of all rows."
        )
    return Joint(tuple(leaves), structure)
