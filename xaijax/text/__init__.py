"""Explains language models: which parts of a prompt made the model give this response."""

from xaijax.text._attributions import by_span, response_model, whole_response
from xaijax.text._prefixes import Cached, cached
from xaijax.text._prompt import Prompt, prompt
from xaijax.text._response_game import ResponseGame, response_game
from xaijax.text._spans import Spans, spans

__all__ = [
    "Cached",
    "Prompt",
    "ResponseGame",
    "Spans",
    "by_span",
    "cached",
    "prompt",
    "response_game",
    "response_model",
    "spans",
    "whole_response",
]


def __dir__() -> list[str]:
    return __all__
