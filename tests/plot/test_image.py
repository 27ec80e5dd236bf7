"""Heat maps and overlays: whatever range the picture has, whatever the map is, and what the picture states."""

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest

import xaijax as xai
from tests.plot._images import LABELS, PICTURES, bars, maps, of_regions, tick_labels

VALUES = np.linspace(0, 1, 3 * 6 * 8).reshape(3, 6, 8)


def picture_of(ax):
    return np.asarray(ax.images[0].get_array())


@pytest.mark.parametrize(
    ("images", "note"),
    [
        (PICTURES, ""),
        (np.round(255 * PICTURES).astype(np.uint8), ""),
        (np.round(255 * PICTURES), ""),
        ((PICTURES - 0.5) / 0.25, "picture: -2 is black, 1.99 white"),
        (PICTURES * 1000, "picture: "),
    ],
)
def test_pictures_of_any_range_are_shown_and_what_was_done_is_said(images, note):
    ax = xai.plot.image(maps(VALUES), images, example=1, gray=False)
    assert picture_of(ax).shape == (6, 8, 3)
    low, high = (images.min(), images.max()) if note else (0, 1)
    expected = PICTURES[1] if not note else (images[1] - low) / (high - low)
    np.testing.assert_allclose(picture_of(ax), expected, atol=2e-3)
    assert ax.get_xlabel().startswith(note)
    assert bool(note) == bool(ax.get_xlabel())


@pytest.mark.parametrize("scale", [1.0, 255.0])
def test_standardized_pictures_are_brought_back(scale):
    mean, std = scale * np.array([0.5, 0.4, 0.3]), scale * np.array([0.2, 0.25, 0.3])
    ax = xai.plot.image(maps(VALUES), (scale * PICTURES - mean) / std, mean=mean, std=std, gray=False)
    np.testing.assert_allclose(picture_of(ax), PICTURES[0], atol=1e-5)
    assert ax.get_xlabel() == ""


def test_one_channel_two_axes_and_gray_are_the_same_picture():
    gray = PICTURES.mean(axis=-1)
    drawn = [xai.plot.image(maps(VALUES), images) for images in (PICTURES, gray, gray[..., None])]
    for ax in drawn:
        np.testing.assert_allclose(picture_of(ax), gray[0], atol=1e-6)
        assert ax.images[0].get_clim() == (0, 1)


def test_the_map_alone_is_drawn_as_it_is():
    ax = xai.plot.image(maps(VALUES[:, ::2, ::2]), example=2)
    (heat,) = ax.images
    np.testing.assert_allclose(heat.get_array(), VALUES[2, ::2, ::2], rtol=1e-6)
    assert heat.get_alpha() is None
    assert heat.get_cmap().name == "inferno"


def test_signed_maps_are_symmetric_and_the_bar_says_how_far():
    values = np.zeros((1, 6, 8))
    values[0, 0, 0], values[0, 1, 1] = -4.0, 1.0
    ax = xai.plot.image(maps(values), PICTURES[:1])
    assert ax.images[1].get_clim() == (-4, 4)
    assert ax.images[1].get_cmap().name == "RdBu_r"
    (bar,) = bars(ax.figure)
    assert tick_labels(bar) == ["-4", "-2", "0", "2", "4"]


def test_percentiles_end_the_colors_and_are_printed():
    values = np.arange(100.0).reshape(1, 10, 10)
    values[0, 9, 9] = 1000.0
    ax = xai.plot.image(maps(values), percentile=90)
    limit = np.percentile(values, 90)
    assert ax.images[0].get_clim() == (0, pytest.approx(limit))
    said = ax.get_xlabel().replace("\n", " ")
    assert said == f"colors end at the 90th percentile of |value|, {limit:.3g}; the largest is 1e+03"
    assert xai.plot.image(maps(values)).get_xlabel() == ""


def test_a_percentile_that_is_zero_gives_way_to_the_largest_and_says_so():
    values = np.zeros((1, 10, 10))
    values[0, 0, 0] = 2.0
    ax = xai.plot.image(maps(values), percentile=95)
    assert ax.images[0].get_clim() == (0, 2)
    assert ax.get_xlabel().replace("\n", " ") == "95th percentile of |value| is 0: colors end at the largest, 2"


