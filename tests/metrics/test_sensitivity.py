"""Sensitivity and relative stability of explanations: closed forms, and NumPy on the inputs that were explained."""

import functools
import gc
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import xaijax as xai
from xaijax.metrics._explained_again import read_task
from xaijax.metrics.robustness._sensitivity import _sensitivity

KEY = jax.random.key(3)
MATRIX = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, -0.3], [0.0, -0.3, 3.0]], np.float32)
X = np.array([[1.0, -2.0, 0.5], [0.3, 0.0, -1.5]], np.float32)
METRICS = [
    "max_sensitivity",
    "avg_sensitivity",
    "local_lipschitz",
    "relative_input_stability",
    "relative_output_stability",
]
SAMPLES = 12


def quadratic(matrix, x):
    """x^T A x / 2, with the gradient A x."""
    return jnp.einsum("nd,de,ne->n", x, matrix, x) / 2


MODEL = xai.function(quadratic, MATRIX)
saliency = xai.gradient.saliency


def recorded(metric, gradient, x=X, model=MODEL, **options):
    """The score of an explainer of NumPy, and the inputs [S, N, D] that it explained after x itself."""
    seen = []

    def explainer(model, x):
        seen.append(np.asarray(x, float))  # which a traced array refuses
        return xai.Attribution(jnp.asarray(gradient(x), jnp.float32), jnp.zeros(len(x)))

    score = getattr(xai.metrics, metric)(explainer, model, x, key=KEY, **options)
    np.testing.assert_array_equal(seen[0], x)
    return score, np.stack(seen[1:])


def expected(metric, gradient, near, outputs=None, epsilon=1e-6):
    """The formulas in float64: [S, N]."""
    phi, changed = gradient(X.astype(float)), np.stack([gradient(rows) for rows in near])
    size = lambda rows: np.sqrt((rows**2).sum(axis=-1))  # noqa: E731
    if metric.startswith("relative"):
        change = size((phi - changed) / np.where(phi == 0, epsilon, phi))
        relative = (X - near) / np.where(X == 0, epsilon, X)
        distance = size(relative) if "input" in metric else np.abs(outputs(X.astype(float)) - outputs(near))
        return change / np.maximum(distance, epsilon)
    return size(changed - phi) / (size(near - X) if metric == "local_lipschitz" else size(phi))


@pytest.mark.parametrize("metric", METRICS)
def test_scores_are_the_formulas_on_the_inputs_that_were_explained(metric):
    gradient = lambda x: x @ MATRIX.astype(float)  # noqa: E731
    outputs = lambda x: (x @ MATRIX.astype(float) * x).sum(axis=-1) / 2  # noqa: E731
    options = {"num_samples": SAMPLES, "radius": 0.3}
    score, near = recorded(metric, gradient, **options)
    samples = expected(metric, gradient, near, outputs)
    average = metric == "avg_sensitivity"
    np.testing.assert_allclose(score.values, samples.mean(axis=0) if average else samples.max(axis=0), rtol=2e-4)
    if average:
        np.testing.assert_allclose(score.std_errors, stats.sem(samples), rtol=1e-4)
    else:
        assert score.std_errors is None
    assert (near.shape, score.better) == ((SAMPLES, *X.shape), "lower")
    assert np.abs(near - X).max() <= 0.3 + 1e-6
    assert len(np.unique(near - X)) == near.size  # every number has noise of its own
    if metric in ("local_lipschitz", "relative_input_stability"):
        return
    # An explainer of JAX is compiled, and sees the same inputs.
    compiled = getattr(xai.metrics, metric)(saliency, MODEL, X, key=KEY, **options)
    np.testing.assert_allclose(compiled.values, score.values, rtol=2e-4)
    assert compiled.method == "saliency"


def test_noise_is_uniform_in_the_ball():
    radius = np.array([0.5, 0.0, 2.0])
    _, near = recorded("max_sensitivity", lambda x: x, num_samples=40, radius=radius)
    noise = (near - X.astype(float)).reshape(-1, 3)
    assert (noise[:, 1] == 0).all()  # features of radius 0 stay as they are
    for feature in (0, 2):
        assert stats.kstest(noise[:, feature] / radius[feature], stats.uniform(-1, 2).cdf).pvalue > 0.01


def test_a_linear_model_has_no_sensitivity_and_a_sphere_the_lipschitz_constant_two():
    score = xai.metrics.avg_sensitivity(saliency, lambda x: x @ MATRIX, X, key=KEY, num_samples=3, target=1)
    assert (score.values.tolist(), score.std_errors.tolist()) == ([0, 0], [0, 0])
    score = xai.metrics.local_lipschitz(saliency, xai.function(quadratic, 2 * np.eye(3)), X, key=KEY, num_samples=5)
    np.testing.assert_allclose(score.values, 2, rtol=1e-4)


