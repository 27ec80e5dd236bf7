"""Exact values of forests compared with shap's TreeExplainer, Woodelf and XGBoost's own: the same forest and rows, in one run.

A random forest of 100 trees of depth 8 and one of unlimited depth, and a booster of 300 trees of depth 6, on 12 features. The
first calls make tables and compile; shap's read the forest. Woodelf computes the tables of its method in every call, so that it
explains as many inputs as we do. `seconds_by_rows` are our times by the number of background rows, after the first call.
"""

from __future__ import annotations

import contextlib
import importlib
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

import xaijax as xai
from benchmarks._peer_comparison import Side, compare_with_peer, missing, quietly, skipped, squared_error

_FEATURES, _BACKGROUND = 12, 100
_CLOSE = 1e-8  # of squared differences: those of float32
_WOODELF = ("woodelf", "treelite")  # of the package woodelf-explainer; another package is called woodelf too
_DEEP = "random forest of unlimited depth"  # path-dependent values only: tables of a background would be too large


def measure(repeats: int, *, small: bool = False, quick: bool = False) -> list[dict[str, Any]]:
    """Measures medians of interleaved repeats; the peers explain the first few inputs."""
    if sentence := missing("shap", "sklearn"):
        return [skipped("shap TreeExplainer", sentence)]
    inputs, peer_inputs = (20, 4) if small else (2000, 10 if quick else 40)
    x, y = _table(200 if small else 4000)
    rows = []
    for title, model in _forests(x, y, small).items():
        own = model if isinstance(model, dict) else {"shap": model}
        forest = xai.trees.read(next(iter(own.values())))
        maskers = {"path-dependent": None, "interventional": xai.mask.background(x[:_BACKGROUND])}
        for way, masker in list(maskers.items())[: 1 if title == _DEEP else 2]:
            count = max(inputs // 10, peer_inputs) if title == _DEEP else inputs
            ours = Side(_explained(forest, x[:count], masker), count, 1)
            for peer, theirs in _peers(own, x, peer_inputs, count, masker is not None).items():
                difference = squared_error(np.asarray(ours.run())[: theirs.inputs], quietly(theirs.run))
                if peer != "Woodelf" and not difference < _CLOSE:  # the row says how far Woodelf's are
                    raise RuntimeError(
                        f"The values of {peer} and shap.trees differ by {difference:.1e} of their squares."
                    )
                counts = (100, 1000) if small else (100, 10_000) if quick else (100, 10_000, 100_000)
                more: dict[str, Any] = {}
                if masker is not None:
                    more["seconds_by_rows"] = _by_rows(forest, x[:inputs], counts)
                xai.clear_caches()  # first calls are timed with empty ones
                row = compare_with_peer(
                    f"exact SHAP, {title}, {way}", peer, ours, theirs, repeats=repeats, difference=difference, **more
                )
                rows.append(row)
    for peer, packages in {"XGBoost": ("xgboost",), "Woodelf": _WOODELF}.items():
        if sentence := missing(*packages):
            rows.append(skipped(peer, sentence))
    return rows


def _table(count: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(count, _FEATURES)).astype(np.float32)
    waves = np.sin(x @ generator.normal(size=_FEATURES))
    return x, x[:, 0] * x[:, 1] + np.where(x[:, 2] > 0, x[:, 3], 2 * x[:, 4]) + waves


def _forests(x: np.ndarray, y: np.ndarray, small: bool) -> dict[str, Any]:
    ensemble: Any = importlib.import_module("sklearn.ensemble")

    options = {"n_estimators": 4, "max_depth": 3} if small else {"n_estimators": 100, "max_depth": 8}
    forests: dict[str, Any] = {
        "random forest of depth {max_depth}".format(**options): ensemble.RandomForestRegressor(
            random_state=0, **options
        ).fit(x, y)
    }
    forests[_DEEP] = ensemble.RandomForestRegressor(4 if small else 100, random_state=0).fit(x[:2000], y[:2000])
    options = {"n_estimators": 5, "max_depth": 3} if small else {"n_estimators": 300, "max_depth": 6}
    title = "booster of depth {max_depth}".format(**options)
    if missing("xgboost"):
        booster = ensemble.GradientBoostingRegressor(random_state=0, subsample=0.3, **options)
        return forests | {title: booster.fit(x, y)}
    xgboost: Any = importlib.import_module("xgboost")
    booster = xgboost.XGBRegressor(**options).fit(x, y)
    return forests | {title: {"shap": booster, "XGBoost": booster.get_booster()}}


def _explained(forest: xai.trees.Forest, x: np.ndarray, masker: Any) -> Callable[[], jax.Array]:
    return lambda: xai.shap.trees(forest, x, masker).values


def _peers(models: dict[str, Any], x: np.ndarray, count: int, many: int, with_background: bool) -> dict[str, Side]:
    """Returns the peers that compute these values of `count` inputs, or of many; XGBoost computes path-dependent ones."""
    shap: Any = importlib.import_module("shap")

    options = {"data": x[:_BACKGROUND], "feature_perturbation": "interventional"} if with_background else {}
    explainer = shap.TreeExplainer(models["shap"], **options)
    peers = {"shap TreeExplainer": Side(lambda: explainer.shap_values(x[:count], check_additivity=False), count, 1)}
    if "XGBoost" in models and not with_background:
        xgboost: Any = importlib.import_module("xgboost")
        matrix, booster = xgboost.DMatrix(x[:count]), models["XGBoost"]
        peers["XGBoost"] = Side(lambda: booster.predict(matrix, pred_contribs=True)[:, :-1], count, 1)
    if not missing(*_WOODELF):
        peers["Woodelf"] = Side(
            _woodelf(models["shap"], x[:many], x[:_BACKGROUND] if with_background else None), many, 1
        )
    return peers


def _woodelf(model: Any, x: np.ndarray, background: np.ndarray | None) -> Callable[[], np.ndarray]:
    woodelf, pandas = (importlib.import_module(name) for name in ("woodelf", "pandas"))
    explainer: Any = woodelf.WoodelfExplainer(model, *(() if background is None else (pandas.DataFrame(background),)))
    frame = pandas.DataFrame(x)

    def run() -> np.ndarray:
        with contextlib.redirect_stdout(None):
            return np.asarray(explainer.shap_values(frame))

    return run


def _by_rows(forest: xai.trees.Forest, x: np.ndarray, counts: tuple[int, ...]) -> dict[str, float]:
    """Returns our seconds for all inputs, by the number of background rows, after tables are made and compiled."""
    seconds = {}
    for count in counts:
        rows = np.random.default_rng(count).normal(size=(count, _FEATURES)).astype(np.float32)
        explain = _explained(forest, x, xai.mask.background(rows))
        jax.block_until_ready(explain())
        times = []
        for _ in range(3):
            start = time.perf_counter()
            jax.block_until_ready(explain())
            times.append(time.perf_counter() - start)
        seconds[f"{count:,}"] = min(times)
    return seconds
