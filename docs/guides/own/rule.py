"""A rule of relevance propagation: contributions count by their size, positive or negative.

The contract: rule(layer, x, ones) -> z, of the shape of the layer's output. `ones` has the shape of x and stands for the
contribution of each input: the relevance R_j of output j is shared in proportion to the derivatives of z by it,

    R_i = sum_j (dz_j / dones_i) R_j / z_j

so z is the sum of all contributions. `layer(x)` is the layer's output, `layer.linear(x, kernel)` the same without the
bias and with another kernel, and `layer.kernel` and `layer.bias` are its weights. A composite says which operations get
the rule; the first condition that holds decides.
"""

import jax.numpy as jnp

import xaijax as xai


def by_size(layer, x, ones):
    """Shares relevance by |x_i w_ij|."""
    return layer.linear(jnp.abs(x) * ones, jnp.abs(layer.kernel))


composite = xai.gradient.composites.Composite([("dense", by_size)])
weights = {"first": jnp.array([[3.0, 1.0], [-1.0, 1.0]]), "second": jnp.array([[2.0], [1.0]])}
model = xai.function(lambda weights, x: (x @ weights["first"]) @ weights["second"], weights)

attribution = xai.gradient.propagate(model, jnp.ones((1, 2)), composite=composite, target=0)
print(attribution.values)
# By hand: the output is 2 * 2 + 1 * 2 = 6. The hidden values get |2 * 2| and |1 * 2| of it: 4 and 2.
# Input 0 gets 4 * 3 / 4 + 2 * 1 / 2 = 4, input 1 gets 4 * 1 / 4 + 2 * 1 / 2 = 2.
