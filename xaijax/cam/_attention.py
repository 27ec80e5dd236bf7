"""Attention rollout (Abnar and Zuidema 2020) and attention gradients (Chefer et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from xaijax._core.attribution import Attribution
from xaijax._core.compile import compiled
from xaijax._core.numerics import HIGHEST, at_least_float32
from xaijax._core.places import find_places
from xaijax._core.tap import tap_several
from xaijax._core.target import Target, TargetLike
from xaijax._core.typing import Array, Float
from xaijax._model import Model
from xaijax.cam._map import Finish, axes_of
from xaijax.cam._options import read_arguments, read_finish, read_sides


def attention_rollout(
    model: Any,
    x: Any,
    *,
    layers: str | Sequence[str] = "attention_weights",
    token: int | None = 0,
    grid: tuple[int, ...] | None = None,
    upsample: bool | tuple[int, ...] = False,
    normalize: bool = False,
) -> Attribution:
    """Attention rollout: how much of each input token reaches a token at the end, through all layers' attention.

    A_l = mean over heads of the attention weights        R = prod_l (A_l + I) / 2

    Why: attention in one layer is over mixtures of tokens, not over the input; the product follows them back. It needs
    no gradient and no class: where the model could look, not what speaks for a class. (output is the top score.)

    Args:
      model: any model whose attention weights [N, heads, T, T] (or [N, T, T]) are tapped: pass
        `attention_fn=xai.tagged_attention` to Flax's attention modules, or name them with `xai.tag(weights, "attention_weights")`.
      x: [N, ...] inputs.
      layers: the name that all the weights were tagged with, or their paths in order, first layer first.
      token: the row that is read: 0, the class token; None for the mean over all tokens (pooled models).
      grid: the places (h, w) of the tokens; others before them are dropped. Default: inferred where x is an image.
      upsample: resize the maps to the size of the input, or to a size (h, w). Default off.
      normalize: bring each map to [0, 1]. Default off: the weights of a row sum to one, class token included.

    Returns:
      values [N, h, w], or [N, T] for token ids.

    Raises:
      ValueError: if there are no such layers, or they are no square matrices of the same size.

    References:
      Abnar and Zuidema (2020), Quantifying attention flow in transformers, arXiv:2005.00928, equation 1.
    """
    options = {"token": token, "grid": read_sides("grid", grid), "finish": read_finish(False, upsample, normalize)}
    model, x, target = read_arguments(model, x, None, all_allowed=False)
    return _attention(model, x, target, layers=_read_layers(layers), gradient=False, **options)


def attention_gradient(
    model: Any,
    x: Any,
    *,
    layers: str | Sequence[str] = "attention_weights",
    target: TargetLike = None,
    token: int | None = 0,
    grid: tuple[int, ...] | None = None,
    upsample: bool | tuple[int, ...] = False,
    normalize: bool = False,
) -> Attribution:
    """Attention gradients: rollout of the attention that speaks for a class.

    A_l = mean over heads of ReLU(dy/dA ⊙ A)        R = I, then for every layer R = R + A_l R;  the map is R - I

    Why: rollout shows all that is looked at, whatever for; weighed by its gradient, attention is that of the class. One
    forward and one backward pass for all layers.

    Args:
      model, x, layers, token, grid, upsample, normalize: as for `xai.cam.attention_rollout`.
      target: an int, ints [N], a callable, one of `xai.target`, or None for the top class.

    Returns:
      values [N, h, w], or [N, T] for token ids, output [N] the explained scores, target [N].

    References:
      Chefer, Gur and Wolf (2021), Generic attention-model explainability for interpreting bi-modal and encoder-decoder
      transformers, arXiv:2103.15679, equations 5 and 6.
    """
    options = {"token": token, "grid": read_sides("grid", grid), "finish": read_finish(False, upsample, normalize)}
    model, x, target = read_arguments(model, x, target, all_allowed=False)
    return _attention(model, x, target, layers=_read_layers(layers), gradient=True, **options)


def _read_layers(layers: str | Sequence[str]) -> str | tuple[str, ...]:
    if isinstance(layers, str):
        return layers
    if not layers:
        raise ValueError("layers must be one path or more, but it is empty.")
    return tuple(layers)


@compiled(static_argnames=("layers", "gradient", "token", "grid", "finish"))
def _attention(
    model: Model,
    x: Any,
    target: Target,
    *,
    layers: str | tuple[str, ...],
    gradient: bool,
    token: int | None,
    grid: tuple[int, ...] | None,
    finish: Finish,
) -> Attribution:
    try:
        shapes, run = tap_several(model, x, layers)
    except ValueError as error:
        raise ValueError(
            f"{error} Attention weights are tapped where attention_fn=xai.tagged_attention is given to Flax's modules, "
            'or where the model names them with xai.tag(weights, "attention_weights").'
        ) from None
    _check_square(shapes)
    zeros = [jnp.zeros(shape.shape, shape.dtype) for shape in shapes]
    outputs, pull_back, weights = jax.vjp(run, zeros, has_aux=True)
    target = target.resolve(outputs)
    scores, pull_scores = jax.vjp(target.select, outputs)
    attentions = [at_least_float32(one) for one in weights]
    if gradient:
        (slopes,) = pull_back(*pull_scores(jnp.ones_like(scores)))
        attentions = [jax.nn.relu(one * at_least_float32(slope)) for one, slope in zip(attentions, slopes, strict=True)]

    tokens = shapes[0].shape[-1]
    identity = jnp.broadcast_to(jnp.eye(tokens), (len(scores), tokens, tokens))
    reached = identity
    for one in attentions:
        heads = one.reshape(len(scores), -1, tokens, tokens).mean(axis=1)
        flow = jnp.einsum("nij,njk->nik", heads, reached, precision=HIGHEST)
        # A row of attention weights sums to one, so rollout's (A + I) / 2 keeps rows that sum to one.
        reached = reached + flow if gradient else (reached + flow) / 2
    if gradient:
        reached = reached - identity
    rows = reached.mean(axis=1) if token is None else _row(reached, token)
    values = find_places(rows[..., None], x, "of the attention weights", grid).take(rows[..., None])[..., 0]
    title = "attention gradients" if gradient else "attention rollout"
    maps = finish(values, x)
    return Attribution(values=maps, output=scores, target=target.index, axes=axes_of(maps.ndim - 1), method=title)


def _row(matrices: Float[Array, "N T T"], token: int) -> Float[Array, "N T"]:
    count = matrices.shape[1]
    if not -count <= token < count:
        raise ValueError(f"token must lie between 0 and {count - 1}, as there are {count} tokens, but it is {token}.")
    return matrices[:, token]


def _check_square(shapes: list[jax.ShapeDtypeStruct]) -> None:
    for shape in shapes:
        square = len(shape.shape) >= 3 and shape.shape[-1] == shape.shape[-2]
        if not square or shape.shape[-1] != shapes[0].shape[-1]:
            raise ValueError(
                "layers must hold attention weights [N, heads, T, T], with the same T in all of them, but their shapes "
                f"are {[list(one.shape) for one in shapes]}: windowed attention (Swin) and cross-attention have no rollout."
            )
