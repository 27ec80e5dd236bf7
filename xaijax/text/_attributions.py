"""Attributions of prompts: of the whole response, and of spans where tokens were explained."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from xaijax._core import check
from xaijax._core.attribution import Attribution, Interactions
from xaijax._core.axes import OUTPUTS
from xaijax._core.typing import Array, ArrayOrSequence, Float, Int, ModelLike
from xaijax._model import Model, as_model
from xaijax._model import model as model_of
from xaijax.text._log_probabilities import of_tokens
from xaijax.text._prompt import Prompt
from xaijax.text._spans import read_ids


def whole_response(attribution: Attribution) -> Attribution:
    """Returns the attribution of the whole response: the sums over its tokens, with bounds of their standard errors.

    Why: the log-probability of a response is the sum of those of its tokens, and so are its values. Its standard errors
    are not: all tokens are estimated from the same coalitions, so that their errors depend on each other, in a way that
    the errors of single tokens do not tell. Their sum is never less than the error of the sum. Values ± 1.96 of it
    therefore contain the value at least as often as those of one token, and are often much wider than necessary.
    Explaining `game.whole` with the same key gives the errors themselves, and evaluates nothing anew.

    Args:
      attribution: of a response game, values [M, T]; or of gradients, values [N, L, T].

    Returns:
      The attribution of one output, values [M] or [N, L], where std_errors are upper bounds.

    Raises:
      TypeError: if the attribution is no result of an explainer, explains one output already, or is a linear surrogate,
        whose fidelity to the sum is not known.

    References:
      The triangle inequality: the standard deviation of a sum is at most the sum of the standard deviations.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> tokens = xai.Attribution(
    ...     jnp.array([[1.0, 2.0]]), jnp.array([1.0, 2.0]), std_errors=jnp.array([[0.3, 0.4]]), axes="M K"
    ... )
    >>> whole = xai.text.whole_response(tokens)
    >>> whole.values.tolist(), [round(error, 3) for error in whole.std_errors.tolist()]
    ([3.0], [0.7])
    """
    if not isinstance(attribution, Attribution):
        raise TypeError(f"`attribution` must be the result of an explainer, got {check.shown(attribution)}.")
    if not attribution.all_outputs:
        raise TypeError("`attribution` must explain all tokens of the response, [M, T], got one of a single output.")
    if type(attribution) not in (Attribution, Interactions):
        raise TypeError(
            f"`attribution` must have values that add up, got a {type(attribution).__name__}, whose fidelity to the sum is "
            "not known: explain game.whole."
        )
    last = {name: getattr(attribution, name) for name in attribution.array_fields()}
    summed = {
        name: value.sum(axis=-1)
        for name, value in last.items()
        if value is not None and OUTPUTS in attribution.axes_of(name)
    }
    axes = " ".join(name for name in attribution.axes.split() if name != OUTPUTS)
    names = attribution.output_names
    return dataclasses.replace(
        attribution, **summed, axes=axes, output_names=None if names is None else ("".join(names),)
    )


def response_model(model: ModelLike, response_ids: ArrayOrSequence) -> Model:
    """Returns the model of a response's log-probabilities: token ids [N, L] that end with the response -> [N, T].

    Why: gradients explain the log-probabilities of a response with the layers of the language model, where
    `xai.text.response_game` removes spans. `layer=`, the path of the embedding in `xai.layers`, and `channels="sum"` give
    one value for each token of the prompt, and `xai.text.by_span` one for each span.

    Args:
      model: any language model: token ids [N, L] -> logits [N, L, V].
      response_ids: the T token ids of the response, with which all rows of ids end.

    Returns:
      A model with T outputs. `target=t` explains the token t, `target="all"` all of them, and
      `target=lambda scores: scores.sum(axis=1)` the whole response.

    Raises:
      TypeError, ValueError: if the response is empty, or, when it is explained, the rows of ids are not longer than it.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> network = lambda embed, ids: jnp.cumsum(xai.tag(embed[ids], "embed"), axis=1)
    >>> model = xai.text.response_model(xai.function(network, jnp.eye(9)), [5])
    >>> prompt = xai.text.prompt([[5, 5], [6]], prefix=[0])
    >>> ids = jnp.append(prompt.ids(), 5)[None]
    >>> gradients = xai.gradient.input_x_gradient(model, ids, target=0, layer="embed", channels="sum")
    >>> spans, others = xai.text.by_span(gradients, prompt)
    >>> [round(value, 3) for value in spans.values[0].tolist()], others.names
    ([1.215, -0.144], ('prefix', 'response'))
    """
    model = as_model(model)
    response = read_ids("response_ids", response_ids)
    if not response.size:
        raise ValueError("`response_ids` must hold at least one token id, got none: there is nothing to explain.")
    return model_of(model, output=Partial(_log_probabilities, jnp.asarray(response)))


def _log_probabilities(response: Int[Array, " T"], logits: Float[Array, "N L V"]) -> Float[Array, "N T"]:
    """Returns log p(response token t | all before it) where the response ends each row."""
    count, shape = len(response), jnp.shape(logits)
    if len(shape) != 3 or shape[1] <= count:
        raise ValueError(
            f"`x` must be token ids [N, L] that end with the {count} tokens of the response, L above {count}, for logits "
            f"[N, L, V], got logits of shape {list(shape)}: append response_ids to the ids of the prompt."
        )
    return of_tokens(logits[:, -count - 1 : -1], response)


def by_span(attribution: Attribution, prompt: Prompt) -> tuple[Attribution, Attribution]:
    """Sums the values of tokens over the spans of a prompt, and over its other parts.

    Why: gradients give a value to every token, those of prefix, suffix and response included. Sums over spans can be
    compared with the Shapley values of the spans. What the other parts get is part of the sum, and is returned with them.

    Args:
      attribution: values [N, L] or [N, L, T] of tokens, such as those of `xai.gradient` at an embedding with
        channels="sum"; all L tokens of the prompt come first, and those that follow are the response's.
      prompt: from `xai.text.prompt`.

    Returns:
      spans: the attribution of the M spans, values [N, M] or [N, M, T]. Its base value is that of `attribution` plus the
        values of all other parts, so that its values still lead to the output where those of the tokens do.
      others: the attribution of those of prefix, suffix and response that have tokens, named so, from the base value of
        `attribution` to that of `spans`.

    Raises:
      TypeError, ValueError: if the attribution is not one of tokens, or has fewer of them than the prompt.

    >>> import jax.numpy as jnp, xaijax as xai
    >>> prompt = xai.text.prompt([[5, 6], [7]], prefix=[1], names=["a b", "c"])
    >>> tokens = xai.Attribution(jnp.array([[0.5, 1.0, 2.0, 4.0, 8.0]]), jnp.array([15.5]), jnp.zeros(1), efficient=True)
    >>> spans, others = xai.text.by_span(tokens, prompt)
    >>> spans.values.tolist(), spans.base_value.tolist(), dict(zip(others.names, others.values[0].tolist()))
    ([[3.0, 4.0]], [8.5], {'prefix': 0.5, 'response': 8.0})
    """
    if not isinstance(attribution, Attribution):
        raise TypeError(f"`attribution` must be the result of an explainer, got {check.shown(attribution)}.")
    if not isinstance(prompt, Prompt):
        raise TypeError(f"`prompt` must come from xai.text.prompt, got {check.shown(prompt)}.")
    if type(attribution) is not Attribution or not attribution.of_players:
        raise TypeError(
            f"`attribution` must have one value for each token, axes 'N M', got {type(attribution).__name__} of axes "
            f"{attribution.axes!r}: pass channels='sum' to gradients at an embedding."
        )
    lengths = [len(prompt.prefix), *map(len, prompt.spans), len(prompt.suffix)]
    lengths.append(attribution.num_players - sum(lengths))
    if lengths[-1] < 0:
        raise ValueError(
            f"`attribution` must have values of all {len(prompt.ids())} tokens of the prompt, got "
            f"{attribution.num_players}: explain prompt.ids(), and the response after them."
        )
    axis = int(attribution.has_examples)
    tokens = jnp.split(jnp.asarray(attribution.values), np.cumsum(lengths)[:-1], axis=axis)
    before, *own, after, response = (part.sum(axis=axis) for part in tokens)
    parts = zip(("prefix", "suffix", "response"), (before, after, response), tokens[:1] + tokens[-2:], strict=True)
    others = {name: value for name, value, part in parts if part.shape[axis]}
    start = attribution.base_value
    between = None if start is None else start + before + after + response
    attribution = dataclasses.replace(attribution, std_errors=None, regions=None, inputs=None)
    of_spans = dataclasses.replace(
        attribution, values=jnp.stack(own, axis), base_value=between, names=prompt.texts, context=prompt.context
    )
    of_others = dataclasses.replace(
        attribution,
        values=jnp.stack(list(others.values()), axis),
        output=attribution.output if between is None else between,
        names=tuple(others),
    )
    return of_spans, of_others
