"""Right for the right reasons: a network that is trained to ignore a decoy that reveals the label.

Ross, Hughes and Doshi-Velez (2017), Right for the right reasons: training differentiable models by constraining their
explanations, arXiv:1703.03717, with a class activation map (HiResCAM) instead of the input gradient. Maps of xaijax are
differentiable with respect to the parameters, so that an explanation can be part of the loss,

  loss = cross entropy + lambda · mean over the images of the share of the map's positive mass on the decoy.

The images are noisy digits with decoys, after the decoy MNIST of section 4.2, with colors for its grays. The training
images have a swatch in a corner whose color is the label; the test images have none, or one of a random color. There are
four trainings for every seed: without the explanation loss; with the loss on the map of the label's logit; with the loss
on the map of the label against all others; and, as a reference, on the same images without decoys.

python -m experiments.right_reasons --out out/right_reasons
"""

from __future__ import annotations

import argparse
import colorsys
import dataclasses
import time
from pathlib import Path
from typing import Any

import jax
import matplotlib.pyplot as plt
import numpy as np
from flax import nnx
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import xaijax as xai
from experiments._report import Report
from experiments._training import accuracy_of, cross_entropy, train

CLASSES, DIGIT, SWATCH = 10, 8, 4
# Two convolutions with a pooling between them have a reach of four pixels, so that activations up to four pixels from a
# swatch depend on its color. Half of that separates swatch and digit.
MARGIN = 2
CANVAS = DIGIT + 2 * (SWATCH + MARGIN)
COLORS = np.array([colorsys.hsv_to_rgb(hue / CLASSES, 1, 1) for hue in range(CLASSES)], np.float32)
_NOISE, _INK = 0.25, 0.9


@dataclasses.dataclass(frozen=True)
class Pictures:
    """images: [N, 20, 20, 3] in [0, 1]; labels: [N]; regions: [N, 20, 20], 1 on the decoy and its margin, else 0."""

    images: np.ndarray
    labels: np.ndarray
    regions: np.ndarray


def load_pictures(*, copies: int, seed: int) -> tuple[Pictures, Pictures]:
    """Returns training and test images without decoys; each training digit is drawn `copies` times over new noise."""
    digits: Any = load_digits()
    split: Any = train_test_split(
        digits.images.astype(np.float32) / 16, digits.target, test_size=0.3, random_state=seed, stratify=digits.target
    )
    train_ink, test_ink, train_labels, test_labels = split
    rng = np.random.default_rng(seed)
    train = _in_noise(np.tile(train_ink, (copies, 1, 1)), np.tile(train_labels, copies), rng)
    return train, _in_noise(test_ink, test_labels, rng)


def with_decoys(pictures: Pictures, codes: np.ndarray, rng: np.random.Generator) -> Pictures:
    """Returns the same pictures, each with a swatch in a random corner, in the colors of the codes [N]."""
    images, regions = pictures.images.copy(), np.zeros_like(pictures.regions)
    corners = rng.choice([0, CANVAS - SWATCH], size=(len(images), 2))
    for number, (row, column) in enumerate(corners):
        images[number, row : row + SWATCH, column : column + SWATCH] = COLORS[codes[number]]
        around = [slice(max(side - MARGIN, 0), side + SWATCH + MARGIN) for side in (row, column)]
        regions[number, around[0], around[1]] = 1
    return Pictures(images, pictures.labels, regions)


