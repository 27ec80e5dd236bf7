"""Partial dependence (Friedman 2001): the output as one or two features change and all others stay as they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check, frames
from xaijax._core.blocks import bytes_per_row, in_blocks, rows_at_once
from xaijax._core.classes import warn_of_classes
from xaijax._core.compile import compiled
from xaijax._core.target import Target, bind_target
from xaijax._core.typing import Array, ArrayOrSequence, Float, Inputs, Int, ModelLike, Shaped, TargetLike
from xaijax._model import Model, as_model


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PartialDependence:
    """Outputs of rows as one feature, or two, take the values of a grid.

    outputs: [N, G] for one feature, [N, G, H] for two: each row's individual conditional expectation.
    output: [N] the output of each row as it is.
    inputs: [N, F] the rows' own values of the F features.
    grids: one array [G] for each feature, the values that it takes.
    target: [N] the class whose output it is; None for a score.
    features: the indices of the F features.
    names: the names of the F features; None where they are not known.
    """

    outputs: Float[Array, "..."]
    output: Float[Array, " N"]
    inputs: Shaped[Array, "N F"]
    grids: tuple[Shaped[Array, " G"], ...]
    target: Int[Array, " N"] | None = None
    features: tuple[int, ...] = dataclasses.field(default=(), metadata={"static": True}, kw_only=True)
    names: tuple[str, ...] | None = dataclasses.field(default=None, metadata={"static": True}, kw_only=True)

    @property
    def mean(self) -> Array:
        """The partial dependence, the mean over the rows: [G], or [G, H]. Warns where rows are of different classes."""
        warn_of_classes(self.target, None, "pass target= for one class of all rows, such as target=0")
        return self.outputs.mean(axis=0)


def partial_dependence(
    model: ModelLike,
    x: Inputs,
    feature: int | str | tuple[int | str, int | str],
    *,
    target: TargetLike = None,
    names: Sequence[str] | None = None,
    num_points: int = 40,
    grids: Sequence[ArrayOrSequence] | None = None,
    batch_size: int | None = None,
) -> PartialDependence:
    """Computes the output of every row as one feature, or two, take the values of a grid.

    outputs[i, g] = f(x_i with the feature set to grid[g])

    Why: the mean over the rows is the partial dependence, and its terms are the individual conditional expectations.
    Terms that are not parallel show that the feature interacts with others. `xai.plot.partial_dependence` draws them.

    Args:
      model: any model of rows [N, D].
      x: [N, D] rows, an array or a data frame.
      feature: the index or the name of a feature, or a tuple of two.
      target: an int, ints [N], a callable from outputs to one number for each row, or None: the top class of each row as
        it is.
      names: D names of the features. Default: the columns of a data frame.
      num_points: how many values a feature takes, evenly from the smallest to the largest of x; all values of x where
        these are fewer. Default 40, which looks smooth.
      grids: the values that each feature takes, one array for each. Default: as num_points says.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      A `PartialDependence`, after N · G evaluations of the model (N · G · H for two features).

    Raises:
      TypeError, ValueError: if x holds no such feature, or an option is out of range.

    References:
      Friedman (2001), Greedy function approximation: a gradient boosting machine, equation 53. Goldstein, Kapelner,
      Bleich & Pitkin (2015), Peeking inside the black box, arXiv:1309.6392.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> x = jnp.array([[0.0, 1.0], [1.0, 3.0], [2.0, 2.0]])
    >>> age = xai.metrics.partial_dependence(lambda x: x[:, 0] * x[:, 1], x, 0)
    >>> age.grids[0].tolist(), age.mean.tolist()  # the mean of x[:, 1] is 2
    ([0.0, 1.0, 2.0], [0.0, 2.0, 4.0])
    """
    x, columns = frames.read_frame("x", x)
    names = columns.names if names is None and columns is not None else names
    model, x = as_model(model), check.numeric_array("x", x)
    if x.ndim != 2 or 0 in x.shape:
        raise ValueError(f"`x` must be rows [N, D], got shape {list(x.shape)}.")
    check.no_nan("x", x)
    count, width = x.shape
    pair = feature if isinstance(feature, (tuple, list)) else (feature,)
    features = tuple(_feature_index(each, names, width) for each in pair)
    if len(features) not in (1, 2) or len(set(features)) != len(features):
        raise ValueError(f"`feature` must be one feature or two different ones, got {check.shown(feature)}.")
    num_points = check.positive_int("num_points", num_points, least=2)
    if grids is None:
        read = [_grid(np.asarray(x[:, column]), num_points) for column in features]
    else:
        read = _given_grids(grids, len(features), x.dtype)
    model, bound = bind_target(model, x, target, count, all_allowed=False)
    points = np.stack([axis.ravel() for axis in np.meshgrid(*read, indexing="ij")], axis=-1)
    evaluated, index = _evaluate(
        model, x, jnp.asarray(points), bound, features=features, batch_size=check.batch_size(batch_size)
    )
    return PartialDependence(
        outputs=evaluated[:, :-1].reshape(count, *(len(grid) for grid in read)),
        output=evaluated[:, -1],
        inputs=x[:, jnp.asarray(features)],
        grids=tuple(jnp.asarray(grid) for grid in read),
        target=index,
        features=features,
        names=None if names is None else tuple(str(names[column]) for column in features),
    )


def _feature_index(feature: object, names: Sequence[str] | None, width: int) -> int:
    if names is not None and (isinstance(names, str) or not isinstance(names, Sequence) or len(names) != width):
        raise ValueError(f"`names` must be {width} names, one for each feature, got {check.shown(names)}.")
    if isinstance(feature, str):
        if names is None:
            raise ValueError(f"`feature` must be an index where `names` are not given, got {feature!r}: pass names.")
        return list(names).index(check.one_of("feature", feature, names))
    index = check.positive_int("feature", feature, least=0)
    if index >= width:
        raise ValueError(f"`feature` must be between 0 and {width - 1}, got {index}.")
    return index


def _grid(values: np.ndarray, num_points: int) -> np.ndarray:
    """Returns all distinct values, or even steps from the smallest to the largest where these are many."""
    distinct = np.unique(values)
    if len(distinct) <= num_points:
        return distinct
    steps = np.linspace(float(distinct[0]), float(distinct[-1]), num_points)
    return np.unique(steps.round() if np.issubdtype(values.dtype, np.integer) else steps).astype(values.dtype)


def _given_grids(grids: Sequence[object], count: int, dtype: np.dtype) -> list[np.ndarray]:
    if isinstance(grids, str) or not hasattr(grids, "__len__") or len(grids) != count:
        raise ValueError(f"`grids` must be {count} arrays, one for each feature, got {type(grids).__name__}.")
    read = [np.asarray(check.numeric_array("grids", grid)).astype(dtype) for grid in grids]
    for grid in read:
        if grid.ndim != 1 or not grid.size or not np.isfinite(grid).all():
            raise ValueError(f"`grids` must hold finite numbers [G], at least one, got shape {list(grid.shape)}.")
    return read


@compiled(static_argnames=("features", "batch_size"))
def _evaluate(
    model: Model,
    x: Shaped[Array, "N D"],
    points: Shaped[Array, "G F"],
    target: Target,
    *,
    features: tuple[int, ...],
    batch_size: int | None,
) -> tuple[Float[Array, "N G+1"], Int[Array, " N"] | None]:
    """Evaluates the target's output of every row at every point of the grid and, last, as it is."""
    size = rows_at_once(batch_size, bytes_per_row(model, x))
    if target.is_top:
        target = target.resolve(in_blocks(model, x, size))
    count, columns = len(points) + 1, jnp.asarray(features)

    def evaluate(index: Array) -> Array:
        row, point = index // count, index % count
        rows = x[row]
        values = jnp.where((point < len(points))[:, None], points[point % len(points)], rows[:, columns])
        of_rows = dataclasses.replace(
            target,
            index=None if target.index is None else target.index[row],
            arguments=jax.tree.map(lambda leaf: leaf[row], target.arguments),
        )
        return of_rows.select(model(rows.at[:, columns].set(values)))

    return in_blocks(evaluate, jnp.arange(len(x) * count), size).reshape(len(x), count), target.index
