"""Whether all workers have the same examples, in the same order: of each batch every one takes its rows from its own.

Arrays are compared whole, or evenly spread rows of them; of rows that are read by index a few, as far as they come out
alike when they are read again; of streams the targets of all batches. The inputs of a stream may be changed by chance,
of which each worker may draw its own.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from nn_train.datasets import Examples, SplitData
from nn_train.datasets.examples import contents, evenly, leaves
from nn_train.engine.collectives import equal_on_all, sum_over_all
from nn_train.engine.strategy import Replicas
from nn_train.engine.tensors import Nest
from nn_train.errors import RequestError

LARGEST = 2**28  # bytes of arrays that are compared whole; of larger ones about as many, of evenly spread rows
FEW = 8  # rows that are read by index
COUNTED = 0x9E3779B97F4A7C1  # odd: no count of examples comes out as another
END = -1  # in the place of a mark, where a stream has ended
HALF = 2**16  # a number of twice so many bits is compared in halves
DIFFERENT = (
    "data.source: the workers do not have the same {what}, of which each takes its rows. Let the function give "
    "the same examples in the same order on every worker: draw with a seed (np.random.default_rng(0)), sort lists of "
    "files and what comes from sets, map a stream with deterministic=True; and keep the same files on all machines"
)


def check_same_examples(data: SplitData, replicas: Replicas) -> None:
    """Raise RequestError, on all workers, where one has other arrays than another, or other rows by index. Collective.

    Of streams ``check_same_stream`` sees to it while they are read.
    """
    if replicas.size == 1 or data.is_stream:
        return
    parts = [part for part in (data.train, data.validation) if part is not None]
    looks = [[looked_at(part) for part in parts] for _ in range(1 if data.in_memory else 2)]
    form = mark_of(repr((part.size, forms(look))).encode() for part, look in zip(parts, looks[0], strict=True))
    marks = {
        "inputs": [mark_of(contents(one.x for one in look)) for look in looks],
        "targets": [mark_of(contents((one.y, one.weight) for one in look)) for look in looks],
    }
    drawn = sum_over_all([float(len(set(found)) > 1) for found in marks.values()], replicas)
    same = equal_on_all(replicas, *(half for one in (form, *(m[0] for m in marks.values())) for half in halves(one)))
    if not all(same[:2]):
        raise RequestError(DIFFERENT.format(what="number of examples, or examples of the same form"))
    for what, by_chance, is_same in zip(marks, drawn, (same[2:4], same[4:6]), strict=True):
        if not by_chance and not all(is_same):
            raise RequestError(DIFFERENT.format(what=what))


def looked_at(part: Any) -> Examples:
    """The examples of a part that are compared."""
    if not isinstance(part, Examples):
        part.forget()
        return Examples(*part.take(evenly(part.size, FEW)).parts)
    size = sum(array.nbytes for array in leaves(part.parts))
    return part if size <= LARGEST else part.take(evenly(part.size, max(1, part.size * LARGEST // size)))


def forms(examples: Examples) -> list[Any]:
    """Shapes and types, as far as they do not depend on which examples these are."""
    return [(array.shape[1:], array.dtype.kind) for array in leaves(examples.parts)]


def mark_of(contents: Iterable[bytes | memoryview]) -> int:
    """32 bits (CRC-32)."""
    mark = 0
    for content in contents:
        mark = zlib.crc32(content, mark)
    return mark


def halves(mark: int) -> tuple[int, int]:
    return divmod(mark, HALF)


def marked(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Each batch of a stream, and two marks, int64 [2], of what comes beside the inputs up to its end: of all of it in
    its order, and, in whatever order, of what is no float, and how many examples these are (FarmHash)."""

    def go_on(before: tf.Tensor, batch: Nest) -> tuple[tf.Tensor, Any]:
        beside = batch[1:] if isinstance(batch, tuple) else ()
        leaves = [leaf for leaf in tf.nest.flatten(beside, expand_composites=True) if leaf.shape.rank]
        marks = [tf.reshape(fingerprints(leaf), [-1]) for leaf in leaves]
        together = tf.concat([tf.bitcast(before[0], tf.uint8), *marks], axis=0)
        in_order = tf.bitcast(fingerprints(together[tf.newaxis])[0], tf.int64)
        exact = [leaf for leaf in tf.nest.flatten(beside) if isinstance(leaf, tf.Tensor) and leaf.shape.rank]
        of_rows = [fingerprints(leaf) for leaf in exact if not leaf.dtype.is_floating]
        sums = [tf.reduce_sum(tf.bitcast(rows, tf.int64)) for rows in of_rows]
        sums += [COUNTED * tf.shape(leaf, tf.int64)[0] for leaf in exact[:1]]
        mark = tf.stack([in_order, tf.add_n([before[1], *sums])])
        return mark, (batch, mark)

    return batches.scan(tf.zeros([2], tf.int64), go_on)


def fingerprints(rows: tf.Tensor) -> tf.Tensor:
    """Of each row, uint8 [n, 8]."""
    return tf.raw_ops.Fingerprint(data=rows, method="farmhash64")


def check_same_stream(mark: tf.Tensor | int, replicas: Replicas) -> None:
    """Raise RequestError, on all workers, where they have not read the same targets. Collective.

    Args:
        mark: the first of ``marked``, after batches that all have read.
        replicas: this process's place.
    """
    value = int(mark) % 2**64
    parts = (*halves(value >> 32), *halves(value % 2**32))
    if replicas.size > 1 and not all(equal_on_all(replicas, *parts)):
        raise RequestError(DIFFERENT.format(what="targets in a stream"))
