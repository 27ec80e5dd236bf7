"""SLIC: as good as scikit-image's, whole pieces without gaps, the same in every batch and under every transformation."""

import time
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage import measure, segmentation
from skimage.color import rgb2lab

import xaijax as xai
from experiments.superpixels import MEASURES, boundary_recall, compactness, reference, squares, undersegmentation
from xaijax.segment import _cluster
from xaijax.segment._connect import connected
from xaijax.segment._slic import rgb_to_lab

SMALL = squares(2, side=60)


@pytest.fixture(scope="module")
def views():
    """32 pictures of 224 x 224 out of four photographs, and the regions that stand in for the truth."""
    images = squares(8)
    return images, [reference(image) for image in images]


def ratios(ours, theirs, truths):
    """Of each measure's means."""
    return {
        name: np.mean([of(labels, truth) for labels, truth in zip(ours, truths, strict=True)])
        / np.mean([of(labels, truth) for labels, truth in zip(theirs, truths, strict=True)])
        for name, of in MEASURES.items()
    }


@pytest.mark.parametrize("num_segments", [100, *(pytest.param(number, marks=pytest.mark.slow) for number in (50, 200))])
def test_superpixels_are_as_good_as_those_of_scikit_image(views, num_segments):
    """On average over 32 pictures in one call: where the two differ by more than 5 %, ours are the better ones."""
    images, truths = views
    ours = np.asarray(xai.segment.slic(images, num_segments))
    theirs = [segmentation.slic(image, num_segments, start_label=0) for image in images]
    ratio = ratios(ours, theirs, truths)
    assert 0.95 < ratio["boundary recall"] < 1.1
    assert 0.9 < ratio["undersegmentation error"] < 1.05
    assert 0.95 < ratio["compactness"] < 1.05
    counts = np.mean([labels.max() for labels in ours]) / np.mean([labels.max() for labels in theirs])
    assert 0.95 < counts < 1.05
    assert_whole(ours)


def test_before_pieces_are_joined_every_measure_is_that_of_scikit_image(views):
    images, truths = views
    ours = np.asarray(xai.segment.slic(images, 100, enforce_connectivity=False))
    theirs = [segmentation.slic(image, 100, start_label=0, enforce_connectivity=False) for image in images]
    for name, ratio in ratios(ours, theirs, truths).items():
        assert 0.98 < ratio < 1.02, name


def test_the_measures_by_hand():
    halves = np.repeat([[0, 0, 1, 1]], 4, axis=0)
    upper = halves.T
    assert undersegmentation(halves, halves) == 0
    assert undersegmentation(upper, halves) == 1  # each has half of it outside
    assert compactness(halves) == pytest.approx(4 * np.pi * 8 / 12**2)
    assert boundary_recall(halves, halves) == 1
    far = np.repeat([[0] * 10 + [1] * 10], 3, axis=0)
    assert boundary_recall(np.roll(far, 2, axis=1)[:, 4:], far[:, 4:]) == 1
    assert boundary_recall(np.roll(far, 3, axis=1)[:, 4:], far[:, 4:]) == 0


def test_blocks_of_one_color_become_segments():
    """A board of 3 x 4 blocks, whose borders are not those of the seeds' cells."""
    rows, columns = (
        np.searchsorted([13, 27], np.arange(42), "right"),
        np.searchsorted([15, 29, 44], np.arange(60), "right"),
    )
    truth = rows[:, None] * 4 + columns
    colors = np.random.default_rng(0).permutation(np.stack(np.meshgrid([0, 0.5, 1], [0, 1], [0, 1]), -1).reshape(-1, 3))
    labels = np.asarray(xai.segment.slic(colors[truth][None], 12))[0]
    np.testing.assert_array_equal(labels, truth)


def assert_whole(maps):
    """Labels 0..S-1 without gaps, each of them one piece."""
    for labels in np.asarray(maps):
        np.testing.assert_array_equal(np.unique(labels), np.arange(labels.max() + 1))
        assert measure.label(labels, connectivity=1, background=-1).max() == labels.max() + 1


SIZES = [((1, 1, 1), 1), ((3, 5, 1), 15), ((40, 3, 2), 1), ((17, 23, 4), 60)]


@pytest.mark.parametrize(("shape", "num_segments"), SIZES, ids=str)
def test_labels_have_no_gaps_and_segments_are_whole_in_pictures_of_any_size(shape, num_segments):
    images = np.random.default_rng(0).random((2, *shape))
    images[1] = 0.5
    labels = xai.segment.slic(images, num_segments)
    assert labels.shape == (2, *shape[:2])
    assert labels.dtype == jnp.int32
    assert_whole(labels)
    bound = xai.mask.superpixels(num_segments).num_players(shape)
    assert labels.max() < bound <= 1.2 * num_segments


NOISE = np.random.default_rng(0).random((2, 256, 256, 3), np.float32)


