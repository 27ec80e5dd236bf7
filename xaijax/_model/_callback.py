"""Functions on the host as models: NumPy, scikit-learn, XGBoost, torch or a remote service, through `jax.pure_callback`.

Explainers that only evaluate a model take them, within compiled programs too. Derivatives do not exist.
"""

from __future__ import annotations

import dataclasses
import functools
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero

from xaijax._core import calls, check
from xaijax._core.typing import Array
from xaijax._model._model import Model
from xaijax._model._replay import REPLAY

Result = TypeVar("Result")


class _Shapes(weakref.WeakKeyDictionary[Any, dict[Any, tuple[int, ...]]]):
    """The shapes of outputs that calls have shown: function -> shapes and dtypes of the rows -> shape of one row's outputs."""

    cache_clear = weakref.WeakKeyDictionary.clear  # by xai.clear_caches()


# Programs call the first of equal functions, so these are known by equality.
_shapes = _Shapes()
_waiting: dict[HostFunction, list[list[Exception]]] = {}  # one list for each call of an explainer that waits for errors
_changing = threading.Lock()


@dataclasses.dataclass(frozen=True)
class HostFunction:
    """A function on the host, with what is known about it. Compared by these fields, so that equal ones share programs.

    predict: maps a batch of rows, NumPy arrays [n, ...], to numbers [n, ...].
    output_shape: of one row's outputs; None until a call shows it.
    batch_size: rows of one call; None for all.
    decode: maps one row of token ids to what predict takes in its place; None for rows as they are.
    columns: names of the columns of the data frames that predict takes; None for arrays.
    """

    predict: Callable[..., Any]
    output_shape: tuple[int, ...] | None = None
    batch_size: int | None = None
    decode: Callable[[np.ndarray], Any] | None = None
    columns: tuple[str, ...] | None = None

    is_on_host = True  # read by compiled programs, which keep few of these functions and wait for their errors

    @property
    def name(self) -> str:
        """What errors call the function."""
        owner = getattr(self.predict, "__self__", None)
        if owner is not None and not isinstance(owner, type):
            return f"{type(owner).__name__}.{self.predict.__name__}"
        return getattr(self.predict, "__qualname__", type(self.predict).__name__)

    def __call__(self, x: Any, shape: tuple[int, ...] | None = None) -> np.ndarray:
        """Evaluates rows, equal ones once, in blocks.

        Args:
          x: arrays [n, ...] of NumPy.
          shape: of one row's outputs, where it is known.
        """
        leaves, structure = jax.tree.flatten(x)
        if not len(leaves[0]):
            shape = self.output_shape if shape is None else shape
            if shape is None:
                raise ValueError(
                    "`x` must have a row where the shape of the outputs is not known, got 0 rows: pass output_shape=, such "
                    "as (3,) for three classes, to xai.callback."
                )
            return np.zeros((0, *shape), np.float32)
        first, inverse = _distinct_rows(leaves)
        size = self.batch_size or len(first)
        outputs = []
        for start in range(0, len(first), size):
            rows = first[start : start + size]
            outputs.append(
                self._block(jax.tree.unflatten(structure, [leaf[rows] for leaf in leaves]), len(rows), shape)
            )
            shape = outputs[0].shape[1:]
        return np.concatenate(outputs)[inverse]

    def observe(self, x: Any) -> tuple[int, ...]:
        """Returns the shape of one row's outputs, from a call with the first two rows of x if no call has shown it."""
        if self.output_shape is not None:
            return self.output_shape
        known = _shapes.setdefault(self, {})
        rows = tuple((leaf.shape[1:], str(leaf.dtype)) for leaf in jax.tree.leaves(x))
        if rows not in known:
            known[rows] = self(jax.tree.map(lambda leaf: np.asarray(leaf[:2]), x)).shape[1:]
        return known[rows]

    def _block(self, x: Any, num_rows: int, shape: tuple[int, ...] | None) -> np.ndarray:
        given = x
        if self.decode is not None:
            given = [self.decode(row) for row in x]
        elif self.columns is not None and np.shape(x) == (num_rows, len(self.columns)):
            import pandas

            given = pandas.DataFrame(x, columns=pandas.Index(self.columns))
        try:
            outputs = self.predict(given)
        except Exception as error:
            shown = f"{num_rows} strings" if self.decode is not None else _shown_shapes(x)
            error.add_note(f"{calls.NOTE}`predict`, {self.name}, raised this error on the host, for x of {shown}.")
            raise
        return self._checked(outputs, x, num_rows, shape)

    def _checked(self, outputs: Any, x: Any, num_rows: int, shape: tuple[int, ...] | None) -> np.ndarray:
        if hasattr(outputs, "detach"):  # a tensor of torch
            outputs = outputs.detach().cpu()
        try:
            array = np.asarray(outputs)
        except Exception:
            array = np.asarray(None)
        if array.dtype.kind not in "biuf":
            got = "None" if outputs is None else f"a {type(outputs).__name__}"
            if array.dtype.kind in "US":
                got = f"strings such as {str(array.ravel()[0])[:40]!r}"
            raise TypeError(
                f"`predict` must return an array of numbers, got {got} from {self.name}: return numbers, such as "
                "probabilities [n, K]."
            )
        if array.shape[:1] != (num_rows,):
            raise ValueError(
                f"`predict` must return one row for each of its {num_rows} rows, got shape {list(array.shape)} from "
                f"{self.name}: keep the first axis."
            )
        if shape is not None and array.shape[1:] != shape:
            raise ValueError(
                f"`predict` must return outputs of shape {[num_rows, *shape]}, got {list(array.shape)} from {self.name}: "
                "give the right output_shape, or call xai.clear_caches() if the function has changed."
            )
        if array.dtype.kind == "f":
            self._check_no_nan(array, x, num_rows)
        return array

    def _check_no_nan(self, outputs: np.ndarray, x: Any, num_rows: int) -> None:
        wrong = np.isnan(outputs.reshape(num_rows, -1)).any(axis=1)
        for leaf in jax.tree.leaves(x):  # rows that are not valid are not explained
            if np.issubdtype(leaf.dtype, np.floating) and wrong.any():
                wrong &= ~np.isnan(leaf.reshape(num_rows, -1)).any(axis=1)
        if wrong.any():
            row = jax.tree.map(lambda leaf: leaf[np.argmax(wrong)], x)
            shown = f" (the first for x = {check.shown(row.tolist())})" if isinstance(row, np.ndarray) else ""
            raise ValueError(
                f"`predict` must return numbers, got NaN from {self.name} in {wrong.sum()} of {num_rows} rows{shown}: let it "
                "accept the masker's inputs, such as columns in other combinations."
            )


