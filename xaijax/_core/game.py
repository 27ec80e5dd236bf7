"""Games: what a coalition of players is worth. Perturbation methods know nothing else of a model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.blocks import bytes_per_row, each, example_keys, in_blocks, rows_at_once
from xaijax._core.compile import compiled
from xaijax._core.target import Target, TargetLike, apply, as_target, output_shapes
from xaijax._core.typing import Array, Bool, Float
from xaijax._model import Model, as_model
from xaijax.mask import Masker

Value = Callable[[Any], Any]  # v: coalitions[S, M] -> values [S] or [S, K]
Solve = Callable[[Value, Any, Any], dict[str, Array]]  # (v, key, active[M]) -> the fields of the result, for one game
Result = TypeVar("Result", bound=Attribution)


class Game:
    """A game written by hand: v(coalitions) is what each coalition of players is worth.

    Why: the founding case of Shapley values, and a way to explain anything that can be switched on and off. The same
    estimators explain it as explain models.

    Args:
      value: maps coalitions[S, M], booleans, to values [S], or [S, K] for K games at once; any callable PyTree.
      num_players: M.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> game = xai.Game(lambda coalitions: coalitions @ jnp.array([4.0, 7.0, 5.0]), num_players=3)
    >>> [f"{value:.3f}" for value in xai.shap.exact(game).values.tolist()]
    ['4.000', '7.000', '5.000']
    """

    num_examples: int | None = None

    def __call__(self, coalitions: Any, *, batch_size: int | None = None) -> Array:
        """What coalitions are worth.

        Args:
          coalitions: [S, M] booleans, which players are there.
          batch_size: model rows in one evaluation; None for as many as suit the device.

        Returns:
          [N, S] for the games of a model, [S] for one written by hand; with K behind where there are several outputs.
        """
        coalitions = check.numeric_array("coalitions", coalitions)
        if coalitions.ndim != 2 or coalitions.shape[1] != self.num_players or len(coalitions) == 0:
            raise ValueError(
                f"coalitions must have shape [S, {self.num_players}], one column for each player and S at least 1, but "
                f"its shape is {list(coalitions.shape)}."
            )
        if coalitions.dtype != bool:
            raise TypeError(f"coalitions must be booleans, but its type is {coalitions.dtype}.")
        self.check_answers()
        return _worth(self, coalitions, batch_size=check.batch_size(batch_size))

    def __init__(self, value: Value, num_players: int):
        if not callable(value):
            raise TypeError(f"value must be callable as value(coalitions[S, M]), but it is {type(value).__name__}.")
        self.value = as_model(value)
        self.num_players = check.positive_int("num_players", num_players)

    @property
    def rows_per_coalition(self) -> int:
        """How many model rows one coalition costs."""
        return 1

    def rows_at_once(self, batch_size: int | None) -> int:
        """How many model rows are evaluated together."""
        return rows_at_once(batch_size, bytes_per_row(self.value, jax.ShapeDtypeStruct((1, self.num_players), bool)))

    def check_answers(self) -> None:
        """Raises a full sentence if the game does not answer as it must."""
        shape = apply.eval_shape(self.value, jax.ShapeDtypeStruct((2, self.num_players), bool)).shape
        if len(shape) not in (1, 2) or shape[0] != 2:
            raise ValueError(
                f"value must map coalitions[S, {self.num_players}] to values [S] or [S, K], but for S = 2 it returned "
                f"shape {list(shape)}."
            )

    def attribute(
        self,
        result: Callable[..., Result],
        solve: Solve,
        *,
        key: Any = None,
        ids: Any = None,
        coalitions_at_once: int,
        most_examples: int | None = None,
        batch_size: int | None,
        method: str,
    ) -> Result:
        """Runs `solve(v, key, active)`, which explains one game, for every game, and gathers the answers.

        active [M] are the players that can change anything: padding cannot. most_examples: side by side; None for as many
        as there is room for.
        """
        rows = self.rows_at_once(batch_size)

        def value(coalitions: Bool[Array, "S M"]) -> Float[Array, "S ..."]:
            return in_blocks(lambda block: _float(self.value(block)), coalitions, rows)

        return result(**solve(value, key, jnp.ones(self.num_players, bool)), method=method)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Example:
    """One input, or all of them with a leading axis N: what differs between the games of a model."""

    x: Array
    prepared: Any
    target: Any
    key: Array | None


class ExampleGames(Game):
    """N games, one for each example of an input. Subclasses say what a coalition of one example is worth."""

    model: Model
    x: Any
    target: Target

    @property
    def num_examples(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return check.examples(self.x)

    def rows_at_once(self, batch_size: int | None) -> int:
        return rows_at_once(batch_size, bytes_per_row(self.model, self.x))

    def check_answers(self) -> None:
        """Checked when the game was made."""

    def prepare(self) -> Any:
        """Whatever differs from example to example, with leading axis N."""
        return ()

    def active(self, example: Example) -> Bool[Array, " M"]:
        """Which players of an example can change anything."""
        return jnp.ones(self.num_players, bool)

    def value_of(self, example: Example, target: Target, rows: int) -> Value:
        """v of one example, with at most `rows` model rows at a time."""
        raise TypeError(f"{type(self).__name__} does not say what a coalition is worth.")

    def regions(self, prepared: Any) -> Any:
        """[N, ...] the player that each place of an input belongs to, or None."""
        return None

    def attribute(
        self,
        result: Callable[..., Result],
        solve: Solve,
        *,
        key: Any = None,
        ids: Any = None,
        coalitions_at_once: int,
        most_examples: int | None = None,
        batch_size: int | None,
        method: str,
    ) -> Result:
        rows = self.rows_at_once(batch_size)
        target = self.target
        if target.is_top:
            target = target.resolve(in_blocks(self.model, self.x, rows))
        prepared = self.prepare()
        ids = jnp.arange(self.num_examples) if ids is None else ids
        keys = None if key is None else example_keys(key, ids)

        def explain(example: Example) -> dict[str, Array]:
            value = self.value_of(example, target.of_example(example.target), rows)
            return solve(value, example.key, self.active(example))

        examples_at_once = most_examples or max(1, rows // (coalitions_at_once * self.rows_per_coalition))
        examples = Example(self.x, prepared, target.per_example, keys)
        answers = in_blocks(each(explain), examples, examples_at_once)
        answers = check.nan_where(check.rows_with_nan(self.x), answers)
        return result(**answers, target=target.index, regions=self.regions(prepared), method=method)


class ModelGame(ExampleGames):
    """N games with M players each: what the model's outputs are when parts of an input are absent.

    v(S) = mean_b f(x_S, r_b), over the B references of the masker, of the target's output.
    """

    def __init__(self, model: Model, x: Array, masker: Masker, target: Target):
        self.model, self.x, self.masker, self.target = model, x, masker, target

    @property
    def num_players(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.masker.num_players(_shape(self.x))

    @property
    def rows_per_coalition(self) -> int:
        references = jax.eval_shape(
            lambda masker, x: jax.vmap(masker.references)(x, masker.prepare(x)), self.masker, self.x
        )
        return jax.tree.leaves(references)[0].shape[1]

    def prepare(self) -> Any:
        return self.masker.prepare(self.x)

    def active(self, example: Example) -> Bool[Array, " M"]:
        return self.masker.active(example.x, example.prepared)

    def regions(self, prepared: Any) -> Any:
        owners = lambda prepared: self.masker.owners(_shape(self.x), prepared)  # noqa: E731
        return jax.vmap(owners, axis_size=self.num_examples)(prepared)

    def value_of(self, example: Example, target: Target, rows: int) -> Value:
        """Blocks of coalitions, each with all its references, or one coalition with blocks of them."""

        def outputs(coalitions: Bool[Array, "s M"], references: Any) -> Float[Array, "s B ..."]:
            compose = jax.vmap(self.masker.compose, in_axes=(None, 0, None, None))
            inputs = jax.vmap(compose, in_axes=(None, None, 0, None))(
                example.x, references, coalitions, example.prepared
            )
            inputs = jax.tree.map(lambda leaf, one: leaf.reshape(-1, *one.shape), inputs, example.x)
            scores = target.select(self.model(inputs))
            return scores.reshape(len(coalitions), -1, *scores.shape[1:])

        def average(scores: Float[Array, "s B ..."]) -> Float[Array, "s ..."]:
            weights = self.masker.weights()
            if weights is None:
                return scores.mean(axis=1)
            return jnp.einsum("b,sb...->s...", weights, scores, precision=jax.lax.Precision.HIGHEST)

        def value(coalitions: Bool[Array, "S M"]) -> Array:
            references = self.masker.references(example.x, example.prepared)
            count = jax.tree.leaves(references)[0].shape[0]
            if count <= rows:
                return in_blocks(lambda block: average(outputs(block, references)), coalitions, rows // count)
            return in_blocks(
                lambda one: average(in_blocks(lambda block: outputs(one, block)[0], references, rows)[None]),
                coalitions,
                1,
            )

        return value


@compiled(static_argnames=("batch_size",), title="game")
def _worth(game: Game, coalitions: Bool[Array, "S M"], batch_size: int | None) -> Array:
    def solve(v: Value, _key: Any, _alive: Any) -> dict[str, Array]:
        worth = v(coalitions)
        return {"values": worth, "output": worth[0]}

    found = game.attribute(Attribution, solve, coalitions_at_once=len(coalitions), batch_size=batch_size, method="")
    return found.values


def _shape(x: Any) -> Any:
    """The shape of one example; of several arrays a list of theirs."""
    shapes = [leaf.shape[1:] for leaf in jax.tree.leaves(x)]
    return shapes[0] if isinstance(x, jax.Array) else shapes


def _float(values: Array) -> Array:
    return values.astype(jnp.promote_types(values.dtype, jnp.float32))


def _flatten_game(game: Game) -> tuple[tuple[Any, ...], Any]:
    return (game.value,), game.num_players


def _unflatten_game(num_players: int, children: Any) -> Game:
    game = object.__new__(Game)
    (game.value,), game.num_players = children, num_players
    return game


jax.tree_util.register_pytree_node(Game, _flatten_game, _unflatten_game)
jax.tree_util.register_pytree_node(
    ModelGame,
    lambda game: ((game.model, game.x, game.masker, game.target), None),
    lambda _, children: ModelGame(*children),
)


def game(model: Any, x: Any, masker: Masker, *, target: TargetLike = None) -> ModelGame:
    """The games of a model: for each example, what its output becomes when players are absent.

    Why: SHAP, LIME and every other perturbation method are estimators of such games; make one when the fronts
    (`shap.values`, `lime.image`, ...) do not say what you want.

    Args:
      model: any model: `xai.linen(...)`, an NNX module, a function.
      x: [N, ...] inputs; several arrays for a masker from `xai.mask.joint`.
      masker: who the players are and what stands in for absent ones, from `xai.mask`.
      target: the output that is explained: an int, ints [N], a callable from outputs [n, ...] to one number for each
        row, "all" for all outputs at once, or None for the top class of each example. Default None.

    Returns:
      N games with M players each, for the estimators in `xai.shap` and `xai.lime`.

    Raises:
      TypeError, ValueError: if x does not fit the model or the masker, holds NaN, or the target is out of range.
    """
    model = as_model(model)
    if not isinstance(masker, Masker):
        raise TypeError(
            f"masker must come from xai.mask, such as xai.mask.background(rows), but it is {type(masker).__name__}."
        )
    x = masker.read(x)
    num_examples = check.examples(x)
    masker.check(x)
    check.no_nan("x", x)
    outputs = output_shapes(model, x, num_examples)
    return ModelGame(model, x, masker, as_target(target, outputs, num_examples, all_allowed=True))


def as_game(game: Any) -> Game:
    """Checks that an estimator got a game."""
    if not isinstance(game, Game):
        raise TypeError(
            f"game must be xai.game(model, x, masker) or xai.Game(value, num_players), but it is {type(game).__name__}."
        )
    game.check_answers()
    return game
