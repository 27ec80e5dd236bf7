"""Two real tables that ship with scikit-learn and one that no longer does, split and standardized by their training rows."""

from __future__ import annotations

import csv
import dataclasses
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.model_selection import train_test_split

BOSTON = ["crim", "zn", "indus", "chas", "nox", "rm", "age", "dis", "rad", "tax", "ptratio", "b", "lstat"]
PRICE = "medv"


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
    """569 tumors, 30 measurements of cell nuclei (Wolberg, Street & Mangasarian 1995); 1 is benign."""
    data: Any = load_breast_cancer()
    return _split(data.data, data.target.astype(np.int32), list(data.feature_names), seed)


def diabetes(seed: int) -> Table:
    """442 patients, 10 measurements, disease progression a year later (Efron et al. 2004), in its own units."""
    data: Any = load_diabetes(scaled=False)
    return _split(data.data, data.target.astype(np.float32), list(data.feature_names), seed)


def boston_from(path: Path, seed: int) -> Table:
    """506 districts of Boston, 13 of their features, the median price of a house in $1000 (Harrison & Rubinfeld 1978).

    From a CSV file with a row of names, in any order and case; further columns are not read.
    """
    if not path.is_file():
        raise ValueError(f"there is no file {path}: pass the path of a CSV file with the columns {BOSTON + [PRICE]}.")
    with path.open(newline="", encoding="utf-8-sig") as file:
        header, *rows = [row for row in csv.reader(file) if row] or [[]]
    found = [name.strip().lower() for name in header]
    missing = [name for name in BOSTON + [PRICE] if name not in found]
    if missing:
        raise ValueError(f"{path} must have a row of names and these columns, too: {missing}; it has {header}.")
    places = [found.index(name) for name in BOSTON + [PRICE]]
    numbers = []
    for line, row in enumerate(rows, start=2):
        try:
            numbers.append([float(row[place]) for place in places])
        except (ValueError, IndexError):
            raise ValueError(f"{path} must hold a number in each of these columns, but row {line} is {row}.") from None
    if len(numbers) < 8:
        raise ValueError(f"{path} must hold rows to train on, but it has {len(numbers)}.")
    table = np.array(numbers)
    return _split(table[:, :-1], table[:, -1].astype(np.float32), BOSTON, seed)


def boston_from_openml(seed: int) -> Table:
    """The same table through scikit-learn, which downloads and keeps it."""
    from sklearn.datasets import fetch_openml

    try:
        data: Any = fetch_openml(name="boston", version=1, as_frame=False, parser="liac-arff")
    except (OSError, HTTPException) as error:  # no network: URLError is an OSError
        raise ConnectionError(
            f"the table cannot be downloaded from openml.org ({error}): pass a file of it with --boston."
        ) from error
    found = [name.lower() for name in data.feature_names]
    columns = np.array(data.data, np.float64)
    for name, categories in data.categories.items():  # codes of "0", "1" and so on, which are numbers here
        place = list(data.feature_names).index(name)
        columns[:, place] = np.array(categories, np.float64)[columns[:, place].astype(int)]
    columns = columns[:, [found.index(name) for name in BOSTON]]
    return _split(columns, np.array(data.target, np.float32), BOSTON, seed)


def _split(x: np.ndarray, y: np.ndarray, names: list[str], seed: int) -> Table:
    parts: Any = train_test_split(x, y, test_size=0.25, random_state=seed)
    train_x, test_x, train_y, test_y = parts
    mean, deviation = train_x.mean(axis=0), train_x.std(axis=0)
    train_x, test_x = ((part - mean) / deviation for part in (train_x, test_x))
    return Table(train_x.astype(np.float32), train_y, test_x.astype(np.float32), test_y, names, mean, deviation)