class CallbackModel(Model):
    """A function on the host (static)."""

    no_layers = "a model of xai.callback runs on the host, where JAX sees no layers: explain it by xai.lime or xai.shap"

    def __init__(self, function: HostFunction):
        super().__init__(function)

    def observe(self, x: Any) -> None:
        self.content.observe(x)

    @property
    def has_decoder(self) -> bool:
        return self.content.decode is not None

    def decoding(self, decode: Callable[[np.ndarray], Any]) -> CallbackModel:
        """Returns the model of token ids that `decode` turns into what the function takes."""
        return CallbackModel(dataclasses.replace(self.content, decode=decode))

    def _call(self, x: Any) -> Any:
        function: HostFunction = self.content
        x = jax.tree.map(jnp.asarray, x)
        if check.is_concrete(x):
            outputs = function(jax.tree.map(np.asarray, x), function.output_shape)
            return jnp.asarray(outputs, jnp.result_type(float))
        leaves, structure = jax.tree.flatten(x)
        if not all(isinstance(size, int) for leaf in leaves for size in leaf.shape):
            raise TypeError(
                f"`model` must be written in JAX to be exported, got xai.callback({function.name}), which runs on the host."
            )
        shape = _shape_of_outputs(function, x)
        of_rows = _OfRows(function, structure, tuple(leaf.ndim - 1 for leaf in leaves), shape, jnp.result_type(float))
        return _evaluate(of_rows, *leaves)


