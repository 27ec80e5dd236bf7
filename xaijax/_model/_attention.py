"""Attention whose weights can be tapped."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype

from xaijax._core.typing import Array
from xaijax._model._tag import tag


def tagged_attention(
    query: Array,
    key: Array,
    value: Array,
    bias: Array | None = None,
    mask: Array | None = None,
    broadcast_dropout: bool = True,
    dropout_rng: Any = None,
    dropout_rate: float = 0.0,
    deterministic: bool = False,
    dtype: Any = None,
    precision: Any = None,
    module: Any = None,
    force_fp32_for_softmax: bool = False,
    is_causal: bool = False,
) -> Array:
    """Computes Flax's dot-product attention with its weights [..., heads, T, T] tagged "attention_weights".

    Why: Flax computes the weights within one function, which no tap can enter. Pass this function to existing modules,
    `nn.MultiHeadDotProductAttention(..., attention_fn=xai.tagged_attention)` in Linen or
    `nnx.MultiHeadAttention(..., attention_fn=xai.tagged_attention)` in NNX; their outputs stay the same.

    Args:
      query, key, value: [..., T, heads, features] as Flax passes them. The other arguments are those of Flax.

    Returns:
      The attended values [..., T, heads, features].
    """
    query, key, value = promote_dtype(query, key, value, dtype=dtype)
    if is_causal:
        earlier = jnp.tril(jnp.ones((query.shape[-3], key.shape[-3]), bool))
        mask = earlier if mask is None else mask.astype(bool) & earlier
    weights = nn.dot_product_attention_weights(
        query,
        key,
        bias,
        mask,
        broadcast_dropout,
        dropout_rng,
        dropout_rate,
        deterministic,
        dtype,
        precision,
        module,
        force_fp32_for_softmax,
    )
    return jnp.einsum("...hqk,...khd->...qhd", tag(weights, "attention_weights"), value, precision=precision)
