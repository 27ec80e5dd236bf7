"""The study of prompts: its tasks, its explainers, the frozen game, and what is claimed of recall."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax

import xaijax as xai
from experiments import _language_model, prompt
from experiments._frozen_game import count_frozen_tokens, frozen_values
from experiments._known_games import Table, all_coalitions
from experiments._prompt_explainers import drops, errors_of, gradients, lasso, leave_one_out, recovers
from experiments._prompt_tasks import (
    FIRST_KEY,
    FIRST_VALUE,
    NUM_KEYS,
    RECALL_VOCABULARY,
    Planted,
    decode,
    help_prompts,
    help_texts,
    help_topics,
    recall_prompts,
    recall_texts,
)

PROMPT = xai.text.prompt([[3, 4], [5], [6, 7, 8]], prefix=[1], suffix=[9])
RESPONSE = np.array([2, 10])


@pytest.fixture(scope="module")
def trained():
    """A small model whose parameters are random, and large enough that every token matters."""
    module = _language_model.LanguageModel(11, width=8, heads=2, looking_back=2)
    variables = jax.jit(module.init)(jax.random.key(0), np.zeros((1, 2), np.int32))
    return _language_model.Trained(module, jax.tree.map(lambda leaf: 2 * np.asarray(leaf), variables))


def test_a_key_of_a_text_has_the_same_value_every_time():
    ids, counts = recall_texts(40, 20, np.random.default_rng(0))
    for row, is_value in zip(ids, counts, strict=True):
        facts = set(map(tuple, row[1:].reshape(-1, 2)))
        assert len(facts) == len({key for key, _ in facts}) <= NUM_KEYS
        assert (row[1:][is_value] >= FIRST_VALUE).all()
        assert (row[1:][~is_value] < FIRST_VALUE).all()


@pytest.mark.parametrize("twice", [False, True])
def test_planted_facts_alone_hold_the_asked_key_and_its_value(twice):
    for planted in recall_prompts(20, 10, np.random.default_rng(0), twice=twice):
        (asked,) = planted.prompt.suffix
        spans = np.stack(planted.prompt.spans)
        assert planted.is_planted.sum() == 1 + twice
        np.testing.assert_array_equal(spans[:, 0] == asked, planted.is_planted)
        assert (spans[planted.is_planted, 1] == planted.response).all()
        assert FIRST_KEY <= asked < FIRST_VALUE


def test_the_copy_of_a_planted_sentence_is_in_no_other_line_and_its_topic_in_no_text_for_training():
    training, held_out = help_topics()
    assert len(training) + len(held_out) <= 80
    assert not {" ".join(topic) for topic in training} & {" ".join(topic) for topic in held_out}
    for planted in help_prompts(10, 10, np.random.default_rng(0)):
        texts = [decode(span) for span in planted.prompt.spans]
        copy = decode(planted.prompt.suffix) + decode(planted.response)
        assert [text == copy + " " for text in texts] == planted.is_planted.tolist()
        assert planted.is_planted.sum() == 1
    ids, weights = help_texts(3, 60, np.random.default_rng(0))
    assert ids.shape == (3, 61)
    is_capital = (ids[:, 1:] >= ord("A")) & (ids[:, 1:] <= ord("Z"))
    assert weights[is_capital].mean() > weights[~is_capital].mean()


def test_weights_are_read_where_the_same_training_has_kept_them(tmp_path, monkeypatch):
    trainings = []

    def train(loss, variables, state, batches, *, seed, **options):
        trainings.append(seed)
        return jax.tree.map(lambda leaf: np.asarray(leaf) + seed + 1, variables), state

    monkeypatch.setattr(_language_model, "train", train)
    module = _language_model.LanguageModel(RECALL_VOCABULARY, width=4, heads=1, num_layers=1)
    options = {"epochs": 2, "batch_size": 4, "rate": 1e-2, "kept": tmp_path}
    texts, others = (recall_texts(8, 3, np.random.default_rng(seed)) for seed in (0, 1))
    first, again, _, _ = (
        _language_model.fit(module, own, seed=seed, **options)
        for own, seed in ((texts, 0), (texts, 0), (texts, 1), (others, 0))
    )
    assert trainings == [0, 1, 0]
    for one, other in zip(*map(jax.tree.leaves, (first.variables, again.variables)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_frozen_values_are_those_of_one_masked_pass_over_the_whole_prompt(trained):
    coalitions = all_coalitions(3)
    ids = np.concatenate([PROMPT.ids(), RESPONSE])
    owner = np.array([-1, 0, 0, 1, 2, 2, 2, -1, -1, -1])
    causal = np.tril(np.ones((10, 10), bool))
    hidden = (owner >= 0) & ~np.pad(coalitions, [(0, 0), (0, 1)])[:, owner]  # [8, 10], of the suffix and the response
    masks = causal & ~(hidden[:, None] & (np.arange(10)[:, None] >= 7))
    logits = jax.jit(trained.module.apply)(trained.variables, np.tile(ids, (8, 1)), np.arange(10)[None], masks)
    expected = log_softmax(np.asarray(logits), axis=-1)[:, [7, 8], RESPONSE]
    values = frozen_values(trained, PROMPT, RESPONSE, coalitions)
    np.testing.assert_allclose(values, expected, atol=1e-5)
    assert np.ptp(values, axis=0).min() > 0.01
    assert count_frozen_tokens(PROMPT, 8, 2) == 7 + 8 * 3
    # With all spans present nothing is hidden; the game also checks the cache against the model.
    game = prompt.Subject("random", trained, [Planted(PROMPT, RESPONSE, np.zeros(3, bool))]).game(0)
    np.testing.assert_allclose(game(coalitions[-1:]), values[-1:], atol=1e-5)


def test_the_gradient_of_a_span_is_the_slope_of_scaling_its_embeddings(trained):
    values = gradients(trained.model, Planted(PROMPT, RESPONSE, np.zeros(3, bool)))
    ids = np.concatenate([PROMPT.ids(), RESPONSE])
    table = np.tile(trained.variables["params"]["embed"]["embedding"], (6, 1, 1))
    for number, span in enumerate(PROMPT.spans):  # whose tokens occur in no other part of the prompt
        table[2 * number, span] *= 1 - 1e-2
        table[2 * number + 1, span] *= 1 + 1e-2

    def log_p(table):
        parameters = trained.variables["params"] | {"embed": {"embedding": table}}
        logits = trained.module.apply({"params": parameters}, ids[None])
        return jax.nn.log_softmax(logits)[0, jnp.array([7, 8]), RESPONSE].sum()

    below, above = np.asarray(jax.jit(jax.vmap(log_p))(table)).reshape(3, 2).T
    np.testing.assert_allclose(values, (above - below) / 2e-2, atol=2e-3, rtol=2e-2)


def test_baselines_are_differences_and_shrunken_slopes_of_the_logit():
    coefficients = np.array([3.0, 0.0, -2.0])
    logits = all_coalitions(3) @ coefficients - 1
    log_p = -np.log1p(np.exp(-logits))
    worth = np.stack([0.25 * log_p, 0.75 * log_p], axis=1)  # two tokens
    game = xai.Game(Table(jnp.asarray(worth, jnp.float32)), 3)
    np.testing.assert_allclose(leave_one_out(game), log_p[7] - log_p[[6, 5, 3]], atol=1e-6)
    # Columns of fair coins have the deviation 1/2; the L1 penalty 0.01 takes 0.01 / 0.5 from the slope of each token.
    expected = np.sign(coefficients) * np.maximum(np.abs(coefficients) - 2 * 0.01 / 0.5, 0)
    np.testing.assert_allclose(lasso(game, 4000, seed=0), expected, atol=5e-3)


def test_measures_by_hand():
    exact, values = np.array([2.0, 1.0, 0.0]), np.array([[4.0, 2.0, 0.0], [0.0, 0.0, 0.0], [0.0, 1.0, 2.0]])
    plain, scaled = errors_of(values, exact)
    np.testing.assert_allclose(plain, [1, 1, 8 / 5])
    np.testing.assert_allclose(scaled, [0, 1, 1 - 1 / 25], atol=1e-12)
    assert recovers(values, np.array([True, False, False])).tolist() == [True, False, False]
    assert recovers(values, np.array([True, True, False])).tolist() == [True, False, False]
    worth = np.arange(8.0)[:, None] ** 2
    np.testing.assert_array_equal(drops(values[:1], worth), [[49 - 36, 49 - 16, 49]])


def truths(frozen, count=2):
    """Returns random games of four players and two tokens, and their frozen games, frozen(worth)."""
    rng = np.random.default_rng(0)
    result = []
    for _ in range(count):
        worth = rng.normal(size=(16, 2)).cumsum(axis=0)
        other = frozen(worth)
        exact, exact_frozen = (
            np.asarray(xai.shap.exact(xai.Game(Table(jnp.asarray(v)), 4)).values) for v in (worth, other)
        )
        result.append(prompt.Truth(worth, other, exact, exact_frozen, np.arange(4) == exact.sum(axis=1).argmax(), 0))
    return result


def test_a_frozen_game_that_is_the_game_leaves_no_error_and_a_constant_one_changes_nothing(monkeypatch):
    monkeypatch.setattr(prompt, "ESTIMATORS", {"kernel": prompt.ESTIMATORS["kernel"]})
    subject = prompt.Subject("random", None, [])
    (equal,) = prompt.compare_control_variates(subject, truths(lambda worth: worth), [8], 3)
    assert max(equal["errors_with"]) < 1e-10 * np.mean(equal["errors"])  # `ratio` counts errors below 1e-10 as 1e-10
    (constant,) = prompt.compare_control_variates(subject, truths(lambda worth: 0 * worth + 1), [8], 3)
    assert constant["ratio"] == pytest.approx(1, abs=1e-4)
    assert constant["errors"] == pytest.approx(equal["errors"])
    assert min(equal["errors"]) > 1e-4


@pytest.mark.slow
def test_recall_is_explained_within_a_twentieth_and_its_facts_are_recovered(tmp_path):
    """Of 50 prompts, 10 spans, 32 evaluations, 2 seeds; leave-one-out sees no fact that is given twice."""
    for subject in prompt.make_subjects(prompt.TASKS[:2], 50, 10, seed=0, kept=tmp_path):
        of_prompts = prompt.true_values(subject)
        whole = np.stack([truth.worth.sum(axis=1) for truth in of_prompts])
        assert whole[:, -1].min() > np.log(0.99)  # the model knows every answer, and guesses without facts
        np.testing.assert_allclose(whole[:, 0], np.log(1 / 16), atol=0.5)
        entries = {entry["explainer"]: entry for entry in prompt.compare(subject, of_prompts, [32], 2)}
        alone = entries["leave-one-out"]
        for name in ("default", "Gaussian process"):
            assert entries[name]["evaluations"] == 32
            assert np.mean(entries[name]["errors"]) <= 0.05
            assert entries[name]["recovered"] >= 0.98
            assert entries[name]["coverage"] >= 0.9
        assert (np.mean(alone["errors"]) < 0.05) == (subject.name == "recall")  # twice: each fact alone can be missed
        # The estimator of the text's own game gives what it gives for the table of all coalitions.
        game, key = subject.game(0), jax.random.key(0)
        ours = prompt.ESTIMATORS["Gaussian process"](game, key, 32)
        of_table = prompt.ESTIMATORS["Gaussian process"](of_prompts[0].known.game, key, 32)
        np.testing.assert_allclose(ours.values, of_table.values, atol=1e-3)
        assert game.counts.tokens < 32 * 23  # shared beginnings cost less than 32 whole prompts


@pytest.mark.slow
def test_the_study_runs_and_writes_its_figures(tmp_path, capsys):
    few = ["--prompts", "2", "--spans", "4", "--seeds", "2", "--budgets", "8", "--texts", "64"]
    prompt.main(["--out", str(tmp_path / "out"), "--tasks", "recall", "help", *few])
    numbers = json.loads((tmp_path / "out" / "numbers.json").read_text())
    for task, num_tokens in (("recall", 2), ("help", 17)):
        costs = numbers[f"{task}: costs"]
        assert costs["leave-one-out"]["evaluations"] == 5
        assert numbers[f"{task}: the frozen game"]["tokens"] >= 16 * num_tokens
        for entry in numbers[f"{task}: explainers"]:
            assert len(entry["errors"]) in (2, 4)
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == [
        "prompt_errors.png", "prompt_frozen.png", "prompt_spans.png",
    ]  # fmt: skip
    assert "with the frozen game" in capsys.readouterr().out
