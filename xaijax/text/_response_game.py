"""The game of a response: what its tokens' log-probabilities are worth to each set of spans of the prompt.

v(z) = log p(y_t | the prompt's spans z, y_1, ..., y_{t-1}) for every token t of the response y (teacher forcing)
"""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.compile import compiled, is_eager
from xaijax._core.game import Game
from xaijax._core.numerics import at_least_float32
from xaijax._core.typing import Array, ArrayOrSequence, Int, ModelLike
from xaijax._core.words import counted
from xaijax._model import Model, ReplayedModel, as_model
from xaijax.text._lengths import padded_length
from xaijax.text._prefixes import Cached, Trie
from xaijax.text._prompt import Prompt
from xaijax.text._responses import Counts, Responses, shapes_of
from xaijax.text._spans import read_ids, text_of

_EQUAL = 1e-3  # of the size of the logits: how much a later token may change earlier ones by rounding


class _ReplayedGame(Game):
    """The game within compiled programs. A program asks for all coalitions of an evaluation at once: packing saves more."""

    def rows_at_once(self, batch_size: int | None) -> int:
        return super().rows_at_once(None)


class ResponseGame(_ReplayedGame):
    """A game whose players are the spans of a prompt, and whose outputs are the tokens of a response.

    prompt: the `Prompt`.
    response: its token ids [T].

    It can be pickled, with the answers that it knows, where the model can.
    """

    def __init__(self, responses: Responses, output_names: Sequence[str] | None, *, is_whole: bool = False):
        self._responses, self._is_whole = responses, is_whole
        self.prompt, self.response = responses.prompt, responses.response
        self._answers = _Summed(responses) if is_whole else responses  # kept here: models know their answers weakly
        super().__init__(
            ReplayedModel(self._answers, 1 if is_whole else len(self.response)),
            self.prompt.num_spans,
            names=self.prompt.names,
            output_names=output_names,
        )
        self.context = self.prompt.context

    @property
    def whole(self) -> ResponseGame:
        """The game of the whole response: one output, the sum over its tokens. Both games share their evaluations.

        Why: the values of a sum are the sums of the values, but its standard errors are not those of the tokens, whose
        errors depend on each other. An estimator of this game gives them, and evaluates nothing anew for the same key.
        """
        if self._is_whole:
            return self
        names = None if self.output_names is None else ["".join(self.output_names)]
        return ResponseGame(self._responses, names, is_whole=True)

    def described(self, results: Any) -> Any:
        """Returns results of compiled programs with the names and the context of this game, which programs do not know."""
        labels = {"names": self.names, "output_names": self.output_names, "context": self.context}
        is_attribution = lambda node: isinstance(node, Attribution)  # noqa: E731
        label = lambda node: dataclasses.replace(node, **labels) if is_attribution(node) else node  # noqa: E731
        return jax.tree.map(label, results, is_leaf=is_attribution)

    @property
    def counts(self) -> Counts:
        """What was evaluated so far: distinct coalitions, and the tokens of their rows. Known answers are kept."""
        return self._responses.counts

    def __repr__(self) -> str:
        counts = self.counts
        return (
            f"ResponseGame({self.prompt!r}, {counted(len(self.response), 'token')} in the response, "
            f"{counted(counts.coalitions, 'coalition')} and {counted(counts.tokens, 'token')} evaluated)"
        )

    def __reduce__(self) -> Any:
        cached, decode = self._responses.cached, self.prompt.decode
        models = [self._responses.model, *([] if cached is None else [cached.step])]
        parts = [("model", function) for model in models for function in model.static.throwaway]
        for name, part in [*parts, ("decode", decode)]:
            if isinstance(part, types.FunctionType) and "<" in part.__qualname__:
                raise TypeError(
                    f"`{name}` must be a function that can be pickled with the game, got {check.shown(part)}: define it at the "
                    "top level of a module."
                )
        return functools.partial(ResponseGame, is_whole=self._is_whole), (self._responses, self.output_names)


