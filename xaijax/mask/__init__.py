"""Maskers: who the players of an input are, and what stands in for those that are absent."""

from xaijax.mask._background import Background, background, baseline
from xaijax.mask._masker import Masker
from xaijax.mask._regions import Grid, Regions, grid, regions
from xaijax.mask._superpixels import Superpixels, superpixels
from xaijax.mask._tokens import Tokens, tokens

__all__ = [
    "Background",
    "Grid",
    "Masker",
    "Regions",
    "Superpixels",
    "Tokens",
    "background",
    "baseline",
    "grid",
    "regions",
    "superpixels",
    "tokens",
]
