"""Workers of a local Ray are forks of a process that has imported TensorFlow: what they are, and when they end."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nn_train.ray_cluster import fork_client
from nn_train.ray_cluster.fork_server import ForkServer

# In the place of Ray's: tells what it is, and lasts until its standard input ends.
WORKER = """
import json, os, sys
told = {"name": __name__, "command": sys.argv, "folder": os.getcwd(), "path": sys.path[0], "parent": os.getppid()}
told |= {"known": "colorsys" in sys.modules, "process": os.getpid(), "environment": dict(os.environ)}
print(json.dumps(told), flush=True)
print("by itself" if len(sys.argv) < 3 else sys.argv[2], file=sys.stderr)
sys.stdin.read()
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ForkServer]:
    (tmp_path / "server").mkdir()
    (tmp_path / "imports.py").write_text("def import_tensorflow():\n    import colorsys\n    raise ImportError")
    one = ForkServer(str(tmp_path / "server"), str(tmp_path / "imports.py"))
    yield one
    one.close()


@pytest.fixture
def worker(tmp_path: Path) -> Path:
    (tmp_path / "workers").mkdir()
    file = tmp_path / "workers" / "default_worker.py"
    file.write_text(WORKER)
    return file


def start(address: str, folder: Path, *arguments: str) -> tuple[subprocess.Popen[str], dict[str, Any]]:
    """What Ray starts, and what the worker tells."""
    pipe = subprocess.PIPE
    environment = {**os.environ, fork_client.ADDRESS: address, "OF_RAY": "1"}
    command = [sys.executable, fork_client.__file__, *arguments]
    client = subprocess.Popen(command, cwd=folder, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    assert client.stdout is not None
    return client, json.loads(client.stdout.readline())


def test_a_worker_is_a_fork_that_has_all_of_what_ray_started(server: ForkServer, worker: Path, tmp_path: Path) -> None:
    client, told = start(server.address, tmp_path, "-s", str(worker), "--session=a b", "said")
    assert told["parent"] == server.process.pid
    assert told["known"]
    assert told["name"] == "__main__"
    assert told["command"] == [str(worker), "--session=a b", "said"]
    assert told["folder"] == str(tmp_path)
    assert told["path"] == str(worker.parent)
    assert told["environment"]["OF_RAY"] == "1"
    assert client.communicate("")[1] == "said\n"
    assert client.returncode == 0


def test_who_is_started_lasts_as_long_as_the_worker_and_ends_it(
    server: ForkServer, worker: Path, tmp_path: Path
) -> None:
    client, told = start(server.address, tmp_path, str(worker))
    os.kill(told["process"], signal.SIGKILL)
    assert client.wait(30) == 0
    client, told = start(server.address, tmp_path, str(worker))
    ended = os.pidfd_open(told["process"])
    client.terminate()
    assert client.wait(30) == 0
    assert select.select([ended], [], [], 30)[0] == [ended]
    os.close(ended)


def test_the_server_ends_with_its_driver_and_leaves_nothing(tmp_path: Path) -> None:
    code = "import os, sys; from nn_train.ray_cluster.fork_server import ForkServer; ForkServer(sys.argv[1], 'json')"
    code += "; print(); input(); os._exit(1)"
    folder = tmp_path / "server"
    folder.mkdir()
    driver = subprocess.Popen(
        [sys.executable, "-uc", code, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert driver.stdout is not None
    driver.stdout.readline()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        connection.connect(str(folder / "socket"))
        driver.communicate("\n")
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1) == b""  # it has ended
    assert not folder.exists()


@pytest.mark.ray
def test_workers_of_a_local_ray_share_one_import() -> None:
    import ray

    from nn_train.ray_cluster.session import ray_session

    with ray_session(verbose=False, preload=["ray.train"]):
        from nn_train.ray_cluster.local_ray import running

        (node,) = running
        server = node.fork_server

        @ray.remote(num_cpus=1)
        class Worker:
            def about(self) -> tuple[int, set[str]]:
                return os.getppid(), {"keras", "ray.train"} & set(sys.modules)

        workers = [Worker.remote() for _ in range(2)]
        told = (server.process.pid, {"keras", "ray.train"})
        assert ray.get([one.about.remote() for one in workers]) == [told] * 2
        threads = {file.read_text().strip() for file in Path(f"/proc/{server.process.pid}/task").glob("*/comm")}
        assert threads <= {"python", "python3", "jemalloc_bg_thd"}  # else forks of it were not safe
        assert len(list(Path(f"/proc/{server.process.pid}/task").iterdir())) <= 2
        assert fork_client.ADDRESS not in os.environ
    assert not running
    assert server.process.returncode == -signal.SIGTERM
    assert not Path(server.address).parent.exists()
