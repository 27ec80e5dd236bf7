"""An attribution as a report reads it: in NumPy, with examples, and of one output each."""

from __future__ import annotations

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.attribution import Attribution, Interactions, Surrogate
from xaijax._core.axes import EXAMPLES, OUTPUTS
from xaijax._core.rounding import rounding_error, without_rounding_error, zero_up_to
from xaijax.text import whole_response

_TOLERANCE = 1e-4  # of the sizes that are summed: far above the rounding error of float32, far below what a plot shows
# Indices whose values of single players, pairs and triples sum to the output minus the base value.
_EFFICIENT_INDICES = ("k-SII", "STII", "FSII")


@dataclasses.dataclass(frozen=True, eq=False)
class Explained:
    """An attribution of one output of each example.

    attribution: in NumPy, with the axis N and without K, its values 0 where they are rounding error; target [N] where
      classes are explained.
    alone: whether it was of one example without N.
    num_outputs: how many outputs were explained, of which one is reported; None where it was one.
    tolerance: the relative error that sums may have.
    rounding_errors: [N] the size up to which values are rounding error.
    """

    attribution: Attribution
    alone: bool
    num_outputs: int | None
    tolerance: float
    rounding_errors: np.ndarray

    @property
    def values(self) -> np.ndarray:
        return np.asarray(self.attribution.values)

    @property
    def num_examples(self) -> int:
        return len(self.values)

    @property
    def of_players(self) -> bool:
        return self.attribution.of_players

    @property
    def on_images(self) -> bool:
        """Whether there is a map for each example, its own or that of its regions."""
        regions = self.attribution.regions
        return not self.of_players or (regions is not None and np.ndim(regions) == 3)

    @property
    def errors(self) -> np.ndarray | None:
        errors = self.attribution.std_errors
        return None if errors is None else np.asarray(errors)

    @functools.cached_property
    def finite(self) -> np.ndarray:
        """Whether the values of each example are finite, [N]."""
        known = np.isfinite(self.values).reshape(self.num_examples, -1).all(axis=1)
        if isinstance(self.attribution, Interactions):
            known = known & np.isfinite(self.attribution.pairs).reshape(self.num_examples, -1).all(axis=1)
        return known & np.isfinite(self.attribution.output)

    @functools.cached_property
    def classes(self) -> list[tuple[int | None, np.ndarray]]:
        """The examples of each explained class that are finite, the most frequent class first; None without classes."""
        known = np.flatnonzero(self.finite)
        if self.attribution.target is None:
            return [(None, known)]
        targets = np.asarray(self.attribution.target)[known]
        numbers, counts = np.unique(targets, return_counts=True)
        return [(int(numbers[k]), known[targets == numbers[k]]) for k in np.argsort(-counts, kind="stable")]

    def rounding(self, example: int) -> float:
        """Returns the size up to which sums of an example's values are rounding error."""
        return float(self.rounding_errors[example])

    def map_of(self, example: int) -> np.ndarray:
        """Returns a map [h, w]: channels are summed, and every pixel has the value of its region."""
        values = self.values[example]
        if values.ndim == 1:
            return values[np.asarray(self.attribution.regions)[example]]
        return zero_up_to(self.rounding_errors[example], values.sum(axis=-1)) if values.ndim == 3 else values

    def some(self, rows: np.ndarray) -> Attribution:
        """Returns some of the examples, without JAX."""
        attribution, names = self.attribution, self.attribution.names
        kept = {name: np.asarray(value)[rows] for name, value in _arrays(attribution).items()}
        if names is not None and isinstance(names[0], tuple):
            names = tuple(names[int(row)] for row in rows)
        return dataclasses.replace(attribution, **kept, names=names)


