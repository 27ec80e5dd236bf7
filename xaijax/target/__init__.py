"""Targets: which number of a model's outputs is explained. Every explainer takes them as `target=`.

An int, ints [N], None (the top class) or any callable from outputs to one number for each example need nothing from
here. These are the other usual ones; their arrays may differ from example to example.
"""

from xaijax.target._box import box
from xaijax.target._each import each
from xaijax.target._finer import finer
from xaijax.target._probability import probability
from xaijax.target._region import region
from xaijax.target._similarity import similarity

__all__ = ["box", "each", "finer", "probability", "region", "similarity"]


def __dir__() -> list[str]:
    return __all__
