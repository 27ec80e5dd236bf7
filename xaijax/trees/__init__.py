"""Forests of other libraries as models of JAX, for exact Shapley values and for every other explainer."""

from xaijax.trees._forest import Forest
from xaijax.trees._read import read

__all__ = ["Forest", "read"]


def __dir__() -> list[str]:
    return __all__
