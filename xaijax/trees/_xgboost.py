"""Reads the models of XGBoost, from objects and from their dumps in JSON and UBJSON."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from xaijax._core.frames import Columns
from xaijax.trees._dumps import damaged, read_dump, with_trees
from xaijax.trees._forest import Forest, class_names
from xaijax.trees._nodes import Rule, Splits, in_levels

# From predictions to margins, for objectives whose base score is a prediction.
_LINKS = {
    **dict.fromkeys(("binary:logistic", "reg:logistic"), lambda p: math.log(p / (1 - p))),
    **dict.fromkeys(("count:poisson", "reg:gamma", "reg:tweedie", "survival:cox", "survival:aft"), math.log),
}


def read_object(model: Any) -> Forest:
    """Returns the forest of a Booster, or of an estimator with the iterations that its `predict` uses."""
    if not hasattr(model, "get_booster"):
        return read_content(read_dump(bytes(model.save_raw("ubj"))))
    name, missing = type(model).__name__, model.missing
    if not hasattr(model, "_Booster"):
        raise ValueError(f"`model` must be fitted, got a {name} that is not: call model.fit(x, y) first.")
    if missing is not None and not math.isnan(missing) and missing != 0:
        raise ValueError(
            f"`model` must treat NaN or 0 as missing, got a {name} with missing={missing}: fit it with missing=nan, to rows "
            "with NaN in the place of this number."
        )
    booster = model.get_booster()
    best = booster.attributes().get("best_iteration")
    return read_content(
        read_dump(bytes(booster.save_raw("ubj"))),
        zero_is_missing=missing == 0,
        num_iterations=None if best is None else int(best) + 1,
        classes=getattr(model, "classes_", None),
    )


def read_content(
    content: Any,
    *,
    zero_is_missing: bool = False,
    num_iterations: int | None = None,
    classes: Sequence[Any] | None = None,
) -> Forest:
    """Returns the forest of a dump that JSON or UBJSON holds, up to a number of iterations."""
    with damaged("dump of XGBoost"):
        learner, booster = content["learner"], content["learner"]["gradient_booster"]
        if booster["name"] not in ("gbtree", "dart"):
            raise TypeError(
                f"`model` must be a forest, got XGBoost's {booster['name']}: train it with booster='gbtree'."
            )
        model = booster["gbtree"]["model"] if booster["name"] == "dart" else booster["model"]
        trees, groups = with_trees(model["trees"]), np.asarray(model["tree_info"], np.int64)
        holder = model if "weight_drop" in model else booster  # since XGBoost 3.4, and before
        weights = np.asarray(holder.get("weight_drop", np.ones(len(trees))), np.float64)
        if num_iterations is not None and num_iterations < len(model["iteration_indptr"]):
            trees = trees[: int(model["iteration_indptr"][num_iterations])]
        groups, weights = groups[: len(trees)], weights[: len(trees)]
        objective, num_features = learner["objective"]["name"], int(learner["learner_model_param"]["num_feature"])
        bias = _base_score(learner["learner_model_param"]["base_score"], objective)
        leaf_size = int(trees[0]["tree_param"].get("size_leaf_vector", 1) or 1)
        outputs = max(len(bias), leaf_size, int(groups.max()) + 1)
        splits = _splits(trees, _values(trees, leaf_size, outputs, groups, weights))
        zero = (True,) * num_features if zero_is_missing else ()
        nodes, value = in_levels(splits, num_features, Rule(float32=True, zero_is_missing=zero))
        return Forest(
            nodes,
            value,
            np.broadcast_to(bias, (outputs,)).copy(),
            columns=_columns(learner, model),
            output_names=class_names(classes, outputs),
            library=f"XGBoost {objective}",
            output="raw margin",
        )


def _base_score(text: Any, objective: str) -> np.ndarray:
    """Returns the base margin of each output, from a text such as "5E-1" or, since XGBoost 3.1, "[5E-1]"."""
    scores = [float(score) for score in str(text).strip("[]").split(",")]
    link = _LINKS.get(objective)
    return np.array([score if link is None else link(score) for score in scores])


def _joined(trees: Sequence[Any], field: str, dtype: Any) -> np.ndarray:
    return np.concatenate([np.asarray(tree[field]).astype(dtype) for tree in trees])


def _starts(trees: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the first node of each tree, and their numbers of nodes."""
    counts = np.array([len(tree["left_children"]) for tree in trees])
    return np.cumsum(counts) - counts, counts


