"""Runs Keras' own tests, one after another, on several workers that have called ``nn_train.install()``."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from pathlib import Path

from nn_train.engine.addresses import free_addresses, tf_config

WORKER = Path(__file__).with_name("keras_worker.py")
LIMIT = 120.0  # seconds a test
GRACE = 15.0  # more for the others, once one worker has failed


class Workers:
    """Workers that run the same test at the same time; they are made anew after one has failed."""

    def __init__(self, size: int, checkout: Path, out: Path) -> None:
        self.size, self.checkout, self.out = size, checkout, out
        self.processes: list[subprocess.Popen[str]] = []
        self.made = 0

    def run(self, test: str) -> list[str]:
        """``passed``, ``skipped``, ``failed`` or ``hangs`` of each worker."""
        if not self.processes:
            self.start()
        for process in self.processes:
            print(test, file=process.stdin, flush=True)
        outcomes: dict[int, str] = {}
        deadline = time.monotonic() + LIMIT
        while len(outcomes) < self.size and time.monotonic() < deadline:
            waiting = {self.processes[rank].stdout: rank for rank in range(self.size) if rank not in outcomes}
            for stream in select.select(list(waiting), [], [], 1.0)[0]:
                outcomes[waiting[stream]] = stream.readline().strip() or "failed"
                if outcomes[waiting[stream]] == "failed":
                    deadline = min(deadline, time.monotonic() + GRACE)
        found = [outcomes.get(rank, "hangs") for rank in range(self.size)]
        if {"failed", "hangs"} & set(found):
            self.end()
        return found

    def start(self) -> None:
        self.made += 1
        addresses = free_addresses("127.0.0.1", self.size)
        for rank in range(self.size):
            environment = {**os.environ, "TF_CONFIG": tf_config(addresses, rank), "TF_CPP_MIN_LOG_LEVEL": "3"}
            environment["PYTHONPATH"] = os.pathsep.join([str(self.checkout), str(Path(__file__).parents[3])])
            with (self.out / f"worker-{rank}.log").open("a") as log:
                process = subprocess.Popen(
                    [sys.executable, str(WORKER), str(self.out / f"folders-{self.made}")],
                    cwd=self.checkout,
                    env=environment,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                )
            self.processes.append(process)

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        self.processes = []
