"""The same networks twice, in torch and in Flax, with the same weights; whoever imports this is skipped without torch."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import xaijax as xai
from tests.models import once

torch = pytest.importorskip("torch")

SIDE, CLASSES = 12, 5
TARGETS = [1, 4, 2]


class TorchNet(torch.nn.Module):
    """Convolutions, batch normalization, ReLU, average pooling, and a head that is linear or not."""

    def __init__(self, hidden=True):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(3, 6, 3, padding=1)
        self.relu1 = torch.nn.ReLU()
        self.conv2 = torch.nn.Conv2d(6, 8, 3, stride=2, padding=1)
        self.norm = torch.nn.BatchNorm2d(8)
        self.relu2 = torch.nn.ReLU()
        self.conv3 = torch.nn.Conv2d(8, 10, 3, padding=1)
        self.relu3 = torch.nn.ReLU()
        self.pool = torch.nn.AdaptiveAvgPool2d(1)
        self.hidden = torch.nn.Linear(10, 12) if hidden else torch.nn.Identity()
        self.relu4 = torch.nn.ReLU() if hidden else torch.nn.Identity()
        self.head = torch.nn.Linear(12 if hidden else 10, CLASSES)

    def forward(self, x):
        x = self.relu1(self.conv1(x))
        x = self.relu2(self.norm(self.conv2(x)))
        x = self.relu3(self.conv3(x))
        return self.head(self.relu4(self.hidden(self.pool(x)[:, :, 0, 0])))


class FlaxNet(nnx.Module):
    def __init__(self, rngs, hidden=True):
        self.conv1 = nnx.Conv(3, 6, (3, 3), padding=1, rngs=rngs)
        self.conv2 = nnx.Conv(6, 8, (3, 3), strides=2, padding=1, rngs=rngs)
        self.norm = nnx.BatchNorm(8, epsilon=1e-5, rngs=rngs)
        self.conv3 = nnx.Conv(8, 10, (3, 3), padding=1, rngs=rngs)
        self.hidden = nnx.Linear(10, 12, rngs=rngs) if hidden else None
        self.head = nnx.Linear(12 if hidden else 10, CLASSES, rngs=rngs)

    def __call__(self, x):
        x = xai.tag(nnx.relu(self.conv1(x)), "relu1")
        x = xai.tag(nnx.relu(self.norm(self.conv2(x))), "relu2")
        x = xai.tag(nnx.relu(self.conv3(x)), "relu3")
        x = x.mean(axis=(1, 2))
        return self.head(x if self.hidden is None else nnx.relu(self.hidden(x)))


class TorchBlock(torch.nn.Module):
    """Attention of two heads and a smooth perceptron, each behind a layer normalization."""

    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = torch.nn.LayerNorm(8), torch.nn.LayerNorm(8)
        self.query, self.key, self.value, self.out = (torch.nn.Linear(8, 8) for _ in range(4))
        self.wide, self.narrow = torch.nn.Linear(8, 16), torch.nn.Linear(16, 8)

    def forward(self, x):
        y = self.norm1(x)
        parts = (layer(y).unflatten(-1, (2, 4)).transpose(1, 2) for layer in (self.query, self.key, self.value))
        query, key, value = parts
        y = (
            torch.softmax(query @ key.transpose(-2, -1) / 2, dim=-1) @ value
        )  # torch's fused one has no second derivative
        x = x + self.out(y.transpose(1, 2).flatten(-2))
        return x + self.narrow(torch.nn.functional.gelu(self.wide(self.norm2(x))))


class TorchTransformer(torch.nn.Module):
    """Patches of 3 x 3 behind a class token, which is read at the end."""

    def __init__(self):
        super().__init__()
        self.patches = torch.nn.Conv2d(3, 8, 3, stride=3)
        self.token = torch.nn.Parameter(torch.zeros(1, 1, 8))
        self.blocks = torch.nn.ModuleList([TorchBlock(), TorchBlock()])
        self.head = torch.nn.Linear(8, CLASSES)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], dim=1)
        for block in self.blocks:
            x = block(x)
        return self.head(x[:, 0])


class FlaxBlock(nnx.Module):
    def __init__(self, rngs):
        self.norm1, self.norm2 = (nnx.LayerNorm(8, epsilon=1e-5, rngs=rngs) for _ in range(2))
        self.query, self.key, self.value, self.out = (nnx.Linear(8, 8, rngs=rngs) for _ in range(4))
        self.wide, self.narrow = nnx.Linear(8, 16, rngs=rngs), nnx.Linear(16, 8, rngs=rngs)

    def __call__(self, x):
        y = self.norm1(x)
        heads = [layer(y).reshape(*y.shape[:-1], 2, 4) for layer in (self.query, self.key, self.value)]
        x = x + self.out(jax.nn.dot_product_attention(*heads).reshape(x.shape))
        return x + self.narrow(jax.nn.gelu(self.wide(self.norm2(x)), approximate=False))


class FlaxTransformer(nnx.Module):
    def __init__(self, rngs):
        self.patches = nnx.Conv(3, 8, (3, 3), strides=3, padding="VALID", rngs=rngs)
        self.token = nnx.Param(jnp.zeros((1, 1, 8)))
        self.blocks = nnx.List([FlaxBlock(rngs), FlaxBlock(rngs)])
        self.head = nnx.Linear(8, CLASSES, rngs=rngs)

    def __call__(self, x):
        x = self.patches(x).reshape(len(x), -1, 8)
        x = jnp.concatenate([jnp.broadcast_to(self.token[...], (len(x), 1, 8)), x], axis=1)
        for block in self.blocks:
            x = block(x)
        return self.head(x[:, 0])


@functools.cache
def torch_net(hidden=True):
    return _shaken(TorchNet(hidden))


@functools.cache
def torch_transformer():
    return _shaken(TorchTransformer())


@once
def flax_net(hidden=True):
    return _copied(torch_net(hidden), FlaxNet(nnx.Rngs(0), hidden))


@once
def flax_transformer():
    net = _copied(torch_transformer(), FlaxTransformer(nnx.Rngs(0)))
    net.token[...] = jnp.asarray(torch_transformer().token.detach().numpy())
    return net


@once
def images():
    return jax.random.normal(jax.random.key(7), (len(TARGETS), SIDE, SIDE, 3))


def torch_images():
    return torch.from_numpy(np.array(images())).permute(0, 3, 1, 2).contiguous()


def _shaken(net):
    """With numbers everywhere that a mistake in copying would show: no bias of zero, no statistics of zero and one."""
    generator = torch.Generator().manual_seed(3)
    for name, value in net.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 1.5, generator=generator)
        elif value.ndim > 1:
            value.normal_(0, (2 / value[0].numel()) ** 0.5, generator=generator)
        elif value.is_floating_point():
            value.normal_(1.0 if "norm" in name and name.endswith("weight") else 0.0, 0.3, generator=generator)
    return net.eval()


def _copied(source, net):
    """NCHW and OIHW there, NHWC and HWIO here; the paths are the same."""

    def to_jax(tensor, *axes):
        return jnp.asarray(tensor.detach().permute(*axes).numpy() if axes else tensor.detach().numpy())

    for path, layer in source.named_modules():
        own = functools.reduce(
            lambda at, name: at[int(name)] if name.isdigit() else getattr(at, name, None), path.split("."), net
        )
        if isinstance(layer, torch.nn.Conv2d):
            own.kernel[...] = to_jax(layer.weight, 2, 3, 1, 0)
        elif isinstance(layer, torch.nn.Linear):
            own.kernel[...] = to_jax(layer.weight, 1, 0)
        elif isinstance(layer, torch.nn.BatchNorm2d | torch.nn.LayerNorm):
            own.scale[...] = to_jax(layer.weight)
        if isinstance(layer, torch.nn.BatchNorm2d):
            own.mean[...], own.var[...] = to_jax(layer.running_mean), to_jax(layer.running_var)
        if getattr(layer, "bias", None) is not None:
            own.bias[...] = to_jax(layer.bias)
    net.eval()
    return net
