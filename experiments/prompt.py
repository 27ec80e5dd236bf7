"""Which part of a prompt made a language model give its answer? Estimators are compared where the answer is known.

Two small transformers are trained: on recall (a list of facts, of which the prompt asks for one) and on bytes of Python's
own help with a planted sentence whose copy must be continued. A third task gives the fact that is asked for twice: the
response is lost only without both, which leaving out one span at a time cannot see. Removal deletes a span.

All coalitions of spans are evaluated, so that the Shapley values of the response's log-probability are exact. Compared are
leave-one-out, the gradient (input x gradient of the embeddings, summed over each span), a LASSO as ContextCite fits it
(Cohen-Wang et al. 2024, section 3: of the logit of the response's probability, on sets of half of the spans), and this
library's default, Gaussian process, kernel regression and permutations:

- the squared error to the exact values, relative to their squares; also after the best scaling, since gradients and
  the LASSO are in other units,
- how often the planted spans have the largest values,
- by how much log p(response) drops without the spans of the largest values,
- the coverage of the 95 % intervals of the values of each token of the response,
- evaluations, tokens and seconds.

A second part asks whether the frozen game v' (`_frozen_game.py`) is a good control variate. It is cheap enough to be
explained exactly: phi(v) = phi(v') + an estimate of phi(v - v').

python -m experiments.prompt --out out/prompt [--prompts 24] [--seeds 4]

The weights are kept in a folder next to --out. Training takes about three minutes of one core.
"""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

import xaijax as xai
from experiments._error_tables import ratio
from experiments._estimators import estimate, permutations
from experiments._frozen_game import count_frozen_tokens, frozen_values
from experiments._known_games import KnownGame, Table, all_coalitions, shapley
from experiments._language_model import LanguageModel, Trained, fit
from experiments._prompt_explainers import drops, errors_of, gradients, lasso, leave_one_out, recovers
from experiments._prompt_tasks import (
    HELP_VOCABULARY,
    RECALL_VOCABULARY,
    Planted,
    help_prompts,
    help_texts,
    recall_prompts,
    recall_texts,
)
from experiments._report import Report

TASKS = ("recall", "recall, given twice", "help")
BUDGETS = (16, 32, 64)
_NUM_TEXTS = {"recall": 12_800, "help": 19_200}
_NUM_FACTS, _LENGTH = 20, 128  # of a text for training: facts, and bytes
_TIMED = 3  # prompts whose explanations are timed
_LEAST_DRAWN = 1e-8  # of errors on logarithmic axes

Shown = tuple[xai.Attribution, xai.Attribution]  # of the tokens of a response, and of the whole
Explain = Callable[[xai.Game, Any, int], xai.Attribution]
ESTIMATORS: dict[str, Explain] = {
    "default": lambda game, key, m: xai.shap.values(game, key=key, num_evaluations=m),
    "Gaussian process": lambda game, key, m: xai.shap.gaussian_process(game, key=key, num_evaluations=m),
    "kernel": lambda game, key, m: xai.shap.kernel(game, key=key, num_evaluations=m),
    "permutations": permutations,
}
LASSO, LEAVE_ONE_OUT, GRADIENT = "LASSO", "leave-one-out", "gradient"


class Subject(NamedTuple):
    """A task, the model trained on it, and prompts of M spans each."""

    name: str
    trained: Trained
    prompts: list[Planted]

    def game(self, number: int) -> xai.text.ResponseGame:
        """Returns the game of a prompt, which has not been evaluated yet."""
        _, response, _ = self.prompts[number]
        return xai.text.response_game(
            self.trained.model, self.prompts[number].prompt, response, extend=self.trained.cached
        )


class Truth(NamedTuple):
    """A prompt's game: worth and frozen, [2^M, T] of all coalitions; the Shapley values of both, [M, T]; is_planted [M]."""

    worth: np.ndarray
    frozen: np.ndarray
    exact: np.ndarray
    exact_frozen: np.ndarray
    is_planted: np.ndarray
    tokens: int

    @property
    def known(self) -> KnownGame:
        return KnownGame(Table(jnp.asarray(self.worth)), self.exact)

    @property
    def difference(self) -> KnownGame:
        """The response game minus the frozen game."""
        return KnownGame(Table(jnp.asarray(self.worth - self.frozen)), self.exact - self.exact_frozen)


