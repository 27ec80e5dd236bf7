"""Idea 3: a masker turns coalitions into inputs."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from xaijax._core import check
from xaijax._core.typing import Array, Bool, Float, Int, Shaped


class Masker:
    """Says who the players of an input are, and what input stands for a coalition of them.

    A masker is a PyTree with the methods below; where `x` has no N they see one example, and `shape` is that of one example. To write one, derive from
    this class, register it as a PyTree, and override what differs.
    """

    def read(self, x: Any) -> Any:
        """The inputs as arrays."""
        return check.numeric_array("x", x)

    def check(self, x: Shaped[Array, "N *input"]) -> None:
        """Raises a full sentence if inputs of this shape do not fit the masker."""

    def num_players(self, shape: tuple[int, ...]) -> int:
        """M, for one input of this shape."""
        raise TypeError(f"{type(self).__name__} does not say how many players an input has.")

    def prepare(self, x: Shaped[Array, "N *input"]) -> Any:
        """Whatever differs from example to example, as a PyTree with leading axis N: the regions of each, say."""
        return ()

    def owners(self, shape: tuple[int, ...], prepared: Any) -> Int[Array, "..."] | None:
        """The player that each place of an input belongs to; None where the places are the players, in order."""
        return None

    def active(self, x: Shaped[Array, "*input"], prepared: Any) -> Bool[Array, " M"]:
        """Which players can change anything; padding cannot, and gets the value 0."""
        return jnp.ones(self.num_players(x.shape), bool)

    def references(self, x: Shaped[Array, "*input"], prepared: Any) -> Shaped[Array, "B *input"]:
        """What stands in for absent players: B inputs, over which the model's outputs are averaged."""
        raise TypeError(f"{type(self).__name__} does not say what stands in for absent players.")

    def weights(self) -> Float[Array, " B"] | None:
        """How much each reference counts in the average, summing to 1; None where all count the same."""
        return None

    def compose(
        self,
        x: Shaped[Array, "*input"],
        reference: Shaped[Array, "*input"],
        coalition: Bool[Array, " M"],
        prepared: Any,
    ) -> Shaped[Array, "*input"]:
        """The input that stands for a coalition: x where the owner is present, the reference elsewhere."""
        owners = self.owners(x.shape, prepared)
        present = coalition.reshape(x.shape) if owners is None else coalition[owners]
        present = present.reshape(present.shape + (1,) * (x.ndim - present.ndim))  # channels share one owner
        return jnp.where(present, x, reference)
