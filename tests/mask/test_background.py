"""Backgrounds: weights of rows, players that change nothing, and games called by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from experiments._known_games import all_coalitions
from tests import models

FEATURES = 5
COALITIONS = all_coalitions(FEATURES)


def rows(count, seed=6):
    return models.rows(count, FEATURES, seed=seed)


def game_with(masker, x=None, **options):
    return xai.game(models.table_net(FEATURES), rows(3) if x is None else x, masker, **options)


def by_hand(x, background, weights=None, target=1):
    """[N, S] the model of composed inputs, averaged over the background in float64."""
    net = jax.jit(models.table_net(FEATURES))
    composed = np.where(COALITIONS[None, :, None], np.asarray(x)[:, None, None], np.asarray(background))
    outputs = np.asarray(net(composed.reshape(-1, FEATURES)), float).reshape(*composed.shape[:3], -1)
    worth = np.average(outputs, axis=2, weights=weights)
    return worth if target is None else worth[..., target]


@pytest.mark.parametrize("batch_size", [None, 3])
def test_a_game_is_worth_the_mean_answer_to_inputs_composed_by_hand(batch_size):
    x, background = rows(3), rows(4, seed=1)
    worth = game_with(xai.mask.background(background), target=1)(COALITIONS, batch_size=batch_size)
    np.testing.assert_allclose(worth, by_hand(x, background), atol=1e-5)


def test_a_game_of_all_outputs_or_of_the_top_class_is_worth_these():
    x, background = rows(3), rows(4, seed=1)
    masker = xai.mask.background(background)
    everything = by_hand(x, background, target=None)
    np.testing.assert_allclose(game_with(masker, target="all")(COALITIONS), everything, atol=1e-5)
    top = everything[:, -1].argmax(axis=1)  # of everybody: the input itself
    expected = everything[np.arange(3), :, top]
    np.testing.assert_allclose(game_with(masker)(COALITIONS), expected, atol=1e-5)


def test_coalitions_of_other_shapes_or_types_are_refused():
    game = game_with(xai.mask.background(rows(2)), target=1)
    with pytest.raises(ValueError, match=r"shape \[S, 5\], one column per player.* got shape \[2, 4\]"):
        game(np.zeros((2, 4), bool))
    with pytest.raises(TypeError, match="`coalitions` must be booleans, got int32"):
        game(np.zeros((2, 5), int))


def test_whole_weights_are_repeated_rows():
    background, weights = rows(3, seed=1), [3, 0, 2]
    weighted = game_with(xai.mask.background(background, weights=weights), target=1)(COALITIONS)
    repeated = game_with(xai.mask.background(background[jnp.array([0, 0, 0, 2, 2])]), target=1)(COALITIONS)
    np.testing.assert_allclose(weighted, repeated, atol=2e-6)
    np.testing.assert_allclose(weighted, by_hand(rows(3), background, weights), atol=1e-5)


def test_only_the_proportions_of_weights_matter():
    background, weights = rows(3, seed=1), np.array([0.5, 2, 1])
    maskers = [xai.mask.background(background, weights=factor * weights) for factor in (1, 1000, 1.7e38, 1e-36)]
    maskers.append(jax.jit(lambda weights: xai.mask.background(background, weights=weights))(1.7e38 * weights))
    for masker in maskers:
        np.testing.assert_allclose(masker.weights(), weights / 3.5, rtol=1e-6)
    alike = xai.mask.background(background, weights=[7, 7, 7])
    plain = game_with(xai.mask.background(background), target=1)(COALITIONS)
    np.testing.assert_allclose(game_with(alike, target=1)(COALITIONS), plain, atol=2e-6)


def test_a_weight_times_a_tiny_output_is_not_zero():
    """1e-3 of 2^-120 is subnormal; the mean over all rows is not."""
    background = np.ones((1001, 1), np.float32)
    background[0] = 0.5
    masker = xai.mask.background(background, weights=np.append(1.0, np.full(1000, 1e-3)))
    game = xai.game(lambda x: x[:, 0] * 2.0**-120, np.ones((1, 1), np.float32), masker, target=lambda scores: scores)
    np.testing.assert_allclose(np.ldexp(game(np.zeros((1, 1), bool)), 120), 0.75, rtol=1e-4)


@pytest.mark.parametrize("batch_size", [None, 2])
def test_weights_count_in_every_estimator_and_block(batch_size, key):
    background, weights = rows(4, seed=1), [4, 1, 2, 3]
    game = game_with(xai.mask.background(background, weights=weights), target=1)
    computed = xai.shap.exact(game, batch_size=batch_size)
    table = by_hand(rows(3), background, weights)
    np.testing.assert_allclose(computed.base_value, table[:, 0], atol=1e-5)
    sampled = xai.shap.permutation(game, num_permutations=2, key=key, batch_size=batch_size)
    np.testing.assert_allclose(sampled.base_value, table[:, 0], atol=1e-5)
    np.testing.assert_allclose(sampled.values.sum(axis=1), table[:, -1] - table[:, 0], atol=1e-5)
    np.testing.assert_allclose(computed.values.sum(axis=1), table[:, -1] - table[:, 0], atol=1e-5)


def test_one_row_is_a_baseline_and_repeated_rows_are_one():
    row = rows(1, seed=1)
    expected = game_with(xai.mask.baseline(row[0]), target=1)(COALITIONS)
    for masker in (xai.mask.background(row), xai.mask.background(jnp.repeat(row, 4, axis=0))):
        np.testing.assert_allclose(game_with(masker, target=1)(COALITIONS), expected, atol=2e-6)


PLAYERS = 13
ESTIMATORS = {
    "permutation": lambda game, key: xai.shap.permutation(game, num_permutations=2, key=key),
    "orthogonal": lambda game, key: xai.shap.permutation(game, num_permutations=2, orders="orthogonal", key=key),
    "kernel": lambda game, key: xai.shap.kernel(game, num_evaluations=80, key=key),
    "gaussian_process": lambda game, key: xai.shap.gaussian_process(game, num_evaluations=80, key=key),
    "per_player": lambda game, key: xai.shap.gaussian_process(game, num_evaluations=80, key=key, scales="per_player"),
    "exact": lambda game, key: xai.shap.exact(game),
    "owen": lambda game, key: xai.shap.owen(game, [[0, 1, 2, 3], [4, 5, 6, 7, 8], [9, 10, 11, 12]]),
    "banzhaf": lambda game, key: xai.shap.banzhaf(game),
}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_columns_that_equal_those_of_all_rows_get_exactly_0(name, key):
    """For each input its own: of the first, columns 1 and 4; of the second, column 4 alone; of the third, all."""
    background = models.rows(3, PLAYERS, seed=1).at[:, 4].set(0.25).at[:, 1].set(-1.0)
    x = models.rows(2, PLAYERS).at[:, 4].set(0.25).at[0, 1].set(-1.0)
    computed = ESTIMATORS[name](xai.game(models.table_net(PLAYERS), x, xai.mask.background(background), target=1), key)
    expected = np.ones((2, PLAYERS), bool)
    expected[:, 4], expected[0, 1] = False, False
    np.testing.assert_array_equal(computed.values != 0, expected)
    if computed.std_errors is not None:
        assert (np.asarray(computed.std_errors)[~expected] == 0).all()
    if name != "banzhaf":  # which promises no sum
        np.testing.assert_allclose(computed.values.sum(axis=1), computed.output - computed.base_value, atol=1e-5)


def test_a_group_is_active_where_one_of_its_features_differs():
    masker = xai.mask.background([[1.0, 2, 3, 4], [1, 2, 3, 5]], groups=[0, 0, 1, 2])
    x = jnp.array([[1.0, 2, 3, 4], [1, 0, 3, 4]])
    np.testing.assert_array_equal(jax.vmap(lambda x: masker.active(x, ()))(x), [[0, 0, 1], [1, 0, 1]])
    images = xai.mask.baseline(jnp.zeros((2, 2, 3)), groups=[[0, 1], [1, 2]])
    np.testing.assert_array_equal(images.active(jnp.zeros((2, 2, 3)).at[1, 0, 2].set(1), ()), [False, True, False])


def test_values_laid_out_over_the_input_are_those_of_its_groups():
    x, groups = rows(3), [0, 1, 0, 2, 1]
    computed = xai.shap.exact(game_with(xai.mask.background(rows(4, seed=1), groups=groups), target=1))
    assert computed.values.shape == (3, 3)
    np.testing.assert_array_equal(computed.on_input(), computed.values[:, jnp.array(groups)])
    assert computed.on_input().shape == x.shape


@pytest.mark.parametrize("masker", ["background", "weights", "groups", "gaussian"])
def test_a_game_has_its_derivative_where_x_equals_its_background(masker, float64):
    """Against finite differences, at a row whose second feature is that of all rows."""
    background = np.random.default_rng(0).normal(size=(6, 3))
    if masker != "gaussian":
        background[:, 1] = 0.25
    maskers = {
        "background": lambda: xai.mask.background(background),
        "weights": lambda: xai.mask.background(background, weights=[1, 2, 3, 1, 0, 5]),
        "groups": lambda: xai.mask.background(background, groups=[0, 1, 0]),
        "gaussian": lambda: xai.mask.gaussian(background),
    }
    made = maskers[masker]()
    x = np.array([[0.5, 0.25, -1.0]])
    coalitions = all_coalitions(made.num_players((3,)))

    def worth(x):
        return xai.game(lambda x: jnp.sin(x[:, 0] * x[:, 1]) + jnp.exp(x[:, 1] * x[:, 2]), x, made)(coalitions)[0]

    computed = jax.jacobian(worth)(jnp.asarray(x))[:, 0]
    steps = 1e-5 * np.eye(3)[:, None]
    expected = np.stack([(worth(x + step) - worth(x - step)) / 2e-5 for step in steps], axis=1)
    np.testing.assert_allclose(computed, expected, atol=1e-8)
    assert np.abs(computed[-1]).min() > 0.01


def test_traced_weights_that_are_no_weights_make_nan():
    def values(weights):
        masker = xai.mask.background(rows(3, seed=1), weights=weights)
        return xai.shap.exact(game_with(masker, target=1)).values

    for wrong in ([1.0, -1, 3], [0.0, 0, 0], [1.0, jnp.inf, 1]):
        assert jnp.isnan(jax.jit(values)(jnp.array(wrong))).all()
    np.testing.assert_allclose(jax.jit(values)(jnp.array([1, 0, 3])), values([1, 0, 3]), atol=1e-6)


@pytest.mark.parametrize(
    ("masker", "text"),
    [
        (lambda: xai.mask.background(np.ones((100, 13))), "Background(rows=float32[100, 13])"),
        (lambda: xai.mask.grid(4, fill=np.zeros((8, 8, 3))), "Grid(fill=Fill(given=float32[8, 8, 3]), cells=4)"),
        (lambda: xai.mask.grid(4), "Grid(fill=Fill(name='mean'), cells=4)"),
        (lambda: xai.mask.gaussian(np.random.default_rng(0).normal(size=(50, 20))), "Gaussian(rows=float32[50, 20]"),
        (
            lambda: xai.mask.superpixels(9),
            "Superpixels(fill=Fill(name='mean'), settings=Settings(compactness=10.0, num_segments=9",
        ),
        (lambda: xai.mask.joint([xai.mask.baseline(np.ones(900))]), "Joint(parts=(Background(rows=float32[1, 900]"),
    ],
)
def test_a_masker_describes_itself_in_a_line(masker, text):
    assert repr(masker()).startswith(text)
    assert len(repr(masker())) < 250


ROWS = np.ones((3, 4))
MISTAKES = {
    "no rows": (lambda: xai.mask.background(np.zeros((0, 4))), "`rows` must hold at least one row"),
    "negative weights": (
        lambda: xai.mask.background(ROWS, weights=[1, -1, 1]),
        "weights.? must be finite, not negative",
    ),
    "weights of nothing": (lambda: xai.mask.background(ROWS, weights=[0, 0, 0]), "not all 0"),
    "endless weights": (lambda: xai.mask.background(ROWS, weights=[1, np.inf, 1]), "weights.? must be finite"),
    "NaN weights": (lambda: xai.mask.background(ROWS, weights=[1, np.nan, 1]), "weights.? must be finite"),
    "too few weights": (
        lambda: xai.mask.background(ROWS, weights=[1, 1]),
        r"each of the 3 rows, got shape \[2\]",
    ),
    "weights of positions": (lambda: xai.mask.background(ROWS, weights=ROWS), r"got shape \[3, 4\]"),
    "groups with a gap": (lambda: xai.mask.background(ROWS, groups=[0, 0, 2, 3]), r"without gaps.*without \[1\]"),
    "groups from 1": (lambda: xai.mask.background(ROWS, groups=[1, 1, 2, 3]), "without gaps, got 1 to 3"),
    "too few groups": (lambda: xai.mask.background(ROWS, groups=[0, 1]), r"shape of one row, \[4\].*got \[2\]"),
    "groups of floats": (
        lambda: xai.mask.background(ROWS, groups=[0.0, 1, 2, 3]),
        "`groups` must be integers, got float64",
    ),
    "groups of another image": (
        lambda: xai.mask.baseline(np.zeros((2, 2, 3)), groups=[[0, 1, 2]]),
        r"\[2, 2, 3\], or of its leading axes, got \[1, 3\]",
    ),
    "groups with missing values": (
        lambda: xai.mask.background(ROWS, groups=np.ma.array([0, 0, 1, 2], mask=[1, 0, 0, 0])),
        "`groups` must be integers without missing values, got a masked array",
    ),
    "a huge group": (
        lambda: xai.mask.background(ROWS, groups=[0, 0, 1, 2**40]),
        r"`groups` must number .* got 0 to 1099511627776 without \[2, 3, 4, 5, 6\]",
    ),
    "a group beyond all integers": (
        lambda: xai.mask.background(ROWS, groups=[0, 0, 1, 10**400]),
        "`groups` must be integers, got object",
    ),
    "groups of strings": (lambda: xai.mask.background(ROWS, groups="0011"), "`groups` must be integers, got <U4"),
    "complex rows": (lambda: xai.mask.background(ROWS + 1j), "`rows` must be an array of real numbers"),
    "rows with missing values": (
        lambda: xai.mask.background(np.ma.masked_equal(ROWS, 1)),
        "`rows` must be an array without missing values",
    ),
    "traced groups": (
        lambda: jax.jit(lambda groups: xai.mask.background(ROWS, groups=groups).rows)(jnp.arange(4)),
        "`groups` must be known when compiling",
    ),
}


@pytest.mark.parametrize(("mistake", "sentence"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_answered_with_a_sentence(mistake, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        mistake()