def callback(
    predict: Callable[..., Any],
    *,
    output_shape: int | Sequence[int] | None = None,
    batch_size: int | None = None,
    decode: Callable[[np.ndarray], Any] | None = None,
) -> Model:
    """Makes a model of any function on the host: NumPy, scikit-learn, XGBoost, torch, or a remote service.

    Why: LIME, Shapley values and games only evaluate a model, so it need not be written in JAX. Compiled explainers call
    the function while they run, with NumPy arrays. Methods that differentiate refuse such models. An estimator, an
    object with `predict_proba` or `predict` that is not callable, is wrapped by itself wherever a model is passed.

    Args:
      predict: maps x[n, ...], NumPy arrays in the structure of the explained inputs, to numbers [n, K] or [n], one row for
        each. Equal rows of one call are passed once. It must not call JAX.
      output_shape: of one row's outputs: K, a tuple, or () for one number per row. Default: a call with rows of the
        explained inputs shows it, or one with zeros within `jax.jit`.
      batch_size: the most rows that predict takes at once. Default: as many as the explainer evaluates at once.
      decode: maps token ids of one row [L], padding included, to what predict takes for it, such as
        `lambda ids: tokenizer.decode(ids)`; then predict gets a list of n of these. Default: rows are passed as they are,
        and `xai.lime.strings` without a tokenizer passes lists of strings.

    Returns:
      A model that all explainers take that only evaluate it, with outputs in float32 (float64 under x64).

    Raises:
      TypeError: if `predict` is not callable. When it is evaluated: if it returns anything but numbers, or is
        differentiated.
      ValueError: when it is evaluated: if it returns another number of rows, another shape, or NaN.
      Errors within predict are raised again with a note.

    >>> import jax.numpy as jnp, numpy as np, xaijax as xai
    >>> model = xai.callback(lambda x: np.where(x[:, 0] > 0, x[:, 1], 0.0))  # any Python
    >>> xai.shap.values(model, jnp.array([[1.0, 4.0]]), xai.mask.baseline(jnp.array([-1.0, 0.0]))).values
    Array([[2., 2.]], dtype=float32)
    """
    if not callable(predict) or isinstance(predict, type):
        raise TypeError(f"`predict` must be callable as predict(x[n, ...]), got {check.shown(predict)}.")
    if decode is not None and not callable(decode):
        raise TypeError(f"`decode` must be callable as decode(ids[L]), got {check.shown(decode)}.")
    sizes = (output_shape,) if isinstance(output_shape, (int, np.integer)) else output_shape
    if sizes is not None:
        if not isinstance(sizes, (tuple, list)):
            raise TypeError(f"`output_shape` must be an int, ints or None, got {check.shown(output_shape)}.")
        sizes = tuple(check.positive_int("output_shape", size) for size in sizes)
    return CallbackModel(HostFunction(predict, sizes, check.batch_size(batch_size), decode, _columns(predict)))


def of_estimator(estimator: Any) -> CallbackModel:
    """Returns the model of an estimator: its probabilities, its decision function for classifiers without, or its predictions.

    The shape is known from scikit-learn's `classes_`.
    """
    classes = getattr(estimator, "classes_", None)
    names = ["predict_proba", *(["decision_function"] if classes is not None else []), "predict"]
    name = next(name for name in names if hasattr(estimator, name))
    is_known = name == "predict_proba" and isinstance(classes, np.ndarray)
    predict = getattr(estimator, name)
    shape = (len(classes),) if is_known else None  # pyright: ignore[reportArgumentType]
    return CallbackModel(HostFunction(predict, shape, columns=_columns(predict)))


def run_watched(functions: Sequence[HostFunction], run: Callable[[], Result]) -> Result:
    """Runs a compiled program, and raises the first error of its functions on the host as it was.

    Errors that leave a callback would lose their type, and JAX gives no promise about such programs. Therefore a function
    that fails gives NaN while somebody waits here, and its error is raised at the end.
    """
    if REPLAY in functions:
        others = [function for function in functions if function is not REPLAY]
        return REPLAY.run(lambda: run_watched(others, run))
    failures: list[Exception] = []
    result: Any = None
    with _changing:
        for function in functions:
            _waiting.setdefault(function, []).append(failures)
    try:
        result = jax.block_until_ready(run())
    except Exception:  # such as that of jax_debug_nans
        if not failures:
            raise
    finally:
        with _changing:
            for function in functions:
                others = [other for other in _waiting.pop(function, []) if other is not failures]
                _waiting.update({function: others} if others else {})
    if failures:
        raise failures[0]
    return result


