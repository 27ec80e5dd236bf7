"""Keras 3 models on the JAX backend."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from xaijax._core import check
from xaijax._model._lazy import LazyModule
from xaijax._model._model import Model, path_name
from xaijax._model._tag import tag_outputs

if TYPE_CHECKING:
    import keras as framework
else:
    framework = LazyModule("keras", "pip install keras, and set the environment variable KERAS_BACKEND=jax")


class KerasModel(Model):
    """A Keras model (static) with the values of its variables (arrays) and call options (static), in inference mode."""

    def __init__(self, model: framework.Model, **options: Any):
        values = lambda variables: [variable.value for variable in variables]  # noqa: E731
        content = model, values(model.trainable_variables), values(model.non_trainable_variables)
        super().__init__(content, tuple(sorted(options.items())))

    @property
    def channel_axis(self) -> int | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        """1 where the model's layers have their channels first."""
        formats = {getattr(layer, "data_format", None) for _, layer in _layers(self.content[0])}
        return 1 if formats - {None} == {"channels_first"} else None

    def _call(self, x: Any) -> Any:
        model, *values = self.content
        options: Any = self.static.options[0]
        outputs, _ = model.stateless_call(*values, x, **dict(options), training=False)
        return outputs

    def _parameter_name(self, keys: Any) -> str | None:
        """Parameters are the trainable variables, the second part of the content."""
        if path_name(keys[:1]) != "1":
            return None
        return self.content[0].trainable_variables[int(path_name(keys[1:]))].path

    def _call_tagged(self, x: Any) -> Any:
        with _tagging(self.content[0]):
            return self._call(x)


def keras(model: framework.Model, **options: Any) -> Model:
    """Makes a model of a Keras 3 model on the JAX backend: `model(x) = keras_model(x, **options, training=False)`.

    Why: Keras keeps the values of its variables in the model. Here they are the leaves of a callable PyTree, as they are at
    this call: new values never recompile an explainer, and gradients of explanations flow to them (`jax.grad` needs
    `allow_int=True` where a layer such as Dropout keeps the integers of a seed). The outputs of layers
    are tapped by the layers' names, those of nested models as "backbone/conv". Models are wrapped by themselves wherever a
    model is passed; call this function for options.

    Args:
      model: a built model (Sequential, functional or a subclass) of one input x[N, ...] or of several in a list or dict.
      **options: keyword arguments of the model's call, static.

    Returns:
      A model that every explainer takes.

    Raises:
      TypeError: if `model` is no Keras model.
      ValueError: if Keras runs on another backend, or the model is not built.
      ImportError: if Keras is not installed.
    """
    if not isinstance(model, framework.Model):
        raise TypeError(f"`model` must be a keras.Model, got {check.shown(model)}.")
    if framework.backend.backend() != "jax":
        raise ValueError(
            f"`model` must be a Keras model on the JAX backend, got one on {framework.backend.backend()}: set the environment "
            "variable KERAS_BACKEND=jax before Keras is imported and load the model again, or pass "
            "xai.callback(model.predict)."
        )
    if not model.built:
        raise ValueError(
            f"`model` must be a Keras model that is built, got {model.name!r}: call it on x[:1] once, or give it an Input."
        )
    return KerasModel(model, **options)


def adapt(model: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> Model | None:
    """Returns a model of a Keras model; None for anything else."""
    if not isinstance(model, framework.Model) or arguments:
        return None
    return keras(model, **options)


def _layers(layer: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yields the layers in a layer, each with the names of those around it, such as "backbone/conv"."""
    for inner in layer._layers:
        inner_path = f"{path}/{inner.name}" if path else inner.name
        yield inner_path, inner
        yield from _layers(inner, inner_path)


@contextlib.contextmanager
def _tagging(model: framework.Model) -> Iterator[None]:
    """Tags the outputs of the layers while the model is traced; the layers' own `call` is put back afterwards."""
    layers = [(path, layer) for path, layer in _layers(model) if not isinstance(layer, framework.layers.InputLayer)]
    for path, layer in layers:
        vars(layer)["call"] = _tagged(layer.call, path)
    try:
        yield
    finally:
        for _, layer in layers:
            vars(layer).pop("call", None)


def _tagged(call: Any, path: str) -> Any:
    @functools.wraps(call)
    def tagged(*arguments: Any, **options: Any) -> Any:
        return tag_outputs(call(*arguments, **options), path)

    return tagged
