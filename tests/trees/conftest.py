import pytest
import threadpoolctl


@pytest.fixture(scope="package", autouse=True)
def _single_thread():
    """Threads that wait for each other cost more than the small fits of these tests."""
    with threadpoolctl.threadpool_limits(1):
        yield
