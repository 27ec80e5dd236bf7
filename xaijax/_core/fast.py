"""Idea 3 for the user's own calls: the model with convolutions that are fast on CPUs."""

from __future__ import annotations

from typing import Any

from xaijax._core.target import apply
from xaijax._core.typing import ModelLike
from xaijax._model import Model, WrappedModel, as_model


class FastModel(WrappedModel):
    """A model whose calls are compiled programs with fast convolutions."""

    def _call(self, x: Any) -> Any:
        return apply(self.inner, x)

    def _call_tagged(self, x: Any) -> Any:
        return self.inner._call_tagged(x)


def fast(model: ModelLike) -> Model:
    """Returns the same model with depthwise convolutions that are fast on CPUs.

    Why: XLA computes grouped convolutions on CPUs one group after another, and their gradients even more slowly. Here
    depthwise convolutions, those with one channel in each group, are sums of shifted products, which XLA fuses into one
    pass over the image; other operations, and other devices, are not affected. Networks such as MobileNet, EfficientNet,
    ConvNeXt and Xception consist of them. Explainers do this to every model by themselves; this function is for calls of
    your own: evaluation, adversarial examples, fine-tuning.

    Args:
      model: any model: `xai.linen(...)`, an NNX module, `xai.function(...)`, or a JAX function x[N, ...] -> y[N, ...].
        It is called in inference mode, as by an explainer.

    Returns:
      A model with the same parameters and layers, and the same outputs and gradients up to rounding error. It is a
      callable PyTree: use it under `jax.jit`, `jax.grad` and `jax.vmap`, differentiate its parameters, and pass it to
      explainers. A call outside of these transformations is compiled. A second call of `fast` changes nothing.

    Raises:
      TypeError: if `model` is not a model.

    >>> import jax, jax.numpy as jnp, xaijax as xai
    >>> def blur(x):  # each of 8 channels by a kernel of its own
    ...     numbers = ("NHWC", "HWIO", "NHWC")
    ...     kernel = jnp.ones((3, 3, 1, 8)) / 9
    ...     return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=numbers, feature_group_count=8)
    >>> images = jnp.ones((2, 16, 16, 8))
    >>> bool(jnp.allclose(xai.fast(blur)(images), blur(images), atol=1e-5))
    True
    """
    model = as_model(model)
    return model if isinstance(model, FastModel) else FastModel(model)
