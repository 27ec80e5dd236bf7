"""Lower infidelity: a network that is trained so that its gradients predict how its scores change.

Yeh et al. (2019), On the (in)fidelity and sensitivity of explanations, arXiv:1901.09392. The infidelity of xaijax is
differentiable with respect to the parameters, through the model and through the explanation, so that it can be part of the
loss,

  loss = cross entropy + lambda · the mean over the images of the infidelity of the gradient under noise.

The infidelity has the unit of the squared score, so that a network could lower it by smaller scores alone. Reported is
therefore its share of the mean squared change of the score, which is the infidelity of the attribution 0 under the same
perturbations: 0 where the gradient predicts every change, 1 where it says nothing. The two trainings of each seed start
from the same parameters and see the same batches; all figures are those of held-out images with new noise. Intervals are
over these images, each with its mean over the seeds.

python -m experiments.lower_infidelity --out out/lower_infidelity
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from flax import nnx
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import xaijax as xai
from experiments._report import Report
from experiments._training import accuracy_of, cross_entropy, train

PIXELS, HIDDEN, CLASSES = 64, 64, 10
NOISE = 0.2  # the standard deviation of the perturbations, in units of the range of each image
STRENGTH = 1.0  # lambda
TITLES = ("cross entropy alone", "with the infidelity in the loss")
COLORS = ("#c44e2b", "#2b6ca3")


class DigitNet(nnx.Module):
    """Images [N, 64] to ten logits. The activation is smooth, as the loss contains a gradient."""

    def __init__(self, rngs: nnx.Rngs):
        self.first = nnx.Linear(PIXELS, HIDDEN, rngs=rngs)
        self.second = nnx.Linear(HIDDEN, HIDDEN, rngs=rngs)
        self.head = nnx.Linear(HIDDEN, CLASSES, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.head(nnx.gelu(self.second(nnx.gelu(self.first(x)))))


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Of the held-out images: the accuracy, and the infidelity of each as a share of the squared change, [N]."""

    accuracy: float
    shares: np.ndarray


def load_images() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns training and held-out images [N, 64] in [0, 1], and the labels of both."""
    digits: Any = load_digits()
    x, y = digits.data.astype(np.float32) / 16, digits.target.astype(np.int32)
    split: Any = train_test_split(x, y, test_size=0.3, random_state=0, stratify=y)
    return split


def infidelity(model: Any, x: Any, attribution: xai.Attribution, key: Any, num_samples: int) -> xai.metrics.Score:
    """Returns the infidelity of slopes under noise, at their own scale."""
    return xai.metrics.infidelity(
        model, x, attribution, key=key, perturbation="noise", scale=NOISE, num_samples=num_samples, optimal_scale=False,
    )  # fmt: skip


def fit(x: np.ndarray, y: np.ndarray, strength: float, *, epochs: int, seed: int) -> DigitNet:
    """Trains a network, with new perturbations in each step."""
    structure, parameters = nnx.split(DigitNet(nnx.Rngs(seed)))

    def loss(parameters: Any, key: Any, batch: Any) -> tuple[jax.Array, Any]:
        model = nnx.merge(structure, parameters)
        value = cross_entropy(model(batch["x"]), batch["y"])
        key, own = jax.random.split(key)
        if strength:
            gradients = xai.gradient.saliency(model, batch["x"], target=batch["y"])
            value += strength * infidelity(model, batch["x"], gradients, own, num_samples=4).values.mean()
        return value, key

    options: dict[str, Any] = {"epochs": epochs, "batch_size": 64, "rate": 3e-3, "seed": seed}
    parameters, _ = train(loss, parameters, jax.random.key(seed), {"x": x, "y": y}, **options)
    return nnx.merge(structure, parameters)


def evaluate(model: DigitNet, x: np.ndarray, y: np.ndarray, key: Any) -> Outcome:
    """Measures a network on held-out images, explaining the label's logit."""
    gradients = xai.gradient.saliency(model, x, target=y)
    nothing = dataclasses.replace(gradients, values=jnp.zeros_like(gradients.values))
    missed, changed = (infidelity(model, x, each, key, num_samples=64).values for each in (gradients, nothing))
    return Outcome(accuracy_of(model(jnp.asarray(x)), y), np.asarray(missed / changed))


