"""Exact values of forests are those of all coalitions, evaluated in float64 by a descent of its own."""

import dataclasses
import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from xaijax.shap import _tree_plan, _trees
from xaijax.trees._forest import Forest
from xaijax.trees._nodes import Rule, Splits, in_levels

FEATURES, OUTPUTS, LEVELS = 5, 2, np.array([-1.0, -0.25, 0.5, 1.25])  # thresholds, which inputs hit exactly
CATEGORICAL = 4  # a feature of codes 0..3; np.nan is missing everywhere
GENERATOR = np.random.default_rng(5)


def grown(num_trees, depth):
    """Returns the splits of random trees, with splits on one feature twice on a path, and leaves at the root."""
    rows, categories, roots = [], {}, []

    def grow(depth, cover):
        number = len(rows)
        rows.append(None)
        value = GENERATOR.normal(size=OUTPUTS) + 3
        if depth == 0 or GENERATOR.random() < 0.15:
            rows[number] = (-1, -1, 0, np.nan, False, cover, value)
            return number
        feature, share = int(GENERATOR.integers(FEATURES)), GENERATOR.uniform(0.2, 0.8)
        threshold = GENERATOR.choice(LEVELS)
        if feature == CATEGORICAL:
            threshold, categories[number] = np.nan, GENERATOR.random(4) < 0.5
        left, right = grow(depth - 1, cover * share), grow(depth - 1, cover * (1 - share))
        rows[number] = (left, right, feature, threshold, GENERATOR.random() < 0.5, cover, value)
        return number

    for tree in range(num_trees):
        roots.append(grow(depth if tree else 0, 100.0))
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    cuts = {CATEGORICAL: np.arange(1.0, 4.0)}
    return Splits(*columns, np.array(roots), cuts, categories)


def forest_of(splits, bias=0.0):
    nodes, value = in_levels(splits, FEATURES, Rule())
    return Forest(nodes, value, np.full(OUTPUTS, bias))


def goes_left(splits, node, x):
    """Returns whether each row goes left."""
    column = x[:, splits.feature[node]]
    if node in splits.categories:
        left = splits.categories[node][np.nan_to_num(column).astype(int)]
    else:
        left = column < splits.threshold[node]
    return np.where(np.isnan(column), splits.missing_left[node], left)


def outputs_of(splits, x):
    """Returns the sum of the trees [N, K]."""
    total = np.zeros((len(x), OUTPUTS))

    def descend(node, rows):
        if splits.left[node] < 0:
            total[rows] += splits.value[node]
        elif len(rows):
            left = goes_left(splits, node, x[rows])
            descend(splits.left[node], rows[left])
            descend(splits.right[node], rows[~left])

    for root in splits.roots:
        descend(root, np.arange(len(x)))
    return total


def path_dependent(splits, row, coalition):
    """Returns the outputs [K] where splits on absent features go both ways."""

    def descend(node):
        if splits.left[node] < 0:
            return splits.value[node]
        children = splits.left[node], splits.right[node]
        if coalition[splits.feature[node]]:
            return descend(children[0] if goes_left(splits, node, row[None])[0] else children[1])
        return sum(splits.cover[child] / splits.cover[node] * descend(child) for child in children)

    return sum(descend(root) for root in splits.roots)


