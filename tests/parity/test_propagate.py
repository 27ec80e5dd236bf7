"""Relevance propagation agrees with zennit and captum on the same weights."""

import copy
import functools
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import xaijax as xai
from tests.models import once
from tests.parity._models import CLASSES, TARGETS, _copied, _shaken, flax_net, images, torch, torch_images, torch_net
from tests.parity._peers import captum_attr, error


def import_zennit():
    """zennit imports the classes of torchvision's networks, which its rules for those networks alone use."""
    is_stub = getattr(sys.modules["torchvision"], "__file__", None) is None  # see benchmarks/_torch_models.py
    for name, classes in (
        {} if not is_stub else {"resnet": ["Bottleneck", "BasicBlock", "ResNet"], "vgg": ["VGG"]}
    ).items():
        module = types.ModuleType(f"torchvision.models.{name}")
        for each in classes:
            setattr(module, each, type(each, (), {}))
        sys.modules.setdefault("torchvision.models", types.ModuleType("torchvision.models"))
        sys.modules.setdefault(module.__name__, module)
    return pytest.importorskip("zennit")


zennit = import_zennit()
EPS = 1e-12  # zennit leaves batch normalization behind after merging it, as a division by sqrt(1 + eps)
TorchNorm = functools.partial(torch.nn.BatchNorm2d, eps=EPS)


class TorchVGG(torch.nn.Module):
    """Convolutions with batch normalization, max pooling, and a dense hidden layer."""

    def __init__(self):
        super().__init__()
        self.conv1, self.norm1 = torch.nn.Conv2d(3, 6, 3, padding=1), TorchNorm(6)
        self.relu1, self.pool = torch.nn.ReLU(), torch.nn.MaxPool2d(2)
        self.conv2, self.norm2 = torch.nn.Conv2d(6, 8, 3, padding=1), TorchNorm(8)
        self.relu2, self.mean = torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1)
        self.hidden, self.relu3, self.head = torch.nn.Linear(8, 12), torch.nn.ReLU(), torch.nn.Linear(12, CLASSES)

    def forward(self, x):
        x = self.pool(self.relu1(self.norm1(self.conv1(x))))
        x = self.mean(self.relu2(self.norm2(self.conv2(x)))).flatten(1)
        return self.head(self.relu3(self.hidden(x)))


class FlaxVGG(nnx.Module):
    def __init__(self, rngs):
        self.conv1, self.norm1 = nnx.Conv(3, 6, (3, 3), padding=1, rngs=rngs), nnx.BatchNorm(6, epsilon=EPS, rngs=rngs)
        self.conv2, self.norm2 = nnx.Conv(6, 8, (3, 3), padding=1, rngs=rngs), nnx.BatchNorm(8, epsilon=EPS, rngs=rngs)
        self.hidden, self.head = nnx.Linear(8, 12, rngs=rngs), nnx.Linear(12, CLASSES, rngs=rngs)

    def __call__(self, x):
        x = nnx.max_pool(nnx.relu(self.norm1(self.conv1(x))), (2, 2), strides=(2, 2))
        x = nnx.relu(self.norm2(self.conv2(x))).mean(axis=(1, 2))
        return self.head(nnx.relu(self.hidden(x)))


