"""Reads the forests of scikit-learn."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from xaijax._core.frames import Columns
from xaijax.trees._forest import Forest, class_names
from xaijax.trees._nodes import Rule, Splits, in_levels

_AVERAGED = ("RandomForestRegressor", "RandomForestClassifier", "ExtraTreesRegressor", "ExtraTreesClassifier")
_SINGLE = ("DecisionTreeRegressor", "DecisionTreeClassifier", "ExtraTreeRegressor", "ExtraTreeClassifier")
_BOOSTED = ("GradientBoostingRegressor", "GradientBoostingClassifier")
_BINNED = ("HistGradientBoostingRegressor", "HistGradientBoostingClassifier")
NAMES = (*_SINGLE, *_AVERAGED, *_BOOSTED, *_BINNED, "IsolationForest")


def estimator_name(model: Any) -> str | None:
    """Returns the name of the forest of scikit-learn that an object is, or derives from; None for other objects."""
    return next((cls.__name__ for cls in type(model).__mro__ if _is_of_sklearn(cls) and cls.__name__ in NAMES), None)


def _is_of_sklearn(cls: type) -> bool:
    return cls.__module__.partition(".")[0] == "sklearn"


def read_sklearn(model: Any, name: str) -> Forest:
    """Returns the forest of a fitted estimator."""
    fitted = "tree_" if name in _SINGLE else "_predictors" if name in _BINNED else "estimators_"
    if not hasattr(model, fitted):
        raise ValueError(f"`model` must be fitted, got a {name} that is not: call model.fit(x, y) first.")
    if name in _SINGLE:
        return _averaged(model, [model], name)
    if name in _AVERAGED:
        return _averaged(model, model.estimators_, name)
    if name in _BOOSTED:
        return _boosted(model, name)
    return _binned(model, name) if name in _BINNED else _isolation(model, name)


def _forest(
    model: Any, name: str, splits: Splits, bias: np.ndarray, rule: Rule, output: str, names: Sequence[str] | None
) -> Forest:
    nodes, value = in_levels(splits, model.n_features_in_, rule)
    return Forest(
        nodes,
        value,
        bias,
        columns=_columns(model),
        output_names=names,
        library=f"scikit-learn {name}",
        output=output,
    )


def _columns(model: Any) -> Columns | None:
    """Returns the names of the columns of the data frame that an estimator was fitted to, or None."""
    names = getattr(model, "feature_names_in_", None)
    if names is None:
        return None
    levels: list[tuple[str, ...] | None] = [None] * len(names)
    for column, encoded in zip(*_encoder(model), strict=True):
        if encoded.dtype.kind not in "biuf":
            levels[column] = tuple(level for level in encoded if isinstance(level, str))
    return Columns(tuple(map(str, names)), tuple(levels))


def _encoder(model: Any) -> tuple[Sequence[int], Sequence[np.ndarray]]:
    """Returns the categorical features of histogram gradient boosting, and the inputs that it turns into 0, 1, ..."""
    is_category = getattr(model, "is_categorical_", None)
    if is_category is None:
        return [], []
    return np.flatnonzero(is_category).tolist(), model._preprocessor.named_transformers_["encoder"].categories_


def _averaged(model: Any, estimators: Sequence[Any], name: str) -> Forest:
    trees = [estimator.tree_ for estimator in estimators]
    value = np.concatenate([tree.value for tree in trees])  # [nodes, outputs, classes or 1]
    names, output = None, "mean over the trees"
    if name.endswith("Classifier"):
        total = value.sum(axis=2, keepdims=True)
        value = np.divide(value, total, out=value.astype(float), where=total > 0)
        several = model.n_outputs_ > 1
        classes = model.classes_ if several else [model.classes_]
        value = np.concatenate([value[:, i, : len(own)] for i, own in enumerate(classes)], axis=1)
        names = [f"{i}: {label}" if several else str(label) for i, own in enumerate(classes) for label in own]
        output = "probability, the mean over the trees"
    value = value.reshape(len(value), -1) / len(trees)
    splits = _of_trees(trees, value)
    return _forest(model, name, splits, np.zeros(value.shape[1]), Rule(float32=True), output, names)


def _of_trees(trees: Sequence[Any], value: np.ndarray, features: Sequence[np.ndarray] | None = None) -> Splits:
    """Returns the nodes of trees of scikit-learn; features: the columns that each tree was fitted to."""
    offsets = np.cumsum([0, *(tree.node_count for tree in trees)])
    feature = [tree.feature for tree in trees]
    if features is not None:
        feature = [columns[own] for columns, own in zip(features, feature, strict=True)]

    def children(side: str) -> np.ndarray:
        each = [getattr(tree, f"children_{side}") for tree in trees]
        return np.concatenate([np.where(own < 0, -1, own + start) for own, start in zip(each, offsets, strict=False)])

    return Splits(
        left=children("left"),
        right=children("right"),
        feature=np.concatenate(feature),
        threshold=_above32(np.concatenate([tree.threshold for tree in trees])),
        missing_left=np.concatenate([tree.missing_go_to_left for tree in trees]).astype(bool),
        cover=np.concatenate([tree.weighted_n_node_samples for tree in trees]),
        value=value,
        roots=offsets[:-1],
    )


def _above32(threshold: np.ndarray) -> np.ndarray:
    """Returns t with x <= threshold where x < t, for x in float32: the next float32 number above the threshold."""
    below = threshold.astype(np.float32)
    below = np.where(below > threshold, np.nextafter(below, np.float32(-np.inf)), below)
    return np.nextafter(below, np.float32(np.inf)).astype(np.float64)


def _boosted(model: Any, name: str) -> Forest:
    trees = [estimator.tree_ for estimator in model.estimators_.ravel()]
    outputs = model.estimators_.shape[1]
    column = np.repeat(np.arange(len(trees)) % outputs, [tree.node_count for tree in trees])
    value = np.zeros((len(column), outputs))
    value[np.arange(len(column)), column] = model.learning_rate * np.concatenate(
        [tree.value[:, 0, 0] for tree in trees]
    )
    splits, bias = _of_trees(trees, value), np.zeros(outputs)
    init, init_name = model.init_, estimator_name(model.init_)
    if init_name in (*_SINGLE, *_AVERAGED, *_BOOSTED) and name == "GradientBoostingRegressor":
        before = read_sklearn(init, init_name)
        splits, bias = _after(before, splits), before.bias
    elif isinstance(init, str) or (type(init).__name__.startswith("Dummy") and init.strategy != "stratified"):
        bias = np.asarray(model._raw_predict_init(np.zeros((1, model.n_features_in_), np.float32))[0], np.float64)
    else:
        raise TypeError(
            f"`model` must start from a constant or, for regression, from a forest, got a {name} with "
            f"init={type(init).__name__}: fit it with init=None or init='zero'."
        )
    names = class_names(getattr(model, "classes_", None), outputs)
    return _forest(model, name, splits, bias, Rule(float32=True, nan_allowed=False), "raw margin", names)


def _after(before: Forest, splits: Splits) -> Splits:
    """Returns the nodes of a forest that predicts the first approximation, and those of the trees that correct it."""
    nodes = before.nodes
    first = Splits(
        left=nodes.left,
        right=nodes.right,
        feature=nodes.feature,
        threshold=nodes.threshold,
        missing_left=nodes.missing_left,
        cover=nodes.cover,
        value=before.value,
        roots=np.arange(nodes.num_trees),
    )
    shift = len(nodes.left)
    left, right = (np.where(children < 0, -1, children + shift) for children in (splits.left, splits.right))
    last = dataclasses.replace(splits, left=left, right=right, roots=splits.roots + shift)
    names = [field.name for field in dataclasses.fields(Splits) if field.name not in ("cuts", "categories")]
    return dataclasses.replace(
        last, **{name: np.concatenate([getattr(first, name), getattr(last, name)]) for name in names}
    )


def _isolation(model: Any, name: str) -> Forest:
    """The mean path length, whose power is the score: score_samples = -2 ** (-path / c(max_samples))."""
    trees = [estimator.tree_ for estimator in model.estimators_]
    lengths = [
        np.asarray(depth) + np.asarray(below) - 1.0
        for depth, below in zip(model._decision_path_lengths, model._average_path_length_per_tree, strict=True)
    ]
    value = np.concatenate(lengths)[:, None] / len(trees)
    splits = _of_trees(trees, value, model.estimators_features_)
    return _forest(model, name, splits, np.zeros(1), Rule(float32=True), "mean path length", None)


def _binned(model: Any, name: str) -> Forest:
    """Covers are numbers of rows: histogram gradient boosting keeps no sums of sample weights."""
    predictors = [predictor for of_iteration in model._predictors for predictor in of_iteration]
    outputs = len(model._predictors[0])
    records = [predictor.nodes for predictor in predictors]
    counts = [len(own) for own in records]
    offsets = np.cumsum([0, *counts])
    nodes: Any = np.concatenate(records)
    is_leaf = nodes["is_leaf"].astype(bool)
    start = np.repeat(offsets[:-1], counts)
    value = np.zeros((len(nodes), outputs))
    value[np.arange(len(nodes)), np.repeat(np.arange(len(records)) % outputs, counts)] = nodes["value"]
    is_category = np.zeros(model.n_features_in_, bool) if model.is_categorical_ is None else model.is_categorical_
    columns = np.concatenate([np.flatnonzero(is_category), np.flatnonzero(~is_category)])  # the order of its encoder
    feature = columns[nodes["feature_idx"]]
    tables = _encoded(model)
    cuts = {column: np.unique([levels, np.nextafter(levels, np.inf)]) for column, levels in tables.items()}
    categories = {}
    for node in np.flatnonzero(nodes["is_categorical"].astype(bool) & ~is_leaf):
        tree, column = int(np.searchsorted(offsets, node, side="right")) - 1, int(feature[node])
        words = predictors[tree].raw_left_cat_bitsets[nodes["bitset_idx"][node]]
        bits = np.unpackbits(np.ascontiguousarray(words, "<u4").view(np.uint8), bitorder="little").astype(bool)
        codes = np.full(
            1 + len(cuts[column]), bool(nodes["missing_go_to_left"][node])
        )  # unknown categories are missing
        codes[np.searchsorted(cuts[column], tables[column], side="right")] = bits[: len(tables[column])]
        categories[int(node)] = codes
    splits = Splits(
        left=np.where(is_leaf, -1, nodes["left"].astype(np.int64) + start),
        right=np.where(is_leaf, -1, nodes["right"].astype(np.int64) + start),
        feature=feature,
        threshold=np.nextafter(nodes["num_threshold"], np.inf),
        missing_left=nodes["missing_go_to_left"].astype(bool),
        cover=nodes["count"].astype(float),
        value=value,
        roots=offsets[:-1],
        cuts=cuts,
        categories=categories,
    )
    bias = np.ravel(model._baseline_prediction).astype(float)
    return _forest(
        model, name, splits, bias, Rule(), "raw margin", class_names(getattr(model, "classes_", None), outputs)
    )


def _encoded(model: Any) -> dict[int, np.ndarray]:
    """Returns the inputs that the encoder turns into 0, 1, ...: numbers, or the codes of strings."""
    tables = {}
    for column, levels in zip(*_encoder(model), strict=True):
        if levels.dtype.kind in "biuf":
            levels = levels.astype(np.float64)
            tables[column] = levels[~np.isnan(levels)]
        else:
            tables[column] = np.arange(sum(isinstance(level, str) for level in levels), dtype=np.float64)
    return tables
