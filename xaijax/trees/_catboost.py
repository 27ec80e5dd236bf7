"""Reads the models of CatBoost: objects, and the JSON of `save_model(path, format="json")`."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xaijax._core.frames import Columns
from xaijax.trees._dumps import damaged, read_dump, with_trees
from xaijax.trees._forest import Forest, class_names
from xaijax.trees._nodes import Rule, Splits, in_levels


def read_object(model: Any) -> Forest:
    """Returns the forest of a fitted model, by way of its JSON in a temporary file."""
    name = type(model).__name__
    if not hasattr(model, "is_fitted") or not model.is_fitted():
        raise ValueError(f"`model` must be fitted, got a {name} that is not: call model.fit(x, y) first.")
    if model.get_cat_feature_indices():
        raise _of_categories("categorical features")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        model.save_model(str(path), format="json")
        return read_content(read_dump(path))


def read_content(content: Any) -> Forest:
    """Returns the forest of a dump in JSON."""
    with damaged("dump of CatBoost"):
        groups = content["features_info"]
        features = groups.get("float_features", [])
        flat = np.array([feature["flat_feature_index"] for feature in features], np.int64)
        others = [feature for name, group in groups.items() if name != "float_features" for feature in group]
        num_features = 1 + max(
            [*flat.tolist(), *(feature["flat_feature_index"] for feature in others if "flat_feature_index" in feature)]
        )
        missing_left = np.array([feature["nan_value_treatment"] != "AsTrue" for feature in features], bool)
        scale, bias = content["scale_and_bias"]
        bias = np.atleast_1d(np.asarray(bias, np.float64))
        if "oblivious_trees" in content:
            trees = with_trees(content["oblivious_trees"])
            outputs = len(trees[0]["leaf_values"]) >> len(trees[0]["splits"])
            nodes = _of_oblivious(trees, outputs)
        else:
            outputs = len(bias)
            nodes = _of_nested(with_trees(content["trees"]), outputs)
        left, right, column, border, cover, value, roots = nodes
        below = border.astype(np.float32)
        splits = Splits(
            left=left,
            right=right,
            feature=flat[column],
            threshold=np.nextafter(below, np.float32(np.inf)).astype(np.float64),  # x > border goes right
            missing_left=missing_left[column],
            cover=cover,
            value=scale * value,
            roots=roots,
        )
        read, value = in_levels(splits, num_features, Rule(float32=True))
        info = content.get("model_info", {})
        classes = info.get("class_params", {}).get("class_names")
        objective = info.get("params", {}).get("loss_function", {}).get("type", "")
        return Forest(
            read,
            value,
            np.broadcast_to(bias, (outputs,)).copy(),
            columns=_columns(features, flat, num_features),
            output_names=None if classes is None else class_names(classes, outputs),
            library=f"CatBoost {objective}".strip(),
            output="raw margin",
        )


def _columns(features: Sequence[Any], flat: np.ndarray, num_features: int) -> Columns | None:
    names = [""] * num_features
    for feature, column in zip(features, flat, strict=True):
        names[column] = str(feature.get("feature_id", ""))
    return Columns(tuple(names), (None,) * num_features) if all(names) else None


def _of_categories(what: str) -> TypeError:
    return TypeError(
        f"`model` must have splits of numbers, got a forest of CatBoost with {what}: encode them as numbers before it is "
        "trained, or pass the model itself to xai.shap.values or xai.lime."
    )


def _border(split: Any) -> tuple[int, float]:
    if split["split_type"] != "FloatFeature":
        raise _of_categories(f"splits of the type {split['split_type']}")
    return split["float_feature_index"], split["border"]


def _of_oblivious(trees: Sequence[Any], outputs: int) -> tuple[np.ndarray, ...]:
    """All splits of a level are equal. Bit i of a leaf's index says whether x passes split i, so the last split is the root."""
    depths = np.array([len(tree["splits"]) for tree in trees])
    starts = np.concatenate([[0], np.cumsum(2 ** (depths + 1) - 1)])
    total = int(starts[-1])
    left, right, column = np.full(total, -1), np.full(total, -1), np.zeros(total, np.int64)
    border, cover, value = np.zeros(total), np.zeros(total), np.zeros((total, outputs))
    for depth in np.unique(depths).tolist():
        numbers = np.flatnonzero(depths == depth).tolist()
        heap, first, leaf = starts[numbers][:, None], 2**depth - 1, 2**depth - 1 + np.arange(2**depth)
        value[heap + leaf] = [np.reshape(trees[number]["leaf_values"], (2**depth, outputs)) for number in numbers]
        cover[heap + leaf] = [trees[number].get("leaf_weights") or [0.0] * 2**depth for number in numbers]
        if not depth:
            continue
        inner = np.arange(first)
        left[heap + inner], right[heap + inner] = heap + 2 * inner + 1, heap + 2 * inner + 2
        of_level = depth - 1 - np.floor(np.log2(inner + 1)).astype(int)
        pairs = np.array([[_border(split) for split in trees[number]["splits"]] for number in numbers])
        column[heap + inner], border[heap + inner] = pairs[:, of_level, 0], pairs[:, of_level, 1]
        for level in reversed(range(depth)):
            at = heap + np.arange(2**level - 1, 2 ** (level + 1) - 1)
            cover[at] = cover[left[at]] + cover[right[at]]
    return left, right, column, border, cover, value, starts[:-1]


def _of_nested(trees: Sequence[Any], outputs: int) -> tuple[np.ndarray, ...]:
    children, splits, cover, value, roots = [], [], [], [], []
    for tree in trees:
        roots.append(len(children))
        waiting = [(tree, -1, 0)]
        while waiting:
            node, parent, side = waiting.pop()
            number = len(children)
            if parent >= 0:
                children[parent][side] = number
            children.append([-1, -1])
            is_leaf = "split" not in node
            splits.append((0, 0.0) if is_leaf else _border(node["split"]))
            cover.append(float(node.get("weight", 0.0)) if is_leaf else 0.0)
            value.append(np.broadcast_to(np.asarray(node["value"] if is_leaf else 0.0, np.float64), (outputs,)))
            if not is_leaf:
                waiting += [(node["right"], number, 1), (node["left"], number, 0)]
    for number in reversed(range(len(children))):  # children follow their parents
        if children[number][0] >= 0:
            cover[number] = cover[children[number][0]] + cover[children[number][1]]
    left, right = np.array(children).T
    column, border = np.array(splits).T
    return left, right, column.astype(np.int64), border, np.array(cover), np.array(value), np.array(roots)
