"""A scale for each player, in two steps from the scale that all players share: cheap enough for every model.

The likelihood of the odd parts o under the covariances K, with the amplitude s² = o' K^-1 o / n, is largest where for each
player i the two sides of

    o' K^-1 K_i K^-1 o / s² = tr K^-1 K_i,    K_i = dK / d log rho_i

are equal: what the player's interactions explain of o, and what they are expected to. A step multiplies the scale rho_i by the
ratio of the two sides (a fixed-point iteration: MacKay 1992, Bayesian interpolation). It starts from the scale, boost and
noise of the isotropic models, averaged with their likelihoods. Some of the rows suffice for the steps.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

from xaijax._core.numerics import dot, ratio, safe_sqrt
from xaijax._core.typing import Array, Bool, Float, Int
from xaijax.shap._player_scales import OddProcess
from xaijax.shap._process import Posterior, Process, mixed, rate

_STEPS = 2  # the third gains little, and narrows the errors
_EXPECTED = 1.0  # is added to both sides: where either is less, rows say little about the player
_MOST_ROWS = 128  # for the steps, of those that rate the models; and for residuals
_MOST_OUTPUTS = 16  # whose scales are fitted at once
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
    every = -(-len(models.rated) // _MOST_ROWS)
    rows = models.rated[::-every][::-1]

    def of_output(output: tuple[Array, Array]) -> tuple[Array, Array, Array]:
        return _fitted(output[0], rows, spins, output[1], active)

    # Each output has a factor [n, n] of its own: of a thousand outputs, they are not in memory at once.
    outputs, at_once = (logarithms, rating.part.T), jax.vmap(of_output)
    few = len(logarithms) <= _MOST_OUTPUTS
    fitted = at_once(outputs) if few else jax.lax.map(of_output, outputs, batch_size=_MOST_OUTPUTS)
    values, errors, residuals = (field.T for field in fitted)
    variances = ((rating.size * errors) ** 2 + isotropic.errors**2) / 2
    wider = jnp.maximum(residuals.mean(axis=0), 1)
    return Posterior(rating.size * values, safe_sqrt(variances * wider[None]), residuals[-1])


def _fitted(
    logarithms: Float[Array, "3"],
    rated: Int[Array, " r"],
    spins: Array,
    odd: Float[Array, " n"],
    active: Bool[Array, " M"],
) -> tuple[Float[Array, " M"], Float[Array, " M"], Float[Array, " q"]]:
    """Returns the values, their standard deviations, and leave-one-out residuals."""
    scale, boost, noise = jnp.exp(logarithms)
    rows, some = spins[rated], odd[rated]

    def step(rho: Array, _: None) -> tuple[Array, None]:
        # Inactive players have values of 0. Their derivatives are those of the shared scale.
        return jnp.where(active, _next(_process(rho, boost, noise), rows, some), scale), None

    rho, _ = jax.lax.scan(step, jnp.full(spins.shape[1], scale), None, length=_STEPS)
    return _posterior(_process(rho, boost, noise), spins, odd)


def _process(rho: Float[Array, " M"], boost: Array, noise: Array) -> OddProcess:
    """The noise is relative to the prior variance of the grand coalition's part, as that of the isotropic models is."""
    volume = -jnp.log1p(rho).sum()
    process = OddProcess(rho, boost * jnp.exp(volume) * rho, volume, noise)
    return process._replace(noise=noise * (process.variance() + process.linear.sum()))


def _next(process: OddProcess, spins: Float[Array, "r M"], odd: Float[Array, " r"]) -> Float[Array, " M"]:
    """Returns the next scales.

    K_i is that of the linear part, lambda_i x_i x_i', and that of g, with the factor of A in `_player_scales.py`:
    rho_i / (1 - rho_i²) cosh(X diag(a) X') x_i x_i'.
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
) -> tuple[Float[Array, " M"], Float[Array, " M"], Float[Array, " q"]]:
    """Returns posterior means and standard deviations of the Shapley values, and residuals of the last q parts.

    The residuals are those of each part given all others, squared, over their variances. The linear part is solved for on
    its own, as in `_player_scales.py`. Only as many right-hand sides as needed are solved for: an inverse takes three times
    as long.
    """
    num_players, deviations = spins.shape[1], jnp.sqrt(process.linear)
    root = jnp.linalg.cholesky(process.observed(spins, jnp.ones(len(spins), bool)))
    sides = [spins * deviations[None], odd[:, None], process.with_values(spins).T]
    solved = solve_triangular(root, jnp.concatenate(sides, axis=1), lower=True)
    white, part, explained = solved[:, :num_players], solved[:, num_players], solved[:, num_players + 1 :]
    # Of the linear part, beta = s gamma.
    identity = jnp.eye(num_players, dtype=odd.dtype)
    inner = solve_triangular(jnp.linalg.cholesky(dot(white.T, white) + identity), identity, lower=True)
    gamma = dot(inner.T, dot(inner, dot(white.T, part)))
    gamma = gamma + dot(inner.T, dot(inner, dot(white.T, part - dot(white, gamma)) - gamma))  # a step of refinement
    rest = part - dot(white, gamma)
    left = dot(inner, 2 * jnp.diag(deviations) - dot(white.T, explained))

    values = 2 * deviations * gamma + dot(explained.T, rest)
    variances = process.of_values() - (explained**2).sum(axis=0) + (left**2).sum(axis=0)
    amplitude = ((rest**2).sum() + (gamma**2).sum()) / len(rest)
    # Leave-one-out residuals: Rasmussen & Williams (2006), equation 5.12. The last rows of K^-1 need those of the root alone.
    last = slice(-min(len(spins), _MOST_ROWS), None)
    half = solve_triangular(root[last, last], jnp.eye(len(spins[last]), dtype=odd.dtype), lower=True)
    linear = dot(inner, dot(white[last].T, half))
    squares = (half**2).sum(axis=0) - (linear**2).sum(axis=0)  # the diagonal of K^-1
    residuals = ratio(dot(half.T, rest[last]) ** 2, squares * amplitude)
    return values, safe_sqrt(amplitude * jnp.maximum(variances, 0)), residuals
