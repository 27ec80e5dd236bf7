"""Interactions against their definitions over all coalitions, and their estimates against exact ones."""

import functools
import itertools
from math import comb, factorial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from experiments._known_games import all_coalitions
from tests import games, models
from tests.games import table
from tests.selection import usual
from xaijax.shap._indices import coefficient, spin_weights

INDICES = ["SII", "k-SII", "STII", "FSII", "BII"]
SUMMING = ["k-SII", "STII", "FSII"]
BERNOULLI = [1, -1 / 2, 1 / 6]


def random_worth(num_players, outputs=3, seed=0):
    return np.random.default_rng(seed).normal(size=(2**num_players, outputs))


def subsets(members):
    members = list(members)
    return [part for size in range(len(members) + 1) for part in itertools.combinations(members, size)]


def bits(members):
    return sum(1 << member for member in members)


def derivative(worth, group, others):
    """The joint contribution of a group of players to others: the discrete derivative."""
    signs = [(-1) ** (len(group) - len(part)) for part in subsets(group)]
    return sum(sign * worth[bits(others) | bits(part)] for sign, part in zip(signs, subsets(group), strict=True))


def mean_derivative(worth, players, group, weight):
    others = [player for player in range(players) if player not in group]
    return sum(weight(len(part)) * derivative(worth, group, part) for part in subsets(others))


def by_derivatives(worth, players, order, index):
    """SII, BII and STII, as weighted means of derivatives."""
    result = {}
    for t in range(1, order + 1):
        weights = {
            "SII": lambda a, t=t: factorial(players - a - t) * factorial(a) / factorial(players - t + 1),
            "BII": lambda a, t=t: 0.5 ** (players - t),
            "STII": lambda a, t=t: t / players / comb(players - 1, a) if t == order else float(a == 0),
        }
        for group in itertools.combinations(range(players), t):
            result[group] = mean_derivative(worth, players, group, weights[index])
    return result


def by_bernoulli(worth, players, order):
    """k-SII: interactions of larger sets are shared among their parts, by Bernoulli's numbers."""
    sii = by_derivatives(worth, players, order, "SII")
    return {
        small: sum(BERNOULLI[len(large) - len(small)] * sii[large] for large in sii if set(small) <= set(large))
        for small in sii
    }


def by_least_squares(worth, players, order):
    """FSII: the polynomial nearest to the game by Shapley's kernel with the values of the empty and the grand coalition."""
    sets = [part for size in range(1, order + 1) for part in itertools.combinations(range(players), size)]
    coalitions = np.arange(1, 2**players)
    columns = np.array([(coalitions & bits(part)) == bits(part) for part in sets], float).T
    sizes = np.bitwise_count(coalitions[:-1]).astype(int)
    kernel = np.array([(players - 1) / (comb(players, size) * size * (players - size)) for size in sizes])
    gram = columns[:-1].T @ (kernel[:, None] * columns[:-1])
    right = columns[:-1].T @ (kernel[:, None] * (worth[1:-1] - worth[0]))
    grand = columns[-1:]
    system = np.block([[gram, grand.T], [grand, np.zeros((1, 1))]])
    solution = np.linalg.solve(system, np.concatenate([right, worth[-1:] - worth[0]]))
    return dict(zip(sets, solution[:-1], strict=True))


@functools.cache
def by_definition(players, order, index):
    """[M, ..., M, K] for sets of one, two, ... players, in float64."""
    worth = random_worth(players)
    if index == "k-SII":
        result = by_bernoulli(worth, players, order)
    elif index == "FSII":
        result = by_least_squares(worth, players, order)
    else:
        result = by_derivatives(worth, players, order, index)
    tables = [np.zeros((players,) * t + worth.shape[1:]) for t in range(1, order + 1)]
    for members, value in result.items():
        for one in itertools.permutations(members):
            tables[len(members) - 1][one] = value
    return tables


