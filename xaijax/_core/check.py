"""Checks arguments at the door of public functions.

Every check raises one sentence of the form "`name` must be ..., got ...: likely fix." Inside the package values are
trusted.
"""

from __future__ import annotations

import difflib
import itertools
import numbers
import reprlib
from collections.abc import Iterable, Mapping, Set
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

_NO_NUMBERS = ("O", "S", "U", "T", "M", "m")  # the kinds of NumPy's dtypes that JAX lacks
_MOST_AXES = 64  # of a NumPy array
_LARGEST_INT = 2**31 - 1  # of the sizes and counts that XLA indexes with
_FEW = 4  # arrays of a container that are described
_SHOWN = reprlib.Repr()
_SHOWN.maxstring = _SHOWN.maxother = 60
_SHOWN.maxlevel = 2


def is_concrete(*trees: Any) -> bool:
    """Returns whether every leaf has a value now, that is, whether no leaf is being traced."""
    return not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(trees))


def shown(value: Any) -> str:
    """Describes a wrong value for an error message in at most a few words, for every type and size."""
    if isinstance(value, Tracer):
        return f"a traced array of shape {list(value.shape)}"
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if isinstance(shape, tuple) and dtype is not None:
        return f"{dtype}{list(shape)}" if shape else f"{dtype} {value}"
    if isinstance(value, (bool, int, float, complex, str, bytes, type(None), list, tuple, dict, set)):
        if isinstance(value, int) and value.bit_length() > 64:
            return f"an int of {value.bit_length()} bits"
        try:
            return _container(value) or " ".join(_SHOWN.repr(value).split())
        except Exception:
            return f"an object of type {type(value).__name__}"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if callable(value) and hasattr(value, "__qualname__"):
        return f"the function {value.__qualname__}"
    return f"an object of type {type(value).__name__}"


def _container(value: Any) -> str:
    """Describes a list, tuple or dict of arrays by their shapes; "" for other values."""
    if not _has_arrays(value):
        return ""
    members = list(value.values() if isinstance(value, dict) else value)
    parts = list(map(shown, members[:_FEW]))
    if isinstance(value, dict):
        parts = [f"{_SHOWN.repr(key)}: {part}" for key, part in zip(value, parts, strict=False)]
    more = f" and {len(members) - _FEW:,} more" if len(members) > _FEW else ""
    return f"a {type(value).__name__} of {', '.join(parts)}{more}"


def _has_arrays(value: Any, depth: int = 2) -> bool:
    if isinstance(value, dict | list | tuple):
        members = itertools.islice(value.values() if isinstance(value, dict) else value, _FEW)
        return depth > 0 and any(_has_arrays(member, depth - 1) for member in members)
    return bool(getattr(value, "shape", ())) and hasattr(value, "dtype")


def flag(name: str, value: Any) -> bool:
    """Returns a static True or False."""
    if isinstance(value, Tracer):
        raise TypeError(f"`{name}` must be True or False, got a traced array: mark it as static in jax.jit.")
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"`{name}` must be True or False, got {shown(value)}.")
    return bool(value)


def positive_int(name: str, value: Any, *, least: int = 1, most: int = _LARGEST_INT) -> int:
    """Returns a static integer between `least` and `most`."""
    if isinstance(value, Tracer):
        raise TypeError(f"`{name}` must be a Python int, got a traced array: mark it as static in jax.jit.")
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"`{name}` must be an int of at least {least}, got {shown(value)}.")
    number = int(value)
    if number < least:
        raise ValueError(f"`{name}` must be at least {least}, got {shown(number)}.")
    if number > most:
        raise ValueError(f"`{name}` must be at most {most}, got {shown(number)}.")
    return number


def positive_float(name: str, value: Any, *, zero_allowed: bool = False) -> float:
    """Returns a static finite number above zero, or a non-negative one where zero is allowed."""
    bound = "zero or more" if zero_allowed else "above zero"
    number = finite_float(name, value, expected=f"finite and {bound}")
    if number < 0 or (number == 0 and not zero_allowed):
        raise ValueError(f"`{name}` must be finite and {bound}, got {number}.")
    return number


