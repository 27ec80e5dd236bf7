"""The front of the Shapley estimators: it chooses one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.game import Game, game
from xaijax._core.target import TargetLike
from xaijax._core.until import read_until
from xaijax.mask import Masker
from xaijax.shap._exact import MOST_PLAYERS, exact
from xaijax.shap._gaussian_process import MOST_PAIRS, gaussian_process
from xaijax.shap._kernel import kernel
from xaijax.shap._paired import DEFAULT_EVALUATIONS
from xaijax.shap._permutation import permutation

# 4,096 coalitions: twenty for each of twelve players would take a seventeenth of them, and leave an error.
_EXACT_PLAYERS = 12
# For each player. Below, the Gaussian process may know less than antithetic permutations, which then get two orders.
_PROCESS_EVALUATIONS = 5
PRECISIONS = ["normal", "high"]

_FEW_PLAYERS = "there are few enough players to evaluate all coalitions"
_STOCHASTIC = "it is unbiased for a stochastic model"
_FEW_EVALUATIONS = f"there are fewer than {_PROCESS_EVALUATIONS} evaluations per player"
_MOST_ACCURATE = f"it has the smallest error from {_PROCESS_EVALUATIONS} evaluations per player"
_MANY_EVALUATIONS = f"there are more than {2 * MOST_PAIRS + 2:,} evaluations"
CHOICES = (
    ("exact", _FEW_PLAYERS),
    ("antithetic permutations", _STOCHASTIC),
    ("antithetic permutations", _FEW_EVALUATIONS),
    ("isotropic Gaussian process", _MOST_ACCURATE),
    ("per-player Gaussian process", _MOST_ACCURATE),
    ("kernel regression", _MANY_EVALUATIONS),
)


def values(
    model: Any,
    x: Any,
    masker: Masker,
    *,
    key: Any,
    target: TargetLike = None,
    num_evaluations: int | None = None,
    precision: str = "normal",
    until: float | None = None,
    max_evaluations: int | None = None,
    stochastic: bool = False,
    names: Sequence[str] | Sequence[Sequence[str]] | None = None,
    output_names: Sequence[str] | None = None,
    keep_inputs: bool = True,
    ids: Any = None,
    batch_size: int | None = None,
) -> Attribution:
    """Shapley values of a model's output (SHAP), by the estimator with the smallest error for the evaluations.

    Why: the one attribution that is fair to features that act together, and that sums to the output minus the base
    value. `attribution.estimator` says which estimator was chosen, and `attribution.reason` why:

    | players and evaluations | estimator |
    |---|---|
    | up to 12 players, and evaluations for all 2^M coalitions | `exact` |
    | a model that is stochastic, or fewer than 5 M evaluations | `permutation`: unbiased, and additive parts are exact at once |
    | up to 4,098 evaluations | `gaussian_process` |
    | more | `kernel`, whose cost does not grow with their cube |

    Args:
      model: any model: `xai.linen(...)`, an NNX module, a function.
      x: [N, ...] inputs.
      masker: who the players are and what stands in for absent ones, such as `xai.mask.background(rows)`.
      key: a JAX random key; not used where the values are exact.
      target: an int, ints [N], a callable from outputs to one number for each row, "all", or None for the top class.
      num_evaluations: m coalitions for each input, each of which costs as many model rows as the masker has background
        rows. Default: all for up to 12 players, else 20 for each player.
      precision: "high" for a Gaussian process with a scale for each player: several times more exact for models whose
        evaluations take longer than its fit (some 15 Cholesky factors and their gradients [m/2, m/2]). Default "normal".
      until: a precision to reach: the largest standard error over the largest value. Evaluations are added until then.
        Default: none, and m.
      max_evaluations: the cap of `until`. Default 16 m, at most 4,098 for the Gaussian process. `converged` says whether
        the precision was reached before it.
      stochastic: whether the model answers the same input differently each time.
      names, output_names, keep_inputs: as in `xai.game`.
      ids: [N] integers that name the examples for their randomness. Default: their positions.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      values [N, M] (all outputs: [N, M, K]), base_value, output, num_evaluations, std_errors where they are estimated,
      and converged.

    Raises:
      TypeError, ValueError: if an argument is of the wrong type or out of range.

    References:
      Shapley (1953); Štrumbelj & Kononenko (2014); Lundberg & Lee (2017), A unified approach to interpreting model
      predictions, arXiv:1705.07874.

    >>> import jax, jax.numpy as jnp, xaijax as xai
    >>> model = lambda x: x[:, 0] * x[:, 1]
    >>> masker = xai.mask.baseline(jnp.zeros(2))
    >>> xai.shap.values(model, jnp.array([[2.0, 3.0]]), masker, key=jax.random.key(0)).values
    Array([[3., 3.]], dtype=float32)
    """
    games = game(model, x, masker, target=target, names=names, output_names=output_names, keep_inputs=keep_inputs)
    key, ids = check.random_key(key), check.example_ids(ids, games.num_examples)
    check.one_of("precision", precision, PRECISIONS)
    if num_evaluations is not None:
        least = min(2 * games.num_players, 2**games.num_players)
        num_evaluations = check.positive_int("num_evaluations", num_evaluations)
        if num_evaluations < least:
            raise ValueError(
                f"num_evaluations must be at least {least}, twice the number of the {games.num_players} players, but it "
                f"is {num_evaluations}: with fewer, some players would never come or go. Group players (groups= of the "
                "masker) to have fewer of them."
            )
    until = read_until(until, "max_evaluations", max_evaluations)
    if max_evaluations is not None:
        max_evaluations = check.positive_int("max_evaluations", max_evaluations, least=num_evaluations or 2)
    limits: dict[str, Any] = {"until": until, "max_evaluations": max_evaluations}
    chosen, why = _choose(games, num_evaluations, max_evaluations, stochastic)
    options: dict[str, Any] = {"batch_size": batch_size}
    if chosen is not exact:
        options |= {"key": key, "ids": ids}
    if chosen is permutation:
        options |= _of_permutations(games.num_players, num_evaluations, **limits)
    elif chosen is not exact:
        options |= {"num_evaluations": num_evaluations, **limits}
    if chosen is gaussian_process:
        options["scales"] = "per_player" if precision == "high" else "isotropic"
    found = chosen(games, **options)
    number = CHOICES.index((found.estimator, why))
    found = dataclasses.replace(found, choice=jnp.full(games.num_examples, number, jnp.int32), choices=CHOICES)
    if chosen is exact and until is not None:
        known = ~jnp.isnan(found.values.reshape(games.num_examples, -1)).any(axis=1)
        found = dataclasses.replace(found, converged=known)
    return found


def _choose(games: Game, num_evaluations: int | None, max_evaluations: int | None, stochastic: bool) -> tuple[Any, str]:
    """An estimator, and the reason in a few words."""
    players = games.num_players
    budget = DEFAULT_EVALUATIONS * players if num_evaluations is None else num_evaluations
    enough = (num_evaluations is None and players <= _EXACT_PLAYERS) or budget >= 2**players
    if stochastic:
        return permutation, _STOCHASTIC
    if players == 1 or (enough and players <= MOST_PLAYERS):
        return exact, _FEW_PLAYERS
    if budget < _PROCESS_EVALUATIONS * players:
        return permutation, _FEW_EVALUATIONS
    most = 2 * MOST_PAIRS + 2
    if max(budget, max_evaluations or 0) <= most:
        return gaussian_process, _MOST_ACCURATE
    return kernel, _MANY_EVALUATIONS


def _of_permutations(players: int, num_evaluations: int | None, until: Any, max_evaluations: Any) -> dict[str, Any]:
    """The options of `permutation` for so many evaluations."""
    if num_evaluations is None:
        num_evaluations = DEFAULT_EVALUATIONS * players

    def count(evaluations: int) -> int:
        return max(1, (evaluations - 2) // (2 * max(1, players - 1)))

    options: dict[str, Any] = {"until": until, "num_permutations": count(num_evaluations)}
    if max_evaluations is not None:
        cap = check.positive_int("max_evaluations", max_evaluations, least=num_evaluations)
        options["max_permutations"] = count(cap)
    return options
