"""LIME for texts (Ribeiro, Singh & Guestrin 2016, section 3.1): the players are tokens, or the words of a string."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax import mask
from xaijax._core import check
from xaijax._core.attribution import Surrogate
from xaijax._core.model_game import ModelGame, game
from xaijax._core.progress import steps, watched
from xaijax._core.target import bind_target
from xaijax._core.typing import ArrayOrSequence, Ids, Inputs, KeyLike, ModelLike, TargetLike
from xaijax._model import CallbackModel, as_model
from xaijax.lime._explain import DEFINITIONS
from xaijax.lime._fit import fit
from xaijax.lime._words import Encoded, Encoder, Split, Tokenizer, check_texts, padded_sizes
from xaijax.mask import Tokens


def text(
    model: ModelLike,
    x: Inputs,
    *,
    key: KeyLike,
    mask_id: int | None = None,
    pad_id: int | None = None,
    groups: ArrayOrSequence | None = None,
    part: str | None = None,
    attention_mask: str | None = None,
    target: TargetLike = None,
    num_samples: int | None = None,
    sampling: str | None = None,
    distance: str = "cosine",
    kernel_width: float | None = None,
    ridge: float | None = None,
    num_features: int | None = None,
    feature_selection: str = "auto",
    surrogate: str = "linear",
    until: float | None = None,
    max_samples: int | None = None,
    top: int = 5,
    definitions: str = "xaijax",
    output_names: Sequence[str] | None = None,
    ids: Ids = None,
    batch_size: int | None = None,
) -> Surrogate:
    """Fits a linear surrogate to which tokens of a sequence are present. For strings see `xai.lime.strings`.

    Args:
      model: any model of token ids [N, L], or of dicts that hold them.
      x: [N, L] token ids, integers; or a dict of arrays, with `part`.
      key: a JAX random key.
      mask_id: the id that replaces an absent token. Default None: absent tokens are cut out, which needs a pad_id.
      pad_id: the id of padding, whose positions are left as they are. Default: there is none.
      groups: [N, L] the player of each position, -1 for none, as in `xai.mask.tokens`. Default: every position is a
        player.
      part, attention_mask: the keys of the ids and of the mask of attention in dicts such as {"input_ids": ...,
        "attention_mask": ...}, as in `xai.mask.tokens`. Default: x is the token ids.
      target: an int, ints [N], a callable, "all", or None for the top class.
      num_samples, sampling, distance, kernel_width, ridge, num_features, feature_selection, surrogate, until,
        max_samples, top, ids, batch_size: as for `xai.lime.fit`.
      definitions: "lime" for those of the package lime 0.2 for text, as in `xai.lime.strings`.
      output_names: K names of the model's outputs. Default: none.

    Returns:
      As `xai.lime.fit`, one coefficient for each position or group; padding has 0.
    """
    masker = mask.tokens(mask_id, pad_id=pad_id, groups=groups, part=part, attention_mask=attention_mask)
    return fit(
        game(model, x, masker, target=target, output_names=output_names), key=key, distance=distance, kernel_width=kernel_width, ridge=ridge,
        feature_selection=feature_selection, surrogate=surrogate, until=until, max_samples=max_samples, top=top, ids=ids,
        batch_size=batch_size, **_of_definitions(definitions, num_samples, sampling, num_features),
    )  # fmt: skip


@watched("lime.strings")
def strings(
    model: ModelLike,
    texts: Sequence[str],
    tokenizer: Tokenizer | None = None,
    *,
    key: KeyLike,
    pad_id: int | None = None,
    mask_id: int | None = None,
    bag_of_words: bool = True,
    split: Split = None,
    length: int | None = None,
    target: TargetLike = None,
    num_samples: int | None = None,
    sampling: str | None = None,
    distance: str = "cosine",
    kernel_width: float | None = None,
    ridge: float | None = None,
    num_features: int | None = None,
    feature_selection: str = "auto",
    surrogate: str = "linear",
    until: float | None = None,
    max_samples: int | None = None,
    top: int = 5,
    definitions: str = "xaijax",
    output_names: Sequence[str] | None = None,
    ids: Ids = None,
    batch_size: int | None = None,
) -> Surrogate:
    """Fits a linear surrogate to which words of a text are present, for models of any tokens.

    Args:
      model: any model of token ids [n, L] that ignores padding at the end; or a function of lists of n strings, as
        `xai.callback(predict)` or a pipeline of scikit-learn.
      texts: N strings.
      tokenizer: maps a string to its ids, ints, without special tokens. The ids of a text must be those of its words
        and separators one after the other (or of its words with the space before them), and every word must have one.
        Default None, for a model of strings alone: texts without their absent words reach it as strings.
      key: a JAX random key. Each text's neighborhood depends only on the key and the text's id.
      pad_id: the id that fills up short texts; no text may have it. None without a tokenizer.
      mask_id: the id that replaces the tokens of absent words. Default None: they are cut out, as in lime.
      bag_of_words: whether all occurrences of a word are one player; otherwise each occurrence is one. Default True, as in
        lime: the models that texts are explained for first count words.
      split: what the words are. A regular expression of the separators between them, such as r"\\W+", which may match
        nothing between two words; or a function from a text to its words, such as `str.split` or `jieba.lcut`. Separators
        are always present. Default None: the words of the Unicode standard (UAX 29), which keep apostrophes and combining
        marks, and where each emoji is a word (definitions "lime": r"\\W+"). They need spaces between words. Chinese,
        Japanese, Thai and Lao fall into single characters, Burmese and Khmer into parts of syllables: pass a function
        that knows their words.
      length: L, the number of tokens that every text is padded to. Default: for each text the next power of two, from 16
        on, so that its answer does not depend on the other texts. Texts of one padded length share their programs: at
        most 8 programs hold the model for all texts of up to 1,024 tokens.
      target: an int, ints [N], a callable, "all", or None for the top class.
      num_samples, sampling, distance, kernel_width, ridge, num_features, feature_selection, surrogate, until,
        max_samples, top, ids, batch_size: as for `xai.lime.fit`.
      definitions: "lime" for those of the package lime 0.2 for text, see below. Default "xaijax".
      output_names: K names of the model's outputs. Default: none.

    The definitions of lime are:

      - 5000 samples, whose number of absent words is uniform between 1 and all (sampling "sizes"). They hold more nearly
        whole and nearly empty texts than the paper's fair coins.
      - pi = sqrt(exp(-d²/25²)), with d 100 times the cosine distance: kernel_width 0.25, in units of the distance itself.
      - the 10 words that "auto" selects, fitted alone.
      - ridge 1, added to the weighted sums of squares, which shrinks coefficients, the more the fewer the samples.

    Other options replace these: num_samples, kernel_width, num_features, feature_selection="none" for all words.
    Under either definitions, lime ranks words by a fit of ridge 0.01, explains the probability of class 1 (pass a model of
    probabilities and target=1), and writes UNKWORDZ for absent words where bag_of_words=False (pass a mask_id).

    Returns:
      values [N, M] with std_errors and the other fields of `xai.lime.fit`, where M is the largest number of words of a
      text. `names` holds the words of each text, in the order of their first use; texts with fewer words are filled up with
      the name "" and the value 0. `regions` [N, L] is the word of each token, -1 for separators and padding, so that
      `attribution.on_input()` lays the values out over the tokens.

    Raises:
      TypeError: if the texts are no strings, or the tokenizer returns no sequence of ints.
      ValueError: if a text has no words or more than `length` tokens, or the tokenizer loses words, gives one the
        padding id, or tokenizes pieces differently from the whole.

    References:
      Ribeiro, Singh & Guestrin (2016), "Why should I trust you?", arXiv:1602.04938, section 3.1.
      Unicode Standard Annex 29, Unicode text segmentation.

    >>> import jax, jax.numpy as jnp, xaijax as xai
    >>> meaning = {"": 0.0, "good": 2.0, "bad": -1.0, "film": 0.5}
    >>> number, weights = {word: index for index, word in enumerate(meaning)}, jnp.array(list(meaning.values()))
    >>> tokenizer = lambda text: [number[word] for word in text.split()]
    >>> model = lambda ids: weights[ids].sum(axis=1)
    >>> words = xai.lime.strings(model, ["good good film", "bad film"], tokenizer, key=jax.random.key(0), pad_id=0)
    >>> [(name, round(value, 2)) for name, value in zip(words.player_names(0), words.values[0].tolist())]
    [('good', 4.0), ('film', 0.5)]
    """
    texts, model = check_texts(texts), as_model(model)
    if tokenizer is None and pad_id is None and isinstance(model, CallbackModel) and not model.has_decoder:
        model, tokenizer, pad_id = model.decoding(_from_characters), _characters, 0
    tokenizer = _checked_tokenizer(tokenizer)
    pad_id = check.positive_int("pad_id", pad_id, least=0)
    if mask_id is not None:
        check.positive_int("mask_id", mask_id, least=0)
    options = _of_definitions(definitions, num_samples, sampling, num_features)
    split = r"\W+" if split is None and definitions == "lime" else split
    bag_of_words = check.flag("bag_of_words", bag_of_words)
    encoder = Encoder(tokenizer, split=split, bag_of_words=bag_of_words, pad_id=pad_id)
    encoded = [encoder(text, number) for number, text in enumerate(texts)]
    per_word = _CHARACTERS_PER_WORD if tokenizer is _characters else 1
    shapes = [padded_sizes(own, length, number, per_word) for number, own in enumerate(encoded)]
    num_texts, longest = len(texts), max(length for length, _ in shapes)
    whole = _on_device(np.stack([_resized(own.ids, [longest], pad_id) for own in encoded]))
    model, whole_target = bind_target(model, whole, target, num_texts, all_allowed=True)
    text_ids = check.example_ids(np.arange(num_texts) if ids is None else ids, num_texts)

    order, parts, filler = [], [], _on_device(np.int32(pad_id))
    for size, num_words in steps("texts", sorted(set(shapes))):
        rows = np.array([row for row, shape in enumerate(shapes) if shape == (size, num_words)])
        x = _on_device(np.stack([_resized(encoded[row].ids, [size], pad_id) for row in rows]))
        groups = _on_device(np.stack([_resized(encoded[row].owners, [size], -1) for row in rows]))
        masker = Tokens(None if mask_id is None else _on_device(np.int32(mask_id)), filler, groups, num_words)
        target_of_rows = dataclasses.replace(
            whole_target,
            index=None if whole_target.index is None else _rows(whole_target.index, rows),
            arguments=jax.tree.map(lambda leaf, rows=rows: _rows(leaf, rows), whole_target.arguments),
        )
        attribution = fit(
            ModelGame(model, x, masker, target_of_rows), key=key, distance=distance, kernel_width=kernel_width, ridge=ridge,
            feature_selection=feature_selection, surrogate=surrogate, until=until, max_samples=max_samples, top=top,
            ids=_rows(text_ids, rows), batch_size=batch_size, **options,
        )  # fmt: skip
        parts.append(attribution)
        order.extend(rows)
    joined = _join(parts, np.argsort(order), encoded, longest)
    return joined if output_names is None else joined.with_names(output_names=output_names)


def _checked_tokenizer(tokenizer: Tokenizer | None) -> Tokenizer:
    if tokenizer is None:
        raise TypeError(
            "`tokenizer` must map a string to its ids, got None: only a model of strings goes without, such as "
            "xai.callback(predict) without `decode`, and then without a pad_id too."
        )
    return tokenizer


_CHARACTERS_PER_WORD = 4  # with the separator after it; few texts have fewer


def _characters(text: str) -> list[int]:
    """Returns a token for each character, for models of strings; 0 stays free for padding."""
    return [1 + ord(character) for character in text]


def _from_characters(ids: np.ndarray) -> str:
    """Returns the string of these tokens."""
    return (ids[ids > 0] - 1).astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")


def _of_definitions(definitions: str, num_samples: Any, sampling: Any, num_features: Any) -> dict[str, Any]:
    """Returns the options of `fit` whose defaults are those of lime's text explainer, where its definitions are chosen."""
    check.one_of("definitions", definitions, DEFINITIONS)
    defaults = (5000, "sizes", 10) if definitions == "lime" else (1000, None, None)
    given = (num_samples, sampling, num_features)
    chosen = [default if value is None else value for value, default in zip(given, defaults, strict=True)]
    return {"definitions": definitions} | dict(zip(("num_samples", "sampling", "num_features"), chosen, strict=True))


