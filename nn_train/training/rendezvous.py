"""What workers are told before they start: how they find each other (``TF_CONFIG``), and what was begun before."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.train.backend import Backend, BackendConfig

from nn_train.engine.addresses import tf_config
from nn_train.ray_cluster.addresses import free_address

BEGUN_BEFORE = "NN_TRAIN_BEGUN"


@dataclass
class MwmsConfig(BackendConfig):
    """Chooses the backend below. Ray's own TensorFlow backend forces the legacy Keras 2 and imports
    TensorFlow in the driver and the controller.

    Attributes:
        port_range: ``scaling.port_range``.
        begun: the names of the runs that workers have begun so far, in the controller.
    """

    port_range: str | None = None
    begun: set[str] = field(default_factory=set)

    @property
    def backend_cls(self) -> type[Backend]:
        return MwmsBackend


class MwmsBackend(Backend):
    """Gives every worker the addresses of all, in the order of their ranks."""

    def on_start(self, worker_group: Any, backend_config: MwmsConfig) -> None:
        addresses = worker_group.execute(free_address, backend_config.port_range)
        ray.get(
            [
                worker_group.execute_single_async(rank, set_environment, addresses, rank, sorted(backend_config.begun))
                for rank in range(len(worker_group))
            ]
        )


def set_environment(addresses: list[str], rank: int, begun: list[str]) -> None:
    """Describe the cluster to TensorFlow in this process, and name the runs that workers before it have begun."""
    os.environ["TF_CONFIG"] = tf_config(addresses, rank)
    os.environ[BEGUN_BEFORE] = json.dumps(begun)


def begun_before() -> frozenset[str]:
    """In a worker: the names of the runs that workers before it have begun."""
    return frozenset(json.loads(os.environ[BEGUN_BEFORE]))
