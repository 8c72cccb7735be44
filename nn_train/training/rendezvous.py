"""How the workers of one MWMS find each other: ``TF_CONFIG``, set by Ray Train before training starts."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import ray
from ray.train.backend import Backend, BackendConfig

from nn_train.training.addresses import hold_address, tf_config


@dataclass
class MwmsConfig(BackendConfig):
    """Chooses the backend below. Ray's own TensorFlow backend forces the legacy Keras 2 and imports
    TensorFlow in the driver and the controller.

    Attributes:
        port_range: ``scaling.port_range``.
    """

    port_range: str | None = None

    @property
    def backend_cls(self) -> type[Backend]:
        return MwmsBackend


class MwmsBackend(Backend):
    """Gives every worker the addresses of all, in the order of their ranks."""

    def on_start(self, worker_group: Any, backend_config: MwmsConfig) -> None:
        addresses = worker_group.execute(free_address, backend_config.port_range)
        ray.get(
            [
                worker_group.execute_single_async(rank, set_tf_config, addresses, rank)
                for rank in range(len(worker_group))
            ]
        )


def free_address(port_range: str | None) -> str:
    """``host:port`` of this worker: the address under which its node joined Ray, which the other nodes reach, and a
    port that is kept free until it joins the strategy. Raises RequestError when there is none."""
    return hold_address(ray.util.get_node_ip_address(), port_range)


def set_tf_config(addresses: list[str], rank: int) -> None:
    """Describe the cluster to TensorFlow in this process."""
    os.environ["TF_CONFIG"] = tf_config(addresses, rank)
