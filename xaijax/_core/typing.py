"""Types: arrays that say their shapes, and the named types of public signatures.

Shapes are written in the letters used throughout the package: N examples, M players, S coalitions, K outputs,
B background rows, D features, H W space, C channels. Annotations such as `Float[Array, "N M"]` are jaxtyping's where it
is installed (the tests check them at run time) and documentation where it is not. Type checkers read the type of the array.

The named types help editors and type checkers. At run time they are `Any`: public functions check their arguments
themselves and answer mistakes in a sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from jax import Array

if TYPE_CHECKING:
    # As jaxtyping is for type checkers: a user's does not need it installed.
    from typing import Annotated as Bool
    from typing import Annotated as Float
    from typing import Annotated as Int
    from typing import Annotated as Key
    from typing import Annotated as Num
    from typing import Annotated as Shaped

    import numpy as np
    from jax.typing import ArrayLike

    class ScoreOfExample(Protocol):
        """One of `xai.target`."""

        def bind(self, outputs: Any, num_examples: int) -> Any: ...

    class ReadTarget(Protocol):
        """A target whose argument was read and checked."""

        def select(self, outputs: Any) -> Array: ...

    # A model: a callable x[N, ...] -> y[N, ...], a bound Flax module, or what `xai.linen` and `xai.function` return.
    ModelLike = Callable[..., Any]
    # Numbers in an array, in nested sequences, or alone.
    ArrayOrSequence = ArrayLike | Sequence[Any]
    # The inputs of a model, x[N, ...]: an array, a PyTree of arrays, or a data frame.
    Inputs = ArrayLike | Sequence[Any] | Mapping[str, Any] | Any
    # A random key, from `jax.random.key`.
    KeyLike = Array | np.ndarray
    # What is explained: a class, a class for each example, a score of the outputs, one of `xai.target`, "all", or None.
    TargetLike = ReadTarget | int | ArrayLike | Sequence[int] | str | Callable[[Any], Any] | ScoreOfExample | None
    # Integers [N] that name the examples for their randomness.
    Ids = ArrayLike | Sequence[int] | None
    # Examples that are selected: an index, a slice, indices, or booleans; None for all.
    Selection = int | slice | ArrayLike | Sequence[int] | Sequence[bool] | None
    # Names of players or outputs, in order.
    NamesLike = Sequence[str] | Sequence[Sequence[str]] | None
else:
    ModelLike = ArrayOrSequence = Inputs = KeyLike = TargetLike = Ids = Selection = NamesLike = Any
    try:
        from jaxtyping import Bool, Float, Int, Key, Num, Shaped
    except ImportError:

        class _Unchecked:
            def __getitem__(self, _):
                return Any

        Bool = Float = Int = Key = Num = Shaped = _Unchecked()

__all__ = [
    "Array",
    "ArrayOrSequence",
    "Bool",
    "Float",
    "Ids",
    "Inputs",
    "Int",
    "Key",
    "KeyLike",
    "ModelLike",
    "NamesLike",
    "Num",
    "Selection",
    "Shaped",
    "TargetLike",
]