@jax.jit
def noisy_gradient(model, x, target, key, ids):
    """A sampled explainer: the gradient plus noise of the key and the id."""
    noise = jax.vmap(lambda number: jax.random.normal(jax.random.fold_in(key, number), x.shape[1:]))(ids)
    score = lambda x: jnp.take_along_axis(model(x), target[:, None], axis=1).sum()  # noqa: E731
    return xai.Attribution(jax.grad(score)(x) + noise, jnp.zeros(len(x)))


def test_scores_depend_on_the_key_and_the_ids_alone():
    model = xai.function(lambda matrix, x: jnp.tanh(x @ matrix), MATRIX)
    measure = functools.partial(xai.metrics.avg_sensitivity, noisy_gradient, model, key=KEY, num_samples=5, radius=0.5)
    whole = measure(X)
    rows = np.array([1, 0])
    part = measure(X[rows], ids=rows, batch_size=1)
    np.testing.assert_allclose(part.values, whole.values[rows], rtol=1e-5)
    np.testing.assert_allclose(part.std_errors, whole.std_errors[rows], rtol=1e-4)
    assert measure(X, key=jax.random.key(4)).values[0] != whole.values[0]


def test_standard_errors_cover_the_mean_over_the_ball():
    keys, rng, radius = jax.random.split(jax.random.key(8), 200), np.random.default_rng(1), 0.8
    x = rng.normal(size=(5, 3)).astype(np.float32)
    measure = lambda key: xai.metrics.avg_sensitivity(saliency, MODEL, x, key=key, num_samples=64, radius=radius)  # noqa: E731
    scores = jax.jit(jax.vmap(measure))(keys)
    changes = rng.uniform(-radius, radius, (400_000, 3)) @ MATRIX
    truth = np.sqrt((changes**2).sum(axis=1)).mean() / np.sqrt(((x @ MATRIX) ** 2).sum(axis=1))
    covered = np.abs(scores.values - truth) <= 1.96 * np.asarray(scores.std_errors)
    assert 0.93 <= covered.mean() <= 0.97


def test_the_explainer_has_one_key_and_the_class_of_x():
    """So that a model whose explanation is constant in x scores 0 for all draws of the explainer."""
    score = xai.metrics.max_sensitivity(noisy_gradient, lambda x: x @ MATRIX, X, key=KEY, num_samples=3, radius=9.0)
    assert score.values.tolist() == [0, 0]
    target_of_each = lambda model, x: xai.gradient.saliency(model, x)  # noqa: E731
    free = xai.metrics.max_sensitivity(target_of_each, lambda x: x @ MATRIX, X, key=KEY, num_samples=3, radius=9.0)
    assert (free.values > 0).all()  # which explains other classes


def test_only_inputs_of_the_same_class_count_for_relative_stability():
    model = lambda x: jnp.stack([x[:, 0], jnp.full(len(x), 0.5)], axis=1)  # noqa: E731
    x, inverse = np.array([[0.6, 90.0, 90.0], [3.0, 90.0, 90.0]], np.float32), lambda x: 1 / np.asarray(x, float)
    score, near = recorded("relative_input_stability", inverse, x, model, num_samples=SAMPLES, radius=0.2)
    size = lambda rows: np.sqrt((rows**2).sum(axis=-1))  # noqa: E731
    ratio = size(1 - x.astype(float) / near) / size(1 - near / x.astype(float))
    inside = near[..., 0] > 0.5
    assert 0 < inside[:, 0].sum() < SAMPLES
    assert not inside[ratio[:, 0].argmax(), 0]
    np.testing.assert_allclose(score.values, np.where(inside, ratio, 0).max(axis=0), rtol=1e-4)


def test_what_is_undefined_is_nan_for_its_own_example_alone():
    measure = functools.partial(xai.metrics.avg_sensitivity, saliency, MODEL, key=KEY, num_samples=SAMPLES)
    assert np.isnan(measure(np.array([[1.0, 2.0, 3.0], [np.nan, 0.0, 0.0]], np.float32)).values).tolist() == [
        False,
        True,
    ]
    score = measure(np.array([[0.0, 0.0, 0.0], [1.0, 2.0, 3.0]], np.float32))
    assert np.isnan(score.values).tolist() == [True, False]  # the first gradient is 0, of which nothing is a part


