"""LIME for strings: which words speak for the output (Ribeiro, Singh & Guestrin 2016, section 3.1)."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.attribution import Surrogate
from xaijax._core.compile import compiled
from xaijax._core.game import ModelGame
from xaijax._core.progress import steps, watched
from xaijax._core.target import TargetLike, as_target, output_shapes
from xaijax._core.typing import Array, Int
from xaijax._model import as_model
from xaijax.lime._fit import fit
from xaijax.lime._text import options_of
from xaijax.lime._words import Encoder, Tokenizer, check_texts, one_of_few_sizes, padded_length
from xaijax.mask import Tokens


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Words:
    """An explanation of strings, with its words.

    attribution: values [N, M], the coefficient of each word of each text, 0 behind a text's last word; regions [N, L]
      the word of each token, -1 for separators and padding.
    words: for each text its words, in the order of the values; of a bag of words in the order of their first use.
    """

    attribution: Surrogate
    words: tuple[tuple[str, ...], ...] = dataclasses.field(metadata={"static": True})

    def of(self, row: int) -> Surrogate:
        """One text's explanation with a value for each of its words, [1, m]: for `xai.plot.bars(_, names=words[row])`."""
        row = self._check_row(row)
        shape, count = self.attribution.values.shape, len(self.words[row])

        def cut(leaf: Any) -> np.ndarray:  # in NumPy: every length would be a program of its own
            leaf = np.asarray(leaf)
            return leaf[row : row + 1, :count] if leaf.shape == shape else leaf[row : row + 1]

        return jax.tree.map(cut, self.attribution)

    def as_list(self, row: int = 0, *, std_errors: bool = False) -> list[tuple[Any, ...]]:
        """[(word, weight)] of one text, the heaviest first; with std_errors [(word, weight, standard error)]."""
        one = self.of(row)
        if one.values.ndim != 2:
            raise ValueError(
                "the attribution is of all outputs at once: give a target, or read attribution.values [N, M, K]."
            )
        weights, errors = np.asarray(one.values[0]), one.std_errors
        order = np.argsort(-np.abs(weights), kind="stable")
        found = [(self.words[row][place], float(weights[place])) for place in order]
        if not std_errors or errors is None:
            return found
        return [(*pair, float(errors[0, place])) for pair, place in zip(found, order, strict=True)]

    def _check_row(self, row: int) -> int:
        row = check.positive_int("row", row, least=0)
        if row >= len(self.words):
            raise ValueError(f"row must lie between 0 and {len(self.words) - 1}, but it is {row}.")
        return row


