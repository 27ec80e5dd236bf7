"""Under lime's definitions the answers are those of the package lime 0.2: means over 20 seeds, beside their noise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai

lime_tabular = pytest.importorskip("lime.lime_tabular")
lime_image = pytest.importorskip("lime.lime_image")
lime_text = pytest.importorskip("lime.lime_text")

SEEDS, SAMPLES, KEY = 20, 1000, jax.random.key(0)
GENERATOR = np.random.default_rng(0)
ROWS = (GENERATOR.normal(size=(300, 5)) * [1, 10, 0.1, 1, 1] + [0, 5, 0, 1, 0]).astype(np.float32)
ROWS[:, 3] = GENERATOR.integers(0, 3, 300)  # a category
REGIONS = np.array([[0, 0, 1, 1], [0, 2, 2, 1], [3, 2, 4, 4], [3, 3, 5, 4]]).repeat(3, axis=0).repeat(3, axis=1)
IMAGE = GENERATOR.uniform(size=(12, 12, 3)).astype(np.float32)
WEIGHTS = GENERATOR.normal(size=(12, 12, 3)).astype(np.float32)
WORDS = GENERATOR.normal(size=12).astype(np.float32)


@jax.jit
def of_rows(x):
    return jnp.sin(x[:, 0]) + 0.1 * x[:, 1] * (x[:, 3] == 1) + jnp.tanh(20 * x[:, 2]) + 0.3 * x[:, 4] ** 2


@jax.jit
def of_images(x):
    by_region = jnp.stack([jnp.sum(jnp.where((m == REGIONS)[..., None], x * WEIGHTS, 0), (1, 2, 3)) for m in range(6)])
    return jnp.tanh(by_region).sum(axis=0) + by_region[0] * by_region[2]


@jax.jit
def of_words(ids):
    weights = jnp.asarray(WORDS)[ids]
    return jax.nn.sigmoid(weights.sum(axis=1) + 2 * jnp.tanh(weights[:, 0] * weights[:, 1]))


def of_strings(texts):
    """Twelve places; a word is its number, and what lime takes away leaves its place empty."""
    ids = np.zeros((len(texts), 12), np.int32)
    for row, text in enumerate(texts):
        for word in text.split():
            ids[row, int(word[1:])] = int(word[1:])
    return two_columns(of_words(ids))


def two_columns(values):
    """lime's text and image explainers want the outputs of classes, and explain the one they are asked for."""
    return np.stack([-np.asarray(values, np.float64), values], axis=1)


def ours_of_rows(bins, categorical, options):
    statistics = xai.lime.statistics(ROWS, bins=bins, categorical=categorical)
    x = np.tile(ROWS[7], (SEEDS, 1))
    return xai.lime.tabular(
        of_rows, x, statistics, key=KEY, **{"num_samples": SAMPLES, "definitions": "lime", **options}
    )


def theirs_of_rows(seed, bins, categorical, options):
    explainer = lime_tabular.LimeTabularExplainer(
        ROWS,
        mode="regression",
        categorical_features=categorical,
        discretize_continuous=bins is not None,
        random_state=seed,
    )
    return explainer.explain_instance(
        ROWS[7],
        lambda rows: np.asarray(of_rows(rows.astype(np.float32)), np.float64),
        num_samples=SAMPLES,
        num_features=options.get("num_features", 10),
    )


def ours_of_image(fill, options):
    options = {"num_samples": SAMPLES, "definitions": "lime", **options}
    return xai.lime.image(of_images, np.tile(IMAGE, (SEEDS, 1, 1, 1)), REGIONS, key=KEY, fill=fill, **options)


def theirs_of_image(seed, fill, options):
    explainer = lime_image.LimeImageExplainer(random_state=seed)
    return explainer.explain_instance(
        IMAGE.astype(np.double),
        lambda images: two_columns(of_images(images.astype(np.float32))),
        labels=(1,),
        top_labels=None,
        hide_color=None if fill == "mean" else fill,
        num_features=options.get("num_features", 100000),
        num_samples=SAMPLES,
        batch_size=SAMPLES,
        segmentation_fn=lambda image: REGIONS,
    )


def ours_of_text(options):
    options = {"num_samples": SAMPLES, "definitions": "lime", **options}
    ids = np.tile(np.arange(1, 12), (SEEDS, 1))
    return xai.lime.text(of_shifted_words, ids, mask_id=0, key=KEY, **options)


def of_shifted_words(ids):
    return of_words(jnp.concatenate([jnp.zeros((len(ids), 1), ids.dtype), ids], axis=1))


