"""LIME for token ids: the players are tokens, or groups of them."""

from __future__ import annotations

from typing import Any

from xaijax import mask
from xaijax._core.attribution import Surrogate
from xaijax._core.game import game
from xaijax._core.target import TargetLike
from xaijax.lime._fit import fit

# LimeTextExplainer of lime 0.2.0.1; ridge 1 and the root of the kernel, of width 0.25, are in `fit` for all players.
_OF_LIME = {"sampling": "sizes", "num_samples": 5000, "num_features": 10}


def text(
    model: Any,
    x: Any,
    *,
    key: Any,
    mask_id: int | None = None,
    pad_id: int | None = None,
    groups: Any = None,
    target: TargetLike = None,
    definitions: str = "xaijax",
    **options: Any,
) -> Surrogate:
    """LIME for token ids: which tokens of a sequence speak for the output. For strings see `xai.lime.strings`.

    Args:
      model: any model of token ids [N, L].
      x: [N, L] token ids, integers.
      key: a JAX random key.
      mask_id: the id that replaces an absent token. Default None: absent tokens are cut out, which needs a pad_id.
      pad_id: the id of padding, whose positions are left as they are. Default: there is none.
      groups: [N, L] which player each position belongs to, -1 for none, as in `xai.mask.tokens`. Default: every
        position is a player.
      target: an int, ints [N], a callable, "all", or None for the top class.
      definitions: "lime" for those of the package lime 0.2 for text, as in `xai.lime.strings`.
      **options: further arguments of `xai.lime.fit`, such as num_samples.

    Returns:
      As `xai.lime.fit`, one coefficient for each position or group; padding has 0.
    """
    masker = mask.tokens(mask_id, pad_id=pad_id, groups=groups)
    options = options_of(definitions, options)
    return fit(game(model, x, masker, target=target), key=key, **options)


def options_of(definitions: str, given: dict[str, Any]) -> dict[str, Any]:
    """The options of `fit` for text, where what is given goes before what the definitions have."""
    given = {name: value for name, value in given.items() if value is not None}  # None asks for the default
    return {"definitions": definitions, **(_OF_LIME if definitions == "lime" else {}), **given}
