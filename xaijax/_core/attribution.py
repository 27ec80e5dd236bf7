"""What every explainer returns."""

from __future__ import annotations

import dataclasses
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.typing import Array, Bool, Float, Int

_STATIC = {"static": True}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, repr=False)
class Attribution:
    """An explanation: how much each player, or each place of an activation map, counts for the output.

    values: [N, M] for players, [N, h, w] for maps; [N, M, K] where all outputs are explained; without N for one game.
    output: [N] or [N, K] what the model says of the inputs: the value that is explained.
    base_value: [N] or [N, K] what the values start from, such as the mean output over the background; None for maps.
    std_errors: like values, the standard error of every sampled value; None for methods without sampling.
    target: [N] the class that is explained; None for a score, for all outputs and for games.
    regions: [N, ...] which player each place of the input belongs to, where players are not the features themselves.
    num_evaluations: [N] how many coalitions or samples were evaluated for each example, those of nobody and of all among
      them; None for methods that evaluate none.
    converged: [N] whether the precision asked for by `until` was reached; None where none was.
    method: the explainer's name and choice.

    It is a PyTree: it passes through `jit`, `vmap` and `device_get`, and `save` and `load` keep it. `attribution[rows]` are
    some of its examples, and `attribution[3]` one of them, as if it were explained alone, without N.
    """

    values: Float[Array, "..."]
    output: Float[Array, "..."]
    base_value: Float[Array, "..."] | None = None
    std_errors: Float[Array, "..."] | None = None
    target: Int[Array, "..."] | None = None
    regions: Int[Array, "..."] | None = None
    num_evaluations: Int[Array, "..."] | None = None
    converged: Bool[Array, "..."] | None = None
    method: str = dataclasses.field(default="", metadata=_STATIC, kw_only=True)

    def on_input(self) -> Array:
        """The values laid out over the input: every place gets the value of the player it belongs to, [N, ...]."""
        if self.regions is None:
            return self.values
        return jax.vmap(lambda values, regions: values[regions])(self.values, self.regions)

    @property
    def num_examples(self) -> int | None:
        """N, or None for one example alone: one game written by hand, or `attribution[3]`."""
        outputs, values = jnp.shape(self.output), jnp.shape(self.values)
        # As many outputs as players of one game look like examples, but are evaluated once.
        alone = self.num_evaluations is not None and jnp.ndim(self.num_evaluations) == 0
        return outputs[0] if outputs and outputs[:1] == values[:1] and not alone else None

    def __getitem__(self, rows: Any) -> Self:
        count = self.num_examples
        if count is None:
            raise TypeError("attribution is of one example alone, which has no others to choose from.")
        if not isinstance(rows, slice):
            rows = _check_rows(rows, count)
        return jax.tree.map(lambda leaf: leaf[rows], self)

    def mean_abs(self) -> Array:
        """The mean size |value| of each player over the examples: [M], or [M, K]."""
        if self.num_examples is None:
            raise TypeError("attribution is of one example alone: there is nothing to average over.")
        return jnp.abs(self.values).mean(axis=0)

    def __repr__(self) -> str:
        name, method = type(self).__name__, self.method or "no method"
        fields = [field.name for field in dataclasses.fields(self) if not field.metadata.get("static")]
        given = {field: getattr(self, field) for field in fields if getattr(self, field) is not None}
        lines = [f"{name} by {method}"]
        lines += [f"  {field:<19} {_described(value)}" for field, value in given.items()]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """What a notebook shows: a small picture, and the same in a table."""
        from xaijax._report._notebook import shown_in_notebook  # draws, and so knows the plots, which know this type

        return shown_in_notebook(self)


