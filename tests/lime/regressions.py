"""The pieces of the surrogate put together, for samples that stand for themselves."""

import functools

import jax
import jax.numpy as jnp

from xaijax.lime._columns import Columns
from xaijax.lime._neighborhood import Samples, independent_layout
from xaijax.lime._reliability import effective_samples, r_squared, reliability
from xaijax.lime._surrogate import Ridge, dot, regression, solve


@functools.partial(jax.jit, static_argnames=("ridge", "absolute"))
def fit_line(points, values, weights, ridge, absolute=False):
    """coefficients, intercept, standard errors and R² of a line; [.., K] for values [S, K]."""
    single = values.ndim == 1
    outputs = values[:, None] if single else values
    problem = regression(points, outputs, weights, Ridge(ridge, absolute))
    line = solve(problem, problem.goal)
    # The first row of samples is the input's own, which was not drawn: here there is none, with weight 0.
    first = lambda rows: jnp.concatenate([jnp.zeros_like(rows[:1]), rows])  # noqa: E731
    drawn = first(jnp.ones(len(points), bool))
    samples = Samples(first(points), first(weights), drawn, jnp.zeros((len(drawn), 0)))
    padded = line._replace(
        columns=Columns(first(line.columns.rows)),
        **{name: first(getattr(line, name)) for name in ("residuals", "leverage")},
    )
    found = reliability(
        padded, samples, independent_layout(len(points)), problem.varies.sum(), effective_samples(samples)
    )
    coefficients = line.scaled / problem.scale[:, None]
    intercept = problem.mean - dot(problem.center, coefficients)
    errors = found.errors / problem.scale[:, None]
    fidelity = r_squared(problem, line, drawn[1:], points.shape[1])[0]
    answer = (coefficients, intercept, errors, fidelity)
    return tuple(part[..., 0] for part in answer) if single else answer
