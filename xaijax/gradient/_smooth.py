"""Explanations averaged over noisy copies of the input (SmoothGrad, Smilkov et al. 2017), around any explainer.

Phi = 1/S sum_s phi(x + e_s), e_s normal; of phi² for SmoothGrad-squared, and the variance of phi for VarGrad.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check, frames, random
from xaijax._core.attribution import Attribution
from xaijax._core.blocks import each, example_keys, in_blocks
from xaijax._core.compile import compiled
from xaijax._core.examples import model_rows
from xaijax._core.noise import deviations, read_size, require_fit
from xaijax._core.numerics import at_least_float32
from xaijax._core.running import add
from xaijax._core.target import Target
from xaijax._core.typing import Array, ArrayOrSequence, Float, Int, Key
from xaijax._model import Model
from xaijax.gradient._arguments import read_input, read_model, refuse_masker

VARIANTS = ["mean", "squared", "variance"]
_GROUP = 5  # samples whose variance is one sample of "variance"
_MOST_SAMPLES = 2**20


def smooth(
    explainer: Callable[..., Attribution],
    *,
    num_samples: int = 50,
    scale: float | ArrayOrSequence = 0.1,
    variant: str = "mean",
) -> Callable[..., Attribution]:
    """Returns an explainer that averages another one over noisy copies of each input, with standard errors.

    Why: gradients of networks fluctuate from pixel to pixel; their mean in a neighborhood shows what they have in common.

    Args:
      explainer: any explainer called as explainer(model, x, target=..., ...), whose values belong to the features or to
        positions: `xai.gradient.saliency`, `xai.gradient.integrated_gradients`, `xai.cam.grad_cam`, a function of yours. It
        gets a `key`, `ids` and a `batch_size` if it takes them.
      num_samples: S noisy copies of each example, at least 2; for "variance" at least 10, and rounded down to a multiple of
        5. Default 50, as in the paper.
      scale: the standard deviation of the noise: a number in units of the range (max - min) of each example, or an array of
        the shape of one input, or that broadcasts to it, in units of x, such as the columns' standard deviations of a table.
        Default 0.1, as in the paper, which finds 0.1 to 0.2 best for images.
      variant: "mean" (SmoothGrad), "squared" (the mean of the squared values), "variance" (VarGrad). Default "mean".

    Returns:
      A function (model, x, *, key, target=None, ids=None, batch_size=None, and the options of the explainer) that returns an
      attribution: values and std_errors [N, ...] as those of the explainer, output [N] at x itself, num_evaluations [N] the
      number of samples. The top class is that of x without noise. Each example's noise depends on the key and its id alone.

    Raises:
      TypeError, ValueError: if the explainer takes no target, or an argument is out of range; when called, if x is not one
        array of floating numbers, the scale does not fit it, or the explainer does not know an option. The noise is added to
        x, also with layer=: for a model of ids, smooth the function of its embeddings.

    References:
      Smilkov et al. (2017), SmoothGrad: removing noise by adding noise, arXiv:1706.03825. Hooker et al. (2019), A benchmark
      for interpretability methods in deep neural networks, arXiv:1806.10758 (SmoothGrad-squared). Adebayo et al. (2018),
      Local explanation methods for deep neural networks lack sensitivity to parameter values, arXiv:1810.03307 (VarGrad).

    >>> import jax, xaijax as xai
    >>> smooth_grad = xai.gradient.smooth(xai.gradient.saliency, num_samples=10)
    >>> smooth_grad(lambda x: 3 * x[:, 0] + x[:, 1], [[1.0, 2.0]], key=jax.random.key(0)).values
    Array([[3., 1.]], dtype=float32)
    """
    parameters, takes_all = _parameters(explainer)
    check.one_of("variant", variant, VARIANTS)
    least = 2 * _GROUP if variant == "variance" else 2
    num_samples = check.positive_int("num_samples", num_samples, least=least, most=_MOST_SAMPLES)
    scale = read_size("scale", scale)

    def smoothed(
        model: Any, x: Any, *, key: Any, target: Any = None, ids: Any = None, batch_size: Any = None, **options: Any
    ) -> Attribution:
        for option in options:
            if option not in parameters and not takes_all:
                raise TypeError(
                    f"`explainer` must know the option {option!r}{check.did_you_mean(option, parameters)}, got one that has "
                    f"{sorted(parameters)}."
                )
        columns = frames.read_frame("x", x)[1]
        x, names = _read_input(x)
        require_fit("scale", scale, x)
        model, bound = read_model(model, x, target)
        arrays, settings = _split({name: frames.read_frame(name, value, columns)[0] for name, value in options.items()})
        shared = {"batch_size", "key", "ids"} & ({"batch_size", "key", "ids"} if takes_all else parameters)
        attribution = _smooth(
            model, x, bound, scale, check.random_key(key), check.example_ids(ids, len(x)), arrays,
            explainer=explainer, settings=settings, shared=tuple(sorted(shared)), num_samples=num_samples, variant=variant,
            batch_size=check.batch_size(batch_size),
        )  # fmt: skip
        return attribution.with_names(names)

    smoothed.__name__ = smoothed.__qualname__ = f"smooth_{getattr(explainer, '__name__', 'explainer').strip('_<>')}"
    return smoothed


def _read_input(x: Any) -> tuple[Array, tuple[str, ...] | None]:
    """Returns floating inputs and the columns' names; integers, such as ids of tokens, are refused in a sentence."""
    refuse_masker("x", x)
    if not frames.is_frame(x) and jnp.issubdtype(check.numeric_array("x", x).dtype, jnp.integer):
        raise ValueError(
            f"`x` must be floating numbers, to which the noise is added, got {check.shown(x)}: convert numbers with "
            ".astype(float); for a model of ids, smooth the function of its embeddings, with these as x and without layer=."
        )
    return read_input(x)


