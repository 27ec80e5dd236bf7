"""Training of the studies' networks: one loop with optax and one compiled step, and the models that studies share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

import xaijax as xai
from experiments._digits import Scenes, load_scenes
from experiments._networks import DigitNet, TableNet, TextNet
from experiments._sentences import Corpus
from experiments._tables import Table

Network = TypeVar("Network", bound=nnx.Module)
Loss = Callable[[Any, Any, Any], tuple[jax.Array, Any]]  # (parameters, state, batch) -> loss and new state


def train(
    loss: Loss,
    parameters: Any,
    state: Any,
    batches: Any,
    *,
    epochs: int,
    batch_size: int,
    rate: float,
    seed: int,
    weight_decay: float = 1e-4,
) -> tuple[Any, Any]:
    """Trains with AdamW on a cosine schedule and returns the final parameters and state.

    Args:
      loss: (parameters, state, batch) -> loss and new state.
      parameters: the initial parameters.
      state: what the model updates during training, such as batch statistics.
      batches: a PyTree of arrays with one leading axis of examples. A batch has the same structure.
      epochs: number of passes over the examples.
      batch_size: examples of one step.
      rate: the largest learning rate.
      seed: seed of the order of the examples.
      weight_decay: the weight decay of AdamW.
    """
    size = jax.tree.leaves(batches)[0].shape[0]
    steps = size // batch_size
    schedule = optax.warmup_cosine_decay_schedule(0.1 * rate, rate, steps, epochs * steps)
    optimizer = optax.adamw(schedule, weight_decay=weight_decay)

    # A loop over a compiled step, not a scan over epochs: the CPU backend runs the gradients of convolutions ten times
    # slower inside loops.
    @partial(jax.jit, donate_argnums=(0, 1, 2))
    def step(parameters: Any, state: Any, moments: Any, batch: Any) -> tuple[Any, Any, Any]:
        gradient, state = jax.grad(loss, has_aux=True)(parameters, state, batch)
        updates, moments = optimizer.update(gradient, moments, parameters)
        return optax.apply_updates(parameters, updates), state, moments

    rng = np.random.default_rng(seed)
    parameters, state = jax.tree.map(jnp.copy, (parameters, state))  # copies, because the step donates its arguments
    moments = optimizer.init(parameters)
    for _ in range(epochs):
        for rows in rng.permutation(size)[: steps * batch_size].reshape(steps, batch_size):
            batch = jax.tree.map(lambda leaf, rows=rows: leaf[rows], batches)
            parameters, state, moments = step(parameters, state, moments, batch)
    return parameters, state


def train_classifier(module: Any, x: np.ndarray, labels: np.ndarray, key: Any, seed: int, **options: Any) -> xai.Model:
    """Trains a Linen module without state on rows x [N, ...] and labels [N]; the options are those of `train`."""
    variables = module.init(key, jnp.asarray(x[:1]))

    def loss(variables: Any, state: Any, batch: Any) -> tuple[jax.Array, Any]:
        return cross_entropy(module.apply(variables, batch["x"]), batch["y"]), state

    variables, _ = train(loss, variables, (), {"x": x, "y": labels}, seed=seed, **options)
    return xai.linen(module, variables)


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def accuracy_of(logits: Any, labels: np.ndarray) -> float:
    return float((np.asarray(logits).argmax(axis=1) == labels).mean())


def train_digit_net(
    scenes: Scenes,
    seed: int,
    *,
    epochs: int = 6,
    network: Callable[[nnx.Rngs], Network] = DigitNet,
) -> Network:
    """Returns a network that classifies the digit of a scene, in inference mode."""
    net: Any = network(nnx.Rngs(seed))
    net.train()
    structure, parameters, statistics = nnx.split(net, nnx.Param, ...)

    def loss(parameters: Any, statistics: Any, batch: Any) -> tuple[jax.Array, Any]:
        model = nnx.merge(structure, parameters, statistics, copy=True)
        value = cross_entropy(model(batch["x"]), batch["y"])
        return value, nnx.split(model, nnx.Param, ...)[2]

    batches = {"x": scenes.images, "y": scenes.labels}
    options: dict[str, Any] = {"epochs": epochs, "batch_size": 64, "rate": 8e-3, "seed": seed}
    parameters, statistics = train(loss, parameters, statistics, batches, **options)
    net = nnx.merge(structure, parameters, statistics)
    net.eval()
    return net


def trained_digit_net(network: Any, *, epochs: int, seed: int) -> tuple[Any, Scenes, float]:
    """Returns a trained network, the test scenes, and its accuracy on them."""
    training, test = load_scenes(train_copies=3, seed=seed)
    model = train_digit_net(training, seed, epochs=epochs, network=network)
    return model, test, accuracy_of(nnx.jit(lambda model, x: model(x))(model, test.images), test.labels)


def first_correct(model: Any, scenes: Scenes, digit: int) -> int:
    """Returns the index of the first scene with this digit that is classified correctly; if there is none, the first."""
    rows = np.flatnonzero(scenes.labels == digit)
    predicted = np.asarray(model(scenes.images[rows])).argmax(axis=1)
    return int(rows[np.argmax(predicted == digit)])


def train_on_cancer(table: Table, key: Any, seed: int, *, epochs: int = 60) -> xai.Model:
    """Returns a model of rows to two logits: malignant, benign."""
    return _train_on_table(table, 2, cross_entropy, key, seed, epochs=epochs)


def train_on_diabetes(table: Table, key: Any, seed: int, *, epochs: int = 40) -> xai.Model:
    """Returns a model of rows to the disease's progression [N], in its own units."""
    return train_regressor(table, key, seed, epochs=epochs)


