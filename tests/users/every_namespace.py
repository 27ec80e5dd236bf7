"""A user's script that calls every namespace. It type-checks in strict mode, and runs from an installed wheel."""

# pyright: strict

from pathlib import Path
from tempfile import mkdtemp

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

import xaijax as xai

folder, key, random = Path(mkdtemp()), jax.random.key(0), np.random.default_rng(0)


class Net(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.conv, self.head = nnx.Conv(3, 4, (3, 3), rngs=rngs), nnx.Linear(4, 3, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        return self.head(nnx.relu(self.conv(x)).mean(axis=(1, 2)))


def price(weights: Array, x: Array) -> Array:
    return jnp.tanh(x @ weights) + x[:, 0] * x[:, 1]


def next_token(tokens: Array) -> Array:
    return jnp.stack([tokens.sum(axis=1), -tokens.sum(axis=1)], axis=1) / 10


# Images: maps, gradients, superpixels, and where they point.
net, images = Net(nnx.Rngs(0)), random.random((2, 16, 16, 3), np.float32)
for layer in xai.layers(net, images):
    print(layer.path, layer.shape)
heat: Array = xai.cam.grad_cam(net, images, layer="conv", target=1, upsample=True).values
smooth = xai.gradient.integrated_gradients(net, images, target=xai.target.probability(1), num_steps=4)
labels: Array = xai.segment.slic(images, 4)
surrogate = xai.lime.image(net, images, xai.mask.regions(labels), key=key, num_samples=20)
fit: Array = surrogate.r_squared
hit = xai.metrics.pointing_game(heat, np.ones((2, 16, 16), bool)).mean().value

# Tables: Shapley values with intervals, interactions, a local surrogate, and the checks.
rows, names = random.normal(size=(20, 4)).astype(np.float32), ["rooms", "area", "age", "river"]
model = xai.function(price, np.arange(4, dtype=np.float32))
masker = xai.mask.background(rows, names=names)
attribution = xai.shap.values(model, rows[:3], masker)
errors: Array | None = attribution.std_errors
game = xai.game(model, rows[:3], masker)
pairs: Array = xai.shap.interactions(game, key=key, num_evaluations=16).pairs
curve = xai.metrics.deletion(game, attribution)
nearby = xai.lime.tabular(model, rows[:3], xai.lime.statistics(rows, names=names), key=key, num_samples=50)
feature = {"flat_feature_index": 0, "nan_value_treatment": "AsIs"}
stump = {
    "splits": [{"split_type": "FloatFeature", "float_feature_index": 0, "border": 0.5}],
    "leaf_values": [1.0, 3.0],
    "leaf_weights": [2, 2],
}
dump = {"features_info": {"float_features": [feature]}, "scale_and_bias": [1, [0]], "oblivious_trees": [stump]}
of_forest = xai.shap.trees(xai.trees.read(dump), rows[:3, :1], xai.mask.background(rows[:, :1]))
for record in xai.records(attribution):
    print(record["player"], record["value"])

# Plots, reports, files and whole data sets.
axes = xai.plot.waterfall(attribution, example=0)
axes.set(title="a price")
xai.report(folder / "why.html", [xai.Section(attribution, title="Three prices"), xai.Section(nearby)])
xai.save(folder / "prices.npz", attribution, options={"background": 20})
loaded = xai.load(folder / "prices.npz")
explainer = jax.tree_util.Partial(xai.shap.values, model)
summary = xai.scale.explain_dataset(explainer, rows, folder / "store", key=key, options={"masker": masker})

# Prompts.
spans = xai.text.spans("The fox jumps. The dog sleeps.", lambda text: [ord(letter) for letter in text])
words = xai.lime.text(next_token, np.array([[3, 1, 2]]), key=key, mask_id=0, num_samples=10)

print(
    heat.shape,
    smooth.values.shape,
    fit,
    hit,
    errors,
    pairs.shape,
    curve.values,
    loaded,
    summary,
    spans.names,
    words.values,
)
print(of_forest.values)
