"""What replicas add up and tell each other."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
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
    """Float variables that the forward pass itself updates, such as BatchNormalization's.

    They are weights made with ``trainable=False`` in layers that are not frozen.
    """
    return [
        variable
        for layer in model._flatten_layers()
        if layer.trainable
        for variable in layer._non_trainable_variables
        if variable.name != "seed_generator_state" and tf.as_dtype(variable.dtype).is_floating
    ]


def all_reduce_sum(tensors: list[Any], replicas: Replicas) -> list[Any]:
    """Sum each tensor over the replicas, in replica context; one message for each dtype, or each ``PART`` of it.

    TensorFlow concatenates what it is given in one call, which fails for mixed dtypes. It begins with the last tensor:
    as gradients those of the last layers are sent while those of the layers before are computed. See decision 0038.
    """
    if replicas.size == 1:
        return list(tensors)
    context = tf.distribute.get_replica_context()
    on_cpus = "CPU" in context.strategy.extended.worker_devices[0]
    in_parts = tf.distribute.experimental.CommunicationOptions(bytes_per_pack=PART["CPU" if on_cpus else "GPU"])
    summed = list(tensors)
    for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
        places = [i for i, tensor in enumerate(tensors) if tensor.dtype == dtype]
        bucket = [tensors[i] for i in places]
        length = dtype.size * elements(bucket)
        dense = dtype in (tf.float32, tf.float64) and not any(isinstance(one, tf.IndexedSlices) for one in bucket)
        peers = peers_for(length, replicas) if dense else None
        if peers is not None:
            together = as_one_vector(peers.sum, bucket)
        elif replicas.size == 2 and on_cpus and dense and length <= LARGEST_EXCHANGE:
            together = as_one_vector(lambda flat: exchange(flat, context.strategy), bucket)
        else:
            together = context.all_reduce(tf.distribute.ReduceOp.SUM, bucket, in_parts)
        for place, value in zip(places, together, strict=True):
            summed[place] = value
    return summed


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


def gather_slices(slices: tf.IndexedSlices, replicas: Replicas) -> tf.IndexedSlices:
    """The slices of all replicas, in the order of their ranks: those that one replica has for the whole batch.

    An optimizer takes equal rows one by one (Adam adds up the squares of their gradients), so that their sum is not the
    same. TensorFlow gathers slices too, but in messages of the size of the first step's: a shorter batch breaks it.
    Here they go in pieces of ``PIECE``, the last one filled up. In replica context.
    """
    if replicas.size == 1:
        return slices
    count, width = tf.shape(slices.indices)[0], slices.values.shape[1:]
    place = tf.one_hot(replicas.rank, replicas.size, dtype=tf.float64)
    lengths = all_reduce_sum([place * tf.cast(count, tf.float64)], replicas)
    longest = tf.cast(tf.reduce_max(lengths[0]), tf.int32)
    pieces = -(-longest // PIECE)
    own = [tf.reshape(slices.values, [count, -1]), tf.cast(slices.indices, tf.float64)[:, tf.newaxis]]
    own = [tf.pad(one, [[0, pieces * PIECE - count], [0, 0]]) for one in own]

    def gather_piece(i: tf.Tensor, *arrays: tf.TensorArray) -> tuple[Any, ...]:
        parts = [tf.ensure_shape(one[i * PIECE : (i + 1) * PIECE], [PIECE, one.shape[1]]) for one in own]
        of_all = [from_all(part[tf.newaxis], replicas.strategy) for part in parts]
        return i + 1, *(array.write(i, part) for array, part in zip(arrays, of_all, strict=True))

    arrays = [tf.TensorArray(one.dtype, pieces, element_shape=[replicas.size, PIECE, one.shape[1]]) for one in own]
    _, *arrays = tf.while_loop(lambda i, *_: i < pieces, gather_piece, (0, *arrays))
    there = tf.sequence_mask(tf.cast(lengths[0], tf.int32), pieces * PIECE)
    values, rows = (
        tf.boolean_mask(tf.reshape(tf.transpose(a.stack(), [1, 0, 2, 3]), [replicas.size, pieces * PIECE, -1]), there)
        for a in arrays
    )
    rows = tf.cast(rows[:, 0], slices.indices.dtype)
    return tf.IndexedSlices(tf.reshape(values, [-1, *width]), rows, slices.dense_shape)


def from_all(tensor: tf.Tensor, strategy: tf.distribute.Strategy) -> tf.Tensor:
    """The tensors [1, …] of all replicas, of one shape, as [R, …], in one message; also within a ``tf.while_loop``."""
    operations = strategy.extended._get_cross_device_ops(tensor)
    return operations._launchers[0]._all_gather(tensor, operations._options)


def as_one_vector(reduce: Callable[[tf.Tensor], tf.Tensor], tensors: list[Any]) -> list[Any]:
    """``tensors`` after ``reduce`` of all their numbers, [N]."""
    flat = tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], axis=0)
    parts = tf.split(reduce(flat), [tf.size(tensor) for tensor in tensors])
    return [tf.reshape(part, tf.shape(tensor)) for part, tensor in zip(parts, tensors, strict=True)]


def exchange(flat: tf.Tensor, strategy: tf.distribute.Strategy) -> tf.Tensor:
    """The sum of [N] over two replicas in one message each way, where TensorFlow's ring takes two, one after the other.

    Of a step of a small model the messages take most: 1.3 instead of 1.8 ms for the 0.4 MB of the MLP. The sum of two
    numbers has no order, so the bits are those of the ring. Of more bytes than ``LARGEST_EXCHANGE`` the ring is faster:
    a long message costs more than two of half its length. See docs/decisions/0011.
    """
    both = from_all(flat[tf.newaxis], strategy)
    return both[0] + both[1]


@contextlib.contextmanager
def sums_among(peers: LocalPeers | None) -> Iterator[None]:
    """While a step is traced, sums that Keras asks TensorFlow for go to ``peers``, where there are such.

    BatchNormalization asks for three in the forward pass, and for their gradients, each a tour of the ring.
    """
    if peers is None:
        yield
        return
    kind = tf.distribute.ReplicaContext
    by_tensorflow = kind.all_reduce

    @tf.custom_gradient
    def summed(own: tf.Tensor) -> Any:
        return peers.sum(own), peers.sum  # how the losses of all depend on this worker's part

    def all_reduce(
        context: tf.distribute.ReplicaContext, reduce_op: object, value: object, options: object = None
    ) -> Any:
        is_sum = str(getattr(reduce_op, "value", reduce_op)).upper() == "SUM"
        if is_sum and isinstance(value, tf.Tensor) and value.dtype in (tf.float32, tf.float64):
            return summed(value)
        return by_tensorflow(context, reduce_op, value, options)

    kind.all_reduce = all_reduce
    try:
        yield
    finally:
        kind.all_reduce = by_tensorflow


def apply_without_reduction(optimizer: keras.optimizers.Optimizer) -> None:
    """Let ``optimizer.apply`` take gradients that are already summed over the replicas.

    Keras would sum inside ``apply``, after clipping: a clipped gradient would then depend on the number
    of workers, and loss scaling could skip a step on one worker and not on another.
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    inner._all_reduce_sum_gradients = list


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

    def in_replica(own: tf.Tensor) -> tuple[Any, Any]:
        own = tf.identity(own)  # on this replica's device, which the ring asks for
        total, squares = all_reduce_sum([own, own * own], replicas)
        return total, squares

    vector = tf.TensorSpec([None], tf.float64)
    return tf.function(
        lambda own: replicas.strategy.run(in_replica, args=(own,)), input_signature=[vector], autograph=False
    )


