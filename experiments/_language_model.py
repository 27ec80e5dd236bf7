"""A small causal transformer, whole and with a cache of keys and values, its training, and a file of its weights."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import optax

import xaijax as xai
from experiments._training import train

_FOCUS = 8.0  # a head that looks back gives its token exp(8) times the weight of others


class Block(nn.Module):
    """Attention to the positions of a mask, and a perceptron, each added to the stream."""

    width: int
    heads: int
    looking_back: int

    @nn.compact
    def __call__(self, x: jax.Array, positions: jax.Array, mask: jax.Array, cache: Any) -> tuple[jax.Array, Any]:
        size = self.width // self.heads
        normal = nn.LayerNorm(name="attention_norm")(x)
        query, key, value = (
            nn.DenseGeneral((self.heads, size), name=name)(normal) for name in ("query", "key", "value")
        )
        if cache is not None:
            rows = jnp.arange(len(x))[:, None]
            key = cache["key"].at[rows, positions].set(key)
            value = cache["value"].at[rows, positions].set(value)
        scores = jnp.einsum("nihd,njhd->nhij", query, key) / np.sqrt(size)
        if self.looking_back:
            distance = positions[:, None, :, None] - jnp.arange(mask.shape[-1])
            head = jnp.arange(self.heads)[:, None, None]
            scores = scores + _FOCUS * ((distance == head + 1) & (head < self.looking_back))
        weights = jax.nn.softmax(jnp.where(mask[:, None], scores, -1e9), axis=-1)
        mixed = jnp.einsum("nhij,njhd->nihd", weights, value)
        x = x + nn.DenseGeneral(self.width, axis=(-2, -1), name="out")(mixed)
        hidden = nn.gelu(nn.Dense(2 * self.width, name="up")(nn.LayerNorm(name="norm")(x)))
        return x + nn.Dense(self.width, name="down")(hidden), {"key": key, "value": value}


class LanguageModel(nn.Module):
    """Token ids [N, L] -> logits [N, L, V].

    With positions [N, n], mask [N, n, L] and cache it computes the next n tokens of rows, and returns the cache too.
    The first heads of the first layer look 1, 2, ..., `looking_back` tokens back; positions count for nothing else.
    """

    vocabulary: int
    width: int = 64
    heads: int = 4
    num_layers: int = 2
    looking_back: int = 1

    @nn.compact
    def __call__(
        self, ids: jax.Array, positions: jax.Array | None = None, mask: jax.Array | None = None, cache: Any = None
    ) -> Any:
        if positions is None or mask is None:
            positions = jnp.arange(ids.shape[1])[None]
            mask = positions[:, :, None] >= positions[:, None, :]
        x = nn.Embed(self.vocabulary, self.width, name="embed")(ids)
        layers = []
        for number in range(self.num_layers):
            block = Block(self.width, self.heads, 0 if number else self.looking_back, name=f"block{number}")
            x, layer = block(x, positions, mask, None if cache is None else cache[number])
            layers.append(layer)
        logits = nn.Dense(self.vocabulary, name="head")(nn.LayerNorm(name="norm")(x))
        return logits if cache is None else (logits, layers)

    def empty_cache(self, rows: int, length: int) -> list[dict[str, jax.Array]]:
        shape = (rows, length, self.heads, self.width // self.heads)
        return [{name: jnp.zeros(shape) for name in ("key", "value")} for _ in range(self.num_layers)]


class Trained(NamedTuple):
    """A module with its parameters: as a model, and as the same model with a cache."""

    module: LanguageModel
    variables: Any

    @property
    def model(self) -> xai.Model:
        return xai.linen(self.module, self.variables)

    @property
    def cached(self) -> xai.text.Cached:
        return xai.text.cached(jax.tree_util.Partial(self.module.apply, self.variables), self.module.empty_cache)


def fit(
    module: LanguageModel,
    texts: tuple[np.ndarray, np.ndarray],
    *,
    seed: int,
    epochs: int,
    batch_size: int,
    rate: float,
    kept: Path | None = None,
) -> Trained:
    """Trains on texts, or reads the weights of an earlier training with the same arguments.

    texts: token ids [N, L + 1], and whether the next token counts, [N, L]. kept: a folder that weights are written to
    and read from. The other options are those of `train`.
    """
    ids, counts = texts[0].astype(np.int32), texts[1].astype(np.float32)
    variables = jax.jit(module.init)(jax.random.key(seed), ids[:1, :-1])
    settings = repr((module, seed, epochs, batch_size, rate)).encode()
    file = None if kept is None else kept / f"{zlib.crc32(ids.tobytes(), zlib.crc32(settings)):08x}.msgpack"
    if file is not None and file.exists():
        return Trained(module, flax.serialization.from_bytes(variables, file.read_bytes()))

    def loss(variables: Any, state: Any, batch: Any) -> tuple[jax.Array, Any]:
        logits: Any = module.apply(variables, batch["ids"][:, :-1])
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch["ids"][:, 1:])
        return (losses * batch["counts"]).sum() / batch["counts"].sum(), state

    options: dict[str, Any] = {"epochs": epochs, "batch_size": batch_size, "rate": rate, "seed": seed}
    variables, _ = train(loss, variables, (), {"ids": ids, "counts": counts}, **options)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(flax.serialization.to_bytes(variables))
    return Trained(module, variables)
