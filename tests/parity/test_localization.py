"""Localization and complexity agree with Quantus on the same maps and masks; each difference is named."""

import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests.parity._quantus import quantus

torch = pytest.importorskip("torch")
m = xai.metrics
RNG = np.random.default_rng(0)
MAPS = RNG.normal(size=(4, 6, 8)).astype(np.float32)
MASKS = np.zeros(MAPS.shape, bool)
MASKS[0, 1:3, 2:5], MASKS[1, 0, 0], MASKS[2, 2:, 3:], MASKS[3, :, :2] = True, True, True, True


def of_quantus(metric, maps=MAPS, masks=MASKS, **options):
    """Scores of maps of images of one channel, taken as they are."""
    metric = metric(normalise=False, abs=False, disable_warnings=True, display_progressbar=False, **options)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 2))
    images, classes = np.zeros((len(maps), 1, 6, 8), np.float32), np.zeros(len(maps), int)
    scores = metric(model=net, x_batch=images, y_batch=classes, a_batch=maps[:, None], s_batch=masks[:, None])
    return np.asarray(scores, np.float64)


@pytest.mark.parametrize(
    ("ours", "theirs", "options"),
    [
        (m.pointing_game, "PointingGame", {}),
        (m.relevance_rank, "RelevanceRankAccuracy", {}),
        (lambda maps, masks: m.top_k_intersection(maps, masks, 7), "TopKIntersection", {"k": 7}),
        (m.attribution_auc, "AUC", {}),
    ],
)
def test_ranks_of_signed_maps_agree(ours, theirs, options):
    np.testing.assert_allclose(ours(MAPS, MASKS).values, of_quantus(getattr(quantus, theirs), **options), rtol=1e-6)


def test_mass_of_positive_maps_agrees_and_that_of_signed_maps_is_another():
    positive = np.abs(MAPS)
    np.testing.assert_allclose(
        m.relevance_mass(positive, MASKS).values, of_quantus(quantus.RelevanceMassAccuracy, positive), rtol=1e-5
    )
    np.testing.assert_allclose(
        m.relevance_mass(MAPS, MASKS).values,
        of_quantus(quantus.AttributionLocalisation, np.maximum(MAPS, 0)),
        rtol=1e-5,
    )
    # Quantus divides the sum of signed values by their sum, which may be near 0: it is no share.
    signed = (MAPS * MASKS).sum((1, 2)) / MAPS.sum((1, 2))
    np.testing.assert_allclose(of_quantus(quantus.RelevanceMassAccuracy), signed, rtol=1e-4)
    assert not np.allclose(m.relevance_mass(MAPS, MASKS).values, signed, atol=0.1)


def test_ties_differ_as_quantus_counts_a_hit_if_any_of_the_strongest_is_on_the_object():
    two = np.zeros_like(MAPS)
    two[:, 1, 2] = two[:, 5, 7] = 1  # of the first object the former position, of the third the latter
    np.testing.assert_array_equal(of_quantus(quantus.PointingGame, two), [1, 0, 1, 0])
    np.testing.assert_allclose(m.pointing_game(two, MASKS).values, [0.5, 0, 0.5, 0])


def test_complexity_agrees_and_sparseness_of_quantus_is_shifted():
    attribution = xai.Attribution(jnp.asarray(MAPS), jnp.ones(4), axes="N h w")
    # Of |a|, as ours: Quantus' default; entropy there is of |a| too.
    np.testing.assert_allclose(m.entropy(attribution).values, of_quantus(quantus.Complexity, np.abs(MAPS)), rtol=1e-5)
    np.testing.assert_allclose(m.gini(attribution).values, of_quantus(quantus.Sparseness, np.abs(MAPS)), rtol=1e-5)
