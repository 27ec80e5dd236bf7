"""Many axes in one figure."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

_SIDE, _BAR, _TITLE = 2.2, 0.7, 0.35  # inches


def panels(axes: Any, rows: int, columns: int, size: tuple[int, ...], *, bars: int = 1) -> np.ndarray:
    """The given axes [rows, columns], or those of a new figure for pictures of a size [H, W] and color bars in a row."""
    if axes is not None:
        given = np.asarray(axes, dtype=object)
        if given.size != rows * columns or not all(isinstance(ax, Axes) for ax in given.ravel()):
            raise ValueError(
                f"axes must be {rows} x {columns} matplotlib axes, such as those of plt.subplots({rows}, {columns}), but "
                f"their shape is {list(given.shape)}."
            )
        return given.reshape(rows, columns)
    height = _SIDE * min(max(size[0] / size[1], 0.4), 2.5)
    current = plt.gcf() if plt.get_fignums() else None
    figure = plt.figure(figsize=(_SIDE * columns + _BAR * bars, (height + _TITLE) * rows), layout="constrained")
    if current is not None:
        plt.figure(current)
    return figure.subplots(rows, columns, squeeze=False)