def draw(outcomes: list[list[Outcome]]) -> Figure:
    """Draws a row for each training: the mean with its interval over the held-out images, and a dot for each seed."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 2.2), sharey=True, layout="constrained")
    options: dict[str, Any] = {
        "names": TITLES,
        "categories": TITLES,
        "colors": COLORS,
        "percent": True,
        "legend": False,
    }
    shares = np.array([[outcome.shares.mean() for outcome in of_seed] for of_seed in outcomes]).T
    means, low, high = np.array([interval(_of_images(outcomes, number)) for number in range(len(TITLES))]).T
    xai.plot.intervals(
        means, low, high, points=shares, notes=[f"{mean:.1%}" for mean in means], ax=axes[0],
        title="share of the squared change that the gradient misses", **options,
    )  # fmt: skip
    accuracies = np.array([[outcome.accuracy for outcome in of_seed] for of_seed in outcomes]).T
    notes = [f"{accuracy:.1%}" for accuracy in accuracies.mean(axis=1)]
    xai.plot.intervals(accuracies.mean(axis=1), points=accuracies, notes=notes, ax=axes[1], title="accuracy", **options)
    figure.suptitle("Held-out digits: means, 95 % intervals over the images, and seeds (small dots)", fontsize=11)
    return figure


def summarize(report: Report, outcomes: list[list[Outcome]]) -> None:
    """Reports both trainings, and the mean difference of the same images."""
    for number, title in enumerate(TITLES):
        mean, low, high = interval(_of_images(outcomes, number))
        accuracy = float(np.mean([of_seed[number].accuracy for of_seed in outcomes]))
        report.numbers[title] = {"accuracy": accuracy, "share missed": [mean, low, high]}
        report.say(f"{title}: misses {mean:.1%} ({low:.1%} to {high:.1%}), accuracy {accuracy:.1%}")
    differences = _of_images(outcomes, 1) - _of_images(outcomes, 0)
    report.numbers["difference of the shares"] = interval(differences)


def _of_images(outcomes: list[list[Outcome]], number: int) -> np.ndarray:
    """Returns the share of each image, its mean over the seeds, [N]."""
    return np.mean([of_seed[number].shares for of_seed in outcomes], axis=0)


def interval(values: np.ndarray) -> list[float]:
    """Returns the mean over the images and its 95 % interval."""
    mean = xai.metrics.Score(jnp.asarray(values)).mean()
    return [float(mean.value), float(mean.low), float(mean.high)]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Training for gradients that predict changes of the score.")
    parser.add_argument("--out", type=Path, default=Path("out/lower_infidelity"), help="the folder for the results")
    parser.add_argument("--seeds", type=int, default=2, help="number of repetitions of each training")
    parser.add_argument("--epochs", type=int, default=15, help="epochs of each training")
    options = parser.parse_args(arguments)

    start = time.perf_counter()
    outcomes = []
    with Report(options.out, total=options.seeds * len(TITLES)) as report:
        train_x, test_x, train_y, test_y = load_images()
        for seed in range(options.seeds):
            of_seed = []
            for title, strength in zip(TITLES, (0.0, STRENGTH), strict=True):
                report.step(f"seed {seed}: {title}")
                model = fit(train_x, train_y, strength, epochs=options.epochs, seed=seed)
                of_seed.append(evaluate(model, test_x, test_y, jax.random.key(1000 + seed)))
            outcomes.append(of_seed)
        report.figure("lower_infidelity", draw(outcomes), "infidelity and accuracy without and with the loss")
    summarize(report, outcomes)
    report.numbers["seconds"] = round(time.perf_counter() - start, 1)
    report.close()


if __name__ == "__main__":
    main()
