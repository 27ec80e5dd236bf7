"""Games given by formulas, with Shapley values in closed form or by enumeration."""

from __future__ import annotations

import numpy as np

from experiments._known_games import KnownGame, all_coalitions, of_table, of_terms


def unanimity(
    num_players: int, num_terms: int, seed: int, count: int, *, largest: int | None = None
) -> list[KnownGame]:
    """Returns games of random teams that pay if they are complete: interactions of every order.

    largest: the number of players of the largest teams. Default: all.
    """
    rng = np.random.default_rng(seed)
    games = []
    for _ in range(count):
        sizes = rng.integers(1, (largest or num_players) + 1, num_terms)
        present = np.argsort(np.argsort(rng.random((num_terms, num_players)), axis=1), axis=1) < sizes[:, None]
        games.append(of_terms(present, np.zeros_like(present), rng.uniform(-1, 1, num_terms)))
    return games


def neighbors(side: int, seed: int, count: int) -> list[KnownGame]:
    """Returns games on a grid in which every 2 x 2 players play a random game: interactions of neighbors."""
    rng = np.random.default_rng(seed)
    corners = all_coalitions(4).reshape(16, 2, 2)
    games = []
    for _ in range(count):
        present, absent = [], []
        for row in range(side - 1):
            for column in range(side - 1):
                square = np.s_[:, row : row + 2, column : column + 2]
                for parts, corner in ((present, corners), (absent, ~corners)):
                    grid = np.zeros((16, side, side), bool)
                    grid[square] = corner
                    parts.append(grid.reshape(16, -1))
        pay = rng.normal(size=16 * len(present))
        games.append(of_terms(np.concatenate(present), np.concatenate(absent), pay))
    return games


def conjunctions(num_players: int, num_terms: int, seed: int, count: int) -> list[KnownGame]:
    """Returns games of random rules, each of which pays if three to six players are as it requires: present or absent."""
    rng = np.random.default_rng(seed)
    games = []
    for _ in range(count):
        sizes = rng.integers(3, 7, num_terms)
        chosen = np.argsort(np.argsort(rng.random((num_terms, num_players)), axis=1), axis=1) < sizes[:, None]
        wanted = rng.random((num_terms, num_players)) < 0.7
        games.append(of_terms(chosen & wanted, chosen & ~wanted, rng.uniform(-1, 1, num_terms)))
    return games


def largest(num_players: int, seed: int, count: int) -> list[KnownGame]:
    """Returns games in which a coalition is worth as much as its best player (Littlechild & Owen 1973).

    With players in increasing order, the k-th increment is lost if all players from k on are absent.
    """
    rng = np.random.default_rng(seed)
    games = []
    for _ in range(count):
        worth = np.sort(rng.gamma(2, 1, num_players))
        absent = np.triu(np.ones((num_players, num_players), bool))
        games.append(of_terms(np.zeros_like(absent), absent, -np.diff(worth, prepend=0)))
    return games


def majority(num_players: int, seed: int, count: int) -> list[KnownGame]:
    """Returns games of weighted votes: a coalition with more than half of the votes is worth 1, any other one 0."""
    rng = np.random.default_rng(seed)
    coalitions = all_coalitions(num_players)
    games = []
    for _ in range(count):
        votes = rng.gamma(2, 1, num_players)
        games.append(of_table((coalitions @ votes > votes.sum() / 2).astype(float)))
    return games


def rare_event(num_players: int, seed: int, count: int) -> list[KnownGame]:
    """Returns games of a probability that is near 0 for most coalitions, and 1/2 to 1 for the grand one."""
    rng = np.random.default_rng(seed)
    spins = all_coalitions(num_players).astype(float)
    games = []
    for _ in range(count):
        logit = spins @ rng.exponential(1, num_players)
        pairs = np.triu(rng.normal(0, 0.3, (num_players, num_players)), 1)
        logit += ((spins @ pairs) * spins).sum(axis=1)
        games.append(of_table(1 / (1 + np.exp(logit.max() - logit - rng.uniform(0, 3)))))
    return games
