"""One training loop for all models: optax, one compiled step."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

Loss = Callable[[Any, Any, Any], tuple[jax.Array, Any]]  # (parameters, state, batch) -> loss and new state


def train(
    loss: Loss,
    parameters: Any,
    state: Any,
    data: Any,
    *,
    epochs: int,
    batch_size: int,
    rate: float,
    seed: int,
    weight_decay: float = 1e-4,
) -> tuple[Any, Any]:
    """Trains with AdamW on a cosine schedule; returns the parameters and the state at the end.

    `data` is a PyTree of arrays with one leading axis of examples; a batch has the same structure. `state` is what the
    model updates on the way, such as batch statistics. (A loop over a compiled step, not a scan over epochs: the CPU
    backend runs the gradients of convolutions ten times slower inside loops.)
    """
    size = jax.tree.leaves(data)[0].shape[0]
    steps = size // batch_size
    schedule = optax.warmup_cosine_decay_schedule(0.1 * rate, rate, steps, epochs * steps)
    optimizer = optax.adamw(schedule, weight_decay=weight_decay)

    @partial(jax.jit, donate_argnums=(0, 1, 2))
    def step(parameters: Any, state: Any, moments: Any, batch: Any) -> tuple[Any, Any, Any]:
        gradient, state = jax.grad(loss, has_aux=True)(parameters, state, batch)
        updates, moments = optimizer.update(gradient, moments, parameters)
        return optax.apply_updates(parameters, updates), state, moments

    rng = np.random.default_rng(seed)
    parameters, state = jax.tree.map(jnp.copy, (parameters, state))  # the caller's stay; ours are donated
    moments = optimizer.init(parameters)
    for _ in range(epochs):
        for rows in rng.permutation(size)[: steps * batch_size].reshape(steps, batch_size):
            batch = jax.tree.map(lambda leaf, rows=rows: leaf[rows], data)
            parameters, state, moments = step(parameters, state, moments, batch)
    return parameters, state


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
