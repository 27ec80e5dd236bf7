"""Rows that could not be explained: recorded with their ids and reasons, and counted against a limit."""

from __future__ import annotations

import dataclasses
import threading
from typing import Any

_LONGEST = 300  # characters of a reason: a source may put a whole file into its messages


@dataclasses.dataclass(frozen=True)
class Failure:
    """A row of the source that has no explanation.

    row: its place in the source.
    id: the id that names it.
    reason: what was wrong, such as "NaN in the row" or the error that reading it raised.
    """

    row: int
    id: int
    reason: str


def shortened(reason: Any) -> str:
    """A reason in one line that is not too long."""
    line = " ".join(str(reason).split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 3] + "..."


class Limit:
    """Counts failed rows, the rows of earlier runs among them, and stops the run above a limit."""

    def __init__(self, most: int | None, already: list[Failure]):
        self.most = most
        self._lock = threading.Lock()
        self._count, self._last = 0, None
        self.add(already)

    @property
    def count(self) -> int:
        return self._count

    def add(self, failures: list[Failure]) -> None:
        if not failures:
            return
        with self._lock:
            self._count += len(failures)
            self._last = failures[-1]

    def check(self, elsewhere: int = 0) -> None:
        """Raises where there are too many, those of other hosts included."""
        total = self._count + elsewhere
        if self.most is not None and total > self.most:
            last = "" if self._last is None else f" The last: row {self._last.row}, {self._last.reason}."
            raise RuntimeError(
                f"{total} rows could not be explained, but max_failures is {self.most}.{last} All that is finished is "
                "kept, with every failure recorded: mend the source, or raise max_failures, and start the same command "
                "again."
            )
