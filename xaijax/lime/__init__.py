"""LIME: a sparse linear surrogate fitted to the model around one input."""

from xaijax.lime._fit import fit
from xaijax.lime._image import image
from xaijax.lime._statistics import Statistics, statistics
from xaijax.lime._submodular_pick import Pick, submodular_pick
from xaijax.lime._tabular import tabular
from xaijax.lime._text import strings, text

__all__ = [
    "Pick",
    "Statistics",
    "fit",
    "image",
    "statistics",
    "strings",
    "submodular_pick",
    "tabular",
    "text",
]


def __dir__() -> list[str]:
    return __all__