def test_a_map_of_zeros_hides_nothing_and_says_so():
    ax = xai.plot.image(maps(np.zeros((1, 2, 2))), PICTURES[:1])
    assert (ax.images[1].get_alpha() == 0).all()
    assert ax.get_xlabel() == "all values are 0"


def test_one_of_all_outputs_by_number_or_name():
    values = np.stack([VALUES, 2 * VALUES, -VALUES], axis=-1)
    every = maps(values)
    first = xai.plot.image(every, PICTURES, output=1)
    second = xai.plot.image(every, PICTURES, output="dog", output_names=["cat", "dog", "cow"])
    for ax in (first, second):
        np.testing.assert_allclose(ax.images[1].get_array(), 2 * VALUES[0], rtol=1e-6)
    assert (first.get_title(), second.get_title()) == ("Grad-CAM, class 1", "Grad-CAM, dog")
    assert xai.plot.image(maps(VALUES, [2, 0, 1]), output_names=["cat", "dog", "cow"]).get_title() == "Grad-CAM, cow"


def test_values_of_channels_are_summed():
    values = np.stack([VALUES, VALUES, -0.5 * VALUES], axis=-1)
    given = xai.Attribution(jnp.asarray(values), jnp.ones(3), method="gradients")
    np.testing.assert_allclose(xai.plot.image(given, PICTURES).images[1].get_array(), 1.5 * VALUES[0], rtol=1e-5)


def test_one_example_alone_needs_no_axis_of_examples():
    whole = xai.plot.image(maps(VALUES), PICTURES, example=1)
    alone = xai.plot.image(maps(VALUES)[1], PICTURES[1])
    np.testing.assert_allclose(alone.images[1].get_array(), whole.images[1].get_array())
    np.testing.assert_allclose(alone.images[0].get_array(), whole.images[0].get_array())
    regions = of_regions([1.0, 2.0, 3.0, 4.0])
    np.testing.assert_allclose(xai.plot.image(regions[0], PICTURES[0]).images[1].get_array(), 1.0 + LABELS)


def test_given_axes_are_used_and_the_current_ones_stay():
    _, (here, there) = plt.subplots(1, 2)
    plt.sca(there)
    assert xai.plot.image(maps(VALUES), PICTURES, ax=here, title="mine") is here
    assert here.get_title() == "mine"
    assert plt.gca() is there


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"images": np.zeros((3, 6, 8, 5))}, "`images` must have 1 or 3 channels to be shown"),
        ({"images": np.zeros((3, 3, 6, 8))}, "`images` must have 1 or 3 channels to be shown"),
        ({"images": np.full((3, 6, 8), np.nan)}, "`images` must be finite"),
        ({"images": np.zeros((2, 6, 8))}, r"`images` must have shape \[3, H, W, C\], one image for each map"),
        (
            {"images": PICTURES, "mean": [1.0, 2.0]},
            "`mean` must be one number or one for each of the 3 channels of images",
        ),
        ({"percentile": 0}, "`percentile` must be a number above 0 and at most 100"),
        ({"alpha": 1.5}, "`alpha` must be between .* and 1"),
        ({"example": 3}, "`example` must be between -3 and 2"),
        ({"output": 1}, r"`output` must be left out, since the attribution explains one output of each example\."),
    ],
)
def test_mistakes_are_answered_with_a_sentence(arguments, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        xai.plot.image(maps(VALUES), **{"images": PICTURES} | arguments)


def test_all_outputs_at_once_are_not_one_picture():
    every = maps(np.stack([VALUES] * 2, axis=-1))
    with pytest.raises(ValueError, match="explains 2 outputs of each example.*xai.plot.compare"):
        xai.plot.image(every, PICTURES)
    with pytest.raises(ValueError, match="did you mean 'dog'"):
        xai.plot.image(every, PICTURES, output="dogg", output_names=["cat", "dog"])
    with pytest.raises(ValueError, match="`attribution` must have finite values"):
        xai.plot.image(maps(np.full((1, 2, 2), np.inf)))
