"""Convolutions in loops: the same numbers, in the layout that the CPU is fast in."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from tests.selection import usual
from xaijax._core.blocks import in_blocks
from xaijax._core.convolutions import with_fast_convolutions

LAYOUTS = {
    "signal": ((4, 9, 3), (3, 3, 5), ("NWC", "WIO", "NWC"), {}),
    "image, channels first": ((4, 3, 8, 7), (6, 3, 3, 2), ("NCHW", "OIHW", "NCHW"), {}),
    "image, everything elsewhere": ((8, 3, 4, 7), (3, 6, 2, 3), ("HCNW", "IOWH", "CWHN"), {}),
    "groups and strides": (
        (4, 8, 8, 4),
        (3, 3, 2, 6),
        ("NHWC", "HWIO", "NHWC"),
        {"feature_group_count": 2, "window_strides": (2, 2)},
    ),
    "dilated": ((4, 8, 8, 4), (3, 3, 6, 4), ("NHWC", "HWOI", "NHWC"), {"lhs_dilation": (2, 2), "rhs_dilation": (1, 2)}),
    "volume": ((2, 4, 5, 6, 2), (3, 3, 3, 2, 3), ("NDHWC", "DHWIO", "NDHWC"), {}),
}


@pytest.mark.parametrize("name", usual(LAYOUTS, "image, everything elsewhere", "groups and strides", "dilated"))
def test_values_and_gradients_are_the_same(name):
    shape, kernel_shape, layout, options = LAYOUTS[name]
    x, kernel = (jax.random.normal(jax.random.key(i), one) for i, one in enumerate((shape, kernel_shape)))
    options = {"window_strides": (1,) * (len(shape) - 2), "padding": "SAME"} | options
    if "lhs_dilation" in options:
        options["padding"] = [(1, 2), (2, 1)]

    def convolve(x, kernel):
        return jnp.sin(lax.conv_general_dilated(x, kernel, dimension_numbers=layout, **options))

    def gradients(x, kernel):
        return jax.grad(lambda *both: convolve(*both).sum(), argnums=(0, 1))(x, kernel)

    for function in (convolve, gradients):
        expected, found = function(x, kernel), with_fast_convolutions(function)(x, kernel)
        for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-4)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="other compilers lay out convolutions in loops themselves")
def test_gradients_in_blocks_have_kernels_that_the_cpu_is_fast_with():
    kernel = jax.random.normal(jax.random.key(0), (3, 3, 8, 8))

    def slopes(x):
        def score(x):
            return jnp.tanh(
                lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
            ).sum()

        return jax.grad(score)(x)

    compiled = jax.jit(lambda x: in_blocks(slopes, x, 4)).lower(jnp.ones((16, 10, 10, 8))).compile().as_text()
    labels = [word for word in compiled.split() if word.startswith("dim_labels=")]
    assert labels
    assert {label.rstrip(",") for label in labels} == {"dim_labels=b01f_01io->b01f"}
