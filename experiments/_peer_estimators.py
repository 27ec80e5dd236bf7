"""The estimators of shap and shapiq, run by another Python: a script that needs neither JAX nor this library.

`experiments/_peers.py` starts it and evaluates the games for it. Both sides send messages: a line of JSON, followed by as many
bytes as its "bytes" says.

    start:                {"estimators": [[name, package], ...], "versions": {...}}, once, from here
    request:              {"estimator": ..., "players": M, "evaluations": m, "seed": ...}
    coalitions to value:  {"coalitions": S}, with S M packed bits; the answer {"values": S} has S numbers in float64
    result:               {"estimate": M}, with M numbers in float64, or {"failure": "..."}
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import sys
import warnings
from collections.abc import Callable
from importlib import metadata
from typing import IO, Any

import numpy as np

PACKAGES = ("shap", "shapiq")
Value = Callable[[Any], np.ndarray]  # coalitions [S, M] -> [S], in float64

# ShaplEIG chooses one evaluation after the other, and takes minutes for more.
_MOST_SHAPLEIG = (16, 80)  # players, evaluations


def _shap_permutation(value: Value, players: int, evaluations: int, seed: int) -> np.ndarray:
    shap: Any = importlib.import_module("shap")

    explain = shap.PermutationExplainer(value, shap.maskers.Independent(np.zeros((1, players))), seed=seed)
    return explain(np.ones((1, players)), max_evals=evaluations, silent=True).values[0]


def _shap_kernel(value: Value, players: int, evaluations: int, seed: int, *, l1_reg: Any) -> np.ndarray:
    shap: Any = importlib.import_module("shap")

    np.random.seed(seed)  # noqa: NPY002  (the only generator that this explainer reads)
    explain = shap.KernelExplainer(value, np.zeros((1, players)))
    return explain.shap_values(np.ones((1, players)), nsamples=evaluations - 2, l1_reg=l1_reg, silent=True)[0]


def _shapiq(value: Value, players: int, evaluations: int, seed: int, *, name: str, **options: Any) -> np.ndarray:
    approximators: Any = importlib.import_module("shapiq.approximator")

    empty = value(np.zeros((1, players)))[0]
    centered = lambda coalitions: value(coalitions) - empty  # noqa: E731  (as shapiq's own games do)
    if name == "PolySHAP":  # at most as many terms as pairs: it falls back to KernelSHAP while the budget is small
        options["max_terms"] = max(players + 1, evaluations // 2)
    if name == "ShaplEIG" and (players > _MOST_SHAPLEIG[0] or evaluations > _MOST_SHAPLEIG[1]):
        raise RuntimeError("not run: more than {} players or {} evaluations take minutes".format(*_MOST_SHAPLEIG))
    approximate = getattr(approximators, name)(n=players, random_state=seed, **options).approximate
    values = approximate(evaluations, centered).dict_values
    return np.array([values.get((player,), 0.0) for player in range(players)])


def _estimators() -> dict[str, tuple[str, Callable[..., np.ndarray]]]:
    """Returns the package and the function of every estimator."""
    paired = {"pairing_trick": True}
    of_shap = {
        "PermutationExplainer": _shap_permutation,
        "KernelExplainer": functools.partial(_shap_kernel, l1_reg="num_features(10)"),
        "KernelExplainer, l1_reg off": functools.partial(_shap_kernel, l1_reg=False),
    }
    of_shapiq: dict[str, dict[str, Any]] = {
        "KernelSHAP, paired": {"name": "KernelSHAP", **paired},
        "LeverageSHAP": {"name": "LeverageSHAP"},
        "kADDSHAP": {"name": "kADDSHAP", "max_order": 2},
        "PolySHAP, order 3": {"name": "PolySHAP", "max_order": 3, **paired},
        "OddSHAP": {"name": "OddSHAP"},
        "OddSHAP, eta = 5": {"name": "OddSHAP", "interaction_factor": 5},
        "RegressionMSR": {"name": "RegressionMSR", "index": "SV"},
        "ProxySHAP, adjusted": {"name": "ProxySHAP", "index": "SV", "max_order": 1, "adjustment": True},
        "ShaplEIG": {"name": "ShaplEIG", "show_progress": False},
    }
    estimators = {name: ("shap", estimate) for name, estimate in of_shap.items()}
    return estimators | {name: ("shapiq", functools.partial(_shapiq, **options)) for name, options in of_shapiq.items()}


class Pipe:
    """The messages of one side."""

    def __init__(self, read: IO[bytes], write: IO[bytes]):
        self.read, self.write = read, write

    def send(self, message: dict[str, Any], content: bytes = b"") -> None:
        self.write.write(json.dumps(message | {"bytes": len(content)}).encode() + b"\n" + content)
        self.write.flush()

    def receive(self) -> tuple[dict[str, Any], bytes] | None:
        """Returns the next message, or None at the end."""
        line = self.read.readline()
        if not line:
            return None
        message = json.loads(line)
        return message, self.read.read(message["bytes"])

    def value(self, coalitions: Any) -> np.ndarray:
        """Asks the other side for the values of coalitions."""
        rows = np.atleast_2d(np.asarray(coalitions)) > 0.5
        self.send({"coalitions": len(rows)}, np.packbits(rows).tobytes())
        answer = self.receive()
        if answer is None:
            raise SystemExit("the study has ended")
        return np.frombuffer(answer[1], np.float64).copy()


def serve(pipe: Pipe) -> None:
    """Answers requests until there are no more."""
    installed = {}
    for package in PACKAGES:
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    estimators = {name: row for name, row in _estimators().items() if row[0] in installed}
    pipe.send({"estimators": [[name, row[0]] for name, row in estimators.items()], "versions": installed})
    while (request := pipe.receive()) is not None:
        fields = request[0]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                sizes = fields["players"], fields["evaluations"], fields["seed"]
                estimate = estimators[fields["estimator"]][1](pipe.value, *sizes)
            pipe.send({"estimate": len(estimate)}, np.asarray(estimate, np.float64).tobytes())
        except Exception as error:  # a failure of one estimator is a result
            pipe.send({"failure": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"})


def main() -> None:
    # What the packages print goes to the standard error, so that it does not mix with the messages.
    to_study = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(Pipe(sys.stdin.buffer, to_study))


if __name__ == "__main__":
    main()
