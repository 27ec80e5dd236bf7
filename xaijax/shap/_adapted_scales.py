"""A scale for each player, in two steps from the scale that all players share: cheap enough for every model.

The likelihood of the odd parts o under the covariances K, with the amplitude s² = o' K^-1 o / n, is largest where for each
player i the two sides of

    o' K^-1 K_i K^-1 o / s² = tr K^-1 K_i,    K_i = dK / d log rho_i

are equal: what the player's interactions explain of o, and what they are expected to. A step multiplies the scale rho_i by the
ratio of the two sides (a fixed-point iteration: MacKay 1992, Bayesian interpolation). It starts from the scale, boost and
noise of the isotropic models, averaged with their likelihoods. The rows that rate these models suffice for the steps.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

from xaijax._core.numerics import dot, ratio, safe_sqrt
from xaijax._core.typing import Array, Bool, Float
from xaijax.shap._player_scales import Observed, OddProcess
from xaijax.shap._process import Posterior, Process, mixed, rate

_STEPS = 2  # the third gains little, and narrows the errors
_EXPECTED = 1.0  # is added to both sides: where either is less, rows say little about the player
_LARGEST_RATIO = 100.0
_RANGE = (1e-4, 0.9)  # of the scales, the least over the number of players


def adapted(
    models: Process, spins: Float[Array, "n M"], part: Float[Array, "n K"], active: Bool[Array, " M"]
) -> Posterior:
    """Returns the posterior of the Shapley values with the scales of each output.

    Its variances are the means of those of the fitted process and of the isotropic models: the former alone are too narrow
    after a fit, the latter too wide for games of few players that matter. Where the leave-one-out residuals of the fitted
    process are larger than it expects, all variances grow as much.

    models: the isotropic ones. spins: of the design, those of the grand coalition last.
    """
    rating = rate(models, part)
    isotropic = mixed(models, rating)
    logarithms = dot(rating.weights.T, models.parameters.astype(part.dtype))  # [K, 3]
    of_outputs = jax.vmap(_fitted, in_axes=(0, None, None, 1, None), out_axes=1)
    values, errors, residuals = of_outputs(logarithms, models.rated, spins, rating.part, active)
    variances = ((rating.size * errors) ** 2 + isotropic.errors**2) / 2
    wider = jnp.maximum(residuals.mean(axis=0), 1)
    return Posterior(rating.size * values, safe_sqrt(variances * wider[None]), residuals[-1])


def _fitted(
    logarithms: Float[Array, "3"], rated: Array, spins: Array, odd: Float[Array, " n"], active: Bool[Array, " M"]
) -> tuple[Float[Array, " M"], Float[Array, " M"], Float[Array, " n"]]:
    """Returns values, their standard deviations, and the squared leave-one-out residuals over their variances."""
    scale, boost, noise = jnp.exp(logarithms)

    def step(rho: Array, _: None) -> tuple[Array, None]:
        # Inactive players have values of 0. Their derivatives are those of the shared scale.
        return jnp.where(active, _next(_process(rho, boost, noise), spins[rated], odd[rated]), scale), None

    rho, _ = jax.lax.scan(step, jnp.full(spins.shape[1], scale), None, length=_STEPS)
    return _posterior(_process(rho, boost, noise), spins, odd)


def _process(rho: Float[Array, " M"], boost: Array, noise: Array) -> OddProcess:
    """The noise is relative to the prior variance of the grand coalition's part, as that of the isotropic models is."""
    volume = -jnp.log1p(rho).sum()
    process = OddProcess(rho, boost * jnp.exp(volume) * rho, volume, noise)
    return process._replace(noise=noise * (process.variance() + process.linear.sum()))


def _next(process: OddProcess, spins: Float[Array, "n M"], odd: Float[Array, " n"]) -> Float[Array, " M"]:
    """Returns the next scales.

    K_i is that of the linear part, lambda_i x_i x_i', and rho_i / (1 - rho_i²) cosh(X diag(a) X') x_i x_i', with the factor of A.
    """
    reach = jnp.arctanh(process.rho)
    products, top = dot(spins * reach[None], spins.T), reach.sum()
    plus, minus = jnp.exp(products - top), jnp.exp(-products - top)
    linear = dot(spins * process.linear[None], spins.T)
    between = (plus - minus) / 2 + linear + process.noise * jnp.eye(len(spins), dtype=spins.dtype)
    half = solve_triangular(jnp.linalg.cholesky(between), jnp.eye(len(spins), dtype=spins.dtype), lower=True)
    inverse, white = dot(half.T, half), dot(half, odd[:, None])
    weights = dot(half.T, white)  # K^-1 o

    def of_players(weighted: Float[Array, "n n"]) -> Float[Array, " M"]:
        """Returns the sums of the weights times K_i."""
        by_interactions = (spins * dot((plus + minus) / 2 * weighted, spins)).sum(axis=0)
        by_itself = (spins * dot(weighted, spins)).sum(axis=0)
        return process.rho / (1 - process.rho**2) * by_interactions + process.linear * by_itself

    amplitude = jnp.mean(white**2)
    explained = of_players(ratio(weights * weights[:, 0][None], amplitude))
    change = (explained + _EXPECTED) / (of_players(inverse) + _EXPECTED)
    least, most = _RANGE
    change = jnp.clip(change, 1 / _LARGEST_RATIO, _LARGEST_RATIO)
    return jnp.clip(process.rho * change, least / len(change), most)


def _posterior(
    process: OddProcess, spins: Float[Array, "n M"], odd: Float[Array, " n"]
) -> tuple[Float[Array, " M"], Float[Array, " M"], Float[Array, " n"]]:
    present = jnp.ones(len(spins), bool)
    rows = Observed.of(process.observed(spins, present), process.linear, spins, present)
    gamma, rest = rows.solve(odd[:, None])
    num_players = spins.shape[1]
    explained, left = rows.unexplained(2 * jnp.eye(num_players, dtype=odd.dtype), process.with_values(spins).T)
    values = 2 * rows.deviations * gamma[:, 0] + dot(explained.T, rest[:, 0])
    variances = process.of_values() - (explained**2).sum(axis=0) + (left**2).sum(axis=0)
    amplitude = ((rest**2).sum() + (gamma**2).sum()) / len(rest)
    # Leave-one-out residuals (Rasmussen & Williams 2006, equation 5.12), with K^-1 = half' half - along' along.
    along = dot(rows.inner, dot(rows.white.T, rows.half))
    scales = ((rows.half**2).sum(axis=0) - (along**2).sum(axis=0)) * amplitude
    residuals = ratio(dot(rows.half.T, rest)[:, 0] ** 2, scales)
    errors = safe_sqrt(amplitude * jnp.maximum(variances, 0))
    return values, errors, residuals
