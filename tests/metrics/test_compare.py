"""Explainers compared by several metrics: means, ranks, tests and agreement, each against SciPy or by hand."""

import functools
import io
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console
from scipy import stats

import xaijax as xai
from xaijax._core.compile import compiled as xai_compiled
from xaijax.metrics._explained_again import Explainer

KEY = jax.random.key(3)
N, M = 6, 5
X = np.random.default_rng(0).normal(size=(N, M)).astype(np.float32)
WEIGHTS = jnp.asarray(np.random.default_rng(1).normal(size=(M, 3)), jnp.float32)
VALUES = {
    name: np.random.default_rng(seed).integers(-3, 4, (N, M)).astype(np.float32) for seed, name in enumerate("abc")
}
SCORES = {name: np.random.default_rng(seed).normal(size=N).round(2) for seed, name in enumerate("abc")}
SCORES["c"] = SCORES["b"] + np.array([0.5, -0.5, 0, 0, 0, 0])  # the same mean


def model(x):
    return jnp.tanh(x @ WEIGHTS)


def attribution(values, **fields):
    values = jnp.asarray(values)
    return xai.Attribution(values, jnp.ones(len(values)), **fields)


def explainers(values=VALUES):
    return {
        name: functools.partial(lambda model, x, name: attribution(values[name], method=name), name=name)
        for name in values
    }


def known(better, scores=SCORES):
    """A metric whose scores are given."""
    return lambda explainer: xai.metrics.Score(jnp.asarray(scores[explainer.keywords["name"]]), better=better)


def compare(functions=None, metrics=None, x=X, **options):
    metrics = {"up": known("higher"), "down": known("lower"), "size": known("")} if metrics is None else metrics
    return xai.metrics.compare(explainers() if functions is None else functions, model, x, metrics, key=KEY, **options)


@pytest.fixture(scope="module")
def comparison():
    return compare()


def of(records, **fields):
    return [record for record in records if fields.items() <= record.items()]


def test_table_has_means_intervals_and_ranks_with_ties(comparison):
    table = comparison.table()
    assert len(table) == 9
    means = np.array([SCORES[name].mean() for name in "abc"])
    for metric, ordered in (("up", -means), ("down", means)):
        records = of(table, metric=metric)
        np.testing.assert_allclose([record["rank"] for record in records], stats.rankdata(ordered.round(6)))
        for record in records:
            scores = SCORES[record["explainer"]]
            expected = stats.t.interval(0.95, N - 1, scores.mean(), stats.sem(scores))
            np.testing.assert_allclose(
                [record["mean"], record["low"], record["high"]], [scores.mean(), *expected], rtol=1e-4
            )
    assert np.isnan([record["rank"] for record in of(table, metric="size")]).all()
    assert {record["num_examples"] for record in table} == {N}
    assert isinstance(comparison.scores["a"]["up"], xai.metrics.Score)


def test_mean_ranks_are_over_metrics_that_have_a_better_direction(comparison):
    rank = stats.rankdata(-np.array([SCORES[name].mean() for name in "abc"]).round(6))
    mean_ranks = {record["explainer"]: record["mean_rank"] for record in comparison.ranks()}
    assert mean_ranks == dict(zip("abc", (rank + 4 - rank) / 2, strict=True))
    assert {record["num_metrics"] for record in comparison.ranks()} == {2}
    np.testing.assert_allclose(comparison.metric_agreement()[:2, :2], [[1, -1], [-1, 1]])
    assert np.isnan(comparison.metric_agreement()[2]).all()


def test_equal_differences_are_certain_by_the_t_test():
    scores = {"a": np.arange(N, dtype=float), "b": np.arange(N) + 1.0}
    result = compare(explainers({name: VALUES[name] for name in scores}), {"up": known("higher", scores)})
    with warnings.catch_warnings(action="error"):
        assert result.tests("t")[0]["p_value"] == 0


def test_infinite_scores_share_the_last_rank():
    scores = {name: np.full(N, value) for name, value in zip("abc", [np.inf, 1.0, np.inf], strict=True)}
    records = compare(metrics={"down": known("lower", scores)}).table()
    assert [record["rank"] for record in records] == [2.5, 1, 2.5]


def test_scores_may_be_counts():
    counts = np.array([3, 1, 2, 2, 0, 1])
    alone = compare(explainers({"a": VALUES["a"]}), {"count": known("higher", {"a": counts})})
    (record,) = alone.table()
    expected = stats.t.interval(0.95, N - 1, counts.mean(), stats.sem(counts))
    np.testing.assert_allclose([record["low"], record["high"]], expected, rtol=1e-5)
    assert alone.scores["a"]["count"].std_errors is None


