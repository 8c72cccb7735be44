"""How the workers of one MWMS find each other: ``TF_CONFIG``, set by Ray Train before training starts."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import ray
from ray.train.backend import Backend, BackendConfig

from nn_train.training.addresses import free_addresses, tf_config


@dataclass
class MwmsConfig(BackendConfig):
    """Chooses the backend below. Ray's own TensorFlow backend forces the legacy Keras 2 and imports
    TensorFlow in the driver and the controller."""

    @property
    def backend_cls(self) -> type[Backend]:
        return MwmsBackend


class MwmsBackend(Backend):
    """Gives every worker the addresses of all, in the order of their ranks."""

    def on_start(self, worker_group: Any, backend_config: BackendConfig) -> None:
        addresses = worker_group.execute(free_address)
        ray.get(
            [
                worker_group.execute_single_async(rank, set_tf_config, addresses, rank)
                for rank in range(len(worker_group))
            ]
        )


def free_address() -> str:
    """``host:port`` of this worker that the others can reach, with a port that is free now."""
    return free_addresses(ray.util.get_node_ip_address(), 1)[0]


def set_tf_config(addresses: list[str], rank: int) -> None:
    """Describe the cluster to TensorFlow in this process."""
    os.environ["TF_CONFIG"] = tf_config(addresses, rank)
