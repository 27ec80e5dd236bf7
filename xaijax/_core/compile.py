"""Compiles the explainers, and bounds what their programs keep in memory."""

from __future__ import annotations

import collections
import contextlib
import contextvars
import dataclasses
import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jaxlib.version
import numpy as np
from jax.core import Tracer
from jax.sharding import AxisType, Mesh, NamedSharding

from xaijax._core import calls, check, progress, settings
from xaijax._core.convolutions import fast_models
from xaijax._model import Model, compute_the_same, run_watched, unflatten

Title = str | Callable[[dict[str, Any]], str]  # of a call, or computed from its keyword arguments

_KEPT_PROGRAMS = 256  # of one explainer, each for models of another structure
_KEPT_THROWAWAY = 8  # the same for models with functions that are defined within functions, lambdas among them
_KEPT_SHAPES = 64  # of the outputs of one program
_KEPT_LINES = 256  # of which compilations are counted
_COMPILATIONS_TO_WARN = 5  # at one line
# Of XLA, for programs that take longer to compile than to run: half the compile time, the same numbers up to rounding. XLA of
# jaxlib 0.11.2 and later does not know the option.
_QUICK_TO_COMPILE = {"xla_cpu_use_fusion_emitters": False} if jaxlib.version.__version_info__[:2] == (0, 10) else {}

_calls_many: contextvars.ContextVar[bool] = contextvars.ContextVar("calls_many", default=False)


def compiled(
    function: Callable[..., Any] | None = None,
    *,
    static_argnames: Sequence[str] = (),
    donate_argnames: Sequence[str] = (),
    title: Title | None = None,
    quick_to_compile: bool = False,
) -> Any:
    """Returns `jax.jit(function)` that bounds its cache, shows progress and accepts meshes with explicit axes.

    Cache: a program holds the user's functions that it was compiled for, with the arrays that they close over. For
    lambdas and other functions that code makes anew, only the programs of the most recent ones are kept.

    Explicit axes: meshes from `jax.make_mesh` make shardings part of types, and every reshape, scan and slice would have
    to name the sharding of its result, those in the user's model included. Arrays on such a mesh are passed as arrays on
    the same devices with automatic axes, without copying. Traced arrays are passed as they are: within explicitly
    sharded code, call the explainer through `jax.sharding.auto_axes`.

    Progress: on a terminal, a call that takes long is shown by its title (`_core/progress.py`), by default its folder
    and name, such as shap.kernel.

    quick_to_compile: whether to compile in half the time, for programs without a model that are only called from Python:
    XLA takes such an option for whole programs alone.
    """
    if function is None:
        return functools.partial(
            compiled,
            static_argnames=static_argnames,
            donate_argnames=donate_argnames,
            title=title,
            quick_to_compile=quick_to_compile,
        )
    folder = function.__module__.split(".")[1:-1][:1]  # the namespace of the public name
    label = ".".join([*folder, function.__name__.strip("_")]) if title is None else title
    jit_options = {"static_argnames": static_argnames, "donate_argnames": donate_argnames}
    programs = _Programs(
        function, label, jit_options | ({"compiler_options": _QUICK_TO_COMPILE} if quick_to_compile else {})
    )

    def in_stages(jitted: Any, stage: progress.Stage, arguments: Any, options: Any) -> Any:
        """Computes the same with announced stages; `jitted` then reuses the trace and the compiled program."""
        if not jax.config.jax_disable_jit:  # pyright: ignore[reportAttributeAccessIssue]
            stage("tracing")
            traced = jitted.trace(*arguments, **options)
            stage("compiling")
            traced.lower().compile()
        stage("running")
        return jitted(*arguments, **options)

    def traced_alone(jitted: Any, stage: progress.Stage, arguments: Any, options: Any) -> Any:
        stage("tracing")
        return jitted.eval_shape(*arguments, **options)

    def over_automatic_axes(method: str, in_stages: Callable[..., Any] | None = None) -> Callable[..., Any]:
        @functools.wraps(function)
        @settings.own
        def call(*arguments: Any, **options: Any) -> Any:
            leaves, structure = jax.tree.flatten((arguments, options))
            classes = set(map(type, leaves))
            if _any_explicit(leaves, classes):
                arguments, options = jax.tree.unflatten(structure, map(_with_automatic_axes, leaves))
            given = arguments
            program, (arguments, options) = programs.of((arguments, options))
            jitted, run = program.jitted, getattr(program.jitted, method)
            if any(issubclass(cls, Tracer) for cls in classes):
                return run(*arguments, **options)
            if method == "eval_shape":
                run = functools.partial(program.remembered_shapes, run)
            if method == "__call__":
                programs.count_compilation(program)

            def start() -> Any:
                if in_stages is None or not progress.visible():
                    return run(*arguments, **options)
                in_these = functools.partial(in_stages, jitted, arguments=arguments, options=options)
                return progress.watch(label if isinstance(label, str) else functools.partial(label, options), in_these)

            with automatic_axes():
                if program.on_host and method == "__call__":
                    return _completed(given, run_watched(program.on_host, start))
                return start()

        return call

    call: Any = over_automatic_axes("__call__", in_stages)
    call.eval_shape = over_automatic_axes("eval_shape", traced_alone)
    call.lower = over_automatic_axes("lower")
    call.clear_cache = programs.clear
    return call


