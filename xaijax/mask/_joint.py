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
from xaijax._core.typing import Array, Bool, Float


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Joint(Masker):
    """parts: the masker of each input; structure: how the inputs are arranged. Players follow one another, part by part."""

    parts: tuple[Masker, ...]
    structure: Any = dataclasses.field(metadata={"static": True})

    def read(self, x: Any) -> Any:
        if jax.tree.structure(x) != self.structure:
            raise ValueError(
                f"x must be arranged like the masker's parts, {self.structure}, but it is {jax.tree.structure(x)}."
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
                f"the parts must have one background row or all the same number, which belong together, but they have "
                f"{sorted(counts)}."
            )

    def num_players(self, shape: Sequence[tuple[int, ...]]) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        return sum(self._counts(shape))

    def split(self, values: Any, x: Any) -> Any:
        """Values [N, M, ...] of all players, arranged like the inputs: [N, m, ...] of the m players of each."""
        ends = np.cumsum(self._counts([leaf.shape[1:] for leaf in jax.tree.leaves(x)]))[:-1]
        return jax.tree.unflatten(self.structure, jnp.split(values, ends, axis=1))

    def prepare(self, x: Any) -> tuple[Any, ...]:
        return tuple(part.prepare(leaf) for part, leaf in zip(self.parts, jax.tree.leaves(x), strict=True))

    def active(self, x: Any, prepared: Any) -> Bool[Array, " M"]:
        each = zip(self.parts, jax.tree.leaves(x), prepared, strict=True)
        return jnp.concatenate([part.active(leaf, own) for part, leaf, own in each])

    def references(self, x: Any, prepared: Any) -> Any:
        each = zip(self.parts, jax.tree.leaves(x), prepared, strict=True)
        references = [part.references(leaf, own) for part, leaf, own in each]
        count = max(len(rows) for rows in references)
        return jax.tree.unflatten(
            self.structure, [jnp.broadcast_to(rows, (count, *rows.shape[1:])) for rows in references]
        )

    def weights(self) -> Float[Array, " B"] | None:
        weights = (part.weights() for part in self.parts)
        return next((own for own in weights if own is not None and len(own) > 1), None)  # one row is all of them

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
    """Makes the players of several inputs the players of one game: an image and a row of a table, a question and a text.

    Why: a model of several inputs has one output, and what one input adds depends on the others. To hold one of them
    fixed, leave it out of x and bind it to the model instead.

    Args:
      parts: maskers, arranged like the model's input x: {"image": xai.mask.grid(4), "row": xai.mask.background(rows)}.
        Those with several background rows must have the same number, and their rows belong together.

    Returns:
      A masker for inputs arranged like this. The players of the first input come first, as in
      `jax.tree.leaves(x)`; `split(values, x)` takes values apart again.

    Raises:
      TypeError, ValueError: if a part is no masker, or more than one has weights.
    """
    leaves, structure = jax.tree.flatten(parts, is_leaf=lambda part: isinstance(part, Masker))
    for part in leaves:
        if not isinstance(part, Masker):
            raise TypeError(f"parts must be maskers from xai.mask, but one is {type(part).__name__}.")
    if not leaves:
        raise ValueError("parts holds no maskers.")
    if sum(part.weights() is not None for part in leaves) > 1:
        raise ValueError("at most one of the parts may have weights, which are those of all their rows together.")
    return Joint(tuple(leaves), structure)