@pytest.mark.parametrize("index", INDICES)
@pytest.mark.parametrize("t", [1, 2])
def test_weights_of_products_of_spins_are_moments_in_closed_form(index, t):
    """The sum over T ⊆ S ⊆ U of c(t, |S|) 2^|S| (-1)^(|U|-|S|), in exact fractions."""
    sums = [
        sum(comb(u - t, s - t) * coefficient(index, 2, t, s) * 2**s * (-1) ** (u - s) for s in range(t, u + 1))
        for u in range(21)
    ]
    np.testing.assert_allclose(spin_weights(index, t, 20), np.array(sums, float), rtol=1e-14)


def parts_of(result):
    return [part for part in (result.values, result.pairs, result.triples) if part is not None]


@pytest.mark.parametrize("index", INDICES)
@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("players", usual([3, 5, 8], 5))
def test_exact_interactions_are_those_of_the_definition(players, order, index):
    result = xai.shap.interactions(table(random_worth(players)), index=index, order=order)
    for ours, expected in zip(parts_of(result), by_definition(players, order, index), strict=True):
        np.testing.assert_allclose(ours, expected, atol=5e-6)


@pytest.mark.parametrize("index", INDICES)
def test_float64_has_the_digits_of_the_definition(index, float64):
    result = xai.shap.interactions(table(random_worth(5)), index=index, order=3)
    for ours, expected in zip(parts_of(result), by_definition(5, 3, index), strict=True):
        assert ours.dtype == jnp.float64
        np.testing.assert_allclose(ours, expected, atol=1e-6)


@pytest.mark.parametrize("index", SUMMING)
@pytest.mark.parametrize("order", [2, 3])
def test_all_orders_sum_to_output_minus_base_value(index, order):
    result = xai.shap.interactions(table(random_worth(8)), index=index, order=order)
    total = sum(part.reshape(-1, 3).sum(axis=0) / factorial(t) for t, part in enumerate(parts_of(result), 1))
    np.testing.assert_allclose(total, result.output - result.base_value, atol=2e-5)


def test_single_values_of_sii_are_shapley_values_and_those_of_bii_banzhafs():
    game = table(random_worth(8))
    for index, of_singles in (("SII", xai.shap.exact), ("BII", xai.shap.banzhaf)):
        result = xai.shap.interactions(game, index=index)
        np.testing.assert_allclose(result.values, of_singles(game).values, atol=2e-6)
        np.testing.assert_array_equal(result.pairs, jnp.swapaxes(result.pairs, 0, 1))
        np.testing.assert_array_equal(jnp.diagonal(result.pairs), 0)


def test_interactions_of_a_model_are_those_of_its_game():
    net, x, rows = models.table_net(5), models.rows(3, 5), models.rows(4, 5, seed=1)
    game = xai.game(net, x, xai.mask.background(rows, weights=[1, 2, 3, 4]), target="all")
    result = xai.shap.interactions(game, order=3)
    for number, worth in enumerate(game(all_coalitions(5))):
        alone = xai.shap.interactions(table(worth), order=3)
        for ours, expected in zip(parts_of(result), parts_of(alone), strict=True):
            np.testing.assert_allclose(ours[number], expected, atol=1e-5)


@pytest.mark.parametrize("index", usual(INDICES, "STII"))
def test_one_answer_that_is_nan_gives_nan(index, key):
    worth = np.full(2**5, 1.0)
    worth[13] = np.nan
    for part in parts_of(xai.shap.interactions(table(worth), index=index, order=3)):
        distinct = [
            members for members in itertools.product(range(5), repeat=part.ndim) if len({*members}) == part.ndim
        ]
        assert np.isnan([part[members] for members in distinct]).all()


PLAYERS, KEYS, BUDGET = 13, 16, 40 * 13


@functools.cache
def estimated(index):
    """Of two games at once, by 16 keys; and the exact answer."""
    worth = np.stack([games.perceptron(PLAYERS), games.interactions(PLAYERS) / 3], axis=1).astype(np.float32)
    game = table(worth)
    one = jax.jit(lambda key: xai.shap.interactions(game, index=index, key=key, num_evaluations=BUDGET))
    result = jax.lax.map(one, jax.random.split(jax.random.key(3), KEYS))
    return result, xai.shap.interactions(game, index=index, num_evaluations=2**PLAYERS)