def finite_float(name: str, value: Any, *, expected: str = "finite") -> float:
    """Returns a static finite number of either sign."""
    if isinstance(value, Tracer):
        raise TypeError(f"`{name}` must be a Python number, got a traced array: mark it as static in jax.jit.")
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"`{name}` must be a number, {expected}, got {shown(value)}.")
    try:
        number = float(value)
    except (OverflowError, ValueError):
        number = float("inf")
    if not np.isfinite(number):
        raise ValueError(f"`{name}` must be {expected}, got {shown(value)}.")
    return number


def probability(name: str, value: Any, *, usual: str) -> float:
    """Returns a static number between 0 and 1, without them; the message says what is usual."""
    number = finite_float(name, value, expected="between 0 and 1")
    if not 0 < number < 1:
        raise ValueError(f"`{name}` must be between 0 and 1, got {number}: {usual} is usual.")
    return number


def one_of(name: str, value: Any, choices: Iterable[str]) -> str:
    """Returns a name from a short list; the message shows the list and the closest match."""
    choices = list(choices)
    if isinstance(value, str) and value in choices:
        return value
    raise ValueError(f"`{name}` must be one of {choices}, got {shown(value)}{did_you_mean(value, choices)}.")


def did_you_mean(value: Any, choices: Iterable[str]) -> str:
    """Returns " (did you mean ...?)" for a misspelled name, or an empty text where no choice is similar."""
    close = difflib.get_close_matches(value, list(choices), n=3, cutoff=0.5) if isinstance(value, str) else []
    return f" (did you mean {' or '.join(repr(choice) for choice in close)}?)" if close else ""


def numeric_array(name: str, value: Any) -> jax.Array:
    """Returns a JAX array of real numbers or booleans, and refuses values that JAX's default dtypes cannot hold."""
    if isinstance(value, np.ma.MaskedArray):
        if np.ma.is_masked(value):
            raise TypeError(f"`{name}` must be an array without missing values, got a masked array: fill it first.")
        value = value.data
    _refuse_dict(name, value)
    if getattr(getattr(value, "dtype", None), "kind", "") in _NO_NUMBERS:
        numbers = _numbers_in(value)
        if numbers is not None:
            _fits(name, numbers, jax.dtypes.canonicalize_dtype(numbers.dtype))
        fix = "" if numbers is None else f": convert it with .astype({numbers.dtype})"
        raise TypeError(f"`{name}` must be an array of numbers, got {shown(value)}{fix}.")
    try:
        with jax.ensure_compile_time_eval():  # constants stay known inside a transformation, and are checked
            array = jnp.asarray(value)
    except (TypeError, ValueError, OverflowError, AttributeError) as error:
        if isinstance(error, OverflowError):
            _fits(name, _host_integers(value), jnp.asarray(0).dtype)
        cause = None if isinstance(value, (list, tuple, dict)) else error  # JAX's own words say less
        raise TypeError(f"`{name}` must be an array of numbers, got {shown(value)}{_reason(error)}.") from cause
    if jnp.issubdtype(array.dtype, jnp.complexfloating):
        raise TypeError(f"`{name}` must be an array of real numbers, got {shown(array)}.")
    if not (jnp.issubdtype(array.dtype, jnp.number) or array.dtype == bool):
        raise TypeError(f"`{name}` must be an array of numbers, got {shown(value)}.")
    _fits(name, value, array.dtype)
    return array


def _refuse_dict(name: str, value: Any) -> None:
    """Raises where a dict is passed for one array, and says how to pass one of its arrays."""
    if not isinstance(value, dict):
        return
    fix = f": pass {name}[{_SHOWN.repr(next(iter(value)))}]" if value else ""
    if len(value) > 1:
        fix = f": pass one of them, such as {fix.removeprefix(': pass ')}"
        if name == "x":
            fix += ", or explain all of them by xai.shap.values with a masker from xai.mask.joint"
    raise TypeError(f"`{name}` must be one array, got {shown(value)}{fix}.")


def _numbers_in(objects: Any) -> np.ndarray | None:
    """Returns the numbers that an array of Python objects holds, or None where it holds anything else."""
    try:
        numbers = np.array(objects.tolist())
    except (ValueError, OverflowError):
        return None
    return numbers if objects.dtype.kind == "O" and numbers.dtype.kind in "biuf" else None