@dataclasses.dataclass(frozen=True)
class _OfRows:
    """A function on the host for arrays with any leading axes, as `jax.vmap` adds them.

    structure: of the inputs. ranks: of the arrays of one row. shape, dtype: of one row's outputs.
    """

    function: HostFunction
    structure: Any
    ranks: tuple[int, ...]
    shape: tuple[int, ...]
    dtype: Any

    def __call__(self, *arrays: Any) -> np.ndarray:
        leaves = [np.asarray(array) for array in arrays]
        lead = leaves[0].shape[: leaves[0].ndim - self.ranks[0]]
        with _changing:
            failures = list(_waiting.get(self.function, ()))
        failed = np.full((*lead, *self.shape), np.nan, self.dtype)
        if failures and all(failures):
            return failed
        rows = [
            leaf.reshape(-1, *leaf.shape[leaf.ndim - rank :]) for leaf, rank in zip(leaves, self.ranks, strict=True)
        ]
        try:
            outputs = self.function(jax.tree.unflatten(self.structure, rows), self.shape)
        except Exception as error:
            for waiting in failures:
                waiting.append(error)
            if failures:
                return failed
            raise
        return outputs.reshape(failed.shape).astype(self.dtype)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _evaluate(of_rows: _OfRows, *leaves: Array) -> Array:
    result = jax.ShapeDtypeStruct((leaves[0].shape[0], *of_rows.shape), of_rows.dtype)
    return jax.pure_callback(of_rows, result, *leaves, vmap_method="broadcast_all")


def _refuse_derivative(of_rows: _OfRows, primals: Any, tangents: Any) -> Any:
    if any(not isinstance(tangent, SymbolicZero) for tangent in tangents):
        raise TypeError(
            f"`model` must be written in JAX for {calls.explainer_name() or 'derivatives'}, got "
            f"xai.callback({of_rows.function.name}), which runs on the host and has no derivatives: use a method that only "
            "evaluates the model, such as xai.shap.values or xai.lime."
        )
    outputs = _evaluate(of_rows, *primals)
    return outputs, jnp.zeros_like(outputs)


_evaluate.defjvp(_refuse_derivative, symbolic_zeros=True)


def _shape_of_outputs(function: HostFunction, x: Any) -> tuple[int, ...]:
    """Returns the shape of one row's outputs, where x is traced: by a call with zeros, if none with real rows has been made."""
    zeros = jax.tree.map(lambda leaf: np.zeros((1, *leaf.shape[1:]), leaf.dtype), x)
    try:
        return function.observe(zeros)
    except Exception as error:
        error.add_note(
            f"{calls.NOTE}this call with zeros was to show the shape of the outputs: pass xai.callback(predict, "
            "output_shape=...) if `predict` does not take zeros."
        )
        raise


def _distinct_rows(leaves: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the indices of the first of each set of equal rows, and for every row its index among these."""
    num_rows = len(leaves[0])
    parts = [np.ascontiguousarray(leaf).reshape(num_rows, -1).view(np.uint8) for leaf in leaves]
    joined = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
    known: dict[bytes, int] = {}
    inverse = np.array([known.setdefault(row.tobytes(), len(known)) for row in joined], np.intp)
    _, first = np.unique(inverse, return_index=True)
    return first, inverse


def _columns(predict: Any) -> tuple[str, ...] | None:
    """Returns the names of the data frame's columns that an estimator of scikit-learn was fitted to, or None."""
    names = getattr(getattr(predict, "__self__", None), "feature_names_in_", None)
    return None if names is None else tuple(map(str, names))


def _shown_shapes(x: Any) -> str:
    return ", ".join(f"{leaf.dtype}{list(leaf.shape)}" for leaf in jax.tree.leaves(x)[:4])
