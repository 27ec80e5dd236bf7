"""Connectivity of SLIC: connected pieces are labeled, small pieces join a neighbor, and the segments are numbered."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from xaijax._core.typing import Array, Bool, Float, Int, Shaped
from xaijax.segment._cluster import square_distance

_NEIGHBORS = [(-1, 0), (1, 0), (0, -1), (0, 1)]
# Rounds in which pieces join the nearest neighboring segment. Photographs take 2 or 3; noise would take hundreds.
_ROUNDS = 8


def connected(
    labels: Int[Array, "H W"],
    features: Float[Array, "F H W"],
    weights: Float[Array, " F"],
    centers: Float[Array, "F K"],
    max_segments: int,
    *,
    min_size: int,
    enforce: bool,
) -> Int[Array, "H W"]:
    """Returns labels 0..S-1 without gaps, from top to bottom, with S at most `max_segments`.

    Args:
      labels, centers: the clusters, by seeds.
      features, weights: those of the distance D; the first two features are the coordinates of a pixel.
      min_size: the number of pixels that a piece needs to stay a segment.
      enforce: whether smaller pieces join a neighbor. Otherwise the labels are only renumbered.
    """
    if not enforce:
        flat = labels.reshape(-1)
        present = jnp.zeros(max_segments, jnp.int32).at[flat].set(1)
        return (jnp.cumsum(present) - 1)[flat].reshape(labels.shape).astype(jnp.int32)
    first = pieces(labels)
    stays = _largest(first, max_segments, min_size)
    number = jnp.cumsum(stays) - 1
    segments = jnp.where(stays, number, -1)[first].astype(jnp.int32)
    # Each segment keeps the center of its cluster.
    seeds = jnp.zeros(max_segments, jnp.int32).at[jnp.where(stays, number, max_segments)].set(
        labels.reshape(-1), mode="drop"
    )  # fmt: skip
    segments = _join_nearest(segments.reshape(labels.shape), first, features, weights, centers[:, seeds])
    return _join_most_similar(segments, first, features, max_segments)


def pieces(labels: Int[Array, "H W"]) -> Int[Array, " pixels"]:
    """Returns the first pixel of the connected piece of each pixel; pixels are numbered row by row.

    Every pixel points to an earlier pixel of its piece. Touching pieces are hooked to each other at the pixels that they
    point to, and pointers jump to the goals of their goals, so that trees grow by squaring: 5 to 8 rounds for a
    photograph (Shiloach & Vishkin 1982).
    """
    count = labels.size
    same = [_shifted(labels, step, -1) == labels for step in _NEIGHBORS]

    def hook_and_jump(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        first, _ = carry
        image, least = first.reshape(labels.shape), first.reshape(labels.shape)
        for step, touches in zip(_NEIGHBORS, same, strict=True):
            least = jnp.where(touches, jnp.minimum(least, _shifted(image, step, count)), least)
        least = least.reshape(-1)
        hooked = least.at[first].min(least)
        jumped = hooked[hooked]
        jumped = jumped[jumped]
        return jumped, (jumped != first).any()

    start = jnp.arange(count, dtype=jnp.int32), jnp.array(True)
    return jax.lax.while_loop(lambda carry: carry[1], hook_and_jump, start)[0]


def _largest(first: Int[Array, " pixels"], max_segments: int, min_size: int) -> Bool[Array, " pixels"]:
    """Marks the first pixels of the pieces that stay: the largest of at least `min_size` pixels, or the largest of all."""
    count = len(first)
    sizes = jnp.zeros(count, jnp.int32).at[first].add(1)
    large = (sizes >= max(min_size, 1)) | (jnp.arange(count) == jnp.argmax(sizes))
    bound = max(1, count // max(min_size, 1))  # no more pieces can be large
    if bound <= max_segments:
        return large
    number = jnp.cumsum(large) - 1
    listed = jnp.zeros(bound, jnp.int32).at[jnp.where(large, number, bound)].set(sizes, mode="drop")
    ranks = jnp.argsort(jnp.argsort(listed, descending=True, stable=True))
    return large & (ranks < max_segments)[jnp.minimum(number, bound - 1)]


def _join_nearest(
    segments: Int[Array, "H W"],
    first: Int[Array, " pixels"],
    features: Float[Array, "F H W"],
    weights: Float[Array, " F"],
    centers: Float[Array, "F S"],
) -> Int[Array, "H W"]:
    """Pieces without a segment, -1, join the neighboring segment whose center is nearest to any of their pixels.

    Pieces that no segment touches wait until their neighbors have joined, for `_ROUNDS` rounds at most.
    """
    none = centers.shape[1]

    def join(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        segments, _, rounds = carry
        painted = jnp.where(segments[None] >= 0, centers[:, segments], jnp.inf)
        neighbors = [_shifted(segments, step, none) for step in _NEIGHBORS]
        distances = [_distance_to_neighbor(features, painted, weights, step) for step in _NEIGHBORS]
        nearest = jnp.where(segments < 0, functools.reduce(jnp.minimum, distances), jnp.inf).reshape(-1)
        nearest = jnp.full(first.shape, jnp.inf, nearest.dtype).at[first].min(nearest)[first].reshape(segments.shape)
        # The compiler may compute distances twice and round them differently: equal up to rounding counts as equal.
        bound = jnp.where(jnp.isfinite(nearest), nearest * (1 + 1e-5), -1.0)
        goals = [jnp.where(far <= bound, goal, none) for far, goal in zip(distances, neighbors, strict=True)]
        goals = functools.reduce(jnp.minimum, goals).reshape(-1)
        goal = jnp.full(first.shape, none, jnp.int32).at[first].min(goals)[first].reshape(segments.shape)
        joined = jnp.where((segments < 0) & (goal < none), goal, segments)
        return joined, (joined != segments).any() & (joined < 0).any(), rounds + 1

    start = segments, (segments < 0).any(), jnp.array(0)
    return jax.lax.while_loop(lambda carry: carry[1] & (carry[2] < _ROUNDS), join, start)[0]


def _join_most_similar(
    segments: Int[Array, "H W"], first: Int[Array, " pixels"], features: Float[Array, "F H W"], max_segments: int
) -> Int[Array, "H W"]:
    """The remaining pieces join along the minimum spanning forest of the borders between pieces (Borůvka 1926).

    Noise makes pieces of a pixel or two, hundreds deep between segments. Each tree of pieces without a segment picks its
    border of least color difference, and all trees merge at once, so that their number at least halves in each round.
    Segments pick no border: a tree contains one segment at most, and every tree reaches one.
    """
    height, width = segments.shape
    count = segments.size
    colors = features[2:].astype(jnp.int32)  # whole numbers, so that both sides of a border agree on its length
    far = jnp.iinfo(jnp.int32).max
    pixel = jnp.arange(count, dtype=jnp.int32).reshape(height, width)
    # Border 2p lies between pixel p and the pixel below, 2p + 1 between p and the pixel on the right.
    borders = [2 * (pixel - width), 2 * pixel, 2 * (pixel - 1) + 1, 2 * pixel + 1]
    lengths = [_color_difference(colors, step) for step in _NEIGHBORS]
    nodes = count + max_segments  # each piece by its first pixel, then the segments

    def merge(node: Int[Array, "H W"]) -> Int[Array, "H W"]:
        flat = node.reshape(-1)
        open_ = node < count
        neighbors = [_shifted(node, step, -1) for step in _NEIGHBORS]
        outer = [open_ & (other != node) & (other >= 0) for other in neighbors]
        reach = [jnp.where(is_outer, length, far) for is_outer, length in zip(outer, lengths, strict=True)]
        shortest = functools.reduce(jnp.minimum, reach).reshape(-1)
        shortest = jnp.full(nodes, far, jnp.int32).at[flat].min(shortest)[node]
        ties = [
            jnp.where(is_outer & (length == shortest), border, far)
            for is_outer, length, border in zip(outer, reach, borders, strict=True)
        ]
        picked = jnp.full(nodes, far, jnp.int32).at[flat].min(functools.reduce(jnp.minimum, ties).reshape(-1))
        near = jnp.minimum(picked // 2, count - 1)
        across = jnp.minimum(near + jnp.where(picked % 2 == 1, 1, width), count - 1)
        own = jnp.arange(nodes, dtype=jnp.int32)
        goal = jnp.where(flat[near] == own, flat[across], flat[near])
        goal = jnp.where(picked < far, goal, own)
        # Two trees that picked the same border: the smaller number becomes the root of both.
        goal = jnp.where((goal[goal] == own) & (own < goal), own, goal)
        return _roots(goal)[node]

    node = jnp.where(segments >= 0, count + segments, first.reshape(segments.shape))
    node = jax.lax.while_loop(lambda node: (node < count).any(), merge, node)
    return node - count


def _roots(goal: Int[Array, " nodes"]) -> Int[Array, " nodes"]:
    """Follows pointers to the roots of their trees by pointer jumping."""

    def jump(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        goal, _ = carry
        further = goal[goal]
        return further, (further != goal).any()

    return jax.lax.while_loop(lambda carry: carry[1], jump, (goal, jnp.array(True)))[0]


def _color_difference(colors: Int[Array, "C H W"], step: tuple[int, int]) -> Int[Array, "H W"]:
    """Returns the sum of |difference| over the channels of each pixel and its neighbor one step away."""
    parts = [jnp.abs(_shifted(channel, step, 0) - channel) for channel in colors]
    return functools.reduce(jnp.add, parts)


def _shifted(image: Shaped[Array, "H W"], step: tuple[int, int], outside: int) -> Shaped[Array, "H W"]:
    """Returns the value of the neighbor one step away, for every pixel."""
    down, right = step
    padded = jnp.pad(image, 1, constant_values=outside)
    height, width = image.shape
    return jax.lax.slice(padded, (1 + down, 1 + right), (1 + down + height, 1 + right + width))


def _distance_to_neighbor(
    features: Float[Array, "F H W"], painted: Float[Array, "F H W"], weights: Float[Array, " F"], step: tuple[int, int]
) -> Float[Array, "H W"]:
    """Returns D² of each pixel to the center that its neighbor one step away is painted with; infinite without one."""
    down, right = step
    height, width = features.shape[1:]
    here = features[:, max(0, -down) : height - max(0, down), max(0, -right) : width - max(0, right)]
    there = painted[:, max(0, down) : height - max(0, -down), max(0, right) : width - max(0, -right)]
    outside = ((max(0, -down), max(0, down)), (max(0, -right), max(0, right)))
    return jnp.pad(square_distance(here, there, weights), outside, constant_values=jnp.inf)
