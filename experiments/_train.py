"""One training loop for all models: optax, an epoch at a time inside one compiled program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

Loss = Callable[[Any, Any, Any], tuple[jax.Array, Any]]  # (parameters, state, batch) -> loss and new state


def train(
    loss: Loss, parameters: Any, state: Any, data: Any, *, epochs: int, batch_size: int, rate: float, key: Any
) -> tuple[Any, Any]:
    """Trains with AdamW on a cosine schedule; returns the parameters and the state at the end.

    `data` is a PyTree of arrays with one leading axis of examples; a batch has the same structure. `state` is what the
    model updates on the way, such as batch statistics.
    """
    size = jax.tree.leaves(data)[0].shape[0]
    steps = size // batch_size
    schedule = optax.warmup_cosine_decay_schedule(0.1 * rate, rate, steps, epochs * steps)
    optimizer = optax.adamw(schedule, weight_decay=1e-4)

    @jax.jit
    def epoch(parameters: Any, state: Any, moments: Any, data: Any, key: Any) -> tuple[Any, Any, Any]:
        order = jax.random.permutation(key, size)[: steps * batch_size].reshape(steps, batch_size)

        def step(carry: Any, rows: jax.Array) -> tuple[Any, None]:
            parameters, state, moments = carry
            batch = jax.tree.map(lambda leaf: leaf[rows], data)
            gradient, state = jax.grad(loss, has_aux=True)(parameters, state, batch)
            updates, moments = optimizer.update(gradient, moments, parameters)
            return (optax.apply_updates(parameters, updates), state, moments), None

        return jax.lax.scan(step, (parameters, state, moments), order)[0]

    data = jax.tree.map(jnp.asarray, data)
    moments = optimizer.init(parameters)
    for number in range(epochs):
        parameters, state, moments = epoch(parameters, state, moments, data, jax.random.fold_in(key, number))
    return parameters, state


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
