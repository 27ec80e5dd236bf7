"""Rows that explain different classes: their values cannot be compared, and means over them mix the classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from xaijax._core import check
from xaijax._core.calls import warn
from xaijax._core.words import counted, shortened

# What to do about an average over rows that explain different classes.
ONE_CLASS = (
    "explain one class of all rows, target=0, or average the rows of one class, attribution[attribution.target == 0]"
)
_NAMED_CLASSES = 4


def warn_of_classes(targets: Any, output_names: Sequence[str] | None, fix: str) -> str:
    """Warns where rows explain different classes, and returns these: "4 of well, 2 of ill"; "" for one class.

    Args:
      targets: [N] the class that each row explains; None for scores and games. Nothing is known of traced ones.
      output_names: the names of all classes, or None.
      fix: what to do about it.
    """
    if targets is None or not check.is_concrete(targets):
        return ""
    classes, counts = np.unique(np.asarray(targets), return_counts=True)
    if len(classes) < 2:
        return ""
    order = np.argsort(-counts, kind="stable")
    named = [f"{counts[k]:,} of {name_of_output(int(classes[k]), output_names)}" for k in order[:_NAMED_CLASSES]]
    more = f" and {counted(len(classes) - _NAMED_CLASSES, 'more class').replace('classs', 'classes')}"
    listed = ", ".join(named) + (more if len(classes) > _NAMED_CLASSES else "")
    warn_of_different(listed, fix)
    return listed


def warn_of_different(listed: str, fix: str) -> None:
    """Warns that rows explain the listed classes."""
    warn(f"the rows explain different classes ({listed}), whose values cannot be compared: {fix}.")


def name_of_output(output: int, output_names: Sequence[str] | None) -> str:
    """Returns the name of an output, or "class 3"."""
    if output_names is None:
        return f"class {output}"
    if not isinstance(output_names, Sequence):
        raise TypeError(f"`output_names` must be a sequence of names, got {check.shown(output_names)}.")
    if not 0 <= output < len(output_names):
        raise ValueError(f"`output_names` must name every output, got {len(output_names)} names and output {output}.")
    return shortened(str(output_names[output]))
