"""Each segment one piece: connected pieces are found, the small ones join a neighbor, and the rest is numbered."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp

from xaijax._core.typing import Array, Bool, Float, Int, Shaped

_NEIGHBORS = [(-1, 0), (1, 0), (0, -1), (0, 1)]


def pieces(labels: Int[Array, "H W"]) -> Int[Array, " places"]:
    """The first place of the connected piece that each place is in, of places numbered row by row.

    Every place points to one before it in its piece. Pieces that touch are hooked together at the places that they
    point to, and pointers jump to where their goals point, so that trees grow in squares: 5 to 8 rounds for a
    photograph, where passing the smallest number on from neighbor to neighbor takes 60 (Shiloach & Vishkin 1982).
    """
    count = labels.size
    same = [_shifted(labels, step, -1) == labels for step in _NEIGHBORS]

    def round_(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        first, _ = carry
        image, least = first.reshape(labels.shape), first.reshape(labels.shape)
        for step, together in zip(_NEIGHBORS, same, strict=True):
            least = jnp.where(together, jnp.minimum(least, _shifted(image, step, count)), least)
        least = least.reshape(-1)
        hooked = least.at[first].min(least)
        jumped = hooked[hooked]
        jumped = jumped[jumped]
        return jumped, (jumped != first).any()

    start = jnp.arange(count, dtype=jnp.int32), jnp.array(True)
    return jax.lax.while_loop(lambda carry: carry[1], round_, start)[0]


def connected(
    labels: Int[Array, "H W"],
    features: Float[Array, "F H W"],
    weights: Float[Array, " F"],
    centers: Float[Array, "F K"],
    most: int,
    *,
    least: int,
    join: bool,
) -> Int[Array, "H W"]:
    """Labels 0..S-1 without gaps, from top to bottom, S at most `most`.

    least: how many places a piece must have to stay; join: whether small pieces join a neighbor, or nothing is done
    but numbering.
    """
    if not join:
        flat = labels.reshape(-1)
        present = jnp.zeros(most, jnp.int32).at[flat].set(1)
        return (jnp.cumsum(present) - 1)[flat].reshape(labels.shape).astype(jnp.int32)
    first = pieces(labels)
    stays = _largest(first, most, least)
    number = jnp.cumsum(stays) - 1
    segments = jnp.where(stays, number, -1)[first].astype(jnp.int32)
    # Each segment has the center of the label that it had.
    seeds = jnp.zeros(most, jnp.int32).at[jnp.where(stays, number, most)].set(labels.reshape(-1), mode="drop")
    return _joined(segments.reshape(labels.shape), first, features, weights, centers[:, seeds])


def _largest(first: Int[Array, " places"], most: int, least: int) -> Bool[Array, " places"]:
    """Whether a place is the first of a piece that stays: the `most` largest of at least `least` places, or the largest."""
    count = len(first)
    sizes = jnp.zeros(count, jnp.int32).at[first].add(1)
    large = (sizes >= max(least, 1)) | (jnp.arange(count) == jnp.argmax(sizes))
    bound = max(1, count // max(least, 1))  # how many pieces can be large
    if bound <= most:
        return large
    number = jnp.cumsum(large) - 1
    listed = jnp.zeros(bound, jnp.int32).at[jnp.where(large, number, bound)].set(sizes, mode="drop")
    ranks = jnp.argsort(jnp.argsort(listed, descending=True, stable=True))
    return large & (ranks < most)[jnp.minimum(number, bound - 1)]


def _joined(
    segments: Int[Array, "H W"],
    first: Int[Array, " places"],
    features: Float[Array, "F H W"],
    weights: Float[Array, " F"],
    centers: Float[Array, "F S"],
) -> Int[Array, "H W"]:
    """Pieces without a segment, -1, join the one beside them whose center is nearest to any of their places.

    Pieces among others of their kind wait until these have joined: two or three rounds.
    """
    nobody = centers.shape[1]

    def round_(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        segments, _ = carry
        painted = jnp.where(segments >= 0, centers[:, segments], jnp.inf)
        beside = [_shifted(segments, step, nobody) for step in _NEIGHBORS]
        distances = [_distance_beside(features, painted, weights, step) for step in _NEIGHBORS]
        nearest = jnp.where(segments < 0, functools.reduce(jnp.minimum, distances), jnp.inf).reshape(-1)
        nearest = jnp.full(first.shape, jnp.inf, nearest.dtype).at[first].min(nearest)[first].reshape(segments.shape)
        # The compiler may compute distances twice and round them differently: equal but for rounding is equal.
        bound = jnp.where(jnp.isfinite(nearest), nearest * (1 + 1e-5), -1.0)
        goals = [jnp.where(far <= bound, goal, nobody) for far, goal in zip(distances, beside, strict=True)]
        goals = functools.reduce(jnp.minimum, goals).reshape(-1)
        goal = jnp.full(first.shape, nobody, jnp.int32).at[first].min(goals)[first].reshape(segments.shape)
        found = jnp.where((segments < 0) & (goal < nobody), goal, segments)
        return found, (found != segments).any()

    segments, _ = jax.lax.while_loop(lambda carry: carry[1], round_, (segments, (segments < 0).any()))
    return jnp.maximum(segments, 0)


def _shifted(image: Shaped[Array, "H W"], step: tuple[int, int], outside: int) -> Shaped[Array, "H W"]:
    """At every place the value of the neighbor one step away."""
    down, right = step
    padded = jnp.pad(image, 1, constant_values=outside)
    height, width = image.shape
    return jax.lax.slice(padded, (1 + down, 1 + right), (1 + down + height, 1 + right + width))


def _distance_beside(
    features: Float[Array, "F H W"], painted: Float[Array, "F H W"], weights: Float[Array, " F"], step: tuple[int, int]
) -> Float[Array, "H W"]:
    """D² of each place to what the neighbor one step away is painted with; infinite where there is none."""
    down, right = step
    height, width = features.shape[1:]
    here = features[:, max(0, -down) : height - max(0, down), max(0, -right) : width - max(0, right)]
    there = painted[:, max(0, down) : height - max(0, -down), max(0, right) : width - max(0, -right)]
    outside = ((max(0, -down), max(0, down)), (max(0, -right), max(0, right)))
    return jnp.pad(square_distance(here, there, weights), outside, constant_values=jnp.inf)


def square_distance(left: Any, right: Any, weights: Float[Array, " F"]) -> Array:
    """D² of SLIC between maps of features, one after another: a loop that compilers vectorize over the places."""
    parts = [weight * (one - other) ** 2 for weight, one, other in zip(weights, left, right, strict=True)]
    return functools.reduce(jnp.add, parts)