def test_an_example_counts_where_all_explainers_have_a_score():
    scores = SCORES | {"a": np.where(np.arange(N) == 1, np.nan, SCORES["a"]), "c": np.full(N, np.nan)}
    scored = compare(metrics={"up": known("higher", scores)})
    a, b, c = scored.table()
    kept = np.arange(N) != 1
    np.testing.assert_allclose([a["mean"], b["mean"]], [SCORES[name][kept].mean() for name in "ab"], rtol=1e-5)
    assert [record["num_examples"] for record in (a, b, c)] == [N - 1, N - 1, 0]
    assert {a["rank"], b["rank"]} == {1, 2}
    assert np.isnan([c["mean"], c["low"], c["rank"]]).all()
    (pair,) = of(scored.tests(), first="a", second="b")
    assert pair["num_examples"] == N - 1
    assert pair["p_value"] == pytest.approx(stats.wilcoxon((SCORES["a"] - SCORES["b"])[kept]).pvalue)
    assert pair["adjusted_p_value"] == pair["p_value"]  # the others have none


def test_paired_tests_are_those_of_scipy_with_the_correction_of_holm():
    generator = np.random.default_rng(7)
    scores = {name: shift + generator.normal(size=N).round(2) for name, shift in zip("abc", (0, 1, 3.5), strict=True)}
    comparison = compare(metrics={"up": known("higher", scores)})
    for test, reference in (("wilcoxon", stats.wilcoxon), ("t", stats.ttest_rel)):
        records = comparison.tests(test)
        p_values = [reference(scores[one], scores[other]).pvalue for one, other in ("ab", "ac", "bc")]
        np.testing.assert_allclose([record["p_value"] for record in records], p_values, rtol=1e-3)
        first, second, third = sorted(p_values)
        adjusted = [3 * first, max(3 * first, 2 * second), max(3 * first, 2 * second, third)]
        assert max(adjusted) < 1
        np.testing.assert_allclose(sorted(record["adjusted_p_value"] for record in records), adjusted, rtol=1e-3)
    low, high = stats.ttest_rel(scores["a"], scores["b"]).confidence_interval()
    np.testing.assert_allclose([records[0]["low"], records[0]["high"]], [low, high], rtol=1e-4)
    same = compare(metrics={"up": known("higher", dict.fromkeys("abc", SCORES["a"]))})
    assert {record["p_value"] for record in same.tests()} == {1.0}


def top(values, k):
    """The k players of greatest size, as sets of (player, sign), where none tie."""
    return {(player, np.sign(values[player])) for player in np.argsort(-np.abs(values))[:k]}


def test_agreement_is_that_of_scipy_and_of_sets():
    generator = np.random.default_rng(4)
    values = {name: generator.permutation(N * M).reshape(N, M).astype(np.float32) - 14.2 for name in "abc"}
    agreement = compare(explainers(values), top=2).agreement
    for row, column in ((0, 1), (0, 2), (1, 2)):
        pairs = list(zip(values["abc"[row]], values["abc"[column]], strict=True))
        tops = [(top(one, 2), top(other, 2)) for one, other in pairs]
        expected = {
            "rank_correlation": [stats.spearmanr(*pair).statistic for pair in pairs],
            "top_agreement": [len(dict(one).keys() & dict(other)) / 2 for one, other in tops],
            "sign_agreement": [len(one & other) / 2 for one, other in tops],
        }
        for measure, numbers in expected.items():
            ours = agreement[measure]
            interval = stats.t.interval(0.95, N - 1, np.mean(numbers), stats.sem(numbers))
            np.testing.assert_allclose(ours.value[row, column], np.mean(numbers), atol=1e-6)
            np.testing.assert_allclose([ours.low[column, row], ours.high[row, column]], interval, atol=1e-5)
            assert ours.num_examples[row, column] == N
            assert ours.value[row, row] == 1


def test_ties_share_their_ranks_and_explanations_without_ranks_do_not_count():
    values = {"a": np.array([[3.0, 3.0, 1.0, 0.0, 0.0], [2.0] * M]), "b": np.array([[-1.0, 2.0, 2.0, 2.0, 0.0]] * 2)}
    ours = compare(explainers(values), {"size": lambda attribution: np.ones(2)}, X[:2], top=2).agreement
    correlation = stats.spearmanr(values["a"][0], values["b"][0]).statistic
    np.testing.assert_allclose(ours["rank_correlation"].value[0, 1], correlation, rtol=1e-5)
    assert ours["rank_correlation"].num_examples[0, 1] == 1
    # Of a, the first two are in the top 2, or two fifths of each; of b, two thirds of the middle three.
    np.testing.assert_allclose(ours["top_agreement"].value[0, 1], (2 / 3 + 3 * 2 / 5) / 2 / 2, rtol=1e-5)