@contextlib.contextmanager
def many_explainers() -> Iterator[None]:
    """Marks calls of several explainers in one line of the user, who rightly has a function for each of them."""
    token = _calls_many.set(True)
    try:
        yield
    finally:
        _calls_many.reset(token)


def is_eager(*trees: Any) -> bool:
    """Returns whether the call is made from Python, outside every transformation: its results have values."""
    return check.is_concrete(*trees) and progress.untraced()


def clear_caches() -> None:
    """Frees all compiled programs and cached constants of this package.

    Why: programs hold the functions and the arrays that they were compiled for. All caches are bounded, and models with
    parameters as leaves (`xai.function`, `xai.linen`, NNX modules) share one program; clearing is rarely needed, except
    to release memory at once or to time compilation.

    Args:
      (none)

    Returns:
      None. Later calls compile again, and return the same numbers.

    >>> import xaijax as xai
    >>> xai.clear_caches()
    """
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] != __name__.partition(".")[0]:
            continue
        for value in list(vars(module).values()):
            clear = getattr(value, "cache_clear", None) or getattr(value, "clear_cache", None)
            if callable(clear) and not isinstance(value, type):
                clear()
    _compilations.clear()


class _Programs:
    """The compiled programs of one function of this package.

    JAX keeps a program as long as its jitted function lives, and the structure of its arguments even longer. The static
    parts of models, with the user's functions in them, are therefore no part of the arguments that JAX sees: models are
    passed as slots, and each combination of static parts has a jitted function of its own, which puts the models back.
    The least recently used of these are dropped.
    """

    def __init__(self, function: Callable[..., Any], label: Title, options: dict[str, Any]):
        self._function = function
        self._options = options  # of jax.jit
        self._label = label if isinstance(label, str) else function.__name__.strip("_")
        self._lasting = functools.lru_cache(maxsize=_KEPT_PROGRAMS)(self._program)
        self._recent = functools.lru_cache(maxsize=_KEPT_THROWAWAY)(self._program)

    def of(self, arguments: Any) -> tuple[_Program, Any]:
        """Returns the program for a call with these arguments, and the arguments with slots instead of models."""
        nodes, structure = jax.tree.flatten(arguments, is_leaf=_is_model)
        models = [node for node in nodes if isinstance(node, Model)]
        statics = tuple((type(model), model.static) for model in models)
        if not models:
            return self._lasting(statics), arguments
        indices = iter(range(len(models)))
        nodes = [_Slot(next(indices), node.arrays) if isinstance(node, Model) else node for node in nodes]
        is_throwaway = any(model.static.throwaway for model in models)
        program = (self._recent if is_throwaway else self._lasting)(statics)
        functions = tuple(function for model in models for function in model.static.throwaway)
        if not all(map(compute_the_same, program.made_for, functions)):
            program = self._recent(statics, functions)  # a variable has changed since the model was made
        return program, jax.tree.unflatten(structure, nodes)

    def _program(self, statics: tuple[Any, ...], own: tuple[Any, ...] = ()) -> _Program:
        """Makes a program. own: the functions that it is for, where it is for no others that compute the same."""
        function = self._function

        @functools.wraps(function)
        def with_models(*arguments: Any, **options: Any) -> Any:
            def model_of(node: Any) -> Any:
                if not isinstance(node, _Slot):
                    return node
                cls, static = statics[node.index]
                return unflatten(cls, static, node.arrays)

            is_slot = lambda node: isinstance(node, _Slot)  # noqa: E731
            arguments, options = jax.tree.map(model_of, (arguments, options), is_leaf=is_slot)
            with fast_models():
                return function(*arguments, **options)

        functions = [function for _, static in statics for function in static.throwaway]
        on_host = tuple(function for function in functions if getattr(function, "is_on_host", False))
        others = tuple(function for function in functions if function not in on_host)
        return _Program(jax.jit(with_models, **self._options), others, on_host, tuple(functions))

    def count_compilation(self, program: _Program) -> None:
        """Warns when a line of the user compiles for the fifth time, each time for another function."""
        if _calls_many.get() or program.is_counted or not program.functions or jax.config.jax_disable_jit:  # pyright: ignore[reportAttributeAccessIssue]
            return
        program.is_counted = True
        line = calls.user_line()
        if line is None:
            return
        counts = _compilations.setdefault(line[:2], collections.Counter())
        _compilations.move_to_end(line[:2])
        if len(_compilations) > _KEPT_LINES:
            _compilations.popitem(last=False)
        has_warned = max(counts.values(), default=0) >= _COMPILATIONS_TO_WARN
        counts[self._label] += 1
        if counts[self._label] == _COMPILATIONS_TO_WARN and not has_warned:
            calls.warn(
                f"{calls.explainer_name() or self._label} was compiled {_COMPILATIONS_TO_WARN} times at this line, each "
                f"time for another function ({check.shown(program.functions[0])}): define the function once, outside of loops "
                "and calls, and pass what changes as parameters, model=xai.function(function, parameters)."
            )

    def clear(self) -> None:
        self._lasting.cache_clear()
        self._recent.cache_clear()


