"""The estimators of shap and shapiq in another Python, whose games are evaluated here."""

from __future__ import annotations

import functools
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from experiments._estimators import Estimates, Estimator, Failure
from experiments._known_games import KnownGame
from experiments._peer_estimators import Pipe

_SCRIPT = Path(__file__).with_name("_peer_estimators.py")
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # the problems are small


class Peers:
    """A process of another Python that has shap, shapiq or both. As a context manager it ends the process.

    python: the path of its interpreter. script: what it runs, see `_peer_estimators.py` for the messages.
    """

    def __init__(self, python: str | Path, script: Path = _SCRIPT):
        self._process = subprocess.Popen(
            [str(python), str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | _ONE_THREAD,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._pipe = Pipe(self._process.stdout, self._process.stdin)
        start = self._receive()
        self._names: list[tuple[str, str]] = [(name, package) for name, package in start[0]["estimators"]]
        self.versions: dict[str, str] = start[0]["versions"]

    def __enter__(self) -> Peers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def estimators(self) -> list[Estimator]:
        """Returns the estimators of the packages that are installed there."""
        return [Estimator(name, package, functools.partial(self._estimate, name)) for name, package in self._names]

    def _estimate(self, name: str, known: KnownGame, num_evaluations: int, seeds: Sequence[int]) -> Estimates:
        values, asked, players = [], 0, len(known.exact)
        for seed in seeds:
            self._pipe.send({"estimator": name, "players": players, "evaluations": num_evaluations, "seed": int(seed)})
            while True:
                message, content = self._receive()
                if "failure" in message:
                    raise Failure(message["failure"])
                if "estimate" in message:
                    break
                rows = message["coalitions"]
                bits = np.unpackbits(np.frombuffer(content, np.uint8), count=rows * players)
                worth = known.value.in_numpy(bits.reshape(rows, players).astype(bool))
                self._pipe.send({"values": rows}, np.asarray(worth, np.float64).tobytes())
                asked += rows
            estimate = np.frombuffer(content, np.float64)
            if not np.isfinite(estimate).all():
                raise Failure("values that are not finite")
            values.append(estimate)
        return Estimates(np.array(values), None, asked / len(seeds))  # shapiq's ask for the empty coalition once more

    def _receive(self) -> tuple[dict[str, Any], bytes]:
        message = self._pipe.receive()
        if message is None:
            code = self._process.wait()
            raise RuntimeError(f"The peers' process ended with the code {code}: run its script by hand to see why.")
        return message