def theirs_of_text(seed, options):
    explainer = lime_text.LimeTextExplainer(random_state=seed)
    return explainer.explain_instance(
        " ".join(f"w{number}" for number in range(1, 12)),
        of_strings,
        labels=(1,),
        num_features=options.get("num_features", 10),
        num_samples=SAMPLES,
    )


CASES = {
    "numbers": (ours_of_rows, theirs_of_rows, (None, [3]), {}),
    "quartiles": (ours_of_rows, theirs_of_rows, ("quartile", [3]), {}),
    "quartiles, forward selection": (ours_of_rows, theirs_of_rows, ("quartile", [3]), {"num_features": 2}),
    "image": (ours_of_image, theirs_of_image, ("mean",), {}),
    "image, forward selection": (ours_of_image, theirs_of_image, (0,), {"num_features": 3}),
    "text": (ours_of_text, theirs_of_text, (), {"num_features": 11}),
    "text, highest weights": (ours_of_text, theirs_of_text, (), {"num_features": 7}),
}


def of_theirs(explanation, players):
    """[D + 3] coefficients, intercept, prediction and score of one of lime's explanations."""
    values = np.zeros(players)
    for player, value in explanation.local_exp[1]:
        values[player] = value
    score, prediction = explanation.score, explanation.local_pred
    if isinstance(score, dict):  # of images, one for each label
        score, prediction = score[1], prediction[1]
    return np.concatenate([values, [explanation.intercept[1], np.ravel(prediction)[0], score]])


def of_ours(found):
    one = [np.asarray(part, np.float64)[:, None] for part in (found.intercept, found.prediction, found.r_squared)]
    return np.concatenate([np.asarray(found.values, np.float64), *one], axis=1)


_their_answers = {}


def their_answers(case, players):
    """[20, D + 3] once for each case."""
    if case not in _their_answers:
        _, theirs, arguments, options = CASES[case]
        _their_answers[case] = np.stack(
            [of_theirs(theirs(seed, *arguments, options), players) for seed in range(SEEDS)]
        )
    return _their_answers[case]


def combined_errors_apart(ours, theirs):
    """[D + 3] the distance of both means in standard errors of the two means together."""
    errors = np.sqrt((ours.var(axis=0, ddof=1) + theirs.var(axis=0, ddof=1)) / SEEDS)
    return np.abs(ours.mean(axis=0) - theirs.mean(axis=0)) / np.maximum(errors, 1e-6)


@pytest.mark.parametrize("case", CASES)
def test_means_over_seeds_agree_within_three_combined_standard_errors(case):
    ours, _, arguments, options = CASES[case]
    found = ours(*arguments, options)
    theirs = their_answers(case, found.values.shape[1])
    assert combined_errors_apart(of_ours(found), theirs).max() < 3
    players = found.values.shape[1]
    chosen = (np.asarray(found.values) != 0).mean(axis=0), (theirs[:, :players] != 0).mean(axis=0)
    assert chosen[0].sum() == pytest.approx(chosen[1].sum()) == min(options.get("num_features", players), players)
    assert np.abs(chosen[0] - chosen[1]).max() < 3 * (2 * 0.25 / SEEDS) ** 0.5  # near ties fall either way in both


@pytest.mark.parametrize("case", ["numbers", "quartiles", "image", "text"])
def test_reported_standard_errors_are_the_spread_of_limes_seeds(case):
    ours, _, arguments, options = CASES[case]
    found = ours(*arguments, options)
    players = found.values.shape[1]
    reported = (np.asarray(found.std_errors, np.float64) ** 2).mean()
    assert reported**0.5 == pytest.approx(
        their_answers(case, players)[:, :players].var(axis=0, ddof=1).mean() ** 0.5, rel=0.2
    )


@pytest.mark.parametrize(
    ("case", "wrong"),
    [
        ("numbers", {"kernel_width": 0.75 * (5 / 2) ** 0.5}),  # exp(-d²/w²) for its root
        ("numbers", {"around": "row"}),
        ("numbers", {"ridge": 100.0}),
        ("quartiles", {"kernel_width": 0.4}),
        ("quartiles", {"ridge": 100.0}),
        ("image", {"kernel_width": 0.25 / 2**0.5}),
        ("image", {"sampling": "sizes"}),
        ("text", {"sampling": "coins"}),
    ],
)
def test_another_definition_would_be_seen(case, wrong):
    ours, _, arguments, options = CASES[case]
    found = ours(*arguments, options | wrong)
    assert combined_errors_apart(of_ours(found), their_answers(case, found.values.shape[1])).max() > 4
