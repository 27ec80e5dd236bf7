"""A section of a report: an attribution, and what its readers need to know."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.attribution import Attribution, Interactions
from xaijax._core.typing import ArrayOrSequence, KeyLike, NamesLike
from xaijax._core.words import printable, spelled
from xaijax._report._explained import Explained, explained

OUTPUT = "the model's output"
SHOWN = 3  # examples by default: enough to see that they differ


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Section:
    """One attribution of a report, and what its readers need to know.

    attribution: the result of an explainer, of players, maps or pixels, of one output or of all.
    title: Default: the method.
    text: an explanation, plain text; empty lines separate paragraphs.
    output: what the model's output is, such as "price in 100,000 dollars". Default "the model's output".
    names: M names of the players, or M for each example. Default: the attribution's own.
    classes: names of the classes, by their numbers. Default: the attribution's output names.
    inputs: [N, M] the inputs, numbers or texts, written after the names. Default: the attribution's own.
    images: [N, H, W, C] or [N, H, W] the images that maps or regions are drawn on.
    words: the words of each example, one for each value from the first; further values (padding) are not shown. For one
      example also its words alone.
    examples: the examples that are shown one by one; negative numbers count from the last. Default: the first 3.
    target: of an attribution of all outputs, the class that is reported. Default: the top class of each example; of the
      tokens of a response, their sum, the whole response.
    top: how many players have a row of their own in tables and plots; the others are summed. Default 10.
    options: the arguments that made it, as far as JSON can hold them, as for `xai.save`.
    key: the random key, or the number that it was made from.

    Raises:
      TypeError, ValueError: if any of them is of the wrong type, or does not fit the attribution.
    """

    attribution: Attribution
    _: dataclasses.KW_ONLY
    title: str | None = None
    text: str = ""
    output: str = OUTPUT
    names: NamesLike = None
    classes: NamesLike = None
    inputs: ArrayOrSequence | None = None
    images: ArrayOrSequence | None = None
    words: NamesLike = None
    examples: Sequence[int] | None = None
    target: int | None = None
    top: int = 10
    options: Mapping[str, Any] | None = None
    key: KeyLike | int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.attribution, Attribution):
            raise TypeError(f"`attribution` must be the result of an explainer, got {check.shown(self.attribution)}.")
        if self.target is not None:
            check.positive_int("target", self.target, least=0)
        check.positive_int("top", self.top)
        for name in ("text", "output", *(["title"] if self.title is not None else [])):
            check_text(name, getattr(self, name))
        reported = self.explained
        self._check_names(reported)
        self._check_inputs(reported)
        self._check_words(reported)
        _read_examples(self.examples, reported.num_examples)
        options_as_text(self.options)
        key_as_text(self.key)

    def _check_names(self, reported: Explained) -> None:
        if self.names is not None:
            if self.words is not None:
                raise ValueError("`names` and `words` must not be given together, since both name the players.")
            if not reported.of_players:
                raise ValueError(
                    f"`names` must be left out for maps, which have no players, got {check.shown(self.names)}."
                )
            _check_texts("names", self.names)
            if self.has_names_of_each and len(self.names) != reported.num_examples:
                raise ValueError(
                    f"`names` must be of all examples or of each of {reported.num_examples}, got {len(self.names)} lists."
                )
            for names in self.names if self.has_names_of_each else [self.names]:
                check.texts("names", names)
                if len(names) != reported.values.shape[1]:
                    raise ValueError(
                        f"`names` must have one entry for each of {reported.values.shape[1]} players, got {len(names)}."
                    )
        if self.classes is not None:
            check.texts("classes", self.classes)
            target = reported.attribution.target
            most = (reported.num_outputs or 0) - 1
            most = most if target is None else max(int(np.max(np.asarray(target))), most)
            if len(self.classes) <= most:
                raise ValueError(
                    f"`classes` must have a name for every class up to {most}, got {len(self.classes)} names."
                )

    def _check_inputs(self, reported: Explained) -> None:
        if self.inputs is not None:
            given = np.shape(np.asarray(self.given_inputs))
            if given != reported.values.shape or not reported.of_players:
                raise ValueError(
                    f"`inputs` must have one entry for each value of players, {list(reported.values.shape)}, got {list(given)}."
                )
        if self.images is not None:
            given = np.shape(self.given_images)
            if not reported.on_images:
                raise ValueError(
                    "`images` must be left out unless the attribution is of maps [N, h, w] or of regions of images, got "
                    f"values {list(reported.values.shape)} without such regions."
                )
            if len(given) not in (3, 4) or given[0] != reported.num_examples:
                raise ValueError(
                    f"`images` must have shape [{reported.num_examples}, H, W, C], one for each example, got {list(given)}."
                )

    def _check_words(self, reported: Explained) -> None:
        if self.words is None:
            return
        if not reported.of_players:
            raise ValueError(
                f"`words` must be left out for maps, which have no tokens, got values {list(reported.values.shape)}."
            )
        for number, words in enumerate(self.given_words):
            _check_texts("words", words)
            if not 0 < len(words) <= reported.values.shape[1]:
                raise ValueError(
                    f"`words` must be 1 to {reported.values.shape[1]} for each example, one for each value, got {len(words)} for "
                    f"example {number}."
                )
        if len(self.given_words) != reported.num_examples:
            raise ValueError(
                f"`words` must have a sequence for each of {reported.num_examples} examples, got {len(self.given_words)}."
            )

    @functools.cached_property
    def explained(self) -> Explained:
        return explained(self.attribution, self.target)

    @functools.cached_property
    def given_inputs(self) -> np.ndarray | None:
        """The inputs [N, M], the attribution's own where none are given."""
        reported = self.explained
        if self.inputs is None:
            own = reported.attribution.inputs
            return None if own is None or not reported.of_players else np.asarray(own)
        given = check.host_array("inputs", self.inputs)
        return given[None] if reported.alone and given.ndim == 1 else given

    @functools.cached_property
    def given_images(self) -> np.ndarray:
        given = np.asarray(check.numeric_array("images", self.images))
        alone = self.explained.alone and (given.ndim == 2 or (given.ndim == 3 and given.shape[0] != 1))
        return given[None] if alone else given

    @functools.cached_property
    def given_words(self) -> list[list[str]]:
        if isinstance(self.words, str):
            raise TypeError("`words` must be a sequence of words for each example, got one string: split it.")
        if not check.is_list(self.words):
            raise TypeError(f"`words` must be a sequence of words for each example, got {check.shown(self.words)}.")
        words: list[Any] = list(self.words)  # pyright: ignore[reportArgumentType]
        if words and all(isinstance(word, str) for word in words):
            return [words]
        return [check.texts(f"words[{number}]", each) for number, each in enumerate(words)]

    @property
    def own_names(self) -> Any:
        """The names of the players: those given, or the attribution's own."""
        return self.explained.attribution.names if self.names is None else self.names

    @property
    def has_names_of_each(self) -> bool:
        """Whether each example has names of its own."""
        names = self.own_names
        return names is not None and len(names) > 0 and not isinstance(names[0], str)

    @property
    def heading(self) -> str:
        return self.title or self.attribution.method or type(self.attribution).__name__

    @property
    def shown(self) -> list[int]:
        """The examples that are shown one by one, without those that are not finite."""
        reported = self.explained
        return [example for example in _read_examples(self.examples, reported.num_examples) if reported.finite[example]]

    @property
    def shares_players(self) -> bool:
        """Whether the players are the same in all examples, so that means over examples are meaningful."""
        reported = self.explained
        alike = reported.of_players and not reported.on_images and self.words is None and not self.has_names_of_each
        return alike and int(reported.finite.sum()) > 1

    @property
    def of_spans(self) -> bool:
        """Whether the players are the spans of a prompt, which is shown as a text."""
        return self.attribution.of_spans and self.words is None and self.names is None and not self.of_pairs

    @property
    def chosen_output(self) -> int | None:
        """The token of the response that is shown first; None for the whole response."""
        return self.target if (self.attribution.num_outputs or 1) > 1 else None

    @property
    def has_bounds(self) -> bool:
        """Whether the intervals are upper bounds, of the sums over the tokens of a response."""
        several = (self.attribution.num_outputs or 1) > 1
        return self.attribution.of_spans and several and self.target is None and self.explained.errors is not None

    @property
    def of_pairs(self) -> bool:
        return isinstance(self.attribution, Interactions)

    @property
    def noun(self) -> str:
        """What a player is called."""
        if self.words is not None:
            return "word"
        return "region" if self.explained.on_images else "span" if self.attribution.of_spans else "player"

    def players(self, example: int) -> list[str]:
        """Returns the names of one example's players; of a text those of its words alone."""
        if self.words is not None:
            return self.given_words[example]
        names = self.own_names
        if names is not None:
            return [printable(str(name)) for name in (names[example] if self.has_names_of_each else names)]
        return [f"{self.noun} {number}" for number in range(self.explained.values.shape[1])]

    def input_texts(self, example: int) -> list[str] | None:
        given = self.given_inputs
        return None if given is None else [printable(spelled(value)) for value in given[example].tolist()]

    def class_name(self, number: int) -> str:
        names = self.attribution.output_names if self.classes is None else self.classes
        return f"class {number}" if names is None or number >= len(names) else str(names[number])


