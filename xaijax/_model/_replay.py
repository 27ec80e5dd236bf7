"""Functions that JAX evaluates between the runs of a program, as a program must not call JAX while it runs.

The first run records the first rows without answers that the program asks for. They are evaluated, and the program runs
again, until all of its rows have answers. Rows that it asks for after the first ones without answers are not evaluated yet:
the program may have chosen them by zeros that stood for the answers. So exactly the rows that the program uses are
evaluated, and a program that asks n times runs at most n + 1 times.
"""

from __future__ import annotations

import functools
import itertools
import threading
import weakref
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.typing import Array
from xaijax._model._model import Model

Result = TypeVar("Result")

OUTSIDE = (
    "`game` must be explained outside of jax.jit and other transformations, got one of xai.text.response_game, whose rows "
    "are evaluated between the runs of the explainer: call the explainer from Python."
)
DROPPED = (
    "`game` must exist while it is explained, got a part or a copy of a game of xai.text.response_game that was dropped: keep "
    "the game itself, and pass it."
)


@runtime_checkable
class Answers(Protocol):
    """The answers to rows, kept on the host.

    known(rows) -> (answers, is_known): 0 for rows without answers yet, which `evaluate(rows)` computes. Answers may be NaN.
    dtype: of the answers.
    """

    dtype: np.dtype

    def known(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]: ...

    def evaluate(self, rows: np.ndarray) -> None: ...


class _Replay:
    """The one function on the host of all programs with such a model; `number` says whose answers are asked for."""

    is_on_host = True  # read by compiled programs, which run it by `run_watched`

    def __init__(self) -> None:
        self._answers: weakref.WeakValueDictionary[int, Answers] = weakref.WeakValueDictionary()
        self._numbers = itertools.count()
        self._missing: tuple[int, np.ndarray] | None = None  # the first rows without answers of this run
        self._is_recording = False
        self._running = threading.RLock()  # one program at a time: the others would not know whose rows were recorded

    def register(self, answers: Answers) -> int:
        number = next(self._numbers)
        self._answers[number] = answers
        return number

    def answers(self, number: int) -> Answers:
        answers = self._answers.get(number)
        if answers is None:
            raise RuntimeError(DROPPED)
        return answers

    def look_up(self, dtype: np.dtype, number: Any, rows: Any) -> np.ndarray:
        """Called by programs. rows [..., S, M] with any leading axes, as `jax.vmap` adds them."""
        rows, number = np.asarray(rows), int(np.asarray(number).flat[0])
        flat = rows.reshape(-1, rows.shape[-1])
        answers, is_known = self.answers(number).known(flat)
        if not is_known.all():
            if not self._is_recording:
                raise RuntimeError(OUTSIDE)
            if self._missing is None:
                self._missing = number, flat[~is_known]
        return answers.reshape(*rows.shape[:-1], -1).astype(dtype)

    def run(self, run: Callable[[], Result]) -> Result:
        """Runs a program until all of its rows have answers."""
        with self._running:
            before, self._is_recording = self._is_recording, True
            try:
                while True:
                    result, missing = self._run_once(run)
                    if missing is None:
                        return result
                    number, rows = missing
                    self.answers(number).evaluate(rows)
            finally:
                self._is_recording, self._missing = before, None

    def _run_once(self, run: Callable[[], Result]) -> tuple[Result, tuple[int, np.ndarray] | None]:
        """Returns the result of a run, and the first rows without answers that it asked for."""
        self._missing = None
        return run(), self._missing


REPLAY = _Replay()


class ReplayedModel(Model):
    """A model whose rows are evaluated between the runs of a program. Content: the number of its answers; REPLAY is static."""

    no_layers = "the games of texts are evaluated between the runs of a program, where JAX sees no layers"

    def __init__(self, answers: Answers, num_outputs: int):
        super().__init__((REPLAY, np.int32(REPLAY.register(answers))), num_outputs, answers.dtype)

    def _call(self, x: Any) -> Array:
        _, number = self.content
        num_outputs, dtype = self.static.options
        if check.is_concrete(x, number):
            answers, rows = REPLAY.answers(int(number)), np.asarray(x)
            answers.evaluate(rows)
            return jnp.asarray(answers.known(rows)[0])
        return _look_up(num_outputs, jax.dtypes.canonicalize_dtype(dtype), number, x)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _look_up(num_outputs: int, dtype: np.dtype, number: Array, rows: Array) -> Array:
    result = jax.ShapeDtypeStruct((rows.shape[0], num_outputs), dtype)
    look_up = functools.partial(REPLAY.look_up, dtype)
    return jax.pure_callback(look_up, result, number, rows, vmap_method="broadcast_all")


def _refuse_derivative(num_outputs: int, dtype: np.dtype, primals: Any, tangents: Any) -> Any:
    raise TypeError(OUTSIDE)


_look_up.defjvp(_refuse_derivative)
