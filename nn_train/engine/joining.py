"""How a process joins the strategy of its workers."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import tensorflow as tf

from nn_train.engine.addresses import await_server
from nn_train.engine.collectives import sum_over_all
from nn_train.engine.first_values import share_all_types
from nn_train.engine.local_peers import Meeting
from nn_train.engine.strategy import Replicas


def join_strategy(rank: int, size: int, whole_gpu: bool) -> Replicas:
    """Join the MWMS that ``TF_CONFIG`` describes; returns when all ``size`` workers have joined.

    ``whole_gpu``: each worker has a GPU to itself, so NCCL can be used; it refuses workers that share one.
    """
    assert os.environ.get("TF_CONFIG"), "TF_CONFIG must name the workers before the strategy is made"
    addresses = json.loads(os.environ["TF_CONFIG"])["cluster"]["worker"]
    if rank:
        await_server(addresses[0])  # all others register there
    kind = tf.distribute.experimental.CommunicationImplementation
    share_all_types()
    options = tf.distribute.experimental.CommunicationOptions(implementation=kind.NCCL if whole_gpu else kind.RING)
    strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
    if strategy.num_replicas_in_sync != size:
        raise RuntimeError(f"expected {size} replicas, the strategy has {strategy.num_replicas_in_sync}")
    replicas = Replicas(strategy=strategy, rank=rank, size=size)
    return replicas if whole_gpu or size == 1 else with_local_peers(replicas, addresses)


def with_local_peers(replicas: Replicas, addresses: list[str]) -> Replicas:
    """Connect workers that compute on the CPUs of one machine. Collective; all are connected, or none is."""
    meeting = Meeting(addresses, replicas.rank)
    on_cpu = "CPU" in replicas.strategy.extended.worker_devices[0]
    try:
        for could in (lambda: on_cpu and meeting.listen(), meeting.connect):
            if sum_over_all([float(could())], replicas) != [replicas.size]:
                return replicas
        return replace(replicas, peers=meeting.accept())
    finally:
        meeting.end()