def test_maps_are_compared_on_the_input_without_padding():
    """Values of regions are laid out, channels summed, and small maps resized: [0, 4] becomes [0, 1, 3, 4]."""
    x = np.ones((1, 1, 4, 2), np.float32)
    pixels = np.array([[0.0, 3.0], [1.0, 1.0], [0.0, 1.0], [0.0, 0.0]])[None, None]
    functions = {
        "map": lambda model, x: attribution([[[0.0, 4.0]]], axes="N h w"),
        "pixels": lambda model, x: attribution(pixels, axes="N H W C"),
        "regions": lambda model, x: attribution([[5.0, 9.0]], regions=jnp.array([[[1, 0, 0, -1]]]), axes="N M"),
    }
    one = {"one": lambda attribution: np.ones(1)}
    comparison = compare(functions, one, x, top=1)
    rows = np.array([[0, 1, 3], [3, 2, 1], [9, 5, 5]])
    expected = [stats.spearmanr(*pair).statistic for pair in (rows[[0, 1]], rows[[0, 2]], rows[[1, 2]])]
    ours = comparison.agreement["rank_correlation"].value[np.triu_indices(3, 1)]
    np.testing.assert_allclose(ours, expected, atol=1e-6)
    np.testing.assert_allclose(comparison.agreement["top_agreement"].value[np.triu_indices(3, 1)], [0, 0, 1])
    with pytest.raises(ValueError, match="`explainers` must explain the same players"):
        compare({"a": functions["map"], "b": lambda model, x: attribution([[1.0, 2.0]])}, one, x)


def test_functions_are_called_by_the_names_of_their_arguments():
    """Each explainer explains once; metrics share a key that is not that of the explainers."""
    calls, masker, masks = [], xai.mask.baseline(jnp.zeros(M)), np.ones((N, M), bool)

    def sampled(model, x, *, key, ids=None, target=None, steps=2):
        calls.append(("explainer", key, ids, target, steps))
        return attribution(x, target=jnp.full(len(x), target))

    def metric(game, attribution, maps, model, x, explainer, masks, key, ids, target, batch_size, steps=3):
        calls.append(
            ("metric", key, game, maps is attribution, explainer, masks.shape, ids.tolist(), target, batch_size)
        )
        return np.ones(len(x))

    functions = {"plain": lambda model, x: attribution(x), "sampled": functools.partial(sampled, steps=7)}
    metrics = {"all": metric, "bound": functools.partial(lambda attribution, target: np.zeros(N), target=9)}
    compare(functions, metrics, masker=masker, masks=masks, target=1, ids=np.arange(N) + 4, batch_size=2)
    (of_explainer,), of_metrics = ([call for call in calls if call[0] == role] for role in ("explainer", "metric"))
    assert of_explainer[1] is KEY
    assert of_explainer[2].tolist() == list(range(4, 4 + N))
    assert of_explainer[3:] == (1, 7)
    assert len(of_metrics) == 2
    for call, explainer in zip(of_metrics, functions.values(), strict=True):
        assert not jnp.array_equal(jax.random.key_data(call[1]), jax.random.key_data(KEY))
        assert jnp.array_equal(jax.random.key_data(call[1]), jax.random.key_data(of_metrics[0][1]))
        assert isinstance(call[2], type(xai.game(model, X, masker)))
        assert call[2].target.index.tolist() == [1] * N
        target = 1 if explainer is functions["sampled"] else None
        assert call[3:] == (True, explainer, (N, M), list(range(4, 4 + N)), target, 2)


def test_functions_of_the_package_are_named_by_themselves_and_unnamed_ones_need_a_dictionary():
    listed = compare([xai.gradient.saliency, xai.gradient.input_x_gradient], [functools.partial(sum_of, power=2)])
    assert listed.explainers == ["saliency", "input_x_gradient"]
    assert listed.metrics == ["sum_of"]
    with pytest.raises(TypeError, match="`metrics` must have names, got a list with functions without one"):
        compare(metrics=[lambda attribution: np.ones(N)])
    with pytest.raises(ValueError, match="`metrics` must have different names"):
        compare(metrics=[sum_of, sum_of])


def test_metrics_that_explain_again_get_a_target_where_the_explainer_takes_it():
    targets = []
    functions = {"taken": xai.gradient.saliency, "bound": functools.partial(xai.gradient.saliency, target=1)}

    def again(explainer, x, target=None):
        targets.append(target)
        return np.ones(len(x))

    compare(functions, {"again": again}, target=1)
    assert targets == [1, None]


def sum_of(attribution, power=1):
    return (attribution.values**power).sum(axis=1)


