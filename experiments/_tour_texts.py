"""The tour's third room: which words tell machine learning from image processing (LIME)."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import xaijax as xai
from experiments._networks import TextNet
from experiments._report import Report
from experiments._texts import CLASSES, PADDING, UNKNOWN, Corpus, load_corpus
from experiments._train import cross_entropy, train

_SHOWN = 4


def visit(report: Report, key: Any, seed: int) -> None:
    report.step("training on docstrings")
    corpus = load_corpus(vocabulary=2000, seed=seed)
    model = train_on_docstrings(corpus, key, seed)
    logits = np.asarray(model(corpus.test_ids))
    accuracy = float((logits.argmax(axis=1) == corpus.test_labels).mean())
    report.numbers["docstrings: test accuracy"] = accuracy
    report.say(f"docstrings: {len(logits)} sentences from unseen modules, test accuracy {accuracy:.1%}")

    report.step("explaining docstrings")
    margin = logits[:, 1] - logits[:, 0]
    lengths = (corpus.test_ids > UNKNOWN).sum(axis=1)
    order = [place for place in np.argsort(margin) if lengths[place] >= 12]  # long enough to be worth reading
    shown = np.array(order[: _SHOWN // 2] + order[-(_SHOWN // 2) :])
    ids = corpus.test_ids[shown]
    image_processing = lambda logits: logits[:, 1] - logits[:, 0]  # noqa: E731  (the log odds)
    lime = xai.lime.text(
        model, ids, key=key, mask_id=UNKNOWN, pad_id=PADDING, target=image_processing, num_samples=1000
    )
    report.numbers["docstrings: LIME local R², mean"] = float(lime.r_squared.mean())
    report.keep("docstrings_lime", lime)
    report.section(
        lime, title="Which words give a sentence's package away", output=f"the log odds of {CLASSES[1]}",
        words=[corpus.read(row) for row in ids], examples=list(range(_SHOWN)), options={"num_samples": 1000}, key=key,
    )  # fmt: skip

    figure, axes = plt.subplots(_SHOWN, 1, figsize=(9, 1.15 * _SHOWN), layout="constrained")
    figure.suptitle(f"LIME: red words speak for {CLASSES[1]}, blue ones for {CLASSES[0]}", fontsize=11)
    for row, ax in enumerate(axes):
        said = CLASSES[int(margin[shown[row]] > 0)]
        title = f"the model says {said}; local R² {lime.r_squared[row]:.2f}"
        xai.plot.text(lime, corpus.read(ids[row]), example=row, ax=ax, title=title)
    report.figure("docstrings", figure, "which words give a sentence's package away (LIME)")


def train_on_docstrings(corpus: Corpus, key: Any, seed: int, *, epochs: int = 8) -> xai.Model:
    """Token ids to two logits, one for each package."""
    module = TextNet(len(corpus.words))
    variables = module.init(key, jnp.asarray(corpus.train_ids[:1]))

    def loss(variables: Any, state: Any, batch: Any) -> tuple[jax.Array, Any]:
        logits: Any = module.apply(variables, batch["x"])
        return cross_entropy(logits, batch["y"]), state

    data = {"x": corpus.train_ids, "y": corpus.train_labels}
    variables, _ = train(loss, variables, (), data, epochs=epochs, batch_size=64, rate=4e-3, seed=seed)
    return xai.linen(module, variables)
