"""Functions on the host are models: the numbers of the same function in JAX, under every transformation, and plain errors."""

import functools
import math
import pickle
from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests import models
from tests.scale._sources import Rows
from xaijax._io.fingerprint import digest
from xaijax._model import _callback, as_model

KEY = jax.random.key(3)
FEATURES = 5
PARAMETERS = jax.tree.map(np.asarray, models.table_net(FEATURES).content[1][0])
MASKER = xai.mask.background(models.rows(3, FEATURES, seed=1))


def perceptron(x, parameters=PARAMETERS):
    """The function of `models.table_net`, in NumPy."""
    assert isinstance(x, np.ndarray)
    hidden = np.tanh(x @ parameters["w1"] + parameters["b1"])
    return hidden @ parameters["w2"] + x[:, :1] * x[:, 1:2]


def exact(model, x, **options):
    return xai.shap.exact(xai.game(model, x, MASKER, target=1), **options).values


def lime(model, x):
    statistics = xai.lime.statistics(models.rows(20, FEATURES, seed=2))
    return xai.lime.tabular(model, x, statistics, key=KEY, target=1, num_samples=48).values


def under_jit(model, x):
    return jax.jit(functools.partial(exact, model))(x)


def under_vmap(model, x):
    return jax.vmap(lambda row: exact(model, row[None])[0])(x)


def under_scan(model, x):
    return jax.lax.scan(lambda carry, batch: (carry, exact(model, batch)), 0, x.reshape(2, 2, -1))[1].reshape(x.shape)


def sharded(model, x):
    mesh = jax.make_mesh((4,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:4])
    return exact(model, jax.device_put(x, jax.NamedSharding(mesh, jax.P("batch"))))


def strict(model, x):
    xai.clear_caches()
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"), jax.debug_nans(True):
        return exact(model, x)


def curve(model, x):
    return xai.metrics.partial_dependence(model, x, 0, num_points=4, target=1).mean


EXPLAINED = [exact, lime, under_jit, under_vmap, under_scan, sharded, strict, curve]


@pytest.mark.parametrize("explain", EXPLAINED, ids=lambda explain: explain.__name__)
def test_a_callback_gives_the_numbers_of_the_function_in_jax(explain):
    x = models.rows(4, FEATURES)
    expected = explain(models.table_net(FEATURES), x)
    assert jnp.abs(expected).max() > 0.1
    np.testing.assert_allclose(explain(xai.callback(perceptron), x), expected, atol=1e-5)


def test_double_precision_reaches_the_function(float64):
    x = np.linspace(0, 1, 10).reshape(2, FEATURES) + 1e-12
    model = xai.callback(lambda x: x.sum(axis=1) - 5e-12)
    np.testing.assert_allclose(model(x), x.sum(axis=1) - 5e-12, atol=1e-15)
    game = xai.game(model, x, xai.mask.baseline(np.zeros(FEATURES)))
    np.testing.assert_allclose(xai.shap.exact(game).values, x, atol=1e-14)


def test_blocks_hold_at_most_batch_size_rows_and_equal_rows_once():
    sizes, total = [], []

    def counted(x):
        assert len(np.unique(x, axis=0)) == len(x)
        sizes.append(len(x))
        total.extend(map(bytes, x))
        return perceptron(x)

    x = models.rows(2, FEATURES)
    values = exact(xai.callback(counted, output_shape=3, batch_size=7), x)
    np.testing.assert_allclose(values, exact(models.table_net(FEATURES), x), atol=1e-5)
    assert max(sizes) == 7
    # 2 examples, 32 coalitions, 3 references: the grand coalition has one row for 3, the empty one 3 rows for 2 examples.
    assert len(total) == 2 * (30 * 3 + 1) + 3


def test_inputs_of_several_arrays_and_outputs_of_any_shape():
    def both(x):
        return np.stack([x["a"] * x["b"][:, :1], x["a"]], axis=2)

    masker = xai.mask.joint({"a": xai.mask.baseline(jnp.zeros(2)), "b": xai.mask.baseline(jnp.zeros(1))})
    x = {"a": jnp.array([[1.0, 2.0], [3.0, 4.0]]), "b": jnp.array([[5.0], [6.0]])}
    score = lambda y: y[:, :, 0].sum(axis=1)  # noqa: E731
    values = xai.shap.exact(xai.game(xai.callback(both), x, masker, target=score)).values
    np.testing.assert_allclose(values, [[2.5, 5, 7.5], [9, 12, 21]], atol=1e-5)


