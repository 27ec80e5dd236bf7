"""What is reported: an attribution, and what a reader needs beside it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from xaijax._core import check
from xaijax._core.attribution import Attribution, Interactions
from xaijax._report._explained import Explained, explained
from xaijax._report._given import check_text, check_texts, key_in_words, options_in_words, read_examples
from xaijax._report._html import printable
from xaijax._report._words import spelt


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Section:
    """One attribution of a report, and what a reader needs to read it.

    attribution: what an explainer returned, values [N, M] or [M] of players, [N, h, w] of maps, or of all outputs.
    title: default, the method.
    text: what you say of it, plain text; empty lines set paragraphs apart.
    output: what the model's output is, such as "price in 100,000 dollars". Default "the model's output".
    names: M names of the players; or M for each example, such as conditions of LIME. Default "player 0", or the words.
    classes: names of the classes, by their numbers.
    inputs: [N, M] the inputs, numbers or texts, shown beside the names.
    images: [N, H, W, C] or [N, H, W] the images that maps or regions are drawn on.
    words: for each example its words, one for each value from the first; further values (padding) are not shown. For one
      example also its words alone.
    examples: numbers of the examples that are shown one by one. Default: the first 3.
    target: of an attribution of all outputs, the class that is reported. Default: the top class of each example.
    top: how many players have a row of their own in tables and pictures. Default 10; the others are summed.
    options: the arguments that made it, anything that JSON can say, as for `xai.save`.
    key: the random key, or the number it was made from.

    Raises:
      TypeError, ValueError: if any of them is of the wrong type, or does not fit the attribution.
    """

    attribution: Attribution
    _: dataclasses.KW_ONLY
    title: str | None = None
    text: str = ""
    output: str = "the model's output"
    names: Any = None
    classes: Any = None
    inputs: Any = None
    images: Any = None
    words: Any = None
    examples: Any = None
    target: int | None = None
    top: int = 10
    options: Mapping[str, Any] | None = None
    key: Any = None

    def __post_init__(self) -> None:
        if not isinstance(self.attribution, Attribution):
            raise TypeError(
                f"attribution must be what an explainer returns, but it is {type(self.attribution).__name__}."
            )
        if self.target is not None:
            check.positive_int("target", self.target, least=0)
        check.positive_int("top", self.top)
        for name in ("text", "output", *(["title"] if self.title is not None else [])):
            check_text(name, getattr(self, name))
        one = self.explained
        self._check_names(one)
        self._check_inputs(one)
        self._check_words(one)
        read_examples(self.examples, one.num_examples)
        options_in_words(self.options)
        key_in_words(self.key)

    def _check_names(self, one: Explained) -> None:
        if self.names is not None:
            if self.words is not None:
                raise ValueError("names and words both name the players: give one of them.")
            if not one.of_players:
                raise ValueError(f"names are for players, but the attribution is of maps, {list(one.values.shape)}.")
            check_texts("names", self.names)
            if self.has_names_of_each and len(self.names) != one.num_examples:
                raise ValueError(
                    f"names must be of all examples or of each of {one.num_examples}, but there are {len(self.names)} lists."
                )
            for names in self.names if self.has_names_of_each else [self.names]:
                if len(names) != one.values.shape[1]:
                    raise ValueError(
                        f"names must have one entry for each of {one.values.shape[1]} players, but there are {len(names)}."
                    )
        if self.classes is not None:
            check_texts("classes", self.classes)
            target = one.attribution.target
            most = (one.chosen or 0) - 1 if target is None else max(int(np.max(target)), (one.chosen or 0) - 1)
            if len(self.classes) <= most:
                raise ValueError(
                    f"classes must have a name for every class up to {most}, but there are {len(self.classes)}."
                )

    def _check_inputs(self, one: Explained) -> None:
        if self.inputs is not None:
            given = np.shape(self.given_inputs)
            if given != one.values.shape or not one.of_players:
                raise ValueError(
                    f"inputs must have one entry for each value, {list(one.values.shape)} of players, but its shape is "
                    f"{list(given)}."
                )
        if self.images is not None:
            given = np.shape(self.given_images)
            if not one.on_images:
                raise ValueError(
                    "images are for attributions of maps [N, h, w] or of regions of images, but values have shape "
                    f"{list(one.values.shape)} and no such regions."
                )
            if len(given) not in (3, 4) or given[0] != one.num_examples:
                raise ValueError(
                    f"images must have shape [{one.num_examples}, H, W, C], one for each example, but its shape is {list(given)}."
                )

    def _check_words(self, one: Explained) -> None:
        if self.words is None:
            return
        if not one.of_players:
            raise ValueError(f"words are for values [N, M] of tokens, but the shape is {list(one.values.shape)}.")
        for number, words in enumerate(self.given_words):
            check_texts("words", words)
            if not 0 < len(words) <= one.values.shape[1]:
                raise ValueError(
                    f"words must be 1 to {one.values.shape[1]} for each example, one for each value, but example {number} has "
                    f"{len(words)}."
                )
        if len(self.given_words) != one.num_examples:
            raise ValueError(
                f"words must have a sequence for each of {one.num_examples} examples, but has {len(self.given_words)}."
            )

    @functools.cached_property
    def explained(self) -> Explained:
        return explained(self.attribution, self.target)

    @functools.cached_property
    def given_inputs(self) -> np.ndarray:
        given = np.asarray(self.inputs)
        return given[None] if self.explained.alone and given.ndim == 1 else given

    @functools.cached_property
    def given_images(self) -> np.ndarray:
        given = np.asarray(check.numeric_array("images", self.images))
        alone = self.explained.alone and (given.ndim == 2 or (given.ndim == 3 and given.shape[0] != 1))
        return given[None] if alone else given

    @functools.cached_property
    def given_words(self) -> list[list[str]]:
        if isinstance(self.words, str):
            raise TypeError("words must be a sequence of words for each example, but it is one string: split it.")
        words = list(self.words)
        return [words] if words and all(isinstance(word, str) for word in words) else [list(each) for each in words]

    @property
    def has_names_of_each(self) -> bool:
        """Whether each example has names of its own."""
        return self.names is not None and len(self.names) > 0 and not isinstance(self.names[0], str)

    @property
    def heading(self) -> str:
        return self.title or self.attribution.method or type(self.attribution).__name__

    @property
    def shown(self) -> list[int]:
        """The examples that are shown one by one, without those of which there is nothing to show."""
        one = self.explained
        return [example for example in read_examples(self.examples, one.num_examples) if one.finite[example]]

    def players(self, example: int) -> list[str]:
        """The names of one example's players; of a text those of its words alone."""
        if self.words is not None:
            return self.given_words[example]
        if self.names is not None:
            names = self.names[example] if self.has_names_of_each else self.names
            return [printable(str(name)) for name in names]
        noun = "region" if self.explained.on_images else "player"
        return [f"{noun} {place}" for place in range(self.explained.values.shape[1])]

    def input_texts(self, example: int) -> list[str] | None:
        if self.inputs is None:
            return None
        return [printable(spelt(value)) for value in self.given_inputs[example].tolist()]

    def class_name(self, number: int) -> str:
        return f"class {number}" if self.classes is None else str(self.classes[number])


def is_together(section: Section) -> bool:
    """Whether players are the same in all examples, so that means over examples say something."""
    one = section.explained
    alike = one.of_players and not one.on_images and section.words is None and not section.has_names_of_each
    return alike and int(one.finite.sum()) > 1


def is_of_pairs(section: Section) -> bool:
    return isinstance(section.attribution, Interactions)
