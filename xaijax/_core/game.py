"""Idea 4: a game says what each coalition of players is worth. Estimators know nothing else of a model."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Self, TypeVar

import jax
import jax.numpy as jnp

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.blocks import bytes_per_row, in_blocks, rows_at_once
from xaijax._core.compile import compiled
from xaijax._core.examples import Example, Fields, explain_examples, model_rows
from xaijax._core.names import Names, read_names, read_output_names
from xaijax._core.numerics import at_least_float32
from xaijax._core.target import Target, apply
from xaijax._core.typing import Array, Bool, Float, Int
from xaijax._model import Model, as_model

Value = Callable[[Any], Any]  # v: coalitions[S, M] -> values [S] or [S, K]
Solve = Callable[..., Fields]  # (v, key, active[M]), on request exists[M] and given -> the fields of one explanation
Result = TypeVar("Result")  # an attribution, alone or with the state of its estimator
Reviewed = TypeVar("Reviewed", bound=Attribution)


class Game:
    """A game written by hand: v(coalitions) is what each coalition of players is worth.

    Why: the original setting of Shapley values, and a way to explain anything whose parts can be switched on and off.
    The estimators that explain models explain it too.

    Args:
      value: maps coalitions[S, M], booleans, to values [S], or [S, K] for K games at once; any callable PyTree.
      num_players: M.
      names: M names of the players. Default: none.
      output_names: K names of the games. Default: none.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> game = xai.Game(lambda coalitions: coalitions @ jnp.array([4.0, 7.0, 5.0]), num_players=3)
    >>> [f"{value:.3f}" for value in xai.shap.exact(game).values.tolist()]
    ['4.000', '7.000', '5.000']
    """

    num_examples: int | None = None
    names: Names | None
    output_names: tuple[str, ...] | None
    context: tuple[str, str] | None = None  # of attributions

    def __init__(
        self,
        value: Value,
        num_players: int,
        *,
        names: Sequence[str] | None = None,
        output_names: Sequence[str] | None = None,
    ):
        if not callable(value):
            raise TypeError(f"`value` must be callable as value(coalitions[S, M]), got {type(value).__name__}.")
        self.value = as_model(value, "value")
        self.num_players = check.positive_int("num_players", num_players)
        self.names = None if names is None else read_names(names, self.num_players, None)
        self.output_names = None if output_names is None else read_output_names(output_names, None)

    def __call__(self, coalitions: Any, *, batch_size: int | None = None) -> Array:
        """Returns the value of each coalition.

        Args:
          coalitions: [S, M] booleans: which players are present.
          batch_size: model rows in one evaluation; None for as many as suit the device.

        Returns:
          [N, S] for the games of a model, [S] for a game written by hand; with K last where there are several outputs.
        """
        coalitions = check.numeric_array("coalitions", coalitions)
        if coalitions.ndim != 2 or coalitions.shape[1] != self.num_players or len(coalitions) == 0:
            raise ValueError(
                f"`coalitions` must have shape [S, {self.num_players}], one column per player and S at least 1, got "
                f"shape {list(coalitions.shape)}."
            )
        if coalitions.dtype != bool:
            raise TypeError(f"`coalitions` must be booleans, got {coalitions.dtype}: use coalitions.astype(bool).")
        self.check_answers()
        return _values_of(self, coalitions, batch_size=check.batch_size(batch_size))

    @property
    def rows_per_coalition(self) -> int:
        """The number of model rows that one coalition costs."""
        return 1

    def rows_at_once(self, batch_size: int | None) -> int:
        """Returns the number of model rows in one evaluation."""
        return rows_at_once(batch_size, bytes_per_row(self.value, jax.ShapeDtypeStruct((1, self.num_players), bool)))

    def check_answers(self) -> None:
        """Checks the shape and the dtype of the game's values, without computing them."""
        outputs = apply.eval_shape(self.value, jax.ShapeDtypeStruct((2, self.num_players), bool))
        shape = getattr(outputs, "shape", None)
        if shape is None or len(shape) not in (1, 2) or shape[0] != 2:
            got = f"shape {list(shape)}" if shape is not None else type(outputs).__name__
            raise ValueError(
                f"`value` must map coalitions[S, {self.num_players}] to an array of values [S] or [S, K], got {got} for "
                "S = 2."
            )
        if jnp.issubdtype(outputs.dtype, jnp.complexfloating):
            raise TypeError(f"`value` must return real numbers, got {outputs.dtype}.")

    def solve_each(
        self,
        solve: Solve,
        *,
        key: Any = None,
        ids: Any = None,
        coalitions_at_once: int,
        examples_at_once: int | None = None,
        batch_size: int | None,
        with_existing: bool = False,
        given: Any = None,
    ) -> Fields:
        """Runs `solve(v, key, active)`, which explains one game, for every game, and gathers the fields.

        Args:
          solve: the estimator. active [M] marks the players that can change anything; padding cannot.
          with_existing: whether solve also takes exists [M], the players that the input has, whose derivatives count.
          given: PyTree with leading axis N, without it for a game written by hand, of which solve also takes the part of
            its game; None for nothing.
          key, ids: the randomness, as in `explain_examples`.
          coalitions_at_once: the number of coalitions that one game evaluates at once.
          examples_at_once: games side by side; None for as many as there is room for.
          batch_size: model rows in one evaluation; None for as many as suit the device.
        """
        rows = self.rows_at_once(batch_size)

        def value(coalitions: Bool[Array, "S M"]) -> Float[Array, "S ..."]:
            return in_blocks(lambda block: at_least_float32(self.value(block)), coalitions, rows)

        players = [jnp.ones(self.num_players, bool)] * (1 + with_existing)
        fields = solve(value, key, *players, *_listed(given))
        return fields | {"axes": "M K" if jnp.ndim(fields["output"]) else "M"}

    def attribute(
        self,
        result: Callable[..., Result],
        solve: Solve,
        *,
        method: str,
        estimator: str,
        efficient: bool,
        key: Any = None,
        ids: Any = None,
        coalitions_at_once: int,
        examples_at_once: int | None = None,
        batch_size: int | None,
        with_existing: bool = False,
        given: Any = None,
    ) -> Result:
        """Explains every game by `solve`, as a result that carries the names of players and outputs."""
        fields = self.solve_each(
            solve,
            key=key,
            ids=ids,
            coalitions_at_once=coalitions_at_once,
            examples_at_once=examples_at_once,
            batch_size=batch_size,
            with_existing=with_existing,
            given=given,
        )
        return result(
            **fields,
            method=method,
            efficient=efficient,
            names=self.names,
            output_names=self.output_names,
            context=self.context,
            choice=jnp.zeros(() if self.num_examples is None else self.num_examples, jnp.int32),
            choices=((estimator, ""),),
        )