@watched("lime.strings")
def strings(
    model: Any,
    texts: Any,
    tokenizer: Tokenizer,
    *,
    key: Any,
    pad_id: int,
    mask_id: int | None = None,
    bag_of_words: bool = True,
    split: str = r"\W+",
    length: int | None = None,
    target: TargetLike = None,
    definitions: str = "xaijax",
    ids: Any = None,
    **options: Any,
) -> Words:
    """LIME for strings: which words of a text speak for the output, whatever tokens the model reads.

    Args:
      model: any model of token ids [n, L], that pays no attention to padding at the end.
      texts: N strings.
      tokenizer: maps a string to its ids, ints, without special tokens. The ids of a text must be those of its words
        and separators one after the other (or of its words with the space before them), and every word must have one.
      key: a JAX random key. Each text's neighborhood depends on the key and its id alone.
      pad_id: the id that fills up short texts; no text may have it.
      mask_id: the id that replaces the tokens of absent words. Default None: they are cut out, as in lime.
      bag_of_words: whether all places of a word are one player; otherwise each place is its own. Default True, as in
        lime: the models that texts are explained for first count words.
      split: a regular expression of what separates words, which is always present. Default r"\\W+", as in lime.
      length: L, the number of tokens that every text is padded to. Default: for each text the next power of two or one and a half, so
        that its answer does not depend on the other texts, and few programs are compiled.
      target: an int, ints [N], a callable, "all", or None for the top class.
      definitions: "lime" for those of the package lime 0.2 for text, see below. Default "xaijax".
      ids: [N] integers that name the texts for their randomness. Default: their positions.
      **options: further arguments of `xai.lime.fit`, such as num_samples.

    What lime does otherwise, and definitions="lime" does as it does:
      - 5000 samples, whose number of absent words is uniform between 1 and all (sampling "sizes"): more nearly whole and
        nearly empty texts than from the paper's fair coins, whose law ours follows here as for images.
      - pi = sqrt(exp(-d²/25²)), with d 100 times the cosine distance: kernel_width 0.25, in units of the distance itself.
      - the 10 words that "auto" finds, fitted alone. We keep all: a short list does not say how much it leaves out.
      - ridge 1, added to the weighted sums of squares. It pulls coefficients to 0, the more the fewer the samples.
    What is given besides goes before: num_samples, kernel_width, num_features, feature_selection="none" for all words.
    Whatever the definitions, lime ranks words by a fit of ridge 0.01, explains the probability of class 1 (pass a model
    of probabilities and target=1), and puts UNKWORDZ for absent words where bag_of_words=False (pass a mask_id).

    Returns:
      The attribution, values [N, M] with std_errors as from `xai.lime.fit`, and the words that the values belong to:
      `as_list(row)` gives pairs, `of(row)` one text alone.

    Raises:
      TypeError: if the texts are no strings, or the tokenizer returns no sequence of ints.
      ValueError: if a text has no words or more than `length` tokens, or the tokenizer loses words, gives one the
        padding id, or tokenizes pieces differently from the whole.

    References:
      Ribeiro, Singh & Guestrin (2016), "Why should I trust you?", arXiv:1602.04938, section 3.1.

    >>> import jax, jax.numpy as jnp, xaijax as xai
    >>> meaning = {"": 0.0, "good": 2.0, "bad": -1.0, "film": 0.5}
    >>> number, weights = {word: place for place, word in enumerate(meaning)}, jnp.array(list(meaning.values()))
    >>> tokenizer = lambda text: [number[word] for word in text.split()]
    >>> model = lambda ids: weights[ids].sum(axis=1)
    >>> found = xai.lime.strings(model, ["good good film", "bad film"], tokenizer, key=jax.random.key(0), pad_id=0)
    >>> [(word, round(weight, 2)) for word, weight in found.as_list(0)]
    [('good', 4.0), ('film', 0.5)]
    """
    texts = check_texts(texts)
    pad_id = check.positive_int("pad_id", pad_id, least=0)
    if mask_id is not None:
        check.positive_int("mask_id", mask_id, least=0)
    encoder = Encoder(tokenizer, split=split, bag_of_words=bag_of_words, pad_id=pad_id)
    encoded = [encoder(text, number) for number, text in enumerate(texts)]
    # One more player than words at least. It is nobody: tokens of no word (-1) find its 0 in `attribution.on_input()`.
    shapes = [(padded_length(one, length, n), one_of_few_sizes(len(one.words) + 1)) for n, one in enumerate(encoded)]
    model, num_texts = as_model(model), len(texts)
    longest = max(length for length, _ in shapes)
    outputs = output_shapes(model, jnp.full((num_texts, longest), pad_id, jnp.int32), num_texts)
    whole_target = as_target(target, outputs, num_texts, all_allowed=True)
    ids = check.example_ids(np.arange(num_texts) if ids is None else ids, num_texts)
    options = options_of(definitions, options)

    order, parts = [], []
    for shape in steps("texts", sorted(set(shapes))):
        rows = np.array([row for row, other in enumerate(shapes) if other == shape])
        x, groups = (
            jnp.asarray([_filled(one, shape[0], filler) for one in arrays])
            for arrays, filler in (
                ([encoded[row].ids for row in rows], pad_id),
                ([encoded[row].owners for row in rows], -1),
            )
        )
        masker = Tokens(None if mask_id is None else jnp.asarray(mask_id), jnp.asarray(pad_id), groups, shape[1])
        of_rows = dataclasses.replace(
            whole_target,
            index=None if whole_target.index is None else whole_target.index[rows],
            arguments=jax.tree.map(lambda leaf, rows=rows: leaf[rows], whole_target.arguments),
        )
        parts.append(fit(ModelGame(model, x, masker, of_rows), key=key, ids=ids[rows], **options))
        order.extend(rows)
    return Words(_joined(parts, np.argsort(order)), tuple(one.words for one in encoded))


def _filled(values: np.ndarray, length: int, filler: int) -> np.ndarray:
    return np.concatenate([values, np.full(length - len(values), filler, np.int32)])


@compiled(title="lime.strings")
def _joined(parts: list[Surrogate], order: Int[Array, " N"]) -> Surrogate:
    """Rows of different lengths under each other, in order: filled up with 0, and the owners of tokens with -1."""

    def join(*leaves: Array) -> Array:
        longest = np.max([leaf.shape[1:] for leaf in leaves], axis=0).astype(int)
        missing = [
            [(0, 0), *((0, full - size) for full, size in zip(longest, leaf.shape[1:], strict=True))] for leaf in leaves
        ]
        filler = -1 if jnp.issubdtype(leaves[0].dtype, jnp.integer) else 0
        filled = [jnp.pad(leaf, widths, constant_values=filler) for leaf, widths in zip(leaves, missing, strict=True)]
        return jnp.concatenate(filled)[order]

    return jax.tree.map(join, *parts)
