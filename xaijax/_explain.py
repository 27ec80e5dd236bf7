"""One call for any model and input: it chooses a method, and says which and why."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax import cam, lime, mask, shap
from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.compile import automatic_axes
from xaijax._core.frames import is_frame, read_frame
from xaijax._core.tap import NoSpatialLayer
from xaijax._core.target import as_target, output_shapes
from xaijax._core.typing import Ids, Inputs, KeyLike, ModelLike, TargetLike
from xaijax._model import CallbackModel, Model, as_model
from xaijax.cam._cam import ending
from xaijax.cam._options import layer_options
from xaijax.mask._background import few_centers
from xaijax.mask._regions import few_cells

_MOST_ROWS = 100  # of a background that is taken as it is

_WORDS = "x is text: LIME removes its words"
_TOKENS = "x holds token ids: Shapley values are shared out among them"
_TABLE = "x is a table: Shapley values are fair to interacting features and sum to the output minus the base value"
_MASKER = "the background is a masker, whose players get Shapley values"
_POOLED = (
    "the network ends in global average pooling and a linear layer, for which CAM is exact: its mean plus the base value "
    "is the logit"
)
_NOT_POOLED = (
    "the network has layers over the image, but does not end in global average pooling and a linear layer, for which CAM "
    "would be exact"
)
_SCORE = "the network has layers over the image, and CAM is only exact for classes, not for a function of them"
_CELLS = "the model shows no layers over the image: the cells of a grid get Shapley values"
_UNREAD = (
    "the last layer over the image does not reach the outputs, as where a class token is read: the cells of a grid get "
    "Shapley values"
)
_HOST = "the model runs on the host, without layers and gradients: the cells of a grid get Shapley values"
_FILL = "a background of images was given: the cells of a grid get Shapley values"


def explain(
    model: ModelLike,
    x: Inputs | Sequence[str],
    *,
    background: mask.Masker | Inputs | None = None,
    key: KeyLike | None = None,
    target: TargetLike = None,
    tokenizer: Callable[[str], Any] | None = None,
    pad_id: int | None = None,
    mask_id: int | None = None,
    channel_axis: int | None = None,
    output_names: Sequence[str] | None = None,
    ids: Ids = None,
    batch_size: int | None = None,
) -> Attribution:
    """Explains any model at any input, by a method that suits both.

    Why: the first look at a model. `attribution.method` says which method was chosen, and `attribution.reason` why; its
    own function has more options.

    | input | method |
    |---|---|
    | strings | LIME of words, `xai.lime.strings` |
    | integers [N, L], with a `mask_id` or `pad_id` | Shapley values of tokens, `xai.shap.values` with `xai.mask.tokens` |
    | a data frame, or [N, D] with a `background` | Shapley values of features, `xai.shap.values` |
    | images [N, H, W, C], and signals or volumes, of a network that ends in pooling and a linear layer | `xai.cam.cam` |
    | images of another network with layers [N, h, w, C] | `xai.cam.grad_cam` |
    | images of any other model (on the host, without layers, with a class token), or with a `background` of images | Shapley values of about 64 cells, `xai.mask.grid` |
    | anything, with a masker as `background` | Shapley values of its players |

    The choice depends on the structure of the model and the shapes alone, so it is the same within `jax.jit`, for all
    parameters and all batches.

    Args:
      model: any model: `xai.linen(...)`, an NNX module, a function, an estimator of scikit-learn, `xai.callback(predict)`.
      x: [N, ...] inputs; a data frame; or N strings, for a model of token ids and its tokenizer, or a model of strings.
      background: what replaces absent features: rows [B, D] or a data frame, such as the training rows (beyond 100 rows,
        25 k-means centers of them); images [B, H, W, C]; or a masker. Default: k-means centers of a data frame itself,
        the mean color of a cell for images.
      key: a JAX random key. It is needed for text, and for Shapley values that are sampled (of more than 12 players).
      target: an int, ints [N], a callable from outputs to one number for each row, "all", or None for the top class.
      tokenizer, pad_id, mask_id: of a model of token ids, as in `xai.lime.strings` and `xai.mask.tokens`.
      channel_axis: the axis of the channels of images, 1 for [N, C, H, W]. Default: the last.
      output_names: K names of the model's outputs. Default: none.
      ids: [N] integers that name the examples for their randomness. Default: their indices.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      An attribution of the chosen method.

    Raises:
      TypeError, ValueError: if x is a table of numbers without a background, options are given that the input does not
        have, the key is missing where it is needed, or an argument does not fit the model.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> attribution = xai.explain(lambda x: x[:, 0] * x[:, 1], jnp.array([[2.0, 3.0]]), background=jnp.zeros((1, 2)))
    >>> attribution.method, attribution.values.tolist()
    ('SHAP', [[3.0, 3.0]])
    """
    model = as_model(model)
    options: dict[str, Any] = {"key": key, "target": target, "ids": ids, "batch_size": batch_size}
    options["output_names"] = output_names
    if _is_text(x):
        _refuse("`x` is text", background=background, channel_axis=channel_axis)
        words = lime.strings(model, x, tokenizer, pad_id=pad_id, mask_id=mask_id, **options)  # pyright: ignore[reportArgumentType]
        return _because(words, _WORDS)
    _refuse("`x` is no text", tokenizer=tokenizer)
    if isinstance(background, mask.Masker):
        _refuse("`background` is a masker", pad_id=pad_id, mask_id=mask_id, channel_axis=channel_axis)
        return _because(shap.values(model, x, background, **options), _MASKER)
    if is_frame(x) and background is None:
        _refuse("`x` is a data frame", pad_id=pad_id, mask_id=mask_id, channel_axis=channel_axis)
        return _because(shap.values(model, x, **options), _TABLE)
    array: Any = x if is_frame(x) else check.numeric_array("x", x)
    if len(array.shape) < 2:
        raise ValueError(
            f"`x` must have an axis of examples and one of features, [N, D] or [N, ..., C], got shape {list(array.shape)}: "
            "one example alone is x[None]."
        )
    if len(array.shape) > 2:
        _refuse("`x` holds images", pad_id=pad_id, mask_id=mask_id)
        axis = model.channel_axis if channel_axis is None else channel_axis
        return _image(model, array, background, axis, options)
    _refuse("`x` has the shape [N, D]", channel_axis=channel_axis)
    if background is not None:
        _refuse("`background` is given", pad_id=pad_id, mask_id=mask_id)
        return _because(shap.values(model, x, _of_rows(background, array.shape[1]), **options), _TABLE)
    if mask_id is not None or pad_id is not None:
        return _because(shap.values(model, array, mask.tokens(mask_id, pad_id=pad_id), **options), _TOKENS)
    raise TypeError(
        "`background` must be given for a table, got None: pass background=rows, such as the training rows; a data frame x "
        "does without; for token ids pass mask_id or pad_id instead."
    )


def _image(
    model: Model, x: jax.Array, background: Any, channel_axis: int | None, options: dict[str, Any]
) -> Attribution:
    """Explains images by a class activation map, or by cells where there is none."""
    target, reason = options["target"], _FILL if background is not None else _HOST
    if background is None and not isinstance(model, CallbackModel):
        check.no_nan("x", x)
        as_target(target, output_shapes(model, x, len(x)), len(x), all_allowed=True)
        try:
            end = ending(model, x, layer_options(None, None, channel_axis))
        except NoSpatialLayer:
            end = None
        if end in ("pooling", "other"):
            exact = end == "pooling" and not callable(target)
            method = cam.cam if exact else cam.grad_cam
            maps = method(model, x, target=target, channel_axis=channel_axis)
            if options["output_names"] is not None:
                maps = maps.with_names(output_names=options["output_names"])
            return _because(maps, _POOLED if exact else _NOT_POOLED if end == "other" else _SCORE)
        reason = _CELLS if end is None else _UNREAD
    fill: Any = "mean" if background is None else check.numeric_array("background", background)
    if background is not None and fill.ndim != x.ndim:
        raise ValueError(
            f"`background` must be images of the shape of `x`, [B, {', '.join(map(str, x.shape[1:]))}], got {list(fill.shape)}."
        )
    masker = few_cells(x.shape, fill=fill, channel_axis=channel_axis)
    return _because(shap.values(model, x, masker, **options), reason)


def _of_rows(background: Any, num_features: int) -> mask.Masker:
    """Returns the background of rows for inputs of so many features, or of cluster centers of many rows."""
    rows, _ = read_frame("background", background)
    rows = check.numeric_array("background", rows)
    if rows.ndim != 2 or len(rows) == 0 or rows.shape[1] != num_features:
        raise ValueError(
            f"`background` must be rows [B, {num_features}] with the features of `x`, B at least 1, got shape {list(rows.shape)}."
        )
    check.no_nan("background", rows)
    if len(rows) <= _MOST_ROWS:
        return mask.background(background)
    if not check.is_concrete(rows):
        raise TypeError(
            f"`background` must be known when compiling where it has more than {_MOST_ROWS} rows, got {len(rows)} traced "
            "rows: pass a masker from xai.mask.k_means, made outside jax.jit."
        )
    return few_centers(background, len(np.unique(np.asarray(rows), axis=0)))


def _because(attribution: Attribution, reason: str) -> Attribution:
    """Returns an attribution that also says why its method was chosen."""
    choices = tuple((estimator, "; ".join(filter(None, (reason, own)))) for estimator, own in attribution.choices)
    if choices:
        return dataclasses.replace(attribution, choices=choices)
    with automatic_axes():
        choice = jnp.zeros(len(attribution), jnp.int32)
    return dataclasses.replace(attribution, choice=choice, choices=(("", reason),))


def _is_text(x: Any) -> bool:
    if isinstance(x, str):
        return True
    if isinstance(x, jax.Array) or is_frame(x) or not check.is_list(x) or len(x) == 0:
        return False
    return isinstance(next(iter(x)), str)


def _refuse(where: str, **options: Any) -> None:
    """Raises an error if options are given that inputs of this form do not have."""
    for name, value in options.items():
        if value is not None:
            raise TypeError(f"`{name}` must be None where {where}, got {check.shown(value)}: leave it out.")