class _Summed:
    """The answers for the whole response: sums over its tokens, [S, 1]."""

    def __init__(self, responses: Responses):
        self._responses, self.dtype = responses, responses.dtype

    def known(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        answers, is_known = self._responses.known(rows)
        return answers.sum(axis=1, keepdims=True, dtype=np.float64).astype(self.dtype), is_known

    def evaluate(self, rows: np.ndarray) -> None:
        self._responses.evaluate(rows)


def _within_programs(num_players: int, children: Any) -> _ReplayedGame:
    """Returns the game of its parts: within compiled programs it has its value alone, no prompt, texts and answers.

    Texts are no part of programs, so that other prompts of the same size compile nothing.
    """
    game = object.__new__(_ReplayedGame)
    (game.value,), game.num_players = children, num_players
    game.names, game.output_names = None, None
    return game


for _cls in (_ReplayedGame, ResponseGame):
    jax.tree_util.register_pytree_node(
        _cls,
        lambda game: ((game.value,), game.num_players),
        _within_programs,  # pyright: ignore[reportArgumentType]
    )


def response_game(
    model: ModelLike,
    prompt: Prompt,
    response_ids: ArrayOrSequence,
    *,
    extend: Cached | None = None,
    gaps: bool = False,
    mask_id: int | None = None,
    token_names: Sequence[str] | None = None,
    batch_size: int | None = None,
) -> ResponseGame:
    """Returns the game of a response: which spans of the prompt made the model give it?

    Why: every estimator of `xai.shap`, and `xai.lime.fit`, explains this game, for all tokens of the response at once:
    values [M, T]. Their sum over the tokens explains the log-probability of the whole response; `game.whole` is its game,
    and gives its standard errors.

    Rows are packed: a coalition costs as many tokens as its own text has, and distinct coalitions are evaluated once. An
    estimator's coalitions are recorded in a first run of its program, evaluated, and given to it in a second run. The
    game therefore cannot be explained within `jax.jit`, and has no derivatives. Estimators that choose coalitions by
    earlier answers (`until`, `precision="high"`) take one run more for each choice.

    At most 4 lengths of rows are compiled between one power of two and the next, each for at most log2(batch size) + 2
    numbers of rows. With `extend` a step is compiled for at most 4 lengths of the cache, for numbers of tokens that are
    powers of two, from 8 to the longest span, and for 1, 4, 16, ... rows; and for the suffix with the response.

    Args:
      model: any causal language model: token ids [N, L] -> logits [N, L, V], where token i sees tokens 0 to i alone. A
        model that takes or returns more becomes one in a line: `xai.model(xai.linen(net, variables), output="logits")` for
        gemma; for tunix, with the positions and the causal mask of ids,
        `xai.function(lambda net, ids: net(ids, positions(ids), None, mask(ids))[0], net)`; for bonsai, with a new cache,
        `xai.function(lambda net, ids: net(ids, jnp.ones_like(ids), 0, init_cache(*ids.shape)), net)`.
      prompt: from `xai.text.prompt`.
      response_ids: the T token ids of the response, whose log-probabilities are explained.
      extend: the same model with a cache of keys and values, from `xai.text.cached`. Spans that coalitions share from the
        beginning on are then computed once, wherever this costs at most 55 % of the tokens of rows of their own: a token
        takes longer there. The prefix is computed once for the game. Default: none.
      gaps: whether the tokens after an absent span keep their positions. Default False: they move up, which is what the
        prompt without the span would be. Gaps keep distances between spans as they were, but leave positions empty that
        were never empty in training. They need positions as an argument: `extend`, whose steps take them; or a `model` of
        (ids, positions), both [N, L], such as `xai.function(lambda net, x: net(*x), net)`.
      mask_id: the token id that replaces each token of an absent span. Default None: absent spans are deleted. A mask
        token keeps the positions, but shows the model that something is missing, costs the tokens of the whole prompt in
        every row, and models without such a token were never trained on it.
      token_names: T texts, the names of the outputs. Default: those of the prompt's `decode`, or none.
      batch_size: rows of one evaluation. Default: as many as suit the device. The `batch_size` of an estimator is not used.

    Returns:
      A `ResponseGame`, one hand-written game of M players and T outputs. `game.counts` tells what it has evaluated.

    Raises:
      TypeError, ValueError: if the response is empty, an id is outside of the vocabulary, or the model returns no logits
        [N, L, V], or NaN for the whole prompt, or is not causal: a later token changes earlier logits; if `extend` does not compute what `model` does.

    References:
      Cohen-Wang et al. (2024), ContextCite: attributing model generation to context, arXiv:2409.00729, section 2: the
      log-probability of a response as a function of the sources that are present.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> counts = lambda ids: jnp.cumsum(ids[:, :, None] == jnp.arange(9), axis=1).astype(jnp.float32)  # of each token so far
    >>> prompt = xai.text.prompt([[5, 5], [6]], prefix=[0])
    >>> game = xai.text.response_game(counts, prompt, [5])
    >>> attribution = xai.shap.exact(game)
    >>> [round(value, 3) for value in attribution.values[:, 0].tolist()], game.counts.tokens
    ([1.559, -0.122], 14)
    """
    model = as_model(model)
    if not isinstance(prompt, Prompt):
        raise TypeError(
            f"`prompt` must come from xai.text.prompt, got {check.shown(prompt)}: pass xai.text.prompt(spans, prefix=...)."
        )
    response = read_ids("response_ids", response_ids)
    if not response.size:
        raise ValueError("`response_ids` must hold at least one token id, got none: there is nothing to explain.")
    if mask_id is not None:
        mask_id = check.positive_int("mask_id", mask_id, least=0)
    if token_names is not None:
        token_names = check.texts("token_names", token_names)
        if len(token_names) != len(response):
            raise ValueError(
                f"`token_names` must hold one text for each of the {len(response)} tokens, got {len(token_names)}."
            )
    elif prompt.decode is not None:
        token_names = [text_of([token], prompt.decode) for token in response]
    if not is_eager(model):
        raise TypeError(
            "`model` must have known parameters, got traced ones: make the game outside of jax.jit and other transformations."
        )
    if extend is not None and not isinstance(extend, Cached):
        raise TypeError(f"`extend` must come from xai.text.cached, got {check.shown(extend)}.")
    if mask_id is not None and (gaps or extend is not None):
        raise ValueError("`mask_id` must be None with `extend` or `gaps`, which delete absent spans, got both.")
    gaps = check.flag("gaps", gaps)
    with_positions = gaps and extend is None
    whole = np.concatenate([prompt.ids(), response])
    _check_vocabulary(model, prompt, response, mask_id, len(whole), with_positions)
    longest = _check_logits(model, whole, with_positions)
    responses = Responses(
        model, prompt, response, mask_id=mask_id, gaps=gaps, batch_size=check.batch_size(batch_size), cached=extend,
        longest=longest,
    )  # fmt: skip
    if responses.trie is not None:
        _check_same(responses, responses.trie)
    return ResponseGame(responses, token_names)


def _check_same(responses: Responses, trie: Trie) -> None:
    """Raises unless both forms of the model give the whole prompt's response the same log-probabilities."""
    whole = np.ones((1, responses.prompt.num_spans), bool)
    by_cache = trie.evaluate(whole)
    responses.counts.tokens += len(responses.prompt.prefix)  # which is kept
    responses.evaluate(whole, packed=True)
    plain, _ = responses.known(whole)
    difference = np.abs(by_cache - plain).max()
    if not difference <= _EQUAL * max(1.0, np.abs(plain).max()):
        raise ValueError(
            f"`extend` must compute what `model` computes, got log-probabilities that differ by {difference:.3g} for the "
            "whole prompt: check the positions, the mask, and where the cache is written."
        )


def _check_vocabulary(
    model: Any, prompt: Prompt, response: np.ndarray, mask_id: int | None, length: int, with_positions: bool
) -> None:
    """Raises unless the model returns logits [N, L, V] with V above every id."""
    takes = "(token ids, positions), both [N, L]," if with_positions else "token ids [N, L]"
    try:
        logits = shapes_of(model, length, with_positions=with_positions)
    except Exception as error:
        if with_positions:
            error.add_note(
                f"xaijax: with gaps=True and without `extend`, `model` must map {takes} to logits [N, L, V]."
            )
        raise
    shape = getattr(logits, "shape", None)
    if shape is None or len(shape) != 3 or shape[:2] != (1, length):
        got = "several arrays" if shape is None else f"shape {list(shape)}"
        fix = "choose the logits by xai.model(model, output=...)"
        if with_positions:
            fix = "pass a model that takes both, such as xai.function(lambda net, x: net(*x), net), and returns its logits"
        raise ValueError(f"`model` must map {takes} to logits [N, L, V], got {got} for ids [1, {length}]: {fix}.")
    if not (jnp.issubdtype(logits.dtype, jnp.floating) or jnp.issubdtype(logits.dtype, jnp.integer)):
        raise TypeError(
            f"`model` must map {takes} to logits, real numbers, got {logits.dtype}: return its last layer's sums."
        )
    size = shape[2]
    parts = {f"spans[{number}]": span for number, span in enumerate(prompt.spans)}
    parts |= {"prefix": prompt.prefix, "suffix": prompt.suffix, "response_ids": response}
    parts |= {"mask_id": np.array([] if mask_id is None else [mask_id], np.int32)}
    for name, ids in parts.items():
        if ids.size and ids.max() >= size:
            raise ValueError(
                f"`{name}` must be token ids below {size}, the size of the model's vocabulary, got {ids.max()}: use the "
                "model's own tokenizer."
            )


def _check_logits(model: Any, ids: np.ndarray, with_positions: bool) -> int:
    """Returns the longest row that the model takes: with padding, or without, as it may have no more positions.

    Raises if the logits of the whole prompt are NaN, or if another last token changes those of earlier tokens.
    """
    for length in (padded_length(len(ids)), len(ids)):
        pair = np.zeros((2, length), np.int32)
        pair[:, : len(ids)] = ids
        pair[1, len(ids) - 1] = ids[0] if ids[0] != ids[-1] else (ids[-1] + 1) % 2
        positions = np.broadcast_to(np.minimum(np.arange(length, dtype=np.int32), len(ids) - 1), pair.shape)
        change, size, is_nan = _change_before(model, (pair, positions) if with_positions else pair, len(ids) - 1)
        if not is_nan:
            break
    else:
        raise ValueError(
            f"`model` must return logits that are numbers, got NaN for the whole prompt and its response, {len(ids)} tokens: "
            "shorten the prompt if the model has fewer positions, or look for NaN in its parameters."
        )
    if not change <= _EQUAL * size:
        raise ValueError(
            f"`model` must be causal, got one whose logits change by {float(change):.3g} when a later token changes: a "
            "response is explained by next-token predictions, so pass a language model with its causal mask."
        )
    return length


@compiled(title="text.response_game")
def _change_before(model: Model, pair: Any, last: Int[Array, ""]) -> tuple[Array, Array, Array]:
    """Returns the largest difference between the logits of two rows before a position, and the largest finite logit.

    Also whether the logits that predict the token at this position are NaN.
    """
    logits = model(pair)
    if len(logits) != 2:
        raise ValueError(
            f"`model` must map token ids [N, L] to logits [N, L, V], got shape {list(logits.shape)} for N = 2: return logits "
            "for each row."
        )
    one, other = at_least_float32(logits)
    before = (jnp.arange(one.shape[0]) < last)[:, None]
    is_same = (one == other) | (jnp.isnan(one) & jnp.isnan(other))  # logits of forbidden tokens are -inf
    change = jnp.where(before & ~is_same, jnp.abs(one - other), 0).max()
    return change, jnp.where(before & jnp.isfinite(one), jnp.abs(one), 0).max(), jnp.isnan(one[last - 1]).any()