class TorchResNet(torch.nn.Module):
    """A stem, a residual block with a projection, and a linear head."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm0, self.relu0 = torch.nn.Conv2d(3, 4, 3, padding=1), TorchNorm(4), torch.nn.ReLU()
        self.conv1, self.norm1, self.relu1 = (
            torch.nn.Conv2d(4, 6, 3, stride=2, padding=1),
            TorchNorm(6),
            torch.nn.ReLU(),
        )
        self.conv2, self.norm2 = torch.nn.Conv2d(6, 6, 3, padding=1), TorchNorm(6)
        self.short, self.norm3 = torch.nn.Conv2d(4, 6, 1, stride=2, bias=False), TorchNorm(6)
        self.sum, self.relu2 = zennit.layer.Sum(), torch.nn.ReLU()
        self.mean, self.head = torch.nn.AdaptiveAvgPool2d(1), torch.nn.Linear(6, CLASSES)

    def forward(self, x):
        x = self.relu0(self.norm0(self.stem(x)))
        y = self.norm2(self.conv2(self.relu1(self.norm1(self.conv1(x)))))
        x = self.relu2(self.sum(torch.stack([y, self.norm3(self.short(x))], dim=-1)))
        return self.head(self.mean(x).flatten(1))


class FlaxResNet(nnx.Module):
    def __init__(self, rngs):
        conv, norm = functools.partial(nnx.Conv, rngs=rngs), functools.partial(nnx.BatchNorm, epsilon=EPS, rngs=rngs)
        self.stem, self.norm0 = conv(3, 4, (3, 3), padding=1), norm(4)
        self.conv1, self.norm1 = conv(4, 6, (3, 3), strides=2, padding=1), norm(6)
        self.conv2, self.norm2 = conv(6, 6, (3, 3), padding=1), norm(6)
        self.short, self.norm3 = conv(4, 6, (1, 1), strides=2, use_bias=False), norm(6)
        self.head = nnx.Linear(6, CLASSES, rngs=rngs)

    def __call__(self, x):
        x = nnx.relu(self.norm0(self.stem(x)))
        y = self.norm2(self.conv2(nnx.relu(self.norm1(self.conv1(x)))))
        return self.head(nnx.relu(y + self.norm3(self.short(x))).mean(axis=(1, 2)))


NETS = {"VGG-like": (TorchVGG, FlaxVGG), "ResNet-like": (TorchResNet, FlaxResNet)}


@functools.cache
def pair(name):
    theirs = _shaken(NETS[name][0]())
    return theirs, once(lambda: _copied(theirs, NETS[name][1](nnx.Rngs(0))))()


COMPOSITES = {
    "epsilon plus": (lambda of: of.EpsilonPlus(), lambda of: of.epsilon_plus()),
    "epsilon plus flat": (lambda of: of.EpsilonPlusFlat(), lambda of: of.epsilon_plus_flat()),
    "epsilon gamma box": (
        lambda of: of.EpsilonGammaBox(low=-3.0, high=3.0),
        lambda of: of.epsilon_gamma_box(-3.0, 3.0),
    ),
    "epsilon alpha2 beta1": (lambda of: of.EpsilonAlpha2Beta1(), lambda of: of.epsilon_alpha2_beta1()),
}


@functools.cache
def of_zennit(net, name):
    """[N, H, W, C], with the output as the relevance to share."""
    composite = COMPOSITES[name][0](zennit.composites)
    composite.canonizers = [zennit.canonizers.SequentialMergeBatchNorm()]
    x = torch_images().double().requires_grad_()
    with composite.context(pair(net)[0].double()) as rewritten:
        output = rewritten(x)
        chosen = torch.eye(CLASSES)[TARGETS] * output.detach()
        (relevance,) = torch.autograd.grad(output, x, chosen)
    return relevance.permute(0, 2, 3, 1).numpy()


def in_float64(net, composite):
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda leaf: leaf.astype(float) if leaf.dtype == jnp.float32 else leaf, xai.model(net))
        pixels = jnp.asarray(np.asarray(images()), float)
        return xai.gradient.propagate(wide, pixels, target=jnp.array(TARGETS), composite=composite)


CASES = [
    *((net, name) for net in NETS for name in ("epsilon plus", "epsilon gamma box")),
    ("VGG-like", "epsilon plus flat"),
]
CASES += [("ResNet-like", "epsilon alpha2 beta1")]


@pytest.mark.parametrize(("net", "name"), CASES)
def test_composites_are_those_of_zennit(net, name):
    """In float64, as denominators that cancel amplify rounding."""
    result = in_float64(pair(net)[1], COMPOSITES[name][1](xai.gradient.composites))
    assert error(result.values, of_zennit(net, name)) < 1e-8
    assert result.rule_share == 1


@pytest.mark.filterwarnings("ignore::UserWarning")  # captum says that it sets hooks
def test_the_epsilon_rule_is_that_of_captum():
    expected = captum_attr.LRP(torch_net()).attribute(torch_images(), target=torch.tensor(TARGETS))
    result = in_float64(flax_net(), xai.gradient.composites.epsilon(1e-9))
    assert error(result.values, expected.detach().permute(0, 2, 3, 1).numpy()) < 1e-5


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_gamma_rule_is_that_of_captum_without_a_bias():
    """captum's rule leaves the bias out, and knows no signs: those between two ReLUs are positive, or get nothing."""
    from captum.attr._utils.lrp_rules import EpsilonRule, GammaRule

    rules, theirs, ours = xai.gradient.rules, copy.deepcopy(torch_net()), nnx.clone(flax_net())
    theirs.conv3.bias.data.zero_()
    ours.conv3.bias[...] = jnp.zeros(10)
    for module in theirs.modules():
        if not list(module.children()):
            module.rule = GammaRule(gamma=0.25) if module is theirs.conv3 else EpsilonRule(epsilon=1e-9)
    expected = captum_attr.LRP(theirs).attribute(torch_images(), target=torch.tensor(TARGETS))
    every = rules.epsilon(1e-9)
    composite = xai.gradient.composites.Composite(
        [("conv3", rules.gamma(0.25)), ("convolution", every), ("dense", every), ("pooling", every)]
    )
    assert error(in_float64(ours, composite).values, expected.detach().permute(0, 2, 3, 1).numpy()) < 1e-5
