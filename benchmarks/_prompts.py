"""Prompts of a language model: packed rows compared with whole rows, and shared prefixes with packed rows.

Whole rows hold a token for each token of the prompt, those of absent spans included: what a mask token costs.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.table import Table

import xaijax as xai
from benchmarks._overhead import Size, pick
from benchmarks._timing import interleaved

_VOCABULARY, _HEADS = 512, 4
_WAYS = ("whole", "packed", "prefixes")


class Prompts(NamedTuple):
    """A prompt with its response and the coalitions of its spans, [S, M]."""

    prompt: xai.text.Prompt
    response: np.ndarray
    coalitions: np.ndarray


def measure(repeats: int, size: Size) -> list[dict[str, Any]]:
    """Returns a row for each design: the tokens and the seconds of each way, and the ratios of the seconds."""
    width, layers, tokens = pick(size, tiny=(8, 1, 64), quick=(128, 2, 256), full=(256, 4, 512))
    weights = parameters(width, layers)
    model = xai.function(whole_rows, weights)
    empty = functools.partial(empty_cache, layers, width)
    extend = xai.text.cached(jax.tree_util.Partial(step, weights), empty)
    options: dict[str, dict[str, Any]] = {"whole": {"mask_id": 0}, "packed": {}, "prefixes": {"extend": extend}}
    rows = []
    for name, case in designs(tokens, pick(size, tiny=3, quick=4, full=6)).items():
        make = functools.partial(xai.text.response_game, model, case.prompt, case.response)
        # Answers are kept, so each repeat has a game of its own. Making one, which evaluates some rows, is not timed.
        games = {way: [make(**options[way]) for _ in range(repeats + 1)] for way in _WAYS}
        runs = {way: functools.partial(_answers, games[way], case.coalitions) for way in _WAYS}
        first = {way: games[way][-1] for way in _WAYS}
        for run in runs.values():
            run()
        counts = {way: first[way].counts for way in _WAYS}
        times = interleaved(runs, repeats)
        seconds = {way: float(np.median(taken)) for way, taken in times.items()}
        ratios = {
            way: (np.array(times[way]) / np.array(times[before])).tolist()
            for before, way in (("whole", "packed"), ("packed", "prefixes"))
        }
        rows.append(
            {
                "name": name,
                "coalitions": len(case.coalitions),
                "length": tokens,
                "tokens": {way: count.tokens for way, count in counts.items()},
                "by_prefixes": counts["prefixes"].by_prefixes,
                "seconds": seconds,
                "packed_ratio": float(np.median(ratios["packed"])),
                "prefixes_ratio": float(np.median(ratios["prefixes"])),
                "repeats": ratios,
            }
        )
    return rows


def _answers(games: list[xai.text.ResponseGame], coalitions: np.ndarray) -> jax.Array:
    return games.pop()(coalitions)


def designs(tokens: int, num_dense: int) -> dict[str, Prompts]:
    """Returns a walk over the spans in an order, with a long prefix and without; all coalitions; and random ones.

    tokens: of each prompt with its response. num_dense: spans whose coalitions are all evaluated.
    """
    rng = np.random.default_rng(0)
    unit = tokens // 16
    draw = lambda count: rng.integers(1, _VOCABULARY, count)  # noqa: E731

    def make(num_spans: int, coalitions: np.ndarray) -> Prompts:
        prefix = max(1, tokens - (num_spans + 1) * unit)
        suffix = tokens - prefix - num_spans * unit - unit // 2
        prompt = xai.text.prompt([draw(unit) for _ in range(num_spans)], prefix=draw(prefix), suffix=draw(suffix))
        return Prompts(prompt, draw(unit // 2), coalitions)

    def walk(num_spans: int) -> np.ndarray:
        order = rng.permutation(num_spans)
        return np.arange(num_spans + 1)[:, None] > np.argsort(order)

    return {
        "walk, 8 spans and a prefix": make(8, walk(8)),
        "walk, 15 spans": make(15, walk(15)),
        f"all coalitions of {num_dense} spans": make(
            num_dense, (np.arange(2**num_dense)[:, None] >> np.arange(num_dense) & 1).astype(bool)
        ),
        "random coalitions of 14 spans": make(14, rng.random((16, 14)) < 0.5),
    }


def parameters(width: int, layers: int) -> Any:
    """Returns random weights of a transformer with rotary positions."""
    rng = np.random.default_rng(0)
    draw = lambda *shape: jnp.asarray(rng.standard_normal(shape) / np.sqrt(shape[0]), jnp.float32)  # noqa: E731
    layer = lambda: {  # noqa: E731
        "in": draw(width, 3 * width), "out": draw(width, width), "up": draw(width, 4 * width), "down": draw(4 * width, width)
    }  # fmt: skip
    return {
        "embed": jnp.asarray(rng.standard_normal((_VOCABULARY, width)), jnp.float32),
        "layers": [layer() for _ in range(layers)],
        "head": draw(width, _VOCABULARY),
    }


def whole_rows(weights: Any, ids: jax.Array) -> jax.Array:
    """Token ids [N, L] -> logits [N, L, V]."""
    positions = jnp.broadcast_to(jnp.arange(ids.shape[1]), ids.shape)
    return step(weights, ids, positions, positions[:, :, None] >= positions[:, None], None)[0]


def step(weights: Any, ids: jax.Array, positions: jax.Array, mask: jax.Array, cache: Any) -> tuple[jax.Array, Any]:
    """The next tokens of each row, whose keys and values are written at their positions."""
    x, new = weights["embed"][ids], []
    rows = jnp.arange(len(ids))[:, None]
    for number, layer in enumerate(weights["layers"]):
        parts = (_normalized(x) @ layer["in"]).reshape(*ids.shape, 3 * _HEADS, -1)
        query, key, value = jnp.split(parts, 3, axis=2)
        query, key = _rotated(query, positions), _rotated(key, positions)
        if cache is not None:
            key, value = (
                old.at[rows, positions].set(part) for old, part in zip(cache[number], (key, value), strict=True)
            )
        new.append((key, value))
        scores = jnp.einsum("nihd,njhd->nhij", query, key) / np.sqrt(query.shape[-1])
        seen = jax.nn.softmax(jnp.where(mask[:, None], scores, -1e9), axis=-1)
        x = x + jnp.einsum("nhij,njhd->nihd", seen, value).reshape(x.shape) @ layer["out"]
        x = x + jax.nn.gelu(_normalized(x) @ layer["up"]) @ layer["down"]
    return _normalized(x) @ weights["head"], new


def _normalized(x: jax.Array) -> jax.Array:
    return jax.nn.standardize(x)


def _rotated(x: jax.Array, positions: jax.Array) -> jax.Array:
    first, second = jnp.split(x, 2, axis=-1)
    angles = positions[..., None, None] / 10_000 ** jnp.linspace(0, 1, first.shape[-1], endpoint=False)
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    return jnp.concatenate([first * cos - second * sin, first * sin + second * cos], axis=-1)


def empty_cache(layers: int, width: int, rows: int, length: int) -> list[tuple[jax.Array, jax.Array]]:
    """Returns empty keys and values of each layer."""
    empty = jnp.zeros((rows, length, _HEADS, width // _HEADS))
    return [(empty, empty) for _ in range(layers)]


def table(rows: list[dict[str, Any]]) -> Table:
    """Returns the printed table."""
    made = Table(title="prompts: time of packed rows ÷ whole rows, and of shared prefixes ÷ packed rows")
    for column in ("design", "tokens", "coalitions", *_WAYS, "packed ÷ whole", "prefixes ÷ packed"):
        made.add_column(column, justify="left" if column == "design" else "right")
    for row in rows:
        ways = [f"{row['tokens'][way]:,}, {row['seconds'][way]:.2f} s" for way in _WAYS]
        ratios = [f"{row[f'{way}_ratio']:.2f}" for way in _WAYS[1:]]
        made.add_row(row["name"], f"{row['length']:,}", f"{row['coalitions']}", *ways, *ratios)
    return made
