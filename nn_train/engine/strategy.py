"""One process's place in a ``MultiWorkerMirroredStrategy``, and what it computes on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

if TYPE_CHECKING:
    from nn_train.engine.local_peers import LocalPeers


@dataclass(frozen=True)
class Replicas:
    """This process's place in the strategy.

    Attributes:
        strategy: a ``tf.distribute.MultiWorkerMirroredStrategy``.
        rank: 0 … ``size`` - 1; rank 0 is the chief, which alone writes files.
        size: the number of replicas, R (the world size).
        peers: the others, where all are on the CPUs of one machine.
    """

    strategy: tf.distribute.Strategy
    rank: int
    size: int
    peers: LocalPeers | None = None

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def rows(self, count: Any) -> tuple[Any, Any]:
        """The half-open range of ``count`` rows that is this replica's; the ranges of all ranks tile it."""
        return count * self.rank // self.size, count * (self.rank + 1) // self.size


def alone(replicas: Replicas) -> Replicas:
    """Return the place of a process that asks no other, in the same strategy."""
    return replace(replicas, rank=0, size=1, peers=None)


def configure_tensorflow(threads: int, use_gpu: bool) -> None:
    """Give TensorFlow ``threads`` threads and one GPU or none. Call once, before anything else uses it.

    Without this every worker on a machine starts a pool as wide as the machine, which cost a factor of
    two with two workers on two cores; and a GPU's whole memory is taken by the first process on it.

    Raises:
        RuntimeError: Keras 3 on TensorFlow is not what runs here, or a GPU was promised and is not there.
    """
    if not keras.__version__.startswith("3.") or keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            f"expected Keras 3 on TensorFlow, got Keras {keras.__version__} on {keras.backend.backend()}"
        )
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    gpus = tf.config.list_physical_devices("GPU")
    if not use_gpu:
        tf.config.set_visible_devices([], "GPU")
        return
    if not gpus:
        raise RuntimeError(
            "scaling.use_gpu is true, but TensorFlow sees no GPU in this worker; install the gpu extra "
            "(tensorflow[and-cuda]) and check the driver"
        )
    tf.config.set_visible_devices(gpus[:1], "GPU")
    tf.config.experimental.set_memory_growth(gpus[0], True)
