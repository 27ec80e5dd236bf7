"""Several inputs at once: the players of all of them play one game."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.masker import Masker
from xaijax._core.numerics import at_least_float32
from xaijax._core.typing import Array, Bool, Float, Shaped


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, repr=False)
class Kept(Masker):
    """Keeps a part of the input, an array or a PyTree of arrays, as it is: it has no players."""

    def read(self, x: Any) -> Any:
        return jax.tree.map(lambda leaf: check.numeric_array("x", leaf), x)

    def num_players(self, shape: Any) -> int:
        return 0

    def active(self, x: Any, prepared: Any) -> Bool[Array, " M"]:
        return jnp.zeros(0, bool)

    def references(self, x: Any, prepared: Any) -> Any:
        return jax.tree.map(lambda leaf: leaf[None], x)

    def compose(self, x: Any, reference: Any, coalition: Bool[Array, " M"], prepared: Any) -> Any:
        return x


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, repr=False)
class Joint(Masker):
    """Joins maskers of several inputs; the players follow one another, part by part.

    parts: the masker of each input.
    structure: the PyTree structure of the inputs, down to those that have a masker.
    """

    parts: tuple[Masker, ...]
    structure: Any = dataclasses.field(metadata={"static": True})

    def read(self, x: Any) -> Any:
        try:
            inputs = self._split(x)
        except ValueError:
            raise ValueError(
                f"`x` must have the structure of the masker's parts, {self.structure}, got {jax.tree.structure(x)}: give None "
                "as the part of an input that stays as it is."
            ) from None
        return jax.tree.unflatten(
            self.structure, [part.read(own) for part, own in zip(self.parts, inputs, strict=True)]
        )

    def check(self, x: Any) -> None:
        inputs = self._split(x)
        for part, own in zip(self.parts, inputs, strict=True):
            part.check(own)
        references = jax.eval_shape(
            lambda parts, inputs: [
                jax.vmap(part.references)(own, part.prepare(own)) for part, own in zip(parts, inputs, strict=True)
            ],
            self.parts,
            inputs,
        )
        counts = {leaf.shape[1] for leaf in jax.tree.leaves(references)} - {1}
        if len(counts) > 1:
            raise ValueError(
                f"`parts` must have one background row or all the same number of rows, as these belong to each other, got "
                f"{sorted(counts)}."
            )

    def assumes_channels_last(self, shape: Any) -> list[bool]:
        """Returns one answer for each array; parts of several arrays, such as dicts, have no channels."""
        answers = []
        for part, own in zip(self.parts, self._split(shape), strict=True):
            arrays = len(jax.tree.leaves(own, is_leaf=_is_shape))
            answers += [bool(part.assumes_channels_last(own))] if arrays == 1 else [False] * arrays
        return answers

    def num_players(self, shape: Any) -> int:
        return sum(self._counts(shape))

    def names(self, shape: Any) -> tuple[str, ...] | None:
        """Returns the names of the parts, with the part's key before those that are missing or repeated."""
        own = [part.names(size) for part, size in zip(self.parts, self._split(shape), strict=True)]
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
        own = [part.inputs(given, its) for part, given, its in zip(self.parts, self._split(x), prepared, strict=True)]
        if all(values is None for values in own):
            return None
        missing = [jnp.full((check.examples(x), count), jnp.nan) for count in self._counts(_shapes(x))]
        filled = [gap if values is None else at_least_float32(values) for values, gap in zip(own, missing, strict=True)]
        dtype = max((values.dtype for values in filled), key=lambda dtype: dtype.itemsize)
        return jnp.concatenate([values.astype(dtype) for values in filled], axis=1)

    def split(self, values: Any, x: Any) -> Any:
        """Splits values [N, M, ...] of all players into [N, m, ...] for the m players of each input."""
        ends = np.cumsum(self._counts(_shapes(x)))[:-1]
        return jax.tree.unflatten(self.structure, jnp.split(values, ends, axis=1))

    def prepare(self, x: Any) -> tuple[Any, ...]:
        return tuple(part.prepare(own) for part, own in zip(self.parts, self._split(x), strict=True))

    def active(self, x: Any, prepared: Any) -> Bool[Array, " M"]:
        each = zip(self.parts, self._split(x), prepared, strict=True)
        return jnp.concatenate([part.active(own, its) for part, own, its in each])

    def exists(self, x: Any, prepared: Any) -> Bool[Array, " M"]:
        each = zip(self.parts, self._split(x), prepared, strict=True)
        return jnp.concatenate([part.exists(own, its) for part, own, its in each])

    def references(self, x: Any, prepared: Any) -> Any:
        each = zip(self.parts, self._split(x), prepared, strict=True)
        references = [part.references(own, its) for part, own, its in each]
        count = max(len(rows) for rows in jax.tree.leaves(references))
        as_many = lambda rows: jnp.broadcast_to(rows, (count, *rows.shape[1:]))  # noqa: E731
        return jax.tree.unflatten(self.structure, jax.tree.map(as_many, references))

    def weights(self) -> Float[Array, " B"] | None:
        weights = (part.weights() for part in self.parts)
        return next((own for own in weights if own is not None and len(own) > 1), None)  # one row has all the weight

    def compose(self, x: Any, reference: Any, coalition: Bool[Array, " M"], prepared: Any) -> Any:
        counts = self._counts(jax.tree.map(lambda leaf: leaf.shape, x))
        members = jnp.split(coalition, np.cumsum(counts)[:-1])
        each = zip(self.parts, self._split(x), self._split(reference), members, prepared, strict=True)
        return jax.tree.unflatten(self.structure, [part.compose(*given) for part, *given in each])

    def _split(self, x: Any) -> list[Any]:
        """Returns the input, or the shapes, of each part."""
        return self.structure.flatten_up_to(x)

    def _counts(self, shapes: Any) -> list[int]:
        return [part.num_players(own) for part, own in zip(self.parts, self._split(shapes), strict=True)]


def _shapes(x: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf.shape[1:], x)


def _is_shape(node: Any) -> bool:
    return isinstance(node, tuple) and all(isinstance(size, int) for size in node)


def joint(parts: Any) -> Joint:
    """Makes the players of several inputs the players of one game: an image and a table row, a question and a text.

    Why: a model of several inputs has one output, and the contribution of one input depends on the others.

    Args:
      parts: maskers with the structure of the model's input x: {"image": xai.mask.grid(4),
        "row": xai.mask.background(rows), "size": None}. None keeps an input, or a PyTree of inputs, as it is: it has no
        players. Those with several background rows must have the same number, as row b of one is used with row b of the
        others.

    Returns:
      A masker for inputs of this structure. The players of the first input come first, as in `jax.tree.leaves(x)`;
      `split(values, x)` splits values by input. Where some parts have names, the other players are called by the part's
      key and their number.

    Raises:
      TypeError, ValueError: if a part is no masker, all are None, or more than one has weights.
    """
    leaves, structure = jax.tree.flatten(parts, is_leaf=lambda part: part is None or isinstance(part, Masker))
    leaves = [Kept() if part is None else part for part in leaves]
    for part in leaves:
        if not isinstance(part, Masker):
            raise TypeError(f"`parts` must be maskers from xai.mask or None, got {type(part).__name__}.")
    if all(isinstance(part, Kept) for part in leaves):
        raise ValueError("`parts` must hold at least one masker, got none.")
    if sum(part.weights() is not None for part in leaves) > 1:
        raise ValueError(
            "`parts` must have weights in one part at most, got several: the weights are those of all rows."
        )
    return Joint(tuple(leaves), structure)