@pytest.mark.parametrize("index", usual(INDICES, "SII", "FSII"))
def test_estimates_lie_near_the_exact_values_and_know_how_near(index):
    result, exact = estimated(index)
    assert result.num_evaluations.tolist() == [BUDGET] * KEYS
    above = np.triu_indices(PLAYERS, 1)
    pairs = result.pairs[:, *above], result.pair_errors[:, *above], exact.pairs[above]
    singles = result.values, result.std_errors, exact.values
    for (ours, errors, expected), bound in ((pairs, 0.12), (singles, 0.004)):
        for game in range(2):
            of_game = [np.asarray(part[..., game], float) for part in (ours, errors, expected)]
            assert games.coverage(*of_game) > 0.92
            gaps = of_game[0] - of_game[2]
            assert (gaps**2).mean() < bound * (of_game[2] ** 2).mean()
            too_wide = index == "STII" and ours is result.values  # of single players alone, nearly all of it seen
            assert (0 if too_wide else 0.4) < ((gaps / of_game[1]) ** 2).mean() < 1.4


@pytest.mark.parametrize("index", usual(INDICES, "k-SII", "FSII"))
def test_estimated_pairs_are_symmetric_and_sums_are_kept(index):
    result, exact = estimated(index)
    for part in (result.pairs, result.pair_errors):
        np.testing.assert_array_equal(part, jnp.swapaxes(part, 1, 2))
        np.testing.assert_array_equal(jnp.diagonal(part, axis1=1, axis2=2), 0)
    total = result.values.sum(axis=1)
    if index in SUMMING:
        total = total + result.pairs.sum(axis=(1, 2)) / 2
    if index != "BII":
        np.testing.assert_allclose(total, np.broadcast_to(exact.output - exact.base_value, (KEYS, 2)), atol=2e-5)


def pair_game(parameters, coalitions):
    weights, couplings = parameters
    z = coalitions.astype(weights.dtype)
    return 1.5 + z @ weights + ((z @ couplings) * z).sum(axis=1) / 2


@functools.cache
def pair_parameters():
    rng = np.random.default_rng(0)
    couplings = np.triu(rng.normal(size=(PLAYERS, PLAYERS)), 1)
    return rng.normal(size=PLAYERS), couplings + couplings.T


@pytest.mark.parametrize("index", usual(INDICES, "k-SII", "FSII"))
def test_a_game_of_pairs_is_recovered(index, key):
    weights, couplings = pair_parameters()
    parameters = jnp.asarray(weights, jnp.float32), jnp.asarray(couplings, jnp.float32)
    game = xai.Game(xai.function(pair_game, parameters), PLAYERS)
    result = xai.shap.interactions(game, index=index, key=key, num_evaluations=50 * PLAYERS)
    singles = weights + (couplings.sum(axis=1) / 2 if index in ("SII", "BII") else 0)
    np.testing.assert_allclose(result.pairs, couplings, atol=3e-3)
    np.testing.assert_allclose(result.values, singles, atol=5e-4)


@pytest.mark.slow
def test_single_values_of_sii_are_those_of_the_gaussian_process(key):
    game = table(games.perceptron(PLAYERS).astype(np.float32))
    options = {"key": key, "num_evaluations": 20 * PLAYERS}
    result, process = xai.shap.interactions(game, index="SII", **options), xai.shap.gaussian_process(game, **options)
    np.testing.assert_allclose(result.values, process.values, atol=1e-5)
    np.testing.assert_allclose(result.std_errors, process.std_errors, atol=1e-5)


