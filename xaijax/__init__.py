"""Explains JAX models: an explanation is a pure function of a model and an input.

`xai.cam`, `xai.gradient`, `xai.lime` and `xai.shap` hold the explainers, `xai.mask` the maskers that remove features,
`xai.segment` the superpixels, `xai.target` the explained scores, `xai.metrics` the measures of faithfulness, `xai.plot` the
plots and `xai.scale` the tools for whole data sets. `xai.text` explains prompts of language models, and `xai.trees` reads
forests of other libraries. `xai.explain` chooses
an explainer.

Namespaces, the report and the adapters are imported on first use: what depends on Matplotlib, TensorStore, Optax, SciPy,
Rich or Flax costs nothing until then.
"""

import importlib
from typing import TYPE_CHECKING, Any

from xaijax._core.attribution import Attribution, Interactions, Surrogate
from xaijax._core.compile import clear_caches
from xaijax._core.fast import fast
from xaijax._core.game import Game
from xaijax._core.join import concatenate
from xaijax._core.model_game import game
from xaijax._core.progress import progress
from xaijax._core.tap import Layer, Layers, compose, layers
from xaijax._io.files import load, load_options, register_reader, save
from xaijax._io.records import records, to_frame
from xaijax._io.shap import from_shap, to_shap
from xaijax._model import Model, callback, function, model, tag
from xaijax._version import __version__ as __version__

if TYPE_CHECKING:
    from xaijax import cam, gradient, lime, mask, metrics, plot, scale, segment, shap, target, text, trees
    from xaijax._explain import explain
    from xaijax._model import equinox, haiku, keras, linen, tagged_attention
    from xaijax._report import Section, report

# `load` reads what these packages write, and imports them when it meets such a file.
register_reader("store", "xaijax.scale.dataset", "read_store")
register_reader("exported explainer", "xaijax.scale.export", "read_exported")
register_reader("attribution summary", "xaijax.scale.summary", "read_summary")

__all__ = [
    "Attribution",
    "Game",
    "Interactions",
    "Layer",
    "Layers",
    "Model",
    "Section",
    "Surrogate",
    "callback",
    "cam",
    "clear_caches",
    "compose",
    "concatenate",
    "equinox",
    "explain",
    "fast",
    "from_shap",
    "function",
    "game",
    "gradient",
    "haiku",
    "keras",
    "layers",
    "lime",
    "linen",
    "load",
    "load_options",
    "mask",
    "metrics",
    "model",
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
    "text",
    "to_frame",
    "to_shap",
    "trees",
]

# The module of each name that is imported on first use; a namespace is its own module.
_ON_FIRST_USE = {
    **{
        name: f"xaijax.{name}"
        for name in (
            "cam",
            "gradient",
            "lime",
            "mask",
            "metrics",
            "plot",
            "scale",
            "segment",
            "shap",
            "target",
            "text",
            "trees",
        )
    },
    "Section": "xaijax._report",
    "equinox": "xaijax._model",
    "explain": "xaijax._explain",
    "haiku": "xaijax._model",
    "keras": "xaijax._model",
    "linen": "xaijax._model",
    "report": "xaijax._report",
    "tagged_attention": "xaijax._model",
}


def _notebook_picture(attribution: Attribution) -> str:
    """Returns the HTML that notebooks show of an attribution."""
    from xaijax._report import notebook_picture

    return notebook_picture(attribution)


Attribution.notebook_picture = _notebook_picture


def __getattr__(name: str) -> Any:
    """Imports a name on its first use."""
    if name not in _ON_FIRST_USE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(_ON_FIRST_USE[name])
    value = module if module.__name__ == f"xaijax.{name}" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
