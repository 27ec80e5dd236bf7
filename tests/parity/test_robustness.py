"""Robustness and sanity checks next to captum and Quantus: the same network, noise, parameters and classes.

Our explainer of torch records the inputs and parameters that it gets; the peers are handed these in place of draws of their own.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests.parity._quantus import quantus

torch = pytest.importorskip("torch")
captum_metrics = pytest.importorskip("captum.metrics")

KEY, SAMPLES, RADIUS = jax.random.key(2), 6, 0.3
rng = np.random.default_rng(4)
X = rng.normal(size=(3, 6)).astype(np.float32)
PARAMETERS = [
    {"kernel": rng.normal(size=(6, 5)).astype(np.float32), "bias": rng.normal(size=5).astype(np.float32)},
    {"kernel": rng.normal(size=(5, 3)).astype(np.float32), "bias": rng.normal(size=3).astype(np.float32)},
]


def network(layers, x):
    first, second = layers
    return jnp.tanh(x @ first["kernel"] + first["bias"]) @ second["kernel"] + second["bias"]


MODEL = xai.function(network, PARAMETERS)
TARGET = np.asarray(MODEL(X)).argmax(axis=1)


def torch_network(layers=PARAMETERS):
    """The same network; layers of torch hold transposed kernels."""
    net = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Tanh(), torch.nn.Linear(5, 3))
    with torch.no_grad():
        for linear, layer in zip((net[0], net[2]), layers, strict=True):
            linear.weight.copy_(torch.tensor(np.asarray(layer["kernel"]).T))
            linear.bias.copy_(torch.tensor(np.asarray(layer["bias"])))
    return net.eval()


def gradients(net, x, target):
    """The gradients of the classes, by torch."""
    x = torch.tensor(np.asarray(x, np.float32), requires_grad=True)
    with torch.enable_grad():
        net(x)[torch.arange(len(x)), torch.tensor(np.asarray(target))].sum().backward()
    return x.grad.numpy()


def of_quantus(model, inputs, targets, **_):
    return gradients(model, inputs, targets)


@functools.cache
def recorded(metric, **options):
    """Our score with an explainer of torch, and the inputs and the parameters of its calls after the first."""
    calls = []

    def explainer(model, x, target):
        _, (layers,), _ = model.content
        calls.append((np.asarray(x), jax.tree.map(np.asarray, layers)))
        return xai.Attribution(jnp.asarray(gradients(torch_network(layers), x, target)), jnp.zeros(len(x)))

    score = getattr(xai.metrics, metric)(explainer, MODEL, X, key=KEY, **options)
    return score, [x for x, _ in calls[1:]], [layers for _, layers in calls[1:]]


def measured(metric, **options):
    """The scores of Quantus."""
    call = {"channel_first": True, "explain_func": of_quantus, "softmax": False, "batch_size": len(X)} | options
    return np.array(metric(model=torch_network(), x_batch=X.copy(), y_batch=TARGET, a_batch=None, **call))


@pytest.mark.parametrize(
    ("metric", "theirs", "options"),
    [
        ("max_sensitivity", quantus.MaxSensitivity, {}),
        ("avg_sensitivity", quantus.AvgSensitivity, {}),
        (
            "local_lipschitz",
            quantus.LocalLipschitzEstimate,
            {"normalise": False},
        ),  # values over their largest by default
        ("relative_input_stability", quantus.RelativeInputStability, {"return_nan_when_prediction_changes": False}),
        ("relative_output_stability", quantus.RelativeOutputStability, {"return_nan_when_prediction_changes": False}),
    ],
)
def test_robustness_is_that_of_quantus_for_the_same_noise(metric, theirs, options):
    radius = 0.05 if metric.startswith("relative") else RADIUS  # within which no class changes
    score, near, _ = recorded(metric, num_samples=SAMPLES, radius=radius)
    noisy = iter(near)
    perturb = lambda arr, **_: next(noisy)  # noqa: E731
    scores = measured(theirs(nr_samples=SAMPLES, perturb_func=perturb, disable_warnings=True, **options))
    np.testing.assert_allclose(score.values, scores, rtol=2e-3)


def test_a_change_of_the_class_leaves_one_sample_out_and_not_the_example_as_in_quantus():
    score, near, _ = recorded("relative_input_stability", num_samples=SAMPLES, radius=2.0)
    changed = [np.asarray(MODEL(rows)).argmax(axis=1) != TARGET for rows in near]
    some = np.any(changed, axis=0) & ~np.all(changed, axis=0)
    assert some.any()
    noisy = iter(near)
    theirs = quantus.RelativeInputStability(
        nr_samples=SAMPLES, perturb_func=lambda arr, **_: next(noisy), disable_warnings=True
    )
    scores = measured(theirs)
    np.testing.assert_array_equal(np.isnan(scores), np.any(changed, axis=0))
    np.testing.assert_array_equal(np.isnan(score.values), np.all(changed, axis=0))


def test_noise_of_quantus_for_relative_stability_is_positive_by_default():
    theirs = quantus.RelativeInputStability(nr_samples=1, disable_warnings=True)
    noise = theirs.perturb_func(arr=np.zeros((1, 500)), indices=np.arange(500)[None])
    assert 0.02 <= noise.min() < noise.max() <= 0.2
    _, near, _ = recorded("relative_input_stability", num_samples=SAMPLES, radius=0.05)
    assert (near[0] < X).any()


def test_sensitivity_is_that_of_captum():
    score, near, _ = recorded("max_sensitivity", num_samples=SAMPLES, radius=RADIUS)
    net = torch_network()

    def explain(inputs, target):
        parts = inputs if isinstance(inputs, tuple) else (inputs,)
        return tuple(torch.tensor(gradients(net, part, target)) for part in parts)

    def perturb(inputs):
        return torch.tensor(np.stack(near, axis=1).reshape(-1, 6))  # the samples of each example in a row

    options = {"target": torch.tensor(TARGET), "n_perturb_samples": SAMPLES}
    theirs = captum_metrics.sensitivity_max(explain, torch.tensor(X), perturb_func=perturb, **options)
    np.testing.assert_allclose(score.values, theirs, rtol=1e-4)
    # An explanation of 0 is no unit: captum then returns the change itself.
    zeros = captum_metrics.sensitivity_max(
        lambda inputs: tuple(map(torch.relu, inputs)) if isinstance(inputs, tuple) else torch.relu(inputs),
        torch.zeros(1, 2), perturb_func=lambda x: x + 0.5, n_perturb_samples=1,
    )  # fmt: skip
    np.testing.assert_allclose(zeros, 0.5**0.5)
    ours = xai.metrics.max_sensitivity(
        lambda model, x: xai.Attribution(jax.nn.relu(x), x[:, 0]), MODEL, np.zeros((1, 6)), key=KEY
    )
    assert np.isnan(ours.values[0])


@pytest.fixture
def draws(monkeypatch):
    """Hands Quantus the parameters that it uses in place of its own draws."""
    kind = quantus.helpers.model.pytorch_model.PyTorchModel

    def hand_over(steps):
        models = [(f"step {number}", torch_network(layers)) for number, layers in enumerate(steps)]
        monkeypatch.setattr(kind, "get_random_layer_generator", lambda self, **_: iter(models))
        monkeypatch.setattr(kind, "random_layer_generator_length", len(models))

    return hand_over


@pytest.mark.parametrize("order", ["cascading", "independent"])
def test_randomization_is_that_of_quantus_for_the_same_parameters(order, draws):
    score, _, steps = recorded("parameter_randomization", order=order)
    assert score.layers == ("1", "0")
    options = {"similarity_func": quantus.similarity_func.correlation_spearman, "disable_warnings": True}
    theirs = quantus.MPRT(**options)
    draws(steps)
    measured(theirs)
    scores = np.array([theirs.evaluation_scores[f"step {number}"] for number in range(2)])
    np.testing.assert_allclose(score.layer_values, scores.T, atol=1e-5)
    np.testing.assert_allclose(score.values, scores.mean(axis=0), atol=1e-5)
    # The average of Quantus counts the model as it is, with similarity 1, as a layer.
    average = measured(quantus.MPRT(return_average_correlation=True, **options))
    np.testing.assert_allclose(average, (1 + scores.sum(axis=0)) / 3, atol=1e-5)


def test_efficient_randomization_is_that_of_quantus(draws):
    score, _, steps = recorded("efficient_randomization", num_bins=5)
    theirs = quantus.EfficientMPRT(
        complexity_func=quantus.complexity_func.discrete_entropy,
        complexity_func_kwargs={"n_bins": 5},
        disable_warnings=True,
    )
    draws(steps)
    scores = measured(theirs, softmax=True)  # Quantus also takes the entropy of the probabilities
    np.testing.assert_allclose(score.values, scores, rtol=1e-4, atol=1e-6)


def test_random_logit_is_the_mean_of_quantus_over_its_seeds():
    score = xai.metrics.random_logit(xai.gradient.saliency, MODEL, X, key=KEY, num_samples=2)  # both other classes
    options = {"similarity_func": quantus.similarity_func.correlation_spearman, "num_classes": 3, "abs": True}
    seeds = [measured(quantus.RandomLogit(seed=seed, disable_warnings=True, **options)) for seed in range(24)]
    assert len(np.unique(np.round(seeds, 6), axis=0)) > 1
    pairs = [np.unique(np.round(column, 5)) for column in np.transpose(seeds)]  # one value for each other class
    np.testing.assert_allclose(score.values, [pair.mean() for pair in pairs], atol=1e-4)
