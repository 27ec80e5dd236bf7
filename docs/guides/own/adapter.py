"""An adapter: networks that are lists of layers, (weights, bias) each, with tanh in between.

The contract: derive from `xai.Model`.

- `super().__init__(content, *options)` takes any PyTree and hashable settings. Arrays in the content are parameters:
  arguments of compiled programs, so that new ones never compile again, and gradients flow to them.
- `_call(x)` maps x [N, ...] to outputs [N] or [N, K]. It reads `self.content`, rebuilt around the present arrays, and
  `self.static.options`. Where it tags values, these are layers that explainers can tap.
"""

import jax.numpy as jnp

import xaijax as xai


class Layers(xai.Model):
    """A list of (weights [D, E], bias [E])."""

    def __init__(self, layers, activation=jnp.tanh):
        super().__init__(layers, activation)

    def _call(self, x):
        (activation,) = self.static.options
        *hidden, (weights, bias) = self.content
        for number, (kernel, offset) in enumerate(hidden):
            x = xai.tag(activation(x @ kernel + offset), f"hidden {number}")
        return x @ weights + bias


layers = [(jnp.array([[1.0, -1.0], [0.0, 2.0]]), jnp.zeros(2)), (jnp.array([[1.0], [3.0]]), jnp.array([0.5]))]
model = Layers(layers)
x = jnp.array([[0.5, 1.0]])

names = xai.layers(model, x)
gradient = xai.gradient.saliency(model, x, target=0)
hidden = xai.gradient.input_x_gradient(model, x, target=0, layer="hidden 0")
print(names, gradient.values, hidden.values, sep="\n")
