"""Keeps compiled programs for the next process."""

from __future__ import annotations

import os
from pathlib import Path

import jax

from xaijax._io.files import checked_path


def compilation_cache(folder: str | Path | None = None) -> Path:
    """Turns on JAX's persistent compilation cache, which lets later processes reuse compiled programs.

    Why: explainers compile for seconds and then run for milliseconds. JAX keys programs by a hash of everything that they
    depend on (the program, the versions, the device, the compiler's flags), so that a stale program is never used, but by
    default it keeps none. This sets `jax_compilation_cache_dir`, and keeps programs of any size and compile time, as many
    small ones make up most of the time here. The constants of Gaussian processes are kept in the folder as well, files of a
    few megabytes for each number of players and of evaluations. Call it before the first explanation.

    To compile ahead of time within a process, use `ExportedExplainer.warm_up`, or `jax.jit(...).lower(...).compile()` around
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
    folder = checked_path("folder", folder)
    folder.mkdir(parents=True, exist_ok=True)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return folder
