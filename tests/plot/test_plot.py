"""Plots: the artists, their numbers, colors and limits, and what they do with odd attributions."""

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgba

import xaijax as xai
from tests.plot._attributions import attribution, labels, texts
from xaijax.plot._parts.colors import NEGATIVE, POSITIVE


def test_the_waterfall_leads_from_the_base_value_to_the_output():
    ax = xai.plot.waterfall(attribution([1.0, -3.0, 2.0]), names=["a", "b", "c"], inputs=np.array([[10.0, 20.0, 30.0]]))
    starts, widths = zip(*[(bar.get_x(), bar.get_width()) for bar in ax.patches], strict=True)
    np.testing.assert_allclose(widths, [-3, 2, 1])
    np.testing.assert_allclose(starts, [0.5, -2.5, -0.5])
    assert labels(ax) == ["b = 20", "c = 30", "a = 10"]
    assert texts(ax) == ["-3", "+2", "+1"]
    assert [bar.get_facecolor() for bar in ax.patches] == [to_rgba(NEGATIVE), to_rgba(POSITIVE), to_rgba(POSITIVE)]
    assert "0.5" in ax.get_xlabel()


def test_others_are_summed_and_the_whiskers_are_two_standard_errors():
    values = np.arange(1.0, 201.0) / 100
    ax = xai.plot.waterfall(attribution(values, np.full(200, 0.25)), top=3)
    assert len(ax.patches) == 4
    np.testing.assert_allclose(ax.patches[-1].get_width(), values[:-3].sum(), rtol=1e-5)
    assert labels(ax)[-1] == "197 others"
    segments = ax.collections[0].get_segments()
    np.testing.assert_allclose(segments[0][1][0] - segments[0][0][0], 2 * 1.96 * 0.25, rtol=1e-5)


@pytest.mark.parametrize("draw", [xai.plot.waterfall, xai.plot.bars])
@pytest.mark.parametrize("values", [[2.0], [0.0, 0.0, 0.0], list(np.linspace(-1, 1, 200))])
def test_one_feature_nothing_and_two_hundred_features(draw, values):
    ax = draw(attribution(values), names=["a very long name indeed " * 4] * len(values))
    ax.figure.canvas.draw()
    assert all(len(label) <= 60 for label in labels(ax))
    left, right = ax.get_xlim()
    assert left < right
    inside = ax.get_window_extent()
    for text in ax.texts:
        extent = text.get_window_extent()
        assert extent.x0 >= inside.x0 - 1
        assert extent.x1 <= inside.x1 + 1


def test_bars_of_one_row_and_of_all():
    given = attribution([[1.0, -4.0], [3.0, 2.0]])
    ax = xai.plot.bars(given, example=0, names=["a", "b"])
    assert [bar.get_width() for bar in ax.patches] == [-4, 1]
    ax = xai.plot.bars(given, example=None, names=["a", "b"])
    assert [bar.get_width() for bar in ax.patches] == [3, 2]
    assert labels(ax) == ["b", "a"]


def test_bars_of_all_rows_have_the_standard_errors_of_their_means():
    values = np.random.default_rng(0).normal(size=(30, 5)) * [5, 4, 3, 2, 1]
    sizes = np.abs(values)
    ax = xai.plot.bars(attribution(values), example=None, top=2, order=range(5))
    assert labels(ax) == ["player 0", "player 1", "3 others"]
    expected = [sizes[:, 0], sizes[:, 1], sizes[:, 2:].sum(axis=1)]
    np.testing.assert_allclose([bar.get_width() for bar in ax.patches], [part.mean() for part in expected], rtol=1e-5)
    whiskers = [end[0] - start[0] for start, end in ax.collections[0].get_segments()]
    np.testing.assert_allclose(whiskers, [2 * 1.96 * part.std(ddof=1) / 30**0.5 for part in expected], rtol=1e-5)
    assert texts(ax) == [f"{part.mean():.3g}" for part in expected]
    assert ax.get_title() == "test: mean |value| of 30 examples"
    alone = xai.plot.bars(attribution(values[:1]), example=None)
    assert not alone.collections  # one row has no spread


def test_bars_of_some_rows_keep_the_order_of_all():
    values = np.array([[1.0, 2.0], [1.0, 4.0], [9.0, 0.0]])
    ax = xai.plot.bars(attribution(values), example=None, rows=[0, 1])
    assert labels(ax) == ["player 0", "player 1"]
    assert [bar.get_width() for bar in ax.patches] == [1, 3]
    with pytest.raises(ValueError, match="`rows` must be left out for a single example"):
        xai.plot.bars(attribution(values), rows=[0])


def test_bars_of_one_row_have_its_errors_and_none_for_the_others():
    ax = xai.plot.bars(attribution([4.0, -2.0, 1.0, 1.0], [0.5, 0.25, 0.1, 0.1]), top=2)
    segments = ax.collections[0].get_segments()
    np.testing.assert_allclose([end[0] - start[0] for start, end in segments], [1.96, 0.98, 0], rtol=1e-5)
    assert texts(ax) == ["+4", "-2", "+2"]
    assert labels(xai.plot.bars(attribution([1.0, 2.0, 3.0]), order=[1, 0], top=1)) == ["player 1", "2 others"]


