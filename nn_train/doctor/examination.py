"""All checks of a place, side by side; one that breaks does not hide the others."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from nn_train.config import Config
from nn_train.doctor.clocks import check_clocks
from nn_train.doctor.findings import FAILED, NOT_APPLICABLE, Finding
from nn_train.doctor.gpus import check_gpus
from nn_train.doctor.nodes import ANSWER_WITHIN, Node, check_nodes, check_reach, start_examiners
from nn_train.doctor.ports import check_ports
from nn_train.doctor.storage import check_storage
from nn_train.doctor.versions import check_versions
from nn_train.errors import RequestError, first_line

Check = Callable[[Sequence[Node], Config], Finding]
CHECKS: dict[str, Check] = {
    "versions": lambda nodes, config: check_versions(nodes),
    "gpus": lambda nodes, config: check_gpus(nodes, config.scaling),
    "storage": lambda nodes, config: check_storage(nodes, config.run.storage_path),
    "ports": lambda nodes, config: check_ports(nodes, config.scaling),
    "clocks": lambda nodes, config: check_clocks(nodes),
}


def examine(config: Config, verbose: bool = False, answer_within: float = ANSWER_WITHIN) -> list[Finding]:
    """Check the place that a job with this config would run in.

    Args:
        config: its ``run.storage_path`` and ``scaling`` are checked.
        verbose: let the logs of Ray through.
        answer_within: seconds after which a node is taken for one that does not answer.

    Returns:
        A finding for every check, also for those that had to be left out.
    """
    with contextlib.ExitStack() as stack:
        reached = check_reach(stack, verbose)
        if reached.result == FAILED:
            return [reached, *(Finding(name, NOT_APPLICABLE, ("no Ray",)) for name in ("nodes", *CHECKS))]
        answered, nodes = check_nodes(start_examiners(), answer_within)
        with ThreadPoolExecutor(len(CHECKS)) as pool:
            running = [pool.submit(checked, name, nodes, config) for name in CHECKS]
            return [reached, answered, *(one.result() for one in running)]


def checked(name: str, nodes: Sequence[Node], config: Config) -> Finding:
    """The finding of one check, also when it breaks."""
    try:
        return CHECKS[name](nodes, config)
    except RequestError as error:
        return Finding(name, FAILED, (str(error),))
    except Exception as error:
        return Finding(name, FAILED, (f"the check itself failed: {type(error).__name__}: {first_line(error)}",))
