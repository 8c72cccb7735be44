"""Data that are not the same on every worker, as users write them by mistake; and data that may differ."""

from __future__ import annotations

import itertools
import json
import os

import numpy as np
from user_data import arrays, digits

CHANCE = np.random.default_rng()  # without a seed: other numbers in each process


def rank():
    """Of this worker: as if its machine had other files."""
    return json.loads(os.environ["TF_CONFIG"])["task"]["index"]


def drawn_order():
    (x, y), test = arrays()
    order = CHANCE.permutation(len(x))
    return (x[order], y[order]), test


def drawn_inputs():
    (x, y), test = arrays()
    return (x + CHANCE.normal(size=x.shape).astype("float32"), y), test


def other_number():
    return digits(101 + rank()), digits(20, seed=6)


def drawn_validation():
    (x, y), test = arrays()
    order = CHANCE.permutation(len(x))
    return (x, y), (x[order], y[order]), test


def drawn_parts():
    x, y = digits(141)
    first, second = np.split(CHANCE.permutation(141), [101])
    return (x[first], y[first]), (x[second], y[second])


def drawn_test():
    train, (x, y) = arrays()
    order = CHANCE.permutation(len(x))
    return train, (x[order], y[order])


class Read:
    """Examples by their numbers, in an order, with noise."""

    def __init__(self, order, noise=0.0):
        self.x, self.y = digits(len(order))
        self.order, self.noise = order, noise

    def __len__(self):
        return len(self.order)

    def __getitem__(self, at):
        x = self.x[self.order[at]]
        return x + self.noise * CHANCE.normal(size=x.shape).astype("float32"), self.y[self.order[at]]


def drawn_rows():
    return Read(CHANCE.permutation(101)), Read(np.arange(40)), ["ash", "birch", "cedar"]


def drawn_test_rows():
    return Read(np.arange(101)), Read(CHANCE.permutation(40)), ["ash", "birch", "cedar"]


def changed_rows():
    """Each time otherwise, the order being the same."""
    return Read(np.arange(101), noise=0.1), Read(np.arange(40)), ["ash", "birch", "cedar"]


def stream(order, noise=0.0, of=None):
    import tensorflow as tf

    x, y = digits(of or len(order))

    def give():
        for at in order:
            yield x[at] + noise * CHANCE.normal(size=6).astype("float32"), y[at]

    shapes = tf.TensorSpec([6], "float32"), tf.TensorSpec([], "int32")
    return tf.data.Dataset.from_generator(give, output_signature=shapes)


def drawn_stream():
    return stream(CHANCE.permutation(101)), stream(np.arange(40))


def drawn_parts_stream():
    """Of which some are in another part each time."""
    first, second, third = np.split(CHANCE.permutation(181), [101, 141])
    return stream(first, of=181), stream(second, of=181), stream(third, of=181)


def drawn_test_stream():
    return stream(np.arange(101)), stream(np.arange(40)), stream(CHANCE.permutation(40))


def shuffled_test_stream():
    """In an order that is drawn while it is read, with the job's seed."""
    import tensorflow as tf

    x, y = digits(40)

    def give():
        for at in np.random.permutation(40):
            yield x[at], y[at]

    shapes = tf.TensorSpec([6], "float32"), tf.TensorSpec([], "int32")
    test = tf.data.Dataset.from_generator(give, output_signature=shapes)
    return stream(np.arange(101)), stream(np.arange(40)), test


def drawn_validation_stream():
    return stream(np.arange(101)), stream(CHANCE.permutation(40))


CALLS = itertools.count()  # seeds: something else in each call, and the same on all workers


def split_stream():
    """Cut elsewhere in each call."""
    first, second = np.split(np.random.default_rng(next(CALLS)).permutation(141), [101])
    return stream(first, of=141), stream(second, of=141)


def longer_validation_stream():
    return stream(np.arange(101)), stream(np.arange(40 + 16 * rank()))


def changed_stream():
    return stream(np.arange(101), noise=0.1), stream(np.arange(40))