class Estimated(NamedTuple):
    """Values of the whole response [R, M] for R seeds; for each token [R, M, T] whether an interval covers, or None."""

    values: np.ndarray
    is_covered: np.ndarray | None
    evaluations: float


def make_subjects(
    names: Sequence[str], count: int, num_spans: int, seed: int, *, kept: Path | None = None, texts: int | None = None
) -> list[Subject]:
    """Returns tasks with trained models and new prompts. texts: rows to train on. Default: those that suit the task."""
    options: dict[str, Any] = {"seed": seed, "kept": kept}
    rng = np.random.default_rng(seed + 1)
    subjects = []
    if any(name.startswith("recall") for name in names):
        rows = recall_texts(texts or _NUM_TEXTS["recall"], _NUM_FACTS, np.random.default_rng(seed))
        trained = fit(LanguageModel(RECALL_VOCABULARY), rows, epochs=4, batch_size=32, rate=5e-3, **options)
        for name in ("recall", "recall, given twice"):
            prompts = recall_prompts(count, num_spans, rng, twice=name != "recall")
            subjects += [Subject(name, trained, prompts)] if name in names else []
    if "help" in names:
        rows = help_texts(texts or _NUM_TEXTS["help"], _LENGTH, np.random.default_rng(seed))
        module = LanguageModel(HELP_VOCABULARY, looking_back=4)
        trained = fit(module, rows, epochs=2, batch_size=16, rate=5e-3, **options)
        subjects.append(Subject("help", trained, help_prompts(count, num_spans, rng)))
    return subjects


def true_values(subject: Subject) -> list[Truth]:
    """Evaluates all coalitions of each prompt."""
    truths = []
    for number, (prompt, response, is_planted) in enumerate(subject.prompts):
        game, coalitions = subject.game(number), all_coalitions(prompt.num_spans)
        worth = np.asarray(game(coalitions), np.float64)
        frozen = frozen_values(subject.trained, prompt, response, coalitions).astype(np.float64)
        truths.append(Truth(worth, frozen, shapley(worth), shapley(frozen), is_planted, game.counts.tokens))
    return truths


def compare(subject: Subject, truths: list[Truth], budgets: Sequence[int], seeds: int) -> list[dict[str, Any]]:
    """Returns one entry for each explainer and budget: errors, recovery, drops and coverage over prompts and seeds."""
    num_spans = len(truths[0].exact)
    runs: list[tuple[str, int, Callable[[int, Truth], Estimated]]] = [
        (LEAVE_ONE_OUT, num_spans + 1, lambda _, truth: _alone(leave_one_out(truth.known.game), num_spans + 1)),
        (GRADIENT, 1, lambda number, _: _alone(gradients(subject.trained.model, subject.prompts[number]), 1)),
    ]
    for budget in budgets:
        runs.append((LASSO, budget, functools.partial(_lasso_of_seeds, budget, seeds)))
        for name, explain in ESTIMATORS.items():
            runs.append((name, budget, functools.partial(_estimated, explain, max(budget, 2 * num_spans), seeds)))
    entries = []
    for name, budget, run in runs:
        estimated = [run(number, truth) for number, truth in enumerate(truths)]
        both = [errors_of(own.values, truth.exact.sum(axis=1)) for own, truth in zip(estimated, truths, strict=True)]
        pairs = list(zip(estimated, truths, strict=True))
        covered = [own.is_covered.mean() for own in estimated if own.is_covered is not None]
        entries.append({
            "task": subject.name, "explainer": name, "budget": budget,
            "evaluations": float(np.mean([own.evaluations for own in estimated])),
            "errors": np.concatenate([plain for plain, _ in both]).tolist(),
            "scaled_errors": np.concatenate([scaled for _, scaled in both]).tolist(),
            "recovered": float(np.mean([recovers(own.values, truth.is_planted) for own, truth in pairs])),
            "drops": np.mean([drops(own.values, truth.worth).mean(axis=0) for own, truth in pairs], axis=0).tolist(),
            "coverage": float(np.mean(covered)) if covered else None,
        })  # fmt: skip
    return entries


def _alone(values: np.ndarray, evaluations: int) -> Estimated:
    return Estimated(values[None], None, evaluations)


def _lasso_of_seeds(budget: int, seeds: int, number: int, truth: Truth) -> Estimated:
    game = truth.known.game
    return Estimated(np.stack([lasso(game, budget, number * seeds + seed) for seed in range(seeds)]), None, budget)


