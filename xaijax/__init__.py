"""xaijax: why a JAX model said what it said.

An explanation is a pure function of a model and an input. `xai.cam` and `xai.lime`, `xai.shap` hold the explainers,
`xai.mask` says what removes features, `xai.segment` cuts pictures into superpixels, `xai.metrics` measures, `xai.plot` draws.
"""

from typing import TYPE_CHECKING, Any

from xaijax import cam, lime, mask, metrics, plot, scale, segment, shap, target
from xaijax._core.attribution import Attribution, Interactions, Surrogate, concatenate
from xaijax._core.game import Game, game
from xaijax._core.progress import progress
from xaijax._core.tap import Layer, Layers, compose, layers
from xaijax._io.files import load, load_options, save
from xaijax._io.records import records, to_frame
from xaijax._io.shap import from_shap, to_shap
from xaijax._model import Model, function, tag
from xaijax._report import Section, report

if TYPE_CHECKING:
    from xaijax._model import linen, tagged_attention

__version__ = "0.1.0"

__all__ = [
    "Attribution",
    "Game",
    "Interactions",
    "Layer",
    "Layers",
    "Model",
    "Section",
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
    "metrics",
    "plot",
    "progress",
    "records",
    "report",
    "save",
    "scale",
    "segment",
    "shap",
    "tag",
    "tagged_attention",
    "target",
    "to_frame",
    "to_shap",
]


def __getattr__(name: str) -> Any:
    """What belongs to Flax imports it when it is asked for first."""
    if name in ("linen", "tagged_attention"):
        from xaijax import _model

        return getattr(_model, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
