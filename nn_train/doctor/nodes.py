"""Whether there is a Ray to run on; a process on each of its nodes that runs what a check asks for."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from nn_train.doctor.findings import FAILED, OK, Finding, judged
from nn_train.errors import RequestError, first_line
from nn_train.ray_cluster.session import ray_session

T = TypeVar("T")
ANSWER_WITHIN = 60.0  # seconds, to start a process and run a check in it
ADVICE = (
    "RAY_ADDRESS is the address and port (6379) of a head that runs and that this machine reaches; a local Ray needs "
    "none"
)
CALLS_AT_ONCE = 8  # in one process: checks must not wait for each other


@dataclass(frozen=True)
class Node:
    """A living node.

    Attributes:
        label: its address, with the beginning of its id where several nodes have the same.
        address: on which the others reach it.
        gpus: how many Ray counts.
        examiner: the actor on it.
    """

    label: str
    address: str
    gpus: float
    examiner: Any

    def call(self, function: Callable[..., Any], *arguments: object) -> Any:
        """A reference to what the function returns there."""
        return self.examiner.call.remote(function, *arguments)


@dataclass(frozen=True)
class Answers(Generic[T]):
    """What the nodes said, by their labels.

    Attributes:
        values: of those that answered.
        problems: why the others did not.
    """

    values: dict[str, T]
    problems: dict[str, str]

    def complaints(self) -> list[str]:
        """A line for each node that did not answer."""
        return [f"{label}: {problem}" for label, problem in self.problems.items()]


class Examiner:
    """Runs functions. Lives until the job ends, so that a function can leave a port open."""

    def call(self, function: Callable[..., Any], *arguments: object) -> Any:
        """What the function returns."""
        return function(*arguments)


def start_examiners() -> list[Node]:
    """One on every living node. They take no CPU, so that a busy cluster can be examined."""
    # A node where this package is missing can still say so, and what else it lacks.
    ray.cloudpickle.register_pickle_by_value(sys.modules[__package__])
    living = [node for node in ray.nodes() if node["Alive"]]
    times = Counter(node["NodeManagerAddress"] for node in living)
    placed = ray.remote(num_cpus=0, max_concurrency=CALLS_AT_ONCE)(Examiner)
    nodes = []
    for node in living:
        address, key = node["NodeManagerAddress"], node["NodeID"]
        label = address if times[address] == 1 else f"{address}/{key[:6]}"
        examiner = placed.options(scheduling_strategy=NodeAffinitySchedulingStrategy(key, soft=False)).remote()
        nodes.append(Node(label, address, node["Resources"].get("GPU", 0), examiner))
    return nodes


def ask(
    nodes: Sequence[Node], function: Callable[..., T], *arguments: object, limit: float = ANSWER_WITHIN
) -> Answers[T]:
    """Call a function on all nodes at once. A node that has not answered after ``limit`` seconds has a problem."""
    calls = {node.label: node.call(function, *arguments) for node in nodes}
    values, problems = {}, {}
    end = time.monotonic() + limit
    for label, call in calls.items():
        try:
            values[label] = ray.get(call, timeout=max(0.0, end - time.monotonic()))
        except ray.exceptions.GetTimeoutError:
            problems[label] = f"no answer within {limit:g} s"
        except ray.exceptions.RayTaskError as error:
            problems[label] = f"{type(error.cause).__name__}: {first_line(error.cause)}"
        except ray.exceptions.RayError as error:
            problems[label] = first_line(error)
    return Answers(values, problems)


def alive() -> bool:
    """What a node is asked first."""
    return True


def check_nodes(nodes: Sequence[Node], limit: float = ANSWER_WITHIN) -> tuple[Finding, list[Node]]:
    """Which of them answer, and the finding."""
    answers = ask(nodes, alive, limit=limit)
    answering = [node for node in nodes if node.label in answers.values]
    advice = (
        "look at `ray status`, and at that machine: is its raylet running and not overloaded, can the head reach it on "
        "all of Ray's ports? To leave it out, end its raylet"
    )
    otherwise = f"{len(nodes)} node{'s answer' if len(nodes) != 1 else ' answers'}: " + ", ".join(answers.values)
    return judged("nodes", answers.complaints(), otherwise, advice), answering


def check_reach(stack: contextlib.ExitStack, verbose: bool) -> Finding:
    """Join the Ray that a job would join. ``stack`` leaves it again."""
    from nn_train.ray_cluster import local_ray

    try:
        stack.enter_context(ray_session(verbose))
    except (RequestError, ray.exceptions.RayError, OSError, RuntimeError, ValueError) as error:
        return Finding("ray", FAILED, (first_line(error),), "" if isinstance(error, RequestError) else ADVICE)
    local = "no RAY_ADDRESS: a local Ray was started"
    where = local if local_ray.is_running() else f"joined {ray.get_runtime_context().gcs_address}"
    token = "on" if os.environ.get("RAY_AUTH_MODE", "").lower() == "token" else "off"
    return Finding("ray", OK, (f"{where}; token authentication is {token}",))
