"""Measures whether an explanation is faithful to its model, from the game or the explainer that made it."""

from xaijax.metrics._benchmark import ExplainerBenchmark, benchmark_explainers
from xaijax.metrics._curves import Curve, deletion, insertion
from xaijax.metrics._partial_dependence import PartialDependence, partial_dependence
from xaijax.metrics._removal import Removal, removal
from xaijax.metrics._score import Mean, Score

__all__ = [
    "Curve",
    "ExplainerBenchmark",
    "Mean",
    "PartialDependence",
    "Removal",
    "Score",
    "benchmark_explainers",
    "deletion",
    "insertion",
    "partial_dependence",
    "removal",
]


def __dir__() -> list[str]:
    return __all__
