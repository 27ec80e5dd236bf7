"""Array types that say shapes, in the letters used throughout the package.

N examples, M players, S coalitions, K outputs, B background rows, H W space, C channels, D features. The annotations
are jaxtyping's where it is installed (the tests check them at run time) and plain documentation where it is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jax import Array

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int, Key, Num, PyTree, Shaped
else:
    try:
        from jaxtyping import Bool, Float, Int, Key, Num, PyTree, Shaped
    except ImportError:

        class _Unchecked:
            def __getitem__(self, _):
                return Any

        Bool = Float = Int = Key = Num = PyTree = Shaped = _Unchecked()

__all__ = ["Array", "Bool", "Float", "Int", "Key", "Num", "PyTree", "Shaped"]
