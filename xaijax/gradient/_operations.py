"""The operations of JAX programs by how relevance passes through them."""

from __future__ import annotations


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Functions of one number: the relevance of f(x) is that of x.
ELEMENTWISE = _names(
    "abs acos acosh asin asinh atan atanh cbrt ceil clamp convert_element_type copy copy_p cos cosh digamma erf erf_inv erfc "
    "exp exp2 expm1 floor integer_pow lgamma log log1p logistic max min pow real reduce_precision rem round rsqrt sign sin "
    "sinh sqrt square tan tanh"
)
# Operations that choose, copy or move numbers: their own derivative passes relevance on.
MOVING = _names(
    "broadcast_in_dim concatenate cummax cummin device_put dynamic_slice dynamic_update_slice expand_dims gather max min "
    "optimization_barrier pad reduce_max reduce_min reduce_window_max reduce_window_min reshape rev scatter select_n "
    "sharding_constraint slice sort split squeeze stack tile top_k transpose"
)
# Operations with several operands at each position: where all are functions of one value, so is the result.
JOINING = _names("add add_any atan2 clamp div max min mul pow rem select_n sub")
POOLING = _names("cumsum reduce_sum reduce_window_sum")
SUMS = _names("add add_any sub scatter-add scatter_add")
CONVOLUTIONS = _names("conv_general_dilated depthwise_convolution")

# What makes up a sum of squares, such as the variance of a layer normalization, and what a factor made of it goes through.
LAYOUT = _names("broadcast_in_dim reshape squeeze expand_dims convert_element_type copy transpose")
_ARITHMETIC = _names("add add_any sub mul div max abs neg real select_n")
SQUARES, STATISTIC, FACTOR = "squares", "statistic", "factor"


def role_in_normalization(name: str, parameters: dict, roles: list[str | None], is_square: bool) -> str | None:
    """Returns what an operation computes on the way to a normalization, or None.

    "squares" of values, a "statistic", which is a sum of squares, and a "factor", which is a root of it. roles: those of
    the operands that depend on the input. is_square: whether it multiplies a value by itself.
    """
    if name == "square" or is_square or (name == "integer_pow" and parameters["y"] == 2):
        return SQUARES
    if name == "reduce_sum" and roles == [SQUARES]:
        return STATISTIC
    if name in ("sqrt", "rsqrt", "pow") and roles == [STATISTIC]:
        return FACTOR
    known = set(roles)
    if name in _ARITHMETIC and STATISTIC in known and known <= {STATISTIC, SQUARES}:
        return STATISTIC
    if name in LAYOUT and len(roles) == 1:
        return roles[0]
    if known == {FACTOR} and len(roles) == 1 and (name in _ARITHMETIC or name == "integer_pow"):
        return FACTOR
    return None