def train_regressor(table: Table, key: Any, seed: int, *, epochs: int, **options: Any) -> xai.Model:
    """Returns a model of rows to one number [N], in its own units; it is trained on standardized numbers."""
    center, spread = table.train_y.mean(), table.train_y.std()
    squared_error = lambda outputs, y: ((outputs[:, 0] - (y - center) / spread) ** 2).mean()  # noqa: E731
    model = _train_on_table(table, 1, squared_error, key, seed, epochs=epochs, **options)
    return xai.function(lambda model, x: model(x)[:, 0] * spread + center, model)


def r_squared(model: Any, table: Table) -> float:
    """Returns the share of the variance of the test rows that the model explains."""
    errors = np.asarray(model(table.test_x)) - table.test_y
    return 1 - float((errors**2).mean() / table.test_y.var())


def _train_on_table(
    table: Table,
    outputs: int,
    measure: Any,
    key: Any,
    seed: int,
    *,
    epochs: int,
    weight_decay: float = 1e-4,
    dropout: float = 0.2,
) -> xai.Model:
    module = TableNet(outputs, dropout)
    variables = module.init(key, jnp.asarray(table.train_x[:1]), train=False)

    def loss(variables: Any, step_key: Any, batch: Any) -> tuple[jax.Array, Any]:
        step_key, dropout_key = jax.random.split(step_key)
        predicted = module.apply(variables, batch["x"], train=True, rngs={"dropout": dropout_key})
        return measure(predicted, batch["y"]), step_key

    batches = {"x": table.train_x, "y": table.train_y}
    options: dict[str, Any] = {"epochs": epochs, "batch_size": 32, "rate": 5e-3, "seed": seed}
    variables, _ = train(loss, variables, key, batches, weight_decay=weight_decay, **options)
    return xai.linen(module, variables, train=False)


def train_on_docstrings(corpus: Corpus, key: Any, seed: int, *, epochs: int = 8) -> xai.Model:
    """Returns a model of token ids to two logits, one for each package."""
    options: dict[str, Any] = {"epochs": epochs, "batch_size": 64, "rate": 4e-3}
    return train_classifier(TextNet(len(corpus.words)), corpus.train_ids, corpus.train_labels, key, seed, **options)