def _estimated(explain: Explain, budget: int, seeds: int, number: int, truth: Truth) -> Estimated:
    return estimated_values(explain, truth.known, budget, range(number * seeds, (number + 1) * seeds))


def estimated_values(
    explain: Explain, known: KnownGame, budget: int, seeds: Sequence[int], added: np.ndarray | float = 0.0
) -> Estimated:
    """Explains a game of T outputs; `added` [M, T] is known of the values, and not estimated."""
    values, half_widths, evaluations = estimate(explain, known, budget, seeds)
    is_covered = None
    if half_widths is not None and np.isfinite(half_widths).all():
        is_covered = np.abs(values - known.exact) <= half_widths + 1e-6 * np.abs(known.exact).max()
    return Estimated((values + added).sum(axis=2), is_covered, evaluations)


def costs(subject: Subject, budgets: Sequence[int]) -> dict[str, dict[str, float]]:
    """Returns the mean evaluations, tokens and seconds of explaining a prompt, by explainer and budget.

    The programs are compiled by an explanation before, of the same prompt, which is not counted. Prompts of other lengths
    compile programs of their own.
    """
    num_spans = subject.prompts[0].prompt.num_spans
    runs: dict[str, Callable[[xai.text.ResponseGame], Any]] = {LEAVE_ONE_OUT: leave_one_out}
    for budget in budgets:
        runs[f"{LASSO}, {budget}"] = functools.partial(lasso, num_evaluations=budget, seed=0)
        for name, explain in ESTIMATORS.items():
            runs[f"{name}, {budget}"] = functools.partial(_explained, explain, max(budget, 2 * num_spans))
    result = {}
    for name, run in runs.items():
        rows = []
        for number in range(min(_TIMED, len(subject.prompts))):
            run(subject.game(number))
            game = subject.game(number)
            start = time.perf_counter()
            jax.block_until_ready(jax.tree.leaves(run(game)))
            rows.append((game.counts.coalitions, game.counts.tokens, time.perf_counter() - start))
        result[name] = dict(zip(("evaluations", "tokens", "seconds"), np.mean(rows, axis=0).tolist(), strict=True))
    return result


def _explained(explain: Explain, count: int, game: xai.Game) -> xai.Attribution:
    return explain(game, jax.random.key(0), count)


def compare_control_variates(
    subject: Subject, truths: list[Truth], budgets: Sequence[int], seeds: int
) -> list[dict[str, Any]]:
    """Returns one entry for each estimator and budget: its errors without and with the frozen game, and their ratio."""
    num_spans, entries = len(truths[0].exact), []
    for name, explain in ESTIMATORS.items():
        for budget in budgets:
            count = max(budget, 2 * num_spans)
            errors: dict[bool, list[float]] = {False: [], True: []}
            covered: dict[bool, list[float]] = {False: [], True: []}
            for number, truth in enumerate(truths):
                own = range(number * seeds, (number + 1) * seeds)
                for with_frozen, known in ((False, truth.known), (True, truth.difference)):
                    added = truth.exact_frozen if with_frozen else 0.0
                    estimated = estimated_values(explain, known, count, own, added)
                    errors[with_frozen] += errors_of(estimated.values, truth.exact.sum(axis=1))[0].tolist()
                    if estimated.is_covered is not None:
                        covered[with_frozen].append(float(estimated.is_covered.mean()))
            mean, error = ratio({"errors": errors[True]}, {"errors": errors[False]})
            entries.append({
                "task": subject.name, "explainer": name, "budget": budget, "ratio": mean, "ratio_error": error,
                "errors": errors[False], "errors_with": errors[True],
                "coverage": float(np.mean(covered[False])) if covered[False] else None,
                "coverage_with": float(np.mean(covered[True])) if covered[True] else None,
            })  # fmt: skip
    return entries


