"""What replicas add up and tell each other."""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from nn_train.engine.strategy import Replicas
from nn_train.engine.tensors import Nest

if TYPE_CHECKING:
    from nn_train.engine.local_peers import LocalPeers

PIECE = 512  # rows of a gradient in a message
LARGEST_EXCHANGE = 2**20  # bytes
PART = {"CPU": 4 * 2**20, "GPU": 25 * 2**20}  # bytes of a sum between machines that are sent at once, or more
LARGEST_RECEIVED = 2**29  # bytes that a worker gets of all others on its machine, all in memory at once


def moving_statistics(model: keras.Model) -> list[Any]:
    """Float variables that the forward pass itself updates: weights made ``trainable=False`` in layers that are not
    frozen. Not BatchNormalization's, which are of all rows as the moments are."""
    return [
        variable
        for layer in model._flatten_layers()
        if layer.trainable and not isinstance(layer, keras.layers.BatchNormalization)
        for variable in layer._non_trainable_variables
        if variable.name != "seed_generator_state" and tf.as_dtype(variable.dtype).is_floating
    ]


def sums(tensors: list[Any], replicas: Replicas) -> list[Any]:
    """Return the sum of each tensor over the replicas; no gradient. Collective.

    One message for each dtype, or between machines each ``PART`` of it, beginning with the last tensor: as gradients
    those of the last layers are sent while those of the layers before are computed. See decision 0038.
    """
    if replicas.size == 1:
        return list(tensors)
    summed = list(tensors)
    for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
        places = [i for i, tensor in enumerate(tensors) if tensor.dtype == dtype]
        for part in in_parts(places, tensors, replicas):
            bucket = [tf.stop_gradient(tensors[i]) for i in part]
            flat = tf.concat([tf.reshape(tensor, [-1]) for tensor in bucket], axis=0)
            pieces = tf.split(sum_of_vector(flat, elements(bucket), replicas), [tf.size(one) for one in bucket])
            for i, piece in zip(part, pieces, strict=True):
                summed[i] = tf.reshape(piece, tf.shape(tensors[i]))
                summed[i].set_shape(tensors[i].shape)
    return summed


def in_parts(places: list[int], tensors: list[Any], replicas: Replicas) -> list[list[int]]:
    """Return which of ``tensors`` go in one message, the last ones first; on one machine all of them."""
    length = elements([tensors[i] for i in places]) * tensors[places[0]].dtype.size
    if peers_for(length, replicas) is not None:
        return [places]
    least = PART["CPU" if is_on_cpu(replicas) else "GPU"]
    parts: list[list[int]] = [[]]
    for i in reversed(places):
        if elements([tensors[at] for at in parts[-1]]) * tensors[i].dtype.size >= least:
            parts.append([])
        parts[-1].append(i)
    return parts


def sum_of_vector(own: tf.Tensor, length: int, replicas: Replicas) -> tf.Tensor:
    """The sum over the replicas of [N], of which ``length`` numbers are known of when this is traced.

    Between two CPUs of different machines one message goes each way, where TensorFlow's ring takes two, one after the
    other: 1.3 instead of 1.8 ms for the 0.4 MB of the MLP. The sum of two numbers has no order, so the bits are those
    of the ring. Of more bytes than ``LARGEST_EXCHANGE`` the ring is faster: a long message costs more than two of half
    its length. See docs/decisions/0011.
    """
    sent = tf.cast(own, wire_type(own.dtype))
    length *= sent.dtype.size
    if (peers := peers_for(length, replicas)) is not None:
        return tf.cast(peers.sum(sent), own.dtype)
    if replicas.size == 2 and length <= LARGEST_EXCHANGE and is_on_cpu(replicas):
        both = from_all(sent[tf.newaxis], replicas.strategy)
        return tf.cast(both[0] + both[1], own.dtype)
    operations = replicas.strategy.extended._get_cross_device_ops(sent)
    return tf.cast(operations._launchers[0].all_reduce(sent, None, operations._options), own.dtype)


def is_on_cpu(replicas: Replicas) -> bool:
    return "CPU" in replicas.strategy.extended.worker_devices[0]


def gather(tensor: tf.Tensor, replicas: Replicas) -> tf.Tensor:
    """The tensors of all replicas, of one shape, as [R, …]; no gradient. Collective."""
    own = tf.stop_gradient(tensor)
    if replicas.peers is not None:
        return tf.stack(replicas.peers.of_all(own))
    return tf.cast(from_all(tf.cast(own, wire_type(tensor.dtype))[tf.newaxis], replicas.strategy), tensor.dtype)


def wire_type(kind: tf.DType) -> tf.DType:
    """The type in which TensorFlow's collectives, which know floating numbers, int32 and int64, send one."""
    if kind.is_floating or kind in (tf.int32, tf.int64):
        return kind
    return tf.int64 if kind.size >= 4 else tf.int32


def peers_for(length: int, replicas: Replicas) -> LocalPeers | None:
    """The others on this machine, if a sum of ``length`` bytes goes to them directly; else TensorFlow adds it up."""
    return replicas.peers if length * (replicas.size - 1) <= LARGEST_RECEIVED else None


