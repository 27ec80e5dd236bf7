"""Text: the players are token positions or groups of them; absent ones become the mask token, or are cut out."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.masker import Masker
from xaijax._core.typing import Array, Bool, Int, Shaped
from xaijax.mask._background import whole_labels


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Tokens(Masker):
    """What stands in for absent tokens, and who the players are.

    mask_id: what replaces an absent token; None: it is cut out.
    pad_id: the id of padding, which stays, or None; where tokens are cut out it fills up the end.
    groups: [N, L] the player of each position, -1 for none; None: each position is a player.
    num_groups: how many players the groups name.
    """

    mask_id: Int[Array, ""] | None = None
    pad_id: Int[Array, ""] | None = None
    groups: Int[Array, "N L"] | None = None
    num_groups: int = dataclasses.field(default=0, metadata={"static": True})

    def check(self, x: Shaped[Array, "N *input"]) -> None:
        if x.ndim != 2 or not jnp.issubdtype(x.dtype, jnp.integer):
            raise ValueError(f"x must be token ids, integers of shape [N, L], but it is {x.dtype.name}{list(x.shape)}.")
        if self.groups is not None and self.groups.shape != x.shape:
            raise ValueError(
                f"groups must have the shape of x, {list(x.shape)}, but its shape is {list(self.groups.shape)}."
            )

    def num_players(self, shape: tuple[int, ...]) -> int:
        return shape[0] if self.groups is None else self.num_groups

    def prepare(self, x: Shaped[Array, "N L"]) -> Any:
        return () if self.groups is None else self.groups

    def owners(self, shape: tuple[int, ...], prepared: Any) -> Int[Array, " L"] | None:
        return None if self.groups is None else prepared

    def active(self, x: Int[Array, " L"], prepared: Any) -> Bool[Array, " M"]:
        there = jnp.ones(x.shape, bool) if self.pad_id is None else x != self.pad_id
        if self.groups is None:
            return there
        owners = jnp.where(there & (prepared >= 0), prepared, self.num_groups)  # the last place is dropped
        return jnp.zeros(self.num_groups, bool).at[owners].set(True, mode="drop")

    def references(self, x: Int[Array, " L"], prepared: Any) -> Int[Array, "1 L"]:
        filler: Any = self.pad_id if self.mask_id is None else self.mask_id
        return jnp.full_like(x, filler)[None]

    def compose(
        self, x: Int[Array, " L"], reference: Int[Array, " L"], coalition: Bool[Array, " M"], prepared: Any
    ) -> Int[Array, " L"]:
        present = coalition if self.groups is None else coalition[prepared] | (prepared < 0)
        if self.pad_id is not None:
            present |= x == self.pad_id  # padding is there in every coalition: its players never change the output
        if self.mask_id is not None:
            return jnp.where(present, x, reference)
        # What is present moves up, in its order; the rest of the reference, all padding, stays behind it.
        places = jnp.where(present, jnp.cumsum(present) - 1, len(x))  # a place behind the end is dropped
        return reference.at[places].set(x, mode="drop")


def tokens(mask_id: int | None = None, *, pad_id: int | None = None, groups: Any = None) -> Tokens:
    """Makes the tokens of a sequence, or groups of them, the players; absent ones are masked or cut out.

    Why: a mask token keeps the others where they are, which models with positions want; cutting out needs no such
    token and makes a text that could have been written, as in lime. Groups make players of words that have several
    tokens, or of all places of one word (a bag of words).

    Args:
      mask_id: the id that says nothing: a mask or unknown token, or the padding id. Default None: absent tokens are cut
        out, the others move up and padding fills the end; this needs a pad_id.
      pad_id: the id that fills up short sequences; these positions are left as they are and get the value 0. Default:
        no position is padding.
      groups: [N, L] integers of the shape of x, known when compiling: positions with the same number 0..M-1 are one
        player, and those with -1 belong to none and are always present. An example may have fewer players than others:
        the ones it lacks get the value 0. Default: every position is a player.

    Returns:
      A masker for integer inputs [N, L] with L players, or as many as the groups name.

    Raises:
      TypeError: if an id is no int, or the groups are no integers or not known.
      ValueError: if there is neither mask_id nor pad_id, an id is negative, or the groups have gaps or another rank.
    """
    ids = {"mask_id": mask_id, "pad_id": pad_id}
    for name, value in ids.items():
        if value is not None:
            check.positive_int(name, value, least=0)
    if mask_id is None and pad_id is None:
        raise ValueError(
            "absent tokens are either replaced by mask_id or, without one, cut out and the end filled with pad_id, "
            "but both are None: give one of them."
        )
    mask, padding = (None if value is None else jnp.asarray(value) for value in ids.values())
    if groups is None:
        return Tokens(mask, padding)
    groups = _read_groups(groups)
    return Tokens(mask, padding, jnp.asarray(groups, jnp.int32), int(groups.max()) + 1)


def _read_groups(groups: Any) -> np.ndarray:
    if not check.is_concrete(groups):
        raise TypeError("groups must be known when compiling, as they say how many players there are.")
    groups = np.asarray(groups)
    if groups.ndim != 2:
        raise ValueError(f"groups must have the shape [N, L] of x, but its shape is {list(groups.shape)}.")
    nobody = groups == -1
    if groups.size and nobody.all():
        raise ValueError("groups has -1 everywhere: no position belongs to a player.")
    whole_labels("groups", groups[~nobody])
    return groups
