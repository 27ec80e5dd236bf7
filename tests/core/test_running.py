"""The mean and the spread of samples, a block of them at a time."""

import re

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core.running import add


def test_convolutions_in_blocks_of_samples_have_the_layout_of_fast_kernels():
    """Inputs [N, ..., C] and kernels [..., I, O], also in the derivative, whose own layout is six times slower in a loop."""
    kernel = jnp.asarray(np.random.default_rng(0).normal(size=(3, 3, 2, 4)), jnp.float32)

    def score(x):
        layout = ("NHWC", "HWIO", "NHWC")
        return (jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=layout) ** 2).sum()

    def sample(numbers):
        return jax.vmap(lambda number: jax.grad(score)(jnp.full((1, 4, 4, 2), number, jnp.float32)))(numbers)

    statistics = lambda: add(None, sample, 0, 6, 2).means()  # noqa: E731
    layouts = re.findall(r"dim_numbers = (\[.*?f\]x.*?\]->.*?\]),", jax.jit(statistics).lower().as_text())
    assert set(layouts) == {"[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]"}
    np.testing.assert_allclose(jax.jit(statistics)(), sample(jnp.arange(6)).mean(axis=0), rtol=1e-5, atol=1e-4)
