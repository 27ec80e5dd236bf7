"""Tables of scikit-learn and one that it withdrew, split and standardized by their training rows."""

from __future__ import annotations

import csv
import dataclasses
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.model_selection import train_test_split

BOSTON = ["crim", "zn", "indus", "chas", "nox", "rm", "age", "dis", "rad", "tax", "ptratio", "b", "lstat"]
PRICE = "medv"


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows in standard deviations from the training mean, and their labels; mean and deviation restore the original units."""

    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray
    names: list[str]
    mean: np.ndarray
    deviation: np.ndarray

    def in_units(self, x: np.ndarray) -> np.ndarray:
        return (np.asarray(x) * self.deviation + self.mean).astype(np.float32)


def breast_cancer(seed: int) -> Table:
    """Returns 569 tumors, 30 measurements of cell nuclei (Wolberg, Street & Mangasarian 1995); 1 is benign."""
    table: Any = load_breast_cancer()
    return _split(table.data, table.target.astype(np.int32), list(table.feature_names), seed)


def diabetes(seed: int) -> Table:
    """Returns 442 patients, 10 measurements and the disease progression a year later (Efron et al. 2004), in its own units."""
    table: Any = load_diabetes(scaled=False)
    return _split(table.data, table.target.astype(np.float32), list(table.feature_names), seed)


def wine(seed: int) -> Table:
    """Returns 178 wines, 13 chemical measurements and their cultivar, 0 to 2 (Aeberhard & Forina 1992)."""
    table: Any = load_wine()
    return _split(table.data, table.target.astype(np.int32), list(table.feature_names), seed)


def digits(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns scikit-learn's 1,797 digits in random order: images [N, 8, 8, 1] in [0, 1], and labels [N]."""
    table: Any = load_digits()
    order = np.random.default_rng(seed).permutation(len(table.images))
    return (table.images[order, :, :, None] / 16).astype(np.float32), table.target[order].astype(np.int32)


def boston_from(path: Path, seed: int) -> Table:
    """Returns 506 districts of Boston, 13 features and the median price of a house in $1000 (Harrison & Rubinfeld 1978).

    The CSV file begins with a row of names, in any order and case. Further columns are ignored.
    """
    if not path.is_file():
        raise ValueError(
            f"`path` must be a CSV file with the columns {BOSTON + [PRICE]}, got {path}: there is no such file."
        )
    with path.open(newline="", encoding="utf-8-sig") as file:
        header, *rows = [row for row in csv.reader(file) if row] or [[]]
    columns = [name.strip().lower() for name in header]
    missing = [name for name in BOSTON + [PRICE] if name not in columns]
    if missing:
        raise ValueError(f"{path} must begin with a row of names, got {header}: add the columns {missing}.")
    order = [columns.index(name) for name in BOSTON + [PRICE]]
    numbers = []
    for line, row in enumerate(rows, start=2):
        try:
            numbers.append([float(row[column]) for column in order])
        except (ValueError, IndexError):
            raise ValueError(
                f"{path} must hold numbers in the columns {BOSTON + [PRICE]}, got row {line}: {row}."
            ) from None
    if len(numbers) < 8:
        raise ValueError(f"{path} must hold at least 8 rows to train on, got {len(numbers)}.")
    table = np.array(numbers)
    return _split(table[:, :-1], table[:, -1].astype(np.float32), BOSTON, seed)


def boston_from_openml(seed: int) -> Table:
    """Returns the same table through scikit-learn, which downloads and caches it."""
    from sklearn.datasets import fetch_openml

    try:
        table: Any = fetch_openml(name="boston", version=1, as_frame=False, parser="liac-arff")
    except (OSError, HTTPException) as error:  # no network: URLError is an OSError
        raise ConnectionError(
            f"The table cannot be downloaded from openml.org ({error}): pass a file of it with --boston."
        ) from error
    names = [name.lower() for name in table.feature_names]
    rows = np.array(table.data, np.float64)
    for name, categories in table.categories.items():  # codes of categories "0", "1" and so on, which are numbers here
        column = names.index(name.lower())
        rows[:, column] = np.array(categories, np.float64)[rows[:, column].astype(int)]
    rows = rows[:, [names.index(name) for name in BOSTON]]
    return _split(rows, np.array(table.target, np.float32), BOSTON, seed)


def _split(x: np.ndarray, y: np.ndarray, names: list[str], seed: int) -> Table:
    parts: Any = train_test_split(x, y, test_size=0.25, random_state=seed)
    train_x, test_x, train_y, test_y = parts
    mean, deviation = train_x.mean(axis=0), train_x.std(axis=0)
    train_x, test_x = ((part - mean) / deviation for part in (train_x, test_x))
    return Table(train_x.astype(np.float32), train_y, test_x.astype(np.float32), test_y, names, mean, deviation)
