"""What every explainer returns."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._typing import Array, Bool, Float, Int

_STATIC = {"static": True}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
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

    It is a PyTree: it passes through `jit`, `vmap` and `device_get`, and `save` and `load` keep it.
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


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Surrogate(Attribution):
    """An explanation by a linear surrogate model fitted around the input (LIME); `values` are its coefficients.

    intercept: [N] or [N, K] the surrogate at the origin of the interpretable representation.
    prediction: [N] or [N, K] the surrogate's own prediction at the input, to hold against `output`.
    r_squared: [N] or [N, K] weighted R² of the surrogate on its neighbourhood: its local fidelity, 1 at best.
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
@dataclasses.dataclass(frozen=True)
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


_KINDS = {kind.__name__: kind for kind in (Attribution, Surrogate, Interactions)}


def save(path: str | Path, attribution: Attribution) -> Path:
    """Writes an attribution to one `.npz` file, without pickling.

    Args:
      path: where to; the ending `.npz` is added where it is missing.
      attribution: what an explainer returned.

    Returns:
      The path of the file.
    """
    if not isinstance(attribution, Attribution):
        raise TypeError(f"attribution must be what an explainer returns, but it is {type(attribution).__name__}.")
    path = Path(path)
    path = path if path.suffix == ".npz" else path.with_name(path.name + ".npz")
    arrays: dict[str, Any] = {}
    header: dict[str, Any] = {"kind": type(attribution).__name__}
    for field in dataclasses.fields(attribution):
        value = getattr(attribution, field.name)
        if field.metadata.get("static"):
            header[field.name] = value
        elif value is not None:
            arrays[field.name] = np.asarray(value)
    np.savez(path, header=np.array(json.dumps(header)), **arrays)
    return path


def load(path: str | Path) -> Attribution:
    """Reads an attribution that `save` wrote.

    Args:
      path: of the file.

    Returns:
      The attribution, of the type it had.

    Raises:
      ValueError: if the file is not such a file.
    """
    with np.load(path, allow_pickle=False) as file:
        if "header" not in file:
            raise ValueError(f"{path} holds no attribution: it must be a file that xai.save wrote.")
        header = json.loads(str(file["header"]))
        arrays = {name: jnp.asarray(file[name]) for name in file.files if name != "header"}
    kind = header.pop("kind", None)
    if kind not in _KINDS:
        raise ValueError(f"{path} holds a {kind!r}, which this version does not know; it knows {sorted(_KINDS)}.")
    return _KINDS[kind](**arrays, **header)