def _host_integers(value: Any) -> Any:
    """Returns integers that JAX's default dtype cannot hold as NumPy holds them; other values as they are."""
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError):
        return value
    return array if np.issubdtype(array.dtype, np.integer) else value


def _reason(error: Exception) -> str:
    """Returns the part of an error of NumPy or JAX that a reader can use."""
    if isinstance(error, OverflowError):
        return f": it does not fit {jnp.asarray(0).dtype}"
    return ": its rows differ in length" if "inhomogeneous" in str(error) else ""


def _fits(name: str, value: Any, dtype: Any) -> None:
    """Raises where a 64-bit NumPy array does not fit the 32 bits that JAX would silently reduce it to."""
    if not isinstance(value, (np.ndarray, np.generic)) or value.dtype.itemsize <= dtype.itemsize or value.size == 0:
        return
    if np.issubdtype(value.dtype, np.integer):
        low, high, limits = value.min(), value.max(), jnp.iinfo(dtype)
        fits = low >= limits.min and high <= limits.max
    elif np.issubdtype(value.dtype, np.floating):
        low, high = np.nanmin(value, initial=0), np.nanmax(value, initial=0)
        largest = float(jnp.finfo(dtype).max)
        fits = all(np.isinf(end) or abs(float(end)) <= largest for end in (low, high))
    else:
        return
    if not fits:
        fix = "enable 64-bit arrays with jax.config.update('jax_enable_x64', True)"
        if np.issubdtype(value.dtype, np.floating):
            fix = f"rescale them, or {fix}"
        elif int(low) >= 0 and int(high) <= np.iinfo(np.uint32).max:
            fix = "convert them to uint32, which holds them, with .astype(np.uint32)"
        raise ValueError(f"`{name}` must fit {dtype}, got values from {low} to {high}: {fix}.")


def host_array(name: str, value: Any) -> np.ndarray:
    """Returns a NumPy array of real numbers, booleans, strings or objects, for results on the host such as plots."""
    _refuse_dict(name, value)
    if not is_concrete(value):
        raise TypeError(f"`{name}` must be an array with known values, got {shown(value)}.")
    if np.ma.is_masked(value):
        raise TypeError(f"`{name}` must be an array without missing values, got a masked array: fill it first.")
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(f"`{name}` must be an array, got {shown(value)}{_reason(error)}.") from error
    if np.issubdtype(array.dtype, np.complexfloating):
        raise TypeError(f"`{name}` must be an array of real numbers, got {shown(array)}.")
    return array


def is_list(value: Any) -> bool:
    """Returns whether a value is a sequence in order, other than a string: a list, a tuple, an array or an index."""
    if isinstance(value, str | bytes | Mapping | Set) or not hasattr(value, "__len__"):
        return False
    return hasattr(value, "__getitem__") and getattr(value, "ndim", 1) > 0


def texts(name: str, value: Any) -> list[str]:
    """Returns a sequence of strings as a list."""
    if not is_list(value) or not all(isinstance(text, str) for text in value):
        raise TypeError(f"`{name}` must be a sequence of strings, got {shown(value)}.")
    return [str(text) for text in value]


def no_nan(name: str, array: Any) -> None:
    """Raises if an array or PyTree holds NaN. Traced values pass: their NaN inputs give NaN explanations instead."""
    if not isinstance(array, (jax.Array, np.ndarray)):
        for path, leaf in jax.tree_util.tree_leaves_with_path(array):
            no_nan(name + jax.tree_util.keystr(path), leaf)
        return
    if not is_concrete(array) or not jnp.issubdtype(array.dtype, jnp.inexact):
        return
    if _has_nan(array):
        missing = np.isnan(np.asarray(array, dtype=np.float32))
        rows = np.unique(np.argwhere(missing)[:, 0])[:5].tolist() if missing.ndim else []
        raise ValueError(
            f"`{name}` must hold no NaN, got NaN in rows {rows}: a model's answer to NaN cannot be explained; fill or "
            "drop these values first."
        )


