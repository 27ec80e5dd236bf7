"""docs/torch.md: a module of torch is explained by its values through `xai.callback`, and by its gradients."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch")

import xaijax as xai  # noqa: E402
from tests.explainers import KEY  # noqa: E402

TEXT = (Path(__file__).parents[2] / "docs" / "torch.md").read_text()
PAGE, (WITH_TORCHAX,) = {}, re.findall(r"```python torchax\n(.*?)```", TEXT, flags=re.DOTALL)
exec("\n".join(re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)), PAGE)
in_jax, FEATURES, HEAD, X = (PAGE[name] for name in ("in_jax", "features", "head", "images"))
NET = torch.nn.Sequential(FEATURES, HEAD)


def plain(parameters, x):
    kernel, bias, weights, shift = parameters
    hidden = jnp.tanh(jax.lax.conv(x, kernel, (1, 1), "SAME") + bias[:, None, None])
    return xai.tag(hidden, "features").mean(axis=(2, 3)) @ weights.T + shift


def plain_model():
    return xai.function(plain, [jnp.asarray(leaf.detach().numpy()) for leaf in NET.parameters()])


GRID = xai.mask.grid((1, 2), channel_axis=1)


def test_lime_and_shap_give_the_numbers_of_the_plain_function():
    def predict(x):
        with torch.no_grad():
            return NET(torch.tensor(np.array(x)))

    games = [xai.game(part, X, GRID, target=1) for part in (xai.callback(predict), plain_model())]
    np.testing.assert_allclose(*(xai.shap.exact(game).values for game in games), atol=1e-5)
    np.testing.assert_allclose(*(xai.lime.fit(game, key=KEY, num_samples=8).values for game in games), atol=1e-5)


def test_torchax_gives_the_numbers_of_the_plain_function():
    try:
        import torchax  # noqa: F401
    except (ImportError, AttributeError) as error:  # AttributeError: names of operations that torch no longer has
        pytest.skip(f"torchax cannot be imported: {error}")
    page = dict(PAGE)
    exec(WITH_TORCHAX, page)
    for explain, options in ((xai.cam.grad_cam, {"layer": "features"}), (xai.gradient.saliency, {})):
        ours, expected = (
            explain(model, X, target=1, channel_axis=1, **options).values for model in (page["model"], plain_model())
        )
        np.testing.assert_allclose(ours, expected, atol=1e-5)
    games = [xai.game(model, X, GRID, target=1) for model in (page["model"], plain_model())]
    np.testing.assert_allclose(*(xai.shap.exact(game).values for game in games), atol=1e-5)


def test_maps_and_gradients_give_the_numbers_of_the_plain_function():
    net = xai.compose(in_jax(FEATURES, (3, 6, 8)), in_jax(HEAD, (4,)))

    def explain(model):
        return xai.cam.grad_cam(model, X, layer="features", target=1, relu=False, channel_axis=1).values

    first = explain(net)
    assert jnp.abs(first).max() > 1e-3
    np.testing.assert_allclose(first, explain(plain_model()), atol=1e-5)
    gradients = [xai.gradient.saliency(part, X, target=1, channel_axis=1).values for part in (net, plain_model())]
    np.testing.assert_allclose(*gradients, atol=1e-5)
    with torch.no_grad():  # new parameters are read at the next call, by the same program
        HEAD[2].weight.mul_(-2.0)
    try:
        np.testing.assert_allclose(explain(net), -2 * first, atol=1e-5)
    finally:
        with torch.no_grad():
            HEAD[2].weight.mul_(-0.5)
