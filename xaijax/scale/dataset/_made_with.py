"""Hashes of everything that changes the answers of a store, so that a run with a change is refused, and the change named.

Of a compiled explainer the traced program counts: its operations, shapes and constants. Code that is edited anywhere, in a
module, a class or a function of another file, changes the program or changes no answer. Of an explainer that JAX does not
trace, its code counts, as far as it can be followed. The arrays of the explainer are the parameters of the model. Numbers
of devices and hosts are left out: they change answers by rounding alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from xaijax._io.fingerprint import SIMPLE, digest
from xaijax._version import __version__
from xaijax.scale.dataset._recipe import Recipe, separate
from xaijax.scale.dataset._source import Rows

_SHORT = 60  # characters of an option that is kept as it is, so that the message of a change can show it
MadeWith = dict[str, Any]


def made_with(
    recipe: Recipe, rows: Rows, ids: np.ndarray | None, data_version: str | None, *, compiled: bool, batch_rows: int
) -> MadeWith:
    """Returns the hashes of all that the answers depend on.

    batch_rows: the number of rows that the explainer is traced for; the number of devices does not matter.
    """
    arrays, rebuild = separate(recipe.explainer)
    code = digest(rebuild([None] * len(arrays)))
    if compiled:
        code = recipe.fingerprint(rows.example(batch_rows), np.arange(batch_rows, dtype=np.int32), code)
    return {
        "versions": {"xaijax": __version__, "jax": jax.__version__},
        "compiled": compiled,
        "batch_rows": batch_rows,
        "model": digest(arrays),
        "explainer": code,
        "options": {name: _option(value) for name, value in sorted(recipe.options.items())},
        "key": digest(recipe.key),
        "ids": digest(ids),
        "source": {
            "rows": rows.num_rows,
            "each": str(rows.template),
            "fingerprint": data_version,
            "sample": {str(index): None if row is None else digest(row) for index, row in rows.sample.items()},
        },
    }


def changes(before: MadeWith, now: MadeWith) -> list[str]:
    """Returns the differences in words."""
    differences = []
    for name, version in now["versions"].items():
        if before["versions"][name] != version:
            differences.append(f"{name} was {before['versions'][name]} and is {version}")
    if before["compiled"] != now["compiled"]:
        differences.append(f"compiled was {before['compiled']} and is {now['compiled']}")
    if before["model"] != now["model"]:
        differences.append("the parameters of the model changed")
    for name in sorted({*before["options"], *now["options"]}):
        old, new = (options["options"].get(name, "not given") for options in (before, now))
        if old != new:
            shown = "" if {old[:1], new[:1]} == {"#"} else f": it was {_shown(old)} and is {_shown(new)}"
            differences.append(f"the option {name} changed{shown}")
    differences += [f"the {name} changed" for name in ("key", "ids") if before[name] != now[name]]
    differences += _changes_of_source(before["source"], now["source"])
    if before["batch_rows"] != now["batch_rows"] and before["source"]["rows"] == now["source"]["rows"]:
        differences.append(f"batch_size was {before['batch_rows']} and is {now['batch_rows']}")
    if not differences and before["explainer"] != now["explainer"]:  # which follows from the others
        differences.append(
            "the program changed, that is, the code of the explainer or of the model, or what that reads"
        )
    return differences


def _changes_of_source(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    if before["rows"] != now["rows"]:
        return [f"the data changed: the source had {before['rows']} rows and has {now['rows']}"]
    if before["each"] != now["each"]:
        return [f"the data changed: its rows were {before['each']} and are {now['each']}"]
    if before["fingerprint"] != now["fingerprint"]:
        return [f"the data changed: its fingerprint was {before['fingerprint']!r} and is {now['fingerprint']!r}"]
    for index, old in before["sample"].items():
        new = now["sample"].get(index)
        if old is not None and new is not None and old != new:  # a row that cannot be read today may be the same
            return [f"the data changed: row {index} differs"]
    return []


def _option(value: Any) -> str:
    return repr(value) if isinstance(value, SIMPLE) and len(repr(value)) <= _SHORT else f"#{digest(value)}"


def _shown(option: str) -> str:
    return "another" if option.startswith("#") else option
