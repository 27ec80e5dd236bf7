"""The cases of the overhead benchmark."""

from __future__ import annotations

from benchmarks._cam_cases import cam_cases
from benchmarks._lime_cases import lime_cases
from benchmarks._shap_cases import shap_cases
from benchmarks._timing import Case


def cases(small: bool = False) -> list[Case]:
    """All cases; small ones run in seconds and show nothing but that they run."""
    return [*cam_cases(small), *shap_cases(small), *lime_cases(small)]
