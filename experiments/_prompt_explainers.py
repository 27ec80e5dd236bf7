"""Explainers of prompts that estimate no Shapley values, and what values of spans are measured by."""

from __future__ import annotations

import jax
import numpy as np
from sklearn.linear_model import Lasso
from sklearn.preprocessing import StandardScaler

import xaijax as xai
from experiments._prompt_tasks import Planted

MOST_LEFT_OUT = 3  # spans of the largest values, for the drop of the log-probability
_PENALTY = 0.01  # of the LASSO on standardized columns, ContextCite's


def leave_one_out(game: xai.Game) -> np.ndarray:
    """Returns log p(response) minus that without each span, [M]; M + 1 evaluations."""
    num_spans = game.num_players
    coalitions = np.concatenate([np.ones((1, num_spans), bool), ~np.eye(num_spans, dtype=bool)])
    values = np.asarray(game(coalitions), np.float64).sum(axis=1)
    return values[0] - values[1:]


def lasso(game: xai.Game, num_evaluations: int, seed: int) -> np.ndarray:
    """Returns the coefficients [M] of a sparse linear model of the logit of p(response), as ContextCite's."""
    rng = np.random.default_rng(seed)
    coalitions = rng.random((num_evaluations, game.num_players)) < 0.5
    answers = np.asarray(game(coalitions), np.float64)
    log_p = np.minimum(answers.sum(axis=1), -1e-7)
    logits = log_p - np.log(-np.expm1(log_p))
    scaler = StandardScaler().fit(coalitions)
    num_tokens = answers.shape[1]
    model = Lasso(alpha=_PENALTY).fit(scaler.transform(coalitions), logits / num_tokens)
    return num_tokens * model.coef_ / scaler.scale_


def gradients(model: xai.Model, planted: Planted) -> np.ndarray:
    """Returns input x gradient of log p(response) with respect to the embeddings, summed over each span, [M]."""
    prompt, response, _ = planted
    ids = np.concatenate([prompt.ids(), response])[None]
    tokens = xai.gradient.input_x_gradient(
        xai.text.response_model(model, response), ids, target=_whole, layer="embed", channels="sum"
    )
    return np.asarray(xai.text.by_span(tokens, prompt)[0].values[0], np.float64)


def _whole(scores: jax.Array) -> jax.Array:
    return scores.sum(axis=1)


def errors_of(values: np.ndarray, exact: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the squared errors [R] of values [R, M], relative to the squares of the exact ones, as they are and scaled."""
    plain = ((values - exact) ** 2).sum(axis=1) / (exact**2).sum()
    squares = (values**2).sum(axis=1) * (exact**2).sum()
    scaled = 1 - np.divide((values @ exact) ** 2, squares, out=np.zeros(len(values)), where=squares > 0)
    return plain, scaled


def recovers(values: np.ndarray, is_planted: np.ndarray) -> np.ndarray:
    """Returns whether the planted spans have the largest values, [R]."""
    least = np.where(is_planted, values, np.inf).min(axis=1)
    return least > np.where(is_planted, -np.inf, values).max(axis=1)


def drops(values: np.ndarray, worth: np.ndarray) -> np.ndarray:
    """Returns log p(response) minus that without the 1, 2, 3 spans of the largest values, [R, 3]."""
    num_spans = values.shape[1]
    total = worth.sum(axis=1)
    removed = np.cumsum(1 << np.argsort(-values, axis=1)[:, :MOST_LEFT_OUT], axis=1)
    return total[-1] - total[2**num_spans - 1 - removed]
