"""Right for the wrong reasons: a text classifier that reads the headers, and what LIME shows of it.

Ribeiro, Singh and Guestrin (2016), "Why should I trust you?", arXiv:1602.04938, figure 2 and section 5.5: a classifier of
newsgroup posts, atheism against christian, is right nearly always, and its explanations are full of words such as
Posting, Host and Re that stand in the headers and have to do with neither. Here two networks of one kind, one trained
on the posts with their headers and one on the bodies alone, are explained on the same posts, and measured:

- the share of an explanation's mass, sum over header words of |weight| / sum over words of |weight|, over many posts; for
  all words, and for the ten heaviest, which is what a reader is shown;
- the accuracy on test posts as they are, without their headers, and with the header of a post of the other group.

A header word is one that a post has in its header alone. The network trained on bodies meets header words too when it
is given whole posts, as far as bodies have them: subjects repeat words of the text, and some posts quote headers.

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
import numpy as np

import xaijax as xai
from experiments._newsgroups import PADDING, UNKNOWN, Posts, Vocabulary, cut, header_words, load_posts, without_header
from experiments._newsgroups_figure import SHOWN, draw, mean_and_error, word_weights
from experiments._report import Report
from experiments._train import cross_entropy, train

TRAINED = ("trained with headers", "trained on bodies alone")
TESTS = ("as posted", "headers stripped", "headers of the other group")
_OF_THE_PAPER = "johnchad@triton.unm.edu (jchadwic)\nSubject: Another request for Darwin Fish"  # its figure 2
_SHOWN = 10  # the words of an explanation in the paper's figure are 6, in lime's list 10


class BagOfWords(nn.Module):
    """Token ids [N, L] to two logits: which of the known words are there, and one hidden layer."""

    vocabulary: int

    @nn.compact
    def __call__(self, ids: Any) -> jax.Array:
        rows = jnp.arange(len(ids))[:, None]
        # There or not, rather than how often: otherwise a long post is made of `the` and `of`.
        there = jnp.zeros((len(ids), self.vocabulary)).at[rows, ids].set(1.0).at[:, : UNKNOWN + 1].set(0.0)
        return nn.Dense(2)(nn.tanh(nn.Dense(32)(there)))


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A trained network of token ids, and the words that it knows."""

    model: Any
    vocabulary: Vocabulary

    def accuracy(self, texts: list[str], labels: np.ndarray) -> float:
        logits = np.asarray(self.model(self.vocabulary.padded(texts)))
        return float((logits.argmax(axis=1) == labels).mean())


def fit(posts: Posts, *, headers: bool, epochs: int, seed: int) -> Classifier:
    texts = posts.train_texts if headers else [without_header(text) for text in posts.train_texts]
    vocabulary = Vocabulary(texts)
    ids = vocabulary.padded(texts)
    module = BagOfWords(len(vocabulary))
    variables = module.init(jax.random.key(seed), jnp.asarray(ids[:1]))

    def loss(variables: Any, state: Any, batch: Any) -> tuple[jax.Array, Any]:
        logits: Any = module.apply(variables, batch["x"])
        return cross_entropy(logits, batch["y"]), state

    data = {"x": ids, "y": posts.train_labels}
    variables, _ = train(loss, variables, (), data, epochs=epochs, batch_size=32, rate=1e-3, seed=seed)
    return Classifier(xai.linen(module, variables), vocabulary)


def tests_of(posts: Posts, seed: int) -> dict[str, list[str]]:
    """The test posts as they are, without headers, and with headers drawn from the test posts of the other group."""
    rng = np.random.default_rng(seed)
    bodies = [without_header(text) for text in posts.test_texts]
    of_label = [np.flatnonzero(posts.test_labels == label) for label in (0, 1)]
    donors = [posts.test_texts[rng.choice(of_label[1 - label])] for label in posts.test_labels]
    swapped = [cut(donor.partition("\n\n")[0] + "\n\n" + body) for donor, body in zip(donors, bodies, strict=True)]
    return dict(zip(TESTS, (posts.test_texts, bodies, swapped), strict=True))


def log_odds(logits: Any) -> Any:
    """Of christian against atheism: a word's weight is what it adds to them."""
    return logits[:, 1] - logits[:, 0]


def explain(classifier: Classifier, texts: list[str], *, samples: int, key: Any) -> xai.Surrogate:
    return xai.lime.strings(
        classifier.model, texts, classifier.vocabulary, key=key, pad_id=PADDING, split=r"\W+", target=log_odds,
        num_samples=samples,
    )  # fmt: skip


def shares(found: xai.Surrogate, headers: list[set[str]], shown: int | None = None) -> np.ndarray:
    """The share of each explanation's mass on header words, [N] as many as headers; of the heaviest words or of all."""
    rows = [word_weights(found, row)[:shown] for row in range(len(headers))]
    on_header = [sum(abs(w) for word, w in row if word in names) for row, names in zip(rows, headers, strict=True)]
    masses = [sum(abs(weight) for _, weight in row) for row in rows]
    return np.array([part / mass if mass > 0 else 0.0 for part, mass in zip(on_header, masses, strict=True)])


