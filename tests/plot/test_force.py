"""The force plot: arrows that meet at the output, their labels, and what does not fit."""

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgba

import xaijax as xai
from tests.plot._attributions import attribution, overlapping, texts
from xaijax.plot._parts.colors import NEGATIVE, POSITIVE

COLORS = {True: to_rgba(POSITIVE), False: to_rgba(NEGATIVE)}


def arrows(ax):
    """From where to where each arrow points, and its color: along the middle, from the notch to the tip."""
    found = []
    for patch in ax.patches:
        middle = [across for across, height in patch.get_xy()[:6] if height == 0.5]
        found.append((middle[1], middle[0], patch.get_facecolor()))
    return found


def test_the_arrows_lead_end_to_end_from_both_sides_to_the_output():
    values = [1.0, -3.0, 2.0, -0.5]
    ax = xai.plot.force(attribution(values, base_value=10.0))
    starts, ends, colors = zip(*arrows(ax), strict=True)
    np.testing.assert_allclose(ends, [9.5, 9.5, 7.5, 12.5], rtol=1e-6)  # -3, 2, 1, -0.5: the strongest at the output
    np.testing.assert_allclose(starts, [12.5, 7.5, 6.5, 13.0], rtol=1e-6)
    np.testing.assert_allclose(np.subtract(ends, starts), [-3, 2, 1, -0.5], rtol=1e-5)
    assert list(colors) == [COLORS[value > 0] for value in (-3, 2, 1, -0.5)]


@pytest.mark.parametrize("seed", range(4))
def test_the_base_value_is_as_far_from_either_end_as_the_other_side_is_long(seed):
    values = np.random.default_rng(seed).normal(size=6)
    ax = xai.plot.force(attribution(values, base_value=2.0))
    starts, ends, _ = zip(*arrows(ax), strict=True)
    least, most = min(starts + ends), max(starts + ends)
    np.testing.assert_allclose(2.0 - least, -values.clip(max=0).sum(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(most - 2.0, values.clip(min=0).sum(), rtol=1e-4, atol=1e-5)


def test_labels_have_the_names_the_inputs_the_values_the_base_value_and_the_output():
    given = attribution([1.0, -3.0, 2.0], base_value=22.5)
    ax = xai.plot.force(given, names=["a", "b", "c"], inputs=np.array([[10.0, 20.0, 30.123456]]))
    assert set(texts(ax)) - {""} == {
        "a = 10", "b = 20", "c = 30.12", "+1", "-3", "+2", "base value 22.5", "output 22.5",
    }  # fmt: skip
    assert overlapping(ax) == []
    assert ax.get_title() == "test"


def test_the_rest_is_one_arrow_of_their_sum():
    values = [5.0, -4.0, 1.0, -2.0, 0.5]
    ax = xai.plot.force(attribution(values), top=2)
    starts, ends, _ = zip(*arrows(ax), strict=True)
    np.testing.assert_allclose(np.subtract(ends, starts), [5, -4, -0.5], rtol=1e-5)
    assert "3 others" in texts(ax)


@pytest.mark.parametrize("size", [(9.0, 1.9), (6.4, 4.8), (3.0, 2.0)])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("count", [1, 13, 200])
def test_no_text_overlaps_another_or_leaves_the_axes(size, seed, count):
    rng = np.random.default_rng(seed)
    figure, ax = plt.subplots(figsize=size, layout="constrained")
    values, inputs = rng.normal(size=count) * rng.exponential(size=count), rng.normal(size=count)
    names = [f"feature {number}" for number in range(count)]
    xai.plot.force(attribution(values), names=names, inputs=inputs, top=12, ax=ax)
    figure.canvas.draw()
    assert overlapping(ax) == []
    assert f"feature {np.abs(values).argmax()} = {inputs[np.abs(values).argmax()]:.4g}" in texts(ax) or count == 200
    assert len(ax.patches) == min(count, 13)


def test_long_names_are_shortened_and_leave_room():
    ax = xai.plot.force(attribution(np.linspace(-1, 1, 200)), names=["a very long name indeed " * 4] * 200)
    assert overlapping(ax) == []
    assert any(text.startswith("a very long na…") for text in texts(ax))


def test_nothing_pushes_where_all_values_are_zero():
    ax = xai.plot.force(attribution([0.0, 0.0], base_value=3.0))
    assert len(ax.patches) == 0
    assert texts(ax) == ["output 3", "base value 3"]
    assert overlapping(ax) == []
    low, high = ax.get_xlim()
    assert low < 3 < high


def test_tiny_arrows_are_drawn_without_a_label():
    ax = xai.plot.force(attribution([10.0, 1e-4]), names=["large", "tiny"])
    assert len(ax.patches) == 2
    assert "large" in texts(ax)
    assert "tiny" not in texts(ax)


def test_limits_are_kept_so_that_rows_share_a_scale():
    given = attribution([[1.0, -2.0], [3.0, 1.0]])
    _, axes = plt.subplots(2, 1)
    for row, ax in enumerate(axes):
        assert xai.plot.force(given, example=row, ax=ax, limits=(-4, 6), title="one") is ax
        assert ax.get_xlim() == (-4, 6)
        assert ax.get_title() == "one"


def test_a_game_of_its_own_is_drawn():
    game = xai.Attribution(jnp.array([1.0, 2.0]), jnp.array(3.0), jnp.array(0.0), method="game", efficient=True)
    assert len(xai.plot.force(game).patches) == 2


@pytest.mark.parametrize(
    ("draw", "sentence"),
    [
        (lambda: xai.plot.force(xai.Attribution(jnp.ones((1, 2)), jnp.ones(1))), "whose values do not"),
        (lambda: xai.plot.force(attribution([1.0, np.nan])), "must have finite values"),
        (lambda: xai.plot.force(attribution([1.0, 2.0]), names=["a"]), "`names` must have one entry for each of the 2"),
        (
            lambda: xai.plot.force(attribution([1.0, 2.0]), inputs=[1.0]),
            "`inputs` must have one value for each of the 2",
        ),
        (lambda: xai.plot.force(attribution([1.0]), example=1), "`example` must be between .* and 0"),
        (lambda: xai.plot.force(attribution([1.0]), top=0), "top.? must be at least 1"),
        (lambda: xai.plot.force(attribution([1.0]), limits=(1, 0)), "the smaller one first"),
        (lambda: xai.plot.force(attribution([1.0]), limits=(0, 1)), r"`limits` must include the arrows, 0\.5 to 1\.5"),
        (lambda: xai.plot.force(attribution([1.0]), limits=3), "`limits` must be two numbers"),
        (lambda: xai.plot.force(np.ones(3)), "`attribution` must be the result of an explainer"),
    ],
)
def test_mistakes_are_answered_with_a_sentence(draw, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        draw()
