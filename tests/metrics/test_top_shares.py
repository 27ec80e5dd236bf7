"""Sufficiency and comprehensiveness, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai

m = xai.metrics
WORTH = jnp.array([0.0, 1.0, 3.0, -2.0, 4.0])


def model(ids):
    return WORTH[ids].sum(axis=1)


def explained(values):
    values = jnp.asarray(values, jnp.float32)
    return xai.Attribution(values, jnp.zeros(values.shape[:1] if values.ndim > 1 else ()), method="test")


def test_texts_keep_or_lose_their_strongest_tokens_and_padding_does_not_count():
    """Of four tokens a third and a half are two, of three tokens one and two; nothing and all as well."""
    texts, rows = jnp.array([[1, 2, 3, 4], [3, 2, 1, 0], [4, 4, 4, 4]]), []

    def counting(ids):
        jax.debug.callback(lambda part: rows.append(len(part)), ids)
        return model(ids)

    games = xai.game(counting, texts, xai.mask.tokens(0, pad_id=0), target=lambda y: y)
    values = np.array([[1.0, 3.0, -2.0, 4.0], [-2.0, 3.0, 1.0, 9.0], [1.0, np.nan, 1.0, 1.0]])
    shares = [0, 1 / 3, 0.5, 1]
    jax.effects_barrier()
    rows.clear()
    kept = m.sufficiency(games, explained(values), shares=shares)
    jax.effects_barrier()
    assert sum(rows) == 3 * 5, "a coalition for each share and the grand one"
    lost = m.comprehensiveness(games, explained(values), shares=shares, batch_size=2)
    np.testing.assert_allclose(kept.outputs[:2], [[0, 7, 7, 6], [0, 3, 4, 2]], atol=1e-6)
    np.testing.assert_allclose(lost.outputs[:2], [[6, -1, -1, 0], [2, -1, -2, 0]], atol=1e-6)
    np.testing.assert_allclose(kept.values, [6 - 20 / 4, 2 - 9 / 4, np.nan], rtol=1e-6)
    np.testing.assert_allclose(lost.values, [6 - 4 / 4, 2 + 1 / 4, np.nan], rtol=1e-6)
    np.testing.assert_allclose(kept.fractions[:2], [[0, 0.5, 0.5, 1], [0, 1 / 3, 2 / 3, 1]], rtol=1e-6)
    assert (kept.metric, kept.better, lost.metric, lost.better) == (
        "sufficiency",
        "lower",
        "comprehensiveness",
        "higher",
    )
    assert (kept.method, kept.std_errors) == ("test", None)


def test_shares_are_rounded_up_to_whole_players():
    """Of 30 players 1, 2, 3, 6 and 15 by the shares of the paper; of 100 players 7, although 100 x 0.07 is more in binary."""
    game, attribution = xai.Game(lambda z: z @ jnp.ones(30), 30), explained(np.arange(30.0))
    lost, kept = m.comprehensiveness(game, attribution), m.sufficiency(game, attribution)
    np.testing.assert_allclose(lost.outputs, 30 - np.array([1, 2, 3, 6, 15]), rtol=1e-6)
    np.testing.assert_allclose([lost.values, kept.values], [27 / 5, 30 - 27 / 5], rtol=1e-6)
    game, attribution = xai.Game(lambda z: z @ jnp.ones(100), 100), explained(np.arange(100.0))
    assert m.sufficiency(game, attribution, shares=0.07).outputs.tolist() == [7]


def test_one_share_of_the_regions_of_an_image():
    images = jnp.arange(16.0).reshape(1, 4, 4, 1)
    games = xai.game(lambda x: x.sum(axis=(1, 2, 3)), images, xai.mask.grid(2, fill=0.0))
    lost = jax.jit(lambda games, maps: m.comprehensiveness(games, maps, shares=0.5))(games, explained(images[..., 0]))
    np.testing.assert_allclose(lost.values, [50 + 42], rtol=1e-6)


@pytest.mark.parametrize(
    ("shares", "sentence"),
    [
        ([], r"`shares` must be numbers between 0 and 1, such as \[0.1, 0.2\], got"),
        (["a"], "`shares` must be a number, between 0 and 1, got 'a'"),
        (10, r"`shares` must be between 0 and 1, got \[10.0\]: write 10 % as 0.1"),
        ([0.1, -1], "`shares` must be between 0 and 1"),
        ([float("nan")], "`shares` must be between 0 and 1"),
    ],
)
def test_mistakes_are_answered_with_a_sentence(shares, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        m.sufficiency(xai.Game(lambda z: z.sum(axis=1), 4), explained(np.ones(4)), shares=shares)
