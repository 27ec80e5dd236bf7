"""Composites of relevance propagation: which rule each layer of a model gets.

Ready-made: `epsilon_plus`, `epsilon_gamma_box`, `epsilon_plus_flat`, `epsilon_alpha2_beta1`, `alpha1_beta0` for convolutional
networks, `epsilon` for dense ones, `transformer`. `Composite` makes others, of the rules in `xai.gradient.rules`.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax

from xaijax._core import check
from xaijax._core.typing import ArrayOrSequence
from xaijax.gradient import rules
from xaijax.gradient._layers import AFFINE, KINDS, OTHER
from xaijax.gradient._shares import Rule, name_of
from xaijax.gradient.rules import STABILIZER

__all__ = [
    "Composite",
    "Operation",
    "alpha1_beta0",
    "epsilon",
    "epsilon_alpha2_beta1",
    "epsilon_gamma_box",
    "epsilon_plus",
    "epsilon_plus_flat",
    "transformer",
]

WORDS = (*KINDS, "first", "last")


def __dir__() -> list[str]:
    return __all__


class Operation(NamedTuple):
    """What a condition of a composite sees of a layer.

    kind: "dense", "convolution", "pooling", "affine", or "other", see `xai.gradient.rules.Layer`.
    name: the name of JAX's operation, such as "dot_general".
    path: that of its module, as `xai.layers` lists them; or the name of a `jax.named_scope`.
    depth: the number of dense layers and convolutions between the input and this layer, on the longest path.
    is_first, is_last: whether no such layer is before it, or behind it. Layers in loops are never the last.
    """

    kind: str
    name: str
    path: str
    depth: int
    is_first: bool
    is_last: bool


Condition = str | Callable[[Operation], bool]


@jax.tree_util.register_pytree_node_class
class Composite:
    """Chooses a rule for each layer: that of the first condition that the layer meets.

    Args:
      layers: pairs (condition, rule). A condition is a text of words that must all hold: a kind of layer ("dense",
        "convolution", "pooling", "affine"), "first", "last", the name of an operation of JAX, or a path of modules, in which
        * stands for anything ("blocks/0/*"); or a function of an `Operation`. A rule is one of `xai.gradient.rules`, or a
        function, see there.
      softmax: "gradient" for the relevance of softmax by its own derivative, so that queries and keys get some (Achtibat et
        al. 2024); "constant" for attention weights that are held constant, so that values get all (Ali et al. 2022).
      stabilizer: what is added to the absolute value of denominators of sums and products. Default 1e-6.

    Sums over positions and affine operations that meet no condition have the epsilon rule. All other operations have rules of
    their own, see `xai.gradient.propagate`.

    Raises:
      TypeError, ValueError: if a condition or a rule is none, or `softmax` is unknown.

    >>> import xaijax as xai
    >>> rules, composites = xai.gradient.rules, xai.gradient.composites
    >>> composites.Composite([("first", rules.flat()), ("convolution", rules.gamma(0.5)), ("dense", rules.epsilon(0.01))])
    Composite(first: flat, convolution: gamma, dense: epsilon)
    """

    def __init__(
        self, layers: Sequence[tuple[Condition, Rule]], *, softmax: str = "gradient", stabilizer: float = STABILIZER
    ):
        if not isinstance(layers, list | tuple) or not layers:
            raise TypeError(f"`layers` must be a list of pairs (condition, rule), got {check.shown(layers)}.")
        for pair in layers:
            if not isinstance(pair, tuple | list) or len(pair) != 2:
                raise TypeError(f"`layers` must hold pairs (condition, rule), got {check.shown(pair)} in it.")
            condition, rule = pair
            if not callable(condition) and not (isinstance(condition, str) and condition.split()):
                raise TypeError(
                    f'`layers` must have conditions that are texts, such as "first convolution", or functions, got '
                    f"{check.shown(condition)}."
                )
            if not callable(rule) or isinstance(rule, type):
                raise TypeError(
                    f"`layers` must have rules such as xai.gradient.rules.epsilon(), or functions, got {check.shown(rule)}."
                )
        self.conditions = tuple(condition for condition, _ in layers)
        self.rules = tuple(rule if _is_rule(rule) else jax.tree_util.Partial(rule) for _, rule in layers)
        self.softmax = check.one_of("softmax", softmax, ["gradient", "constant"])
        self.stabilizer = check.positive_float("stabilizer", stabilizer, zero_allowed=True)

    @property
    def words(self) -> list[str]:
        """The words of the conditions that are paths of modules or names of operations."""
        texts = (condition for condition in self.conditions if isinstance(condition, str))
        return [word for text in texts for word in text.split() if word not in WORDS]

    def rule_of(self, operation: Operation, met: set[str]) -> Rule | None:
        """Returns the rule of a layer, or None; `met` gets the words that it meets."""
        met |= {word for word in self.words if _meets(word, operation)}
        for condition, rule in zip(self.conditions, self.rules, strict=True):
            if isinstance(condition, str):
                holds = all(_meets(word, operation) for word in condition.split())
            else:
                holds = bool(condition(operation))
            if holds:
                return rule
        is_defaulted = operation.kind in (AFFINE, "pooling")
        return jax.tree_util.Partial(rules._epsilon, epsilon=self.stabilizer) if is_defaulted else None

    def __repr__(self) -> str:
        pairs = zip(self.conditions, self.rules, strict=True)
        texts = [
            f"{condition if isinstance(condition, str) else check.shown(condition)}: {name_of(rule)}"
            for condition, rule in pairs
        ]
        return f"Composite({', '.join(texts)})"

    def tree_flatten(self) -> tuple[Any, Any]:
        """Returns the arrays of the rules, and the conditions, which are static."""
        return (self.rules, self.stabilizer), (self.conditions, self.softmax)

    @classmethod
    def tree_unflatten(cls, static: Any, arrays: Any) -> Composite:
        """Returns a composite of these parts."""
        composite = object.__new__(cls)
        composite.conditions, composite.softmax = static
        composite.rules, composite.stabilizer = arrays
        return composite


def _is_rule(rule: Any) -> bool:
    return isinstance(rule, jax.tree_util.Partial)


def _meets(word: str, operation: Operation) -> bool:
    if word in KINDS:
        return word == operation.kind
    if word in ("first", "last"):
        return operation.is_first if word == "first" else operation.is_last
    if word == operation.name:
        return True
    return operation.kind != OTHER and fnmatch.fnmatchcase(operation.path, word)


def _of_convolutions(convolutions: Rule, epsilon: float, *first: tuple[str, Rule]) -> Composite:
    return Composite(
        [
            *first,
            ("convolution", convolutions),
            ("dense", rules.epsilon(epsilon)),
            ("pooling", rules.epsilon()),
            ("affine", rules.pass_on()),
        ]
    )


def epsilon(epsilon: float = STABILIZER) -> Composite:
    """Makes the composite with the epsilon rule for every layer.

    Why: for small dense networks; with a small epsilon it is the input times the gradient, for ReLU networks exactly.

    Args:
      epsilon: see `xai.gradient.rules.epsilon`. Default 1e-6.

    Returns:
      A composite for `xai.gradient.propagate`.
    """
    every = rules.epsilon(epsilon)
    return Composite([("dense", every), ("convolution", every), ("pooling", every), ("affine", every)])


def epsilon_plus(epsilon: float = STABILIZER) -> Composite:
    """Makes the composite with the z-plus rule for convolutions and the epsilon rule for dense layers, the default.

    Args:
      epsilon: of the dense layers. Default 1e-6.

    Returns:
      A composite for `xai.gradient.propagate`.

    References:
      Kohlbrenner et al. (2020), Towards best practice in explaining neural network decisions with LRP; EpsilonPlus in
      zennit (Anders et al. 2021, arXiv:2106.13200).
    """
    return _of_convolutions(rules.z_plus(), epsilon)


def epsilon_plus_flat(epsilon: float = STABILIZER) -> Composite:
    """Makes `epsilon_plus` with the flat rule for the first layer.

    Why: relevance of the first layer's receptive fields without the details of the pixels, black ones included.

    Args:
      epsilon: of the dense layers. Default 1e-6.

    Returns:
      A composite for `xai.gradient.propagate`.

    References:
      As for `epsilon_plus`; EpsilonPlusFlat in zennit.
    """
    flat = rules.flat()
    return _of_convolutions(rules.z_plus(), epsilon, ("first convolution", flat), ("first dense", flat))


def epsilon_gamma_box(
    low: ArrayOrSequence | float, high: ArrayOrSequence | float, *, epsilon: float = STABILIZER, gamma: float = 0.25
) -> Composite:
    """Makes the composite of the z-box rule for first convolutions, gamma for the others, epsilon for dense layers.

    Why: for networks of pixels, whose bounds are known.

    Args:
      low, high: the bounds of the inputs of the first convolution, see `xai.gradient.rules.z_box`.
      epsilon: of the dense layers. Default 1e-6.
      gamma: of the other convolutions. Default 0.25.

    Returns:
      A composite for `xai.gradient.propagate`.

    References:
      Montavon et al. (2019), section 10.3; EpsilonGammaBox in zennit.
    """
    return _of_convolutions(rules.gamma(gamma), epsilon, ("first convolution", rules.z_box(low, high)))


def epsilon_alpha2_beta1(epsilon: float = STABILIZER) -> Composite:
    """Makes the composite with the alpha-beta rule, 2 and 1, for convolutions and the epsilon rule for dense layers.

    Args:
      epsilon: of the dense layers. Default 1e-6.

    Returns:
      A composite for `xai.gradient.propagate`.

    References:
      Bach et al. (2015), equation 60; EpsilonAlpha2Beta1 in zennit.
    """
    return _of_convolutions(rules.alpha_beta(2.0, 1.0), epsilon)


def alpha1_beta0() -> Composite:
    """Makes the composite with the z-plus rule, alpha 1 and beta 0, for all convolutions and dense layers.

    Why: what speaks for the output in every layer; maps are smooth and hardly depend on the class.

    Returns:
      A composite for `xai.gradient.propagate`.

    References:
      Bach et al. (2015), equation 60.
    """
    plus = rules.z_plus()
    return Composite(
        [("convolution", plus), ("dense", plus), ("pooling", rules.epsilon()), ("affine", rules.pass_on())]
    )


def transformer(*, attention: str = "gradient", epsilon: float = STABILIZER, gamma: float | None = None) -> Composite:
    """Makes the composite for transformers: the epsilon rule for every layer, and a choice for attention.

    Args:
      attention: "gradient": relevance flows through the softmax by its own derivative and is split in half between attention
        weights and values (AttnLRP); queries and keys get their part, and values are more faithful to the output, and
        noisier. "constant": attention weights are held constant, values get all, and relevance is conserved better.
      epsilon: of the layers. Default 1e-6.
      gamma: use the gamma rule for convolutions and dense layers, which removes noise in vision transformers; None for the
        epsilon rule. Default None.

    Returns:
      A composite for `xai.gradient.propagate`.

    References:
      Achtibat et al. (2024), AttnLRP: Attention-aware layer-wise relevance propagation for transformers, arXiv:2402.05602;
      "constant": Ali et al. (2022), XAI for transformers: Better explanations through conservative propagation,
      arXiv:2202.07304.
    """
    check.one_of("attention", attention, ["gradient", "constant"])
    every = rules.epsilon(epsilon)
    weighted = every if gamma is None else rules.gamma(gamma)
    return Composite(
        [("dense", weighted), ("convolution", weighted), ("pooling", every), ("affine", every)], softmax=attention
    )


def read_composite(composite: Any) -> Composite:
    """Returns a composite, the default one for None."""
    if composite is None:
        return epsilon_plus()
    if isinstance(composite, Composite):
        return composite
    made = ", ".join(f"{name}()" for name in __all__ if name[0].islower())
    if isinstance(composite, str):
        near = check.did_you_mean(composite, __all__) or f": make one of {made}"
        fix = f": pass xai.gradient.composites.{composite}()" if composite in __all__ else near
    else:
        fix = f": call it, {composite.__name__}()" if getattr(composite, "__name__", "") in __all__ else f": use {made}"
    raise TypeError(f"`composite` must be one of xai.gradient.composites, got {check.shown(composite)}{fix}.")


def check_words(composite: Composite, met: set[str]) -> None:
    """Raises where a condition of the composite names neither a kind of layer nor a path of the model."""
    missing = [word for word in composite.words if word not in met]
    if missing:
        raise ValueError(
            f"`composite` must have conditions on kinds of layers, {list(WORDS)}, or on paths of the model, got "
            f"{missing[0]!r}, which no layer has{check.did_you_mean(missing[0], WORDS)}: see xai.layers(model, x)."
        )
