"""The machines of a cluster file with Ray's provider ``local``, and what is asked of them over SSH."""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from nn_train.errors import RequestError

CONNECT_WITHIN = 10  # seconds
ANSWER_WITHIN = 120.0  # seconds; `ray stop` waits up to 16 s for processes, twice
PARALLEL = 32
SSH_FAILED = 255  # ssh's own exit code; every other is the command's
MARK = "nn_train answer:"  # what stands before it comes from the machine's login scripts
CHECK = (
    "for tool in rsync python3; do command -v $tool > /dev/null || { echo $tool is not installed >&2; exit 1; }; done"
)
# `ray stop` succeeds also when it could not end a process, so it is asked again.
NONE_LEFT = "Did not find any active Ray processes"
STOP = (
    f"command -v ray > /dev/null || exit 0; ray stop; ray stop 2>&1 | grep -q '{NONE_LEFT}' || "
    "{ echo 'processes of Ray are left, perhaps those of another account' >&2; exit 1; }"
)
LIST = "RAY_AUTH_MODE=token ray list nodes --filter state=ALIVE --limit 10000 --format json"
LOGS = "/tmp/ray/session_latest/logs"


@dataclass(frozen=True)
class Machines:
    """The machines and how they are reached.

    Attributes:
        head: its address among the machines.
        workers: theirs.
        user, key, proxy: of the section ``auth``; there may be no proxy.
        head_from_here: the address of the head for SSH.
    """

    head: str
    workers: tuple[str, ...]
    user: str
    key: str
    proxy: str | None
    head_from_here: str

    @property
    def addresses(self) -> tuple[str, ...]:
        """Of all, the head first."""
        return (self.head, *self.workers)

    def unreachable(self) -> dict[str, str]:
        """The addresses at which no command can be run, and why."""
        return self.failures(self.addresses, "true")

    def unfit(self) -> dict[str, str]:
        """Those, and the addresses of machines that lack what `ray up` needs."""
        return self.failures(self.addresses, CHECK)

    def stop(self, addresses: Collection[str]) -> dict[str, str]:
        """End Ray on these; where that failed, and why."""
        return self.failures(addresses, STOP)

    def failures(self, addresses: Collection[str], command: str) -> dict[str, str]:
        """Run a command on these machines at once; where it failed, and the last line that was said."""
        with ThreadPoolExecutor(PARALLEL) as pool:
            done = dict(zip(addresses, pool.map(lambda address: self.run(address, command), addresses), strict=True))
        return {address: last_line(one) for address, one in done.items() if one.returncode}

    def joined(self) -> set[str]:
        """The machines of the file that the head knows to live; none while no Ray answers there."""
        done = self.run(self.head, f"echo {shlex.quote(MARK)}; {LIST}")
        try:
            nodes = json.loads(done.stdout.partition(MARK)[2])
        except ValueError:
            return set()
        return {address for address in self.addresses if resolved(address) in {node["node_ip"] for node in nodes}}

    def said_by_head(self) -> str:
        """Why machines could not be made part of the cluster: the last lines before the head's autoscaler gave up."""
        return self.run(self.head, f"grep -hF -B 6 update-failed {LOGS}/monitor.* | grep -v INFO | tail -n 6").stdout

    def run(self, address: str, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the shell that Ray's launcher uses, in which ``ray`` is found."""
        target = self.head_from_here if address == self.head else address
        options = ["-o", "BatchMode=yes", "-o", f"ConnectTimeout={CONNECT_WITHIN}", "-o", "LogLevel=ERROR"]
        options += ["-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={os.devnull}"]  # as Ray has them
        options += ["-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3"]
        options += ["-o", "IdentitiesOnly=yes", "-i", self.key]
        options += ["-o", f"ProxyCommand={self.proxy}"] if self.proxy else []
        shell = f"bash --login -i -c {shlex.quote(f'source ~/.bashrc; {command}')}"
        words = ["ssh", *options, f"{self.user}@{target}", shell]
        try:
            return subprocess.run(
                words, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=ANSWER_WITHIN
            )
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(words, SSH_FAILED, "", f"no answer within {ANSWER_WITHIN:g} s")


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    """Why a command failed."""
    said = (done.stderr.strip() or done.stdout.strip()).splitlines()
    text = said[-1] if said else f"exit code {done.returncode}"
    return f"cannot be reached over SSH: {text}" if done.returncode == SSH_FAILED else text


def resolved(address: str) -> str:
    """The IP address of a name, as Ray's launcher finds it."""
    try:
        return socket.gethostbyname(address)
    except OSError as error:
        raise RequestError(
            f"{address}: {error}; Ray's launcher takes IPv4 addresses, and names that have one"
        ) from error


def read_machines(file: Path) -> Machines:
    """What a cluster file says of its machines. Raises RequestError when it does not."""
    try:
        config: Any = yaml.safe_load(file.read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise RequestError(f"{file}: {error}") from error

    def needed(section: str, key: str) -> Any:
        try:
            return config[section][key]
        except (KeyError, TypeError) as error:
            raise RequestError(f"{file}: {section}.{key} is missing; compare with cluster/onprem.yaml") from error

    if needed("provider", "type") != "local" or config.get("docker"):
        raise RequestError(
            f"{file}: only provider.type local, without docker; for clouds there are ray up and ray down"
        )
    head, workers = str(needed("provider", "head_ip")), needed("provider", "worker_ips")
    user, key = str(needed("auth", "ssh_user")), os.path.expanduser(needed("auth", "ssh_private_key"))
    return Machines(
        head=head,
        workers=tuple(str(worker) for worker in workers),
        user=user,
        key=key,
        proxy=config["auth"].get("ssh_proxy_command"),
        head_from_here=str(config["provider"].get("external_head_ip") or head),
    )
