"""Text: the players are tokens or groups of them; absent tokens are replaced by the mask token, or cut out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.attribution import read_names
from xaijax._core.masker import Masker
from xaijax._core.typing import Array, ArrayOrSequence, Bool, Int, Shaped


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, repr=False)
class Tokens(Masker):
    """Replaces absent tokens, or cuts them out.

    mask_id: the id that replaces an absent token; None where absent tokens are cut out.
    pad_id: the id of padding, which always stays, or None. Where tokens are cut out, it fills the end.
    groups: [N, L] the player of each position, -1 for no player; None where each position is a player.
    num_groups: the number of players that the groups define.
    player_names: [M] names of the groups, or None.
    """

    mask_id: Int[Array, ""] | None = None
    pad_id: Int[Array, ""] | None = None
    groups: Int[Array, "N L"] | None = None
    num_groups: int = dataclasses.field(default=0, metadata={"static": True})
    player_names: tuple[str, ...] | None = dataclasses.field(default=None, metadata={"static": True})

    def check(self, x: Shaped[Array, "N *input"]) -> None:
        if x.ndim != 2 or not jnp.issubdtype(x.dtype, jnp.integer):
            raise ValueError(f"`x` must be token ids, integers [N, L], got {x.dtype.name}{list(x.shape)}.")
        if self.groups is not None and self.groups.shape != x.shape:
            raise ValueError(f"`groups` must have the shape of x, {list(x.shape)}, got {list(self.groups.shape)}.")
        if self.pad_id is None and check.is_concrete(x, self.mask_id, self.groups):
            self._check_padding(np.asarray(x))

    def _check_padding(self, x: np.ndarray) -> None:
        """Raises an error if rows begin or end with repeats of an id that occurs only there: it must be padding."""
        players = np.ones(x.shape, bool) if self.groups is None else np.asarray(self.groups) >= 0
        for end, ids in (("end", x[:, ::-1]), ("begin", x)):
            runs = np.logical_and.accumulate(ids == ids[:, :1], axis=1)
            lengths = np.where(runs.all(axis=1), 0, runs.sum(axis=1))  # rows of one id say nothing
            played = (players[:, ::-1] if end == "end" else players)[:, 0]
            for row in np.flatnonzero((lengths > 1) & played & (ids[:, 0] != self.mask_id)):
                padding = ids[row, 0]
                if not ((ids == padding) & ~runs).any():
                    raise ValueError(
                        f"`pad_id` must be given for a padded batch, got None, while rows such as x[{row}] {end} with "
                        f"{lengths[row]} times {padding}: pass pad_id={padding}, or, if these tokens are text, an id that "
                        "does not occur in x."
                    )

    def num_players(self, shape: tuple[int, ...]) -> int:
        return shape[0] if self.groups is None else self.num_groups

    def names(self, shape: tuple[int, ...]) -> tuple[str, ...] | None:
        return self.player_names

    def prepare(self, x: Shaped[Array, "N L"]) -> Any:
        return () if self.groups is None else self.groups

    def owners(self, shape: tuple[int, ...], prepared: Any) -> Int[Array, " L"] | None:
        return None if self.groups is None else prepared

    def active(self, x: Int[Array, " L"], prepared: Any) -> Bool[Array, " M"]:
        """Returns the players with a token that is neither padding nor the mask token itself."""
        changes = jnp.ones(x.shape, bool)
        if self.pad_id is not None:
            changes &= x != self.pad_id
        if self.mask_id is not None:
            changes &= x != self.mask_id
        if self.groups is None:
            return changes
        owners = jnp.where(changes & (prepared >= 0), prepared, self.num_groups)  # an index that is dropped
        return jnp.zeros(self.num_groups, bool).at[owners].set(True, mode="drop")

    def references(self, x: Int[Array, " L"], prepared: Any) -> Int[Array, "1 L"]:
        filler: Any = self.pad_id if self.mask_id is None else self.mask_id
        return jnp.full_like(x, filler)[None]

    def compose(
        self, x: Int[Array, " L"], reference: Int[Array, " L"], coalition: Bool[Array, " M"], prepared: Any
    ) -> Int[Array, " L"]:
        present = coalition if self.groups is None else coalition[prepared] | (prepared < 0)
        if self.pad_id is not None:
            present |= x == self.pad_id  # padding is present in every coalition: it never changes the output
        if self.mask_id is not None:
            return jnp.where(present, x, reference)
        # Present tokens move up in their order. The rest of the reference, all of it padding, stays behind them.
        positions = jnp.where(present, jnp.cumsum(present) - 1, len(x))  # a position behind the end is dropped
        return reference.at[positions].set(x, mode="drop")


def tokens(
    mask_id: int | None = None,
    *,
    pad_id: int | None = None,
    groups: ArrayOrSequence | None = None,
    names: Sequence[str] | None = None,
) -> Tokens:
    """Makes the tokens of a sequence, or groups of them, the players; absent tokens are masked or cut out.

    Why: a mask token keeps the other tokens in their positions, which models with position embeddings need. Cutting
    out needs no such token and makes a text that could have been written, as in lime. Groups make players of words that
    have several tokens, or of all positions of a word (a bag of words).

    Args:
      mask_id: the id of a token without meaning: a mask or unknown token, or the padding id. Default None: absent
        tokens are cut out, the others move up, and padding fills the end; this needs a pad_id.
      pad_id: the id that fills up short sequences. These positions stay as they are and get the value 0. Default: no
        position is padding; a batch whose rows end (or begin) with repeats of an id that occurs nowhere else is refused.
      groups: [N, L] integers of the shape of x, known when compiling. Positions with the same number 0..M-1 are one
        player. Positions with -1 belong to no player and are always present. An example may have fewer players than
        others: the players that it lacks get the value 0. Default: every position is a player.
      names: M names of the players. Default: none.

    Returns:
      A masker for integer inputs [N, L] with L players, or as many as the groups define.

    Raises:
      TypeError: if an id is no int, or the groups are no integers or not known.
      ValueError: if there is neither mask_id nor pad_id, an id is negative, or the groups have gaps or another rank;
        with the inputs, if they are padded and pad_id is None.
    """
    ids = {"mask_id": mask_id, "pad_id": pad_id}
    for name, value in ids.items():
        if value is not None:
            check.positive_int(name, value, least=0)
    if mask_id is None and pad_id is None:
        raise ValueError(
            "`mask_id` or `pad_id` must be given, got None for both: mask_id replaces absent tokens; without it they are "
            "cut out and pad_id fills the end."
        )
    mask, padding = (None if value is None else jnp.asarray(value) for value in ids.values())
    if groups is None:
        if names is not None:
            raise ValueError("`names` must be None without groups, got names: they are names of groups.")
        return Tokens(mask, padding)
    groups = _read_groups(groups)
    num_groups = int(groups.max()) + 1
    player_names: Any = None if names is None else read_names(names, num_groups, None)
    return Tokens(mask, padding, jnp.asarray(groups, jnp.int32), num_groups, player_names)


def _read_groups(groups: Any) -> np.ndarray:
    array = check.host_array("groups", groups) if check.is_concrete(groups) else None
    if array is not None and array.ndim == 2:
        owned = array != -1
        if array.size and not owned.any():
            raise ValueError("`groups` must have a player in some position, got -1 everywhere.")
        check.labels("groups", array[owned])
        return array
    groups = check.labels("groups", groups)
    raise ValueError(f"`groups` must have the shape [N, L] of x, got {list(groups.shape)}.")
