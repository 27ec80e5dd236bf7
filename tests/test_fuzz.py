"""Wrong calls of every public function end in a sentence: no raw traceback, see `tests/fuzz.py`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PARTS = {
    "tables": ["shap", "lime", "mask", "target"],
    "images": ["cam", "segment"],
    "results": ["plot", "metrics", "game", "layers", "compose", "concatenate", "records", "tag", "to_frame", "to_shap"],
}


@pytest.mark.parametrize("part", PARTS)
def test_no_wrong_call_ends_in_a_raw_traceback(part):
    """In a process of its own: the run-time checks of annotations would answer in the place of the package's own."""
    flags = "--xla_backend_optimization_level=0"
    environment = os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.fuzz", *PARTS[part]]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert result.returncode == 0, result.stderr[-2000:]
    assert result.stdout.splitlines() == []