class ExampleGames(Game):
    """N games, one for each example of an input. Subclasses say what a coalition of one example is worth."""

    model: Model
    x: Any
    target: Target
    names = None
    output_names = None

    @property
    def num_examples(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return check.examples(self.x)

    def rows_at_once(self, batch_size: int | None) -> int:
        return model_rows(self.model, self.x, batch_size)

    def check_answers(self) -> None:
        """They were checked when the game was made."""

    def of_examples(self, rows: Int[Array, " n"]) -> Self:
        """Returns the games of some of the examples, to be solved within a compiled function."""

        def take(tree: Any) -> Any:
            return jax.tree.map(lambda leaf: leaf[rows], tree)

        games = copy.copy(self)
        games.x, games.target = take(self.x), self.target.of_examples(rows)
        games.prepare = lambda: take(self.prepare())  # a masker may hold one label map for each of the N examples
        return games

    def prepare(self) -> Any:
        """Returns what differs from example to example, with leading axis N."""
        return ()

    def active(self, example: Example) -> Bool[Array, " M"]:
        """Returns which players of an example can change anything."""
        return jnp.ones(self.num_players, bool)

    def exists(self, example: Example) -> Bool[Array, " M"]:
        """Returns which players an example has, with those that are not active because they equal their background."""
        return self.active(example)

    def value_of(self, example: Example, target: Target, rows: int) -> Value:
        """Returns v of one example, which evaluates at most `rows` model rows at a time."""
        raise TypeError(f"{type(self).__name__} does not say what a coalition is worth.")

    def regions(self, prepared: Any) -> Any:
        """Returns the player that each position of an input belongs to, [N, ...], or None."""
        return None

    def inputs(self, prepared: Any) -> Any:
        """Returns the explained feature values of the players, [N, M], or None."""
        return None

    def solve_each(
        self,
        solve: Solve,
        *,
        key: Any = None,
        ids: Any = None,
        coalitions_at_once: int,
        examples_at_once: int | None = None,
        batch_size: int | None,
        with_existing: bool = False,
        given: Any = None,
    ) -> Fields:
        rows = self.rows_at_once(batch_size)
        prepared = self.prepare()

        def explain_one(example: Example, target: Target) -> Fields:
            own, part = example.prepared
            example = dataclasses.replace(example, prepared=own)
            players = [self.active(example), *([self.exists(example)] if with_existing else [])]
            return solve(self.value_of(example, target, rows), example.key, *players, *_listed(part))

        fields, target = explain_examples(
            explain_one,
            self.model,
            self.x,
            self.target,
            key=key,
            ids=ids,
            rows=rows,
            rows_per_example=coalitions_at_once * self.rows_per_coalition,
            examples_at_once=examples_at_once,
            prepared=(prepared, given),
            output=False,
        )
        described = {"target": target.index, "regions": self.regions(prepared), "inputs": self.inputs(prepared)}
        return fields | described | {"axes": "N M K" if target.every else "N M"}


def as_game(game: Any) -> Game:
    """Checks that an estimator got a game."""
    if not isinstance(game, Game):
        raise TypeError(
            f"`game` must be xai.game(model, x, masker) or xai.Game(value, num_players), got {type(game).__name__}."
        )
    game.check_answers()
    return game


@compiled(static_argnames=("batch_size",), title="game")
def _values_of(game: Game, coalitions: Bool[Array, "S M"], batch_size: int | None) -> Array:
    def solve(v: Value, _key: Any, _active: Any) -> Fields:
        values = v(coalitions)
        return {"values": values, "output": values[0]}

    return game.solve_each(solve, coalitions_at_once=len(coalitions), batch_size=batch_size)["values"]


def _listed(given: Any) -> list[Any]:
    return [] if given is None else [given]


def _flatten_game(game: Game) -> tuple[tuple[Any, ...], Any]:
    return (game.value,), (game.num_players, game.names, game.output_names, game.context)


def _unflatten_game(static: Any, children: Any) -> Game:
    game = object.__new__(Game)
    (game.value,) = children
    game.num_players, game.names, game.output_names, game.context = static
    return game


jax.tree_util.register_pytree_node(Game, _flatten_game, _unflatten_game)
