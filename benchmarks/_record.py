"""The file of a run: measurements with every repeat, the device and the versions."""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import flax
import jax
import jaxlib
import numpy as np

import xaijax as xai

SCHEMA = 1
RESULTS = Path(__file__).parent / "results"
PEERS = ("shap", "lime", "captum", "grad-cam", "shapiq", "torch")


def head(command: str, form: str, repeats: int) -> dict[str, Any]:
    """Returns the fields that are known before any measurement."""
    return {
        "schema": SCHEMA,
        "command": command,
        "form": form,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "versions": {module.__name__: module.__version__ for module in (xai, jax, jaxlib, flax, np)}
        | {"python": platform.python_version()},
        "peer_versions": _installed(PEERS),
        "device": device(),
        "seeds": {"inputs, weights and explanations": 0, "backgrounds": 1},
        "repeats": repeats,
    }


def device() -> dict[str, Any]:
    """Returns kind, the name of the accelerator or processor; count, of JAX's devices; cores, which this process may use."""
    name = jax.devices()[0].device_kind
    backend = jax.default_backend()
    return {
        "kind": _processor() or name if backend == "cpu" else name,
        "platform": backend,
        "count": jax.device_count(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    }


def device_name(device: dict[str, Any]) -> str:
    """Returns a name for folders: cpu-2-cores, nvidia-h100-80gb-hbm3, 4-nvidia-a100."""
    if device["platform"] == "cpu":
        return f"cpu-{device['cores']}-cores"
    name = re.sub(r"[^a-z0-9]+", "-", device["kind"].lower()).strip("-")
    return name if device["count"] == 1 else f"{device['count']}-{name}"


def kept_path(record: dict[str, Any], folder: Path = RESULTS) -> Path:
    """Returns the file in which a run is kept: by device, day and form."""
    return folder / device_name(record["device"]) / f"{record['date'][:10]}-{record['form']}.json"


def write(record: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n")


def read(path: Path) -> dict[str, Any]:
    """Reads a record.

    Raises:
      ValueError: if the file is not JSON, or not of this schema.
    """
    try:
        record = json.loads(path.read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as problem:
        raise ValueError(f"{path} must be a record that `python -m benchmarks` wrote, got: {problem}.") from None
    schema = record.get("schema") if isinstance(record, dict) else None
    if schema != SCHEMA:
        raise ValueError(
            f"{path} must be of schema {SCHEMA}, got {'none' if schema is None else f'schema {schema}'}: "
            "measure it again with this version."
        )
    return record


def commit() -> str | None:
    """Returns the measured commit, with a + if files differ from it; None outside of a repository."""
    folder = Path(__file__).parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", "../xaijax", ".")
        return git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _installed(packages: Sequence[str]) -> dict[str, str]:
    versions = {}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _processor() -> str | None:
    """Returns the processor's name, if Linux states it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or None
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else None