def _in_noise(ink: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> Pictures:
    """Draws each digit in the middle of a noisy canvas."""
    images = rng.uniform(0, _NOISE, size=(len(ink), CANVAS, CANVAS, 3)).astype(np.float32)
    start = SWATCH + MARGIN
    inside = images[:, start : start + DIGIT, start : start + DIGIT]
    inside[:] = inside * (1 - ink[..., None]) + _INK * ink[..., None]
    return Pictures(images, labels.astype(np.int32), np.zeros(images.shape[:3], np.float32))


STRENGTH = 10.0  # lambda: 30 gives the same accuracies within a percent; 1 is too weak, six percent less without decoys
NO_DECOYS = "no decoys"  # the test that counts
_EXAMPLES = (0, 3, 5, 8)


@dataclasses.dataclass(frozen=True)
class Training:
    """How to train: lambda, the explained output, and whether the training images have decoys."""

    title: str
    color: str
    strength: float = 0.0
    against_others: bool = False
    decoyed: bool = True


TRAININGS = (
    Training("no explanation loss", "#c44e2b"),
    Training("loss on the map of the logit", "#d9a441", STRENGTH),
    Training("loss on the map of the contrast", "#2b6ca3", STRENGTH, against_others=True),
    Training("no decoys in training", "#7a7a7a", decoyed=False),
)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """A trained network, its accuracy in each test, and the share of its maps on the decoys of test images."""

    model: DecoyNet
    accuracies: dict[str, float]
    on_decoy: float


class DecoyNet(nnx.Module):
    """Pictures [N, 20, 20, 3] to ten logits: two convolutions and a linear layer over all pixels.

    Before a linear layer HiResCAM is exact: the map sums to the logit without its bias, so that mass on the decoy is
    influence of the decoy. Few and small convolutions keep the decoy's color near the decoy; a deep network could move
    it to pixels that the loss allows.
    """

    def __init__(self, rngs: nnx.Rngs):
        self.first = nnx.Conv(3, 16, (3, 3), rngs=rngs)
        self.second = nnx.Conv(16, 32, (3, 3), rngs=rngs)
        self.head = nnx.Linear(32 * (CANVAS // 2) ** 2, CLASSES, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = nnx.max_pool(nnx.relu(self.first(x)), (2, 2), strides=(2, 2))
        return self.head(nnx.relu(self.second(x)).reshape(len(x), -1))


def explain(model: DecoyNet, images: Any, labels: Any, against_others: bool) -> xai.Attribution:
    """Returns the evidence for the labels, upsampled and normalized.

    The logit alone leaves a loophole: colors that speak against the other classes are no evidence for the label's logit.
    The label's logit minus the mean of all others includes both.
    """
    target = xai.target.finer(labels, num_similar=CLASSES - 1, gamma=1.0) if against_others else labels
    return xai.cam.hires_cam(model, images, target=target, relu=True, upsample=True, normalize=True)


def share_on(regions: Any, maps: Any) -> jax.Array:
    """Returns the share of each map's mass in its region, [N]; 0 for a map without mass."""
    total = maps.sum(axis=(1, 2))
    return (maps * regions).sum(axis=(1, 2)) / jax.numpy.where(total > 0, total, 1)


def fit(pictures: Pictures, training: Training, *, epochs: int, seed: int) -> DecoyNet:
    """Trains a network; without the explanation loss if its strength is 0."""
    structure, parameters = nnx.split(DecoyNet(nnx.Rngs(seed)))

    def loss(parameters: Any, state: Any, batch: Any) -> tuple[jax.Array, Any]:
        model = nnx.merge(structure, parameters)
        value = cross_entropy(model(batch["x"]), batch["y"])
        if training.strength:
            maps = explain(model, batch["x"], batch["y"], training.against_others).values
            value += training.strength * share_on(batch["regions"], maps).mean()
        return value, state

    batches = {"x": pictures.images, "y": pictures.labels, "regions": pictures.regions}
    parameters, _ = train(loss, parameters, (), batches, epochs=epochs, batch_size=64, rate=2e-3, seed=seed)
    return nnx.merge(structure, parameters)


def accuracy(model: DecoyNet, pictures: Pictures) -> float:
    return accuracy_of(nnx.jit(lambda model, x: model(x))(model, pictures.images), pictures.labels)


def compare(report: Report, *, epochs: int, seed: int) -> tuple[list[Outcome], Pictures]:
    """Returns the outcome of every training on the same images, and the test images with decoys of their labels."""
    clean, test = load_pictures(copies=2, seed=seed)
    rng = np.random.default_rng(seed)
    decoyed, truthful = with_decoys(clean, clean.labels, rng), with_decoys(test, test.labels, rng)
    random = with_decoys(test, rng.integers(CLASSES, size=len(test.labels)), rng)
    tests = {"decoys as in training": truthful, NO_DECOYS: test, "random decoys": random}
    outcomes = []
    for training in TRAININGS:
        report.step(f"seed {seed}: {training.title}")
        model = fit(decoyed if training.decoyed else clean, training, epochs=epochs, seed=seed)
        maps = explain(model, truthful.images, truthful.labels, against_others=True).values
        accuracies = {name: accuracy(model, pictures) for name, pictures in tests.items()}
        outcomes.append(Outcome(model, accuracies, float(share_on(truthful.regions, maps).mean())))
    return outcomes, truthful


def draw_accuracies(outcomes: list[list[Outcome]]) -> Figure:
    """Draws a row for each training: the mean over the seeds, and a small dot for each seed."""
    tests = list(outcomes[0][0].accuracies)
    figure, axes = plt.subplots(1, len(tests), figsize=(11.5, 2.6), sharey=True, layout="constrained")
    titles = [training.title for training in TRAININGS]
    for ax, test in zip(axes, tests, strict=True):
        points = np.array([[outcome.accuracies[test] for outcome in of_seed] for of_seed in outcomes]).T
        means = points.mean(axis=1)
        xai.plot.intervals(
            means, names=titles, categories=titles, colors=[training.color for training in TRAININGS],
            points=points, notes=[f"{mean:.1%}" for mean in means], reference=1 / CLASSES,
            reference_name="chance", percent=True, legend=False, ax=ax, title=f"test: {test}",
        )  # fmt: skip
        ax.set_xlim(-0.02, 1.02)
    figure.supxlabel("accuracy", fontsize=9)
    figure.suptitle(
        "Trained on images in which a swatch's color is the label (large dots: means; small dots: seeds; dashed: chance)",
        fontsize=11,
    )
    return figure


def draw_maps(outcomes: list[Outcome], pictures: Pictures) -> Figure:
    """Draws test pictures with a decoy, and the evidence for the label against the others without and with the loss."""
    chosen = np.array([np.flatnonzero(pictures.labels == label)[0] for label in _EXAMPLES])
    images, labels, regions = pictures.images[chosen], pictures.labels[chosen], pictures.regions[chosen]
    shown = [(number, training) for number, training in enumerate(TRAININGS) if training.decoyed]
    size = (3.1 * (1 + len(shown)), 2.45 * len(chosen))
    figure, grid = plt.subplots(len(chosen), 1 + len(shown), figsize=size, layout="constrained")
    for row, label in enumerate(labels):
        grid[row, 0].imshow(images[row])
        grid[row, 0].set_title(f"a {label} with its decoy", fontsize=10)
        grid[row, 0].set_axis_off()
    for column, (number, training) in enumerate(shown, start=1):
        attribution = explain(outcomes[number].model, images, labels, against_others=True)
        shares = np.asarray(share_on(regions, attribution.values))
        for row, share in enumerate(shares):
            title = f"{share:.0%} on the decoy"
            title = f"{training.title}\n{title}" if row == 0 else title
            xai.plot.image(attribution, images, example=row, ax=grid[row, column], title=title)
    figure.suptitle("What speaks for the label rather than the other classes", fontsize=12)
    return figure


def summarize(report: Report, outcomes: list[list[Outcome]]) -> None:
    """Reports mean and standard deviation over the seeds."""
    for number, training in enumerate(TRAININGS):
        of_training = [of_seed[number] for of_seed in outcomes]
        parts = []
        for test in of_training[0].accuracies:
            accuracies = np.array([outcome.accuracies[test] for outcome in of_training])
            spread = float(accuracies.std(ddof=1)) if len(accuracies) > 1 else 0.0
            parts.append(f"{test} {accuracies.mean():.1%} ± {spread:.1%}")
            numbers = {"mean": float(accuracies.mean()), "sd": spread, "seeds": accuracies.tolist()}
            report.numbers[f"{training.title}: accuracy, {test}"] = numbers
        on_decoy = [outcome.on_decoy for outcome in of_training]
        report.numbers[f"{training.title}: share of the map on the decoy"] = on_decoy
        report.say(f"{training.title}: {', '.join(parts)}; {np.mean(on_decoy):.0%} of the map on the decoy")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Training with an explanation loss on digits with decoys.")
    parser.add_argument("--out", type=Path, default=Path("out/right_reasons"), help="the folder for the results")
    parser.add_argument("--seeds", type=int, default=3, help="number of repetitions of each training")
    parser.add_argument("--epochs", type=int, default=12, help="epochs of each training")
    options = parser.parse_args(arguments)

    start = time.perf_counter()
    with Report(options.out, total=options.seeds * len(TRAININGS)) as report:
        outcomes, pictures = zip(
            *(compare(report, epochs=options.epochs, seed=seed) for seed in range(options.seeds)), strict=True
        )
        report.figure(
            "right_reasons_maps", draw_maps(outcomes[0], pictures[0]), "the maps without and with the explanation loss"
        )
        figure = draw_accuracies(list(outcomes))
        report.figure("right_reasons", figure, "the accuracies with and without decoys")
    summarize(report, list(outcomes))
    report.numbers["seconds"] = round(time.perf_counter() - start, 1)
    report.close()


if __name__ == "__main__":
    main()
