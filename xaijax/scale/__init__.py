"""Explaining at scale: whole data sets, explainers as files, summaries in one pass, comparisons of explainers."""

from xaijax.scale._attribution_summary import AttributionSummary
from xaijax.scale._benchmark import ExplainerBenchmark, benchmark_explainers
from xaijax.scale._cache import compilation_cache
from xaijax.scale._connect import connect
from xaijax.scale._explain_dataset import explain_dataset
from xaijax.scale._export import export
from xaijax.scale._exported import ExportedExplainer, load_exported
from xaijax.scale._failures import Failure
from xaijax.scale._load import failures, load, load_ids, load_summary
from xaijax.scale._summaries import summarize
from xaijax.scale._summary import Summary

__all__ = [
    "AttributionSummary",
    "ExplainerBenchmark",
    "ExportedExplainer",
    "Failure",
    "Summary",
    "benchmark_explainers",
    "compilation_cache",
    "connect",
    "explain_dataset",
    "export",
    "failures",
    "load",
    "load_exported",
    "load_ids",
    "load_summary",
    "summarize",
]
