"""What the user says beside an attribution: texts, options, a key, numbers of examples."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check

SHOWN = 3  # examples, of many: enough to see that they differ


def options_in_words(options: Any) -> list[tuple[str, str]]:
    """Names of options and their values as texts."""
    if options is None:
        return []
    if not isinstance(options, Mapping):
        raise TypeError(f"options must be a dictionary of names and values, but it is {type(options).__name__}.")
    try:
        return [
            (str(name), value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
            for name, value in options.items()
        ]
    except (TypeError, ValueError) as error:
        raise TypeError(f"options must be what JSON can say, such as numbers, strings and lists: {error}.") from None


def key_in_words(key: Any) -> str | None:
    """A key as a text that makes it again: its data, or the number it came from."""
    if key is None:
        return None
    if isinstance(key, (int, np.integer)) and not isinstance(key, bool):
        return f"jax.random.key({int(key)})"
    try:
        key = check.random_key(key)
    except TypeError:
        raise TypeError(f"key must be one JAX random key or the number it was made from, but it is {key!r}.") from None
    if not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        return f"{np.asarray(key).tolist()}"
    kind = re.sub(r"\W", "", str(jax.random.key_impl(key)))
    return f"{np.asarray(jax.random.key_data(key)).tolist()} ({kind})"


def check_text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a text, but it is {type(value).__name__}.")
    return value


def check_texts(name: str, values: Any) -> None:
    if isinstance(values, str) or not isinstance(values, (Sequence, np.ndarray)):
        raise TypeError(f"{name} must be a sequence of texts, but it is {type(values).__name__}.")


def read_examples(examples: Any, count: int) -> list[int]:
    if examples is None:
        return list(range(min(SHOWN, count)))
    if isinstance(examples, (str, int)) or not isinstance(examples, (Sequence, np.ndarray)) or len(examples) == 0:
        raise TypeError(f"examples must be a sequence of numbers of examples, but it is {examples!r}.")
    read = [check.positive_int("examples", example, least=0) for example in examples]
    if max(read) >= count:
        raise ValueError(f"examples must lie between 0 and {count - 1}, but {max(read)} is among them.")
    if len(set(read)) < len(read):
        raise ValueError("examples names an example twice.")
    return read
