"""Text: the players are tokens or groups of them; absent tokens are replaced by the mask token, cut out, or hidden."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.masker import Masker
from xaijax._core.names import read_names
from xaijax._core.typing import Array, ArrayOrSequence, Bool, Int


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, repr=False)
class Tokens(Masker):
    """Replaces absent tokens, hides them from attention, or cuts them out.

    Inputs are token ids [N, L], or dicts of arrays that hold such ids.

    mask_id: the id that replaces an absent token; None where absent tokens are cut out or hidden.
    pad_id: the id of padding, which always stays, or None. Where tokens are cut out, it fills the end.
    groups: [N, L] the player of each position, -1 for no player; None where each position is a player.
    num_groups: the number of players that the groups define.
    player_names: [M] names of the groups, or None.
    part: the key of the token ids in dicts; None for inputs that are token ids.
    attention_mask: the key of the mask of attention in dicts; None for "attention_mask", where they have it.
    """

    mask_id: Int[Array, ""] | None = None
    pad_id: Int[Array, ""] | None = None
    groups: Int[Array, "N L"] | None = None
    num_groups: int = dataclasses.field(default=0, metadata={"static": True})
    player_names: tuple[str, ...] | None = dataclasses.field(default=None, metadata={"static": True})
    part: str | None = dataclasses.field(default=None, metadata={"static": True})
    attention_mask: str | None = dataclasses.field(default=None, metadata={"static": True})

    def read(self, x: Any) -> Any:
        if self.part is None:
            if isinstance(x, Mapping):
                raise TypeError(
                    f"`x` must be token ids [N, L], got a dict of {sorted(map(str, x))}: name the ids among them, such as "
                    "xai.mask.tokens(mask_id, part='input_ids')."
                )
            return check.numeric_array("x", x)
        if not isinstance(x, Mapping):
            raise TypeError(
                f"`part` must be None for x that is no dict, got {self.part!r} for {check.shown(x)}: it is the key of the token "
                "ids in a dict."
            )
        for key in (self.part, self.attention_mask):
            if key is not None and key not in x:
                raise ValueError(
                    f"`x` must hold {key!r}, got the keys {list(x)}{check.did_you_mean(key, map(str, x))}: see `part` and "
                    "`attention_mask` of xai.mask.tokens."
                )
        return jax.tree.map(lambda leaf: check.numeric_array("x", leaf), dict(x))

    def check(self, x: Any) -> None:
        ids, name = self._ids(x), "x" if self.part is None else f"x[{self.part!r}]"
        if ids.ndim != 2 or not jnp.issubdtype(ids.dtype, jnp.integer):
            raise ValueError(f"`{name}` must be token ids, integers [N, L], got {ids.dtype.name}{list(ids.shape)}.")
        if self.groups is not None and self.groups.shape != ids.shape:
            raise ValueError(
                f"`groups` must have the shape of {name}, {list(ids.shape)}, got {list(self.groups.shape)}."
            )
        key = self._mask_key(x)
        if key is not None:
            _check_attention(f"x[{key!r}]", x[key], ids.shape)
        elif self.mask_id is None and self.pad_id is None:
            raise ValueError(
                f"`mask_id` or `pad_id` must be given for x without a mask of attention, got None for both and the keys "
                f"{list(x)}: absent tokens are replaced by mask_id, cut out where there is a pad_id, or hidden by the mask."
            )
        elif self.pad_id is None and check.is_concrete(ids, self.mask_id, self.groups):
            self._check_padding(np.asarray(ids))

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

    def num_players(self, shape: Any) -> int:
        if self.groups is not None:
            return self.num_groups
        return (shape if self.part is None else shape[self.part])[0]

    def names(self, shape: Any) -> tuple[str, ...] | None:
        return self.player_names

    def prepare(self, x: Any) -> Any:
        return () if self.groups is None else self.groups

    def owners(self, shape: Any, prepared: Any) -> Int[Array, " L"] | None:
        return None if self.groups is None else prepared

    def active(self, x: Any, prepared: Any) -> Bool[Array, " M"]:
        """Returns the players with a token that is neither padding nor the mask token itself."""
        ids = self._ids(x)
        changes = ~self._is_padding(x)
        if self.mask_id is not None:
            changes &= ids != self.mask_id
        if self.groups is None:
            return changes
        owners = jnp.where(changes & (prepared >= 0), prepared, self.num_groups)  # an index that is dropped
        return jnp.zeros(self.num_groups, bool).at[owners].set(True, mode="drop")

    def references(self, x: Any, prepared: Any) -> Any:
        filler: Any = self.pad_id if self.mask_id is None else self.mask_id
        reference = self._ids(x) if filler is None else jnp.full_like(self._ids(x), filler)
        key = self._mask_key(x)
        attended = None if key is None else x[key] if self.mask_id is not None else jnp.zeros_like(x[key])
        return jax.tree.map(lambda leaf: leaf[None], self._with(x, reference, attended))

    def present(self, x: Any, coalition: Bool[Array, " M"], prepared: Any) -> Bool[Array, " L"]:
        """Returns which tokens stay. Padding stays in every coalition: it never changes the output."""
        present = coalition if self.groups is None else coalition[prepared] | (prepared < 0)
        return present | self._is_padding(x)

    def compose(self, x: Any, reference: Any, coalition: Bool[Array, " M"], prepared: Any) -> Any:
        present = self.present(x, coalition, prepared)
        if self.mask_id is not None or self.pad_id is None:
            combine = lambda own, replaced: jnp.where(present, own, replaced)  # noqa: E731
        else:
            # Present tokens move up in their order. The rest of the reference, all of it padding, stays behind them.
            positions = jnp.where(
                present, jnp.cumsum(present) - 1, present.size
            )  # a position behind the end is dropped
            combine = lambda own, replaced: replaced.at[positions].set(own, mode="drop")  # noqa: E731
        key = self._mask_key(x)
        attended = None if key is None else combine(x[key], reference[key])
        return self._with(x, combine(self._ids(x), self._ids(reference)), attended)

    def _ids(self, x: Any) -> Any:
        return x if self.part is None else x[self.part]

    def _mask_key(self, x: Any) -> str | None:
        """Returns the key of the mask of attention, or None where there is none."""
        if self.part is None or self.attention_mask is not None:
            return self.attention_mask
        return "attention_mask" if "attention_mask" in x else None

    def _is_padding(self, x: Any) -> Bool[Array, " L"]:
        ids, key = self._ids(x), self._mask_key(x)
        padding = jnp.zeros(ids.shape, bool) if self.pad_id is None else ids == self.pad_id
        return padding if key is None else padding | (x[key] == 0)

    def _with(self, x: Any, ids: Any, attended: Any) -> Any:
        """Returns an input with other ids and another mask of attention; its other arrays stay."""
        key = self._mask_key(x)
        return ids if self.part is None else x | {self.part: ids} | ({} if key is None else {key: attended})


def tokens(
    mask_id: int | None = None,
    *,
    pad_id: int | None = None,
    groups: ArrayOrSequence | None = None,
    names: Sequence[str] | None = None,
    part: str | None = None,
    attention_mask: str | None = None,
) -> Tokens:
    """Makes the tokens of a sequence, or groups of them, the players; absent tokens are masked, cut out or hidden.

    Why: a mask token keeps the other tokens in their positions, which models with position embeddings need. Cutting
    out needs no such token and makes a text that could have been written, as in lime. Hiding a token from attention keeps
    the positions without a mask token. Groups make players of words that have several tokens, or of all positions of a
    word (a bag of words).

    Args:
      mask_id: the id of a token without meaning: a mask or unknown token, or the padding id. Default None: absent
        tokens are cut out, the others move up, and padding fills the end; this needs a pad_id. With neither id, absent
        tokens get 0 in the mask of attention.
      pad_id: the id that fills up short sequences. These positions stay as they are and get the value 0. Default: no
        position is padding; a batch whose rows end (or begin) with repeats of an id that occurs nowhere else is refused.
      groups: [N, L] integers of the shape of x, known when compiling. Positions with the same number 0..M-1 are one
        player. Positions with -1 belong to no player and are always present. An example may have fewer players than
        others: the players that it lacks get the value 0. Default: every position is a player.
      names: M names of the players. Default: none.
      part: the key of the token ids, such as "input_ids", where x is a dict of arrays as tokenizers return it. Its other
        arrays reach the model unchanged. Default: x is the token ids.
      attention_mask: the key of the mask of attention [N, L] in such a dict: 1 or True for tokens, 0 for padding, whose
        positions stay as they are and get the value 0. The mask moves with tokens that are cut out. Default:
        "attention_mask", where x has it.

    Returns:
      A masker for integer inputs [N, L], or dicts that hold them, with L players, or as many as the groups define.

    Raises:
      TypeError: if an id is no int, the groups are no integers or not known, or a key is no string.
      ValueError: if there is neither an id nor a part, an id is negative, or the groups have gaps or another rank; with
        the inputs, if they lack a key, the mask holds other numbers, or they are padded and nothing shows it.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> network = lambda x: (x["input_ids"] * x["attention_mask"]).sum(axis=1)
    >>> batch = {"input_ids": jnp.array([[5, 7, 9]]), "attention_mask": jnp.array([[1, 1, 0]])}
    >>> masker = xai.mask.tokens(part="input_ids")
    >>> [round(value, 3) for value in xai.shap.values(network, batch, masker).values[0].tolist()]
    [5.0, 7.0, 0.0]
    """
    ids = {"mask_id": mask_id, "pad_id": pad_id}
    for name, value in ids.items():
        if value is not None:
            check.positive_int(name, value, least=0)
    for name, value in {"part": part, "attention_mask": attention_mask}.items():
        if value is not None and not isinstance(value, str):
            raise TypeError(f"`{name}` must be a key of x or None, got {check.shown(value)}.")
    if attention_mask is not None and part is None:
        raise ValueError(
            f"`attention_mask` must be None without `part`, got {attention_mask!r}: pass part, the key of the token ids in "
            "x, such as 'input_ids'."
        )
    if mask_id is None and pad_id is None and part is None:
        raise ValueError(
            "`mask_id` or `pad_id` must be given, got None for both: mask_id replaces absent tokens; without it they are "
            "cut out and pad_id fills the end."
        )
    mask, padding = (None if value is None else jnp.asarray(value) for value in ids.values())
    if groups is None:
        if names is not None:
            raise ValueError("`names` must be None without groups, got names: they are names of groups.")
        return Tokens(mask, padding, part=part, attention_mask=attention_mask)
    groups = _read_groups(groups)
    num_groups = int(groups.max()) + 1
    player_names: Any = None if names is None else read_names(names, num_groups, None)
    return Tokens(mask, padding, jnp.asarray(groups, jnp.int32), num_groups, player_names, part, attention_mask)


def _check_attention(name: str, attended: Array, shape: tuple[int, ...]) -> None:
    if attended.shape != shape:
        raise ValueError(f"`{name}` must have the shape of the token ids, {list(shape)}, got {list(attended.shape)}.")
    if check.is_concrete(attended):
        wrong = np.setdiff1d(np.asarray(attended), [0, 1])
        if wrong.size:
            raise ValueError(f"`{name}` must be 1 for tokens and 0 for padding, got {wrong[0]}.")


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
