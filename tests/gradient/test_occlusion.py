"""Occlusion and feature ablation by hand."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests import models

SHAPE = (5, 4, 2)


def score(x):
    """Not linear, so that a window is more than the sum of its pixels."""
    return jnp.tanh((x * jnp.linspace(-1, 1, x[0].size).reshape(x.shape[1:])[None]).reshape(len(x), -1).sum(axis=1))


def by_hand(x, sides, strides, baseline=0.0):
    """[...] the mean over the windows that cover each position; windows start at multiples of the stride and cover the end."""
    total, count = np.zeros(x.shape), np.zeros(x.shape)
    starts = []
    for size, side, stride in zip(x.shape, sides, strides, strict=True):
        last = 0
        while last + side < size:
            last += stride
        starts.append(range(0, last + 1, stride))
    for start in itertools.product(*starts):
        window = tuple(slice(at, at + side) for at, side in zip(start, sides, strict=True))
        changed = x.copy()
        changed[window] = np.broadcast_to(baseline, x.shape)[window]
        total[window] += float(score(x[None])[0] - score(changed[None])[0])
        count[window] += 1
    return total / count


def inputs():
    return np.random.default_rng(0).normal(size=(2, *SHAPE)).astype(np.float32)


@pytest.mark.parametrize(
    ("window", "stride", "sides", "strides"),
    [
        ((2, 3), (1, 2), (2, 3, 2), (1, 2, 2)),
        (2, None, (2, 2, 2), (2, 2, 2)),
        ((3, 4, 1), (2, 4, 1), (3, 4, 1), (2, 4, 1)),
    ],
)
def test_windows_of_images_by_hand(window, stride, sides, strides):
    x = inputs()
    result = xai.gradient.occlusion(score, x, window, stride=stride, baseline=0.3)
    expected = [by_hand(one, sides, strides, 0.3) for one in x]
    np.testing.assert_allclose(result.values, expected, atol=2e-6)
    assert result.axes == "N H W C"
    np.testing.assert_allclose(result.output, score(x), rtol=1e-6)


def test_tables_signals_and_channels_first():
    x = inputs().reshape(2, -1)
    table = xai.gradient.occlusion(score, x, 7, stride=3)
    np.testing.assert_allclose(table.values, [by_hand(one, (7,), (3,)) for one in x], atol=2e-6)
    assert table.num_evaluations.tolist() == [13, 13]  # 12 windows, the last one cut, and the input itself
    signal = x.reshape(2, 8, 5)
    expected = [by_hand(one, (3, 5), (2, 5)) for one in signal]
    np.testing.assert_allclose(xai.gradient.occlusion(score, signal, 3, stride=2).values, expected, atol=2e-6)
    first = xai.gradient.occlusion(score, signal, 2, channel_axis=1)
    np.testing.assert_allclose(first.values, [by_hand(one, (8, 2), (8, 2)) for one in signal], atol=2e-6)


def test_every_output_and_integer_inputs():
    net, tokens = models.text_net(), models.sentences()
    result = xai.gradient.feature_ablation(net, tokens, target="all", baseline=1)
    assert result.axes == "N M K"
    changed = np.array(tokens)
    changed[:, 2] = 1
    np.testing.assert_allclose(result.values[:, 2], net(tokens) - net(changed), atol=1e-6)
    windows = xai.gradient.occlusion(net, tokens, 1, baseline=1, target="all")
    np.testing.assert_allclose(windows.values, result.values, atol=1e-6)


def test_groups_are_replaced_at_once_and_share_their_value():
    x = inputs()
    labels = np.array([0, 1, 1, 2, 0])  # of rows
    row = np.random.default_rng(1).normal(size=SHAPE).astype(np.float32)
    result = xai.gradient.feature_ablation(score, x, groups=labels, baseline=row)
    for group in range(3):
        changed = np.where((labels == group)[None, :, None, None], row, x)
        expected = np.asarray(score(x) - score(changed))
        members = result.values[:, labels == group].reshape(2, -1)
        np.testing.assert_allclose(members, np.tile(expected[:, None], members.shape[1]), atol=2e-6)
    assert result.num_evaluations.tolist() == [4, 4]


def test_linear_models_have_the_products_with_their_differences():
    weights = np.array([1.0, -2.0, 0.5], np.float32)
    x = np.array([[1.0, 2.0, 3.0]], np.float32)
    result = xai.gradient.feature_ablation(lambda x: x @ weights, x, baseline=[0.5, 0.0, 1.0])
    np.testing.assert_allclose(result.values, weights * (x - np.array([[0.5, 0, 1]])), rtol=1e-5)


def test_what_is_invalid_under_a_transformation_is_nan():
    x = jnp.asarray(inputs()).at[1, 0, 0, 0].set(jnp.nan)
    result = jax.jit(lambda x: xai.gradient.occlusion(score, x, (5, 4)))(x)
    for part in (result.values, result.output):
        np.testing.assert_array_equal(np.isnan(part).reshape(2, -1).all(axis=1), [False, True])
        np.testing.assert_array_equal(np.isnan(part).reshape(2, -1).any(axis=1), [False, True])


def occlude(*window, **options):
    return lambda: xai.gradient.occlusion(score, inputs(), *window, **options)


MISTAKES = {
    "a window too large": (occlude((6, 2)), r"`window` must have from 1 to \[5, 4, 2\], the sides of x"),
    "a window of no size": (occlude(0), "`window` must have from 1"),
    "a window of another rank": (occlude((1, 1, 1, 1)), "`window` must have from 1"),
    "a window of fractions": (occlude((1.5, 2)), "`window` must be an int or a sequence of ints"),
    "gaps": (occlude((2, 2), stride=(3, 2)), r"`stride` must have from 1 to \[2, 2, 2\], the window"),
    "several baselines": (occlude(2, baseline=inputs()), "`baseline` must be a number or one input .* 2 rows"),
    "a baseline of another shape": (
        occlude(2, baseline=np.zeros(3)),
        "`baseline` must be a number, one input of shape",
    ),
    "a fraction for integers": (
        lambda: xai.gradient.feature_ablation(models.text_net(), models.sentences(), baseline=0.5),
        "`baseline` must be integers, as x holds int32",
    ),
    "groups of another shape": (
        lambda: xai.gradient.feature_ablation(score, inputs(), groups=[0, 1]),
        r"`groups` must have the shape \[5, 4, 2\] of one input, or of its leading axes, got \[2\]",
    ),
}


@pytest.mark.parametrize(("mistake", "sentence"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_answered_with_a_sentence(mistake, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        mistake()
