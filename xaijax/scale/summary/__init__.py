"""Summaries of many attributions in one pass, of fixed size and mergeable."""

from xaijax.scale.summary._attribution_summary import AttributionSummary, read_summary
from xaijax.scale.summary._summarize import summarize

__all__ = ["AttributionSummary", "read_summary", "summarize"]