def indices(values, players):
    """Returns every index from the values of all coalitions [2^M, K] (bit i: player i): singles [M, K], pairs [M, M, K]."""
    moebius = values.copy()
    for player in range(players):
        has = (np.arange(2**players) >> player) & 1 == 1
        moebius[has] -= moebius[~has]
    c = {
        ("shapley", 1): lambda s: 1 / s,
        ("banzhaf", 1): lambda s: 0.5 ** (s - 1),
        ("BII", 1): lambda s: 0.5 ** (s - 1),
        ("BII", 2): lambda s: 0.5 ** (s - 2),
        ("SII", 1): lambda s: 1 / s,
        ("SII", 2): lambda s: 1 / (s - 1),
        ("k-SII", 1): lambda s: 1 / s - (s > 1) / 2,
        ("k-SII", 2): lambda s: 1 / (s - 1),
        ("STII", 1): lambda s: float(s == 1),
        ("STII", 2): lambda s: 1 / math.comb(s, 2),
        ("FSII", 1): lambda s: -2 * (s - 2) / (s * (s + 1)),
        ("FSII", 2): lambda s: 6 / (s * (s + 1)),
    }
    result = {}
    for (name, order), weight in c.items():
        table = np.zeros((players,) * order + values.shape[1:])
        for coalition in range(1, 2**players):
            members = [player for player in range(players) if coalition >> player & 1]
            for chosen in itertools.permutations(members, order):
                table[chosen] += weight(len(members)) * moebius[coalition]
        result[name, order] = table
    return result


SPLITS = grown(7, 6)
X = np.concatenate([GENERATOR.choice(LEVELS, (6, 4)), GENERATOR.integers(0, 4, (6, 1))], axis=1)
X[1, 0] = X[2, 2] = X[3, 4] = np.nan
ROWS = np.concatenate([GENERATOR.normal(size=(9, 4)), GENERATOR.integers(0, 4, (9, 1))], axis=1)
ROWS[0, 1] = ROWS[1, 4] = np.nan
WEIGHTS = GENERATOR.uniform(0.5, 2, 9)
GROUPS = np.array([0, 1, 0, 2, 1])


def expected(x, groups=None, rows=ROWS, weights=WEIGHTS):
    """Returns the indices of each input, by all coalitions; rows=None for path-dependent ones."""
    owners = np.arange(FEATURES) if groups is None else groups
    players = owners.max() + 1
    results = []
    for row in x:
        values = []
        for number in range(2**players):
            present = (number >> owners) & 1 == 1
            if rows is None:
                values.append(path_dependent(SPLITS, row, present))
            else:
                values.append(np.average(outputs_of(SPLITS, np.where(present, row, rows)), axis=0, weights=weights))
        results.append(indices(np.array(values), players) | {"base": values[0], "output": values[-1]})
    return {key: np.stack([result[key] for result in results]) for key in results[0]}


FOREST = forest_of(SPLITS)
WAYS = {
    "background": ({"weights": WEIGHTS}, None),
    "groups": ({"weights": WEIGHTS, "groups": GROUPS}, GROUPS),
    "path-dependent": (None, None),
}


@functools.cache
def path_dependent_indices():
    return expected(X, rows=None)


@pytest.fixture(scope="module", params=WAYS)
def way(request):
    options, groups = WAYS[request.param]
    masker = None if options is None else xai.mask.background(ROWS, allow_missing=True, **options)
    return masker, path_dependent_indices() if masker is None else expected(X, groups)


@pytest.mark.parametrize("index", ["shapley", "banzhaf"])
def test_values_are_those_of_all_coalitions(way, index):
    masker, right = way
    result = xai.shap.trees(FOREST, X, masker, target="all", index=index)
    np.testing.assert_allclose(result.values, right[index, 1], atol=2e-6)
    np.testing.assert_allclose(result.base_value, right["base"], rtol=1e-6)
    np.testing.assert_allclose(result.output, right["output"], rtol=1e-6)
    assert np.all(result.std_errors == 0)
    if index == "shapley":
        assert result.efficient
        assert np.abs(result.completeness_gap).max() < 1e-5


@pytest.mark.parametrize("index", ["k-SII", "SII", "STII", "FSII", "BII"])
def test_interactions_are_those_of_all_coalitions(way, index):
    masker, right = way
    result = xai.shap.interactions(FOREST, X, masker, target="all", index=index)
    np.testing.assert_allclose(result.values, right[index, 1], atol=4e-6)
    np.testing.assert_allclose(result.pairs, right[index, 2], atol=4e-6)


def test_tables_are_those_of_float64():
    """With 64-bit arrays nothing is rounded: the quadrature is exact."""
    with jax.enable_x64(True):
        result = xai.shap.trees(FOREST, X, xai.mask.background(ROWS, weights=WEIGHTS, allow_missing=True), target=1)
    np.testing.assert_allclose(result.values, expected(X)["shapley", 1][..., 1], atol=1e-12)


