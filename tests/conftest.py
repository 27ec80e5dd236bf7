"""Eight devices for every test, and one seed."""

import os

# Before JAX starts. XLA's CPU client makes as many threads as there are cores or devices, and blocks one of them for
# each device that is busy: with no thread to spare, parallel matrix products would wait for ever.
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
os.environ.setdefault("NPROC", "16")

import jax
import matplotlib
import pytest

matplotlib.use("Agg")


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield
