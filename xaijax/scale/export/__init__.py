"""Explainers as files, read and called without the code of the model."""

from xaijax.scale.export._cache import compilation_cache
from xaijax.scale.export._export import export
from xaijax.scale.export._exported import ExportedExplainer, read_exported

__all__ = ["ExportedExplainer", "compilation_cache", "export", "read_exported"]