def options_as_text(options: Any) -> list[tuple[str, str]]:
    """Returns names of options and their values as texts."""
    if options is None:
        return []
    if not isinstance(options, Mapping):
        raise TypeError(f"`options` must be a dictionary of names and values, got {check.shown(options)}.")
    try:
        return [
            (str(name), value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
            for name, value in options.items()
        ]
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"`options` must hold what JSON can hold, such as numbers, strings and lists: {error}."
        ) from None


def key_as_text(key: Any) -> str | None:
    """Returns a text from which a key can be made again: its data, or the number that it was made from."""
    if key is None:
        return None
    if isinstance(key, (int, np.integer)) and not isinstance(key, bool):
        return f"jax.random.key({int(key)})"
    try:
        key = check.random_key(key)
    except TypeError:
        raise TypeError(
            f"`key` must be one JAX random key or the number that it was made from, got {check.shown(key)}."
        ) from None
    if not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        return f"{np.asarray(key).tolist()}"
    generator = re.sub(r"\W", "", str(jax.random.key_impl(key)))
    return f"{np.asarray(jax.random.key_data(key)).tolist()} ({generator})"


def check_text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"`{name}` must be a string, got {check.shown(value)}.")
    return value


def _check_texts(name: str, values: Any) -> None:
    if isinstance(values, str) or not isinstance(values, (Sequence, np.ndarray)):
        raise TypeError(f"`{name}` must be a sequence of strings, got {check.shown(values)}.")


def _read_examples(examples: Any, count: int) -> list[int]:
    if examples is None:
        return list(range(min(SHOWN, count)))
    if isinstance(examples, str) or not isinstance(examples, (Sequence, np.ndarray)) or len(examples) == 0:
        raise TypeError(f"`examples` must be a sequence of indices of examples, got {check.shown(examples)}.")
    read = [check.positive_int("examples", example, least=-count) for example in examples]
    if max(read) >= count:
        raise ValueError(f"`examples` must be between {-count} and {count - 1}, got {max(read)}.")
    read = [example % count for example in read]
    if len(set(read)) < len(read):
        raise ValueError(f"`examples` must name each example once, got {check.shown(examples)}.")
    return read
