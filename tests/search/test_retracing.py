"""Whether a second trace gives the graph of the first."""

from __future__ import annotations

import socket

import pytest

pytestmark = pytest.mark.tf


def twice(function):
    """The digests of two traces."""
    import tensorflow as tf

    from nn_train.search.warm.retracing import described

    spec = [tf.TensorSpec([3], tf.float32)]
    return [described(tf.function(function, spec).get_concrete_function().graph) for _ in range(2)]


def test_messages_to_workers_on_the_same_machine_are_the_same_in_each_trace():
    """So that trials of several workers share the graph of a model with a step of its own."""
    from nn_train.engine.local_peers import LocalPeers

    peers = LocalPeers(0, {1: socket.socketpair()[0]})
    one, again = twice(lambda x: peers.sum(x) + peers.sum(2.0 * x))
    other, _ = twice(lambda x: peers.sum(x) + peers.sum(3.0 * x))
    assert one == again != other


def test_a_function_of_pythons_in_a_graph_may_be_another_one_in_each_trace():
    import tensorflow as tf

    one, again = twice(lambda x: tf.numpy_function(lambda x: x, [x], tf.float32))
    assert one != again
