"""What images truly are, and how probable the model finds what is explained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from xaijax._core import check


def label_names(labels: Any, count: int, output_names: Sequence[str] | None) -> list[str] | None:
    """The name of what each image is; of ints as the outputs are named."""
    if labels is None:
        return None
    if isinstance(labels, str) or not hasattr(labels, "__len__") or len(labels) != count:
        raise ValueError(f"labels must be {count}, one for each image, but it is {labels!r}.")
    given = np.asarray(labels)
    if not np.issubdtype(given.dtype, np.integer):
        return [str(label) for label in labels]
    if output_names is None:
        return [f"class {label}" for label in given.tolist()]
    if given.min() < 0 or given.max() >= len(output_names):
        raise ValueError(
            f"labels must lie between 0 and {len(output_names) - 1}, as output_names do, but {labels!r} do not."
        )
    return [str(output_names[label]) for label in given.tolist()]


def checked_probabilities(probabilities: Any, count: int, targets: np.ndarray | None) -> np.ndarray | None:
    """[N] the probability of each example's class, given as such or with those of all classes [N, K]."""
    if probabilities is None:
        return None
    given = np.asarray(check.numeric_array("probabilities", probabilities), np.float64)
    if given.ndim == 2 and len(given) == count and targets is not None:
        if targets.max() >= given.shape[1]:
            raise ValueError(
                f"probabilities must have one of class {targets.max()}, but there are {given.shape[1]} classes."
            )
        given = given[np.arange(count), targets]
    if given.shape != (count,):
        raise ValueError(
            f"probabilities must be [{count}], one for each image, or [{count}, K] of all classes where the attribution "
            f"says which it explains, but its shape is {list(given.shape)}."
        )
    if not ((given >= 0) & (given <= 1)).all():
        raise ValueError("probabilities must lie between 0 and 1: give those after the softmax.")
    return given
