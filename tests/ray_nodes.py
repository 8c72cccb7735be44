"""Ray clusters of several nodes on this machine, also of some that see less of its disk than the others."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

TIMEOUT = 60  # seconds


@contextlib.contextmanager
def cluster_of(head_cpus: int, nodes: int = 0) -> Iterator[Any]:
    """A Ray ``Cluster`` that this process has joined: its head, and nodes of 1 CPU. Workers find the tests' modules."""
    import ray
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        patch.setattr("ray._private.utils.set_sigterm_handler", lambda handler: None)  # refused where events come
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": head_cpus, "include_dashboard": False})
        try:
            for _ in range(nodes):
                cluster.add_node(num_cpus=1)
            ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
            yield cluster
        finally:
            ray.shutdown()
            cluster.shutdown()


def unshare() -> list[str]:
    """The command that begins a mount namespace; skips the test where this account may have none."""
    as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    command = ["unshare", *as_root, "--mount"]
    try:
        subprocess.run([*command, "mount", "-t", "tmpfs", "none", "/mnt"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"needs mount namespaces: root, or user namespaces, and unshare of util-linux ({error})")
    return command


@contextlib.contextmanager
def node_without(
    folder: Path, address: str, *options: str, read_only: bool = False, **environment: str
) -> Iterator[None]:
    """A second node of the cluster at ``address`` with 1 CPU, on which ``folder`` is an empty one of its own.

    Args:
        read_only: it is the same folder as elsewhere, but cannot be written to.
        options: more words for ``ray start``.
        environment: variables of the node's processes.
    """
    ray_start = [str(Path(sys.executable).with_name("ray")), "start", f"--address={address}", "--num-cpus=1", "--block"]
    place = shlex.quote(str(folder))
    mount = (
        f"mount --bind {place} {place} && mount -o remount,bind,ro {place}"
        if read_only
        else f"mount -t tmpfs none {place}"
    )
    script = f"{mount} && exec {shlex.join([*ray_start, *options])}"
    before, give_up = living(), time.monotonic() + TIMEOUT
    with tempfile.TemporaryFile() as log:
        node = subprocess.Popen(
            [*unshare(), "sh", "-c", script],
            env={**os.environ, **environment},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            while living() == before:
                if node.poll() is not None or time.monotonic() > give_up:
                    log.seek(0)
                    raise AssertionError(f"the node did not start:\n{log.read().decode()}")
                time.sleep(0.1)
            yield
        finally:
            os.killpg(node.pid, signal.SIGTERM)
            node.wait(TIMEOUT)
            wait_until(lambda: living() == before)


def living() -> int:
    """How many nodes the cluster has."""
    import ray

    return sum(node["Alive"] for node in ray.nodes())


def wait_until(condition: Callable[[], bool]) -> None:
    """Return once it holds; fail after ``TIMEOUT`` seconds."""
    give_up = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.1)
