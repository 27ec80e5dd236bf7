"""Outputs of models that return several, in a dict, a tuple or a dataclass: their names, and the choice of one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np

from xaijax._core import calls, check

Output = str | int | Callable[[Any], Any] | None


def read_output(output: Any) -> str | int | Callable[[Any], Any]:
    """Returns the `output` argument of `xai.model`: a key, an index or a function."""
    if isinstance(output, np.integer):
        return int(output)
    if isinstance(output, bool) or not (isinstance(output, (str, int)) or callable(output)):
        raise TypeError(
            f"`output` must be a key, an index, a function of the outputs, or None for all, got {check.shown(output)}."
        )
    return output


def select(outputs: Any, output: str | int | Callable[[Any], Any]) -> Any:
    """Returns the chosen one of a model's outputs."""
    if callable(output):
        return calls.call_noted("output", output, outputs)
    members = _members(outputs)
    if members is None:
        raise ValueError(
            f"`output` must be None for a model that returns one array, got {check.shown(output)}: pass a class as target."
        )
    if output in members:
        return members[output]
    if isinstance(outputs, (tuple, list)) and isinstance(output, int) and -len(outputs) <= output < len(outputs):
        return outputs[output]
    similar = check.did_you_mean(output, [key for key in members if isinstance(key, str)])
    raise ValueError(f"`output` must be one of {list(members)}, got {check.shown(output)}{similar}.")


def several(outputs: Any) -> str | None:
    """Returns a sentence that says how to choose one of several outputs; None for one array."""
    members = _members(outputs)
    if not members:
        return None
    listed = ", ".join(f"{key!r}: {_shown(member)}" for key, member in members.items())
    key = next((key for key, member in members.items() if len(getattr(member, "shape", ())) == 2), next(iter(members)))
    return (
        f"`model` must return one array for this call, got the outputs {listed}: choose one by "
        f"xai.model(model, output={key!r}), or compute one by a function, xai.model(model, output=lambda outputs: ...)."
    )


def _shown(member: Any) -> str:
    shape, dtype = getattr(member, "shape", None), getattr(member, "dtype", None)
    return type(member).__name__ if shape is None else f"{dtype}{list(shape)}"


def _members(outputs: Any) -> dict[Hashable, Any] | None:
    """Returns outputs by key, index or name; None for one array and for anything else."""
    if isinstance(outputs, Mapping):
        return dict(outputs)
    if isinstance(outputs, (tuple, list)):
        names = getattr(outputs, "_fields", range(len(outputs)))
        return dict(zip(names, outputs, strict=True))
    if dataclasses.is_dataclass(outputs) and not isinstance(outputs, type):
        return {field.name: getattr(outputs, field.name) for field in dataclasses.fields(outputs)}
    return None