def _join(parts: list[Surrogate], order: np.ndarray, encoded: list[Encoded], longest: int) -> Surrogate:
    """Joins texts of different lengths, in order: values are filled up with 0, the words of tokens with -1."""
    num_words = max(len(text.words) for text in encoded)
    xp = np if check.is_concrete(parts) else jnp
    first, joined = parts[0], {}
    for name in first.array_fields():
        if getattr(first, name) is None:
            continue
        sizes = {"M": num_words, "R": longest}
        wanted = [sizes.get(axis) for axis in first.axes_of(name)]
        leaves = [_resized(xp.asarray(getattr(part, name)), wanted, -1 if name == "regions" else 0) for part in parts]
        joined[name] = _on_device(xp.concatenate(leaves)[order])
    names = tuple(text.words + ("",) * (num_words - len(text.words)) for text in encoded)
    return dataclasses.replace(first, **joined, names=names)


# JAX compiles a program for each shape of what it converts, and of what it takes rows of; NumPy and copying compile none.
def _on_device(values: Any) -> Any:
    return jax.device_put(values) if isinstance(values, np.ndarray | np.generic) else values


def _rows(values: Any, rows: np.ndarray) -> Any:
    return _on_device(np.asarray(values)[rows]) if check.is_concrete(values) else values[rows]


def _resized(values: Any, sizes: list[int | None], filler: int) -> Any:
    """Returns the values with each axis cut or filled up to its size; None for axes that stay."""
    values = values[tuple(slice(size) for size in sizes)]
    missing = [(0, 0 if size is None else size - length) for size, length in zip(sizes, values.shape, strict=True)]
    if not any(after for _, after in missing):
        return values
    return (np if isinstance(values, np.ndarray) else jnp).pad(values, missing, constant_values=filler)
