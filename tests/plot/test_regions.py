"""Borders, the strongest regions, and pictures without them."""

import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.colors import to_rgba

import xaijax as xai
from tests.plot._images import LABELS, PICTURES, maps, of_regions
from xaijax.plot._borders import border_lines
from xaijax.plot._parts.colors import NEGATIVE, POSITIVE

VALUES = [3.0, -2.0, 0.0, 1.0]


def test_borders_run_between_places_of_different_labels():
    assert border_lines(np.array([[0, 0], [0, 1]])).tolist() == [[[0.5, 0.5], [0.5, 1.5]], [[0.5, 0.5], [1.5, 0.5]]]
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (20, 30))
    lines = border_lines(labels)
    length = np.abs(lines[:, 1] - lines[:, 0]).sum()
    assert length == (labels[1:] != labels[:-1]).sum() + (labels[:, 1:] != labels[:, :-1]).sum()
    assert len(lines) < length


def test_borders_of_labels_over_the_picture():
    ax = xai.plot.borders(PICTURES, LABELS)
    assert ax.get_title() == "4 regions"
    np.testing.assert_allclose(ax.images[0].get_array(), PICTURES[0], atol=1e-6)
    found = {tuple(map(tuple, line)) for line in ax.collections[0].get_segments()}
    assert found == {((3.5, -0.5), (3.5, 5.5)), ((-0.5, 2.5), (7.5, 2.5))}
    assert ax.get_xlim() == (-0.5, 7.5)


def test_the_strongest_regions_stay_and_the_rest_fades():
    ax = xai.plot.regions(of_regions(VALUES), PICTURES[:1], top=2)
    assert [text.get_text() for text in ax.texts] == ["-2", "+3"]  # the strongest above the others
    assert [text.get_bbox_patch().get_facecolor()[:3] for text in ax.texts] == [
        to_rgba(NEGATIVE)[:3],
        to_rgba(POSITIVE)[:3],
    ]
    shown, shown_rest = np.asarray(ax.images[0].get_array()), LABELS >= 2
    np.testing.assert_allclose(shown[~shown_rest], PICTURES[0][~shown_rest], atol=1e-6)
    np.testing.assert_allclose(shown[shown_rest], 0.28 * PICTURES[0][shown_rest] + 0.72, atol=1e-6)
    assert ax.get_xlabel().replace("\n", " ") == "2 of 4 regions, 83 % of the sum of |value|"


@pytest.mark.parametrize(("sign", "kept"), [("positive", [0, 3]), ("negative", [1]), ("both", [0, 1, 3])])
def test_one_sign_alone_and_the_rest_filled(sign, kept):
    ax = xai.plot.regions(of_regions(VALUES), PICTURES[:1], sign=sign, rest="fill", fill="black", gray=True)
    shown, inside = np.asarray(ax.images[0].get_array()), np.isin(LABELS, kept)
    assert (shown[~inside] == 0).all()
    np.testing.assert_allclose(shown[inside][:, 0], PICTURES[0].mean(axis=-1)[inside], atol=1e-6)
    assert len(ax.texts) == len(kept)


def test_regions_that_say_nothing_are_not_shown():
    ax = xai.plot.regions(of_regions([0.0] * 4), PICTURES[:1], rest="keep")
    assert len(ax.texts) == 0
    assert ax.get_xlabel() == "all values are 0"
    np.testing.assert_allclose(ax.images[0].get_array(), PICTURES[0], atol=1e-6)


@pytest.fixture(scope="module")
def game():
    """The output is the sum over the places, so that it falls by what is taken away."""
    return xai.game(lambda x: x.sum(axis=(1, 2, 3)), jnp.asarray(PICTURES), xai.mask.regions(LABELS, fill=0.0))