def run(report: Report, subject: Subject, budgets: Sequence[int], seeds: int) -> Shown:
    """Reports the comparisons of one task, and explains its first prompt: each token of the response, and the whole."""
    name = subject.name
    report.step(f"{name}: all coalitions")
    truths = true_values(subject)
    report.numbers[f"{name}: the task"] = facts = facts_of(truths)
    report.say(f"{name}: " + ", ".join(f"{fact} {number:.4g}" for fact, number in facts.items()))

    report.step(f"{name}: explaining")
    report.numbers[f"{name}: explainers"] = entries = compare(subject, truths, budgets, seeds)
    for entry in entries:
        covered = "" if entry["coverage"] is None else f", coverage {entry['coverage']:.1%}"
        report.say(
            f"  {entry['explainer']:<17} {entry['evaluations']:>3.0f} evaluations: error {np.mean(entry['errors']):.2g}, "
            f"scaled {np.mean(entry['scaled_errors']):.2g}, planted spans first {entry['recovered']:.0%}, drops "
            + "/".join(f"{drop:.1f}" for drop in entry["drops"]) + covered
        )  # fmt: skip

    report.step(f"{name}: timing")
    report.numbers[f"{name}: costs"] = spent = costs(subject, budgets)
    for explainer, cost in spent.items():
        report.say(f"  {explainer}: " + ", ".join(f"{number:.4g} {unit}" for unit, number in cost.items()))

    report.step(f"{name}: the frozen game")
    report_frozen(report, subject, truths, budgets, seeds)
    game, key, count = subject.game(0), jax.random.key(0), max(budgets[-1], 2 * len(truths[0].exact))
    of_tokens, of_whole = (xai.shap.values(own, key=key, num_evaluations=count) for own in (game, game.whole))
    return of_tokens, of_whole


def facts_of(truths: list[Truth]) -> dict[str, float]:
    """Returns what is known of a task: means over its prompts."""
    facts = []
    for truth in truths:
        whole, num_spans = truth.worth.sum(axis=1), len(truth.exact)
        without = 2**num_spans - 1 - int(truth.is_planted @ (1 << np.arange(num_spans)))
        facts.append({
            "spans": num_spans,
            "log p(response)": whole[-1],
            "log p(response) without the planted spans": whole[without],
            "exact values recover the planted spans": recovers(truth.exact.sum(axis=1)[None], truth.is_planted)[0],
            "tokens of all coalitions": truth.tokens,
            "variance of v - v', relative to that of v": (whole - truth.frozen.sum(axis=1)).var() / whole.var(),
        })  # fmt: skip
    return {"prompts": len(truths)} | {name: float(np.mean([own[name] for own in facts])) for name in facts[0]}


def report_frozen(report: Report, subject: Subject, truths: list[Truth], budgets: Sequence[int], seeds: int) -> None:
    """Reports the values of the frozen game, and what it gains as a control variate."""
    name, num_coalitions = subject.name, len(truths[0].worth)
    variates = compare_control_variates(subject, truths, budgets, seeds)
    tokens = [count_frozen_tokens(own.prompt, num_coalitions, len(own.response)) for own in subject.prompts]
    alone = [
        errors_of(truth.exact_frozen.sum(axis=1)[None], truth.exact.sum(axis=1))[0].item() for truth in truths
    ]  # fmt: skip
    report.numbers[f"{name}: the frozen game"] = {"error": float(np.mean(alone)), "tokens": float(np.mean(tokens))}
    report.numbers[f"{name}: control variates"] = variates
    report.say(f"  the frozen game's own values: error {np.mean(alone):.2g}, exactly for {np.mean(tokens):.0f} tokens")
    for entry in variates:
        covers = [entry[part] for part in ("coverage", "coverage_with")]
        covered = "" if None in covers else f", coverage {covers[0]:.1%} without, {covers[1]:.1%} with it"
        report.say(
            f"  {entry['explainer']:<17} {entry['budget']:>3}: squared error x {entry['ratio']:.3g} ± "
            f"{entry['ratio_error']:.2g} with the frozen game{covered}"
        )


