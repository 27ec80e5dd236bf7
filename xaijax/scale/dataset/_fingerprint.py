"""What a store was made with, in short: a hash of each thing that changes the answers, so that a change can be named.

The arrays of the explainer are the model; what is no array among its leaves, and what functions do and hold on to, is the
explainer. Options, key, ids and rows are hashed for themselves. Numbers of devices and hosts are left out: they change
answers by rounding alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from xaijax._io.fingerprint import SIMPLE, digest
from xaijax.scale.dataset._recipe import Recipe, separate
from xaijax.scale.dataset._source import Rows

_SHORT = 60  # characters of an option that is kept as it is, so that the message of a change can show it
Fingerprint = dict[str, Any]


def fingerprint(recipe: Recipe, rows: Rows, ids: np.ndarray | None, given: str | None) -> Fingerprint:
    """Of all that answers depend on."""
    arrays, rebuild = separate(recipe.explainer)
    return {
        "model": digest(arrays),
        "explainer": digest(rebuild([None] * len(arrays))),
        "options": {name: _option(value) for name, value in sorted(recipe.options.items())},
        "key": digest(recipe.key),
        "ids": digest(ids),
        "source": {
            "rows": rows.num_rows,
            "each": str(rows.template),
            "fingerprint": given,
            "sample": {str(place): None if row is None else digest(row) for place, row in rows.sample.items()},
        },
    }


def changes(before: Fingerprint, now: Fingerprint) -> list[str]:
    """What differs, in words."""
    found = []
    if before["model"] != now["model"]:
        found.append("the parameters of the model changed")
    if before["explainer"] != now["explainer"]:
        found.append("the explainer changed (its function, or what that holds on to)")
    for name in sorted({*before["options"], *now["options"]}):
        one, other = (options["options"].get(name, "not given") for options in (before, now))
        if one != other:
            shown = "" if {one[:1], other[:1]} == {"#"} else f": it was {_shown(one)} and is {_shown(other)}"
            found.append(f"the option {name} changed{shown}")
    found += [f"the {name} changed" for name in ("key", "ids") if before[name] != now[name]]
    return found + _changes_of_source(before["source"], now["source"])


def _changes_of_source(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    if before["rows"] != now["rows"]:
        return [f"the data changed: the source had {before['rows']} rows and has {now['rows']}"]
    if before["each"] != now["each"]:
        return [f"the data changed: its rows were {before['each']} and are {now['each']}"]
    if before["fingerprint"] != now["fingerprint"]:
        return [f"the data changed: its fingerprint was {before['fingerprint']!r} and is {now['fingerprint']!r}"]
    for place, one in before["sample"].items():
        other = now["sample"].get(place)
        if one is not None and other is not None and one != other:  # a row that cannot be read today may be the same
            return [f"the data changed: row {place} is another one"]
    return []


def _option(value: Any) -> str:
    return repr(value) if isinstance(value, SIMPLE) and len(repr(value)) <= _SHORT else f"#{digest(value)}"


def _shown(option: str) -> str:
    return "another" if option.startswith("#") else option
