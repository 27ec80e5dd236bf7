"""Measures whether an explanation is faithful to its model, from the game or the explainer that made it."""

from xaijax.metrics._benchmark import ExplainerBenchmark, benchmark_explainers
from xaijax.metrics._curves import Curve, deletion, insertion

__all__ = ["Curve", "ExplainerBenchmark", "benchmark_explainers", "deletion", "insertion"]


def __dir__() -> list[str]:
    return __all__
