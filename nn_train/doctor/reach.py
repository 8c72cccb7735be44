"""Whether there is a Ray to run on."""

from __future__ import annotations

import contextlib
import os

from nn_train.doctor.findings import FAILED, OK, Finding
from nn_train.errors import RequestError, first_line
from nn_train.ray_cluster.session import ray_session

ADVICE = (
    "RAY_ADDRESS is the address and port (6379) of a head that runs and that this machine reaches; a local Ray needs "
    "none"
)


def check_reach(stack: contextlib.ExitStack, verbose: bool) -> Finding:
    """Join the Ray that a job would join. ``stack`` leaves it again."""
    import ray

    from nn_train.ray_cluster import local_ray

    try:
        stack.enter_context(ray_session(verbose))
    except (RequestError, ray.exceptions.RayError, OSError, RuntimeError, ValueError) as error:
        return Finding("ray", FAILED, (first_line(error),), "" if isinstance(error, RequestError) else ADVICE)
    local = "no RAY_ADDRESS: a local Ray was started"
    where = local if local_ray.is_running() else f"joined {ray.get_runtime_context().gcs_address}"
    token = "on" if os.environ.get("RAY_AUTH_MODE", "").lower() == "token" else "off"
    return Finding("ray", OK, (f"{where}; token authentication is {token}",))