def test_scores_of_an_example_depend_on_its_id_alone():
    def drawn(attribution, key, ids):
        noise = jax.vmap(lambda number: jax.random.normal(jax.random.fold_in(key, number)))(ids)
        return xai.metrics.Score(attribution.values[:, 0] + noise, jnp.abs(noise), better="higher")

    functions = {"gradient": xai.gradient.saliency}
    whole = compare(functions, {"drawn": drawn}, ids=np.arange(N)).scores["gradient"]["drawn"]
    part = compare(functions, {"drawn": drawn}, X[2:4], ids=np.arange(2, 4)).scores["gradient"]["drawn"]
    np.testing.assert_allclose(part.values, whole.values[2:4], rtol=1e-6)
    np.testing.assert_allclose(part.std_errors, whole.std_errors[2:4], rtol=1e-6)
    assert (whole.metric, whole.method, whole.better) == ("drawn", "gradient", "higher")


def test_tables_say_what_was_scored(comparison):
    text = io.StringIO()
    comparison.show(Console(file=text, width=140))
    (record,) = of(comparison.table(), metric="up", explainer="a")
    line = next(line for line in text.getvalue().splitlines() if "│ a" in line)
    assert f"{record['mean']:.3g} ± {(record['high'] - record['low']) / 2:.2g}" in line
    assert f"{comparison.agreement['rank_correlation'].value[0, 1]:.2f}" in text.getvalue()
    assert "up ↑" in text.getvalue()
    assert text.getvalue().count("*") >= 3  # the best of each metric, and what the sign means


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"functions": {}}, TypeError, "`explainers` must be a dictionary of at least one function by name"),
        (
            {"metrics": ["gini"]},
            TypeError,
            r"`metrics` must be a dictionary of .*, or a list of functions, got \['gini'\]",
        ),
        ({"functions": {"a": 3}}, TypeError, r"`explainers\['a'\]` must be a function, got 3"),
        ({"functions": {"a": lambda model, x: x}}, TypeError, r"`explainers\['a'\]` must return an Attribution"),
        (
            {"functions": {"a": lambda model, x: attribution(x[:2])}},
            ValueError,
            r"`explainers\['a'\]` must explain one output of each of the 6 examples",
        ),
        (
            {
                "functions": {
                    name: lambda model, x, k=k: attribution(x, target=jnp.full(N, k)) for k, name in enumerate("ab")
                }
            },
            ValueError,
            "`explainers` must explain the same outputs, got class 0 by 'a' and class 1 by 'b' for example 0",
        ),
        (
            {"metrics": {"g": lambda game: 0}},
            ValueError,
            "`masker` must be given for the metric 'g', which takes `game`",
        ),
        ({"metrics": {"g": lambda masks: 0}}, ValueError, "`masks` must be given for the metric 'g'"),
        (
            {"metrics": {"g": lambda power: 0}},
            TypeError,
            r"`metrics\['g'\]` must take arguments among game, .*got 'power'",
        ),
        (
            {"metrics": {"g": lambda x: x}},
            ValueError,
            r"`metrics\['g'\]` must return a Score, or numbers, of each of the 6",
        ),
        (
            {"metrics": {"g": lambda explainer: xai.metrics.Score(jnp.ones(N), better=explainer.keywords["name"])}},
            ValueError,
            "must return scores of which the higher are better",
        ),
        ({"level": 95}, ValueError, "`level` must be between 0 and 1"),
        ({"top": 0}, ValueError, "`top` must be at least 1"),
    ],
)
def test_what_cannot_be_compared_is_refused(change, error, message):
    with pytest.raises(error, match=message):
        compare(**change)


def test_errors_name_the_explainer_and_the_metric():
    def broken(attribution):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError) as raised:
        compare(metrics={"broken": broken})
    of_user, of_comparison = raised.value.__notes__
    assert "called `metrics`" in of_user
    assert of_comparison == "The metric 'broken' raised this error for the explainer 'a'."


def test_a_metric_is_compiled_once_for_all_explainers():
    count = []

    @jax.jit
    def total(attribution):
        count.append(attribution.method)
        return attribution.values.sum(axis=1)

    lime = functools.partial(xai.lime.fit, num_samples=20)
    game = xai.game(model, X, xai.mask.baseline(jnp.zeros(M)))
    functions = {
        "a": lambda model, x, key: lime(game, key=key),
        "b": lambda model, x, key: xai.shap.kernel(game, key=key),
    }
    compare(functions | explainers(), {"total": total})
    assert len(count) <= 3  # with a base value that makes it efficient, with one, and without one


def test_many_explainers_at_one_line_are_no_reason_to_warn():
    """Each is a function of its own, for which a metric that explains again is compiled."""

    @xai_compiled
    def again(explainer, x):
        return explainer.content(None, x).values.sum(axis=1)

    functions = {str(k): lambda model, x, k=k: attribution(k * x) for k in range(6)}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compare(functions, {"again": lambda explainer, x: again(Explainer(explainer), x)})
