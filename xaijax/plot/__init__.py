"""Plots of attributions in Matplotlib: every function takes `ax=`, returns the axes and never calls `show`.

Without `ax=` a plot makes a new figure, which becomes pyplot's current one: `plt.savefig("first.png")` saves it. Names,
inputs and names of outputs default to the attribution's own. No plot evaluates a model: `xai.metrics` computes partial
dependence, removal and insertion curves, which are drawn here.
"""

from xaijax.plot._agreement import agreement
from xaijax.plot._bars import bars
from xaijax.plot._beeswarm import beeswarm
from xaijax.plot._borders import borders
from xaijax.plot._cohorts import cohort_bars, cohorts
from xaijax.plot._compare import compare
from xaijax.plot._convergence import convergence
from xaijax.plot._curves import curves
from xaijax.plot._decision import decision
from xaijax.plot._dependence import dependence
from xaijax.plot._error_curves import error_curves
from xaijax.plot._force import force
from xaijax.plot._heatmap import heatmap
from xaijax.plot._image import image
from xaijax.plot._image_grid import image_grid
from xaijax.plot._interactions import interactions
from xaijax.plot._intervals import intervals
from xaijax.plot._neighborhood import neighborhood
from xaijax.plot._network import network
from xaijax.plot._pair import pair, removal
from xaijax.plot._partial_dependence import partial_dependence
from xaijax.plot._prompt import prompt
from xaijax.plot._prompt_html import prompt_html
from xaijax.plot._regions import regions
from xaijax.plot._scores import scores
from xaijax.plot._text import text
from xaijax.plot._text_html import text_html
from xaijax.plot._violin import violin
from xaijax.plot._waterfall import waterfall

__all__ = [
    "agreement",
    "bars",
    "beeswarm",
    "borders",
    "cohort_bars",
    "cohorts",
    "compare",
    "convergence",
    "curves",
    "decision",
    "dependence",
    "error_curves",
    "force",
    "heatmap",
    "image",
    "image_grid",
    "interactions",
    "intervals",
    "neighborhood",
    "network",
    "pair",
    "partial_dependence",
    "prompt",
    "prompt_html",
    "regions",
    "removal",
    "scores",
    "text",
    "text_html",
    "violin",
    "waterfall",
]


def __dir__() -> list[str]:
    return __all__