def draw_errors(numbers: dict[str, Any], names: Sequence[str]) -> Figure:
    """Draws for each task the errors after the best scaling, and how often the planted spans come first at one budget."""
    figure, axes = plt.subplots(2, len(names), figsize=(4.4 * len(names), 7.2), layout="constrained", squeeze=False)
    for column, name in enumerate(names):
        entries = numbers[f"{name}: explainers"]
        errors: dict[str, dict[int, list[float]]] = {}
        for entry in entries:
            at = round(entry["evaluations"])
            errors.setdefault(entry["explainer"], {})[at] = np.maximum(entry["scaled_errors"], _LEAST_DRAWN).tolist()
        above, below = axes[:, column]
        xai.plot.error_curves(errors, ax=above, title=name, legend=column == len(names) - 1)
        above.set_ylabel("squared error after the best scaling" if not column else "", fontsize=9)
        budgets = sorted({entry["budget"] for entry in entries if entry["explainer"] == LASSO})
        middle = budgets[len(budgets) // 2]
        shown = [e for e in entries if e["budget"] == middle or e["explainer"] in (LEAVE_ONE_OUT, GRADIENT)]
        xai.plot.intervals(
            [entry["recovered"] for entry in shown],
            names=[f"{entry['explainer']} ({entry['evaluations']:.0f})" for entry in shown],
            percent=True,
            ax=below,
            title="planted spans have the largest values",
        )
        below.set_xlim(-0.03, 1.03)
    return figure


def draw_control_variates(numbers: dict[str, Any], names: Sequence[str]) -> Figure:
    """Draws the errors of two estimators without and with the frozen game."""
    figure, axes = plt.subplots(1, len(names), figsize=(4.4 * len(names), 3.8), layout="constrained", squeeze=False)
    for column, (name, ax) in enumerate(zip(names, axes[0], strict=True)):
        errors: dict[str, dict[int, list[float]]] = {}
        least = 2 * round(numbers[f"{name}: the task"]["spans"])  # evaluations that these estimators need
        for entry in numbers[f"{name}: control variates"]:
            if entry["explainer"] == "permutations":
                continue
            for suffix, part in (("", "errors"), (", with the frozen game", "errors_with")):
                own = errors.setdefault(entry["explainer"] + suffix, {})
                own[max(entry["budget"], least)] = np.maximum(entry[part], _LEAST_DRAWN).tolist()
        xai.plot.error_curves(errors, ax=ax, title=name, legend=column == len(names) - 1)
        ax.set_ylabel("relative squared error" if not column else "", fontsize=9)
    return figure


def draw_prompts(shown: dict[str, Shown]) -> Figure:
    """Draws the first prompt of each task, its spans colored by their values for the whole response."""
    figure, axes = plt.subplots(len(shown), 1, figsize=(8, 2.6 * len(shown)), layout="constrained", squeeze=False)
    for (name, (tokens, whole)), ax in zip(shown.items(), axes[:, 0], strict=True):
        before, after = float(whole.base_value[0]), float(whole.output[0])  # pyright: ignore[reportOptionalSubscript]
        title = f"{name}: log p(response) {after:.2f}, {before:.2f} without all spans"
        xai.plot.prompt(tokens, whole=whole if len(np.atleast_1d(tokens.output)) > 1 else None, ax=ax, title=title)
    return figure


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Which part of a prompt made a language model give its answer?")
    parser.add_argument("--out", type=Path, default=Path("out/prompt"), help="the folder for figures and numbers")
    parser.add_argument(
        "--kept", type=Path, help="a folder that weights are written to and read from; default: next to --out"
    )
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS, help="the tasks; default: all")
    parser.add_argument("--prompts", type=int, default=24, help="prompts of each task")
    parser.add_argument("--spans", type=int, default=10, help="spans of each prompt")
    parser.add_argument("--seeds", type=int, default=4, help="explanations of each prompt by each estimator")
    parser.add_argument("--budgets", type=int, nargs="+", default=BUDGETS, help="evaluations of an explanation")
    parser.add_argument("--texts", type=int, help="texts for each training; default: the number that suits the task")
    parser.add_argument("--seed", type=int, default=0, help="seed of the training and of the prompts")
    options = parser.parse_args(arguments)
    with Report(options.out, total=1 + 4 * len(options.tasks)) as report:
        report.step("training")
        start = time.process_time()
        subjects = make_subjects(
            options.tasks, options.prompts, options.spans, options.seed, texts=options.texts,
            kept=options.kept or options.out.parent / "weights",
        )  # fmt: skip
        report.say(f"trained, or read, in {time.process_time() - start:.0f} seconds of all cores")
        shown = {}
        for subject in subjects:
            shown[subject.name] = run(report, subject, options.budgets, options.seeds)
            report.keep(f"prompt_{subject.name.replace(', ', '_').replace(' ', '_')}", shown[subject.name][0])
        figures = {
            "prompt_errors": (
                draw_errors(report.numbers, options.tasks),
                "errors of the values, and the planted spans",
            ),
            "prompt_frozen": (draw_control_variates(report.numbers, options.tasks), "errors with the frozen game"),
            "prompt_spans": (draw_prompts(shown), "the first prompts, colored by their values"),
        }
        for name, (figure, description) in figures.items():
            report.figure(name, figure, description)
    report.close()


if __name__ == "__main__":
    main()
