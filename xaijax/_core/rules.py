"""Records which rule computed each operation of a model: DeepLIFT and relevance propagation report that.

Both evaluate a trace (`_core/jaxpr.py`) by rules. An operation without one is an error, or keeps its own derivative.
"""

from __future__ import annotations

import collections
from typing import Any

from xaijax._core import check
from xaijax._core.jaxpr import path_of

UNKNOWN = ["error", "gradient"]  # what becomes of operations without a rule

Rules = tuple[tuple[str, str, int], ...]  # (operation, its rule or "", how many of them)


class RuleLog:
    """The operations that were computed in one evaluation of a trace, in the order of their first use.

    Operations are counted as they stand in the trace: one within a loop counts once.
    """

    def __init__(self) -> None:
        self._counts: collections.Counter[tuple[str, str]] = collections.Counter()
        self._last_layer = ""

    def add(self, equation: Any, rule: str, path: str | None = None) -> None:
        """Counts an operation that a rule computed; "" for one without a rule, which is listed with its module path.

        path: of the module, where the caller knows it. Default: that of the trace.
        """
        name = equation.primitive.name
        if name == "name":
            self._last_layer = equation.params["name"]
        if not rule:
            path = path_of(equation) if path is None else path
            after = f" after {self._last_layer}" if self._last_layer else ""
            name += f" in {path}" if path else after
        self._counts[name, rule] += 1

    def update(self, other: RuleLog) -> None:
        """Adds the operations of another log, such as that of the body of a loop."""
        self._counts.update(other._counts)

    def table(self) -> Rules:
        """Returns what `Attribution.rules` holds."""
        return tuple((operation, rule, count) for (operation, rule), count in self._counts.items())

    def check(self, unknown: str) -> None:
        """Raises, unless operations without a rule keep their own derivative, if there are any."""
        missing = [operation for operation, rule in self._counts if not rule]
        if missing and unknown == "error":
            listed = ", ".join(missing[:8]) + (f" and {len(missing) - 8} more" if len(missing) > 8 else "")
            raise ValueError(
                f"`model` must consist of operations that have a rule, got {listed}: pass unknown='gradient' to use their own "
                "derivatives, whose values need not add up, or a rule of yours."
            )


def read_unknown(unknown: Any) -> str:
    """Checks `unknown`."""
    return check.one_of("unknown", unknown, UNKNOWN)
