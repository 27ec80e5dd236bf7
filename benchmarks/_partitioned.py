"""What a compiled program does on each device, read from XLA's optimized text: its shapes, collectives, work in loops."""

from __future__ import annotations

import functools
import math
import re
from typing import NamedTuple

COLLECTIVES = (
    "all-gather",
    "all-reduce",
    "all-to-all",
    "collective-broadcast",
    "collective-permute",
    "ragged-all-to-all",
    "reduce-scatter",
)
_HEADER = re.compile(r"^(?:ENTRY )?%?([\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?[\w.\-]+ = (.*?) ([a-z][a-z0-9\-]*)\(")
_CALLED = re.compile(r"(?:body|condition|calls|to_apply|true_computation|false_computation)=%?([\w.\-]+)")
_BRANCHES = re.compile(r"(?:branch_computations|called_computations)=\{([^}]*)\}")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_SHAPE = re.compile(r"\w+\[([\d,]*)\]")


class Instruction(NamedTuple):
    """operation: such as dot; shapes: of what it makes; called: computations that it runs, so many times (trips)."""

    operation: str
    shapes: tuple[tuple[int, ...], ...]
    called: tuple[str, ...]
    trips: int


class Partitioned(NamedTuple):
    """A program as each device runs it.

    arguments, results: their shapes on one device; collectives: how many there are at all; in_loops: how many of them
    within loops, where they would wait for other devices again and again; work: numbers that matrix products and
    convolutions make, those within loops as often as the loops run.
    """

    arguments: tuple[tuple[int, ...], ...]
    results: tuple[tuple[int, ...], ...]
    collectives: int
    in_loops: int
    work: int


def read(text: str) -> Partitioned:
    """Reads `compiled.as_text()`."""
    entry, computations = _computations(text)
    layout = re.search(r"entry_computation_layout=\{\((.*?)\)->(.*?)\}(?:, \w+=|$)", text.split("\n", 1)[0])
    if layout is None:
        raise ValueError(f"text must be that of a compiled XLA program, but it begins with {text[:60]!r}.")
    within = {name for body in _loop_bodies(computations) for name in _reached(body, computations)}

    @functools.cache
    def work(name: str) -> int:
        own = sum(math.prod(*one.shapes[:1]) for one in computations[name] if one.operation in ("dot", "convolution"))
        return own + sum(one.trips * sum(map(work, one.called)) for one in computations[name])

    return Partitioned(
        _shapes(layout[1]),
        _shapes(layout[2]),
        sum(map(_count, computations.values())),
        sum(_count(computations[name]) for name in within),
        work(entry),
    )


def _computations(text: str) -> tuple[str, dict[str, list[Instruction]]]:
    """The entry's name, and the instructions of every computation."""
    found: dict[str, list[Instruction]] = {}
    entry, current = "", []
    for line in text.splitlines():
        if header := _HEADER.match(line):
            current = found.setdefault(header[1], [])
            entry = header[1] if line.startswith("ENTRY") else entry
        elif instruction := _INSTRUCTION.match(line):
            branches = [name.strip(" %") for group in _BRANCHES.findall(line) for name in group.split(",")]
            trips = _TRIPS.search(line)
            called = (*_CALLED.findall(line), *branches)
            current.append(Instruction(instruction[2], _shapes(instruction[1]), called, int(trips[1]) if trips else 1))
    return entry, found


def _loop_bodies(computations: dict[str, list[Instruction]]) -> set[str]:
    return {
        name
        for instructions in computations.values()
        for one in instructions
        if one.operation == "while"
        for name in one.called
    }


def _reached(name: str, computations: dict[str, list[Instruction]]) -> set[str]:
    """A computation and all that it runs."""
    found, waiting = set(), [name]
    while waiting:
        if (name := waiting.pop()) not in found:
            found.add(name)
            waiting += [called for one in computations[name] for called in one.called]
    return found


def _count(instructions: list[Instruction]) -> int:
    return sum(one.operation.removesuffix("-start") in COLLECTIVES for one in instructions)


def _shapes(text: str) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(int(size) for size in sizes.split(",") if size) for sizes in _SHAPE.findall(text))
