"""LIME for text: the players are tokens."""

from __future__ import annotations

from typing import Any

from xaijax import mask
from xaijax._attribution import Surrogate
from xaijax._game import game
from xaijax._target import TargetLike
from xaijax.lime._fit import fit


def text(
    model: Any,
    x: Any,
    *,
    key: Any,
    mask_id: int,
    pad_id: int | None = None,
    target: TargetLike = None,
    **options: Any,
) -> Surrogate:
    """LIME for text: which tokens of a sequence speak for the output.

    Args:
      model: any model of token ids [N, L].
      x: [N, L] token ids, integers.
      key: a JAX random key.
      mask_id: the id that replaces an absent token.
      pad_id: the id of padding, whose positions are left as they are. Default: there is none.
      target: an int, ints [N], a callable, "all", or None for the top class.
      **options: of `xai.lime.fit`: num_samples, distance, kernel_width, ridge, ids, batch_size.

    Returns:
      As `xai.lime.fit`, one coefficient for each position; padding has 0.
    """
    return fit(game(model, x, mask.tokens(mask_id, pad_id=pad_id), target=target), key=key, **options)
