"""Reads the models of LightGBM: objects, their text, and the JSON of `dump_model`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from xaijax._core.frames import Columns
from xaijax.trees._dumps import damaged, with_trees
from xaijax.trees._forest import Forest, class_names
from xaijax.trees._nodes import Rule, Splits, in_levels

_ZERO = float(np.float32(1e-35))  # smaller numbers count as 0
_CATEGORICAL, _DEFAULT_LEFT = 1, 2  # bits of a decision type; the next two are the type of missing values
_MISSING = {"None": 0, "Zero": 1, "NaN": 2}
_LINEAR = "`model` must have constant leaves, got a forest of LightGBM with linear_tree=True: train it with linear_tree=False."


def read_object(model: Any) -> Forest:
    """Returns the forest of a Booster or of an estimator, with the iterations that its `predict` uses."""
    classes = None
    if hasattr(model, "_Booster"):
        if model._Booster is None:
            name = type(model).__name__
            raise ValueError(f"`model` must be fitted, got a {name} that is not: call model.fit(x, y) first.")
        classes, model = getattr(model, "_classes", None), model._Booster
    return read_text(model.model_to_string(), classes=classes)


def read_text(text: str, *, classes: Sequence[Any] | None = None) -> Forest:
    """Returns the forest of the text that `save_model` and `model_to_string` write."""
    with damaged("text of LightGBM"):
        if "end of trees" not in text:
            raise ValueError("it ends before the last tree does")
        head, *blocks = text.partition("end of trees")[0].split("\nTree=")
        header = _members(head)
        trees = with_trees([_members(block) for block in blocks])
        if any(tree.get("is_linear", "0").strip() == "1" for tree in trees):
            raise TypeError(_LINEAR)
        levels = text.rpartition("\npandas_categorical:")[2] if "\npandas_categorical:" in text else "null"
        infos = header["feature_infos"].split()
        columns = _columns(
            header["feature_names"].split(),
            [info != "none" and not info.startswith("[") for info in infos],
            json.loads(levels.splitlines()[0]),
        )
        flat = _of_text(trees, int(header["max_feature_idx"]) + 1)
        averaged = "average_output" in header
        objective = header.get("objective", "custom objective").split()[0]
        return _forest(flat, columns, int(header["num_tree_per_iteration"]), averaged, objective, classes)


def read_content(content: dict[str, Any]) -> Forest:
    """Returns the forest of the dict that `dump_model` returns."""
    with damaged("dump of LightGBM"):
        infos = content.get("feature_infos", {})
        names = content["feature_names"]
        columns = _columns(
            names, [bool(infos.get(name, {}).get("values")) for name in names], content.get("pandas_categorical")
        )
        flat = _of_json(
            [tree["tree_structure"] for tree in with_trees(content["tree_info"])], int(content["max_feature_idx"]) + 1
        )
        averaged = bool(content.get("average_output", False))
        objective = str(content.get("objective", "custom objective")).split()[0]
        return _forest(flat, columns, int(content["num_tree_per_iteration"]), averaged, objective, None)


def _members(block: str) -> dict[str, str]:
    lines = (line.partition("=") for line in block.split("\n"))
    return {name: value for name, _, value in lines}


def _columns(names: Sequence[str], is_category: Sequence[bool], levels: Any) -> Columns | None:
    """Returns the names of the features, and the levels of the columns of categories of a pandas data frame."""
    if list(names) == [f"Column_{number}" for number in range(len(names))]:
        return None
    known: list[tuple[str, ...] | None] = [None] * len(names)
    if levels and len(levels) == sum(is_category):
        for column, own in zip(np.flatnonzero(is_category), levels, strict=True):
            known[column] = tuple(map(str, own))
    return Columns(tuple(map(str, names)), tuple(known))


class _Flat:
    """The nodes of all trees, as Splits, and for each the bits of its decision and its tree.

    sets: the categories that go left, for each categorical node.
    """

    def __init__(self, splits: dict[str, np.ndarray], decision: np.ndarray, tree: np.ndarray, sets: Any, features: int):
        self.splits, self.decision, self.tree, self.sets, self.features = splits, decision, tree, sets, features


def _of_text(trees: Sequence[dict[str, str]], features: int) -> _Flat:
    """A tree has its splits first, then its leaves; a negative child -1 - i is leaf i."""
    leaves = np.array([int(tree["num_leaves"]) for tree in trees])
    starts = np.concatenate([[0], np.cumsum(2 * leaves - 1)])
    of_split = np.repeat(np.arange(len(trees)), leaves - 1)
    of_leaf = np.repeat(np.arange(len(trees)), leaves)
    first_split, first_leaf = np.cumsum(leaves - 1) - (leaves - 1), np.cumsum(leaves) - leaves
    split = np.arange(len(of_split)) - first_split[of_split] + starts[of_split]
    leaf = np.arange(len(of_leaf)) - first_leaf[of_leaf] + starts[of_leaf] + (leaves - 1)[of_leaf]

    def numbers(field: str, at: np.ndarray, dtype: Any, fill: Any) -> np.ndarray:
        given = np.array(" ".join(tree.get(field, "") for tree in trees).split(), np.float64)
        if len(given) != len(at):
            raise ValueError(f"{len(given)} numbers {field} for {len(at)} nodes")
        filled = np.full(starts[-1], fill, dtype)
        filled[at] = given
        return filled

    def children(side: str) -> np.ndarray:
        number = numbers(f"{side}_child", split, np.int64, -1)
        own = number[split]
        number[split] = starts[of_split] + np.where(own >= 0, own, (leaves - 1)[of_split] - 1 - own)
        return number

    threshold = numbers("threshold", split, np.float64, np.nan)
    decision = numbers("decision_type", split, np.int64, 0)
    sets = {}
    bounds: list[Any] = [tree.get("cat_boundaries", "").split() for tree in trees]
    words: list[Any] = [tree.get("cat_threshold", "").split() for tree in trees]
    tree_of = np.repeat(np.arange(len(trees)), 2 * leaves - 1)
    for node in np.flatnonzero(decision & _CATEGORICAL):
        tree, number = int(tree_of[node]), int(threshold[node])
        first, last = (int(bound) for bound in bounds[tree][number : number + 2])
        mask = np.array(words[tree][first:last], np.uint32)
        sets[int(node)] = np.flatnonzero(np.unpackbits(mask.astype("<u4").view(np.uint8), bitorder="little"))
    splits = {
        "left": children("left"),
        "right": children("right"),
        "feature": numbers("split_feature", split, np.int64, 0),
        "threshold": threshold,
        "cover": numbers("leaf_count", leaf, np.float64, 0) + numbers("internal_count", split, np.float64, 0),
        "leaf_value": numbers("leaf_value", leaf, np.float64, 0),
        "roots": starts[:-1],
    }
    return _Flat(splits, decision, tree_of, sets, features)


def _of_json(roots: Sequence[Any], features: int) -> _Flat:
    rows: list[list[Any]] = []  # left, right, feature, threshold, cover, value, decision, tree
    sets, starts = {}, []
    for tree, root in enumerate(roots):
        starts.append(len(rows))
        waiting = [(root, -1, 0)]
        while waiting:
            node, parent, side = waiting.pop()
            number = len(rows)
            if parent >= 0:
                rows[parent][side] = number
            if "leaf_value" in node:
                if "leaf_coeff" in node:
                    raise TypeError(_LINEAR)
                rows.append([-1, -1, 0, np.nan, node.get("leaf_count", 0), node["leaf_value"], 0, tree])
                continue
            is_category = node["decision_type"] == "=="
            if is_category:
                sets[number] = np.array([int(category) for category in str(node["threshold"]).split("||")])
            decision = _CATEGORICAL * is_category + _DEFAULT_LEFT * bool(node["default_left"])
            decision += _MISSING[node["missing_type"]] << 2
            threshold = np.nan if is_category else node["threshold"]
            rows.append([-1, -1, node["split_feature"], threshold, node["internal_count"], 0.0, decision, tree])
            waiting += [(node["right_child"], number, 1), (node["left_child"], number, 0)]
    fields = np.array(rows, np.float64).T
    left, right, feature, threshold, cover, value, decision, tree = fields
    splits = {
        "left": left.astype(np.int64),
        "right": right.astype(np.int64),
        "feature": feature.astype(np.int64),
        "threshold": threshold,
        "cover": cover,
        "leaf_value": value,
        "roots": np.array(starts),
    }
    return _Flat(splits, decision.astype(np.int64), tree.astype(np.int64), sets, features)


def _forest(
    flat: _Flat, columns: Columns | None, outputs: int, averaged: bool, objective: str, classes: Sequence[Any] | None
) -> Forest:
    splits, decision, sets = flat.splits, flat.decision, flat.sets
    is_category = (decision & _CATEGORICAL).astype(bool)
    counts: dict[int, int] = {}
    for node, members in sets.items():
        column = int(splits["feature"][node])
        counts[column] = max(counts.get(column, 0), int(members.max(initial=-1)) + 1)
    # Category c is code c + 1: numbers are cut off to integers, so that those above -1 are category 0.
    cuts = {
        column: np.array([np.nextafter(-1.0, np.inf), *range(1, count + 1)], np.float64)
        for column, count in counts.items()
    }
    categories = {}
    for node, members in sets.items():
        categories[node] = np.zeros(counts[int(splits["feature"][node])] + 2, bool)
        categories[node][members + 1] = True
    value = np.zeros((len(decision), outputs))
    num_trees = len(splits["roots"])
    scale = 1.0 / max(1, num_trees // outputs) if averaged else 1.0
    value[np.arange(len(value)), flat.tree % outputs] = splits["leaf_value"] * scale
    nodes, value = in_levels(
        Splits(
            left=splits["left"],
            right=splits["right"],
            feature=splits["feature"],
            threshold=np.nextafter(splits["threshold"], np.inf),
            missing_left=(decision & _DEFAULT_LEFT).astype(bool) & ~is_category,
            cover=splits["cover"],
            value=value,
            roots=splits["roots"],
            cuts=cuts,
            categories=categories,
        ),
        flat.features,
        _rule(flat, is_category),
    )
    return Forest(
        nodes,
        value,
        np.zeros(outputs),
        columns=columns,
        output_names=class_names(classes, outputs),
        library=f"LightGBM {objective}",
        output="raw margin, the mean over the trees" if averaged else "raw margin",
    )


def _rule(flat: _Flat, is_category: np.ndarray) -> Rule:
    """Returns how each feature's missing values are read, which all of its splits say alike."""
    splits = np.flatnonzero((flat.splits["left"] >= 0) & ~is_category)
    feature, missing = flat.splits["feature"][splits], (flat.decision[splits] >> 2) & 3
    if splits.size and (feature.min() < 0 or feature.max() >= flat.features):
        raise ValueError(f"a split of feature {feature.max()} of {flat.features}")
    of_feature = np.full(flat.features, _MISSING["NaN"])
    of_feature[feature] = missing
    if (of_feature[feature] != missing).any():
        raise ValueError("splits of one feature that treat missing values differently")
    nan_is_zero, zero_is_missing = of_feature == _MISSING["None"], of_feature == _MISSING["Zero"]
    return Rule(
        zero=_ZERO,
        nan_is_zero=tuple(nan_is_zero.tolist()) if nan_is_zero.any() else (),
        zero_is_missing=tuple(zero_is_missing.tolist()) if zero_is_missing.any() else (),
    )
