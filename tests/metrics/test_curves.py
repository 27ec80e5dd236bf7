"""Insertion and deletion, against hand calculations and outputs of the model itself."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai

WEIGHTS = jnp.array([[1.0, 0.0], [3.0, 0.0], [-2.0, 1.0], [4.0, 5.0]])


def linear(x):
    return x @ WEIGHTS


def explained(values, target=0, **fields):
    values = jnp.asarray(values, jnp.float32)
    count = None if values.ndim == 1 else len(values)
    target = None if count is None else jnp.full(count, target)
    return xai.Attribution(values, jnp.zeros(() if count is None else count), target=target, method="test", **fields)


@pytest.fixture(scope="module")
def games():
    """v(S) of the first output is the sum of w_i x_i over S."""
    return xai.game(
        linear, jnp.array([[1.0, 1.0, 1.0, 1.0], [2.0, 1.0, 1.0, 0.5]]), xai.mask.baseline(jnp.zeros(4)), target=0
    )


@pytest.fixture(scope="module")
def exact():
    return explained([[1, 3, -2, 4], [2, 3, -2, 2]])


def test_insertion_puts_the_strongest_in_first(games, exact):
    curve = xai.metrics.insertion(games, exact)
    np.testing.assert_allclose(curve.outputs, [[0, 4, 7, 8, 6], [0, 3, 5, 7, 5]], atol=1e-6)
    np.testing.assert_allclose(curve.fractions, np.tile([0, 0.25, 0.5, 0.75, 1], (2, 1)))
    np.testing.assert_allclose(curve.values, [(4 + 7 + 8 + 3) / 4, (3 + 5 + 7 + 2.5) / 4], rtol=1e-6)
    np.testing.assert_allclose(curve.mean().value, (22 + 17.5) / 8, rtol=1e-6)
    assert (curve.metric, curve.better, curve.method, curve.target.tolist()) == ("insertion", "higher", "test", [0, 0])


def test_deletion_takes_the_strongest_out_first(games, exact):
    curve = xai.metrics.deletion(games, exact)
    np.testing.assert_allclose(curve.outputs, [[6, 2, -1, -2, 0], [5, 2, 0, -2, 0]], atol=1e-6)
    np.testing.assert_allclose(curve.values, [(3 + 2 - 1 - 2) / 4, (2.5 + 2 + 0 - 2) / 4], rtol=1e-6)


def test_of_an_additive_game_its_own_values_have_the_largest_area(games, exact):
    best = xai.metrics.insertion(games, exact).values
    backwards = xai.metrics.insertion(games, dataclasses.replace(exact, values=-exact.values)).values
    others = jax.random.normal(jax.random.key(0), (20, 2, 4))
    areas = jax.vmap(lambda values: xai.metrics.insertion(games, dataclasses.replace(exact, values=values)).values)(
        others
    )
    assert areas.shape == (20, 2)
    assert (areas <= best + 1e-6).all()
    assert (areas >= backwards - 1e-6).all()
    alone = xai.metrics.insertion(games, dataclasses.replace(exact, values=others[3])).values
    np.testing.assert_allclose(areas[3], alone, rtol=1e-6)


def test_blocks_do_not_change_a_curve_and_a_second_call_traces_nothing(exact):
    traces = []

    def counting(x):
        traces.append(None)
        return linear(x)

    games = xai.game(counting, jnp.ones((2, 4)), xai.mask.baseline(jnp.zeros(4)), target=0)
    curve = xai.metrics.insertion(games, exact)
    np.testing.assert_allclose(xai.metrics.insertion(games, exact, batch_size=2).outputs, curve.outputs, atol=1e-6)
    count = len(traces)
    xai.metrics.insertion(games, dataclasses.replace(exact, values=-exact.values))
    assert len(traces) == count
    inlined = jax.jit(lambda games, exact: xai.metrics.insertion(games, exact).values)(games, exact)
    np.testing.assert_allclose(inlined, curve.values, rtol=1e-6)


def test_padding_does_not_count():
    """Two tokens and two of padding: the curve ends after two steps, and what comes then has no area."""
    worth = jnp.array([0.0, 1.0, 3.0, 0.0])
    games = xai.game(lambda ids: worth[ids].sum(axis=1), jnp.array([[1, 2, 3, 3]]), xai.mask.tokens(0, pad_id=3))
    curve = xai.metrics.insertion(games, explained([[-1.0, 2.0, 0.0, 0.0]]))
    np.testing.assert_allclose(curve.fractions, [[0, 0.5, 1, 1, 1]])
    np.testing.assert_allclose(curve.outputs, [[0, 3, 4, 4, 4]], atol=1e-6)
    np.testing.assert_allclose(curve.values, [(3 + 2) / 2], rtol=1e-6)


LABELS = np.repeat(np.repeat([[0, 1], [2, 3]], 2, axis=0), 2, axis=1)


@pytest.fixture(scope="module")
def picture_games():
    """Four regions; the output is the sum over the positions."""
    images = jnp.asarray(1.0 + LABELS, jnp.float32)[None, :, :, None]
    return xai.game(lambda x: x.sum(axis=(1, 2, 3)), images, xai.mask.regions(LABELS, fill=0.0))


@pytest.mark.parametrize(
    "given",
    [
        explained([[1.0, 2.0, 3.0, 4.0]]),
        explained(np.array([[[1.0, 2.0], [3.0, 4.0]]])),  # a map of two by two, resized
        explained(1.0 + LABELS[None]),
        explained((1.0 + LABELS)[None, :, :, None] * [3.0, -2.0]),  # pixels, whose channels are summed
        explained((1.0 + LABELS)[None, None] * np.array([3.0, -2.0])[:, None, None]),  # the same, channels first
        explained([[1.0, 2.0, 3.0, 4.0]], regions=jnp.asarray(LABELS[None])),
        explained([[4.0, 3.0, 2.0, 1.0]], regions=jnp.asarray(3 - LABELS[None])),  # as many regions with other numbers
        explained([[1.5, 3.5]], regions=jnp.asarray(LABELS[None] // 2)),  # two regions: halves
    ],
)
def test_maps_and_other_regions_are_averaged_over_the_players(picture_games, given):
    outputs = xai.metrics.deletion(picture_games, given).outputs
    first = 16.0 if given.values.shape != (1, 2) else 12.0  # within a half the first region comes first
    np.testing.assert_allclose(outputs[0, [0, 1, 2, 4]], [40, 40 - first, 12, 0], atol=1e-5)


def test_channels_can_be_put_in_and_taken_out():
    model = xai.compose(lambda x: x, lambda a: a.sum(axis=(1, 2)) @ jnp.array([[1.0], [2.0]]))
    games = xai.cam.channel_game(model, jnp.ones((1, 2, 2, 2)))
    curve = xai.metrics.insertion(games, xai.shap.exact(games))
    np.testing.assert_allclose(curve.outputs, [[0, 8, 12]], atol=1e-6)


def test_what_is_not_known_is_nan_for_its_example_alone(games, exact):
    curve = xai.metrics.insertion(games, dataclasses.replace(exact, values=exact.values.at[1, 2].set(jnp.nan)))
    assert np.isfinite(curve.outputs[0]).all()
    assert np.isnan(curve.outputs[1]).all()
    assert np.isnan(curve.values).tolist() == [False, True]


@pytest.mark.parametrize(
    ("run", "sentence"),
    [
        (lambda games: xai.metrics.insertion(3, explained([1.0])), "`game` must be xai.game"),
        (lambda games: xai.metrics.insertion(games, np.ones((2, 4))), "`attribution` must be the result of an explainer, got float64"),
        (lambda games: xai.metrics.insertion(games, explained(np.ones((2, 3)))), r"each player of the game, \[2, 4\]"),
        (lambda games: xai.metrics.insertion(games, explained(np.ones((2, 4)), target=1)), "got class 1 for example 0, where the game has class 0"),
        (
            lambda games: xai.metrics.deletion(games, xai.Attribution(jnp.ones((2, 4, 2)), jnp.ones((2, 2)))),
            "must explain one output of each example",
        ),
        (
            lambda games: xai.metrics.deletion(xai.Game(lambda z: z @ WEIGHTS, 4), explained([1.0, 2.0, 3.0, 4.0])),
            "`game` must have one output",
        ),
        (lambda games: xai.metrics.deletion(games, explained(np.ones((2, 4))), batch_size=0), "`batch_size` must be at least 1"),
    ],
)  # fmt: skip
def test_mistakes_are_answered_with_a_sentence(games, run, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        run(games)


def test_maps_of_another_input_are_refused(picture_games):
    with pytest.raises(ValueError, match="or a map over its inputs"):
        xai.metrics.insertion(picture_games, explained(np.ones((1, 3))))
