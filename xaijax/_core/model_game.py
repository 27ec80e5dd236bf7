"""The games of a model: the model's output when parts of an input are absent."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Self, TypeVar

import jax
import numpy as np

from xaijax._core import check, frames
from xaijax._core.attribution import Attribution
from xaijax._core.blocks import each, in_blocks
from xaijax._core.compile import compiled
from xaijax._core.examples import Example
from xaijax._core.game import ExampleGames, Game, Value
from xaijax._core.grid import ChannelAxis, check_inputs
from xaijax._core.jaxpr import trace
from xaijax._core.layout import read_layouts
from xaijax._core.masker import Masker
from xaijax._core.names import Names, read_names, read_output_names
from xaijax._core.numerics import einsum, power_of_two
from xaijax._core.target import Target, TargetLike, bind_target, output_shapes
from xaijax._core.typing import Array, Bool, Float
from xaijax._model import Model, as_model

Reviewed = TypeVar("Reviewed", bound=Attribution)


class ModelGame(ExampleGames):
    """N games with M players each: the model's output when parts of an input are absent.

    v(S) = mean_b f(x_S, r_b), over the B references of the masker, of the target's output.
    """

    def __init__(
        self,
        model: Model,
        x: Any,
        masker: Masker,
        target: Target,
        names: Names | None = None,
        output_names: tuple[str, ...] | None = None,
        keep_inputs: bool = True,
    ):
        self.model, self.x, self.masker, self.target = model, x, masker, target
        self.names, self.output_names, self.keep_inputs = names, output_names, keep_inputs

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

    def with_prepared(self, prepared: Any) -> Self:
        """Returns the games with what `prepare` returned before, to be solved within a compiled function."""
        games = copy.copy(self)
        games.prepare = lambda: prepared
        return games

    def active(self, example: Example) -> Bool[Array, " M"]:
        return self.masker.active(example.x, example.prepared)

    def exists(self, example: Example) -> Bool[Array, " M"]:
        return self.masker.exists(example.x, example.prepared)

    def regions(self, prepared: Any) -> Any:
        owners = lambda prepared: self.masker.owners(_shape(self.x), prepared)  # noqa: E731
        return jax.vmap(owners, axis_size=self.num_examples)(prepared)

    def inputs(self, prepared: Any) -> Any:
        return self.masker.inputs(self.x, prepared) if self.keep_inputs else None

    def value_of(self, example: Example, target: Target, rows: int) -> Value:
        """Evaluates blocks of coalitions, each with all its references, or one coalition with blocks of references."""

        def outputs(coalitions: Bool[Array, "s M"], references: Any) -> Float[Array, "s B ..."]:
            compose = jax.vmap(self.masker.compose, in_axes=(None, 0, None, None))
            inputs = jax.vmap(compose, in_axes=(None, None, 0, None))(
                example.x, references, coalitions, example.prepared
            )
            inputs = jax.tree.map(lambda leaf, own: leaf.reshape(-1, *own.shape), inputs, example.x)
            scores = target.select(self.model(inputs))
            return scores.reshape(len(coalitions), -1, *scores.shape[1:])

        def average(scores: Float[Array, "s B ..."]) -> Float[Array, "s ..."]:
            weights = self.masker.weights()
            if weights is None:
                return scores.mean(axis=1)
            # A weight times a tiny score would be subnormal, which CPUs take for 0.
            unit = power_of_two(scores.reshape(-1, *scores.shape[2:]))
            return unit[None] * einsum("b,sb...->s...", weights, scores / unit[None, None])

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


def game(
    model: Any,
    x: Any,
    masker: Masker,
    *,
    target: TargetLike = None,
    names: Sequence[str] | Sequence[Sequence[str]] | None = None,
    output_names: Sequence[str] | None = None,
    keep_inputs: bool = True,
) -> ModelGame:
    """Returns the games of a model: for each example, the model's output when players are absent.

    Why: SHAP, LIME and every other perturbation method are estimators of such games. Make one to use an estimator
    directly, or to explain one game by several of them.

    Args:
      model: any model: `xai.linen(...)`, an NNX module, a function.
      x: [N, ...] inputs; a dict or another PyTree of arrays for a masker from `xai.mask.joint`, or `xai.mask.tokens` with
        `part`.
      masker: says who the players are and what replaces absent ones, from `xai.mask`.
      target: the explained output: an int, ints [N], a callable from outputs [n, ...] to one number for each
        row, "all" for all outputs at once, or None for the top class of each example. Default None.
      names: M names of the players, or N sequences of them. Default: the masker's, such as column names.
      output_names: K names of the model's outputs. Default: none.
      keep_inputs: whether attributions keep the explained feature values. Default True.

    Returns:
      N games with M players each, for the estimators in `xai.shap` and `xai.lime`.

    Raises:
      TypeError, ValueError: if x does not fit the model or the masker, holds NaN, or the target is out of range.
    """
    model = as_model(model)
    if not isinstance(masker, Masker):
        raise TypeError(
            f"`masker` must come from xai.mask, such as xai.mask.background(rows), got {type(masker).__name__}."
        )
    columns = frames.read_frame("x", x)[1] if frames.is_frame(x) else None
    x = masker.read(x)
    fitted = model.innermost.columns
    frames.check_order("x", getattr(masker, "columns", None) or columns, fitted)
    known_names = model.output_names or ()
    num_examples = check.examples(x)
    masker.check(x)
    check.no_nan("x", x)
    model, bound = bind_target(model, x, target, num_examples, all_allowed=True)
    _check_channels(model, x, masker)
    games = ModelGame(
        model, x, masker, bound, masker.names(_shape(x)), keep_inputs=check.flag("keep_inputs", keep_inputs)
    )
    if names is not None:
        games.names = read_names(names, games.num_players, num_examples)
    elif games.names is None and columns is not None and len(columns.names) == games.num_players:
        games.names = columns.names
    elif games.names is None and fitted is not None and _shape(x) == (games.num_players,):
        games.names = fitted.names
    if output_names is None and len(known_names) > 1:
        games.output_names = known_names
    if output_names is not None:
        shape = getattr(output_shapes(model, x, num_examples), "shape", ())
        games.output_names = read_output_names(output_names, shape[1] if len(shape) == 2 else None)
    return games


def _check_channels(model: Model, x: Any, masker: Masker) -> None:
    """Raises ValueError if the masker takes the last axis for channels and a convolution of the model another one."""
    assumed = masker.assumes_channels_last(_shape(x))
    if np.any(assumed):
        closed, _ = trace(model, x)
        _, layouts = read_layouts(closed, len(jax.tree.leaves(x)), [])
        check_inputs(x, layouts, ChannelAxis(), np.atleast_1d(assumed).tolist())


def reviewed(game: Game, attribution: Reviewed) -> Reviewed:
    """Returns the attribution, after the masker's warnings about its regions."""
    if isinstance(game, ModelGame) and attribution.regions is not None and check.is_concrete(attribution.regions):
        game.masker.warn_of(attribution.regions)
    return attribution


@compiled(title="game", quick_to_compile=True)
def prepare_players(masker: Masker, x: Any) -> tuple[Any, Bool[Array, "N M"], Bool[Array, "N M"]]:
    """Returns what a masker prepares, and the players of each example that are active, and that exist.

    Called from Python, it is compiled apart from the model and once for all models, superpixels with it.
    """
    prepared = masker.prepare(x)
    of_example = lambda pair: (masker.active(*pair), masker.exists(*pair))  # noqa: E731
    return prepared, *each(of_example)((x, prepared))


def _shape(x: Any) -> Any:
    """Returns the shape of one example; the shapes in the structure of x for several arrays."""
    return jax.tree.map(lambda leaf: leaf.shape[1:], x)


jax.tree_util.register_pytree_node(
    ModelGame,
    lambda game: (
        (game.model, game.x, game.masker, game.target),
        (game.names, game.output_names, game.keep_inputs),
    ),
    lambda static, children: ModelGame(*children, *static),
)
