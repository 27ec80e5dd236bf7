"""Pictures of attributions, all matplotlib: every function takes `ax=`, returns the axes and never calls `show`."""

from xaijax.plot._bars import bars
from xaijax.plot._beeswarm import beeswarm
from xaijax.plot._dependence import dependence
from xaijax.plot._force import force
from xaijax.plot._image import image
from xaijax.plot._interactions import interactions
from xaijax.plot._text import text
from xaijax.plot._waterfall import waterfall

__all__ = ["bars", "beeswarm", "dependence", "force", "image", "interactions", "text", "waterfall"]