def elements(tensors: list[Any]) -> int:
    """How many numbers they hold together; those whose count is not known when this is traced are left out."""
    return sum(tensor.shape.num_elements() or 0 for tensor in tensors)


def is_by_rows(gradient: Nest) -> bool:
    """Return whether a gradient has an entry for each look-up of the rows, of which every replica has its own.

    Entries for positions, as of a table that ``ops.arange`` looks up, are the same on all replicas: their values add
    up. How many those are is known when a graph is made. Eagerly it is known of all.
    """
    return isinstance(gradient, tf.IndexedSlices) and (tf.executing_eagerly() or gradient.indices.shape[0] is None)


def from_all(tensor: tf.Tensor, strategy: tf.distribute.Strategy) -> tf.Tensor:
    """The tensors [1, …] of all replicas, of one shape, as [R, …], in one message; also within a ``tf.while_loop``."""
    operations = strategy.extended._get_cross_device_ops(tensor)
    return operations._launchers[0]._all_gather(tensor, operations._options)


def same_on_all(replicas: Replicas, *values: int) -> bool:
    """Whether every worker has the same ``values``, below 10**7. Collective; the answer is the same on all."""
    return all(equal_on_all(replicas, *values))


def equal_on_all(replicas: Replicas, *values: int) -> list[bool]:
    """Of each of ``values``, below 10**7, whether every worker has the same. Collective; so are the answers."""
    if replicas.size == 1:
        return [True] * len(values)
    total, squares = sums_over_replicas(replicas)(tf.constant(values, tf.float64))
    return [bool(same) for same in np.asarray(squares * replicas.size == total * total)]


def sum_over_all(values: Sequence[float], replicas: Replicas) -> list[float]:
    """The sums of each worker's ``values``, in float64. Collective; the answer is the same on all."""
    if replicas.size == 1:
        return list(values)
    total, _ = sums_over_replicas(replicas)(tf.constant(values, tf.float64))
    return [float(one) for one in np.asarray(total)]


@functools.lru_cache(maxsize=1)
def sums_over_replicas(replicas: Replicas) -> Any:
    """A function of a float64 vector [N], traced once: the sums over the replicas of its elements and their squares."""
    vector = tf.TensorSpec([None], tf.float64)
    return tf.function(lambda own: tuple(sums([own, own * own], replicas)), input_signature=[vector], autograph=False)


def gather_from_all(variables: list[Any], replicas: Replicas) -> Callable[[], np.ndarray]:
    """A function that gives the values on every replica, flat and as float64 [R, M], traced once.

    Each call is collective. Whole numbers are exact below 2**53.
    """

    @tf.function(autograph=False)
    def of_all() -> Any:
        flat = [tf.reshape(tf.cast(variable.value, tf.float64), [-1]) for variable in variables]
        own = tf.concat([*flat, tf.zeros([0], tf.float64)], axis=0)
        return gather(own, replicas) if replicas.size > 1 else own[tf.newaxis]

    return lambda: np.asarray(of_all())


def put(variables: list[Any], values: np.ndarray) -> None:
    """Set this replica's own values, [M] as ``gather_from_all`` gives a row of them."""
    sizes = [int(np.prod(variable.shape)) for variable in variables]
    parts = np.split(values, np.cumsum(sizes)[:-1]) if sizes else []
    for variable, part in zip(variables, parts, strict=True):
        variable.assign(tf.cast(tf.reshape(tf.constant(part), variable.shape), variable.dtype))


def from_chief(replicas: Replicas) -> Callable[[list[float]], list[float]]:
    """A function that gives the chief's numbers on every worker. Each call is collective."""
    if replicas.size == 1:
        return lambda values: values

    @tf.function(autograph=False)
    def share(values: tf.Tensor) -> Any:
        return sums([values], replicas)[0]

    def shared(values: list[float]) -> list[float]:
        own = values if replicas.is_chief else [0.0] * len(values)
        return [float(value) for value in np.asarray(share(tf.constant(own, tf.float64)))]

    return shared


def share_from_chief(variables: list[Any], replicas: Replicas) -> Callable[[], None]:
    """A function that overwrites ``variables`` on every worker with the chief's values.

    Each call is collective: all ranks must make it, in the same order.
    """
    if replicas.size == 1:
        return lambda: None

    @tf.function(autograph=False)
    def share() -> None:
        own = [variable.value if replicas.is_chief else tf.zeros_like(variable.value) for variable in variables]
        for variable, value in zip(variables, sums([tf.identity(value) for value in own], replicas), strict=True):
            variable.assign(value)

    return share


def told_by_chief(value: Any, replicas: Replicas) -> Any:
    """Return what the chief has, on every worker: any object that ``pickle`` takes. Collective, and not in a graph."""
    if replicas.size == 1:
        return value
    own = np.frombuffer(pickle.dumps(value) if replicas.is_chief else b"", np.uint8).astype(np.int32)
    length = int(gather(tf.constant([len(own)]), replicas)[0, 0])
    padded = np.zeros(length, np.int32)
    padded[: len(own)] = own
    return pickle.loads(np.asarray(gather(tf.constant(padded), replicas)[0]).astype(np.uint8).tobytes())
