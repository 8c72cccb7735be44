"""Whether every machine that a job's workers may run on sees the folder that its results go to."""

from __future__ import annotations

import contextlib
import os
import uuid
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from nn_train.config.schema import ScalingConfig
from nn_train.errors import RequestError
from nn_train.ray_cluster.placement import resources_per_worker, workers_on
from nn_train.storage.folder import ResultsFolder

LOOK_FOR = 30.0  # seconds; a node that does not answer is not judged
UNPACKED = "/runtime_resources/working_dir_files/"  # where Ray puts the working directory of a submitted job
SHARE_IT = "set run.storage_path to a folder that all machines share (NFS) or a URI such as s3://bucket/results"


def check_shared(folder: ResultsFolder, scaling: ScalingConfig) -> None:
    """Raise RequestError when the results would lie where only some of the machines see them.

    A probe is written beside the results, looked for on every other node that has room for a worker, and removed.
    Costs nothing on a URI and on a Ray of one node.
    """
    if not folder.is_local:
        return
    refuse_temporary("run.storage_path", folder.root)
    here, each = ray.get_runtime_context().get_node_id(), resources_per_worker(scaling)
    nodes = [node for node in ray.nodes() if node["Alive"] and node["NodeID"] != here]
    nodes = [node for node in nodes if workers_on(node["Resources"], each)]
    if not nodes:
        return
    probe = os.path.join(nearest_existing(folder.root), f".nn-train-{uuid.uuid4().hex}")
    try:
        os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        blind = nodes_without(probe, nodes)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(probe)
    if blind:
        raise RequestError(
            f"run.storage_path: {folder.location} is not shared: {len(blind)} of {len(nodes)} other nodes do not see "
            f"what is written there ({', '.join(blind[:3])}{', …' if len(blind) > 3 else ''}); {SHARE_IT}"
        )


def refuse_temporary(field: str, path: str) -> None:
    """Raise RequestError for a folder below the working directory of a submitted job, which Ray deletes."""
    if UNPACKED in os.path.realpath(path):
        raise RequestError(
            f"{field}: {path} lies in the temporary folder that Ray made for this job on one machine; "
            "give an absolute path that all machines share (NFS)"
            + (" or a URI such as s3://bucket/results" if field == "run.storage_path" else "")
        )


def nearest_existing(path: str) -> str:
    """The folder itself, or the nearest one above it that is there."""
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


def nodes_without(file: str, nodes: list[dict[str, Any]]) -> list[str]:
    """The addresses of the nodes that answer and do not see the file."""
    look = ray.remote(num_cpus=0, max_retries=0)(os.path.exists)
    asked = {
        look.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(file): node
        for node in nodes
    }
    answers, _ = ray.wait(list(asked), num_returns=len(asked), timeout=LOOK_FOR)
    blind = []
    for answer in answers:
        with contextlib.suppress(ray.exceptions.RayError):  # a node lost just now runs no worker either
            if not ray.get(answer):
                blind.append(asked[answer]["NodeManagerAddress"])
    return blind
