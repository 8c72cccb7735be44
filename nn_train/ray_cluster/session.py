"""Which Ray a job runs on."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from nn_train.config.schema import ScalingConfig
from nn_train.errors import RequestError


def preload_for(scaling: ScalingConfig, *modules: str) -> Sequence[str] | None:
    """What workers import in advance besides TensorFlow. None on GPUs: what it sees of them is set with their work."""
    return None if scaling.use_gpu else modules


@contextlib.contextmanager
def ray_session(verbose: bool, imports: Sequence[str] = (), preload: Sequence[str] | None = None) -> Iterator[None]:
    """Run on the Ray already joined, the cluster of ``RAY_ADDRESS``, or a local one of its own.

    A local Ray is stopped at the end; a cluster is only left.

    Args:
        verbose: let logs through.
        imports: modules that the caller is to need, imported while a local Ray starts.
        preload: modules that the workers of a local Ray import before they are given work, as forks of a process that
            has imported TensorFlow. Not with ``verbose``: they would not know yet that TensorFlow is to say more.
    """
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # Ray warns about it at every start
    if not verbose:
        os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")  # what a raylet says of a dead worker, in 1,200 letters
    import ray

    if ray.is_initialized():
        yield
        return
    level = logging.INFO if verbose else logging.ERROR
    options: dict[str, Any] = {"log_to_driver": verbose, "logging_level": level, "configure_logging": True}
    from nn_train.ray_cluster import local_ray

    try:
        if address := os.environ.get("RAY_ADDRESS"):
            check_reachable(address)
            with local_ray.loopback_kept(), interrupted_afterwards():
                ray.init(**options)
        else:
            with interrupted_afterwards():
                local_ray.start(verbose, imports, None if verbose else preload, **options)
        with ended_as_interrupted():
            yield
    finally:
        ray.shutdown()


@contextlib.contextmanager
def interrupted_afterwards() -> Iterator[None]:
    """An interrupt that comes meanwhile is raised at the end.

    One that is raised within ``ray.init`` leaves processes of Ray's that nobody ends, or this one crashes.
    """
    in_main = threading.current_thread() is threading.main_thread()  # only that one is interrupted
    if not in_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    came: list[object] = []
    kept = signal.signal(signal.SIGINT, lambda *given: came.append(given))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, kept)
    if came:
        raise KeyboardInterrupt


@contextlib.contextmanager
def ended_as_interrupted() -> Iterator[None]:
    """What a batch system, a container that is stopped or ``kill`` sends (SIGTERM) is taken as Ctrl-C: the job says how
    it goes on, and leaves nothing. Ray, which has its own handler since it runs, would print where it was in C++."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    kept = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, kept)


def check_reachable(address: str) -> None:
    """Raise RequestError when no Ray answers at ``host:port``, or refuses the token; Ray would try for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not port.isdigit():
        return  # "auto", "local"
    from ray._raylet import GcsClient  # type: ignore[attr-defined]
    from ray.exceptions import AuthenticationError, RpcError

    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
        if "://" not in address:
            GcsClient(address=address)
    except AuthenticationError as error:
        raise RequestError(
            f"RAY_ADDRESS: the Ray at {address} refuses the token; set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH "
            "(or RAY_AUTH_TOKEN) to the token of its head"
        ) from error
    except (OSError, RpcError) as error:
        raise RequestError(
            f"RAY_ADDRESS: no Ray answers at {address} ({error}); unset it to start a local one"
        ) from error
