"""The names of the axes of attributions."""

from __future__ import annotations

EXAMPLES, OUTPUTS, PLAYERS, REGIONS = "N", "K", "P", "R"


def axes_of_players(num_axes: int) -> str:
    """Returns the player axes of values laid out like an input: "M" for features, "H W C" for the pixels of an image."""
    return {1: "M", 2: "T C", 3: "H W C", 4: "D H W C"}.get(num_axes) or _numbered("X", num_axes)


def axes_of_map(num_axes: int) -> str:
    """Returns the player axes of a map over space: "t" for signals, "h w" for images, "d h w" for volumes."""
    return {1: "t", 2: "h w", 3: "d h w"}.get(num_axes) or _numbered("x", num_axes)


def _numbered(letter: str, count: int) -> str:
    return " ".join(f"{letter}{number}" for number in range(count))


def default_axes(values: int, output: int) -> str:
    """Returns the axes for values and outputs of so many axes each."""
    players = max(1, values - output)
    own = {1: "M", 2: "h w"}.get(players) or axes_of_players(players)
    return " ".join([*[EXAMPLES] * (output > 0), own, *[OUTPUTS] * (output > 1)])