def seconds(run):
    """Of the fastest of three runs, after one that compiles."""
    run()
    times = []
    for _ in range(3):
        start = time.perf_counter()
        jax.block_until_ready(run())
        times.append(time.perf_counter() - start)
    return min(times)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*segments asked for")
def test_noise_is_connected_in_about_the_time_of_clustering():
    """Its pieces are hundreds deep, and waiting for the neighbor to join took thirty times as long."""
    clustering = seconds(lambda: xai.segment.slic(NOISE, enforce_connectivity=False))
    assert seconds(lambda: xai.segment.slic(NOISE)) < 12 * clustering


def test_remaining_pieces_join_along_the_least_difference():
    """Two segments at the ends of a row of single pixels, more than 8 apart: the row is cut at its largest step."""
    row = np.array([0] * 10 + [*range(1, 29), *range(48, 60)] + [60] * 10, np.float32)
    labels = jnp.asarray([[0] * 10 + [1, 2] * 20 + [3] * 10])
    features = jnp.stack([jnp.zeros((1, 60)), jnp.arange(60.0)[None], jnp.asarray(row)[None]])
    centers = jnp.array([[0, 0, 0, 0.0], [5, 30, 30, 55], [0, 30, 30, 60]])
    joined = connected(labels, features, jnp.array([1e-6, 1e-6, 1]), centers, 4, min_size=10, enforce=True)
    np.testing.assert_array_equal(joined[0], np.arange(60) >= 38)


