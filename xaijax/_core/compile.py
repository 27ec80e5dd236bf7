"""Compiling the explainers."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.core import Tracer
from jax.sharding import AxisType, Mesh, NamedSharding

from xaijax._core import progress

Title = str | Callable[[dict[str, Any]], str]  # of a call, or from its keyword arguments


def compiled(
    function: Callable[..., Any] | None = None, *, static_argnames: Sequence[str] = (), title: Title | None = None
) -> Any:
    """`jax.jit`, with the compiler left to place data on meshes whose axes are explicit.

    Meshes from `jax.make_mesh` have explicit axes: shardings are part of types there, and every reshape, scan and slice
    would have to name the sharding of its result, the ones in the user's model included. Arrays on such a mesh are
    handed over as living on the same devices with automatic axes; nothing is copied. Arrays that are being traced stay
    as they are: within explicitly sharded code call the explainer through `jax.sharding.auto_axes`.

    On a terminal a call that takes long is shown there (`_core/progress.py`) by its title: default, its folder and name, such as
    shap.kernel.
    """
    if function is None:
        return functools.partial(compiled, static_argnames=static_argnames, title=title)
    jitted = jax.jit(function, static_argnames=static_argnames)
    folder = function.__module__.split(".")[1:-1]
    said = ".".join([*folder, function.__name__.strip("_")]) if title is None else title

    def in_stages(stage: progress.Stage, arguments: Any, options: Any) -> Any:
        """The same, where somebody watches: what is traced and compiled here, `jitted` finds done."""
        if not jax.config.jax_disable_jit:  # pyright: ignore[reportAttributeAccessIssue]
            stage("tracing")
            traced = jitted.trace(*arguments, **options)
            stage("compiling")
            traced.lower().compile()
        stage("running")
        return jitted(*arguments, **options)

    def traced_alone(stage: progress.Stage, arguments: Any, options: Any) -> Any:
        stage("tracing")
        return jitted.eval_shape(*arguments, **options)

    def over_automatic_axes(run: Callable[..., Any], in_stages: Callable[..., Any] | None = None) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*arguments: Any, **options: Any) -> Any:
            leaves, structure = jax.tree.flatten((arguments, options))
            if any(map(_is_explicit, leaves)):
                arguments, options = jax.tree.unflatten(structure, map(_with_automatic_axes, leaves))
            if any(isinstance(leaf, Tracer) for leaf in leaves):
                return run(*arguments, **options)
            with _automatic_context():
                if in_stages is None or not progress.visible():
                    return run(*arguments, **options)
                in_these = functools.partial(in_stages, arguments=arguments, options=options)
                return progress.watch(said if isinstance(said, str) else functools.partial(said, options), in_these)

        return call

    call = over_automatic_axes(jitted, in_stages)
    call.eval_shape = over_automatic_axes(jitted.eval_shape, traced_alone)  # pyright: ignore[reportFunctionMemberAccess]
    call.lower = over_automatic_axes(jitted.lower)  # pyright: ignore[reportFunctionMemberAccess]
    return call


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


def _automatic_context() -> contextlib.AbstractContextManager[Any]:
    """Where `jax.set_mesh` put an explicit mesh around the call, the same mesh with automatic axes."""
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or AxisType.Explicit not in mesh.axis_types:
        return contextlib.nullcontext()
    return jax.sharding.use_abstract_mesh(mesh.update_axis_types(dict.fromkeys(mesh.axis_names, AxisType.Auto)))