@pytest.mark.parametrize("sign", [1, -1])
def test_a_sum_of_others_that_dwarfs_the_rest_goes_on_beyond_the_axes_and_tells_its_length(sign):
    ax = xai.plot.bars(attribution(sign * np.linspace(1, 2, 200)), top=3)
    left, right = ax.get_xlim()
    assert [bar.get_width() * sign for bar in ax.patches][-1] == pytest.approx(
        np.linspace(1, 2, 200)[:-3].sum(), rel=1e-5
    )
    assert max(-left, right) < 3
    assert texts(ax)[-1].strip() == ("+294  ▶" if sign > 0 else "◀  -294")
    ax.figure.canvas.draw()
    inside, text = ax.get_window_extent(), ax.texts[-1].get_window_extent()
    assert inside.x0 - 1 <= text.x0 <= text.x1 <= inside.x1 + 1


def test_the_waterfall_tells_where_values_do_not_lead_to_the_output():
    efficient = attribution([1.0, 2.0])
    assert xai.plot.waterfall(efficient).get_xlabel() == "base value 0.5  →  output 3.5"
    short = xai.Attribution(efficient.values, jnp.array([4.5]), efficient.base_value, efficient=True)
    assert xai.plot.waterfall(short).get_xlabel().endswith("output 4.5  (the values lead to 3.5)")


def test_bars_of_a_surrogate_state_its_fidelity():
    surrogate = attribution(
        [1.0, 2.0], kind=xai.Surrogate, intercept=jnp.ones(1), prediction=jnp.array([3.25]), r_squared=jnp.array([0.84])
    )
    assert "local R² 0.84, surrogate 3.25, model 3.5" in xai.plot.bars(surrogate).get_title()


def test_a_map_is_drawn_with_its_true_limits_over_the_picture():
    images = np.random.default_rng(0).random((2, 6, 6, 3))
    maps = np.zeros((2, 3, 3))
    maps[1, 1, 1] = 5.0
    positive = xai.Attribution(jnp.asarray(maps), jnp.zeros(2), method="Grad-CAM")
    ax = xai.plot.image(positive, images, example=1)
    picture, heat = ax.images
    np.testing.assert_allclose(picture.get_array(), images[1].mean(axis=-1))
    assert heat.get_array().shape == (6, 6)
    assert heat.get_clim() == (0, pytest.approx(heat.get_array().max()))
    np.testing.assert_allclose(heat.get_alpha(), 0.75 * heat.get_array() / heat.get_array().max(), rtol=1e-6)
    signed = xai.Attribution(jnp.asarray(maps - 1), jnp.zeros(2), method="CAM")
    heat = xai.plot.image(signed, images, example=1).images[1]
    assert heat.get_clim()[0] == -heat.get_clim()[1]
    dead = xai.plot.image(positive, images, example=0).images[1]
    assert (dead.get_alpha() == 0).all()


def test_values_of_regions_are_laid_over_the_picture():
    given = xai.Attribution(jnp.array([[1.0, -2.0]]), jnp.zeros(1), regions=jnp.array([[[0, 1], [1, 1]]]))
    heat = xai.plot.image(given, np.zeros((1, 2, 2, 1))).images[1]
    np.testing.assert_allclose(heat.get_array(), [[1, -2], [-2, -2]], atol=1e-6)


def test_words_lie_on_the_color_of_their_value_and_inside_the_axes():
    words = ["speaks", "for", "against", "<script>", "$5"] * 6
    values = [2.0, 0.0, -2.0, 1.0, -1.0] * 6 + [0.0]
    ax = xai.plot.text(attribution(values), words)
    assert [text.replace("\\", "") for text in texts(ax)] == words
    red, white, blue = (ax.texts[place].get_bbox_patch().get_facecolor() for place in range(3))
    assert red[0] > red[2]
    assert min(white[:3]) > 0.9
    assert blue[2] > blue[0]
    places = np.array([text.get_position() for text in ax.texts])
    assert places[:, 0].max() < 1
    assert len(np.unique(places[:, 1].round(6))) > 1  # wrapped
    ends = [text.get_window_extent().x1 for text in ax.texts]
    assert max(ends) <= ax.get_window_extent().x1 + 1


def test_given_axes_are_used_and_returned():
    _, ax = plt.subplots()
    assert xai.plot.bars(attribution([1.0]), ax=ax) is ax


@pytest.mark.parametrize(
    ("draw", "sentence"),
    [
        (lambda: xai.plot.bars(attribution([1.0, 2.0]), names=["a"]), "`names` must have one entry for each of the 2"),
        (lambda: xai.plot.bars(attribution([1.0]), example=3), "`example` must be between .* and 0, got 3"),
        (lambda: xai.plot.bars(attribution([1.0]), ax=3), "`ax` must be matplotlib axes, got int"),
        (lambda: xai.plot.bars(np.ones(3)), "`attribution` must be the result of an explainer, got float64"),
        (lambda: xai.plot.bars(attribution([np.nan])), "must have finite values"),
        (
            lambda: xai.plot.waterfall(attribution([1.0]), inputs=[1, 2]),
            "`inputs` must have one value for each of the 1",
        ),
        (lambda: xai.plot.text(attribution([1.0]), []), "`words` must be 1 to 1, one for each value"),
        (
            lambda: xai.plot.image(attribution([1.0]), np.zeros((1, 2, 2, 1))),
            "`attribution` must hold maps, axes 'N h w', or values of image regions",
        ),
        (
            lambda: xai.plot.image(xai.Attribution(jnp.ones((2, 3, 3)), jnp.ones(2)), np.zeros((3, 6, 6, 1))),
            r"`images` must have shape \[2, H, W, C\], one image for each map",
        ),
    ],
)
def test_mistakes_are_answered_with_a_sentence(draw, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        draw()