def test_new_parameters_of_the_same_object_compile_nothing(monkeypatch):
    class Linear:
        weights = np.arange(1.0, 6)

        def predict(self, x):
            return x @ self.weights

    traces, evaluate = [], _callback._evaluate
    monkeypatch.setattr(_callback, "_evaluate", lambda *arguments: traces.append(1) or evaluate(*arguments))
    model, x = Linear(), models.rows(2, FEATURES)
    masker = xai.mask.baseline(jnp.zeros(FEATURES))
    explain = lambda: xai.shap.exact(xai.game(model, x, masker, target=0)).values  # noqa: E731
    np.testing.assert_allclose(explain(), x * model.weights, atol=1e-5)
    before = len(traces)
    assert before > 0
    model.weights = -model.weights
    np.testing.assert_allclose(explain(), x * model.weights, atol=1e-5)
    assert len(traces) == before


def test_several_functions_at_one_line_give_no_warning(recwarn):
    x = models.rows(2, FEATURES)
    for factor in range(6):
        explained = exact(xai.callback(lambda x, factor=factor: factor * x[:, :2]), x)
        np.testing.assert_allclose(explained[:, 1], factor * (x - MASKER.rows.mean(axis=0))[:, 1], atol=1e-5)
    assert not [warning for warning in recwarn if "compiled" in str(warning.message)]


def fails_later(x):
    if len(x) > 2:
        raise LookupError("no such row")
    return perceptron(x)


def nan_later(x):
    return np.where(np.arange(len(x))[:, None] == 2, np.nan, perceptron(x)) if len(x) > 2 else perceptron(x)


def later(outputs):
    return lambda x: outputs(x) if len(x) > 2 else perceptron(x)


