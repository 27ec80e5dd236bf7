"""Small data sets, an explainer in NumPy, and what a store holds."""

import threading

import numpy as np

import xaijax as xai

ROWS, BATCH = 23, 5  # five chunks, the last of three rows


class Rows:
    """Six numbers for each row; `broken` maps rows to what they are instead: arrays, or errors to raise."""

    def __init__(self, count=ROWS, broken=None, shift=0.0):
        self.count, self.broken, self.shift = count, dict(broken or {}), shift
        self.read = []

    def __len__(self):
        return self.count

    def __getitem__(self, row):
        self.read.append(row)
        found = self.broken.get(row, np.cos(np.arange(6.0) + row + self.shift).astype(np.float32))
        if isinstance(found, list):  # what comes at each attempt
            found = found.pop(0) if len(found) > 1 else found[0]
        if isinstance(found, Exception):
            raise found
        return found


class Explainer:
    """Twice the row, plus its id, as NumPy has it; notes the first id of each batch."""

    def __init__(self, factor=2.0):
        self.factor = factor
        self.batches = []
        self.lock = threading.Lock()

    def __call__(self, x, ids):
        with self.lock:
            self.batches.append(int(ids[0]))
        values = (self.factor * x + ids[:, None]).astype(np.float32)
        return xai.Attribution(values, x.sum(axis=1), target=ids % 3, method="twice")


def twice(x, ids, factor=2.0):
    return Explainer(factor)(x, ids)


def explain(source, out, explainer=twice, **options):
    given = {"batch_size": BATCH, "compiled": False, "progress": False}
    return xai.scale.explain_dataset(explainer, source, out, **given | options)
