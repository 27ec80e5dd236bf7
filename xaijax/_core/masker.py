"""Idea 4: a masker turns coalitions into inputs."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp

from xaijax._core import check
from xaijax._core.typing import Array, Bool, Float, Int, Shaped


class Masker:
    """Says who the players of an input are, and which input stands for a coalition of them.

    A masker is a PyTree with the methods below. Where the annotation of `x` has no N, a method sees one example.
    `shape` is always the shape of one example; of inputs that are PyTrees, their shapes in the same structure. To write a masker, derive from this class, register it as a PyTree, and
    override the methods that differ.
    """

    def read(self, x: Any) -> Any:
        """Returns the inputs as arrays; a masker made from a data frame accepts data frames here."""
        return check.numeric_array("x", x)

    def check(self, x: Shaped[Array, "N *input"]) -> None:
        """Raises an error if inputs of this shape do not fit the masker."""

    def assumes_channels_last(self, shape: tuple[int, ...]) -> bool | list[bool]:
        """Returns whether the last axis of an input of this shape counts as channels although no option says so.

        A masker of several arrays returns one answer for each.
        """
        return False

    def num_players(self, shape: tuple[int, ...]) -> int:
        """Returns M, the number of players of one input of this shape."""
        raise TypeError(f"{type(self).__name__} must define num_players(shape), the number of players of an input.")

    def names(self, shape: tuple[int, ...]) -> tuple[str, ...] | None:
        """Returns the names of the M players, such as those of columns; None where they have none."""
        return None

    def inputs(self, x: Shaped[Array, "N *input"], prepared: Any) -> Shaped[Array, "N M"] | None:
        """Returns the feature value of each player where every player is one feature; None elsewhere."""
        return None

    def prepare(self, x: Shaped[Array, "N *input"]) -> Any:
        """Returns what differs between examples, as a PyTree with leading axis N, such as the regions of each image."""
        return ()

    def owners(self, shape: tuple[int, ...], prepared: Any) -> Int[Array, "..."] | None:
        """Returns the player that owns each entry of an input; None where the entries are the players, in order."""
        return None

    def active(self, x: Shaped[Array, "*input"], prepared: Any) -> Bool[Array, " M"]:
        """Returns which players can change the output of this input.

        The others get the value 0, such as padding and features that equal the background. Their derivatives with
        respect to x need not be 0: a feature that equals the background counts as soon as it moves. Estimators keep
        them by `numerics.zero_where`.
        """
        return jnp.ones(self.num_players(x.shape), bool)

    def exists(self, x: Shaped[Array, "*input"], prepared: Any) -> Bool[Array, " M"]:
        """Returns which players the input has; padding is none.

        Features that equal their background exist, although they are not active: their derivatives are not 0.
        """
        return self.active(x, prepared)

    def warn_of(self, regions: Int[Array, "N *space"]) -> None:
        """Warns, at the user's line, where the regions that were explained are doubtful."""

    def references(self, x: Shaped[Array, "*input"], prepared: Any) -> Shaped[Array, "B *input"]:
        """Returns B inputs that replace absent players; the model's outputs are averaged over them."""
        raise TypeError(f"{type(self).__name__} must define references(x, prepared), which replace absent players.")

    def weights(self) -> Float[Array, " B"] | None:
        """Returns the weight of each reference in the average, with sum 1; None where all count the same."""
        return None

    def present(self, x: Shaped[Array, "*input"], coalition: Bool[Array, " M"], prepared: Any) -> Bool[Array, "*input"]:
        """Returns which entries of an input stay in a coalition: those whose owner is present."""
        owners = self.owners(x.shape, prepared)
        present = coalition.reshape(x.shape) if owners is None else coalition[owners]
        present = present.reshape(present.shape + (1,) * (x.ndim - present.ndim))  # channels share one owner
        return jnp.broadcast_to(present, x.shape)

    def compose(
        self,
        x: Shaped[Array, "*input"],
        reference: Shaped[Array, "*input"],
        coalition: Bool[Array, " M"],
        prepared: Any,
    ) -> Shaped[Array, "*input"]:
        """Returns the input of a coalition: x where the owner is present, the reference elsewhere."""
        return jnp.where(self.present(x, coalition, prepared), x, reference)

    def __repr__(self) -> str:
        return describe(self)


def describe(value: Any) -> str:
    """Returns one line about a dataclass: its fields that differ from their defaults, with shapes instead of arrays."""
    if getattr(value, "shape", ()) and hasattr(value, "dtype"):
        return f"{value.dtype}{list(value.shape)}"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: (getattr(value, field.name), field.default) for field in dataclasses.fields(value)}
        given = [
            f"{name}={describe(own)}" for name, (own, unset) in fields.items() if own is not unset and own is not None
        ]
        return f"{type(value).__name__}({', '.join(given)})"
    if isinstance(value, tuple):
        shown = [*map(describe, value[:5]), *["..."] * (len(value) > 5)]
        return f"({', '.join(shown)})"
    return repr(value)