@pytest.mark.parametrize("keep", [False, True])
def test_without_the_strongest_and_what_the_model_says_of_it(game, keep):
    removed = xai.metrics.removal(game, of_regions(np.tile(VALUES, (3, 1))), top=2, keep=keep)
    before, after = xai.plot.removal(removed, example=-2)
    there = np.isin(LABELS, [0, 3]) == keep
    np.testing.assert_allclose(after.images[0].get_array(), PICTURES[1] * there[..., None], atol=1e-6)
    np.testing.assert_allclose(before.images[0].get_array(), PICTURES[1], atol=1e-6)
    title = "the 2 strongest alone" if keep else "without the 2 strongest"
    assert after.get_title() == f"{title}\noutput {(PICTURES[1] * there[..., None]).sum():.3g}"
    assert before.get_title() == f"whole image\noutput {PICTURES[1].sum():.3g}"


def test_a_pair_of_arrays_has_one_black_and_one_white():
    after = PICTURES.copy()
    after[0] *= 3
    before, changed = xai.plot.pair(PICTURES, after, outputs=[1.0, 0.25], titles=("as it was", "brighter"))
    span = after[0].max() - min(PICTURES[0].min(), after[0].min())
    ratio = np.asarray(changed.images[0].get_array()) - np.asarray(before.images[0].get_array())
    np.testing.assert_allclose(ratio, 2 * PICTURES[0] / span, atol=1e-5)
    assert [before.get_title(), changed.get_title()] == ["as it was\noutput 1", "brighter\noutput 0.25"]
    assert before.get_xlabel().startswith("picture: ")


def test_a_masker_with_backgrounds_shows_the_first_and_says_so():
    backgrounds = np.stack([np.zeros((6, 8, 3)), np.ones((6, 8, 3))])
    masker = xai.mask.regions(LABELS, fill=backgrounds)
    _, after = xai.plot.pair(PICTURES, masker, present=np.array([True, False, True, True]))
    assert np.asarray(after.images[0].get_array())[LABELS == 1].max() == 0
    assert after.get_xlabel().replace("\n", " ") == "filled from the first of 2 references"


@pytest.mark.parametrize(
    ("draw", "sentence"),
    [
        (
            lambda game: xai.plot.regions(maps(np.ones((1, 6, 8))), PICTURES[:1]),
            r"`attribution` must have regions: explain with a masker of regions, as xai\.lime\.image",
        ),
        (
            lambda game: xai.plot.regions(of_regions(VALUES), PICTURES[:1, ::2]),
            r"`images` must be of the size of the regions, \[6, 8\]",
        ),
        (lambda game: xai.plot.regions(of_regions(VALUES), PICTURES[:1], sign="plus"), "sign.? must be one of"),
        (lambda game: xai.plot.regions(of_regions(VALUES), PICTURES[:1], top=0), "top.? must be at least 1"),
        (lambda game: xai.plot.borders(PICTURES, LABELS * 1.0), r"`labels` must be integers \[N, H, W\] or \[H, W\]"),
        (lambda game: xai.plot.borders(PICTURES, LABELS[:3]), r"`labels` must be of the size of the images, \[6, 8\]"),
        (lambda game: xai.plot.pair(PICTURES, PICTURES[:2]), r"`after` must have the shape of images, \[3, 6, 8, 3\]"),
        (
            lambda game: xai.plot.pair(PICTURES, game.masker),
            r"`present` must be given with a masker: booleans \[4\], one for each of its players\.",
        ),
        (
            lambda game: xai.plot.pair(PICTURES, game.masker, present=np.ones(4)),
            r"`present` must be booleans \[4\], one for each player of the masker, or \[3, 4\]",
        ),
        (
            lambda game: xai.plot.pair(PICTURES, PICTURES, present=[True]),
            r"`present` must be left out unless `after` is a masker, whose players it names\.",
        ),
        (lambda game: xai.plot.removal(game), "`removed` must come from xai.metrics.removal"),
        (
            lambda game: xai.plot.pair(PICTURES, PICTURES, outputs=[1.0]),
            "`outputs` must be two numbers, one for each image",
        ),
    ],
)
def test_mistakes_are_answered_with_a_sentence(game, draw, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        draw(game)
