"""Tells Ray that this machine will be taken back, so that trainings on it keep a checkpoint and go on elsewhere.

    python spot_notice.py aws|gcp|azure

Asks the provider's metadata service every two seconds. When the provider has announced the end of this (spot) machine,
its Ray node is drained, in the cluster of RAY_ADDRESS, and the process ends. One runs on a machine; a second one ends
at once. It stands alone: the files of ``cluster/`` copy it to their machines. ``ray up`` does not listen (Ray 2.60).
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

EVERY = 2.0  # seconds
ANSWER_WITHIN = 5.0
RAY = str(Path(sys.executable).with_name("ray"))


class Metadata:
    """The metadata service of a machine at ``url``."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, path: str, method: str = "GET", **headers: str) -> str | None:
        """An answer; None where there is none: a service that is slow or gone says nothing of the machine's end."""
        request = urllib.request.Request(self.url + path, method=method)
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_WITHIN) as answer:
                return str(answer.read().decode())
        except (OSError, ValueError):  # 404 among them
            return None


def aws_ends(metadata: Metadata) -> bool:
    """Two minutes before; docs.aws.amazon.com, "Spot Instance interruption notices"."""
    token = metadata.ask("/latest/api/token", "PUT", X_aws_ec2_metadata_token_ttl_seconds="60")
    if token is None:
        return False
    return metadata.ask("/latest/meta-data/spot/instance-action", X_aws_ec2_metadata_token=token) is not None


def gcp_ends(metadata: Metadata) -> bool:
    """Thirty seconds before; docs.cloud.google.com, "Spot VMs", "Preemption process"."""
    return metadata.ask("/computeMetadata/v1/instance/preempted", Metadata_Flavor="Google") == "TRUE"


def azure_ends(metadata: Metadata) -> bool:
    """Thirty seconds before; learn.microsoft.com, "Scheduled Events". Events of a scale set name its machines."""
    name = metadata.ask("/metadata/instance/compute/name?api-version=2021-02-01&format=text", Metadata="true")
    events = metadata.ask("/metadata/scheduledevents?api-version=2020-07-01", Metadata="true")
    with contextlib.suppress(ValueError):
        listed = json.loads(events or "{}").get("Events", [])
        return any(event.get("EventType") == "Preempt" and name in event.get("Resources", []) for event in listed)
    return False


# The address of the service, what tells the end, and how many seconds are left then, less some to be sure.
PROVIDERS: dict[str, tuple[str, Callable[[Metadata], bool], int]] = {
    "aws": ("http://169.254.169.254", aws_ends, 110),
    "gcp": ("http://metadata.google.internal", gcp_ends, 25),
    "azure": ("http://169.254.169.254", azure_ends, 25),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("provider", choices=PROVIDERS)
    url, ends, seconds_left = PROVIDERS[parser.parse_args().provider]
    metadata = Metadata(url)
    with open(Path(tempfile.gettempdir()) / f"nn_train_spot_notice_{os.getuid()}", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another one is running")
            return 0
        while not ends(metadata):
            time.sleep(EVERY)
        print("the provider takes this machine back", flush=True)
        while not drain(seconds_left):
            time.sleep(EVERY)
    return 0


def drain(seconds_left: int) -> bool:
    """Tell Ray that the node on this machine has so long to live; whether it took note."""
    words = ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "the spot machine is taken back"]
    command = [RAY, "drain-node", *words, "--deadline-remaining-seconds", str(seconds_left)]
    return subprocess.run(command).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
