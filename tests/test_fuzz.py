"""Wrong calls of every public function and method end in one sentence about the argument, see `tests/fuzz/run.py`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PARTS = {
    "plots": ["plot"],
    "maps": ["cam"],
    "LIME": ["lime"],
    "gradients": ["gradient"],
    "others": [
        "shap", "mask", "metrics", "scale", "segment", "target", "text", "trees", "game", "Game", "ModelGame", "ChannelGame", "Attribution", "Section",
        "callback", "compose", "concatenate", "equinox", "explain", "fast", "from_shap", "function", "haiku", "keras", "layers", "linen", "load", "load_options", "model", "progress", "records", "report",
        "save", "tag", "to_frame", "to_shap",
    ],
}  # fmt: skip


def raw_tracebacks(*arguments):
    """Returns the lines of a run in a process of its own: the annotations' run-time checks would speak first here."""
    flags = "--xla_backend_optimization_level=0"
    environment = os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.fuzz", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout.splitlines()


def test_every_31st_wrong_call_ends_in_a_sentence():
    assert raw_tracebacks("--every=31") == []


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_every_wrong_call_ends_in_a_sentence(part):
    assert raw_tracebacks(*PARTS[part]) == []


def test_every_part_is_called():
    """So that a new namespace or function at the top cannot be forgotten."""
    from tests.fuzz.right_calls import NOT_CALLED, public_functions

    parts = {name.partition(".")[0] for name, _ in public_functions() if name not in NOT_CALLED}
    assert parts <= {part for parts in PARTS.values() for part in parts}