def _parameters(explainer: Any) -> tuple[set[str], bool]:
    """Returns the names of an explainer's options, and whether it takes any."""
    if callable(explainer) and not isinstance(explainer, type):
        try:
            parameters = inspect.signature(explainer).parameters
        except (TypeError, ValueError):
            parameters = {}
        takes_all = any(each.kind == each.VAR_KEYWORD for each in parameters.values())
        if "target" in parameters or takes_all:
            return set(parameters) - {"model", "x", "target"}, takes_all
    raise TypeError(
        f"`explainer` must be a function (model, x, target=..., ...), such as xai.gradient.saliency, got {check.shown(explainer)}."
    )


def _split(options: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[tuple[str, Any], ...]]:
    """Returns the options that are arrays, which may change without compiling, and the others, which are compared."""
    arrays, settings = {}, {}
    for name, value in options.items():
        leaves = jax.tree.leaves(value)
        if leaves and all(isinstance(leaf, jax.Array | np.ndarray) for leaf in leaves):
            arrays[name] = value
        else:
            settings[name] = _hashable(value)
    return arrays, tuple(sorted(settings.items(), key=lambda item: item[0]))


def _hashable(value: Any) -> Any:
    return tuple(map(_hashable, value)) if isinstance(value, list | tuple) else value


@compiled(static_argnames=("explainer", "settings", "shared", "num_samples", "variant", "batch_size"))
def _smooth(
    model: Model,
    x: Float[Array, "N *input"],
    target: Target,
    scale: Float[Array, "..."],
    key: Key[Array, ""],
    ids: Int[Array, " N"] | None,
    arrays: dict[str, Any],
    *,
    explainer: Callable[..., Attribution],
    settings: tuple[tuple[str, Any], ...],
    shared: tuple[str, ...],
    num_samples: int,
    variant: str,
    batch_size: int | None,
) -> Attribution:
    num_examples = len(x)
    rows = model_rows(model, x, batch_size)
    outputs = in_blocks(model, x, rows)
    target = target.resolve(outputs)
    own_ids = jnp.arange(num_examples) if ids is None else ids
    noise_key, explainer_key = jax.random.split(key)
    keys = example_keys(noise_key, own_ids)
    spread = deviations(x, scale)
    at_once = max(1, min(num_samples, rows // num_examples))  # samples, of all examples each

    def explain(number: Int[Array, ""]) -> Attribution:
        draw = lambda key: random.normal(jax.random.fold_in(key, number), x.shape[1:])  # noqa: E731
        noise = spread * each(draw)(keys).astype(spread.dtype)
        given = {
            "batch_size": max(1, rows // at_once),
            "key": jax.random.fold_in(explainer_key, number),
            "ids": own_ids,
        }
        options = {**dict(settings), **arrays, **{name: given[name] for name in shared}}
        noisy = (at_least_float32(x) + noise).astype(x.dtype)
        result = explainer(model, noisy, target=target.as_argument(), **options)
        if not isinstance(result, Attribution):
            raise TypeError(f"`explainer` must return an attribution, got {check.shown(result)}.")
        if result.regions is not None:
            raise ValueError(
                "`explainer` must explain features or positions, got regions, which may differ from sample to sample: smooth "
                "an explainer whose values have the shape of the input."
            )
        return result

    def sample(numbers: Int[Array, " R"]) -> Float[Array, "R N ..."]:
        values = each(lambda number: at_least_float32(explain(number).values))(numbers)
        return values**2 if variant == "squared" else values

    def group_variance(numbers: Int[Array, "1"]) -> Float[Array, "1 N ..."]:
        running = add(None, sample, numbers[0] * _GROUP, _GROUP, at_once)
        return (running.spread / (_GROUP - 1) * running.unit**2)[None]

    if variant == "variance":
        num_groups = num_samples // _GROUP
        running, evaluated = add(None, group_variance, 0, num_groups, 1), num_groups * _GROUP
    else:
        running, evaluated = add(None, sample, 0, num_samples, at_once), num_samples
    like = jax.eval_shape(explain, jax.ShapeDtypeStruct((), jnp.int32))
    title = {"mean": "smooth", "squared": "squared smooth", "variance": "variance of"}[variant]
    scores = target.select(outputs)
    bad = check.rows_with_nan(x)
    if not target.every:
        bad = bad | jnp.isnan(scores)
    fields = {"values": running.means(), "std_errors": running.std_errors(), "output": scores}
    return Attribution(
        **check.nan_where(bad, fields),
        target=target.index,
        num_evaluations=jnp.full(num_examples, evaluated, jnp.int32),
        inputs=x if like.inputs is not None and like.inputs.shape == x.shape else None,
        axes=like.axes,
        method=f"{title} {like.method}".strip(),
        names=like.names,
        output_names=like.output_names,
    )
