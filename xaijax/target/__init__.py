"""Targets: which number of a model's outputs is explained. Every explainer takes them as `target=`.

An int, ints [N], None (the top class) and any callable from outputs to one number for each example need nothing from
here. These are the other usual targets; their arrays may differ from example to example.
"""

from xaijax.target._classes import finer, probability, similarity
from xaijax.target._each import each
from xaijax.target._locations import box, region
from xaijax.target._units import unit

__all__ = ["box", "each", "finer", "probability", "region", "similarity", "unit"]


def __dir__() -> list[str]:
    return __all__