def _has_nan(array: Any) -> bool:
    """Returns whether an array holds NaN. NumPy reads what is on one CPU device: quicker than starting a program."""
    on_host = isinstance(array, np.ndarray) or [device.platform for device in array.devices()] == ["cpu"]
    if on_host and array.dtype in (np.float32, np.float64):
        return bool(np.isnan(np.max(np.asarray(array), initial=-np.inf)))  # NaN where any entry is
    with jax.ensure_compile_time_eval():
        return bool(_any_nan(array))


@jax.jit
def _any_nan(array: jax.Array) -> jax.Array:
    return jnp.isnan(array).any()


def random_key(key: Any, *, name: str = "key") -> Any:
    """Returns a JAX random key, either a typed key or a raw key of the default generator."""
    if isinstance(key, (jax.Array, np.ndarray)):
        if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) and key.shape == ():
            return key
        if key.dtype == jnp.uint32 and key.ndim == 1 and key.shape == _raw_key_shape():
            return key
    raise TypeError(f"`{name}` must be one JAX random key, such as jax.random.key(0), got {shown(key)}.")


def key_where_drawn(key: Any, is_exact: bool, reason: str) -> Any:
    """Checks a random key, which may be None where nothing is drawn."""
    if key is None:
        if not is_exact:
            raise ValueError(f"`key` must be a JAX random key, such as jax.random.key(0), got None: {reason}.")
        return jax.random.key(0)
    return random_key(key)


def _raw_key_shape() -> tuple[int, ...]:
    return jax.eval_shape(lambda: jax.random.key_data(jax.random.key(0))).shape


_NUMBER_THEM = "number the examples instead, such as by np.unique(ids, return_inverse=True)[1]"


def example_ids(ids: Any, num_examples: int | None) -> Any:
    """Returns ids [N] that name the examples for their randomness; None stands for their positions in the batch."""
    if ids is None:
        return None
    if not isinstance(ids, jax.Array):
        try:
            ids = np.asanyarray(ids)  # which keeps the mask of masked arrays, to be refused
        except ValueError as error:
            raise TypeError(f"`ids` must be integers [N], got {shown(ids)}.") from error
    if num_examples is not None and getattr(ids.dtype, "kind", "") in _NO_NUMBERS:
        raise TypeError(
            f"`ids` must be integers [{num_examples}], one for each example, got {shown(ids)}: {_NUMBER_THEM}."
        )
    if is_concrete(ids):
        ids = _ids_that_fit(ids)  # before JAX reduces them to 32 bits
    ids = numeric_array("ids", ids)
    if num_examples is None:
        raise ValueError("`ids` must be None for a game written by hand, got an array: ids name a model's examples.")
    if ids.shape != (num_examples,) or not jnp.issubdtype(ids.dtype, jnp.integer):
        raise ValueError(f"`ids` must be integers [{num_examples}], one for each example, got {shown(ids)}.")
    return ids


def _ids_that_fit(ids: Any) -> Any:
    """Returns ids from 2^31 on as uint32, which has the same keys.

    Raises for ids beyond 32 bits: randomness is derived from 32 bits, so larger ids would share their samples, and
    negative ones share those of ids from 2^31 on.
    """
    if not jnp.issubdtype(ids.dtype, jnp.integer) or ids.size == 0:
        return ids
    least, largest = int(np.min(ids)), int(np.max(ids))
    if largest > 2**32 - 1 or least < -(2**31) or (least < 0 and largest > 2**31 - 1):
        raise ValueError(f"`ids` must fit 32 bits, got {least} to {largest}: {_NUMBER_THEM}.")
    return ids.astype(np.uint32) if largest > 2**31 - 1 else ids


def batch_size(value: Any) -> int | None:
    """Returns a number of model rows, or None for the default."""
    return None if value is None else positive_int("batch_size", value)