def test_far_fewer_segments_than_seeds_are_warned_of():
    with pytest.warns(
        UserWarning, match="2 of 2 images have less than half of the 49 segments asked for.*sigma=2"
    ) as seen:
        labels = xai.segment.slic(NOISE)
    assert seen[0].filename == __file__
    assert labels.max() < 10
    assert_whole(labels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        xai.segment.slic(SMALL, 20)


@pytest.mark.slow  # tests/mask/test_masks.py has a smaller one
def test_channels_first_is_the_same_image():
    first = np.moveaxis(SMALL, -1, 1)
    np.testing.assert_array_equal(xai.segment.slic(first, 20, channel_axis=1), xai.segment.slic(SMALL, 20))
    with pytest.raises(ValueError, match=r"`images` must be .*got shape \[\d, 3, 60, 60\].* pass channel_axis=1"):
        xai.segment.slic(first, 20)
    assert xai.segment.slic(first, 9, channel_axis=-1).shape == first.shape[:3]


def test_without_connectivity_there_are_no_gaps_either():
    noise = np.random.default_rng(0).random((3, 20, 20, 3))
    for labels in np.asarray(xai.segment.slic(noise, 16, compactness=0.1, enforce_connectivity=False)):
        np.testing.assert_array_equal(np.unique(labels), np.arange(labels.max() + 1))


def test_a_picture_of_one_color_is_cut_into_the_grid():
    labels = xai.segment.slic(np.full((1, 12, 12, 3), 7), 9)
    np.testing.assert_array_equal(labels[0], np.arange(9).reshape(3, 3).repeat(4, axis=0).repeat(4, axis=1))


def test_labels_do_not_depend_on_the_batch_or_on_transformations():
    labels = xai.segment.slic(SMALL, 20)
    alone = jnp.concatenate([xai.segment.slic(image[None], 20) for image in SMALL])
    np.testing.assert_array_equal(alone, labels)
    many = xai.segment.slic(np.concatenate([SMALL[::-1]] * 5), 20)
    np.testing.assert_array_equal(many[-len(SMALL) :][::-1], labels)
    vmapped = jax.jit(jax.vmap(lambda image: xai.segment.slic(image[None], 20)[0]))(SMALL)
    np.testing.assert_array_equal(vmapped, labels)


def test_labels_do_not_depend_on_the_range_or_the_precision():
    labels = xai.segment.slic(SMALL, 20)
    floats = SMALL.astype(np.float32)
    for other in (floats, floats * 2 - 64):
        np.testing.assert_array_equal(xai.segment.slic(other, 20), labels)
    with jax.enable_x64(True):
        np.testing.assert_array_equal(xai.segment.slic(SMALL.astype(np.float64), 20), labels)


def plainly(colors, cells, compactness, num_iterations):
    """The equation of SLIC over cells x cells seeds, in float64: each position of [H, W, C] to one of the 9 cells around it."""
    height, width = colors.shape[:2]
    y, x = np.mgrid[:height, :width]
    home = np.stack([y * cells // height, x * cells // width])
    spacing = np.sqrt(height * width) / cells
    features = np.dstack([y / spacing, x / spacing, colors / compactness])
    near = (abs(home[:, :, :, None] - np.indices((cells, cells)).reshape(2, 1, 1, -1)) <= 1).all(axis=0)
    labels = home[0] * cells + home[1]
    for _ in range(num_iterations):
        centers = np.stack([features[labels == number].mean(axis=0) for number in range(cells**2)])
        distances = ((features[:, :, None] - centers) ** 2).sum(axis=-1)
        labels = np.where(near, distances, np.inf).argmin(axis=-1)
    return labels


@pytest.mark.parametrize(
    "options",
    [{}, {"color_space": "channels", "compactness": 30.0, "num_iterations": 3}, {"sigma": 1.5}],
    ids=["defaults", "channels, compact, fewer", "blurred"],
)
def test_every_option_is_that_of_the_equation(options):
    computed = np.asarray(xai.segment.slic(SMALL[::3], 25, enforce_connectivity=False, **options))
    for image, labels in zip(SMALL[::3], computed, strict=True):
        scaled = (image - image.min()) / np.float64(image.max() - image.min())
        colors = 100 * scaled if options.get("color_space") else rgb2lab(scaled)
        if "sigma" in options:
            colors = gaussian_filter(colors, (options["sigma"],) * 2 + (0,), mode="mirror")
        expected = plainly(colors, 5, options.get("compactness", 10), options.get("num_iterations", 10))
        assert (labels == expected).mean() > 0.99


def test_one_channel_is_taken_as_lightness():
    """scikit-image leaves it in [0, 1]: the same shape of segments at a hundredth of the compactness."""
    gray = SMALL[..., :1]
    ours = np.asarray(xai.segment.slic(gray, 25, enforce_connectivity=False))
    options: Any = {"channel_axis": None, "start_label": 0, "enforce_connectivity": False}
    theirs = [segmentation.slic(image[..., 0], 25, compactness=0.1, **options) for image in gray]
    assert np.mean([compactness(labels) for labels in ours]) == pytest.approx(
        np.mean([compactness(labels) for labels in theirs]), rel=0.05
    )


def test_nan_that_cannot_be_known_gives_that_picture_its_grid():
    images = jnp.asarray(SMALL, jnp.float32).at[1, 3, 3, 0].set(jnp.nan)
    labels = jax.jit(lambda x: xai.segment.slic(x, 20))(images)
    np.testing.assert_array_equal(labels[1], np.arange(20).reshape(4, 5).repeat(15, axis=0).repeat(12, axis=1))
    np.testing.assert_array_equal(np.delete(labels, 1, axis=0), np.delete(xai.segment.slic(SMALL, 20), 1, axis=0))


def test_colors_are_those_of_scikit_image():
    rgb = np.random.default_rng(0).random((1000, 3), np.float32)
    rgb[:2] = [[0, 0, 0], [1, 1, 1]]
    np.testing.assert_allclose(rgb_to_lab(jnp.asarray(rgb)), rgb2lab(rgb), atol=2e-3)


def slic(images=SMALL, num_segments=20, **options):
    return xai.segment.slic(images, num_segments, **options)


@pytest.mark.parametrize(
    ("mistake", "sentence"),
    [
        (lambda: slic(SMALL[0]), r"`images` must have shape \[N, H, W, C\], got \[60, 60, 3\].*image\[None\]"),
        (lambda: slic(num_segments=3601), "`num_segments` must be at most the 3600 pixels of an image, got 3601"),
        (lambda: slic(num_segments=0), "`num_segments` must be at least 1"),
        (lambda: slic(compactness=0), "`compactness` must be finite and above zero"),
        (lambda: slic(sigma=-1), "`sigma` must be finite and zero or more"),
        (lambda: slic(color_space="Lab"), "`color_space` must be one of .*did you mean 'lab'"),
        (
            lambda: slic(SMALL[..., :2], color_space="lab"),
            "`color_space` must be 'channels' for images of 2 channels, got 'lab'",
        ),
        (lambda: slic(enforce_connectivity="no"), "`enforce_connectivity` must be True or False, got 'no'"),
        (lambda: slic(channel_axis=4), "`channel_axis` must be the axis of the channels of `images` .*, got 4"),
        (lambda: slic(np.where(SMALL > 250, np.nan, SMALL)), "`images` must hold no NaN"),
    ],
)
def test_mistakes_are_answered_with_a_sentence(mistake, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        mistake()


def test_large_cells_are_summed_one_by_one_to_the_same_sums():
    """The choices of all cells of an image of a million pixels would take 38 MB in each iteration."""
    rng = np.random.default_rng(0)
    choice = jnp.asarray(rng.integers(0, 9, (2, 3, 4096)), jnp.int32)
    summands = jnp.asarray(rng.integers(-500, 500, (2, 3, 4, 4096)), jnp.float32)
    sums = jax.jit(_cluster._sums)
    np.testing.assert_array_equal(sums(choice, summands), _cluster._sums_of_all(choice, summands))
    choices_of_all = 9 * choice.size * 4  # bytes
    assert sums.lower(choice, summands).compile().memory_analysis().temp_size_in_bytes < choices_of_all / 2
