"""An adapter: the transformed functions of a framework, a pair of `init` and `apply` with parameters of their own."""

from typing import Any, NamedTuple

from xaijax._model import Model


class Transformed(NamedTuple):
    """What such a framework returns: apply(parameters, x)."""

    init: Any
    apply: Any


class TransformedModel(Model):
    """A transformed function (static) with its parameters (arrays)."""

    def __init__(self, transformed: Transformed, parameters: Any):
        super().__init__(parameters, transformed.apply)

    def _call(self, x: Any) -> Any:
        apply: Any = self.static.options[0]
        return apply(self.content, x)


def adapt(model: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> TransformedModel | None:
    """Recognizes (transformed, parameters)."""
    if isinstance(model, tuple) and len(model) == 2 and isinstance(model[0], Transformed):
        return TransformedModel(*model)
    return None
