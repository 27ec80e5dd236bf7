"""Where the time of an explanation goes: its parts are measured by what is missing when they are left out.

The public explainer runs with its own model; then with a model that costs next to nothing, so that what is left is
drawing, masking and solving; then, with that model, on rows of numbers in which each player is one number and one row of
zeros stands for all that is absent, so that there is next to nothing to mask. All of these and the bare model are timed
in turn, in every repeat, and the parts are medians of differences within a repeat: a part within the noise of the others
may come out below zero.

What this cannot see: the compiler may sum masked inputs without writing them down, which no model of any size lets it do;
the writing is then in the rest, beside what blocks and averages cost.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import xaijax as xai
from benchmarks._bare import KEY
from benchmarks._timing import interleaved, seconds

Seconds = dict[str, Any]  # of each run, or of each part: [repeats]
Run = Callable[[], Any]
Explain = Callable[[xai.Game], Any]


def measure_parts(
    name: str, runs: dict[str, Run], split: Callable[[Seconds], Seconds], repeats: int, sizes: dict[str, int]
) -> dict[str, Any]:
    """The medians of the whole and of its parts, in seconds.

    runs: what is timed, "whole" among it. split: from the times of the runs to those of the parts.
    """
    for run in runs.values():
        seconds(run)
    times = interleaved(runs, repeats)
    parts = split({run: np.array(one) for run, one in times.items()})
    return {
        "name": name,
        "sizes": sizes,
        "whole": float(np.median(times["whole"])),
        "parts": {part: float(np.median(one)) for part, one in parts.items()},
        "runs": times,
    }


def parts_of_game(
    name: str,
    explain: Explain,
    model: Any,
    x: jax.Array,
    masker: Any,
    *,
    bare: dict[str, Run],
    repeats: int,
    sizes: dict[str, int],
    solve: Run | None = None,
    draw: Run | None = None,
    both: str = "solving",
) -> dict[str, Any]:
    """The parts of an explanation of games: regions, drawing, masks, model, solving, and the rest.

    bare: ways to evaluate the model; the one that is fastest on the first go counts. solve, draw: that part alone, for all
    inputs, where it can be run alone: the other one is then the difference. both: what the two are called, if neither is
    given.
    """
    game = xai.game(model, x, masker, target=0)
    runs: dict[str, Run] = {
        "whole": lambda: explain(game),
        "without model": lambda: explain(xai.game(FREE, x, masker, target=0)),
        "without masks": functools.partial(explain, _of_numbers(game.num_players, len(x))),
        "model": _fastest(bare),
    }
    if isinstance(masker, xai.mask.Superpixels):
        prepare = jax.jit(lambda x: masker.prepare(x))
        runs["regions"] = lambda: prepare(x)
    if solve is not None:
        runs["solving"] = solve
    if draw is not None:
        runs["drawing"] = draw

    def split(times: Seconds) -> Seconds:
        parts: Seconds = {"model": times["model"]}
        if "drawing" in times:
            parts |= {"drawing": times["drawing"], "solving": times["without masks"] - times["drawing"]}
        elif "solving" in times:
            parts |= {"drawing": times["without masks"] - times["solving"], "solving": times["solving"]}
        else:
            parts[both] = times["without masks"]
        masks = times["without model"] - times["without masks"]
        if "regions" in times:
            parts["regions"] = times["regions"]
            masks = masks - times["regions"]
        return parts | {"masks": masks, "rest": times["whole"] - times["model"] - times["without model"]}

    return measure_parts(name, runs, split, repeats, sizes)


def _sum(x: jax.Array) -> jax.Array:
    return x.reshape(len(x), -1).astype(jnp.float32).sum(axis=1, keepdims=True)


FREE = xai.function(lambda parameters, x: _sum(x) * parameters, jnp.ones(()))  # it looks at all of its input, once


def _of_numbers(players: int, inputs: int) -> xai.Game:
    """Games with as many players, in which a coalition is hardly more than its own row."""
    rows = 1 + jax.random.uniform(KEY, (inputs, players))
    return xai.game(FREE, rows, xai.mask.baseline(jnp.zeros(players)), target=0)


def _fastest(ways: dict[str, Run]) -> Run:
    for run in ways.values():
        seconds(run)
    return min(ways.values(), key=seconds)
