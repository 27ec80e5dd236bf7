"""Attention rollout (Abnar and Zuidema 2020) and attention gradients (Chefer et al. 2021)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.compile import compiled
from xaijax._core.grid import LayerInputs, check_inputs, token_grid
from xaijax._core.layout import Layout
from xaijax._core.numerics import at_least_float32, einsum
from xaijax._core.tap import UnknownLayer, tap_several
from xaijax._core.target import Target
from xaijax._core.typing import Array, Float, Inputs, ModelLike, TargetLike
from xaijax._model import Model
from xaijax.cam._map import Finish, LayerOptions, axes_of
from xaijax.cam._options import layer_options, read_arguments, read_finish


def attention_rollout(
    model: ModelLike,
    x: Inputs,
    *,
    layers: str | Sequence[str] = "attention_weights",
    token: int | None = 0,
    grid: tuple[int, ...] | None = None,
    channel_axis: int | None = None,
    upsample: bool | tuple[int, ...] = False,
    normalize: bool = False,
) -> Attribution:
    """Attention rollout: multiplies the attention of all layers, for the share of each input token in an output token.

    A_l = mean over heads of the attention weights        R = prod_l (A_l + I) / 2

    Why: attention in one layer is over mixtures of tokens, not over the input; the product traces them back to the input.
    It needs no gradient and no class: it shows what the model could use, not the evidence for a class. (`output` is the
    top score.)

    Args:
      model: any model whose attention weights [N, heads, T, T] (or [N, T, T]) are tapped: pass
        `attention_fn=xai.tagged_attention` to Flax's attention modules, or name them with
        `xai.tag(weights, "attention_weights")`.
      x: [N, ...] inputs.
      layers: the name that all the weights were tagged with, or their paths in order, first layer first. Default
        "attention_weights".
      token: the output token: 0, the class token; None for the mean over all tokens (pooled models). Default 0.
      grid: the sides (h, w) that the tokens are laid out on; tokens before them are dropped. Default: the grid of the
        patches that the model's trace shows, else a map [N, T] over the tokens.
      channel_axis: the axis of the channels in the input, 1 for channels first. Default: the last.
      upsample: resize the maps to the size of the input, or to a size (h, w). Default off.
      normalize: bring each map to [0, 1] by its least and largest value. Default off: the weights of a row sum to one,
        class token included.

    Returns:
      values [N, h, w], or [N, T] for token ids.

    Raises:
      TypeError, ValueError: if there are no such layers, they are no square matrices of the same size, or there is no such
        token.

    References:
      Abnar and Zuidema (2020), Quantifying attention flow in transformers, arXiv:2005.00928, equation 1.
    """
    options = _read_options(token, grid, channel_axis, upsample, normalize)
    model, x, target = read_arguments(model, x, None, all_allowed=False)
    return _attention(model, x, target, layers=_read_layers(layers), gradient=False, **options)


def attention_gradient(
    model: ModelLike,
    x: Inputs,
    *,
    layers: str | Sequence[str] = "attention_weights",
    target: TargetLike = None,
    token: int | None = 0,
    grid: tuple[int, ...] | None = None,
    channel_axis: int | None = None,
    upsample: bool | tuple[int, ...] = False,
    normalize: bool = False,
) -> Attribution:
    """Attention gradients: attention rollout with the attention weighted by its evidence for a class.

    A_l = mean over heads of ReLU(dy/dA ⊙ A)        R = I, then for every layer R = R + A_l R;  the map is R - I

    Why: rollout does not depend on the class; its product with the gradient does. All layers share one forward and one
    backward pass.

    Args:
      model, x, layers, token, grid, channel_axis, upsample, normalize: as for `xai.cam.attention_rollout`.
      target: an int, ints [N], a callable, one of `xai.target`, or None for the top class.

    Returns:
      values [N, h, w], or [N, T] for token ids, output [N] the explained scores, target [N].

    References:
      Chefer, Gur and Wolf (2021), Generic attention-model explainability for interpreting bi-modal and encoder-decoder
      transformers, arXiv:2103.15679, equations 5 and 6.
    """
    options = _read_options(token, grid, channel_axis, upsample, normalize)
    model, x, target = read_arguments(model, x, target, all_allowed=False)
    return _attention(model, x, target, layers=_read_layers(layers), gradient=True, **options)


def _read_layers(layers: str | Sequence[str]) -> str | tuple[str, ...]:
    if isinstance(layers, str):
        return layers
    if not isinstance(layers, Sequence) or not layers or not all(isinstance(path, str) for path in layers):
        raise ValueError(
            f"`layers` must be a name, or one or more paths from xai.layers(model, x), got {check.shown(layers)}."
        )
    return tuple(layers)


def _read_options(token: Any, grid: Any, channel_axis: Any, upsample: Any, normalize: Any) -> dict[str, Any]:
    """Checks the options of both maps. The maps are never negative: their finish is that of maps with relu."""
    if token is not None and (isinstance(token, bool) or not isinstance(token, int)):
        raise TypeError(f"`token` must be the index of a token or None, got {check.shown(token)}.")
    layer = layer_options(None, grid, channel_axis)
    return {"token": token, "layer": layer, "finish": read_finish(True, upsample, normalize)}


@compiled(static_argnames=("layers", "gradient", "token", "layer", "finish"))
def _attention(
    model: Model,
    x: Any,
    target: Target,
    *,
    layers: str | tuple[str, ...],
    gradient: bool,
    token: int | None,
    layer: LayerOptions,
    finish: Finish,
) -> Attribution:
    layer = layer.of(model)
    try:
        shapes, run, layouts, inputs = tap_several(model, x, layers)
    except UnknownLayer as error:
        raise ValueError(
            f"`layers` must name attention weights of the model, got {layers!r}: pass attention_fn=xai.tagged_attention to "
            'Flax\'s modules, or name the weights by xai.tag(weights, "attention_weights").'
        ) from error
    check_inputs(x, inputs, layer.channel_axis)
    _check_square(shapes, layouts)
    zeros = [jnp.zeros(shape.shape, shape.dtype) for shape in shapes]
    outputs, pull_back, weights = jax.vjp(run, zeros, has_aux=True)
    attentions = [at_least_float32(attention) for attention in weights]
    if gradient:
        target, scores, (slopes,) = target.pull_back(outputs, pull_back)
        products = [attention * at_least_float32(slope) for attention, slope in zip(attentions, slopes, strict=True)]
        attentions = [jax.nn.relu(product) for product in products]
    else:
        target = target.resolve(outputs)
        scores = target.select(outputs)

    num_tokens = shapes[0].shape[-1]
    identity = jnp.broadcast_to(jnp.eye(num_tokens), (len(scores), num_tokens, num_tokens))
    product = identity
    for attention in attentions:
        heads = attention.reshape(len(scores), -1, num_tokens, num_tokens).mean(axis=1)
        flow = einsum("nij,njk->nik", heads, product)
        # A row of attention weights sums to one, so rollout's (A + I) / 2 keeps rows that sum to one.
        product = product + flow if gradient else (product + flow) / 2
    if gradient:
        product = product - identity
    rows = product.mean(axis=1) if token is None else _row(product, token)
    last = len(layouts[0].axes) - 1
    before, sides, order = token_grid(layouts[0], last, num_tokens, layer.grid, "the attention weights")
    maps = rows[:, before : before + math.prod(sides)].reshape(len(rows), *sides)
    maps = maps.transpose(0, *(1 + number for number in order))
    maps = finish(maps, LayerInputs(x, layouts[-1].inputs, layer.channel_axis))
    maps = check.nan_where(jnp.isnan(scores), maps)  # a NaN score: the class does not exist
    method = "attention gradients" if gradient else "attention rollout"
    return Attribution(values=maps, output=scores, target=target.index, axes=axes_of(len(sides)), method=method)


def _row(matrices: Float[Array, "N T T"], token: int) -> Float[Array, "N T"]:
    count = matrices.shape[1]
    if not -count <= token < count:
        raise ValueError(f"`token` must be from 0 to {count - 1}, as there are {count} tokens, got {token}.")
    return matrices[:, token]


def _check_square(shapes: list[jax.ShapeDtypeStruct], layouts: list[Layout]) -> None:
    """Raises ValueError unless queries and keys are the same tokens."""
    for shape, layout in zip(shapes, layouts, strict=True):
        square = len(shape.shape) >= 3 and shape.shape[-1] == shape.shape[-2]
        if not square or shape.shape[-1] != shapes[0].shape[-1] or layout.axes[-1].sides != layout.axes[-2].sides:
            raise ValueError(
                "`layers` must hold attention weights [N, heads, T, T] between the same T tokens in all layers, got shapes "
                f"{[list(shape.shape) for shape in shapes]}: windowed attention (Swin) and cross-attention have no rollout."
            )
