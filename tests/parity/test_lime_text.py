"""Words and weights under lime's definitions are those of the package lime, up to the noise of both samples."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai

lime_text = pytest.importorskip("lime.lime_text")

TEXT = "the quick brown fox jumps over a lazy dog that sleeps near old river banks while birds sing the fox again"
NUMBERS = {word: 2 + index for index, word in enumerate(sorted(set(TEXT.split())))}
WEIGHTS = np.random.default_rng(0).normal(size=40).astype(np.float32) * (np.arange(40) > 1)


def tokenizer(text):
    return [NUMBERS[word] for word in re.findall(r"\w+", text)]


def model(ids):
    weights = jnp.asarray(WEIGHTS)[ids]
    chance = jax.nn.sigmoid(weights.sum(axis=1) + weights.max(axis=1))
    return jnp.stack([1 - chance, chance], axis=1)


def of_strings(texts):
    ids = [tokenizer(text) for text in texts]
    return np.asarray(model(jnp.array([row + [0] * (24 - len(row)) for row in ids])), np.float64)


@pytest.mark.parametrize("num_features", [3, 10])  # by forward selection, and by the highest weights
def test_words_and_weights_are_those_of_lime(num_features, key):
    ours = xai.lime.strings(
        model, [TEXT], tokenizer, key=key, pad_id=0, target=1, definitions="lime", num_features=num_features
    )
    weights, errors = (
        dict(zip(ours.names[0], part[0].tolist(), strict=True)) for part in (ours.values, ours.std_errors)
    )
    theirs = lime_text.LimeTextExplainer(random_state=0).explain_instance(TEXT, of_strings, num_features=num_features)
    found = dict(theirs.as_list())
    assert set(found) == {word for word, weight in weights.items() if weight != 0}
    for word, weight in found.items():
        assert abs(weight - weights[word]) < 4 * 2**0.5 * errors[word], word  # as much noise in each of them
    assert theirs.score == pytest.approx(float(ours.r_squared[0]), abs=0.03)
    assert theirs.local_pred[0] == pytest.approx(float(ours.prediction[0]), abs=0.03)
    assert theirs.intercept[1] == pytest.approx(float(ours.intercept[0]), abs=0.03)
