"""Eight devices for every test, programs that compile fast, and one seed."""

import os
import shutil
import tempfile

import jaxlib

# Before JAX starts. XLA's CPU client makes as many threads as there are cores or devices, and blocks one of them for
# each device that is busy: with no thread to spare, parallel matrix products would wait for ever.
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
os.environ.setdefault("NPROC", "16")
os.environ.setdefault("KERAS_BACKEND", "jax")  # Keras reads it when it is imported, by the first test that does
# Two processes of tests share the cores: threads of BLAS would wait for each other, the longer the smaller the matrix.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Most of the tests' time goes into compiling: the same operations, as code that runs slower, compile five times as
# fast. XLA_FLAGS=--xla_backend_optimization_level=3 tests what users run, as the tour does in any case.
if "xla_backend_optimization_level" not in os.environ["XLA_FLAGS"]:
    os.environ["XLA_FLAGS"] += " --xla_backend_optimization_level=0"
    # XLA refuses to start with flags that it does not know, and knows this one only in these versions.
    if jaxlib.__version__.startswith("0.10."):
        os.environ["XLA_FLAGS"] += " --xla_cpu_use_fusion_emitters=false"

# All processes of the tests, and those that they start, share what takes XLA long to compile, as long as they run.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["XAIJAX_TESTS_COMPILED"] = tempfile.mkdtemp(prefix="xaijax-tests-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = os.environ["XAIJAX_TESTS_COMPILED"]
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")

import gc
import itertools
from pathlib import Path

import jax
import matplotlib
import pytest

matplotlib.use("Agg")

# Checks the shapes in annotations at every call, on request: a development aid for the numerical folders.
if os.environ.get("XAIJAX_TESTS_CHECK_ANNOTATIONS"):
    from tests import annotations

    annotations.install()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Marks the cases of slow.txt as slow, before pytest leaves those out."""
    slow = set((Path(__file__).parent / "slow.txt").read_text().splitlines())
    for item in items:
        if item.nodeid in slow:
            item.add_marker(pytest.mark.slow)


def pytest_unconfigure(config):
    if not hasattr(config, "workerinput") and "XAIJAX_TESTS_COMPILED" in os.environ:
        shutil.rmtree(os.environ["XAIJAX_TESTS_COMPILED"], ignore_errors=True)


NUMBERS = itertools.count(1)


@pytest.fixture(autouse=True)
def few_programs():
    """Compiled programs are kept, each in memory maps of its own, of which a process may have 65,530.

    Counting them takes as long as a short test, so it is done after every tenth one.
    """
    yield
    maps = Path("/proc/self/maps")
    if next(NUMBERS) % 10 == 0 and maps.exists() and maps.read_text().count("\n") > 30_000:
        jax.clear_caches()
        gc.collect()


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield
