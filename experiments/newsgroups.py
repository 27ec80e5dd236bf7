"""Right for the wrong reasons: a text classifier that depends on the headers, as LIME reveals.

Ribeiro, Singh and Guestrin (2016), "Why should I trust you?", arXiv:1602.04938, figure 2 and section 5.5: a classifier of
newsgroup posts, atheism against christian, is nearly always right, but its explanations consist of header words such as
Posting, Host and Re, which are related to neither. Here two networks of the same architecture, one trained on posts with
their headers and one on the bodies alone, are explained on the same posts. Two measures compare them:

- the share of header words in an explanation's mass, sum over header words of |weight| / sum over words of |weight|, over
  many posts, for all words and for the ten heaviest, which a reader sees;
- the accuracy on test posts as they are, without their headers, and with the header of a post of the other group.

A header word occurs in a post's header and not in its body. The network trained on bodies knows some header words too,
because subjects repeat words of the text and some posts quote headers.

python -m experiments.newsgroups --out out/newsgroups --data posts.jsonl.gz
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections import Counter
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import xaijax as xai
from experiments._posts import (
    CLASSES,
    PADDING,
    UNKNOWN,
    Posts,
    Vocabulary,
    cut,
    header_words,
    load_posts,
    without_header,
)
from experiments._report import Report
from experiments._training import accuracy_of, train_classifier

TRAINED = ("trained with headers", "trained on bodies alone")
TESTS = ("as posted", "headers stripped", "headers of the other group")
_OF_THE_PAPER = "johnchad@triton.unm.edu (jchadwic)\nSubject: Another request for Darwin Fish"  # of its figure 2
_SHOWN = 10  # words of an explanation: the paper's figure shows 6, the package lime 10


class BagOfWords(nn.Module):
    """Token ids [N, L] to two logits: which of the known words are present, and one hidden layer."""

    vocabulary: int

    @nn.compact
    def __call__(self, ids: Any) -> jax.Array:
        rows = jnp.arange(len(ids))[:, None]
        # Presence rather than counts: otherwise `the` and `of` dominate long posts.
        present = jnp.zeros((len(ids), self.vocabulary)).at[rows, ids].set(1.0).at[:, : UNKNOWN + 1].set(0.0)
        return nn.Dense(2)(nn.tanh(nn.Dense(32)(present)))


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A trained network of token ids, and its vocabulary."""

    model: Any
    vocabulary: Vocabulary

    def accuracy(self, texts: list[str], labels: np.ndarray) -> float:
        return accuracy_of(self.model(self.vocabulary.padded(texts)), labels)


def fit(posts: Posts, *, headers: bool, epochs: int, seed: int) -> Classifier:
    """Trains a classifier on whole posts or on their bodies alone."""
    texts = posts.train_texts if headers else [without_header(text) for text in posts.train_texts]
    vocabulary = Vocabulary(texts)
    module, ids, key = BagOfWords(len(vocabulary)), vocabulary.padded(texts), jax.random.key(seed)
    options: dict[str, Any] = {"epochs": epochs, "batch_size": 32, "rate": 1e-3}
    return Classifier(train_classifier(module, ids, posts.train_labels, key, seed, **options), vocabulary)


def tests_of(posts: Posts, seed: int) -> dict[str, list[str]]:
    """Returns the test posts as they are, without headers, and with headers of random test posts of the other group."""
    rng = np.random.default_rng(seed)
    bodies = [without_header(text) for text in posts.test_texts]
    of_label = [np.flatnonzero(posts.test_labels == label) for label in (0, 1)]
    donors = [posts.test_texts[rng.choice(of_label[1 - label])] for label in posts.test_labels]
    swapped = [cut(donor.partition("\n\n")[0] + "\n\n" + body) for donor, body in zip(donors, bodies, strict=True)]
    return dict(zip(TESTS, (posts.test_texts, bodies, swapped), strict=True))


def log_odds(logits: Any) -> Any:
    """Returns the log odds of christian against atheism, to which the weights of words add up."""
    return logits[:, 1] - logits[:, 0]


