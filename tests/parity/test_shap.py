"""Shapley values, interactions and gradients are those of the packages shap 0.51 and shapiq 1.4 on the same model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests.games import table

GENERATOR = np.random.default_rng(0)
FEATURES = 6
ROWS = GENERATOR.normal(size=(30, FEATURES)) @ (np.eye(FEATURES) + 0.3 * GENERATOR.normal(size=(FEATURES, FEATURES)))
X = GENERATOR.normal(size=(3, FEATURES))
FIRST, SECOND = GENERATOR.normal(size=(FEATURES, 8)), GENERATOR.normal(size=(8, 3))
WEIGHTS = GENERATOR.normal(size=FEATURES)


def network(x):
    return jnp.tanh(x @ jnp.asarray(FIRST, x.dtype)) @ jnp.asarray(SECOND, x.dtype)


def in_numpy(x):
    return np.tanh(x @ FIRST) @ SECOND


@pytest.fixture(scope="module")
def shap():
    return pytest.importorskip("shap")


def masker_of(shap):
    return shap.maskers.Independent(ROWS, max_samples=len(ROWS))


@pytest.fixture(scope="module")
def game():
    return xai.game(network, X, xai.mask.background(ROWS), target="all")


def test_exact_shapley_values_are_those_of_shaps_exact_explainer(shap, game):
    theirs = shap.explainers.Exact(in_numpy, masker_of(shap))(X, silent=True)
    ours = xai.shap.exact(game)
    np.testing.assert_allclose(ours.values, theirs.values, atol=1e-5)
    np.testing.assert_allclose(ours.base_value, theirs.base_values, atol=1e-5)


def test_shaps_interactions_are_stii_with_half_of_each_pair_for_either_player(shap):
    theirs = shap.explainers.Exact(lambda x: in_numpy(x)[:, 1], masker_of(shap))(X, interactions=True, silent=True)
    game = xai.game(network, X, xai.mask.background(ROWS), target=1)
    stii, k_sii = (xai.shap.interactions(game, index=index) for index in ("STII", "k-SII"))
    np.testing.assert_allclose(stii.pairs / 2 + jax.vmap(jnp.diag)(stii.values), theirs.values, atol=1e-5)
    assert np.abs(k_sii.pairs - stii.pairs).max() > 0.1


def test_all_coalitions_of_shaps_kernel_explainer_are_our_exact_values(shap, game):
    theirs = shap.KernelExplainer(in_numpy, ROWS).shap_values(X, nsamples=2**FEATURES, l1_reg=0, silent=True)
    np.testing.assert_allclose(xai.shap.exact(game).values, theirs, atol=1e-5)


def test_shaps_antithetic_permutations_and_ours_lie_around_the_same_values(shap, game, key):
    theirs = shap.explainers.Permutation(in_numpy, masker_of(shap), seed=0)(X, max_evals=400, error_bounds=False).values
    ours, exact = xai.shap.permutation(game, num_permutations=30, key=key), xai.shap.exact(game).values
    assert (np.abs(ours.values - exact) < 4.5 * ours.std_errors + 1e-5).all()
    assert (np.abs(theirs - exact) < 4.5 * ours.std_errors + 1e-5).all()
    assert np.abs(theirs - exact).max() > 1e-3


@pytest.mark.parametrize("features", ["independent", "correlated"])
def test_linear_models_are_those_of_shaps_linear_explainer(shap, features):
    if features == "independent":
        masker = masker_of(shap)
        expected = shap.LinearExplainer((WEIGHTS, 0.5), masker).shap_values(X)
    else:
        masker = shap.maskers.Impute(ROWS)
        expected = shap.LinearExplainer((WEIGHTS, 0.5), masker, nsamples=20_000).shap_values(X)  # random orders
    with jax.enable_x64(True):
        ours = xai.shap.linear(lambda x: x @ WEIGHTS + 0.5, X, ROWS, features=features)
    np.testing.assert_allclose(ours.values, expected, atol=1e-6 if features == "independent" else 0.05)


def test_expected_gradients_are_those_of_shaps_gradient_explainer(shap, key):
    torch = pytest.importorskip("torch")
    first, second = (torch.nn.Linear(*shape, bias=False) for shape in ((FEATURES, 8), (8, 3)))
    with torch.no_grad():
        first.weight.copy_(torch.tensor(FIRST.T))
        second.weight.copy_(torch.tensor(SECOND.T))
    net = torch.nn.Sequential(first, torch.nn.Tanh(), second)
    x, rows, samples = X.astype(np.float32), ROWS.astype(np.float32), 1600
    explainer = shap.GradientExplainer(net, torch.tensor(rows))
    theirs, spreads = explainer.shap_values(torch.tensor(x), nsamples=samples, rseed=0, return_variances=True)
    for target in range(3):
        ours = xai.shap.expected_gradients(network, x, rows, key=key, target=target, num_samples=samples)
        # shap divides variances by the root of the number of samples.
        variances = np.asarray(spreads)[target] / samples**0.5 + np.asarray(ours.std_errors) ** 2
        gaps = np.abs(np.asarray(theirs)[..., target] - ours.values)
        assert (gaps < 4 * np.sqrt(variances)).all()
        assert np.sqrt(variances).max() < 0.08 * np.abs(ours.values).max()


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("index", ["SII", "k-SII", "STII", "FSII", "BII"])
def test_interactions_are_those_of_shapiq(index, order):
    shapiq = pytest.importorskip("shapiq")
    worth = np.random.default_rng(1).normal(size=2**FEATURES)
    powers = 2 ** np.arange(FEATURES)
    computer = shapiq.ExactComputer(lambda coalitions: worth[np.asarray(coalitions, int) @ powers], FEATURES)
    theirs = computer(index, order)
    ours = xai.shap.interactions(table(worth), index=index, order=order)
    tables = {1: ours.values, 2: ours.pairs, 3: ours.triples}
    for size in range(1, order + 1):
        np.testing.assert_allclose(tables[size], _symmetric(theirs, size), atol=1e-5)


def _symmetric(theirs, size):
    """[M, ..., M], with what shapiq keeps once at all orders of its players."""
    found = np.zeros((FEATURES,) * size)
    for members, place in theirs.interaction_lookup.items():
        if len(members) == size:
            for one in _orders(members):
                found[one] = theirs.values[place]
    return found


def _orders(members):
    if len(members) < 2:
        return [members]
    return [(one, *rest) for one in members for rest in _orders(tuple(other for other in members if other != one))]


def test_a_forest_on_the_host_has_the_exact_values_of_shaps_tree_explainer(shap):
    ensemble, datasets = pytest.importorskip("sklearn.ensemble"), pytest.importorskip("sklearn.datasets")
    x, y = datasets.load_breast_cancer(return_X_y=True)
    # The tree explainer rounds thresholds to float32; here they are exact, as numbers with few bits have exact means.
    x = (np.round(64 * x[:, :8] / x[:, :8].std(axis=0)) / 64).astype(np.float32)
    forest = ensemble.RandomForestClassifier(20, random_state=0).fit(x[20:], y[20:])
    theirs = shap.TreeExplainer(forest, x[100:110], feature_perturbation="interventional").shap_values(x[:10])
    ours = xai.shap.values(forest, x[:10], xai.mask.background(x[100:110]), key=jax.random.key(0), target="all")
    assert ours.estimator == "exact"
    np.testing.assert_allclose(ours.values, theirs, atol=1e-6)