def _completed(arguments: Sequence[Any], results: Any) -> Any:
    """Returns the results with what an argument adds to those of programs that do not know all of it, such as its texts."""
    for argument in arguments:
        if hasattr(argument, "described"):
            results = argument.described(results)
    return results


def _is_model(node: Any) -> bool:
    return isinstance(node, Model)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Slot:
    """The arrays of a model, in its position among the arguments of a program."""

    index: int = dataclasses.field(metadata={"static": True})
    arrays: tuple[Any, ...]


@dataclasses.dataclass
class _Program:
    """A jitted function, with the throwaway functions of the user that it is compiled for, and those on the host."""

    jitted: Any
    functions: tuple[Any, ...] = ()
    on_host: tuple[Any, ...] = ()
    made_for: tuple[Any, ...] = ()  # both, in the order of the models
    is_counted: bool = False
    shapes: dict[Any, Any] = dataclasses.field(default_factory=dict)

    def remembered_shapes(self, run: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Returns run(*arguments, **options), which depends on the shapes of the arguments alone, or what it returned before.

        Why: `jax.eval_shape` describes every parameter anew at each call, which costs as much as a small model.
        """
        leaves, structure = jax.tree.flatten((arguments, options))
        key = (structure, *map(_described, leaves), jax.config.jax_enable_x64)  # pyright: ignore[reportAttributeAccessIssue]
        try:
            known = self.shapes.get(key)
        except TypeError:  # an option without a hash
            return run(*arguments, **options)
        if known is None:
            if len(self.shapes) >= _KEPT_SHAPES:
                self.shapes.clear()
            known = self.shapes[key] = run(*arguments, **options)
        return known


def _described(leaf: Any) -> Any:
    """Returns what the shapes of results depend on: the type of an array, and the value of an option."""
    if hasattr(leaf, "aval"):
        return leaf.aval
    return (leaf.shape, leaf.dtype) if isinstance(leaf, np.ndarray) else (type(leaf), leaf)


# (file, line) of the user -> how many programs were compiled there, by label.
_compilations: collections.OrderedDict[tuple[str, int], collections.Counter[str]] = collections.OrderedDict()


def _any_explicit(leaves: Sequence[Any], classes: set[type]) -> bool:
    """Returns whether an array among leaves of these classes is on a mesh with explicit axes; quick without a mesh."""
    arrays = {cls for cls in classes if issubclass(cls, jax.Array) and not issubclass(cls, Tracer)}
    shardings = {type(leaf.sharding) for leaf in leaves if type(leaf) in arrays}
    return NamedSharding in shardings and any(map(_is_explicit, leaves))


def _is_explicit(leaf: Any) -> bool:
    if not isinstance(leaf, jax.Array) or isinstance(leaf, Tracer):
        return False
    return isinstance(leaf.sharding, NamedSharding) and AxisType.Explicit in leaf.sharding.mesh.axis_types


def _with_automatic_axes(leaf: Any) -> Any:
    if not _is_explicit(leaf):
        return leaf
    mesh = leaf.sharding.mesh
    automatic = Mesh(mesh.devices, mesh.axis_names, axis_types=(AxisType.Auto,) * len(mesh.axis_names))
    return jax.device_put(leaf, NamedSharding(automatic, leaf.sharding.spec))


def automatic_axes() -> contextlib.AbstractContextManager[Any]:
    """Returns a context in which an explicit mesh of `jax.set_mesh` has automatic axes."""
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or AxisType.Explicit not in mesh.axis_types:
        return contextlib.nullcontext()
    return jax.sharding.use_abstract_mesh(mesh.update_axis_types(dict.fromkeys(mesh.axis_names, AxisType.Auto)))
