"""Reads the operations of a trace, those within calls, loops and branches included."""

import jax
from jax.extend import core


def _operations(jaxpr):
    for equation in jaxpr.eqns:
        yield equation
        for value in jax.tree.leaves(list(equation.params.values())):
            if isinstance(value, core.ClosedJaxpr | core.Jaxpr):
                yield from _operations(getattr(value, "jaxpr", value))


def names_of_operations(closed):
    return {equation.primitive.name for equation in _operations(closed.jaxpr)}


def grouped_convolutions(closed):
    """Returns XLA's convolutions with groups of channels or rows."""
    return [
        equation
        for equation in _operations(closed.jaxpr)
        if equation.primitive.name == "conv_general_dilated"
        and max(equation.params["feature_group_count"], equation.params["batch_group_count"]) > 1
    ]