WRONG = {
    "one row too few": (
        lambda x: perceptron(x)[1:],
        "must return one row for each of its 2 rows, got shape \\[1, 3\\]",
    ),
    "one row too few, later": (later(lambda x: perceptron(x)[1:]), "must return one row for each of its"),
    "a number": (lambda x: 3.0, r"must return one row for each of its 2 rows, got shape \[\]"),
    "NaN": (nan_later, r"must return numbers, got NaN from nan_later in \d+ of \d+ rows \(the first for x = \["),
    "strings": (lambda x: ["a"] * len(x), "must return an array of numbers, got strings such as 'a'"),
    "strings, later": (
        later(lambda x: np.array(["a"] * len(x))),
        "must return an array of numbers, got strings such as 'a'",
    ),
    "a dict": (lambda x: {"a": x}, "must return an array of numbers, got a dict"),
    "nothing": (lambda x: None, "must return an array of numbers, got None"),
    "another shape, later": (later(lambda x: x), r"must return outputs of shape \[\d+, 3\], got \[\d+, 5\]"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_outputs_are_answered_in_one_sentence(name):
    predict, sentence = WRONG[name]
    with pytest.raises((TypeError, ValueError), match=f"`predict` {sentence}") as caught:
        exact(xai.callback(predict), models.rows(2, FEATURES) * 2)
    assert "\n" not in str(caught.value)


def test_errors_of_the_function_are_raised_as_they_are(caplog):
    x = models.rows(2, FEATURES)
    with pytest.raises(LookupError, match="no such row") as caught:
        exact(xai.callback(fails_later), x)
    assert caught.traceback[-1].name == "fails_later"
    assert "`predict`, fails_later, raised this error on the host, for x of float32[" in caught.value.__notes__[0]
    assert not caplog.records  # JAX prints errors within callbacks; this one never left
    with pytest.raises(LookupError, match="no such row"):
        exact(xai.callback(fails_later, batch_size=4), x)
    calls = []
    with pytest.raises(LookupError):  # and the function is not called again
        exact(
            xai.callback(lambda x: calls.append(len(x)) or fails_later(x), batch_size=4, output_shape=3),
            x,
            batch_size=6,
        )
    assert len(calls) == 1


def test_errors_within_the_users_own_jit_show_the_function():
    with pytest.raises(jax.errors.JaxRuntimeError, match=r"in fails_later\nLookupError: no such row"):
        jax.jit(functools.partial(exact, xai.callback(fails_later)))(models.rows(2, FEATURES)).block_until_ready()


def test_no_rows_have_no_outputs():
    rows = np.zeros((0, FEATURES), np.float32)
    assert xai.callback(lambda x: x[:, :2], output_shape=(2,))(rows).shape == (0, 2)
    with pytest.raises(ValueError, match=r"`x` must have a row where the shape .* got 0 rows: pass output_shape="):
        xai.callback(lambda x: x[:, :2])(rows)


def test_a_function_that_does_not_take_zeros_is_told_to_give_its_shape():
    def positive(x):
        if (x == 0).all():
            raise ValueError("logarithm of zero")
        return np.log(np.abs(x))

    x = models.rows(2, FEATURES)
    with pytest.raises(ValueError, match="logarithm of zero") as caught:
        jax.jit(functools.partial(exact, xai.callback(positive)))(x)
    assert "pass xai.callback(predict, output_shape=...)" in caught.value.__notes__[1]
    assert jax.jit(functools.partial(exact, xai.callback(positive, output_shape=FEATURES)))(x).shape == x.shape
    assert exact(xai.callback(positive), x).shape == x.shape  # shown by rows of x


def pooled(a):
    return a.mean(axis=(1, 2))


GRADIENTS = {
    "expected_gradients": lambda: xai.shap.expected_gradients(
        xai.callback(perceptron), models.rows(2, FEATURES), models.rows(3, FEATURES), key=KEY
    ),
    "grad_cam": lambda: xai.cam.grad_cam(xai.compose(lambda x: x, xai.callback(pooled)), models.images()),
    "jax.grad": lambda: jax.grad(lambda x: exact(xai.callback(perceptron), x).sum())(models.rows(2, FEATURES)),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_methods_that_differentiate_refuse(name):
    with pytest.raises(
        TypeError, match=r"`model` must be written in JAX for .*, got xai\.callback\(.*has no derivatives"
    ):
        GRADIENTS[name]()


def test_methods_for_layers_refuse_and_those_that_evaluate_the_rest_do_not():
    with pytest.raises(ValueError, match=r"`layer` must.* a model of xai\.callback runs on the host"):
        xai.cam.grad_cam(xai.callback(pooled), models.images())
    head = np.asarray(jax.random.normal(KEY, (2, 3)))
    both = [
        xai.compose(jnp.tanh, part) for part in (xai.callback(lambda a: pooled(a) @ head), lambda a: pooled(a) @ head)
    ]
    on_host, in_jax = (xai.cam.ablation_cam(model, models.images(), target=1).values for model in both)
    np.testing.assert_allclose(on_host, in_jax, atol=1e-5)


def test_a_store_of_a_callback_is_resumed_by_the_same_function_alone(tmp_path):
    def run(weights):
        model = xai.callback(functools.partial(np.dot, b=weights))
        explainer = jax.tree_util.Partial(lambda model, x: xai.shap.exact(xai.game(model, x, zeros)), model)
        options = {"batch_size": 5, "progress": False, "devices": jax.devices()[:1]}
        return xai.scale.explain_dataset(explainer, Rows(8), tmp_path / "s", **options)

    zeros = xai.mask.baseline(jnp.zeros(6))
    run(np.arange(6.0))
    values = np.cos(np.arange(6) + np.arange(8)[:, None]) * np.arange(6)
    np.testing.assert_allclose(xai.load(tmp_path / "s").values, values, atol=1e-5)
    assert run(np.arange(6.0)).rows_reused == 8
    with pytest.raises(ValueError, match="the program changed"):
        run(np.arange(6.0) + 1)


def test_the_fingerprint_of_a_forest_is_that_of_its_trees():
    ensemble = pytest.importorskip("sklearn.ensemble")
    x = np.asarray(models.rows(30, 3))
    for kind in (ensemble.RandomForestRegressor, ensemble.GradientBoostingRegressor):
        first, again, other = (kind(n_estimators=2, random_state=1).fit(x, factor * x[:, 0]) for factor in (1, 1, 2))
        other.__dict__.update({name: value for name, value in vars(first).items() if name != "estimators_"})
        digests = [
            digest(xai.callback(forest.predict)) for forest in (first, again, other, pickle.loads(pickle.dumps(first)))
        ]
        assert digests[0] == digests[1] == digests[3] != digests[2]


def test_an_exported_explainer_cannot_hold_a_callback(tmp_path):
    with pytest.raises(TypeError, match="`explainer` must be written in JAX to be exported"):
        xai.scale.export(
            lambda x: xai.shap.exact(xai.game(xai.callback(perceptron), x, MASKER)), np.ones((1, 5)), tmp_path / "a"
        )


LONG = {"predict": 3, "decode": 4, "batch_size": 0, "output_shape": "a"}


@pytest.mark.parametrize("name", LONG)
def test_wrong_arguments_are_named(name):
    with pytest.raises((TypeError, ValueError), match=f"`{name}` must be"):
        xai.callback(**{"predict": perceptron, name: LONG[name]})


# Estimators.


@functools.cache
def forest():
    ensemble, datasets = pytest.importorskip("sklearn.ensemble"), pytest.importorskip("sklearn.datasets")
    x, y = datasets.load_breast_cancer(return_X_y=True)
    x = x[:, :7].astype(np.float32)
    return ensemble.RandomForestClassifier(12, max_depth=5, random_state=0).fit(x[20:], y[20:]), x


def enumerated(predict, x, background):
    """Shapley values of one row by the sum over all coalitions (Shapley, 1953), in float64."""
    players = range(len(x))

    def value(coalition):
        rows = background.copy()
        rows[:, list(coalition)] = x[list(coalition)]
        return predict(rows)[:, 1].mean()

    worth = {c: value(c) for size in range(len(x) + 1) for c in combinations(players, size)}
    count = math.factorial(len(x))
    weight = lambda size: math.factorial(size) * math.factorial(len(x) - size - 1) / count  # noqa: E731
    gain = lambda c, i: worth[tuple(sorted({*c, i}))] - worth[c]  # noqa: E731
    return [sum(weight(len(c)) * gain(c, i) for c in worth if i not in c) for i in players]


def test_exact_shapley_values_of_a_forest_are_those_of_their_definition():
    model, x = forest()
    explained = xai.shap.values(model, x[:10], xai.mask.background(x[100:110]), key=KEY, target=1)
    assert explained.estimator == "exact"
    # Two of the rows by enumeration, 128 calls of the forest each; tests/parity compares all ten with the package shap.
    expected = [enumerated(model.predict_proba, row, x[100:110]) for row in x[:2]]
    np.testing.assert_allclose(explained.values[:2], expected, atol=1e-6)


def test_estimators_are_their_probabilities_decisions_or_predictions():
    linear, svm, multi = (pytest.importorskip(f"sklearn.{name}") for name in ("linear_model", "svm", "multioutput"))
    x, y = np.asarray(models.rows(40, 3)), np.arange(40) % 3
    classifier = linear.LogisticRegression().fit(x, y)
    machine = svm.LinearSVC().fit(x, y)
    regressor = linear.Ridge().fit(x, y)
    for estimator, outputs in [
        (classifier, classifier.predict_proba),
        (classifier.predict_log_proba, classifier.predict_log_proba),
        (machine, machine.decision_function),
        (regressor, regressor.predict),
    ]:
        np.testing.assert_allclose(as_model(estimator)(x), outputs(x), atol=1e-6)
    several = multi.MultiOutputClassifier(classifier).fit(x, np.stack([y, y], axis=1))
    with pytest.raises((TypeError, ValueError), match="`predict` must return one row for each of its 40 rows"):
        as_model(several)(x)


@pytest.mark.filterwarnings("error")
def test_an_estimator_of_a_data_frame_gets_data_frames():
    pandas, linear = pytest.importorskip("pandas"), pytest.importorskip("sklearn.linear_model")
    frame = pandas.DataFrame(np.asarray(models.rows(20, 3)), columns=["a", "b", "c"])
    model = linear.Ridge().fit(frame, frame["a"] - 2 * frame["b"])
    explained = xai.shap.values(model, frame[:2], xai.mask.background(frame), key=KEY)
    expected = model.coef_ * (frame[:2] - frame.mean())
    np.testing.assert_allclose(explained.values, expected, atol=1e-5)


# Texts.


def cheerful(texts):
    """Two scores of strings, for which the order of words counts."""
    assert all(isinstance(text, str) for text in texts)
    return np.array([[text.count("good") - 2.0 * ("not good" in text), len(text.split())] for text in texts])


def test_strings_reach_a_function_without_their_absent_words():
    texts = ["not good 😀", "good, good film"]
    options = {"key": KEY, "target": "all", "num_samples": 100, "bag_of_words": False}
    words = xai.lime.strings(xai.callback(cheerful), texts, **options)
    assert [words.player_names(i)[:3] for i in (0, 1)] == [["not", "good", "😀"], ["good", "good", "film"]]
    np.testing.assert_allclose(words.output, cheerful(texts))
    np.testing.assert_allclose(words.values[1, :3, 0], [1, 1, 0], atol=0.01)  # each good counts for itself
    assert words.values[0, 1, 0] < 0.5  # but not behind a "not"
    owners = [0] * 4 + [-1] * 2 + [1] * 4 + [-1] + [2] * 4 + [-1] * 49  # of 64 characters
    np.testing.assert_array_equal(words.regions[1], owners)


def test_a_decoder_gives_strings_to_games_of_tokens():
    vocabulary = ["", "?", "good", "not", "film"]
    decode = lambda ids: " ".join(vocabulary[number] for number in ids if number)  # noqa: E731
    model = xai.callback(cheerful, decode=decode)
    ids = jnp.array([[3, 2, 4, 0], [2, 4, 2, 0]])
    game = xai.game(model, ids, xai.mask.tokens(1, pad_id=0), target=0)
    # "not good" has 1 - 2, and "good" alone 1: half of the pair's -2 belongs to either word.
    np.testing.assert_allclose(xai.shap.exact(game).values, [[-1, 0, 0, 0], [1, 0, 1, 0]], atol=1e-6)


def test_strings_need_a_tokenizer_for_models_of_tokens():
    for model in (lambda ids: ids.sum(axis=1), xai.callback(cheerful, decode=str)):
        with pytest.raises(TypeError, match="`tokenizer` must map a string to its ids, got None"):
            xai.lime.strings(model, ["a b"], key=KEY)