def explain(classifier: Classifier, texts: list[str], *, samples: int, key: Any) -> xai.Surrogate:
    return xai.lime.strings(
        classifier.model, texts, classifier.vocabulary, key=key, pad_id=PADDING, split=r"\W+", target=log_odds,
        num_samples=samples,
    )  # fmt: skip


def shares(words: xai.Surrogate, headers: list[set[str]], shown: int | None = None) -> np.ndarray:
    """Returns the share of each explanation's mass on header words, [N], among the `shown` heaviest words or among all."""
    rows = [word_weights(words, row)[:shown] for row in range(len(headers))]
    on_header = [sum(abs(w) for word, w in row if word in names) for row, names in zip(rows, headers, strict=True)]
    masses = [sum(abs(weight) for _, weight in row) for row in rows]
    return np.array([part / mass if mass > 0 else 0.0 for part, mass in zip(on_header, masses, strict=True)])


def heaviest(words: xai.Surrogate, headers: list[set[str]]) -> dict[str, float]:
    """Returns the header words with the largest mass over all posts, and their share of the whole mass."""
    masses: Counter[str] = Counter()
    for row, names in enumerate(headers):
        pairs = word_weights(words, row)
        total = sum(abs(weight) for _, weight in pairs)
        masses.update({word: abs(weight) / total for word, weight in pairs if word in names})
    return {word: mass / len(headers) for word, mass in masses.most_common(_SHOWN)}


def choose_example(posts: Posts) -> int:
    """Returns the row of the post in the paper's figure; otherwise of the first atheism post with a posting host."""
    for sign in (_OF_THE_PAPER, "NNTP-Posting-Host"):
        for row, text in enumerate(posts.test_texts):
            if sign in text.partition("\n\n")[0] and posts.test_labels[row] == 0:
                return row
    return 0


def run(report: Report, posts: Posts, options: argparse.Namespace) -> None:
    """Trains and explains both classifiers, and reports and draws the measures."""
    tests = tests_of(posts, options.seed)
    rng = np.random.default_rng(options.seed)
    chosen = rng.choice(len(posts.test_texts), min(options.posts, len(posts.test_texts)), replace=False)
    texts = [posts.test_texts[row] for row in chosen]
    headers = [header_words(text) for text in texts]
    texts.append(posts.test_texts[choose_example(posts)])  # the last post is drawn, but not measured
    key = jax.random.key(options.seed)

    accuracies: dict[str, dict[str, np.ndarray]] = {}
    on_headers: dict[str, dict[str, np.ndarray]] = {}
    examples: dict[str, xai.Surrogate] = {}
    for name in TRAINED:
        of_seeds = []
        for seed in range(options.seed, options.seed + options.seeds):
            report.step(f"seed {seed}: {name}")
            classifier = fit(posts, headers=name == TRAINED[0], epochs=options.epochs, seed=seed)
            words = explain(classifier, texts, samples=options.samples, key=key)
            of_tests = [classifier.accuracy(test, posts.test_labels) for test in tests.values()]
            of_seeds.append((of_tests, shares(words, headers), shares(words, headers, _SHOWN)))
            if seed == options.seed:
                examples[name] = words
                report.keep(f"example_{name.split()[-1]}", words[-1:])
                weights = word_weights(words, len(headers))[:_SHOWN]
                report.numbers[f"{name}: heaviest words of the post shown"] = dict(weights)
                report.numbers[f"{name}: heaviest header words, part of all mass"] = heaviest(words, headers)
                report.numbers[f"{name}: local R² of the explanations, mean"] = float(words.r_squared.mean())
        of_tests, of_all, of_shown = (np.array(part) for part in zip(*of_seeds, strict=True))
        accuracies[name] = dict(zip(TESTS, of_tests.T, strict=True))
        on_headers[name] = {"all words": of_all.mean(axis=0), SHOWN: of_shown.mean(axis=0)}  # over the seeds

    words = examples[TRAINED[0]]  # of the same posts as for every classifier
    num_words = [len(word_weights(words, row)) for row in range(len(headers))]
    by_count = float(np.mean([len(names) / count for names, count in zip(headers, num_words, strict=True)]))
    summarize(report, accuracies, on_headers, by_count)
    figure = draw(examples, header_words(texts[-1]), accuracies, on_headers, by_count, posts.corpus)
    report.figure("newsgroups", figure, "which words two classifiers of posts depend on, and their accuracies")