def examples(x: Any, *, name: str = "x") -> int:
    """Returns the number of examples in an input PyTree: the leading axis N that all its arrays share."""
    leaves = jax.tree.leaves(x)
    if not leaves:
        raise ValueError(f"`{name}` must hold arrays of shape [N, ...], got {shown(x)}.")
    sizes = set()
    for leaf in leaves:
        shape = getattr(leaf, "shape", () if isinstance(leaf, numbers.Number) else None)
        if shape is None:
            raise TypeError(
                f"`{name}` must be an array of numbers or a PyTree of such arrays, got {shown(leaf)} in it."
            )
        if len(shape) == 0:
            raise ValueError(f"`{name}` must have a leading batch axis [N, ...], got a scalar: pass {name}[None].")
        sizes.add(shape[0])
    if len(sizes) > 1:
        raise ValueError(
            f"`{name}` must hold arrays that share one leading batch axis, got the lengths {sorted(sizes)}."
        )
    (num_examples,) = sizes
    if num_examples == 0:
        raise ValueError(f"`{name}` must hold at least one example, got a leading axis of length 0.")
    return num_examples


def nan_where(bad: jax.Array, tree: Any) -> Any:
    """Replaces the floating leaves by NaN for every example that is `bad[N]`, so that none has a plausible number."""

    def poison(leaf):
        if not jnp.issubdtype(leaf.dtype, jnp.inexact):
            return leaf
        return jnp.where(bad.reshape(bad.shape + (1,) * (leaf.ndim - bad.ndim)), jnp.nan, leaf)

    return jax.tree.map(poison, tree)


def rows_with_nan(x: Any) -> jax.Array:
    """Returns which examples of an input PyTree hold a NaN, [N]."""
    flags = [
        jnp.isnan(leaf).reshape(leaf.shape[0], -1).any(axis=1)
        for leaf in map(jnp.asarray, jax.tree.leaves(x))
        if jnp.issubdtype(leaf.dtype, jnp.inexact)
    ]
    return jnp.any(jnp.stack(flags), axis=0) if flags else jnp.zeros(examples(x), bool)


def labels(name: str, value: Any) -> np.ndarray:
    """Returns integer labels 0..M-1 without gaps, as a NumPy array."""
    if not is_concrete(value):
        raise TypeError(f"`{name}` must be known when compiling, as it defines the players, got {shown(value)}.")
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise TypeError(f"`{name}` must be integers without missing values, got a masked array: fill it first.")
    _refuse_dict(name, value)
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise TypeError(f"`{name}` must be an array of integers, got {shown(value)}{_reason(error)}.") from error
    if not np.issubdtype(array.dtype, np.integer):
        raise TypeError(f"`{name}` must be integers, got {array.dtype}{list(array.shape)}.")
    if array.size == 0:
        raise ValueError(f"`{name}` must have at least one entry, got shape {list(array.shape)}.")
    present = np.unique(array)
    if present[0] != 0 or present[-1] != len(present) - 1:
        missing = np.setdiff1d(np.arange(min(int(present[-1]), len(present) + 5)), present)[:5].tolist()
        raise ValueError(
            f"`{name}` must number the players 0..M-1 without gaps, got {present[0]} to {present[-1]}"
            f"{f' without {missing}' if missing else ''}: renumber with np.unique(labels, return_inverse=True)[1]."
        )
    return array


def channel_axis(name: str, shape: tuple[int, ...], axis: Any) -> int:
    """Returns the axis of the channels of images [N, *space, C] of any rank, counted from the front.

    None stands for the last axis. It is refused for shapes such as (N, 3, H, W), whose channels probably come first.
    """
    if axis is None:
        if shape[1] in (1, 3, 4) and shape[-1] > 4:
            raise ValueError(
                f"`{name}` must be images with channels last, [N, H, W, C], got shape {list(shape)}, whose channels seem "
                "to come first: pass channel_axis=1, or channel_axis=-1 if they do come last."
            )
        return len(shape) - 1
    axis = any_axis(axis)
    if not -len(shape) < axis < len(shape):
        raise ValueError(
            f"`channel_axis` must be the axis of the channels of `{name}` of shape {list(shape)}, 1 or -1 mostly, got {axis}."
        )
    return axis % len(shape)


def any_axis(axis: Any) -> int:
    """Returns the axis of the channels of arrays whose rank is not known yet: any but 0, which is the examples'."""
    is_int = isinstance(axis, numbers.Integral) and not isinstance(axis, bool)
    if not is_int or int(axis) == 0 or abs(int(axis)) >= _MOST_AXES:
        raise ValueError(f"`channel_axis` must be the axis of the channels, 1 or -1 mostly, got {shown(axis)}.")
    return int(axis)
