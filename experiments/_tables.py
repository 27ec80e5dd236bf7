"""Two real tables that ship with scikit-learn, split and standardised by their training rows."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.model_selection import train_test_split


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows in standard deviations from the training mean, their labels, and how to say them in their own units."""

    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray
    names: list[str]
    mean: np.ndarray
    deviation: np.ndarray

    def in_units(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(x) * self.deviation + self.mean


def breast_cancer(seed: int) -> Table:
    """569 tumours, 30 measurements of cell nuclei (Wolberg, Street & Mangasarian 1995); 1 is benign."""
    data: Any = load_breast_cancer()
    return _split(data.data, data.target.astype(np.int32), list(data.feature_names), seed)


def diabetes(seed: int) -> Table:
    """442 patients, 10 measurements, disease progression a year later (Efron et al. 2004), in its own units."""
    data: Any = load_diabetes(scaled=False)
    return _split(data.data, data.target.astype(np.float32), list(data.feature_names), seed)


def _split(x: np.ndarray, y: np.ndarray, names: list[str], seed: int) -> Table:
    parts: Any = train_test_split(x, y, test_size=0.25, random_state=seed)
    train_x, test_x, train_y, test_y = parts
    mean, deviation = train_x.mean(axis=0), train_x.std(axis=0)
    train_x, test_x = ((part - mean) / deviation for part in (train_x, test_x))
    return Table(train_x.astype(np.float32), train_y, test_x.astype(np.float32), test_y, names, mean, deviation)
