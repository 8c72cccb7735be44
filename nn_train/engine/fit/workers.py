"""The workers of this process's MWMS."""

from __future__ import annotations

import json
import os
from typing import Any

import tensorflow as tf

from nn_train.engine.first_values import share_all_types
from nn_train.engine.fit.refusals import tell_in_one_line
from nn_train.engine.joining import with_local_peers
from nn_train.engine.strategy import Replicas
from nn_train.errors import RequestError

joined: list[Replicas] = []  # one, or none yet


def join(own: tf.distribute.MultiWorkerMirroredStrategy | None = None) -> Replicas:
    """The workers that ``TF_CONFIG`` names, which wait for each other here; this process alone where it names none.

    Args:
        own: a strategy that the user has made, to be used where none is joined yet.

    Raises:
        RequestError: TensorFlow has worked in this process before, so that it can join nobody any more.
    """
    if not joined:
        joined.append(join_named() if own is None else members(own))
        if joined[0].size > 1:
            tf.distribute.MirroredStrategy.__init__ = refuse_mirrored
            tell_in_one_line(joined[0])
    if own is not None:
        make_room_for_others(own)
    return joined[0]


def refuse_mirrored(strategy: Any, *args: object, **named: Any) -> None:
    """In the place of what ends a process that has joined others: TensorFlow 2.21 crashes there."""
    raise RequestError(
        "tf.distribute.MirroredStrategy is for one process, and this one has joined others; build the model in "
        "nn_train.scope()"
    )


def join_named() -> Replicas:
    cluster = json.loads(os.environ.get("TF_CONFIG") or "{}").get("cluster", {})
    if sum(len(cluster.get(kind, ())) for kind in ("chief", "worker")) < 2:
        return Replicas(strategy=tf.distribute.get_strategy(), rank=0, size=1)
    try:
        return members(tf.distribute.MultiWorkerMirroredStrategy())
    except RuntimeError as error:
        raise RequestError(
            "TensorFlow was used in this process before it joined the workers of TF_CONFIG; enter nn_train.scope(), or "
            f"call nn_train.install(), first ({error})"
        ) from error


def members(strategy: tf.distribute.MultiWorkerMirroredStrategy) -> Replicas:
    """The replicas of a strategy, of which this process must hold one. RequestError."""
    here = len(strategy.extended.worker_devices)
    if here > 1:
        raise RequestError(f"this worker has {here} GPUs, and one is used; give each worker its own with one GPU")
    make_room_for_others(strategy)
    share_all_types()
    rank, size = strategy.extended._id_in_cluster, strategy.num_replicas_in_sync
    replicas = Replicas(strategy=strategy, rank=rank, size=size)
    cluster = json.loads(os.environ.get("TF_CONFIG") or "{}").get("cluster", {})
    addresses = [*cluster.get("chief", ()), *cluster.get("worker", ())]
    return with_local_peers(replicas, addresses) if size == len(addresses) > 1 else replicas


def make_room_for_others(strategy: tf.distribute.MultiWorkerMirroredStrategy) -> None:
    """Let a strategy that the script makes later neither start this process's server again, which would lose what has
    just been sent, nor use the same keys for its messages."""
    type(strategy.extended)._std_server_started = True
    tf.distribute.MultiWorkerMirroredStrategy._collective_key_base = strategy.extended._collective_key_base + 100_000
