"""What models of every framework have in common: their explanations compose with JAX's transformations."""

import jax
import jax.numpy as jnp
import numpy as np

import xaijax as xai
from xaijax._model import as_model


def assert_composes(model, x, channel_axis=-1):
    """Shapley values of two halves: jit of scan of vmap, two devices, and the slope along one direction of the input."""
    masker = xai.mask.grid((1, 2), channel_axis=channel_axis)

    def explain(model, x):
        return xai.shap.exact(xai.game(model, x, masker, target=1)).values

    expected = explain(model, x)
    assert jnp.abs(expected).max() > 1e-3

    @jax.jit
    def nested(model, batches):
        each = jax.vmap(lambda row: explain(model, row[None])[0])
        return jax.lax.scan(lambda carry, batch: (carry, each(batch)), None, batches)[1]

    result = nested(as_model(model), jnp.stack([x, x[::-1]]))
    np.testing.assert_allclose(result, jnp.stack([expected, expected[::-1]]), atol=1e-5)
    mesh = jax.make_mesh((2,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:2])
    sharded = explain(model, jax.device_put(x, jax.NamedSharding(mesh, jax.P("batch"))))
    assert len(sharded.sharding.device_set) == 2
    np.testing.assert_allclose(sharded, expected, atol=1e-5)
    direction = jax.random.normal(jax.random.key(5), x.shape) / np.sqrt(x.size)
    _, slope = jax.jvp(lambda x: explain(model, x), (x,), (direction,))
    ahead, behind = (explain(model, x + sign * 0.05 * direction) for sign in (1, -1))
    np.testing.assert_allclose(slope, (ahead - behind) / 0.1, atol=2e-2 * jnp.abs(slope).max())