@pytest.mark.parametrize("index", usual(INDICES, "STII", "BII"))
def test_players_that_change_nothing_get_exactly_0_and_estimates_keep_to_key_and_id(index, key):
    net, x, rows = models.table_net(14), models.rows(3, 14), models.rows(4, 14, seed=1)
    inactive = [2, 7]
    rows = rows.at[:, inactive].set(0.5)
    x = x.at[:, inactive].set(0.5)
    masker = xai.mask.background(rows)

    def explain(x, ids):
        game = xai.game(net, x, masker, target=1)
        return xai.shap.interactions(game, index=index, key=key, num_evaluations=200, ids=ids)

    result = explain(x, None)
    for part in (
        result.values,
        result.std_errors,
        result.pairs[:, inactive],
        result.pairs[:, :, inactive],
        result.pair_errors[:, inactive],
    ):
        np.testing.assert_array_equal(part if part.ndim == 3 else part[:, inactive], 0)
    assert (result.values != 0).sum() == 3 * 12
    again = explain(x[::-1], [2, 1, 0])
    np.testing.assert_allclose(result.pairs, again.pairs[::-1], atol=1e-5)
    np.testing.assert_allclose(result.values, again.values[::-1], atol=1e-5)


MISTAKES = {
    "an unknown index": (lambda: explain(5, index="SSI"), "`index` must be one of .*'SSI'.*did you mean"),
    "order 1": (lambda: explain(5, order=1), "`order` must be at least 2, got 1"),
    "order 4": (lambda: explain(5, order=4), "`order` must be at most 3, got 4"),
    "too few players": (lambda: explain(2, order=3), "at least 3 players for order 3, got 2"),
    "triples of many players": (
        lambda: explain(17, order=3),
        "`order` must be 2 unless all 2.17 = 131,072 .*340 evaluations: use order=2",
    ),
    "too few evaluations": (lambda: explain(8, num_evaluations=15), "at least 16, twice the number of players, got 15"),
    "too many evaluations": (
        lambda: explain(17, num_evaluations=2100, key=jax.random.key(0)),
        "at most 2,050 .*131,072, got 2,100",
    ),
    "too many players": (
        lambda: explain(300, key=jax.random.key(0)),
        "at most 256 players .*got 300, which make 44,850 pairs: group the players",
    ),
    "no key": (lambda: explain(17), "`key` must be a JAX random key.*: 17 players are too many"),
    "a key that is none": (lambda: explain(17, key=0), "`?key`? must be one JAX random key"),
    "ids of a game written by hand": (lambda: explain(17, key=jax.random.key(0), ids=[0]), "ids"),
    "no game": (lambda: xai.shap.interactions("game"), "`?game`? must be xai.game"),
}


def explain(players, **options):
    return xai.shap.interactions(xai.Game(lambda z: z.sum(axis=1), players), **options)


@pytest.mark.parametrize(("mistake", "sentence"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_answered_with_a_sentence(mistake, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        mistake()


def directional(function, point, direction, step=1e-4):
    """A derivative by differences, and by reverse mode."""
    ahead, behind = (
        function(jax.tree.map(lambda leaf, along, sign=sign: leaf + sign * step * along, point, direction))
        for sign in (1, -1)
    )
    slopes = jax.grad(function)(point)
    products = jax.tree.map(lambda slope, along: (slope * along).sum(), slopes, direction)
    return (ahead - behind) / (2 * step), sum(jax.tree.leaves(products), 0.0)


@pytest.mark.parametrize("features", [4, 13])  # exact and estimated
def test_slopes_of_interactions_are_those_of_finite_differences(features, float64, key):
    rng = np.random.default_rng(1)
    net = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), models.table_net(features))
    point = net, jnp.asarray(rng.normal(size=(2, features)))
    direction = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), point)
    rows = jnp.asarray(rng.normal(size=(2, features)))

    @jax.jit
    def loss(point):
        net, x = point
        game = xai.game(net, x, xai.mask.background(rows), target=1)
        result = xai.shap.interactions(game, key=key, num_evaluations=None if features == 4 else 60)
        return (result.values**3).sum() + (result.pairs**2).sum()

    by_differences, by_slopes = directional(loss, point, direction)
    np.testing.assert_allclose(by_slopes, by_differences, rtol=1e-5)
