"""Random numbers for rows: every worker draws those of the whole batch, and uses those of its rows.

TensorFlow's operations are what is replaced: ``keras.random``, ``tf.random``, ``tf.nn.dropout`` and a
``tf.random.Generator`` come down to these. In this thread alone: another one may read examples that are drawn.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
from tensorflow.python.ops import (
    gen_random_ops,
    gen_stateful_random_ops,
    gen_stateless_random_ops,
    gen_stateless_random_ops_v2,
)

from nn_train.engine.monkeypatch import replaced
from nn_train.engine.rows import Rows, has_rows
from nn_train.engine.tensors import Nest

DRAWS = {  # by the shape that they are given
    gen_random_ops: (
        "random_standard_normal",
        "random_uniform",
        "random_uniform_int",
        "truncated_normal",
        "parameterized_truncated_normal",
        "random_gamma",
        "random_poisson_v2",
    ),
    gen_stateless_random_ops: (
        "stateless_random_binomial",
        "stateless_random_poisson",
        "stateless_parameterized_truncated_normal",
    ),
    gen_stateless_random_ops_v2: (
        "stateless_random_normal_v2",
        "stateless_random_uniform_v2",
        "stateless_random_uniform_int_v2",
        "stateless_random_uniform_full_int_v2",
        "stateless_truncated_normal_v2",
        "stateless_random_gamma_v3",
    ),
    gen_stateful_random_ops: ("stateful_random_binomial",),
}
OF_EACH = ("random_gamma", "random_poisson_v2")  # so many of each of their parameters, whose shape comes last
CHOICES = {gen_random_ops: ("multinomial",), gen_stateless_random_ops: ("stateless_multinomial",)}
# What an operation is given, but no parameter of a distribution.
HOW = {"shape", "key", "counter", "alg", "seed", "seed2", "dtype", "name", "resource", "algorithm"}
FUNCTION = type(tf.function(lambda: None))
MOST_EAGERLY = 2  # times the rows: what is drawn for weights may be a multiple of them, and no graph tells it apart


class Draws:
    """What stands in for operations that draw random numbers, in a step of one batch.

    Args:
        rows: of the batch.
    """

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        generator = tf.random.Generator
        with (
            all_replaced(DRAWS, self.draw),
            all_replaced(CHOICES, self.choose),
            replaced_here(generator, "_prepare_key_counter", self.skip(generator._prepare_key_counter)),
            replaced_here(FUNCTION, "__call__", run_in_place),
        ):
            yield

    def draw(self, draw: Callable[..., Any]) -> Callable[..., Any]:
        """Where as many rows are drawn as this worker has, or several times as many: its own among the rows of all."""
        signature = inspect.signature(draw)

        @functools.wraps(draw)
        def of_all(*args: object, **named: Any) -> Any:
            if tf.executing_eagerly() and not hasattr(self.rows.n, "numpy"):
                return draw(*args, **named)  # for weights that are made while a graph is, by an initializer
            given = signature.bind(*args, **named)
            arguments = given.arguments
            parameters = {name: value for name, value in arguments.items() if name not in HOW and has_rows(value)}
            of_each = draw.__name__ in OF_EACH
            shape = tf.cast(arguments["shape"], tf.int32)
            rank = int(shape.shape[0])
            sizes = [tf.shape(value) for value in parameters.values()]
            if of_each and rank == 0 and sizes and not first_is_known(sizes[0]):  # one of each
                count = sizes[0][0]
            elif rank > 0 and not first_is_known(shape):
                count = shape[0]
            else:
                return draw(*args, **named)
            place = self.place_of(count)
            for name, value in parameters.items():
                is_for_each = rank == 0 or (not of_each and (value.shape.rank or 0) >= rank and value.shape[0] != 1)
                arguments[name] = place.padded(value) if is_for_each else value
            arguments["shape"] = whole_shape(shape, place) if rank > 0 else shape
            return place.own(draw(*given.args, **given.kwargs))

        return of_all

    def choose(self, choose: Callable[..., Any]) -> Callable[..., Any]:
        """A class for each row, by logits [rows, C]."""

        def of_all(logits: Nest, *args: object, **named: Any) -> Any:
            if not has_rows(logits) or first_is_known(tf.shape(logits)):
                return choose(logits, *args, **named)
            place = self.place_of(tf.shape(logits)[0])
            return place.own(choose(place.padded(logits), *args, **named))

        return of_all

    def skip(self, skip: Callable[..., Any]) -> Callable[..., Any]:
        """A generator goes on by what is drawn for all rows."""

        def of_all(generator: tf.random.Generator, shape: Nest) -> Any:
            shape = tf.cast(shape, tf.int32)
            if int(shape.shape[0]) == 0 or first_is_known(shape):
                return skip(generator, shape)
            return skip(generator, whole_shape(shape, self.place_of(shape[0])))

        return of_all

    def place_of(self, count: Nest) -> Place:
        """Of ``count`` rows: this worker's among those of all. What cannot be rows is drawn alike by all workers."""
        rows, count = self.rows, tf.cast(count, tf.int32)
        own = rows.stop - rows.first
        most = MOST_EAGERLY * own if tf.executing_eagerly() else count
        is_rows = (count > 0) & tf.equal(count % own, 0) & (count <= most)
        first = tf.where(is_rows, rows.first, 0)
        return Place(
            blocks=tf.where(is_rows, count // own, 1),
            width=tf.where(is_rows, rows.n, count),
            first=first,
            stop=first + tf.where(is_rows, own, count),
        )


@dataclass(frozen=True)
class Place:
    """Rows of this worker within those that are drawn for all; int32 scalars.

    Attributes:
        blocks: how many batches follow each other, as where a layer sees two at once.
        width: rows of a block.
        first, stop: from where to where they are this worker's, in each block.
    """

    blocks: Any
    width: Any
    first: Any
    stop: Any

    def own(self, drawn: tf.Tensor) -> tf.Tensor:
        """This worker's rows of ``drawn`` [blocks * width, …]."""
        rest = tf.unstack(tf.shape(drawn))[1:]
        own = tf.reshape(drawn, [self.blocks, self.width, *rest])[:, self.first : self.stop]
        own = tf.reshape(own, [self.blocks * (self.stop - self.first), *rest])
        own.set_shape([None, *drawn.shape[1:]])
        return own

    def padded(self, own: tf.Tensor) -> tf.Tensor:
        """This worker's first or last row in the places of the other workers' rows: numbers such as its own."""
        rest = tf.unstack(tf.shape(own))[1:]
        blocks = tf.reshape(own, [self.blocks, self.stop - self.first, *rest])
        places = tf.clip_by_value(tf.range(self.width), self.first, self.stop - 1) - self.first
        return tf.reshape(tf.gather(blocks, places, axis=1), [self.blocks * self.width, *rest])


def whole_shape(shape: tf.Tensor, place: Place) -> tf.Tensor:
    """The shape of what is drawn for all workers."""
    return tf.concat([tf.reshape(place.blocks * place.width, [1]), shape[1:]], axis=0)


@contextlib.contextmanager
def all_replaced(
    names_of: Mapping[Any, tuple[str, ...]], instead: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> Iterator[None]:
    """Within, functions of modules are what ``instead`` makes of them."""
    with contextlib.ExitStack() as stack:
        for module, names in names_of.items():
            for name in names:
                stack.enter_context(replaced_here(module, name, instead(getattr(module, name))))
        yield


@contextlib.contextmanager
def replaced_here(owner: Any, name: str, instead: Callable[..., Any]) -> Iterator[None]:
    """Within, a function is another one for this thread."""
    function, thread = getattr(owner, name), threading.get_ident()

    @functools.wraps(function)
    def call(*args: object, **named: Any) -> Any:
        return (instead if threading.get_ident() == thread else function)(*args, **named)

    with replaced(owner, name, call):
        yield


def run_in_place(function: Any, *args: object, **named: Any) -> Any:
    """What ``tf.function`` was given, within the graph that is made or eagerly. A graph of its own would be kept: with
    the numbers of a trial, or of the rows of another batch."""
    python = function.python_function
    if function._autograph and not tf.executing_eagerly():
        python = tf.autograph.to_graph(python)
    return python(*args, **named)


@contextlib.contextmanager
def generators_kept() -> Iterator[None]:
    """Meanwhile a ``tf.random.Generator`` draws the same each time, and is afterwards where it was."""
    with replaced_here(gen_stateful_random_ops, "rng_read_and_skip", lambda *_, **__: tf.zeros([3], tf.int64)):
        yield


def first_is_known(shape: tf.Tensor) -> bool:
    """Whether the first dimension is known while a graph is made, where rows are not: that of a weight or the like."""
    if tf.executing_eagerly():
        return False
    known = tf.get_static_value(shape, partial=True)
    return known is not None and known[0] is not None
