"""Maskers: who the players of an input are, and what replaces absent players."""

from xaijax._core.masker import Masker
from xaijax.mask._background import Background, background, baseline, k_means
from xaijax.mask._gaussian import Gaussian, gaussian
from xaijax.mask._generative import Generative, generative
from xaijax.mask._joint import Joint, joint
from xaijax.mask._regions import Grid, Patches, Regions, Superpixels, grid, patches, regions, superpixels
from xaijax.mask._tokens import Tokens, tokens

__all__ = [
    "Background",
    "Gaussian",
    "Generative",
    "Grid",
    "Joint",
    "Masker",
    "Patches",
    "Regions",
    "Superpixels",
    "Tokens",
    "background",
    "baseline",
    "gaussian",
    "generative",
    "grid",
    "joint",
    "k_means",
    "patches",
    "regions",
    "superpixels",
    "tokens",
]


def __dir__() -> list[str]:
    return __all__
