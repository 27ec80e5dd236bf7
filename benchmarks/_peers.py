"""Everything beside the peers: pytorch-grad-cam, lime, shap, captum and shapiq, each where it is installed."""

from __future__ import annotations

from typing import Any

from benchmarks import _cam_peers, _captum_peers, _lime_peers, _shap_peers, _shapiq_peers
from benchmarks._beside import table as table

PEERS = {"cam": _cam_peers, "lime": _lime_peers, "shap": _shap_peers, "captum": _captum_peers, "shapiq": _shapiq_peers}


def measure(
    repeats: int, *, quick: bool = False, small: bool = False, only: tuple[str, ...] = tuple(PEERS)
) -> list[dict[str, Any]]:
    """The rows of each comparison; a row with a sentence, `skipped`, for each package that is not installed.

    Args:
      repeats: interleaved repeats of each pair.
      quick: fewer inputs, and fewer evaluations of images.
      small: tiny sizes: shows that it runs, and nothing else.
      only: which comparisons, of `PEERS`.
    """
    return [row for name in only for row in PEERS[name].measure(repeats, small=small, quick=quick)]
