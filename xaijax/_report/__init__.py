"""One HTML file about a set of attributions, and the small picture that notebooks show of one."""

from xaijax._report._report import report
from xaijax._report._section import Section

__all__ = ["Section", "report"]
