"""The shapes, collectives and work of a compiled program on each device, read from XLA's optimized text."""

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
    """operation: such as dot; shapes: of its results; called: computations that it runs `trips` times."""

    operation: str
    shapes: tuple[tuple[int, ...], ...]
    called: tuple[str, ...]
    trips: int


class Partitioned(NamedTuple):
    """A program as each device runs it.

    arguments, results: their shapes on one device.
    collectives: the number of collectives.
    in_loops: the number of collectives in loops, which wait for other devices in every iteration.
    work: the number of elements that matrix products and convolutions compute, multiplied by the iterations of loops.
    """

    arguments: tuple[tuple[int, ...], ...]
    results: tuple[tuple[int, ...], ...]
    collectives: int
    in_loops: int
    work: int


def read_program(text: str) -> Partitioned:
    """Reads `compiled.as_text()`."""
    entry, computations = _computations(text)
    layout = re.search(r"entry_computation_layout=\{\((.*?)\)->(.*?)\}(?:, \w+=|$)", text.split("\n", 1)[0])
    if layout is None:
        raise ValueError(
            f"`text` must be that of a compiled XLA program, got {text[:60]!r}: pass `compiled.as_text()`."
        )
    within = {name for body in _loop_bodies(computations) for name in _reached(body, computations)}

    @functools.cache
    def work(name: str) -> int:
        own = sum(
            math.prod(*each.shapes[:1]) for each in computations[name] if each.operation in ("dot", "convolution")
        )
        return own + sum(each.trips * sum(map(work, each.called)) for each in computations[name])

    return Partitioned(
        _shapes(layout[1]),
        _shapes(layout[2]),
        sum(map(_count, computations.values())),
        sum(_count(computations[name]) for name in within),
        work(entry),
    )


def _computations(text: str) -> tuple[str, dict[str, list[Instruction]]]:
    """Returns the entry's name, and the instructions of every computation."""
    computations: dict[str, list[Instruction]] = {}
    entry, current = "", []
    for line in text.splitlines():
        if header := _HEADER.match(line):
            current = computations.setdefault(header[1], [])
            entry = header[1] if line.startswith("ENTRY") else entry
        elif instruction := _INSTRUCTION.match(line):
            branches = [name.strip(" %") for group in _BRANCHES.findall(line) for name in group.split(",")]
            trips = _TRIPS.search(line)
            called = (*_CALLED.findall(line), *branches)
            current.append(Instruction(instruction[2], _shapes(instruction[1]), called, int(trips[1]) if trips else 1))
    return entry, computations


def _loop_bodies(computations: dict[str, list[Instruction]]) -> set[str]:
    return {
        name
        for instructions in computations.values()
        for instruction in instructions
        if instruction.operation == "while"
        for name in instruction.called
    }


def _reached(name: str, computations: dict[str, list[Instruction]]) -> set[str]:
    """Returns a computation and all computations that it runs."""
    reached, waiting = set(), [name]
    while waiting:
        if (name := waiting.pop()) not in reached:
            reached.add(name)
            waiting += [called for instruction in computations[name] for called in instruction.called]
    return reached


def _count(instructions: list[Instruction]) -> int:
    return sum(each.operation.removesuffix("-start") in COLLECTIVES for each in instructions)


def _shapes(text: str) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(int(size) for size in sizes.split(",") if size) for sizes in _SHAPE.findall(text))