def test_programs_are_reused_and_release_their_explainers():
    calls = []

    def counted(model, x):
        calls.append(1)
        return xai.gradient.saliency(model, x)

    measure = lambda scale: xai.metrics.max_sensitivity(  # noqa: E731
        counted, xai.function(quadratic, scale * MATRIX), X, key=KEY, num_samples=30, radius=0.1 * scale
    )
    first = measure(1.0)
    traced = len(calls)
    assert traced <= 3  # x itself, and one body for all samples
    np.testing.assert_allclose(measure(2.0).values, 2 * first.values, rtol=1e-4)
    assert len(calls) == traced

    def shape_of(explainer):
        task = read_task(explainer, MODEL, X, KEY, None, None, None, perturbed=True)
        return _sensitivity.eval_shape(task, jnp.ones(()), metric="", num_samples=1, on_host=False)

    explainers = [lambda model, x, number=number: xai.Attribution(x, x[:, number]) for number in (0, 1)]
    released = weakref.ref(explainers[0])
    shape_of(explainers.pop(0))
    for number in range(9):
        shape_of(lambda model, x, number=number: xai.Attribution(x, x[:, 0]))
    gc.collect()
    assert released() is None


def test_model_rows_are_those_of_the_explanations():
    rows = []

    def predict(x):
        rows.append(len(x))
        return np.tanh(x @ MATRIX)

    model, samples = xai.callback(predict, output_shape=3), 10
    explainer = functools.partial(xai.gradient.feature_ablation, target=1)
    x = X + 0.1  # without zeros, which may be ablated for nothing
    jax.block_until_ready(explainer(model, x).values)
    alone, rows[:] = sum(rows), []
    jax.block_until_ready(xai.metrics.max_sensitivity(explainer, model, x, key=KEY, num_samples=samples).values)
    assert sum(rows) == alone * (samples + 1)


def test_scores_are_differentiable_and_work_within_transformations():
    """f = a x + b x² / 2 has the gradient a + b x, so that the score is |b e| / |a + b x|."""
    a, b, x = 2.0, 0.7, jnp.array([[0.5], [-1.0]])

    def scores(b):
        model = xai.function(lambda a, b, x: (a * x + b * x**2 / 2).sum(axis=1), a, b)
        return xai.metrics.max_sensitivity(saliency, model, x, key=KEY, num_samples=4, radius=0.3).values

    values, slopes = jax.jit(lambda b: jax.jvp(scores, (b,), (1.0,)))(b)
    np.testing.assert_allclose(slopes, values * a / (b * (a + b * x[:, 0])), rtol=1e-4)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"explainer": 3}, r"`explainer` must be a function \(model, x, ...\), such as xai.gradient.saliency, got 3"),
        ({"explainer": lambda model, x: x}, "`explainer` must return an Attribution, got a traced array"),
        (
            {"explainer": lambda model, x: xai.Attribution(x[:1], x[:1, 0])},
            r"return values \[2, ...\] for x of 2 examples",
        ),
        (
            {"explainer": lambda model, x: saliency(model, x, target="all")},
            "`explainer` must explain one output of each",
        ),
        (
            {"explainer": lambda model, x: saliency(model, x), "target": 0},
            "`target` must be None for an explainer that has",
        ),
        ({"x": np.ones((2, 3), int)}, "`x` must be floating numbers, to which the noise is added"),
        ({"x": np.ones(3)}, r"`x` must have at least one example and one feature, \[N, ...\]"),
        ({"key": 0}, "`key` must be one JAX random key"),
        ({"ids": [1]}, r"`ids` must be integers \[2\]"),
        ({"num_samples": 0}, "`num_samples` must be at least 1"),
        ({"radius": -1.0}, "`radius` must be finite and at least 0"),
        ({"radius": np.zeros(3)}, "`radius` must be positive for at least one feature"),
        ({"radius": np.ones(2)}, r"`radius` must be a number or fit one input of shape \[3\], got shape \[2\]"),
        ({"target": 3}, "`target` must be from 0 to 0"),
        ({"target": "all"}, "`target` must be an int, ints"),
        ({"batch_size": 0}, "`batch_size` must be at least 1"),
    ],
)
def test_mistakes_are_answered_with_a_sentence(wrong, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        xai.metrics.avg_sensitivity(**{"explainer": saliency, "model": MODEL, "x": X, "key": KEY} | wrong)
    if "radius" in wrong:
        with pytest.raises(ValueError, match="`epsilon` must be"):
            xai.metrics.relative_input_stability(saliency, MODEL, X, key=KEY, epsilon=0.0)
