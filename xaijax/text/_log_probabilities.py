"""The log-probabilities of a response's tokens, of the logits that predict them."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from xaijax._core.numerics import at_least_float32
from xaijax._core.typing import Array, Float, Int


def of_tokens(logits: Float[Array, "B T V"], response: Int[Array, " T"]) -> Float[Array, "B T"]:
    """Returns log p(token t) of each row."""
    tokens = jnp.broadcast_to(response[None, :, None], (*logits.shape[:2], 1))
    return jnp.take_along_axis(jax.nn.log_softmax(at_least_float32(logits)), tokens, axis=2)[:, :, 0]
