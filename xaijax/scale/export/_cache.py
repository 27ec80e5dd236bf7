"""Programs that were compiled, kept for the next process."""

from __future__ import annotations

import os
from pathlib import Path

import jax


def compilation_cache(folder: str | Path | None = None) -> Path:
    """Turns on JAX's persistent compilation cache: what was compiled once is found again by later processes.

    Why: explainers compile for seconds and then run for milliseconds. JAX keeps programs by a hash of everything that
    they depend on (the program, the versions, the device, the compiler's flags), so that nothing stale is ever used, but
    by default keeps none. This is `jax.config`'s `jax_compilation_cache_dir`, with programs of any size and compile time
    kept, as many small ones make up most of the time here. Call it before the first explanation.

    To compile ahead of time within a process: `ExportedExplainer.warm_up`, or `jax.jit(...).lower(...).compile()` around
    any explainer.

    Args:
      folder: where to keep programs; many processes and hosts may share it. Default: `xaijax/programs` in the user's
        cache folder, `$XDG_CACHE_HOME` or `~/.cache`.

    Returns:
      The folder.

    >>> import tempfile, xaijax as xai
    >>> folder = xai.scale.compilation_cache(tempfile.mkdtemp())  # doctest: +SKIP
    """
    if folder is None:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xaijax" / "programs"
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return folder
