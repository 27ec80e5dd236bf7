"""Models that return a dict, a tuple or a dataclass: one of their outputs is chosen by `xai.model`."""

import collections
import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import xaijax as xai
from tests import models
from tests.explainers import KEY

TRACES = []
Pair = collections.namedtuple("Pair", ["logits", "cache"])


@dataclasses.dataclass
class Outputs:
    """No PyTree, as the outputs of many packages."""

    logits: jax.Array
    cache: object = None


class Net(nnx.Module):
    """A convolution and a head, whose outputs are packed by `pack`."""

    def __init__(self, rngs):
        self.conv = nnx.Conv(models.IMAGE[-1], 4, (3, 3), rngs=rngs)
        self.head = nnx.Linear(4, 3, rngs=rngs)

    def __call__(self, x, pack=lambda logits, hidden: logits):
        TRACES.append(1)
        hidden = jnp.tanh(self.conv(x))
        return pack(self.head(hidden.mean(axis=(1, 2))), hidden)


NET = Net(nnx.Rngs(0))
X = models.images(2)


def as_dict(logits, hidden):
    return {"logits": logits, "hidden": hidden, "temperature": jnp.ones(()), "cache": None}


PACKED = {
    "a dict": (as_dict, "logits"),
    "a tuple": (lambda logits, hidden: (None, logits), 1),
    "the end of a list": (lambda logits, hidden: [hidden, logits], -1),
    "a named tuple": (lambda logits, hidden: Pair(logits, None), "logits"),
    "an index into a named tuple": (lambda logits, hidden: Pair(logits, None), 0),
    "a dataclass": (lambda logits, hidden: Outputs(logits), "logits"),
    "a function": (as_dict, lambda outputs: outputs["hidden"].mean(axis=(1, 2)) @ NET.head.kernel[...] + NET.head.bias[...]),
}  # fmt: skip


@pytest.mark.parametrize(("pack", "output"), PACKED.values(), ids=PACKED)
def test_the_chosen_output_is_explained(pack, output):
    model = xai.model(functools.partial(NET, pack=pack), output=output)
    expected = NET(X)
    np.testing.assert_allclose(model(X), expected, atol=1e-6)
    np.testing.assert_allclose(model.tagged(X[:1]), expected[:1], atol=1e-6)


def test_maps_lime_and_shap_are_those_of_the_network_with_one_output():
    chosen = xai.model(functools.partial(NET, pack=as_dict), output="logits")
    assert [layer.path for layer in xai.layers(chosen, X)] == ["conv", "head"]
    maps = [xai.cam.grad_cam(part, X, layer="conv", target=1, relu=False).values for part in (chosen, NET)]
    np.testing.assert_allclose(*maps, atol=1e-5)
    games = [xai.game(part, X, xai.mask.grid((2, 2)), target=1) for part in (chosen, NET)]
    np.testing.assert_allclose(*(xai.shap.exact(game).values for game in games), atol=1e-5)
    np.testing.assert_allclose(*(xai.lime.fit(game, key=KEY, num_samples=32).values for game in games), atol=1e-5)
    gradients = [xai.gradient.saliency(part, X, target=1).values for part in (chosen, NET)]
    np.testing.assert_allclose(*gradients, atol=1e-5)
    before = len(TRACES)
    changed = jax.tree.map(lambda leaf: 0.5 * leaf, chosen)
    halved = xai.cam.grad_cam(changed, X, layer="conv", target=1, relu=False).values
    assert len(TRACES) == before  # new parameters compile nothing
    assert jnp.abs(halved - maps[0]).max() > 1e-4


def test_a_model_of_a_model_keeps_its_parameters_and_channels():
    module = nn.Dense(3, name="head")
    variables = module.init(KEY, jnp.ones((1, 4)))
    model = xai.model(xai.linen(module, variables), output=lambda outputs: outputs)
    assert xai.model(model) is model
    assert jax.tree.leaves(model)[0].shape == (3,)
    equinox = pytest.importorskip("equinox")
    net = equinox.nn.Conv2d(2, 3, 3, key=KEY)
    for wrapped in (xai.model(net, output=lambda outputs: outputs.mean(axis=(2, 3))), xai.fast(net)):
        assert wrapped.channel_axis == 1
    callback = xai.fast(xai.callback(lambda x: x))
    assert "xai.callback" in callback.no_layers


def explained(model, **options):
    return xai.game(model, X, xai.mask.grid((1, 2)), **options)


def test_without_a_choice_the_outputs_are_listed():
    listed = (
        r"`model` must return one array for this call, got the outputs .*'logits': float32\[2, 3\].*: "
        r"choose one by xai\.model\(model, output='logits'\)"
    )
    both = lambda logits, hidden: {"logits": logits, "hidden": hidden}  # noqa: E731
    for pack in (as_dict, both, lambda logits, hidden: both(logits, hidden) | {"temperature": jnp.ones(())}):
        for explain in (explained, lambda model: xai.cam.grad_cam(model, X, layer="conv")):
            with pytest.raises((TypeError, ValueError), match=listed) as caught:
                explain(functools.partial(NET, pack=pack))
            assert not notes(caught.value)
    with pytest.raises(TypeError, match=r"outputs 0: float32\[2, 3\], 1: NoneType.*output=0"):
        explained(functools.partial(NET, pack=lambda logits, hidden: (logits, None)))
    target = lambda outputs: outputs["logits"][:, 0]  # noqa: E731
    values = explained(functools.partial(NET, pack=both), target=target)(jnp.ones((1, 2), bool))
    np.testing.assert_allclose(values[:, 0], NET(X)[:, 0], atol=1e-5)


def notes(error):
    return [note for note in getattr(error, "__notes__", []) if note.startswith("xaijax: ")]


def raising(outputs):
    raise LookupError("no such head")


MISTAKES = [
    (as_dict, "logit", r"`output` must be one of \['logits', .*\], got 'logit' \(did you mean 'logits'"),
    (as_dict, 0, r"`output` must be one of \['logits', .*\], got 0"),
    (lambda logits, hidden: (logits, None), 2, r"`output` must be one of \[0, 1\], got 2"),
    (lambda logits, hidden: logits, 0, "`output` must be None for a model that returns one array, got 0: pass a class"),
    (as_dict, "cache", "`model` must return arrays, got None"),
    (as_dict, [0], r"`output` must be a key, an index, a function of the outputs, or None for all, got \[0\]"),
    (as_dict, True, "`output` must be a key, .* got True"),
    (as_dict, raising, "no such head"),
]


@pytest.mark.parametrize(("pack", "output", "sentence"), MISTAKES)
def test_a_wrong_choice_is_answered_with_a_sentence(pack, output, sentence):
    with pytest.raises((TypeError, ValueError, LookupError), match=sentence) as caught:
        explained(xai.model(functools.partial(NET, pack=pack), output=output))
    assert len(notes(caught.value)) == (output is raising)
    assert all("called `output`, raising" in note for note in notes(caught.value))
