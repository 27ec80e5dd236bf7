"""Text: the players are token positions, absent ones become the mask token."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from xaijax import _check
from xaijax._typing import Array, Bool, Int, Shaped
from xaijax.mask._masker import Masker


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Tokens(Masker):
    """mask_id: what replaces an absent token; pad_id: the id of padding, which stays, or None."""

    mask_id: Int[Array, ""]
    pad_id: Int[Array, ""] | None = None

    def check(self, x: Shaped[Array, "N *input"]) -> None:
        if x.ndim != 2 or not jnp.issubdtype(x.dtype, jnp.integer):
            raise ValueError(f"x must be token ids, integers of shape [N, L], but it is {x.dtype.name}{list(x.shape)}.")

    def num_players(self, shape: tuple[int, ...]) -> int:
        return shape[0]

    def alive(self, x: Int[Array, " L"], prepared: Any) -> Bool[Array, " L"]:
        return jnp.ones(x.shape, bool) if self.pad_id is None else x != self.pad_id

    def references(self, x: Int[Array, " L"], prepared: Any) -> Int[Array, "1 L"]:
        absent = jnp.full_like(x, self.mask_id)
        # Padding is there in every coalition: its positions are players that never change the output.
        return (absent if self.pad_id is None else jnp.where(x == self.pad_id, x, absent))[None]


def tokens(mask_id: int, *, pad_id: int | None = None) -> Tokens:
    """Makes every position of a sequence of token ids a player; absent tokens become the mask token.

    Args:
      mask_id: the id that says nothing: a mask or unknown token, or the padding id.
      pad_id: the id that fills up short sequences; these positions are left as they are and get the value 0. Default:
        no position is padding.

    Returns:
      A masker for integer inputs [N, L] with L players.
    """
    ids = {"mask_id": mask_id, "pad_id": pad_id}
    for name, value in ids.items():
        if value is not None:
            _check.positive_int(name, value, least=0)
    return Tokens(jnp.asarray(mask_id), None if pad_id is None else jnp.asarray(pad_id))
