"""Absent players take values that a generative model draws for them, given those that are present."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from xaijax._core import check
from xaijax._core.frames import read_frame, refuse_categories
from xaijax._core.masker import Masker
from xaijax._core.names import read_names
from xaijax._core.typing import Array, ArrayOrSequence, Bool, Int, KeyLike, Shaped
from xaijax._model import Model, function_of_several
from xaijax.mask._regions import Painted
from xaijax.mask._tokens import Tokens


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, repr=False)
class Generative(Masker):
    """Replaces absent players by draws of a function that sees the present ones.

    fill: maps (key, x, present) to an input like x.
    key: the data of the random key.
    players: the masker that says who the players are; None for features or groups of them.
    groups: [...] the player of each feature; None where every feature is a player, or there is a masker.
    num_draws: B, the number of draws for each coalition.
    generator: the name of the key's generator.
    num_groups: the number of players that the groups define.
    player_names: [M] names of the players that were passed, or None.
    """

    fill: Model
    key: Array
    players: Masker | None
    groups: Int[Array, "..."] | None
    num_draws: int = dataclasses.field(metadata={"static": True})
    generator: str = dataclasses.field(metadata={"static": True})
    num_groups: int = dataclasses.field(default=0, metadata={"static": True})
    player_names: tuple[str, ...] | None = dataclasses.field(default=None, metadata={"static": True})

    def read(self, x: Any) -> Array:
        if self.players is not None:
            return self.players.read(x)
        x, columns = read_frame("x", x)
        refuse_categories("x", columns, "pass the codes that the model and `fill` know")
        return check.numeric_array("x", x)

    def check(self, x: Shaped[Array, "N *input"]) -> None:
        if self.players is not None:
            self.players.check(x)
        elif x.ndim < 2:
            raise ValueError(f"`x` must have shape [N, ...], got {list(x.shape)}: one example alone is x[None].")
        elif self.groups is not None and self.groups.shape != x.shape[1 : 1 + self.groups.ndim]:
            raise ValueError(
                f"`groups` must have the shape of one input, {list(x.shape[1:])}, or of its leading axes, got "
                f"{list(self.groups.shape)}."
            )
        if self.player_names is not None:
            read_names(self.player_names, self.num_players(x.shape[1:]), None)
        example = jax.ShapeDtypeStruct(x.shape[1:], x.dtype)
        drawn = jax.eval_shape(self._draw, self.key, example, jax.ShapeDtypeStruct(x.shape[1:], bool))
        if getattr(drawn, "shape", None) != x.shape[1:]:
            got = f"shape {list(drawn.shape)}" if hasattr(drawn, "shape") else type(drawn).__name__
            raise ValueError(f"`fill` must return one input of shape {list(x.shape[1:])}, got {got}.")

    def assumes_channels_last(self, shape: tuple[int, ...]) -> bool | list[bool]:
        return False if self.players is None else self.players.assumes_channels_last(shape)

    def num_players(self, shape: tuple[int, ...]) -> int:
        if self.players is not None:
            return self.players.num_players(shape)
        return self.num_groups if self.groups is not None else math.prod(shape)

    def names(self, shape: tuple[int, ...]) -> tuple[str, ...] | None:
        return self.player_names or (None if self.players is None else self.players.names(shape))

    def inputs(self, x: Shaped[Array, "N *input"], prepared: Any) -> Shaped[Array, "N M"] | None:
        return x.reshape(len(x), -1) if self.players is None and self.groups is None else None

    def prepare(self, x: Shaped[Array, "N *input"]) -> Any:
        return () if self.players is None else self.players.prepare(x)

    def owners(self, shape: tuple[int, ...], prepared: Any) -> Int[Array, "..."] | None:
        return self.groups if self.players is None else self.players.owners(shape, prepared)

    def active(self, x: Shaped[Array, "*input"], prepared: Any) -> Bool[Array, " M"]:
        return super().active(x, prepared) if self.players is None else self.players.active(x, prepared)

    def exists(self, x: Shaped[Array, "*input"], prepared: Any) -> Bool[Array, " M"]:
        return super().exists(x, prepared) if self.players is None else self.players.exists(x, prepared)

    def warn_of(self, regions: Int[Array, "N *space"]) -> None:
        if self.players is not None:
            self.players.warn_of(regions)

    def references(self, x: Shaped[Array, "*input"], prepared: Any) -> Any:
        """Returns the data of one key for each draw: which values replace absent players depends on the coalition."""
        return jax.random.key_data(jax.random.split(self._as_key(self.key), self.num_draws))

    def present(self, x: Shaped[Array, "*input"], coalition: Bool[Array, " M"], prepared: Any) -> Bool[Array, "*input"]:
        parent = super() if self.players is None else self.players
        return parent.present(x, coalition, prepared)

    def compose(
        self, x: Shaped[Array, "*input"], reference: Any, coalition: Bool[Array, " M"], prepared: Any
    ) -> Shaped[Array, "*input"]:
        present = self.present(x, coalition, prepared)
        return jnp.where(present, x, self._draw(reference, x, present).astype(x.dtype))

    def _draw(self, key: Any, x: Array, present: Bool[Array, "*input"]) -> Any:
        return self.fill((self._as_key(key), x, present))

    def _as_key(self, data: Any) -> Array:
        return jax.random.wrap_key_data(data, impl=self.generator)


def generative(
    fill: Callable[[Any, Any, Any], Any] | Model,
    *,
    key: KeyLike,
    num_draws: int = 16,
    players: Masker | None = None,
    groups: ArrayOrSequence | None = None,
    names: Sequence[str] | None = None,
) -> Generative:
    """Replaces absent players by draws of a function that sees the present ones, and averages over the draws.

    Why: the conditional expectation, v(S) = E[f(X) | X_S = x_S], for any distribution that can be drawn from: an inpainting
    network for images, a masked language model for tokens, a conditional flow for tables. `gaussian` is the case of a
    normal distribution, in closed form.

    Args:
      fill: a function fill(key, x, present) in JAX, of one input: a random key, the input x [...] and booleans [...] that
        mark which of its entries are present. It returns an input [...]; its present entries are replaced by those of x.
        `xai.function(fill, network)` for fill(network, key, x, present), so that new weights do not recompile.
      key: a JAX random key. Draw b of all coalitions and of all examples has the same key, so that a coalition always has
        the same value, differences between coalitions have little noise, and no answer depends on the batch.
      num_draws: B, over which the model's outputs are averaged. Default 16: their sampling error falls with the square
        root, the cost grows in proportion. The standard errors of an estimator do not include it: compare two keys.
      players: the masker whose regions or tokens are the players: one of `xai.mask.regions`, `grid`, `patches`,
        `superpixels` or `tokens`. Its own fill is not used. Default: every feature is a player.
      groups: as in `background`, for features.
      names: M names of the players. Default: none, or those of `players`.

    Returns:
      A masker for inputs [N, ...] of any shape that fill takes.

    Raises:
      TypeError, ValueError: if fill is not callable, returns another shape, players is another masker, or an option is out of
        range.

    References:
      Frye et al. (2020), Shapley explainability on the data manifold, arXiv:2006.01272.
      Olsen, Glad, Jullum & Aas (2022), Using Shapley values and variational autoencoders to explain predictive models with
      dependent mixed features, arXiv:2111.13507.

    >>> import jax, jax.numpy as jnp, xaijax as xai
    >>> def fill(key, x, present):  # a random walk: unknown steps are like the one before, with noise
    ...     step = lambda last, now: (jnp.where(now[1], now[0], last + now[2]),) * 2
    ...     return jax.lax.scan(step, jnp.zeros(()), (x, present, jax.random.normal(key, x.shape)))[1]
    >>> masker = xai.mask.generative(fill, key=jax.random.key(0), num_draws=64)
    >>> xai.shap.exact(xai.game(lambda x: x[:, -1], jnp.ones((1, 3)), masker)).values.shape
    (1, 3)
    """
    key = check.random_key(key)
    if not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        key = jax.random.wrap_key_data(jnp.asarray(key))
    num_draws = check.positive_int("num_draws", num_draws)
    if players is not None and not (isinstance(players, Painted) or (isinstance(players, Tokens) and not players.part)):
        raise TypeError(
            "`players` must be a masker of regions or of token ids, such as xai.mask.grid(8), or None for features, got "
            f"{check.shown(players)}."
        )
    if players is not None and groups is not None:
        raise TypeError("`groups` must be None where `players` is given, got both: groups are of features.")
    read: Any = None if groups is None else check.labels("groups", groups)
    num_groups = 0 if read is None else int(read.max()) + 1
    player_names: Any = None if names is None else tuple(check.texts("names", names))
    return Generative(
        function_of_several("fill", "fill(key, x, present)", fill), jax.random.key_data(key), players, None if read is None else jnp.asarray(read, jnp.int32),
        num_draws, str(jax.random.key_impl(key)), num_groups, player_names,
    )  # fmt: skip
