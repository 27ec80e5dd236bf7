"""LIME: a sparse linear surrogate fitted to the model around one input."""

from xaijax.lime._fit import fit
from xaijax.lime._image import image
from xaijax.lime._tabular import Statistics, statistics, tabular
from xaijax.lime._text import text

__all__ = ["Statistics", "fit", "image", "statistics", "tabular", "text"]
