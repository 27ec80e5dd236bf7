"""An attribution as a report reads it: in NumPy, with examples, and of one output each."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.attribution import Attribution, Interactions, Surrogate

# Fields that are of an example, not of each of its outputs.
_OF_EXAMPLES = {"target", "regions", "num_evaluations", "converged", "effective_samples"}
_ROUNDING = 1e-4  # of the sizes that are summed: far above the rounding of float32, far below what a picture shows


@dataclasses.dataclass(frozen=True, eq=False)
class Explained:
    """attribution: values [N, M], maps [N, h, w] or [N, h, w, C], in NumPy; target [N] where classes are explained.

    alone: whether it was of one example without N.
    chosen: of an attribution of all outputs, how many outputs there are; None of others.
    rounding: what sums may be wrong by, as a share of the sizes summed.
    """

    attribution: Attribution
    alone: bool
    chosen: int | None
    rounding: float

    @property
    def values(self) -> np.ndarray:
        return np.asarray(self.attribution.values)

    @property
    def num_examples(self) -> int:
        return len(self.values)

    @property
    def of_players(self) -> bool:
        return self.values.ndim == 2

    @property
    def on_images(self) -> bool:
        """Whether there is a map for each example, of its own or of its regions."""
        regions = self.attribution.regions
        return not self.of_players or (regions is not None and np.ndim(regions) == 3)

    @property
    def errors(self) -> np.ndarray | None:
        errors = self.attribution.std_errors
        return None if errors is None else np.asarray(errors)

    @property
    def finite(self) -> np.ndarray:
        """Which examples have finite values, [N]."""
        known = np.isfinite(self.values).reshape(self.num_examples, -1).all(axis=1)
        if isinstance(self.attribution, Interactions):
            known = known & np.isfinite(self.attribution.pairs).reshape(self.num_examples, -1).all(axis=1)
        return known & np.isfinite(self.attribution.output)

    def map_of(self, example: int) -> np.ndarray:
        """[h, w] what counts where; channels are summed, and places of a region have its value."""
        values = self.values[example]
        if values.ndim == 1:
            return values[np.asarray(self.attribution.regions)[example]]
        return values.sum(axis=-1) if values.ndim == 3 else values

    def some(self, rows: Any) -> Attribution:
        """Some of the examples; JAX is not asked."""
        kept = {name: np.asarray(value)[rows] for name, value in _arrays(self.attribution).items()}
        return dataclasses.replace(self.attribution, **kept)


def explained(attribution: Attribution, target: int | None = None) -> Explained:
    """Gives an attribution its examples, and of all outputs takes `target`, or the top class of each example."""
    if not check.is_concrete(attribution):
        raise TypeError("attribution is being traced, so that its values are not known: report it outside of jax.jit.")
    dtype = jnp.asarray(attribution.values).dtype
    fields = {name: _read(value) for name, value in _arrays(attribution).items()}
    alone = attribution.num_examples is None
    if alone:
        fields = {name: value[None] for name, value in fields.items()}
    outputs, chosen = fields["output"], None
    if outputs.ndim == 2:
        chosen = outputs.shape[1]
        if target is not None and not 0 <= target < chosen:
            raise ValueError(
                f"target must lie between 0 and {chosen - 1}, as there are {chosen} outputs, not {target}."
            )
        classes = outputs.argmax(axis=1) if target is None else np.full(len(outputs), target)
        fields = {
            name: value
            if name in _OF_EXAMPLES
            else np.stack([one[..., k] for one, k in zip(value, classes, strict=True)])
            for name, value in fields.items()
        }
        fields["target"] = classes
    elif target is not None:
        raise ValueError("target chooses one of all outputs, but the attribution is of one output already.")
    values = fields["values"]
    if values.ndim not in (2, 3, 4) or not values.size:
        raise ValueError(
            "attribution must have values [N, M] of players, maps [N, h, w] or values like images [N, H, W, C], but their "
            f"shape is {list(attribution.values.shape)}."
        )
    rounding = max(_ROUNDING, 8 * float(jnp.finfo(dtype).eps) if jnp.issubdtype(dtype, jnp.floating) else 0)
    return Explained(dataclasses.replace(attribution, **fields), alone, chosen, rounding)


def _arrays(attribution: Attribution) -> dict[str, Any]:
    fields = [field.name for field in dataclasses.fields(attribution) if not field.metadata.get("static")]
    found = {name: getattr(attribution, name) for name in fields}
    return {name: value for name, value in found.items() if value is not None}


def _read(value: Any) -> np.ndarray:
    array = np.asarray(value)
    return array if array.dtype.kind in "biu" else array.astype(np.float64)


def fidelity(attribution: Attribution) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:
    """R², held-out R² and stability [N] of a surrogate; None where there are none."""
    if not isinstance(attribution, Surrogate):
        return None, None, None
    found = (attribution.r_squared, attribution.held_out_r_squared, attribution.stability)
    one, two, three = (None if value is None else np.asarray(value) for value in found)
    return one, two, three
