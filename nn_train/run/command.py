"""The command ``nn-train run``: the script on this machine, or on a Ray cluster."""

from __future__ import annotations

import os
from collections.abc import Sequence

from nn_train.config.cli import exit_code
from nn_train.run.arguments import read_arguments


def main(argv: Sequence[str]) -> int:
    """Run the script that a command line names; return the exit code of the process."""

    def run() -> int:
        asked = read_arguments(argv)
        if asked.address is None:
            from nn_train.run.launcher import launch

            return launch(asked)
        os.environ["RAY_ADDRESS"] = asked.address
        from nn_train.ray_cluster.session import ray_session

        with ray_session(verbose=False):
            from nn_train.run.on_ray import launch_on_ray

            return launch_on_ray(asked)

    return exit_code(run)