def heaviest(found: xai.Surrogate, headers: list[set[str]]) -> dict[str, float]:
    """The header words with the most mass over all posts, and their part of all mass."""
    masses: Counter[str] = Counter()
    for row, names in enumerate(headers):
        pairs = word_weights(found, row)
        total = sum(abs(weight) for _, weight in pairs)
        masses.update({word: abs(weight) / total for word, weight in pairs if word in names})
    return {word: mass / len(headers) for word, mass in masses.most_common(_SHOWN)}


def choose_example(posts: Posts) -> int:
    """The post in the paper's figure, or else the first of the first group's that has a posting host."""
    for sign in (_OF_THE_PAPER, "NNTP-Posting-Host"):
        for row, text in enumerate(posts.test_texts):
            if sign in text.partition("\n\n")[0] and posts.test_labels[row] == 0:
                return row
    return 0


def run(report: Report, posts: Posts, options: argparse.Namespace) -> None:
    tests = tests_of(posts, options.seed)
    rng = np.random.default_rng(options.seed)
    chosen = rng.choice(len(posts.test_texts), min(options.posts, len(posts.test_texts)), replace=False)
    texts = [posts.test_texts[row] for row in chosen]
    headers = [header_words(text) for text in texts]
    texts.append(posts.test_texts[choose_example(posts)])  # the last is shown, and not counted
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
                report.numbers[f"{name}: heaviest words of the post shown"] = dict(
                    word_weights(words, len(headers))[:_SHOWN]
                )
                report.numbers[f"{name}: heaviest header words, part of all mass"] = heaviest(words, headers)
                report.numbers[f"{name}: local R² of the explanations, mean"] = float(words.r_squared.mean())
        of_tests, of_all, of_shown = (np.array(found) for found in zip(*of_seeds, strict=True))
        accuracies[name] = dict(zip(TESTS, of_tests.T, strict=True))
        on_headers[name] = {"all words": of_all.mean(axis=0), SHOWN: of_shown.mean(axis=0)}  # over the seeds

    posts_read = examples[TRAINED[0]]  # the same posts for every classifier
    num_words = [sum(map(bool, posts_read.player_names(row))) for row in range(len(headers))]
    by_count = float(np.mean([len(names) / count for names, count in zip(headers, num_words, strict=True)]))
    summarize(report, accuracies, on_headers, by_count)
    figure = draw(examples, header_words(texts[-1]), accuracies, on_headers, by_count, posts.corpus)
    report.figure("newsgroups", figure, "what two classifiers of posts go by, and what it costs them")


def summarize(
    report: Report,
    accuracies: dict[str, dict[str, np.ndarray]],
    on_headers: dict[str, dict[str, np.ndarray]],
    by_count: float,
) -> None:
    """In words and numbers: accuracies over the seeds; shares over the posts, of the mean over the seeds."""
    for name in accuracies:
        for test, found in accuracies[name].items():
            spread = float(found.std(ddof=1)) if len(found) > 1 else 0.0
            numbers = {"mean": float(found.mean()), "sd": spread, "seeds": found.tolist()}
            report.numbers[f"{name}: accuracy, {test}"] = numbers
        report.say(f"{name}: accuracy " + ", ".join(f"{t} {found.mean():.1%}" for t, found in accuracies[name].items()))
    for of_what in on_headers[TRAINED[0]]:
        found = [on_headers[name][of_what] for name in TRAINED]
        with_headers, bodies, difference = map(mean_and_error, (*found, found[0] - found[1]))
        for name, share in zip((*TRAINED, "difference, post by post"), (with_headers, bodies, difference), strict=True):
            report.numbers[f"{name}: share of the mass on header words, {of_what}"] = share
        report.say(
            f"of the mass of {of_what}, header words have {with_headers['mean']:.1%} ± {with_headers['se']:.1%} "
            f"({TRAINED[0]}) and {bodies['mean']:.1%} ± {bodies['se']:.1%} ({TRAINED[1]}); "
            f"post by post the difference is {difference['mean']:.1%} ± {difference['se']:.1%}"
        )
    report.numbers["share of header words among the words of a post"] = by_count
    report.say(f"{by_count:.1%} of the words of a post are in its header alone; ± are standard errors over posts")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Two classifiers of newsgroup posts, one of which reads the headers.")
    parser.add_argument("--out", type=Path, default=Path("out/newsgroups"), help="the folder for the results")
    parser.add_argument("--data", type=Path, help="posts, lines of JSON with split, group and text; default: download")
    parser.add_argument("--stand-in", action="store_true", help="use the generated posts, download nothing")
    parser.add_argument("--seeds", type=int, default=3, help="how many trainings of each kind")
    parser.add_argument("--seed", type=int, default=0, help="the first of the seeds")
    parser.add_argument("--posts", type=int, default=100, help="how many test posts are explained")
    parser.add_argument("--samples", type=int, default=1000, help="for each explanation")
    parser.add_argument("--epochs", type=int, default=10, help="of each training")
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
