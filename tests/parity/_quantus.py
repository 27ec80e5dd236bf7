"""Quantus, of which the metrics are compared; whoever imports this is skipped where it is not installed."""

import sys
import warnings

import pytest

from benchmarks._torch_models import install_torchvision_stub

install_torchvision_stub()
# Quantus imports its explainers' packages where it finds them; zennit's rules for torchvision's networks need torchvision.
_zennit = sys.modules.get("zennit")
sys.modules["zennit"] = None
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    quantus = pytest.importorskip("quantus")
if _zennit is None:
    del sys.modules["zennit"]
else:
    sys.modules["zennit"] = _zennit
