"""Explanations at scale: whole data sets, explainers as files, summaries in one pass.

`xai.load` reads all that is written here: stores, exported explainers and summaries.
"""

from xaijax.scale.dataset import (
    Failure,
    Summary,
    compare_dataset,
    connect,
    explain_dataset,
    failures,
    load_ids,
    load_summary,
)
from xaijax.scale.export import ExportedExplainer, compilation_cache, export
from xaijax.scale.summary import AttributionSummary, summarize

__all__ = [
    "AttributionSummary",
    "ExportedExplainer",
    "Failure",
    "Summary",
    "compare_dataset",
    "compilation_cache",
    "connect",
    "explain_dataset",
    "export",
    "failures",
    "load_ids",
    "load_summary",
    "summarize",
]


def __dir__() -> list[str]:
    return __all__