def summarize(
    report: Report,
    accuracies: dict[str, dict[str, np.ndarray]],
    on_headers: dict[str, dict[str, np.ndarray]],
    by_count: float,
) -> None:
    """Reports accuracies over the seeds, and shares over the posts, averaged over the seeds."""
    for name in accuracies:
        for test, shares_correct in accuracies[name].items():
            spread = float(shares_correct.std(ddof=1)) if len(shares_correct) > 1 else 0.0
            numbers = {"mean": float(shares_correct.mean()), "sd": spread, "seeds": shares_correct.tolist()}
            report.numbers[f"{name}: accuracy, {test}"] = numbers
        report.say(f"{name}: accuracy " + ", ".join(f"{t} {each.mean():.1%}" for t, each in accuracies[name].items()))
    for words in on_headers[TRAINED[0]]:
        both = [on_headers[name][words] for name in TRAINED]
        with_headers, bodies, difference = map(mean_and_error, (*both, both[0] - both[1]))
        for name, share in zip((*TRAINED, "difference, post by post"), (with_headers, bodies, difference), strict=True):
            report.numbers[f"{name}: share of the mass on header words, {words}"] = share
        report.say(
            f"of the mass of {words}, header words have {with_headers['mean']:.1%} ± {with_headers['se']:.1%} "
            f"({TRAINED[0]}) and {bodies['mean']:.1%} ± {bodies['se']:.1%} ({TRAINED[1]}); "
            f"post by post the difference is {difference['mean']:.1%} ± {difference['se']:.1%}"
        )
    report.numbers["share of header words among the words of a post"] = by_count
    report.say(f"{by_count:.1%} of the words of a post occur in its header alone; ± are standard errors over posts")


_COLORS = ("#7b3f9d", "#3d8b5f")  # different from the colors of the bars above
_TOP = 10
SHOWN = "the ten heaviest words"


def draw(
    examples: dict[str, xai.Surrogate],
    header: set[str],
    accuracies: dict[str, dict[str, np.ndarray]],
    on_headers: dict[str, dict[str, np.ndarray]],
    by_count: float,
    corpus: str,
) -> Figure:
    """Draws the heaviest words of the last post, with header words in boxes, above shares of mass and accuracies."""
    figure = plt.figure(figsize=(12, 8.4), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12)  # pyright: ignore
    parts: Any = figure.subfigures(2, 1, height_ratios=[1.15, 1])
    above, below = parts
    for ax, (name, words) in zip(above.subplots(1, 2), examples.items(), strict=True):
        _draw_words(ax, name, words, header)
    above.suptitle(
        f"One test post of atheism: red words speak for {CLASSES[1]}, blue for {CLASSES[0]}; boxes: header words",
        fontsize=11,
    )
    left, right = below.subplots(1, 2, gridspec_kw={"width_ratios": [1.1, 1]})
    _draw_shares(left, on_headers, by_count)
    _draw_accuracies(right, accuracies)
    below.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=9, frameon=False)
    figure.suptitle(f"Two classifiers of posts, explained by LIME — {corpus}", fontsize=13)
    return figure


def _draw_words(ax: Axes, name: str, words: xai.Surrogate, header: set[str]) -> None:
    """Draws the weights of the heaviest words of the last post, with header words in boxes."""
    post, pairs = words[-1:], word_weights(words, len(words) - 1)
    share = sum(abs(weight) for word, weight in pairs if word in header) / sum(abs(weight) for _, weight in pairs)
    predicted = f"{CLASSES[1]}, wrongly" if float(post.output[0]) > 0 else CLASSES[0]
    title = (
        f"{name}: predicts {predicted}, log odds {float(post.output[0]):+.1f}\n"
        f"{share:.0%} of the mass on header words, local R² {float(post.r_squared[0]):.3f}"
    )
    xai.plot.bars(post, top=_TOP, ax=ax, title=title)
    for label in ax.get_yticklabels():
        if label.get_text() in header:
            label.set_fontweight("bold")
            label.set_bbox({"boxstyle": "round,pad=0.12", "facecolor": "#f3e3a1", "edgecolor": "none"})
    ax.set_xlabel(f"weight of the word in the log odds of {CLASSES[1]}", fontsize=9)


