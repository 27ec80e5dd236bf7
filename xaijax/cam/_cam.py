"""Class activation maps (Zhou et al. 2016, equations 1 and 2).

y_c = sum_k w_k^c · 1/Z sum_xy f_k(x, y) + b_c        M_c(x, y) = sum_k w_k^c f_k(x, y)
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

from xaijax._core import check, settings
from xaijax._core.attribution import Attribution
from xaijax._core.compile import compiled
from xaijax._core.jaxpr import trace
from xaijax._core.numerics import HIGHEST
from xaijax._core.target import Target
from xaijax._core.typing import Array, Bool, Float, Inputs, Int, ModelLike, TargetLike
from xaijax._model import FunctionModel, Model, unflatten
from xaijax.cam._map import (
    Finish,
    LayerOptions,
    Tapped,
    axes_of,
    tap_layer,
)
from xaijax.cam._options import layer_options, read_arguments, read_finish

Ending = Literal["pooling", "other", "unread"]


def cam(
    model: ModelLike,
    x: Inputs,
    *,
    layer: str | None = None,
    head: str | None = None,
    target: TargetLike = None,
    grid: tuple[int, ...] | None = None,
    channel_axis: int | tuple[int, int] | None = None,
    relu: bool = False,
    upsample: bool | tuple[int, ...] = False,
    normalize: bool = False,
) -> Attribution:
    """CAM: sums the channels before global average pooling, each weighted by the linear head's weight for the class.

    Why: for networks that end in global average pooling and a linear layer, the map is the logit laid out in space: its
    mean plus the bias is the logit. Other networks are refused; use `xai.cam.grad_cam` for them.

    Args:
      model: any model of that form: `xai.linen(...)`, an NNX module, a function with tagged values.
      x: [N, ...] inputs.
      layer: the path of the layer that is pooled, from `xai.layers(model, x)`. Default: the last with spatial axes.
      head: the path of the linear layer, whose `kernel` [C, classes] and `bias` are read. Default: weights and bias are
        computed by differentiating the layers after the tap, which is exact for an affine head.
      target: an int, ints [N], a callable that is linear in the outputs, "all" for a map of every class [N, h, w, K],
        or None for the top class.
      grid: the sides (h, w) of a layer of tokens. Default: those that the model's trace shows.
      channel_axis: the axis of the channels, 1 for channels first; two axes where the layer's differs from the input's.
      relu: keep only positive evidence for the class. Default off: the map is the logit, negative evidence included.
      upsample: resize the maps linearly to the size of the input, or to a size (h, w). Default off.
      normalize: divide each map by its largest absolute value; with relu, bring it to [0, 1]. Default off: then the mean
        of the map plus the bias is the logit.

    Returns:
      values [N, h, w], output [N] the explained logits, base_value [N] the bias b_c, target [N].

    Raises:
      ValueError: if the network is not of that form: the map's mean plus bias does not reproduce the logit. Under a
        transformation such examples get NaN.

    References:
      Zhou et al. (2016), Learning deep features for discriminative localization, arXiv:1512.04150, equations 1 and 2.
    """
    model, x, target = read_arguments(model, x, target)
    if head is not None and not isinstance(head, str):
        raise TypeError(f"`head` must be the path of a linear layer or None, got {check.shown(head)}.")
    if head is not None and target.score is not None:
        raise ValueError(
            "`target` must be a class or None where head= names the layer whose weights are read, got a score: leave out head."
        )
    finish, options = read_finish(relu, upsample, normalize), layer_options(layer, grid, channel_axis)
    attribution, wrong = _cam(model, x, target, layer=options, head=head, finish=finish)
    if check.is_concrete(wrong) and int(wrong):
        raise ValueError(
            "`model` is not global average pooling and a linear layer after "
            f"{'the last spatial layer' if layer is None else f'layer {layer!r}'}: for {int(wrong)} of "
            f"{len(attribution.output)} examples the mean of the class activation map plus the bias is not the logit, or "
            "the weights change with the input; name the pooled layer with layer=, explain logits instead of "
            "probabilities, or use xai.cam.grad_cam, which takes any network."
        )
    return attribution


@compiled(static_argnames=("layer", "head", "finish"))
def _cam(
    model: Model,
    x: Any,
    target: Target,
    *,
    layer: LayerOptions,
    head: str | None,
    finish: Finish,
) -> tuple[Attribution, Int[Array, ""]]:
    cut = tap_layer(model, x, layer)
    activations, tail, inputs = cut
    tolerance = _tolerance(activations, tail)
    given = None if head is None else _linear_layer(model, head, activations)

    def of_class(target: Target) -> tuple[Array, Array, Array, Target, Array]:
        tapped, target = cut.differentiate(target)
        if given is None:
            weights, bias, constant = _weights_by_differentiation(tapped, tolerance)
        else:
            assert target.index is not None, "a class, as cam() checks"
            weights, bias = given[0][target.index], given[1][target.index]
            constant = jnp.ones(len(bias), bool)
        maps = tapped.weigh(weights)
        scale = jnp.einsum(
            "nk,nk->n", jnp.abs(activations).mean(axis=tapped.space), jnp.abs(weights), precision=HIGHEST
        )
        gap = jnp.abs(maps.mean(axis=tapped.space) + bias - tapped.scores)
        fits = constant & (gap <= tolerance * (scale + jnp.abs(bias)))
        broken = ~fits & ~check.rows_with_nan(x) & ~jnp.isnan(tapped.scores)
        bias = check.nan_where(jnp.isnan(tapped.scores), bias)
        return check.nan_where(~fits, finish(maps, inputs)), tapped.scores, bias, target, broken

    if target.every:
        classes = jax.eval_shape(lambda values: target.select(tail(values)), activations).shape[1]
        numbers = jnp.broadcast_to(jnp.arange(classes)[:, None], (classes, len(activations)))
        maps, scores, bias, _, broken = jax.vmap(lambda number: of_class(Target(index=number)), out_axes=-1)(numbers)
        broken = broken.any(axis=-1)
    else:
        maps, scores, bias, target, broken = of_class(target)
    axes = axes_of(activations.ndim - 2, every_class=target.every)
    attribution = Attribution(values=maps, output=scores, base_value=bias, target=target.index, axes=axes, method="CAM")
    return attribution, broken.sum()


def _weights_by_differentiation(
    tapped: Tapped, tolerance: float
) -> tuple[Float[Array, "N C"], Float[Array, " N"], Bool[Array, " N"]]:
    """Computes w_c = Z · dy/dA and b_c = y(A = 0), and whether dy/dA is the same at all positions and at A = 0."""
    bias, pull_back = jax.vjp(tapped.score, jnp.zeros_like(tapped.activations))
    (at_zero,) = pull_back(jnp.ones_like(bias))
    mean = tapped.gradients.mean(axis=tapped.space, keepdims=True)
    axes = (*tapped.space, tapped.gradients.ndim - 1)
    scale = jnp.abs(mean).max(axis=axes)
    constant = jnp.ones(len(bias), bool)
    for gradients in (tapped.gradients, at_zero):
        constant &= jnp.abs(gradients - mean).max(axis=axes) <= tolerance * scale
    num_positions = tapped.gradients[0, ..., 0].size
    return num_positions * jnp.squeeze(mean, tapped.space), bias, constant


def _linear_layer(model: Model, head: str, activations: Array) -> tuple[Float[Array, "K C"], Float[Array, " K"]]:
    """Returns the weights of each class and the biases of the linear layer at a path."""
    parameters = model.parameters(head)
    kernel, bias = parameters.get("kernel"), parameters.get("bias")
    channels = activations.shape[-1]
    if kernel is None or kernel.ndim != 2 or kernel.shape[0] != channels:
        shapes = {name: list(jnp.shape(value)) for name, value in parameters.items()}
        raise ValueError(
            f"`head` must name a linear layer with a kernel [{channels}, classes], as the pooled layer has {channels} "
            f"channels, got {head!r} with the parameters {shapes}."
        )
    return kernel.T, jnp.zeros(kernel.shape[1], kernel.dtype) if bias is None else bias


def ending(model: Model, x: Any, options: LayerOptions) -> Ending:
    """Returns what a network is after its last spatial layer: global average pooling and a linear layer, or another tail.

    "unread" says that the layer does not reach the outputs, as where these are read from a class token. The structure of the network decides, at random parameters and activations, so that the answer is known while tracing
    and is the same for all inputs and parameters.

    Raises:
      NoSpatialLayer: if no layer has spatial axes.
    """
    shapes = lambda tree: tuple((jnp.shape(leaf), leaf.dtype) for leaf in jax.tree.leaves(tree))  # noqa: E731
    arrays = tuple((jnp.shape(leaf), jax.dtypes.result_type(leaf)) for leaf in model.arrays)
    return _ending(type(model), model.static, arrays, jax.tree.structure(x), shapes(x), options.of(model))


@functools.lru_cache(maxsize=32)
@settings.own
def _ending(cls: Any, static: Any, arrays: Any, structure: Any, inputs: Any, options: LayerOptions) -> Ending:
    specs = tuple(jax.ShapeDtypeStruct(*array) for array in arrays)
    x = jax.tree.unflatten(structure, [jax.ShapeDtypeStruct((2, *shape[1:]), dtype) for shape, dtype in inputs])
    closed, outputs = trace(unflatten(cls, static, specs), x)

    # Arguments of the program: what does not reach the tail is left out of it, where constants would be computed.
    def read_and_pooled(consts: Any, parameters: Any, x: Any) -> tuple[Bool[Array, ""], Bool[Array, ""]]:
        replay = jaxpr_as_fun(ClosedJaxpr(closed.jaxpr, consts))
        model = lambda x: jax.tree.unflatten(outputs, replay(*parameters, *jax.tree.leaves(x)))  # noqa: E731
        activations, tail, _ = tap_layer(FunctionModel(model), x, options)
        keys = iter(jax.random.split(jax.random.key(0), 8))
        of_channels = jax.random.normal(next(keys), (2, *[1] * (activations.ndim - 2), activations.shape[-1]))
        activations = 100 * of_channels + jax.random.normal(next(keys), activations.shape)
        weights = jax.tree.map(
            lambda leaf: jax.random.normal(jax.random.key(leaf.size), leaf.shape[1:]), jax.eval_shape(tail, activations)
        )

        def score(activations: Array) -> Array:
            terms = jax.tree.map(lambda leaf, weight: leaf * weight[None], tail(activations), weights)
            return sum((term.reshape(2, -1).sum(axis=1) for term in jax.tree.leaves(terms)), jnp.zeros(2))

        scores, pull = jax.vjp(score, activations)
        (gradients,) = pull(jnp.ones_like(scores))
        tapped = Tapped(activations, gradients, scores, score)
        return (gradients != 0).any(), _weights_by_differentiation(tapped, _tolerance(activations, tail))[2].all()

    with jax.ensure_compile_time_eval():
        consts = [const if check.is_concrete(const) else _stand_in(const) for const in closed.consts]
        arguments = consts, [*map(_stand_in, specs)], jax.tree.map(_stand_in, x)
        is_read, is_pooled = map(bool, jax.jit(read_and_pooled)(*arguments))
    return "unread" if not is_read else "pooling" if is_pooled else "other"


def _stand_in(leaf: Any) -> Any:
    """Returns an array of a shape and dtype: positive for biases, scales and variances, of either sign for kernels."""
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jnp.broadcast_to(jax.random.key(0), leaf.shape)
    if not jnp.issubdtype(leaf.dtype, jnp.floating):
        return np.zeros(leaf.shape, leaf.dtype)
    generator = np.random.default_rng(len(leaf.shape))
    is_vector = len(leaf.shape) < 2
    return (generator.uniform(0.5, 1.5, leaf.shape) if is_vector else generator.normal(size=leaf.shape)).astype(
        leaf.dtype
    )


def _tolerance(activations: Array, tail: Callable[[Array], Any]) -> float:
    """Returns a bound on rounding errors: of TF32 products, or eight units of the coarsest dtype after the layer."""
    trace = jax.make_jaxpr(tail)(activations)
    dtypes = [variable.aval.dtype for equation in trace.jaxpr.eqns for variable in equation.outvars]
    units = [float(jnp.finfo(dtype).eps) for dtype in dtypes if jnp.issubdtype(dtype, jnp.floating)]
    coarsest = max(units, default=0.0)  # nothing at all may depend on the layer
    return max(1e-3, 8 * coarsest)
