"""Localization on maps whose scores are known by hand, and by NumPy and scikit-learn."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt
from sklearn.metrics import roc_auc_score

import xaijax as xai

m = xai.metrics
RNG = np.random.default_rng(0)
MASKS = np.zeros((3, 6, 8), bool)
MASKS[0, 1:3, 2:5], MASKS[1, 0, 0], MASKS[2, 2:, 3:] = True, True, True
MAPS = RNG.normal(size=MASKS.shape).astype(np.float32)
PERFECT = np.where(MASKS, 1, -1) + 0.01 * MAPS
METRICS = [
    m.pointing_game, m.relevance_mass, m.relevance_rank, m.attribution_auc, lambda maps, masks: m.top_k_intersection(maps, masks, 1),
]  # fmt: skip


@pytest.mark.parametrize("metric", METRICS)
def test_perfect_map_scores_one_an_inverted_one_zero_and_a_constant_one_as_chance(metric):
    assert metric(PERFECT, MASKS).values.tolist() == [1, 1, 1]
    assert metric(-PERFECT, MASKS).values.tolist() == [0, 0, 0]
    chance = [0.5] * 3 if metric is m.attribution_auc else MASKS.mean(axis=(1, 2))
    np.testing.assert_allclose(metric(np.ones(MASKS.shape, np.float32), MASKS).values, chance, rtol=1e-6)


def test_scores_of_random_maps_are_those_of_numpy_and_scikit_learn():
    positive = np.maximum(MAPS, 0)
    np.testing.assert_allclose(
        m.relevance_mass(MAPS, MASKS).values, (positive * MASKS).sum((1, 2)) / positive.sum((1, 2)), rtol=1e-6
    )
    sizes = np.abs(MAPS)
    np.testing.assert_allclose(
        m.relevance_mass(MAPS, MASKS, sign="absolute").values,
        (sizes * MASKS).sum((1, 2)) / sizes.sum((1, 2)),
        rtol=1e-6,
    )
    order = np.argsort(-MAPS.reshape(3, -1), axis=1)
    marked = np.take_along_axis(MASKS.reshape(3, -1), order, axis=1)
    counts = MASKS.sum(axis=(1, 2))
    ranks = [hits[:count].mean() for hits, count in zip(marked, counts, strict=True)]
    np.testing.assert_allclose(m.relevance_rank(MAPS, MASKS).values, ranks, rtol=1e-6)
    np.testing.assert_allclose(m.top_k_intersection(MAPS, MASKS, 10).values, marked[:, :10].mean(axis=1), rtol=1e-6)
    assert m.pointing_game(MAPS, MASKS).values.tolist() == marked[:, 0].tolist()
    rounded = np.round(MAPS)  # with many ties
    areas = [roc_auc_score(mask.ravel(), values.ravel()) for mask, values in zip(MASKS, rounded, strict=True)]
    np.testing.assert_allclose(m.attribution_auc(rounded, MASKS).values, areas, rtol=1e-6)


def test_positions_that_tie_count_by_their_share():
    maps, masks = jnp.array([[5.0, 1.0, 1.0, 1.0, 0.0]]), jnp.array([[True, True, False, False, True]])
    np.testing.assert_allclose(m.relevance_rank(maps, masks).values, (1 + 2 / 3) / 3, rtol=1e-6)
    np.testing.assert_allclose(m.top_k_intersection(maps, masks, 2).values, (1 + 1 / 3) / 2, rtol=1e-6)


@pytest.mark.parametrize("tolerance", [1, 2, 4])
def test_pointing_game_tolerates_euclidean_distances(tolerance):
    mask = np.zeros((7, 9), bool)
    mask[3, 4] = mask[6, 0] = True
    near = distance_transform_edt(~mask) <= tolerance
    points = np.eye(mask.size, dtype=np.float32).reshape(-1, *mask.shape)  # one map for each position
    scores = m.pointing_game(points, np.broadcast_to(mask, points.shape), tolerance=tolerance).values
    np.testing.assert_array_equal(scores, near.ravel().astype(np.float32))


def test_maps_without_mass_score_zero_and_maps_with_nan_are_unknown():
    maps = np.stack([np.zeros((6, 8)), MAPS[1], MAPS[2]]).astype(np.float32)
    maps[1, 0, 0] = np.nan
    score = m.relevance_mass(maps, MASKS)
    assert score.values[0] == 0
    assert np.isnan(score.values).tolist() == [False, True, False]
    assert (score.metric, score.better, score.std_errors) == ("relevance mass", "higher", None)


def test_attributions_are_laid_out_on_the_input():
    labels = np.zeros((6, 8), np.int32)
    labels[:, 4:] = 1
    of_regions = xai.Attribution(
        jnp.array([[1.0, 3.0]]), jnp.ones(1), regions=jnp.asarray(labels[None]), axes="N M", method="SHAP"
    )
    right = np.broadcast_to(labels == 1, (1, 6, 8))
    score = m.relevance_mass(of_regions, right)
    np.testing.assert_allclose(score.values, 0.75, rtol=1e-6)
    assert score.method == "SHAP"
    alone = m.relevance_mass(of_regions[0], right[0])
    assert alone.values.shape == ()
    np.testing.assert_allclose(alone.values, 0.75, rtol=1e-6)
    for channels in (-1, 1):  # the shape of the masks tells the axis of the channels
        pixels = xai.Attribution(jnp.stack([MAPS, 2 * MAPS], axis=channels), jnp.ones(3), axes="N H W C")
        np.testing.assert_allclose(
            m.relevance_mass(pixels, MASKS).values, m.relevance_mass(MAPS, MASKS).values, rtol=1e-6
        )
    small = xai.Attribution(jnp.asarray(MAPS[:, ::2, ::2]), jnp.ones(3), axes="N h w")
    resized = jax.image.resize(small.values, MASKS.shape, method="linear")
    np.testing.assert_allclose(
        m.relevance_mass(small, MASKS).values, m.relevance_mass(resized, MASKS).values, rtol=1e-6
    )


def test_positions_of_no_player_do_not_compete():
    spans = np.array([[True, False, False, False], [False, True, False, True]])  # the second marks such a position too
    words = xai.Attribution(
        jnp.tile(jnp.array([-1.0, -2.0, -3.0]), (2, 1)), jnp.ones(2), regions=jnp.array([[0, 1, 2, -1]] * 2)
    )
    for metric, expected in zip(METRICS, [[1, 0], [0, 0], [1, 0], [1, 0.5], [1, 0]], strict=True):
        assert metric(words, spans).values.tolist() == expected


def test_grid_pointing_game_is_the_mass_in_the_own_cell():
    cells = np.array([0, 3, 5])
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        scores = m.grid_pointing_game(MAPS, cells, (2, 4)).values
    owners = np.kron(np.arange(8).reshape(2, 4), np.ones((3, 2), int))
    expected = m.relevance_mass(MAPS, cells[:, None, None] == owners).values
    np.testing.assert_array_equal(scores, expected)


def test_boxes_and_spans_become_masks():
    with jax.numpy_rank_promotion("raise"):
        image = m.box_masks([[1, 2, 3, 5]], (6, 8))
    np.testing.assert_array_equal(image[0], MASKS[0])
    union = m.box_masks([[[0, 2], [4, 5]], [[1, 3], [0, 0]]], (5,))
    assert union.tolist() == [[True, True, False, False, True], [False, True, True, False, False]]


def test_gradient_of_the_mass_and_programs_under_transformations():
    score = jax.jit(lambda maps: m.relevance_mass(maps, jnp.asarray(MASKS)).values)
    slope = jax.grad(lambda maps: score(maps).sum())(jnp.asarray(MAPS))
    step = 1e-2 * RNG.normal(size=MAPS.shape).astype(np.float32) * (np.abs(MAPS) > 0.1)
    np.testing.assert_allclose((score(MAPS + step) - score(MAPS - step)).sum(), 2 * (slope * step).sum(), rtol=1e-2)
    empty = jax.jit(lambda masks: m.pointing_game(MAPS, masks).values)(MASKS & (np.arange(3) < 2)[:, None, None])
    assert np.isnan(empty).tolist() == [False, False, True]


EVERY = dataclasses.replace(xai.Attribution(jnp.ones((3, 6, 2)), jnp.ones((3, 2))), axes="N M K")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: m.pointing_game(MAPS, MASKS & False), "`masks` must mark some .* got none for example 0"),
        (lambda: m.attribution_auc(MAPS, MASKS | True), "got all of them for example 0"),
        (lambda: m.relevance_mass(MAPS, MASKS[:2]), r"`masks` must have the shape of `maps`, \[3, 6, 8\]"),
        (lambda: m.relevance_mass(MAPS, MASKS[:, ::2]), "`masks` must have the shape of `maps`"),
        (lambda: m.relevance_mass(MAPS, MASKS.astype(int)), "`masks` must be booleans"),
        (lambda: m.relevance_mass(EVERY, MASKS), "`maps` must explain one output"),
        (lambda: m.top_k_intersection(MAPS, MASKS, 49), "`k` must be at most the number of positions of a map, 48, got 49"),
        (lambda: m.grid_pointing_game(MAPS, np.array([0, 1, 6]), (2, 3)), r"by a map \[N, h, w\] that a grid of 2 x 3"),
        (lambda: m.grid_pointing_game(MAPS, np.array([0, 1, 4]), (2, 2)), "`cells` must be from 0 to 3, got 0 to 4"),
        (lambda: m.box_masks([[1, 2, 3, 9]], (6, 8)), r"`boxes` must lie inside of \[6, 8\] .* got \[1, 2, 3, 9\]"),
        (lambda: m.box_masks([[2, 2]], (6,)), "hold at least one position"),
        (lambda: m.box_masks([[0.5, 2.0]], (6,)), "`boxes` must be ints"),
    ],
)  # fmt: skip
def test_wrong_arguments_get_one_sentence(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()