def explained(attribution: Attribution, target: int | None = None) -> Explained:
    """Gives an attribution its axis of examples, and of all outputs takes `target`, or the top class of each example."""
    if not check.is_concrete(attribution):
        raise TypeError("`attribution` must have known values, got traced arrays: report it outside of jax.jit.")
    dtype = jnp.asarray(attribution.values).dtype
    if attribution.of_spans and attribution.all_outputs and target is None:
        attribution = _whole(attribution)
    rounding, attribution = rounding_error(attribution), without_rounding_error(attribution)
    alone, num_outputs = not attribution.has_examples, attribution.num_outputs
    fields, axes = {name: _read(value) for name, value in _arrays(attribution).items()}, attribution.axes
    if alone:
        fields, axes = {name: value[None] for name, value in fields.items()}, f"{EXAMPLES} {axes}"
        rounding = rounding[None]
    if num_outputs is not None:
        if target is not None and not 0 <= target < num_outputs:
            raise ValueError(
                f"`target` must be between 0 and {num_outputs - 1}, as there are {num_outputs} outputs, got {target}."
            )
        outputs = fields["output"]
        classes = outputs.argmax(axis=1) if target is None else np.full(len(outputs), target)
        for name in fields:
            if OUTPUTS in attribution.axes_of(name):
                fields[name] = np.stack([each[..., k] for each, k in zip(fields[name], classes, strict=True)])
        rounding = rounding[np.arange(len(classes)), classes]
        fields["target"], axes = classes, " ".join(axis for axis in axes.split() if axis != OUTPUTS)
    elif target is not None:
        raise ValueError("`target` must be left out, since the attribution is of one output already.")
    values = fields["values"]
    if values.ndim not in (2, 3, 4) or not values.size:
        raise ValueError(
            "`attribution` must have values of players, axes 'N M', of maps, 'N h w', or of pixels, 'N H W C', got axes "
            f"{attribution.axes!r} and shape {list(np.shape(attribution.values))}."
        )
    names = attribution.names
    if alone and names is not None and isinstance(names[0], tuple):
        names = names[:1]
    tolerance = max(_TOLERANCE, 8 * float(jnp.finfo(dtype).eps) if jnp.issubdtype(dtype, jnp.floating) else 0)
    single = dataclasses.replace(attribution, **fields, axes=axes, names=names)
    return Explained(single, alone, num_outputs, tolerance, rounding)


def _whole(attribution: Attribution) -> Attribution:
    """Returns the attribution of the whole response, of one for all of its tokens."""
    if attribution.num_outputs == 1:
        return dataclasses.replace(attribution.of_output(0), target=None)
    if isinstance(attribution, Surrogate):
        raise ValueError(
            "`target` must be the index of a token for a surrogate of all tokens of a response, got None: surrogates do not "
            "add up; or explain game.whole."
        )
    return whole_response(attribution)


def _arrays(attribution: Attribution) -> dict[str, object]:
    fields = {name: getattr(attribution, name) for name in attribution.array_fields()}
    return {name: value for name, value in fields.items() if value is not None}


def _read(value: object) -> np.ndarray:
    array = np.asarray(value)
    return array if array.dtype.kind in "biuOUT" else array.astype(np.float64)


def fidelity(attribution: Attribution) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:
    """Returns R², held-out R² and stability [N] of a surrogate; None where there are none."""
    if not isinstance(attribution, Surrogate):
        return None, None, None
    fields = (attribution.r_squared, attribution.held_out_r_squared, attribution.stability)
    first, second, third = (None if field is None else np.asarray(field) for field in fields)
    return first, second, third


def sums_to_output(reported: Explained) -> bool:
    """Whether base value and values sum to the output by construction."""
    attribution = reported.attribution
    if attribution.base_value is None:
        return False
    if isinstance(attribution, Interactions):
        return attribution.index in _EFFICIENT_INDICES
    return attribution.efficient and not "".join(attribution.player_axes).islower()  # not of maps over a layer


def total(reported: Explained) -> tuple[np.ndarray, np.ndarray]:
    """Returns the sum of each example's values, pairs and triples [N], and the sum of their sizes [N]."""
    parts = [(reported.values, 1)]
    if isinstance(reported.attribution, Interactions):
        parts.append((np.asarray(reported.attribution.pairs), 2))
        if reported.attribution.triples is not None:
            parts.append(
                (np.asarray(reported.attribution.triples), 6)
            )  # each set is stored in all orders of its members
    flat = [(part.reshape(len(part), -1), repeats) for part, repeats in parts]
    return (
        np.sum([part.sum(axis=1) / repeats for part, repeats in flat], axis=0),
        np.sum([np.abs(part).sum(axis=1) / repeats for part, repeats in flat], axis=0),
    )