MASKER = xai.mask.background(ROWS, weights=WEIGHTS, allow_missing=True)


@pytest.fixture(scope="module")
def right():
    return expected(X)


def test_tables_that_are_passed_serve_compiled_functions_and_single_rows(right):
    tables = xai.shap.tree_tables(FOREST, MASKER)

    @jax.jit
    def explain(forest, tables, x):
        of_row = lambda row: xai.shap.trees(forest, row[None], tables, target=1)[0]  # noqa: E731
        return jax.vmap(of_row)(x), xai.shap.trees(forest, x, tables)

    by_row, top = explain(FOREST, tables, jnp.asarray(X, jnp.float32))
    np.testing.assert_allclose(by_row.values, right["shapley", 1][..., 1], atol=2e-6)
    best = right["output"].argmax(axis=1)
    np.testing.assert_array_equal(top.target, best)
    np.testing.assert_allclose(top.values, right["shapley", 1][np.arange(len(X)), :, best], atol=2e-6)


def test_tables_too_large_to_keep_are_made_in_pieces(right, monkeypatch):
    plan = _tree_plan.Plan(FOREST, MASKER, "shapley")
    monkeypatch.setattr(_trees, "MOST_BYTES", 0)
    monkeypatch.setattr(_tree_plan, "_PIECE_BYTES", plan.num_bytes // 3)
    assert len(list(plan.pieces())) > 2
    result = xai.shap.trees(FOREST, X, MASKER, target=[0, 1, 0, 1, 0, 1], batch_size=4)
    np.testing.assert_allclose(result.values, right["shapley", 1][range(6), :, [0, 1, 0, 1, 0, 1]], atol=2e-6)
    np.testing.assert_allclose(result.base_value, right["base"][range(6), [0, 1, 0, 1, 0, 1]], rtol=1e-6)
    with pytest.raises(ValueError, match=r"`forest` must have tables of at most 0.0 MB to be kept, got \d"):
        xai.shap.tree_tables(FOREST, MASKER)


def test_tables_of_many_rows_are_as_large_and_as_exact():
    """The base value is the mean output over 100,000 rows; sums of their weights in float32 would be off by 3e-3."""
    rows = np.concatenate([GENERATOR.normal(size=(100_000, 4)), GENERATOR.integers(0, 4, (100_000, 1))], axis=1)
    few, many = (xai.shap.tree_tables(FOREST, xai.mask.background(own)) for own in (rows[:10], rows))
    assert few.num_bytes == many.num_bytes > 0
    np.testing.assert_allclose(many.base, outputs_of(SPLITS, rows).mean(axis=0), rtol=2e-7)


@pytest.mark.parametrize(
    ("index", "most"), [("shapley", 4000), ("banzhaf", 0), ("FSII", 8000), ("STII", 0), ("BII", 0)]
)
def test_path_dependent_values_of_leaves_are_those_of_all_coalitions(index, most, monkeypatch):
    """Where tables are too large: of some subtrees, or of all."""
    monkeypatch.setattr(_tree_plan, "_MOST_OF_PATHS", most)
    forest, right = forest_of(SPLITS), path_dependent_indices()
    plan = _tree_plan.Plan(forest, None, index)
    assert plan.leaves
    assert bool(plan.parts) == bool(most)
    is_of_pairs = (index, 2) in right
    explain = xai.shap.interactions if is_of_pairs else xai.shap.trees
    result = explain(forest, X, target="all", index=index, batch_size=4)
    np.testing.assert_allclose(result.values, right[index, 1], atol=4e-6 if is_of_pairs else 2e-6)
    np.testing.assert_allclose(result.base_value, right["base"], rtol=1e-6)
    if is_of_pairs:
        np.testing.assert_allclose(result.pairs, right[index, 2], atol=4e-6)
    if index == "shapley":
        with jax.enable_x64(True):
            result = xai.shap.trees(forest, X, target=1)
        np.testing.assert_allclose(result.values, right["shapley", 1][..., 1], atol=1e-12)


def chain(depth):
    """Returns the forest of one tree that is 1 where all of `depth` inputs are below 0, each with a share of 1/2."""
    inner = np.arange(depth)
    cover = 0.5 ** np.concatenate([inner, inner + 1, [depth]])  # splits, leaves of 0, and the last one
    columns = {
        "left": np.concatenate([inner[1:], [2 * depth], np.full(depth + 1, -1)]),
        "right": np.concatenate([inner + depth, np.full(depth + 1, -1)]),
        "feature": np.concatenate([inner, np.zeros(depth + 1, int)]),
        "threshold": np.zeros(2 * depth + 1),
        "missing_left": np.zeros(2 * depth + 1, bool),
        "cover": cover,
        "value": np.eye(2 * depth + 1)[-1:].T,
        "roots": np.array([0]),
    }
    nodes, value = in_levels(Splits(**columns), depth, Rule())
    return Forest(nodes, value, np.zeros(1))


def test_path_dependent_values_of_deep_trees_are_those_of_the_formula():
    """A path of 40 features: v(S) = prod_{j in S} o_j 2^-(40 - |S|). A table would have 2^40 patterns."""
    depth = 40
    x = np.full((2, depth), -1.0)
    x[1, 7] = 1.0
    result = xai.shap.trees(chain(depth), x)
    each = (
        1 - 0.5**depth
    ) / depth  # by symmetry; and where one fails, -integral (t + (1 - t) / 2)^39 / 2 dt for that one
    others = (each - 0.5**depth) / (depth - 1)
    np.testing.assert_allclose(result.values[0], np.full(depth, each), rtol=2e-6)
    np.testing.assert_allclose(result.values[1], np.where(np.arange(depth) == 7, -each, others), rtol=2e-6)


def test_splits_that_no_training_weight_reaches_go_both_ways_alike():
    """v({0}) is the mean of the leaves 3 and 7 behind a split of cover 0, v({0, 1}) = 3, and 1 without player 0."""
    columns = (
        [1, -1, 3, -1, -1],
        [2, -1, 4, -1, -1],
        [0, 0, 1, 0, 0],
        [0.0] * 5,
        [False] * 5,
        [2.0, 2.0, 0.0, 0.0, 0.0],
    )
    value = np.array([[0.0], [1.0], [0.0], [3.0], [7.0]])
    nodes, value = in_levels(Splits(*map(np.array, columns), value=value, roots=np.array([0])), 2, Rule())
    result = xai.shap.trees(Forest(nodes, value, np.zeros(1)), np.array([[1.0, -1.0]]))
    np.testing.assert_allclose(result.values, [[3.0, -1.0]], rtol=1e-6)
    np.testing.assert_allclose(result.base_value, [1.0], rtol=1e-6)


def test_ties_of_float64_are_kept_by_rows_and_inputs():
    """0.1 in float32 is above 0.1; the split sends 0.1 right and what is below it left."""
    below = np.nextafter(0.1, 0)
    splits = Splits(
        *map(np.array, ([1, -1, -1], [2, -1, -1], [0, 0, 0], [0.1, np.nan, np.nan], [False] * 3, [2.0, 1.0, 1.0])),
        value=np.array([[0.0], [4.0], [8.0]]),
        roots=np.array([0]),
    )
    nodes, value = in_levels(splits, 1, Rule())
    forest = Forest(nodes, value, np.zeros(1))
    result = xai.shap.trees(forest, np.array([[0.1], [below]]), xai.mask.background(np.array([[0.1], [0.1], [below]])))
    np.testing.assert_allclose(result.values[:, 0], [8 - 20 / 3, 4 - 20 / 3], rtol=1e-6)
    np.testing.assert_allclose(result.base_value, 20 / 3, rtol=1e-6)
    # A baseline keeps its float64 too.
    result = xai.shap.trees(forest, np.array([[0.1], [below]]), xai.mask.baseline(np.array([below])))
    np.testing.assert_allclose(result.base_value, 4, rtol=1e-6)


def test_values_chooses_the_tables_for_forests(right):
    chosen = xai.shap.values(FOREST, X, MASKER, target=0, names=list("abcde"))
    assert chosen.estimator == "tables of the trees"
    assert chosen.names == tuple("abcde")
    np.testing.assert_allclose(chosen.values, right["shapley", 1][..., 0], atol=2e-6)
    sampled = xai.shap.values(FOREST, X[:1], MASKER, target=0, num_evaluations=32)
    assert sampled.estimator == "exact"
    np.testing.assert_allclose(sampled.values, right["shapley", 1][:1, :, 0], atol=4e-6)


def test_a_forest_of_leaves_is_its_base_value():
    splits = Splits(*([np.array([-1])] * 2), *([np.array([0])] * 4), value=np.array([[2.0, 3.0]]), roots=np.array([0]))
    result = xai.shap.trees(forest_of(splits, bias=1.0), X[:1], target="all")
    np.testing.assert_array_equal(result.values, np.zeros((1, FEATURES, OUTPUTS)))
    np.testing.assert_array_equal(result.base_value, [[3.0, 4.0]])


def test_rows_that_the_library_refuses_are_nan():
    nodes, value = in_levels(SPLITS, FEATURES, Rule(nan_allowed=False))
    forest = Forest(nodes, value, np.zeros(OUTPUTS))
    result = xai.shap.trees(forest, X, xai.mask.background(ROWS[2:]), target=0)
    np.testing.assert_array_equal(np.isnan(result.values).all(axis=1), np.isnan(X).any(axis=1))
    with pytest.raises(ValueError, match="`masker` must have rows without NaN for a forest"):
        xai.shap.trees(forest, X, MASKER)


def test_the_sums_are_lowered_for_accelerators(monkeypatch):
    """Those of tables and of leaves."""
    monkeypatch.setattr(_tree_plan, "_MOST_OF_PATHS", 4000)
    tables = xai.shap.tree_tables(forest_of(SPLITS))
    assert tables.groups
    assert tables.leaves
    codes = jnp.zeros((3, FEATURES), jnp.int32)
    sums = jax.jit(lambda tables, codes: _trees._summed(tables, codes, None, 2))
    exported = jax.export.export(sums, platforms=["cuda", "tpu"])(tables, codes)
    assert exported.platforms == ("cuda", "tpu")
    assert exported.out_avals[0].shape == (3, FEATURES, OUTPUTS)


def test_many_subtrees_at_once_say_what_they_say_one_by_one(right):
    """The form for accelerators, on the CPU."""
    tables = xai.shap.tree_tables(FOREST, MASKER)
    member = np.asarray(tables.members)[np.arange(len(tables.set_feature))[:, None], FOREST.codes(X).T[CATEGORICAL] + 1]
    columns = jnp.asarray(np.concatenate([FOREST.codes(X).T, member]), jnp.int16)

    @jax.jit
    def sums(groups):
        total = jnp.zeros((FEATURES + 1, OUTPUTS, len(X)))
        for group in groups:
            total = _trees._many_at_once(total, group, columns, None)
        return jnp.moveaxis(total[:-1], -1, 0)

    np.testing.assert_allclose(sums(tables.groups), right["shapley", 1], atol=2e-6)


TABLES = xai.shap.tree_tables(FOREST, MASKER)
OTHER = forest_of(grown(2, 2))
SCALED = Forest(FOREST.nodes, 2 * FOREST.value, FOREST.bias)
FREE = dict(dataclasses.asdict(SPLITS), cover=np.zeros(len(SPLITS.left)))
REFUSED = {
    "no forest": (lambda: xai.shap.trees(lambda x: x, X), "`forest` must come from xai.trees.read"),
    "features": (lambda: xai.shap.trees(FOREST, X[:, :3]), r"`x` must have shape \[N, 5\].* got \[6, 3\]"),
    "one row": (lambda: xai.shap.trees(FOREST, X[0]), r"`x` must have shape \[N, 5\].* got \[5\]"),
    "background": (
        lambda: xai.shap.trees(FOREST, X, xai.mask.background(ROWS[2:, :3])),
        r"`masker` must have rows \[B, 5\].* got \[7, 3\]",
    ),
    "masker": (lambda: xai.shap.trees(FOREST, X, xai.mask.grid((3, 2))), "`masker` must be xai.mask.background"),
    "index": (lambda: xai.shap.trees(FOREST, X, index="SII"), "`index` must be one of"),
    "other index": (
        lambda: xai.shap.interactions(FOREST, X, TABLES),
        "index 'k-SII', got those of 'shapley': make tables",
    ),
    "other forest": (lambda: xai.shap.trees(OTHER, X, TABLES), "`masker` must be tables of this forest"),
    "other outputs": (
        lambda: xai.shap.trees(SCALED, X, TABLES),
        "`masker` must be tables of this forest, got those of a forest with other outputs",
    ),
    "probability": (
        lambda: xai.shap.trees(FOREST, X, target=jax.nn.softmax),
        "for functions of them, such as probabilities, sample",
    ),
    "target": (lambda: xai.shap.trees(FOREST, X, target=2), "`target` must be from 0 to 1"),
    "covers": (
        lambda: xai.shap.trees(forest_of(Splits(**FREE)), X),
        "`forest` must have positive covers .training weights. at the roots of its trees, and none below 0, got 0.0 at 3 of",
    ),
    "triples": (lambda: xai.shap.interactions(FOREST, X, order=3), "`order` must be 2"),
    "no x": (lambda: xai.shap.interactions(FOREST), "`x` must be inputs"),
    "game": (lambda: xai.shap.interactions(xai.game(FOREST, X[:1], MASKER), X), "`x`, `masker` and `target` must be"),
    "traced": (
        lambda: jax.jit(lambda forest: xai.shap.trees(forest, X))(FOREST),
        "must be known when their tables are made",
    ),
}


@pytest.mark.parametrize("mistake", REFUSED)
def test_mistakes_are_named(mistake):
    call, sentence = REFUSED[mistake]
    with pytest.raises((TypeError, ValueError), match=sentence):
        call()


@pytest.mark.parametrize("explain", [xai.shap.trees, xai.shap.interactions], ids=["values", "interactions"])
def test_trees_that_are_too_deep_for_a_background_are_named(explain):
    """A path of 40 features would need a table of 2^40 patterns for rows."""
    forest, x = chain(40), np.zeros((1, 40))
    sentence = r"`forest` must have .* for exact {} of a background, got .*: take path-dependent {} .*, or sample, by xai.shap.{}"
    name = explain.__name__.replace("trees", "values")
    with pytest.raises(ValueError, match=sentence.format(name, name, name)):
        explain(forest, x, xai.mask.background(x))


def test_data_frames_are_read_by_the_names_of_the_forest():
    """Columns in another order, with missing values; a background in another order is refused."""
    pandas = pytest.importorskip("pandas")
    from sklearn.tree import DecisionTreeRegressor

    table = pandas.DataFrame({"a": [0.0, 1.0, np.nan, 3.0], "b": [5.0, 4.0, 3.0, 1.0]})
    forest = xai.trees.read(DecisionTreeRegressor(random_state=0).fit(table, [0.0, 1.0, 5.0, 2.0]))
    masker = xai.mask.background(table, allow_missing=True)
    by_name = xai.shap.trees(forest, table[["b", "a"]], masker)
    by_index = xai.shap.trees(forest, table.to_numpy(), xai.mask.background(table.to_numpy(), allow_missing=True))
    assert by_name.names == ("a", "b")
    assert np.abs(by_index.values).max() > 1
    np.testing.assert_array_equal(by_name.values, by_index.values)
    with pytest.raises(ValueError, match="`masker` must have its columns in the model's order"):
        xai.shap.trees(forest, table, xai.mask.background(table[["b", "a"]], allow_missing=True))
