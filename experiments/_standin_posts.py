"""A stand-in for newsgroup posts where there are none: generated, with the defect of the real ones built in.

The real groups differ in their headers: how the sites of their readers and moderators post. Here 85 % of the first
group's posts and 10 % of the second's have a line `NNTP-Posting-Host`, and more of the first are answers (`Re`). The
bodies are words drawn at random; each group has some of its own that it uses only a little more than the other does.
What is measured on this corpus says that the machinery finds a defect that is there, and nothing about newsgroups.
"""

from __future__ import annotations

import numpy as np


def _words(text: str) -> list[str]:
    return text.split()


_COMMON = _words(
    "the a of to and in that is it for not this was are with as you have they be on what can will there from who one "
    "would or about do people think only more say any no then other good some like know time how believe right world "
    "even many question point make reason way should could well life true mean argue read word answer"
)
_OF_GROUP = (
    _words("evidence claim morality logic objective science natural burden proof theist atheist sceptic rational"),
    _words("church faith grace prayer scripture gospel sin heaven spirit worship resurrection apostle blessed"),
)
_SUBJECTS = _words("morals history language reading translation authority suffering law nature miracles tradition")
_SITES = _words("alder birch cedar fir hazel juniper larch maple oak pine rowan spruce willow yew")
_POSTING_HOST = (0.85, 0.10)  # how often a post of each group has the line
_ANSWER = (0.8, 0.5)
_OWN, _OTHER = 0.08, 0.03  # how often a word of the body is of the group's own, and of the other's


def make_posts(count: int, *, seed: int) -> tuple[list[str], np.ndarray]:
    """Posts with headers, as many of each group, and their labels [count], in random order."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % 2).astype(np.int32)
    return [_post(int(label), rng) for label in labels], labels


def _post(label: int, rng: np.random.Generator) -> str:
    site = f"{rng.choice(_SITES)}.example.edu"
    length = int(rng.integers(40, 90))
    kinds = rng.choice(3, size=length, p=[1 - _OWN - _OTHER, _OWN, _OTHER])
    sources = (_COMMON, _OF_GROUP[label], _OF_GROUP[1 - label])
    words = [sources[kind][rng.integers(len(sources[kind]))] for kind in kinds]
    answer = "Re: " if rng.random() < _ANSWER[label] else ""
    header = [
        f"From: {rng.choice(_SITES)}{rng.integers(100)}@{site}",
        f"Subject: {answer}{rng.choice(_SUBJECTS)}",
        f"Lines: {-(-length // 12)}",
    ]
    if rng.random() < _POSTING_HOST[label]:
        header.append(f"NNTP-Posting-Host: {site}")
    lines = [" ".join(words[start : start + 12]) for start in range(0, length, 12)]
    return "\n".join(header) + "\n\n" + "\n".join(lines) + "\n"
