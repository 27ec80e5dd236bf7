"""Budgets: how many coalitions an estimator evaluates, or which precision it reaches; and the key where it draws them."""

from __future__ import annotations

from typing import Any

from xaijax._core import check
from xaijax._core.game import Game
from xaijax._core.until import read_until
from xaijax.shap._design import num_pairs

DEFAULT_EVALUATIONS = 20  # for each player
_MOST_NUMBERS = 2**28  # in a design, pairs times players: the coalitions are drawn and kept on the host
read_key = check.key_where_drawn


def read_budget(
    num_players: int, num_evaluations: Any, until: Any, max_evaluations: Any, most: int | None = None
) -> tuple[int, float | None, int]:
    """Checks a budget, a precision and its cap; returns them with their defaults, in coalitions.

    most: the largest number of evaluations that defaults may ask for.
    """
    everything = 2**num_players if num_players < 31 else 2**31 - 1
    least = min(2 * num_players, everything)
    if num_evaluations is None:
        num_evaluations = max(least, min(DEFAULT_EVALUATIONS * num_players, everything, most or everything))
    num_evaluations = check.positive_int("num_evaluations", num_evaluations)
    if num_evaluations < least:
        raise ValueError(
            f"`num_evaluations` must be at least {least}, twice the number of the {num_players} players, got "
            f"{num_evaluations}: with fewer evaluations some players would never join or leave a coalition; group the "
            "players (groups= of the masker)."
        )
    until = read_until(until, "max_evaluations", max_evaluations)
    if until is None:
        return num_evaluations, None, num_evaluations
    if max_evaluations is None:
        max_evaluations = max(num_evaluations, min(16 * num_evaluations, 2**31 - 1, most or everything))
    cap = check.positive_int("max_evaluations", max_evaluations, least=num_evaluations)
    return num_evaluations, until, cap


def read_stages(
    game: Game, num_evaluations: Any, until: Any, max_evaluations: Any, most: int | None = None
) -> tuple[tuple[int, ...], float | None]:
    """Returns the numbers of pairs of the nested designs, each twice the one before, and the precision that ends them."""
    num_players = game.num_players
    if num_players < 2:
        raise ValueError("`game` must have at least 2 players, got 1 player: use xai.shap.exact.")
    num_evaluations, until, cap = read_budget(num_players, num_evaluations, until, max_evaluations, most)
    first, last = (min((evaluations - 2) // 2, num_pairs(num_players)) for evaluations in (num_evaluations, cap))
    if last * num_players > _MOST_NUMBERS:
        name = "num_evaluations" if until is None else "max_evaluations"
        raise ValueError(
            f"`{name}` must be at most {2 * (_MOST_NUMBERS // num_players) + 2:,} for {num_players} players, whose "
            f"coalitions are drawn without repetition, got {2 * last + 2:,}: use xai.shap.permutation."
        )
    stages = [first]
    while stages[-1] < last:
        stages.append(min(2 * stages[-1], last))
    return tuple(stages), until
