"""Rules of relevance propagation: how a linear layer shares the relevance of its outputs among its inputs.

A rule is a function rule(layer, x, ones) -> z of the shape of the layer's output. `ones` has the shape of x and stands for
the contribution of each input: the relevance R_j of output j is shared in proportion to the derivatives of z by it,

    R_i = sum_j (∂z_j / ∂ones_i) R_j / z_j

so z is the sum of all contributions, and relevance is conserved where z has no other part. A rule may also return a list of
(share, z), whose results are added up. `layer` is a `Layer`: layer(x), layer.linear(x, kernel), layer.kernel, layer.bias.

>>> import jax.numpy as jnp, xaijax as xai
>>> def by_size(layer, x, ones):
...     return layer.linear(jnp.abs(x) * ones, jnp.abs(layer.kernel))
>>> composite = xai.gradient.composites.Composite([("dense", by_size)])
>>> model = xai.function(lambda w, x: x @ w, jnp.array([[3.0], [-1.0]]))
>>> xai.gradient.propagate(model, jnp.ones((1, 2)), composite=composite, target=0).values.tolist()
[[1.5, 0.5]]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from xaijax._core import check
from xaijax._core.typing import Array, ArrayOrSequence
from xaijax.gradient._layers import Layer
from xaijax.gradient._shares import Rule, stabilized

__all__ = ["Layer", "Rule", "alpha_beta", "epsilon", "flat", "gamma", "pass_on", "w_square", "z_box", "z_plus"]

STABILIZER = 1e-6  # keeps the sign of a denominator away from 0


def __dir__() -> list[str]:
    return __all__


def epsilon(epsilon: float = STABILIZER) -> Rule:
    """Makes the rule that shares relevance by the contributions to the output: R_i = sum_j x_i w_ij R_j / (y_j ± ε).

    Why: for the upper layers. With ε near 0 relevance is the input times the gradient; a larger ε absorbs the relevance of
    outputs whose contributions cancel, which removes noise. The bias absorbs its part.

    Args:
      epsilon: ε, at least 0, which is added to |y_j|, in the units of the layer's outputs. Default 1e-6.

    Returns:
      A rule for a composite.

    References:
      Bach et al. (2015), On pixel-wise explanations for non-linear classifier decisions by layer-wise relevance
      propagation, equation 58.
    """
    return jax.tree_util.Partial(_epsilon, epsilon=check.positive_float("epsilon", epsilon, zero_allowed=True))


def _epsilon(layer: Layer, x: Array, ones: Array, *, epsilon: Any) -> Array:
    return stabilized(layer(x * ones), epsilon)


def z_plus() -> Rule:
    """Makes the rule that shares relevance by the positive contributions: R_i = sum_j (x_i w_ij)⁺ R_j / sum_i' (x_i' w_i'j)⁺.

    Why: for convolutions: smooth maps of what speaks for the output. A positive bias absorbs its part.

    Returns:
      A rule for a composite.

    References:
      Montavon et al. (2017), Explaining nonlinear classification decisions with deep Taylor decomposition, section 4.1;
      for inputs of both signs, Bach et al. (2015), equation 60, with alpha 1 and beta 0.
    """
    return jax.tree_util.Partial(_z_plus)


def _z_plus(layer: Layer, x: Array, ones: Array) -> Array:
    return stabilized(_same_signs(layer, x, ones, _positive) + _positive(layer.bias), STABILIZER)


def alpha_beta(alpha: float = 2.0, beta: float = 1.0) -> Rule:
    """Makes the rule that weighs positive contributions by alpha and negative ones by -beta, each by their own sum.

    Why: for convolutions: maps of what speaks for and against the output; (2, 1) is common, (1, 0) is `z_plus`.

    Args:
      alpha: the share of positive contributions, 1 + beta.
      beta: the share of negative contributions, at least 0.

    Returns:
      A rule for a composite.

    Raises:
      ValueError: if alpha - beta is not 1, without which relevance is not conserved.

    References:
      Bach et al. (2015), equation 60.
    """
    alpha, beta = check.finite_float("alpha", alpha), check.positive_float("beta", beta, zero_allowed=True)
    if abs(alpha - beta - 1) > 1e-6:
        raise ValueError(
            f"`alpha` and `beta` must differ by 1, so that relevance is conserved, got {alpha:g} and {beta:g}: pass alpha = "
            "1 + beta."
        )
    return z_plus() if beta == 0 else jax.tree_util.Partial(_alpha_beta, alpha=alpha, beta=beta)


def _alpha_beta(layer: Layer, x: Array, ones: Array, *, alpha: Any, beta: Any) -> list[tuple[Any, Array]]:
    against = _same_signs(layer, x, ones, _negative) + _negative(layer.bias)
    return [(alpha, _z_plus(layer, x, ones)), (-beta, stabilized(against, STABILIZER))]


def gamma(gamma: float = 0.25) -> Rule:
    """Makes the rule that favors contributions of the sign of the output: those count 1 + γ times.

    Why: for the middle layers: between `epsilon` (γ = 0) and `z_plus` (γ to infinity), for outputs of both signs.

    Args:
      gamma: γ, at least 0. Default 0.25.

    Returns:
      A rule for a composite.

    References:
      Montavon et al. (2019), Layer-wise relevance propagation: An overview, section 10.2.1; for inputs and outputs of
      both signs, Andéol et al. (2021), Learning domain invariant representations by joint Wasserstein distance
      minimization. The bias counts like a contribution, as there and in zennit; captum leaves it as it is.
    """
    return jax.tree_util.Partial(_gamma, gamma=check.positive_float("gamma", gamma, zero_allowed=True))


def _gamma(layer: Layer, x: Array, ones: Array, *, gamma: Any) -> Array:
    plain, y = layer(x * ones), layer(x)
    for_it = _same_signs(layer, x, ones, _positive) + _positive(layer.bias)
    against = _same_signs(layer, x, ones, _negative) + _negative(layer.bias)
    return stabilized(plain + gamma * jnp.where(y > 0, for_it, against), STABILIZER)


def flat() -> Rule:
    """Makes the rule that shares relevance evenly among all inputs of an output.

    Why: for the first layer, or lower layers: maps of where an explanation looks, without the details of the input.

    Returns:
      A rule for a composite.

    References:
      Lapuschkin et al. (2019), Unmasking Clever Hans predictors and assessing what machines really learn.
    """
    return jax.tree_util.Partial(_flat)


def _flat(layer: Layer, x: Array, ones: Array) -> Array:
    return stabilized(layer.linear(ones, jnp.ones_like(layer.kernel)), STABILIZER)


def w_square() -> Rule:
    """Makes the rule that shares relevance by the squares of the weights, independent of the inputs: R_i = sum_j w_ij² R_j / sum w².

    Why: for a first layer of inputs that have no bounds.

    Returns:
      A rule for a composite.

    References:
      Montavon et al. (2017), section 4.1. The bias takes no part, as there.
    """
    return jax.tree_util.Partial(_w_square)


def _w_square(layer: Layer, x: Array, ones: Array) -> Array:
    return stabilized(layer.linear(ones, layer.kernel**2), STABILIZER)


def z_box(low: ArrayOrSequence | float, high: ArrayOrSequence | float) -> Rule:
    """Makes the rule for a first layer of inputs between bounds: contributions x_i w_ij - l_i w_ij⁺ - h_i w_ij⁻.

    Why: for pixels: relevance reaches black pixels too, which contribute nothing to x_i w_ij.

    Args:
      low: the least value of each input of the layer: a number, or an array that fits one input, such as [C] for images
        with channels last. Where the model first scales its input by constants, these are values of that input.
      high: the largest value, likewise.

    Returns:
      A rule for a composite.

    References:
      Montavon et al. (2017), section 4.1, equation for the box-constrained input space.
    """
    low, high = _read_bound("low", low), _read_bound("high", high)
    try:
        wrong = jnp.any(low > high)
    except (TypeError, ValueError):
        raise ValueError(
            f"`low` must fit `high`, got the shapes {list(low.shape)} and {list(high.shape)}: pass one number for all inputs."
        ) from None
    if check.is_concrete(wrong) and wrong:
        raise ValueError("`low` must be at most `high` everywhere, got larger values: exchange them.")
    return jax.tree_util.Partial(_z_box, low=low, high=high)


def _read_bound(name: str, bound: Any) -> Array:
    bound = check.numeric_array(name, bound)
    if bound.size == 0 or (check.is_concrete(bound) and not bool(jnp.isfinite(bound).all())):
        raise ValueError(f"`{name}` must be finite numbers, got {check.shown(bound)}: pass one number for all inputs.")
    return bound


def _z_box(layer: Layer, x: Array, ones: Array, *, low: Any, high: Any) -> Array:
    low, high = (_fitting(name, value, x) for name, value in (("low", low), ("high", high)))
    inner = layer.linear(x * ones, layer.kernel)
    outer = layer.linear(low * ones, _positive(layer.kernel)) + layer.linear(high * ones, _negative(layer.kernel))
    return stabilized(inner - outer, STABILIZER)


def _fitting(name: str, bound: Array, x: Array) -> Array:
    shape = jnp.shape(bound)
    if len(shape) > x.ndim or any(own not in (1, size) for own, size in zip(shape[::-1], x.shape[::-1], strict=False)):
        raise ValueError(
            f"`{name}` must fit inputs of shape {list(x.shape)}, got shape {list(shape)}: pass one number."
        )
    return jnp.broadcast_to(bound, x.shape).astype(x.dtype)


def pass_on() -> Rule:
    """Makes the rule that passes the relevance of each output on to the input at its position.

    Why: for affine operations, such as batch normalization that belongs to no layer: the constants absorb nothing.

    Returns:
      A rule for a composite; for layers whose output has the shape of their input.
    """
    return jax.tree_util.Partial(_pass_on)


def _pass_on(layer: Layer, x: Array, ones: Array) -> Array:
    return ones


def _same_signs(layer: Layer, x: Array, ones: Array, part: Callable[[Array], Array]) -> Array:
    """Returns the sum of the contributions that are positive, for part=_positive, or negative."""
    of_positive = layer.linear(_positive(x) * ones, part(layer.kernel))
    return of_positive + layer.linear(_negative(x) * ones, part(-layer.kernel) * -1)


def _positive(values: Array) -> Array:
    return jnp.maximum(values, 0)


def _negative(values: Array) -> Array:
    return jnp.minimum(values, 0)