def word_weights(words: xai.Surrogate, row: int) -> list[tuple[str, float]]:
    """Returns the words of one text with their weights, the heaviest first."""
    pairs = zip(words.player_names(row), np.asarray(words.values[row]).tolist(), strict=True)
    return sorted((pair for pair in pairs if pair[0]), key=lambda pair: -abs(pair[1]))


def mean_and_error(of_posts: np.ndarray) -> dict[str, float]:
    """Returns the mean over posts with its standard error."""
    error = float(of_posts.std(ddof=1) / np.sqrt(len(of_posts))) if len(of_posts) > 1 else float("nan")
    return {"mean": float(of_posts.mean()), "se": error, "posts": len(of_posts)}


def _draw_shares(ax: Axes, on_headers: dict[str, dict[str, np.ndarray]], by_count: float) -> None:
    """Draws a small dot for each post, and the mean over posts with 1.96 standard errors."""
    selections = list(next(iter(on_headers.values())))
    points = np.array([[shares[selection] for shares in on_headers.values()] for selection in selections])
    estimates = [[mean_and_error(shares) for shares in row] for row in points]
    means, errors = (np.array([[estimate[part] for estimate in row] for row in estimates]) for part in ("mean", "se"))
    xai.plot.intervals(
        means, means - 1.96 * errors, means + 1.96 * errors, points=points, names=[f"of {selection}" for selection in selections],
        notes=[[f"{estimate['mean']:.1%} ± {estimate['se']:.1%}" for estimate in row] for row in estimates],
        groups=list(on_headers), colors=_COLORS, reference=by_count, percent=True, legend=False, ax=ax,
        reference_name=f"their share of a post's words: {by_count:.1%}",
        title="Share of header words in explanations\n(small dots: posts; mean ± standard error)",
    )  # fmt: skip
    ax.set_xlim(-0.02 * points.max(), max(1.04 * points.max(), 0.1))


def _draw_accuracies(ax: Axes, accuracies: dict[str, dict[str, np.ndarray]]) -> None:
    """Draws the mean over the trainings and a small dot for each; the reference is chance."""
    tests = list(next(iter(accuracies.values())))
    points = np.array([[of_tests[test] for of_tests in accuracies.values()] for test in tests])
    means = points.mean(axis=-1)
    xai.plot.intervals(
        means, points=points, names=tests, groups=list(accuracies), colors=_COLORS, reference=0.5, percent=True,
        notes=[[f"{mean:.1%}" for mean in row] for row in means], legend=False, ax=ax,
        title="Test accuracy\n(small dots: trainings; dashed: chance)",
    )  # fmt: skip
    ax.set_xlim(min(0.5, float(points.min())) - 0.02, 1.02)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description="Two classifiers of newsgroup posts, one of which depends on the headers."
    )
    parser.add_argument("--out", type=Path, default=Path("out/newsgroups"), help="the folder for the results")
    parser.add_argument("--data", type=Path, help="posts, lines of JSON with split, group and text; default: download")
    parser.add_argument("--stand-in", action="store_true", help="use generated posts and download nothing")
    parser.add_argument("--seeds", type=int, default=3, help="number of trainings of each classifier")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--posts", type=int, default=100, help="number of explained test posts")
    parser.add_argument("--samples", type=int, default=1000, help="model rows for each explanation")
    parser.add_argument("--epochs", type=int, default=10, help="epochs of each training")
    options = parser.parse_args(arguments)

    start = time.perf_counter()
    posts = load_posts(options.data, stand_in=options.stand_in, seed=options.seed)
    with Report(options.out, total=options.seeds * len(TRAINED)) as report:
        report.say(f"{posts.corpus}: {len(posts.train_texts)} posts to train with, {len(posts.test_texts)} to test")
        report.numbers["corpus"] = posts.corpus
        run(report, posts, options)
    report.numbers["seconds"] = round(time.perf_counter() - start, 1)
    report.close()


if __name__ == "__main__":
    main()