def _check_rows(rows: Any, count: int) -> Any:
    """Numbers or booleans of examples; JAX itself would take others for the nearest ones."""
    rows = rows if not check.is_concrete(rows) else np.asarray(rows)
    if rows.dtype == bool and rows.shape == (count,):
        return np.flatnonzero(rows) if isinstance(rows, np.ndarray) else rows
    if not np.issubdtype(rows.dtype, np.integer) or rows.ndim > 1:
        raise TypeError(
            f"attribution[rows] takes a number, a slice, numbers or {count} booleans, but got {rows.dtype}{list(rows.shape)}."
        )
    if isinstance(rows, np.ndarray):
        missing = rows[(rows < -count) | (rows >= count)].reshape(-1)
        if missing.size:
            raise IndexError(f"attribution has {count} examples, but number {missing[0]} was asked for.")
    return rows


def _described(value: Any) -> str:
    """The shape, and the range of what is known now."""
    if not hasattr(value, "dtype") or not hasattr(value, "shape"):
        return repr(value)
    shape = f"{np.dtype(value.dtype).name}[{', '.join(map(str, value.shape))}]"
    if isinstance(value, jax.ShapeDtypeStruct) or not check.is_concrete(value) or value.size == 0:
        return shape
    known = np.asarray(value)
    if known.size == 1:
        return f"{shape} {known.reshape(-1)[0]:.6g}" if known.dtype != bool else f"{shape} {known.reshape(-1)[0]}"
    if known.dtype == bool:
        return f"{shape} {int(known.sum())} of {known.size}"
    missing = int(np.isnan(known).sum()) if np.issubdtype(known.dtype, np.floating) else 0
    if missing == known.size:
        return f"{shape} all NaN"
    low, high = (np.nanmin(known), np.nanmax(known)) if missing else (known.min(), known.max())
    extent = f"all {low:.4g}" if low == high else f"from {low:.4g} to {high:.4g}"
    return f"{shape} {extent}" + (f", {missing} NaN" if missing else "")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, repr=False)
class Surrogate(Attribution):
    """An explanation by a linear surrogate model fitted around the input (LIME); `values` are its coefficients.

    intercept: [N] or [N, K] the surrogate at the origin of the interpretable representation.
    prediction: [N] or [N, K] the surrogate's own prediction at the input, to hold against `output`.
    r_squared: [N] or [N, K] weighted R² of the surrogate on its neighborhood: its local fidelity, 1 at best.
    held_out_r_squared: [N] or [N, K] the same with each sample predicted by a fit of the others.
    effective_samples: [N] how many samples of equal weight would know as much as the weighted ones.
    stability: [N] or [N, K] the probability that another draw would find the same players largest; NaN where there are
      too few samples to say.
    slopes: [N, D] or [N, D, K] for tabular inputs, the coefficients for one unit of each feature; None elsewhere.
    """

    intercept: Float[Array, "..."] = dataclasses.field(kw_only=True)
    prediction: Float[Array, "..."] = dataclasses.field(kw_only=True)
    r_squared: Float[Array, "..."] = dataclasses.field(kw_only=True)
    held_out_r_squared: Float[Array, "..."] | None = dataclasses.field(default=None, kw_only=True)
    effective_samples: Float[Array, "..."] | None = dataclasses.field(default=None, kw_only=True)
    stability: Float[Array, "..."] | None = dataclasses.field(default=None, kw_only=True)
    slopes: Float[Array, "..."] | None = dataclasses.field(default=None, kw_only=True)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, repr=False)
class Interactions(Attribution):
    """An explanation by players and by what they do together; `values` are what the index gives single players.

    pairs: [N, M, M] or [N, M, M, K] of each two players, symmetric, 0 on the diagonal.
    pair_errors: like pairs, their standard errors; None where they are exact.
    triples: [N, M, M, M] or with K of each three, symmetric, 0 where players repeat; None below order 3.
    index: the interaction index.
    """

    pairs: Float[Array, "..."] = dataclasses.field(kw_only=True)
    pair_errors: Float[Array, "..."] | None = dataclasses.field(default=None, kw_only=True)
    triples: Float[Array, "..."] | None = dataclasses.field(default=None, kw_only=True)
    index: str = dataclasses.field(default="", metadata=_STATIC, kw_only=True)
