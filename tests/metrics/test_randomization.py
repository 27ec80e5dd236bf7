"""Sanity checks: random parameters, random classes, other keys. Expected numbers are those of NumPy and SciPy on what was explained."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import xaijax as xai
from tests import models
from xaijax._model import as_model
from xaijax.metrics._similarity import similarities
from xaijax.metrics.sanity._layers import permuted, steps_of

KEY = jax.random.key(5)
rng = np.random.default_rng(2)
X = rng.normal(size=(2, 6)).astype(np.float32)
# In alphabetical order the head comes first; it is used last.
PARAMETERS = {
    "a_head": {"kernel": rng.normal(size=(5, 3)).astype(np.float32)},
    "body": {"bias": rng.normal(size=5).astype(np.float32), "kernel": rng.normal(size=(6, 5)).astype(np.float32)},
    "scale": np.float32(2.0),
    "steps": np.arange(4),
}
saliency = xai.gradient.saliency


def network(parameters, x):
    body, head = parameters["body"], parameters["a_head"]
    return parameters["scale"] * jnp.tanh(x @ body["kernel"] + body["bias"][None]) @ head["kernel"]


MODEL = xai.function(network, PARAMETERS)


def gradient(parameters, x, target):
    """The gradient of a class, in float64."""
    kernel, bias, head = (np.asarray(part, float) for part in (*_body(parameters), parameters["a_head"]["kernel"]))
    slopes = 1 - np.tanh(x @ kernel + bias) ** 2
    return 2 * (slopes * head[:, target].T) @ kernel.T


def _body(parameters):
    return parameters["body"]["kernel"], parameters["body"]["bias"]


def spearman(left, right):
    return [stats.spearmanr(np.abs(one), np.abs(other))[0] for one, other in zip(left, right, strict=True)]


def recorded(metric, **options):
    """The score of an explainer of NumPy, and the parameters, classes and values of its calls."""
    calls = []

    def explainer(model, x, target):
        _, (parameters,), _ = model.content
        x, target = np.asarray(x, float), np.asarray(target)  # which traced arrays refuse
        calls.append((jax.tree.map(np.asarray, parameters), target, gradient(parameters, x, target)))
        return xai.Attribution(jnp.asarray(calls[-1][2], jnp.float32), jnp.zeros(len(x)), method="NumPy")

    return getattr(xai.metrics, metric)(explainer, MODEL, X, key=KEY, **options), calls


@pytest.mark.parametrize("order", ["cascading", "independent"])
def test_layers_are_permuted_in_their_order(order):
    score, [(as_it_is, target, values), *calls] = recorded("parameter_randomization", order=order, num_samples=2)
    assert (score.layers, score.order, score.method, score.better) == (("a_head", "body"), order, "NumPy", "lower")
    np.testing.assert_array_equal(target, np.asarray(MODEL(X)).argmax(axis=1))
    assert len(calls) == 2 * 2  # as many explanations as draws and layers, next to the first
    for number, (parameters, same_target, _) in enumerate(calls):
        np.testing.assert_array_equal(same_target, target)  # also where another class is on top now
        changed = {0: ["a_head"], 1: ["a_head", "body"] if order == "cascading" else ["body"]}[number % 2]
        for layer in ("a_head", "body"):
            for name, array in as_it_is[layer].items():
                if name == "kernel":  # five biases may be drawn in their own order
                    assert (parameters[layer][name] == array).all() == (layer not in changed)
                np.testing.assert_array_equal(np.sort(parameters[layer][name], axis=None), np.sort(array, axis=None))
        np.testing.assert_array_equal(parameters["steps"], as_it_is["steps"])
    assert (calls[0][0]["a_head"]["kernel"] != calls[2][0]["a_head"]["kernel"]).any()
    expected = np.array([spearman(values, changed) for _, _, changed in calls]).reshape(2, 2, 2)  # draw, layer, example
    np.testing.assert_allclose(score.layer_values, expected.mean(axis=0).T, atol=1e-5)
    np.testing.assert_allclose(score.values, expected.mean(axis=(0, 1)), atol=1e-5)
    np.testing.assert_allclose(score.std_errors, stats.sem(expected.mean(axis=1)), atol=1e-5)
    if order == "cascading":
        np.testing.assert_array_equal(calls[0][0]["a_head"]["kernel"], calls[1][0]["a_head"]["kernel"])
        compiled = xai.metrics.parameter_randomization(saliency, MODEL, X, key=KEY, num_samples=2)
        np.testing.assert_allclose(compiled.layer_values, score.layer_values, atol=1e-5)


def test_each_array_is_permuted_by_itself_in_any_order():
    model = xai.function(lambda a, b, x: x @ a + b, np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0], np.float16))
    draw = jax.jit(jax.vmap(lambda key: permuted(model, key, [True, True])))
    first, second = map(np.asarray, draw(jax.random.split(KEY, 1200)))
    for drawn, orders in ((first, 6), (second, 2)):
        counts = np.unique(drawn, axis=0, return_counts=True)[1]
        assert len(counts) == orders
        assert stats.chisquare(counts).pvalue > 0.01
    assert second.dtype == np.float16


def test_complexity_is_the_entropy_of_the_histogram():
    score, [(_, _, values), (parameters, _, changed)] = recorded("efficient_randomization", num_bins=4)
    assert all((parameters[layer]["kernel"] != PARAMETERS[layer]["kernel"]).any() for layer in ("a_head", "body"))
    entropies = [[stats.entropy(np.histogram(row, 4)[0]) for row in rows] for rows in (values, changed)]
    np.testing.assert_allclose(score.values, np.divide(*entropies[::-1]) - 1, rtol=1e-5)
    assert (score.std_errors, score.better) == (None, "higher")


def test_constant_explanations_share_nothing_with_others():
    original = np.array([[1.0, -2.0, 3.0], [2.0, 2.0, 2.0], [0.0, 0.0, 0.0], [1.0, 2.0, np.nan]])
    others = np.array([[2.0, -2.0, 2.0], [1.0, 2.0, 3.0], [1.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    for name, first in (
        ("absolute_rank_correlation", 0),
        ("rank_correlation", stats.spearmanr(original[0], others[0])[0]),
    ):
        values = np.asarray(similarities(name, original, others))
        np.testing.assert_allclose(values, [first, np.nan, np.nan, np.nan], atol=1e-6)
    cosines = np.asarray(similarities("cosine", original[:3], others[:3] * [[1.0], [0.0], [1.0]]))
    np.testing.assert_allclose(cosines, [12 / np.sqrt(14 * 12), 0, np.nan], atol=1e-6)


def edges(model, x):
    """A detector of edges, which ignores the model."""
    return xai.Attribution(jnp.abs(jnp.diff(x, axis=1)).sum(axis=-1), x[:, 0, 0, 0], axes="N h w")


def test_methods_that_ignore_the_parameters_are_exposed():
    model, x = models.function_net(), models.images()
    measure = functools.partial(xai.metrics.parameter_randomization, model=model, x=x, key=KEY, similarity="cosine")
    ignoring, sensitive = measure(edges), measure(saliency)
    assert sensitive.layers == ignoring.layers == ("head", "kernel")
    np.testing.assert_allclose(ignoring.layer_values, 1, atol=1e-5)
    assert sensitive.layer_values[:, -1].mean() < 0.5  # after all parameters are drawn


def test_layers_are_modules_in_the_order_of_their_use():
    layers = lambda model, x: steps_of(as_model(model), x, None).layers  # noqa: E731
    images = models.images()
    assert layers(models.linen_net(), images) == ("head", "norm", "conv")
    blocks = [f"blocks/{number}/{part}" for number in (1, 0) for part in ("norm", "conv")]
    assert layers(models.nnx_net(), images) == ("head", *blocks, "stem")
    whole = xai.function(lambda net, x: {"logits": net(x)}, models.nnx_net())
    assert layers(xai.model(whole, output="logits"), images) == ("head", *blocks, "stem")
    assert layers(models.text_net(), models.sentences()) == ("head", "embedding")
    pair = xai.function(
        lambda w, b, x: x.astype(jnp.bfloat16) @ w.astype(jnp.bfloat16) + b, np.ones((6, 2)), np.ones(2)
    )
    assert layers(pair, X) == ("1", "0")
    steps = steps_of(MODEL, X, ("body/kernel", "a_head", "body"))
    names = np.array(MODEL.parameter_names())
    assert [names[drawn].tolist() for drawn in steps.drawn] == [
        ["body/kernel"], ["a_head/kernel"], ["body/bias", "body/kernel"],
    ]  # fmt: skip


def test_parameters_of_every_framework_have_names_and_statistics_have_none():
    equinox, haiku, keras = (pytest.importorskip(name) for name in ("equinox", "haiku", "keras"))
    named = lambda model: [name for name in as_model(model).parameter_names() if name is not None]  # noqa: E731
    assert named(equinox.nn.MLP(2, 3, 4, 1, key=KEY)) == [
        f"layers/{number}/{part}" for number in (0, 1) for part in ("weight", "bias")
    ]
    transformed = haiku.without_apply_rng(haiku.transform(lambda x: haiku.Linear(2)(x)))
    assert named(xai.haiku(transformed, transformed.init(KEY, X))) == ["linear/b", "linear/w"]
    layers = [keras.layers.Dense(2, name="dense"), keras.layers.BatchNormalization(name="norm")]
    names = named(keras.Sequential([keras.Input((6,)), *layers], name="net"))
    assert names == ["net/dense/kernel", "net/dense/bias", "net/norm/gamma", "net/norm/beta"]
    norm = ["norm/bias", "norm/scale"]
    assert [name for name in named(models.linen_net()) if "norm" in name] == norm
    assert [name for name in named(models.relu_net()) if "norm" in name] == norm


LOGITS = rng.normal(size=(6, 5)).astype(np.float32)


def linear(x):
    return x @ LOGITS


def test_other_classes_are_drawn_without_replacement():
    targets = []

    def explainer(model, x, target):
        targets.append(np.asarray(target))
        return xai.Attribution(jnp.asarray(LOGITS.T[targets[-1]]), jnp.zeros(len(x)))

    explained = np.array([1, 4])
    score = xai.metrics.random_logit(explainer, linear, X, key=KEY, target=explained, num_samples=3)
    first, *others = targets
    np.testing.assert_array_equal(first, explained)
    assert all(len({*row}) == 4 for row in np.stack(targets, axis=1))  # the class itself and three others
    expected = np.array([spearman(LOGITS.T[other], LOGITS.T[explained]) for other in others])
    np.testing.assert_allclose(score.values, expected.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(score.std_errors, stats.sem(expected) * np.sqrt(1 - 3 / 4), atol=1e-5)
    whole = xai.metrics.random_logit(saliency, linear, X, key=KEY, target=explained, num_samples=9, similarity="cosine")
    unit = LOGITS.T / np.linalg.norm(LOGITS.T, axis=1)[:, None]
    np.testing.assert_allclose(whole.values, ((unit @ unit.T)[explained].sum(axis=1) - 1) / 4, atol=1e-5)
    assert whole.std_errors.tolist() == [0, 0]


def noisy(model, x, key, ids):
    """Values with noise of the key and the id."""
    noise = jax.vmap(lambda number: jax.random.normal(jax.random.fold_in(key, number), x.shape[1:]))(ids)
    return xai.Attribution(x + noise, x[:, 0], method="noisy")


def test_pairs_of_keys_agree_as_much_as_their_explanations():
    values = []

    def explainer(model, x, key, ids):
        values.append(np.asarray(noisy(model, x, key, ids).values))
        return noisy(model, x, key, ids)

    score = xai.metrics.key_agreement(explainer, linear, X, key=KEY, num_samples=3)
    pairs = np.stack(values).reshape(3, 2, *X.shape)
    assert len(np.unique(pairs)) == pairs.size
    expected = [[stats.spearmanr(*explained).statistic for explained in zip(*pair, strict=True)] for pair in pairs]
    np.testing.assert_allclose(score.values, np.mean(expected, axis=0), atol=1e-5)
    np.testing.assert_allclose(score.std_errors, stats.sem(expected), atol=1e-5)
    assert (score.better, score.method) == ("higher", "noisy")
    strongest = np.sort(np.argsort(-np.abs(pairs), axis=3)[..., :2], axis=3)
    shared = [[np.isin(*explained).mean() for explained in zip(*pair, strict=True)] for pair in strongest]
    top = xai.metrics.key_agreement(explainer, linear, X, key=KEY, num_samples=3, agreement="top_agreement", top=2)
    np.testing.assert_allclose(top.values, np.mean(shared, axis=0), atol=1e-5)


CLASSES = rng.normal(size=(6, 40)).astype(np.float32)
MANY = np.repeat(X, 3, axis=0)


def _of_keys(key):
    return xai.metrics.key_agreement(noisy, lambda x: x, CLASSES, key=key, num_samples=48)  # 40 players


def _of_classes(key):
    target = np.arange(len(MANY))
    return xai.metrics.random_logit(saliency, lambda x: x @ CLASSES, MANY, key=key, num_samples=20, target=target)


def _of_parameters(key):
    model = xai.function(lambda kernel, x: x @ kernel, CLASSES[:, 0])
    return xai.metrics.parameter_randomization(saliency, model, X[:1], key=key, num_samples=48, similarity="cosine")


@pytest.mark.parametrize(
    "measure", [*(pytest.param(each, marks=pytest.mark.slow) for each in (_of_keys, _of_classes)), _of_parameters]
)
def test_standard_errors_cover_the_means(measure):
    """The mean over all keys stands for the truth; of the classes it is that over all others, which is known."""
    scores = jax.jit(jax.vmap(measure))(jax.random.split(jax.random.key(9), 1000 if measure is _of_parameters else 200))
    truth = np.asarray(scores.values).mean(axis=0)
    if measure is _of_classes:
        ranks = stats.rankdata(np.abs(CLASSES), axis=0)
        exact = (np.corrcoef(ranks.T)[: len(MANY)].sum(axis=1) - 1) / 39
        np.testing.assert_allclose(truth, exact, atol=0.02)
        truth = exact
    covered = np.abs(scores.values - truth) <= 1.96 * np.asarray(scores.std_errors)
    assert 0.93 <= covered.mean() <= 0.97


def test_scores_depend_on_the_key_and_the_ids_alone_and_programs_are_reused():
    calls = []

    def counted(model, x, target, key, ids):
        calls.append(1)
        answer = noisy(model, x, key, ids)
        return xai.Attribution(answer.values * saliency(model, x, target=target).values, answer.output)

    for measure in (xai.metrics.parameter_randomization, xai.metrics.random_logit):
        calls.clear()
        whole = measure(counted, MODEL, X, key=KEY, num_samples=2)
        assert len(calls) <= 4
        calls.clear()
        again = measure(counted, xai.function(network, jax.tree.map(np.copy, PARAMETERS)), X, key=KEY, num_samples=2)
        assert not calls
        np.testing.assert_array_equal(again.values, whole.values)
    part = measure(counted, MODEL, X[::-1], key=KEY, num_samples=2, ids=np.array([1, 0]), batch_size=1)
    np.testing.assert_allclose(part.values, whole.values[::-1], atol=1e-5)
    undefined = xai.metrics.parameter_randomization(
        saliency, MODEL, np.stack([X[0], np.full(6, np.nan)]), key=KEY, num_samples=2
    )
    assert np.isnan(undefined.values).tolist() == [False, True] == np.isnan(undefined.layer_values).all(axis=1).tolist()


def test_devices_and_types_change_nothing():
    def measure(x, model=MODEL):
        return xai.metrics.parameter_randomization(saliency, model, x, key=KEY, similarity="cosine")

    expected = measure(X).layer_values
    mesh = jax.make_mesh((2,), ("n",), axis_types=(jax.sharding.AxisType.Explicit,))
    sharded = jax.device_put(X, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("n")))
    np.testing.assert_allclose(measure(sharded).layer_values, expected, atol=1e-6)
    with jax.enable_x64(True), jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        parameters = {**PARAMETERS, "scale": 2.0, "body": jax.tree.map(np.float64, PARAMETERS["body"])}
        parameters["a_head"] = jax.tree.map(np.float64, PARAMETERS["a_head"])
        wide = measure(X.astype(float), xai.function(network, parameters)).layer_values
    assert wide.dtype == np.float64
    np.testing.assert_allclose(wide, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("metric", "wrong", "sentence"),
    [
        ("parameter_randomization", {"order": "top"}, "`order` must be one of"),
        ("parameter_randomization", {"similarity": "ssim"}, "`similarity` must be one of"),
        ("parameter_randomization", {"layers": "body"}, "`layers` must be a list of paths of layers"),
        ("parameter_randomization", {"layers": ["bod"]}, r"got 'bod' \(did you mean 'body'\?\): the model has \['a_head', 'body'\]"),
        ("parameter_randomization", {"model": linear}, "`model` must have floating parameters .* function closes over them"),
        ("efficient_randomization", {"num_bins": 1}, "`num_bins` must be at least 2"),
        ("efficient_randomization", {"model": xai.callback(np.tanh, output_shape=6)}, "`model` must have floating parameters"),
        ("random_logit", {"explainer": lambda model, x: x}, "`explainer` must take the class as its argument `target`"),
        ("random_logit", {"explainer": functools.partial(saliency, target=1)}, "`explainer` must take the class"),
        ("random_logit", {"model": lambda x: x[:, 0]}, r"`model` must have at least two classes, outputs \[N, K\], got outputs \[2\]"),
        ("random_logit", {"target": lambda outputs: outputs[:, 0]}, "`target` must be an int"),
        ("random_logit", {"num_samples": 0}, "`num_samples` must be at least 1"),
        ("key_agreement", {}, "`explainer` must take an argument `key`"),
        ("key_agreement", {"explainer": noisy, "agreement": "kendall"}, "`agreement` must be one of"),
        ("key_agreement", {"explainer": noisy, "top": 0}, "`top` must be at least 1"),
    ],
)  # fmt: skip
def test_mistakes_are_answered_with_a_sentence(metric, wrong, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        getattr(xai.metrics, metric)(**{"explainer": saliency, "model": MODEL, "x": X, "key": KEY} | wrong)
