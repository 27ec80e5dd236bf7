"""The table of models: small, smooth and deterministic, of every kind that the package explains."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import nnx

import xaijax as xai


def once(make):
    """Caches what is made, as float32 values, wherever it is first asked for: within a trace or float64 too."""

    @functools.cache
    def made(*arguments, **options):
        with jax.ensure_compile_time_eval(), jax.enable_x64(False):
            return make(*arguments, **options)

    return made


IMAGE = (8, 8, 2)
CLASSES = 3


class LinenNet(nn.Module):
    """Convolution, batch normalization, global average pooling, linear head."""

    @nn.compact
    def __call__(self, x, train: bool):
        x = nn.Conv(4, (3, 3), name="conv")(x)
        x = nn.BatchNorm(use_running_average=not train, name="norm")(x)
        x = nn.softplus(x)
        return nn.Dense(CLASSES, name="head")(x.mean(axis=(1, 2)))


class Block(nnx.Module):
    def __init__(self, channels, rngs):
        self.conv = nnx.Conv(channels, channels, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(channels, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x):
        return self.drop(jax.nn.softplus(self.norm(self.conv(x))))


class NnxNet(nnx.Module):
    """The same with blocks in a list, one of them called twice."""

    def __init__(self, rngs):
        self.stem = nnx.Conv(IMAGE[-1], 4, (3, 3), strides=2, rngs=rngs)
        self.blocks = nnx.List([Block(4, rngs) for _ in range(2)])
        self.head = nnx.Linear(4, CLASSES, rngs=rngs)

    def __call__(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(self.blocks[1](x).mean(axis=(1, 2)))


class ReluNet(nnx.Module):
    """Piecewise linear: convolution, batch normalization, ReLU, max pooling, ReLU6, a hidden dense layer."""

    def __init__(self, rngs):
        self.conv = nnx.Conv(IMAGE[-1], 4, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.later = nnx.Conv(4, 5, (3, 3), rngs=rngs)
        self.hidden = nnx.Linear(5, 6, rngs=rngs)
        self.head = nnx.Linear(6, CLASSES, rngs=rngs)

    def __call__(self, x):
        x = jax.nn.relu(self.norm(self.conv(x)))
        x = jax.nn.relu6(4 * self.later(nnx.max_pool(x, (2, 2), strides=(2, 2))))
        return self.head(jax.nn.relu(self.hidden(x.mean(axis=(1, 2)))))


class VisionTransformer(nnx.Module):
    """Patches of 2 x 2, a class token, two blocks of attention, the class token read at the end."""

    def __init__(self, rngs, registers=0):
        self.patches = nnx.Conv(IMAGE[-1], 8, (2, 2), strides=2, rngs=rngs)
        self.tokens = nnx.Param(jax.random.normal(rngs(), (1, 1 + registers, 8)))
        self.norms = nnx.List([nnx.LayerNorm(8, rngs=rngs) for _ in range(2)])
        self.attention = nnx.List(
            [nnx.MultiHeadAttention(2, 8, decode=False, attention_fn=xai.tagged_attention, rngs=rngs) for _ in range(2)]
        )
        self.head = nnx.Linear(8, CLASSES, rngs=rngs)

    def __call__(self, x):
        patches = self.patches(x)
        patches = patches.reshape(len(x), -1, patches.shape[-1])
        x = jnp.concatenate([jnp.broadcast_to(self.tokens[...], (len(x), *self.tokens.shape[1:])), patches], axis=1)
        for norm, attention in zip(self.norms, self.attention, strict=True):
            x = x + attention(norm(x))
        return self.head(x[:, 0])


@once
def images(count=4):
    return jax.random.normal(jax.random.key(7), (count, *IMAGE))


@once
def linen_net():
    module = LinenNet()
    variables = module.init(jax.random.key(1), images(), train=False)
    noise = jax.random.normal(jax.random.key(2), (4,))
    variables["batch_stats"]["norm"]["mean"] = 0.1 * noise
    variables["params"]["head"]["bias"] = jnp.array([0.3, -0.2, 0.1])
    return xai.linen(module, variables, train=False)


@once
def nnx_net():
    net = NnxNet(nnx.Rngs(3))
    net.head.bias[...] = jnp.array([0.3, -0.2, 0.1])
    net.eval()
    return net


@once
def relu_net():
    net = ReluNet(nnx.Rngs(12))
    net.eval()
    net.norm.mean[...] = 0.2 * jax.random.normal(jax.random.key(14), (4,))
    graph, parameters, rest = nnx.split(net, nnx.Param, ...)
    shifted = jax.tree.map(
        lambda leaf: leaf + 0.2 * jax.random.normal(jax.random.key(leaf.size), leaf.shape), parameters
    )
    return nnx.merge(graph, shifted, rest)


@once
def vision_transformer(registers=0):
    return VisionTransformer(nnx.Rngs(13), registers)


def tagged(parameters, x):
    hidden = jax.nn.softplus(jnp.einsum("nhwc,ck->nhwk", x, parameters["kernel"]))
    hidden = xai.tag(hidden * jnp.linspace(0.5, 1.5, x.shape[1])[None, :, None, None], "hidden")
    return hidden.mean(axis=(1, 2)) @ parameters["head"]


@once
def function_net():
    first, second = jax.random.split(jax.random.key(4))
    parameters = {"kernel": jax.random.normal(first, (IMAGE[-1], 4)), "head": jax.random.normal(second, (4, CLASSES))}
    return xai.function(tagged, parameters)


IMAGE_MODELS = {"linen": linen_net, "nnx": nnx_net, "function": function_net}

FEATURES = 12


def mlp(parameters, x):
    hidden = jnp.tanh(x @ parameters["w1"] + parameters["b1"][None])
    return hidden @ parameters["w2"] + (x[:, :1] * x[:, 1:2])


@once
def table_net(features=FEATURES):
    first, second, third = jax.random.split(jax.random.key(5), 3)
    parameters = {
        "w1": jax.random.normal(first, (features, 8)) / 2,
        "b1": jax.random.normal(second, (8,)) / 2,
        "w2": jax.random.normal(third, (8, CLASSES)),
    }
    return xai.function(mlp, parameters)


@once
def rows(count, features=FEATURES, seed=6):
    return jax.random.normal(jax.random.key(seed), (count, features))


def bag(parameters, ids):
    return jnp.tanh(parameters["embedding"][ids].sum(axis=1)) @ parameters["head"]


@once
def text_net():
    first, second = jax.random.split(jax.random.key(8))
    parameters = {"embedding": jax.random.normal(first, (20, 6)) / 2, "head": jax.random.normal(second, (6, CLASSES))}
    return xai.function(bag, parameters)


@once
def sentences():
    ids = jax.random.randint(jax.random.key(9), (4, 6), 2, 20)
    return ids.at[1, 4:].set(0)
