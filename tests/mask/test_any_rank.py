"""Signals and volumes, channels last and first: regions by hand, values by enumeration in float64."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai

KEY = jax.random.key(0)
RNG = np.random.default_rng(3)
SIGNALS, VOLUMES = RNG.normal(size=(2, 5, 2)), RNG.normal(size=(2, 2, 3, 4, 2))
# x, masker, the labels of each example by hand
CASES = {
    "signal, grid": (SIGNALS, xai.mask.grid, 3, [0, 0, 1, 1, 2]),
    "signal, patches": (SIGNALS, xai.mask.patches, 2, [0, 0, 1, 1, 2]),
    "signal, regions of each": (SIGNALS, xai.mask.regions, [[0, 1, 1, 0, 2], [1, 1, 0, 0, 0]], None),
    "volume, grid": (VOLUMES, xai.mask.grid, (2, 1, 2), 2 * np.arange(2)[:, None, None] + np.arange(4) // 2),
    "volume, patches": (VOLUMES, xai.mask.patches, (2, 3, 3), np.arange(4) // 3),
    "volume, regions": (VOLUMES, xai.mask.regions, np.arange(24).reshape(2, 3, 4) // 9, None),
}


def shapley_by_hand(value, players):
    """All orders of the players."""
    totals, orders = np.zeros(players), list(itertools.permutations(range(players)))
    for order in orders:
        present = np.zeros(players, bool)
        for player in order:
            before, present[player] = value(present), True
            totals[player] += value(present) - before
    return totals / len(orders)


@pytest.mark.parametrize("first", [False, True], ids=["channels last", "channels first"])
@pytest.mark.parametrize("name", CASES)
def test_values_are_those_of_enumeration(name, first):
    x, make, option, labels = CASES[name]
    labels = np.broadcast_to(np.asarray(option if labels is None else labels), x.shape[:-1])
    weights = np.linspace(-0.5, 0.8, x[0].size).reshape(x.shape[1:])
    move = lambda x: jnp.moveaxis(x, -1, 1)  # noqa: E731

    def model(x):
        return jnp.tanh((jnp.moveaxis(x, 1, -1) if first else x) * weights).reshape(len(x), -1).sum(axis=1) ** 2

    masker = make(option, channel_axis=1 if first else -1)
    attribution = xai.shap.exact(xai.game(model, move(x) if first else jnp.asarray(x), masker))
    for row, own, values in zip(x, labels, attribution.values, strict=True):
        means = np.stack([row[own == label].mean(axis=0) for label in range(own.max() + 1)])[own]

        def value(present, row=row, own=own, means=means):
            return np.tanh(np.where(present[own][..., None], row, means) * weights).sum() ** 2

        expected = shapley_by_hand(value, own.max() + 1)
        np.testing.assert_allclose(values[: len(expected)], expected, atol=2e-5)
        np.testing.assert_array_equal(values[len(expected) :], 0)
    np.testing.assert_array_equal(attribution.regions, labels)
    assert attribution.on_input().shape == x.shape[:-1]


@pytest.mark.parametrize("x", [RNG.random((2, 80, 2)), RNG.random((2, 5, 6, 7, 1))], ids=["signal", "volume"])
def test_lime_cuts_signals_and_volumes_into_64_cells_and_recovers_an_additive_model(x):
    cells = (64,) if x.ndim == 3 else (4, 4, 4)
    per_side = [np.arange(side) * count // side for side, count in zip(x.shape[1:-1], cells, strict=True)]
    labels = np.ravel_multi_index(np.meshgrid(*per_side, indexing="ij"), cells)
    surrogate = xai.lime.image(lambda x: x.reshape(len(x), -1).sum(axis=1), x, key=KEY, fill=0.0, num_samples=300)
    sums = [np.bincount(labels.ravel(), row.sum(axis=-1).ravel()) for row in x]
    np.testing.assert_allclose(surrogate.values, sums, atol=1e-4)


def test_backgrounds_and_blur_have_the_rank_of_the_input():
    """A fill of the rank of x holds several backgrounds, with their channels where x has them."""
    x, rows = jnp.asarray(np.moveaxis(SIGNALS, -1, 1)), np.moveaxis(RNG.normal(size=(3, 5, 2)), -1, 1)
    game = xai.game(lambda x: (x**2).sum(axis=(1, 2)), x, xai.mask.grid(1, fill=rows, channel_axis=1))
    empty = np.zeros((1, 1), bool)
    np.testing.assert_allclose(game(empty)[:, 0], np.full(2, (rows**2).sum() / 3), rtol=1e-5)
    from scipy.ndimage import gaussian_filter

    sigma = 10 / 224 * 24 ** (1 / 3)
    blurred = gaussian_filter(VOLUMES[0], (sigma,) * 3 + (0,), mode="mirror")
    masker = xai.mask.grid(1, fill="blur")
    painted = masker.references(jnp.asarray(VOLUMES[0]), masker.prepare(jnp.asarray(VOLUMES))[0])
    np.testing.assert_allclose(painted[0], blurred, atol=1e-5)


def test_superpixels_of_a_signal_are_those_of_one_dimension():
    """D² = d_color² / m² + d_x² / S² with S = L / K, in float64: each position to the seed of its cell or one beside it."""
    length, seeds, compactness = 64, 8, 20.0
    signal = np.cumsum(RNG.normal(size=length))
    colors = np.round(64 * 100 * (signal - signal.min()) / np.ptp(signal)) / 64
    home, position = np.arange(length) * seeds // length, np.arange(length)
    labels = home.copy()
    for _ in range(10):
        centers = [(position[labels == seed].mean(), colors[labels == seed].mean()) for seed in range(seeds)]
        distances = np.full((seeds, length), np.inf)
        for seed, (where, color) in enumerate(centers):
            near = abs(home - seed) <= 1
            distance = ((colors - color) / compactness) ** 2 + ((position - where) * seeds / length) ** 2
            distances[seed, near] = distance[near]
        labels = distances.argmin(axis=0)
    options = {"compactness": compactness, "enforce_connectivity": False}
    x = signal[None, :, None].astype(np.float32)
    np.testing.assert_array_equal(xai.segment.slic(x, seeds, **options)[0], labels)
    np.testing.assert_array_equal(xai.segment.slic(np.moveaxis(x, -1, 1), seeds, channel_axis=1, **options)[0], labels)
    assert xai.mask.superpixels(seeds).num_players((length, 1)) == seeds


@pytest.mark.parametrize(
    ("mistake", "sentence"),
    [
        (lambda: explained(VOLUMES, xai.mask.grid((2, 2))), r"`cells` must be one number or one for each of the sides"),
        (
            lambda: explained(SIGNALS, xai.mask.patches((2, 2))),
            r"`size` must be one number or one for each of the sides",
        ),
        (lambda: explained(SIGNALS, xai.mask.grid(2, channel_axis=3)), r"`channel_axis` must be .* shape \[2, 5, 2\]"),
        (lambda: explained(SIGNALS[0], xai.mask.grid(2)), r"`x` must be images .*, signals .* got shape \[5, 2\]"),
        (
            lambda: explained(np.ones((2, 3, 9)), xai.mask.grid(2)),
            r"channels last.*got shape \[2, 3, 9\].*channel_axis=1",
        ),
        (lambda: xai.segment.slic(VOLUMES), r"`images` must be images .* signals .*xai.mask.grid"),
    ],
)
def test_a_mistake_is_answered_with_a_sentence(mistake, sentence):
    with pytest.raises(ValueError, match=sentence):
        mistake()


def explained(x, masker):
    return xai.game(lambda x: x.reshape(len(x), -1).sum(axis=1), x, masker)
