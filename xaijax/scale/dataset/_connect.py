"""One process for each host, made known to each other."""

from __future__ import annotations

import jax

from xaijax._core import check

# Seconds. JAX's own are 100 and 300: a host whose partner died would wait for minutes until it may end.
_HEARTBEAT, _SHUTDOWN = 40, 10


def connect(coordinator: str | None = None, hosts: int | None = None, host: int | None = None) -> int:
    """Makes the processes of several hosts known to each other, or does nothing on one machine.

    Why: `jax.distributed.initialize` with times that let a host end within a minute of another's death, and the same line
    for a script that runs alone. Call it before anything else of JAX.

    Args:
      coordinator: the address of host 0, "name:port", that all hosts can reach. Default: found by JAX on SLURM, Open MPI,
        Kubernetes and Cloud TPU, and from the environment variable JAX_COORDINATOR_ADDRESS.
      hosts, host: how many there are, and which one this is, from 0. Default: found likewise.

    Returns:
      The number of hosts, 1 where none were named or found.

    Raises:
      TypeError, ValueError: if some of the three are given and JAX finds no others.
    """
    if jax.distributed.is_initialized():
        return jax.process_count()
    if hosts is not None:
        hosts = check.positive_int("hosts", hosts)
        if hosts == 1:
            return 1
    if host is not None:
        host = check.positive_int("host", host, least=0)
    named = [
        name for name, value in (("coordinator", coordinator), ("hosts", hosts), ("host", host)) if value is not None
    ]
    try:
        jax.distributed.initialize(
            coordinator, hosts, host, heartbeat_timeout_seconds=_HEARTBEAT, shutdown_timeout_seconds=_SHUTDOWN
        )
    except ValueError as error:
        if not named and "coordinator_address" in str(error):
            return 1
        raise ValueError(
            f"the hosts cannot be connected: {error} Pass coordinator, hosts and host, all three where no scheduler tells them"
            f"{' (given: ' + ', '.join(named) + ')' if named else ''}."
        ) from error
    return jax.process_count()
