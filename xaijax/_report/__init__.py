"""An HTML report about attributions, and the notebook's view of one. Plots are imported when they are drawn."""

from xaijax._report._notebook import notebook_picture
from xaijax._report._report import report
from xaijax._report._section import Section

__all__ = ["Section", "notebook_picture", "report"]
