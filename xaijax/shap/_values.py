"""The front of the Shapley estimators: it chooses one of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.compile import automatic_axes
from xaijax._core.game import Game, as_game
from xaijax._core.masker import Masker
from xaijax._core.model_game import game, reviewed
from xaijax._core.typing import Ids, Inputs, KeyLike, ModelLike, NamesLike, TargetLike
from xaijax.mask._background import Background, own_background
from xaijax.shap._budget import DEFAULT_EVALUATIONS, read_budget, read_key
from xaijax.shap._exact import MOST_PLAYERS, exact
from xaijax.shap._gaussian_process import ESTIMATORS, MOST_EVALUATIONS, gaussian_process, of_one_order
from xaijax.shap._kernel import kernel
from xaijax.shap._permutation import permutation, permutations_of
from xaijax.shap._tree_plan import TreeTables
from xaijax.shap._trees import ESTIMATOR as TREES
from xaijax.shap._trees import trees
from xaijax.trees._forest import Forest

# All 4,096 coalitions of twelve players are evaluated: seventeen times the default of more players, and without error.
_EXACT_PLAYERS = 12
PRECISIONS = ["normal", "high"]

_FEW_PLAYERS = "there are few enough players to evaluate all coalitions"
_STOCHASTIC = "it is unbiased for a stochastic model"
_FEW_EVALUATIONS = "there are fewer than 2 M + 2 evaluations: one order of the M players and its reverse"
_MOST_ACCURATE = "it has the smallest error from 2 M + 2 evaluations on"
_MANY_EVALUATIONS = f"there are more than {MOST_EVALUATIONS:,} evaluations"
_OWN_BACKGROUND = "; absent features take those of k-means centers of x, as no masker was given"
_FOREST = "the model is a forest, whose values need no evaluations"
CHOICES = (
    ("exact", _FEW_PLAYERS),
    ("antithetic permutations", _STOCHASTIC),
    ("antithetic permutations", _FEW_EVALUATIONS),
    (ESTIMATORS["adapted"], _MOST_ACCURATE),
    (ESTIMATORS["per_player"], _MOST_ACCURATE),
    ("kernel regression", _MANY_EVALUATIONS),
    (TREES, _FOREST),
)


def values(
    model: ModelLike | Game,
    x: Inputs | None = None,
    masker: Masker | None = None,
    *,
    key: KeyLike | None = None,
    target: TargetLike = None,
    num_evaluations: int | None = None,
    precision: str = "normal",
    until: float | None = None,
    max_evaluations: int | None = None,
    stochastic: bool = False,
    names: NamesLike = None,
    output_names: Sequence[str] | None = None,
    keep_inputs: bool = True,
    ids: Ids = None,
    batch_size: int | None = None,
) -> Attribution:
    """Computes Shapley values of a model's output (SHAP), by the estimator with the smallest error for the evaluations.

    Why: the only attribution that is fair to interacting features and sums to the output minus the base value.
    `attribution.estimator` says which estimator was chosen, and `attribution.reason` why:

    | players and evaluations | estimator |
    |---|---|
    | a forest from `xai.trees.read`, with a background or no masker, and no number of evaluations | `trees` |
    | up to 12 players, and evaluations for all 2^M coalitions | `exact` |
    | a stochastic model, or fewer than 2 M + 2 evaluations | `permutation`: unbiased, and exact for additive models |
    | up to 4,098 evaluations | `gaussian_process`, with scales "adapted", or "per_player" for precision="high" |
    | more | `kernel`, whose cost does not grow with their cube |

    Args:
      model: any model: `xai.linen(...)`, an NNX module, a function; or a game, such as that of `xai.text.response_game`,
        which has its inputs, its target and its names already.
      x: [N, ...] inputs.
      masker: says who the players are and what replaces absent ones, such as `xai.mask.background(rows)`. Default None,
        for a data frame x alone: `xai.mask.k_means` of its rows, with at most 25 centers, which `attribution.reason`
        mentions. The centers are those of `jax.random.key(0)`, so that a frame has one background for every key. A few
        rows of a table should have the whole table as their background: pass a masker for them. Arrays need a masker:
        they may be a batch, tokens or an image, and within `jax.jit` their clusters are not known. For a forest, None
        means path-dependent values, as in `trees`.
      key: a JAX random key. It is needed where the values are sampled, and may be left out where they are exact.
      target: an int, ints [N], a callable from outputs to one number for each row, "all", or None for the top class.
      num_evaluations: m coalitions for each input, each of which costs as many model rows as the masker has background
        rows. Default: all for up to 12 players, else 20 for each player.
      precision: "high" for a Gaussian process with a scale for each player: more accurate, for models whose evaluations
        take longer than its three fits (each some 15 Cholesky factors and inverses [m/2, m/2]). Default "normal".
      until: a precision to reach: the largest standard error over the largest value. Evaluations are added until then.
        Default: none, and m.
      max_evaluations: the cap of `until`, in coalitions. `converged` says whether the precision was reached. Default:
        16 m, at most 4,098 for the Gaussian process.
      stochastic: whether the model answers the same input differently each time. Default False.
      names, output_names, keep_inputs: as in `xai.game`.
      ids: [N] integers that name the examples for their randomness. Default: their indices.
      batch_size: model rows in one evaluation; None for as many as suit the device.

    Returns:
      values [N, M] (all outputs: [N, M, K]), base_value, output, num_evaluations, std_errors (0 where the values are
      exact), and converged.

    Raises:
      TypeError, ValueError: if an argument is of the wrong type or out of range, the values are sampled without a key,
        there is no masker and x is no data frame of at least 2 different rows, or a game is given with its own parts.

    References:
      Shapley (1953); Štrumbelj & Kononenko (2014); Lundberg & Lee (2017), A unified approach to interpreting model
      predictions, arXiv:1705.07874.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> model = lambda x: x[:, 0] * x[:, 1]
    >>> masker = xai.mask.baseline(jnp.zeros(2))
    >>> xai.shap.values(model, jnp.array([[2.0, 3.0]]), masker).values
    Array([[3., 3.]], dtype=float32)
    """
    choices = CHOICES
    sampled = not (num_evaluations is None and until is None and max_evaluations is None and stochastic is False)
    if isinstance(model, Forest) and not sampled and (masker is None or isinstance(masker, Background | TreeTables)):
        attribution = trees(model, x, masker, target=target, batch_size=batch_size)
        attribution = attribution.with_names(names, output_names=output_names)
        if not check.flag("keep_inputs", keep_inputs):
            attribution = attribution.without_inputs()
        choice = jnp.full(len(attribution), CHOICES.index((TREES, _FOREST)), jnp.int32)
        return dataclasses.replace(attribution, choice=choice, choices=CHOICES)
    if isinstance(model, Game):
        _refuse_given(x=x, masker=masker, target=target, names=names, output_names=output_names)
        games = as_game(model)
    else:
        if masker is None:
            masker = own_background("x", x)
            choices = tuple((estimator, reason + _OWN_BACKGROUND) for estimator, reason in CHOICES)
        games = game(model, x, masker, target=target, names=names, output_names=output_names, keep_inputs=keep_inputs)
    ids, batch_size = check.example_ids(ids, games.num_examples), check.batch_size(batch_size)
    check.one_of("precision", precision, PRECISIONS)
    check.flag("stochastic", stochastic)
    budget, until, _ = read_budget(games.num_players, num_evaluations, until, max_evaluations)
    if num_evaluations is None:
        budget = max(budget, DEFAULT_EVALUATIONS * games.num_players)  # of a stochastic model, more than all coalitions
    number = _choose(games, num_evaluations, budget, max_evaluations, precision, stochastic)
    estimator, reason = CHOICES[number]
    key = read_key(key, estimator == "exact", f"values are sampled ({estimator}) because {reason}")
    options: dict[str, Any] = {"key": key, "ids": ids, "batch_size": batch_size, "until": until}
    if estimator == "exact":
        attribution = exact(games, batch_size=batch_size)
        if until is not None:
            with automatic_axes():
                unknown = jnp.isnan(attribution.values)
                converged = ~unknown.any(axis=tuple(range(games.num_examples is not None, unknown.ndim)))
            attribution = dataclasses.replace(attribution, converged=converged)
    elif estimator == "antithetic permutations":
        count, alone = permutations_of(budget, games.num_players), until is None and not stochastic
        if count == 1 and alone and 1 < games.num_players <= MOST_EVALUATIONS // 2:
            attribution = of_one_order(games, key, ids, batch_size)
        else:
            cap = None if until is None else max_evaluations
            attribution = permutation(games, num_permutations=count, max_evaluations=cap, **options)
    else:
        options |= {"num_evaluations": num_evaluations, "max_evaluations": max_evaluations}
        if estimator == "kernel regression":
            attribution = kernel(games, **options)
        else:
            scales = "per_player" if precision == "high" else "adapted"
            attribution = gaussian_process(games, scales=scales, **options)
    choice = jnp.full(() if games.num_examples is None else games.num_examples, number, jnp.int32)
    return reviewed(games, dataclasses.replace(attribution, choice=choice, choices=choices))


def _refuse_given(**arguments: Any) -> None:
    for name, value in arguments.items():
        if value is not None:
            raise TypeError(
                f"`{name}` must be left out for a game, which has its own, got {check.shown(value)}: pass it to xai.game."
            )


def _choose(
    games: Game, num_evaluations: int | None, budget: int, max_evaluations: int | None, precision: str, stochastic: bool
) -> int:
    """Returns the index of the choice: an estimator and the reason for it."""
    players = games.num_players
    enough = (num_evaluations is None and players <= _EXACT_PLAYERS) or budget >= 2**players
    if stochastic:
        choice = "antithetic permutations", _STOCHASTIC
    elif players == 1 or (enough and players <= MOST_PLAYERS):
        choice = "exact", _FEW_PLAYERS
    elif budget < 2 * players + 2:
        choice = "antithetic permutations", _FEW_EVALUATIONS
    elif max(budget, max_evaluations or 0) <= MOST_EVALUATIONS:
        choice = ESTIMATORS["per_player" if precision == "high" else "adapted"], _MOST_ACCURATE
    else:
        choice = "kernel regression", _MANY_EVALUATIONS
    return CHOICES.index(choice)
