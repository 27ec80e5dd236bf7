"""Compares explainers over whole data sets: the scores of each row are stored as explanations are, and the run resumes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from xaijax._core import check
from xaijax._core.attribution import Attribution
from xaijax._core.masker import Masker
from xaijax._core.typing import Ids, KeyLike, ModelLike, TargetLike
from xaijax._io import files
from xaijax._model import as_model
from xaijax.metrics.comparison._comparison import Comparison
from xaijax.metrics.comparison._example_scores import ExampleScores, read_functions, read_options, score_examples
from xaijax.scale.dataset._explain_dataset import explain_dataset
from xaijax.scale.dataset._read import read_comparison
from xaijax.scale.dataset._source import Source, length


def compare_dataset(
    explainers: Mapping[str, Callable[..., Attribution]] | Sequence[Callable[..., Attribution]],
    model: ModelLike,
    source: Source,
    metrics: Mapping[str, Callable[..., Any]] | Sequence[Callable[..., Any]],
    out: str | Path,
    *,
    key: KeyLike,
    masker: Masker | None = None,
    masks: Source | None = None,
    target: TargetLike = None,
    ids: Ids = None,
    top: int | None = None,
    level: float = 0.95,
    fingerprint: str | None = None,
    batch_size: int = 256,
    devices: Sequence[Any] | None = None,  # jax.Device, which type checkers do not know
    hosts: tuple[int, int] | None = None,
    compiled: bool = True,
    readers: int = 1,
    max_failures: int | None = 100,
    redo_failures: bool = False,
    host_timeout: float = 20.0,
    progress: bool = True,
) -> Comparison:
    """Compares explainers by several metrics over a data set, as `xai.metrics.compare` does over examples in memory.

    Why: for data that does not fit memory, or takes long enough to be interrupted. If it is killed at any moment, the same
    call continues where it was. The result is that of `xai.metrics.compare` on all rows, up to rounding. Memory holds a few
    batches, and in the end the scores: 8 bytes for each row, explainer and metric.

    Args:
      explainers, model, metrics, key, masker, ids, top, level: as in `xai.metrics.compare`.
      source: rows x by index, as in `xai.scale.explain_dataset`.
      out: the folder of the store, of the scores of all rows.
      masks: the masks of the rows by index, as many as rows, for metrics of localization.
      target: as in `xai.metrics.compare`; ints [N] name the class of each row.
      batch_size: the number of rows that are explained and scored at once. Default 256.
      compiled: whether all explainers and metrics are compiled into one program, which runs on all devices. False for
        explainers or metrics that JAX cannot trace, such as those of NumPy.
      fingerprint, devices, hosts, readers, max_failures, redo_failures, host_timeout, progress: as in
        `xai.scale.explain_dataset`.

    Returns:
      A `Comparison` of all rows that could be explained. `xai.load(out)` reads it again; `xai.scale.failures(out)` and
      `xai.scale.load_summary(out)` tell about the run.

    Raises:
      TypeError, ValueError: as `xai.metrics.compare` and `xai.scale.explain_dataset`.
      OSError, RuntimeError: as `xai.scale.explain_dataset`. The store resumes.

    >>> import tempfile, jax, jax.numpy as jnp, numpy as np, xaijax as xai
    >>> model = xai.function(lambda w, x: x @ w, jnp.array([1.0, 2.0]))
    >>> rows = np.random.default_rng(0).normal(size=(8, 2)).astype(np.float32)
    >>> explainers = [xai.gradient.saliency, xai.gradient.input_x_gradient]
    >>> with tempfile.TemporaryDirectory() as out:
    ...     comparison = xai.scale.compare_dataset(
    ...         explainers, model, rows, [xai.metrics.deletion], out, key=jax.random.key(0),
    ...         masker=xai.mask.baseline(jnp.zeros(2)), batch_size=4, progress=False)
    >>> [(rank["explainer"], rank["mean_rank"]) for rank in comparison.ranks()]
    [('input_x_gradient', 1.0), ('saliency', 2.0)]
    """
    explainers, metrics = read_functions("explainers", explainers), read_functions("metrics", metrics)
    key, masker, top, level = read_options(metrics, key, masker, masks is not None, top, level)
    rows = {"x": source} | ({} if masks is None else {"masks": masks})
    if check.is_list(target) or (isinstance(target, jax.Array) and target.ndim):
        rows, target = rows | {"target": check.host_array("target", target)}, None
    options: dict[str, Any] = {"explainers": explainers, "metrics": metrics}
    given = {"masker": masker, "target": target, "top": top}
    options |= {name: value for name, value in given.items() if value is not None}
    explain_dataset(
        jax.tree_util.Partial(_score_rows, as_model(model)),
        _Aligned(rows),
        out,
        key=key,
        options=options,
        ids=ids,
        fingerprint=fingerprint,
        batch_size=batch_size,
        devices=devices,
        hosts=hosts,
        compiled=compiled,
        readers=readers,
        max_failures=max_failures,
        redo_failures=redo_failures,
        host_timeout=host_timeout,
        progress=progress,
    )
    return read_comparison(files.checked_path("out", out), level=level)


def _score_rows(
    model: Any, rows: dict[str, Any], *, key: Any, ids: Any, target: Any = None, **options: Any
) -> ExampleScores:
    target = rows.get("target", target)
    return score_examples(model, rows["x"], masks=rows.get("masks"), key=key, ids=ids, target=target, **options)


class _Aligned:
    """Several sources of as many rows, as one: row i is a dictionary of theirs."""

    def __init__(self, sources: dict[str, Any]):
        self._sources, self._length = sources, length(sources["x"])
        for name, other in sources.items():
            if not (hasattr(other, "__len__") and hasattr(other, "__getitem__")) or len(other) != self._length:
                raise ValueError(
                    f"`{name}` must be by index and as many as the rows of the source, {self._length}, got "
                    f"{check.shown(other)}."
                )

        if "masks" in sources and np.asarray(sources["masks"][0]).dtype != bool:
            raise TypeError(
                f"`masks` must be booleans, True on the object, got {check.shown(sources['masks'][0])} first."
            )

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, row: int) -> dict[str, Any]:
        return {name: source[row] for name, source in self._sources.items()}
