"""The parts of an explanation's time, measured as differences between runs without one of them.

The public explainer runs with its own model. It runs with a model of negligible cost, so that drawing, masking and solving
remain. It runs with that model on rows in which each player is one number and absent players are zeros, so that masking
is negligible too. These runs and the bare model are timed in turn in every repeat. The parts are medians of differences
within a repeat, so that a small part may be below zero because of noise.

One limit: with the model of negligible cost, the compiler may sum masked inputs without writing them to memory, which a
real model does not allow. The time of writing is then in the rest, with that of blocks and averages.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import xaijax as xai
from benchmarks._models import KEY
from benchmarks._timing import interleaved, seconds

Seconds = dict[str, Any]  # by run or by part: [repeats]
Run = Callable[[], Any]
Explain = Callable[[xai.Game], Any]


def measure_parts(
    name: str, runs: dict[str, Run], split: Callable[[Seconds], Seconds], repeats: int, sizes: dict[str, int]
) -> dict[str, Any]:
    """Measures the medians of the whole and of its parts, in seconds.

    runs: the timed functions, including "whole". split: times of the runs -> times of the parts.
    """
    for run in runs.values():
        seconds(run)
    times = interleaved(runs, repeats)
    parts = split({run: np.array(taken) for run, taken in times.items()})
    return {
        "name": name,
        "sizes": sizes,
        "whole": float(np.median(times["whole"])),
        "parts": {part: float(np.median(taken)) for part, taken in parts.items()},
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
    """Measures the parts of an explanation of games: regions, drawing, masks, model, solving, and the rest.

    bare: ways to evaluate the model; the fastest in a first run counts.
    solve, draw: this part alone, for all inputs, if it can run alone; the other part is then the difference.
    both: the name of the sum of the two, if neither can run alone.
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


FREE = xai.function(lambda parameters, x: _sum(x) * parameters, jnp.ones(()))  # reads all of its input once


def _of_numbers(players: int, inputs: int) -> xai.Game:
    """Returns games with as many players, in which masking a coalition is negligible."""
    rows = 1 + jax.random.uniform(KEY, (inputs, players))
    return xai.game(FREE, rows, xai.mask.baseline(jnp.zeros(players)), target=0)


def _fastest(ways: dict[str, Run]) -> Run:
    for run in ways.values():
        seconds(run)
    return min(ways.values(), key=seconds)
