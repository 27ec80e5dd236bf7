"""Is an explanation true to the model? Numbers for attributions, from the games that they explain."""

from xaijax.metrics._benchmark import ExplainerBenchmark, benchmark_explainers
from xaijax.metrics._curves import Curve, deletion, insertion

__all__ = ["Curve", "ExplainerBenchmark", "benchmark_explainers", "deletion", "insertion"]


def __dir__() -> list[str]:
    return __all__
