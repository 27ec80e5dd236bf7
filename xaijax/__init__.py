"""xaijax: why a JAX model said what it said.

An explanation is a pure function of a model and an input. `xai.cam` and `xai.lime`, `xai.shap` hold the explainers,
`xai.mask` says what removes features, `xai.segment` cuts pictures into superpixels, `xai.plot` draws.
"""

from xaijax import cam, lime, mask, plot, segment, shap, target
from xaijax._attribution import Attribution, Interactions, Surrogate
from xaijax._explanation import from_shap, to_shap
from xaijax._files import load, load_options, save
from xaijax._game import Game, game
from xaijax._gather import concatenate, records
from xaijax._model import Model, function, linen, tag, tagged_attention
from xaijax._tap import Layer, Layers, compose, layers

__version__ = "0.1.0"

__all__ = [
    "Attribution",
    "Game",
    "Interactions",
    "Layer",
    "Layers",
    "Model",
    "Surrogate",
    "cam",
    "compose",
    "concatenate",
    "from_shap",
    "function",
    "game",
    "layers",
    "lime",
    "linen",
    "load",
    "load_options",
    "mask",
    "plot",
    "records",
    "save",
    "segment",
    "shap",
    "tag",
    "tagged_attention",
    "target",
    "to_shap",
]