def _splits(trees: Sequence[Any], value: np.ndarray) -> Splits:
    starts, counts = _starts(trees)
    start = np.repeat(starts, counts)
    left, right = _joined(trees, "left_children", np.int64), _joined(trees, "right_children", np.int64)
    feature = _joined(trees, "split_indices", np.int64)
    cuts, categories = _categories(trees, starts, feature)
    return Splits(
        left=np.where(left < 0, -1, left + start),
        right=np.where(left < 0, -1, right + start),
        feature=feature,
        threshold=_joined(trees, "split_conditions", np.float32).astype(np.float64),
        missing_left=_joined(trees, "default_left", bool),
        cover=_joined(trees, "sum_hessian", np.float64),
        value=value,
        roots=starts,
        cuts=cuts,
        categories=categories,
    )


def _values(trees: Sequence[Any], leaf_size: int, outputs: int, groups: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns the outputs of the leaves, in float32 as the library keeps them, times the weights of their trees."""
    _, counts = _starts(trees)
    weight = np.repeat(weights, counts)
    value = np.zeros((len(weight), outputs))
    if leaf_size == 1:
        leaves = _joined(trees, "split_conditions", np.float32)
        value[np.arange(len(value)), np.repeat(groups, counts)] = weight * leaves
        return value
    if "leaf_weights" not in trees[0]:
        raise ValueError(
            "`model` must be a dump of XGBoost 3.1 or newer where leaves are vectors: load it and save it again."
        )
    number = np.where(_joined(trees, "left_children", np.int64) < 0, _joined(trees, "right_children", np.int64), 0)
    leaves = [np.asarray(tree["leaf_weights"]).astype(np.float32).reshape(-1, leaf_size) for tree in trees]
    first = np.cumsum([0, *map(len, leaves)])[:-1]
    return weight[:, None] * np.concatenate(leaves)[number + np.repeat(first, counts)]


def _categories(
    trees: Sequence[Any], starts: np.ndarray, feature: np.ndarray
) -> tuple[dict[int, np.ndarray], dict[int, np.ndarray]]:
    """Returns the cuts of categorical features, and the codes that go left: all but the categories of a split.

    Category c is code c + 1. Code 0 is for numbers below 0, and the last for categories beyond those of all splits; these
    are in no set.
    """
    sets: dict[int, np.ndarray] = {}
    for tree, start in zip(trees, starts, strict=True):
        members = np.asarray(tree.get("categories", ())).astype(np.int64)
        for node, first, size in zip(
            *(tree.get(f"categories_{name}", ()) for name in ("nodes", "segments", "sizes")), strict=True
        ):
            sets[int(node) + int(start)] = members[int(first) : int(first) + int(size)]
    counts: dict[int, int] = {}
    for node, members in sets.items():
        counts[int(feature[node])] = max(counts.get(int(feature[node]), 0), int(members.max(initial=-1)) + 1)
    cuts = {column: np.arange(count + 1, dtype=np.float64) for column, count in counts.items()}
    categories = {}
    for node, members in sets.items():
        categories[node] = np.ones(counts[int(feature[node])] + 2, bool)
        categories[node][members + 1] = False
    return cuts, categories


def _columns(learner: Any, model: Any) -> Columns | None:
    """Returns the names of the features, and the levels of those that were categories of a data frame."""
    names = tuple(map(str, learner.get("feature_names", ())))
    if not names:
        return None
    encoded = model.get("cats", {}).get("enc", ()) or ({},) * len(names)
    return Columns(names, tuple(map(_levels, encoded)))


def _levels(encoded: Any) -> tuple[str, ...] | None:
    values = np.asarray(encoded.get("values", ()))
    if not len(values):
        return None
    if "offsets" not in encoded:
        return tuple(str(value) for value in values.tolist())
    text = values.astype(np.int8).tobytes()
    ends = np.asarray(encoded["offsets"]).tolist()
    return tuple(text[start:end].decode(errors="replace") for start, end in itertools.pairwise(ends))