def gather_from_all(variables: list[Any], replicas: Replicas) -> Callable[[], np.ndarray]:
    """A function that gives the values on every replica, flat and as float64 [R, M], traced once.

    Each call is collective. Whole numbers are exact below 2**53.
    """

    def in_replica() -> Any:
        flat = [tf.reshape(tf.cast(variable.value, tf.float64), [-1]) for variable in variables]
        own = tf.concat([*flat, tf.zeros([0], tf.float64)], axis=0)
        place = tf.one_hot(replicas.rank, replicas.size, dtype=tf.float64)
        return all_reduce_sum([place[:, tf.newaxis] * own[tf.newaxis]], replicas)[0]

    gather = tf.function(lambda: replicas.strategy.run(in_replica), autograph=False)
    return lambda: np.asarray(gather())


def put_on_each(variables: list[Any], values: np.ndarray, replicas: Replicas) -> None:
    """Set this replica's own values, [M] as ``gather_from_all`` gives a row of them."""
    sizes = [int(np.prod(variable.shape)) for variable in variables]
    parts = np.split(values, np.cumsum(sizes)[:-1]) if sizes else []

    def in_replica() -> None:
        for variable, part in zip(variables, parts, strict=True):
            variable.assign(tf.cast(tf.reshape(tf.constant(part), variable.shape), variable.dtype))

    tf.function(lambda: replicas.strategy.run(in_replica), autograph=False)()


def from_chief(replicas: Replicas) -> Callable[[list[float]], list[float]]:
    """A function that gives the chief's numbers on every worker. Each call is collective."""
    if replicas.size == 1:
        return lambda values: values

    @tf.function(autograph=False)
    def share(values: tf.Tensor) -> Any:
        return replicas.strategy.run(lambda: all_reduce_sum([tf.identity(values)], replicas)[0])

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

    def in_replica() -> None:
        own = [variable.value if replicas.is_chief else tf.zeros_like(variable.value) for variable in variables]
        summed = all_reduce_sum([tf.identity(value) for value in own], replicas)
        for variable, value in zip(variables, summed, strict=True):
            variable.assign(value)

    @tf.function(autograph=False)
    def share() -> None:
        replicas.strategy.run(in_replica)

    return share
