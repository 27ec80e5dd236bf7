"""The cases of the overhead benchmark, and the parts of some."""

from __future__ import annotations

from typing import Any

from benchmarks._cam_cases import cam_cases, cam_parts
from benchmarks._lime_cases import lime_cases, lime_parts
from benchmarks._shap_cases import shap_cases, shap_parts
from benchmarks._sizes import Size
from benchmarks._timing import Case


def cases(size: Size) -> list[Case]:
    """All cases; tiny ones run in seconds and show nothing but that they run."""
    return [*cam_cases(size), *shap_cases(size), *lime_cases(size)]


def parts(repeats: int, size: Size) -> list[dict[str, Any]]:
    """Where the time of some of them goes."""
    return [*cam_parts(repeats, size), *shap_parts(repeats, size), *lime_parts(repeats, size)]
