"""Patches of images, and background images as what absent regions are painted with."""

import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from experiments._known_games import all_coalitions, shapley
from tests import models

PICTURES = jnp.stack([jnp.full(models.IMAGE, fill) for fill in (0.0, 1.0)] + [models.images(6)[5]])


def patches_by_hand(image, size, keep, other):
    """The image with the patches that are not kept cut from another one; patches in reading order."""
    composed, across = np.array(other), image.shape[1] // size
    for number in np.flatnonzero(keep):
        rows, columns = (slice(position * size, (position + 1) * size) for position in divmod(number, across))
        composed[rows, columns] = np.asarray(image)[rows, columns]
    return composed


def test_patches_are_numbered_as_a_vision_transformer_reads_them():
    x = models.images()
    (labels, *_) = xai.mask.patches(2).prepare(x)
    # The stem of the transformer cuts by a convolution with strides; row r, column c becomes token 4 r + c.
    net = models.vision_transformer()
    tokens = net.patches(x[:1]).reshape(1, 16, -1)
    for number in (0, 3, 6, 15):
        changed = jnp.where((labels == number)[None, :, :, None], x[:1] + 1, x[:1])
        moved = (net.patches(changed).reshape(1, 16, -1) != tokens).any(axis=-1)[0]
        assert np.flatnonzero(moved).tolist() == [number]


def test_patches_of_two_sides_and_of_sides_that_are_no_multiple():
    (labels,) = xai.mask.patches((2, 3)).prepare(jnp.zeros((1, 4, 6, 1)))
    np.testing.assert_array_equal(labels, [[0, 0, 0, 1, 1, 1]] * 2 + [[2, 2, 2, 3, 3, 3]] * 2)
    masker = xai.mask.patches(3)
    (labels,) = masker.prepare(jnp.zeros((1, 4, 7, 1)))
    np.testing.assert_array_equal(labels[0], [0, 0, 0, 1, 1, 1, 2])
    np.testing.assert_array_equal(labels[:, 0], [0, 0, 0, 3])
    assert masker.num_players((4, 7, 1)) == 6 == int(labels.max()) + 1
    assert xai.mask.patches().num_players((224, 224, 3)) == 196
    assert xai.mask.patches(32).num_players((8, 8, 3)) == 1


def test_the_game_of_patches_is_the_mean_over_images_composed_by_hand():
    net, x = models.vision_transformer(), models.images(2)
    game = xai.game(net, x, xai.mask.patches(4, fill=PICTURES), target=1)
    coalitions = all_coalitions(4)
    inputs = [[[patches_by_hand(image, 4, keep, other) for other in PICTURES] for keep in coalitions] for image in x]
    outputs = net(jnp.asarray(np.array(inputs)).reshape(-1, *models.IMAGE))[:, 1]
    worth = np.asarray(outputs, float).reshape(2, 16, 3).mean(axis=2)
    np.testing.assert_allclose(game(coalitions), worth, atol=1e-5)
    np.testing.assert_allclose(game(coalitions, batch_size=2), worth, atol=1e-5)
    computed = xai.shap.exact(game)
    np.testing.assert_allclose(computed.values, [shapley(one) for one in worth], atol=1e-5)
    np.testing.assert_array_equal(computed.on_input()[:, ::4, ::4].reshape(2, 4), computed.values)


@pytest.mark.parametrize("masker", [xai.mask.grid, xai.mask.patches], ids=["grid", "patches"])
def test_one_background_image_is_that_image_and_a_number_is_a_flat_one(masker):
    net, x, coalitions = models.function_net(), models.images(2), all_coalitions(4)
    side = 2 if masker is xai.mask.grid else 4

    def worth(fill):
        return xai.game(net, x, masker(side, fill=fill), target=1)(coalitions)

    np.testing.assert_allclose(worth(PICTURES[2:]), worth(PICTURES[2]), atol=1e-6)
    np.testing.assert_allclose(worth(PICTURES[1:2]), worth(1.0), atol=1e-6)
    several = worth(PICTURES)
    np.testing.assert_allclose(several, sum(worth(one) for one in PICTURES) / 3, atol=1e-5)


@pytest.mark.parametrize(
    ("mistake", "sentence"),
    [
        (lambda: xai.mask.patches(0), "`size` must be at least 1, got 0"),
        (lambda: xai.mask.patches(2.0), "`size` must be an int"),
        (lambda: xai.mask.patches(2, fill="white"), "`fill` must be one of"),
        (lambda: game(xai.mask.patches(2), models.rows(2)), r"`x` must be images \[N, H, W, C\]"),
        (
            lambda: game(xai.mask.patches(2, fill=PICTURES[:, :4])),
            r"images \[B, ...\] of this shape, .* \[3, 4, 8, 2\]",
        ),
        (lambda: game(xai.mask.patches(2, fill=PICTURES[:0])), r"got shape \[0, 8, 8, 2\]"),
        (lambda: xai.mask.patches(2, fill=np.nan), "`fill` must hold no NaN"),
    ],
)
def test_a_mistake_is_answered_with_a_sentence(mistake, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        mistake()


def game(masker, x=None):
    return xai.game(lambda x: x.sum(axis=(1, 2, 3)), models.images() if x is None else x, masker)
