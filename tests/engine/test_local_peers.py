"""Vectors that workers on one machine send each other: complete, in order, and an error where one is gone."""

from __future__ import annotations

import itertools
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest

pytestmark = pytest.mark.tf
HOST = "127.0.0.1"


def connected(size):
    """The peers of ``size`` workers, all in this process."""
    from nn_train.engine.local_peers import LocalPeers

    sockets = {rank: {} for rank in range(size)}
    for one, other in itertools.combinations(range(size), 2):
        sockets[one][other], sockets[other][one] = socket.socketpair()
    return [LocalPeers(rank, sockets[rank]) for rank in range(size)]


def at_once(actions):
    with ThreadPoolExecutor(len(actions)) as pool:
        return [future.result(timeout=60) for future in [pool.submit(action) for action in actions]]


@pytest.mark.parametrize(("size", "dtype"), [(2, "float32"), (3, "float64")])
def test_each_gets_the_vectors_of_all_others_in_the_order_of_their_ranks(size, dtype):
    peers = connected(size)
    for count in (0, 1, 1000, 3_000_000):  # the last: more than a socket holds
        own = [np.random.default_rng(rank).normal(size=count).astype(dtype) for rank in range(size)]
        given = at_once([partial(peers[rank].exchange, own[rank]) for rank in range(size)])
        for rank, vectors in enumerate(given):
            others = [other for other in range(size) if other != rank]
            assert [vector.tobytes() for vector in vectors] == [own[other].tobytes() for other in others]


@pytest.mark.parametrize("sent", [0, 5, 100_000], ids=["at once", "within the header", "within the vector"])
def test_a_worker_that_is_gone_is_a_lost_peer_and_named(sent):
    import tensorflow as tf

    from nn_train.engine.local_peers import HEADER
    from nn_train.engine.lost_peers import is_lost_peer, lost_peers

    first, other = connected(2)
    other.sockets[0].setblocking(True)
    other.sockets[0].sendall((HEADER.pack(1, 4_000_000) + bytes(4_000_000))[:sent])
    other.sockets[0].close()
    with pytest.raises(tf.errors.OpError) as raised:
        tf.function(first.sum)(tf.zeros([1_000_000]))
    assert is_lost_peer(raised.value)
    assert lost_peers(raised.value, own_rank=0) == (1,)


def test_who_is_waited_for_is_known_meanwhile():
    one, *others = connected(3)
    assert one.waited_for() == ()
    with ThreadPoolExecutor(3) as pool:
        own = np.zeros(3)
        of_one = pool.submit(one.exchange, own)
        of_second = pool.submit(others[0].exchange, own)
        give_up = time.monotonic() + 60
        while one.waited_for() != (2,) and time.monotonic() < give_up:
            threading.Event().wait(0.01)
        assert one.waited_for() == (2,)
        others[1].exchange(own)
        of_one.result(timeout=60)
        of_second.result(timeout=60)
    assert one.waited_for() == ()


def test_an_error_of_the_users_own_is_no_lost_peer():
    import tensorflow as tf

    from nn_train.engine.lost_peers import is_lost_peer

    def broken(x):
        raise RuntimeError("the Collective broke")

    with pytest.raises(tf.errors.UnknownError) as raised:
        tf.function(lambda x: tf.numpy_function(broken, [x], x.dtype))(tf.zeros([2]))
    assert not is_lost_peer(raised.value)


def test_workers_that_do_different_things_are_told_so():
    one, other = connected(2)
    errors = at_once([partial(error_of, one, np.zeros(3)), partial(error_of, other, np.zeros(4))])
    for rank, error in enumerate(errors):
        assert error.startswith(f"worker {1 - rank} sends message (1, {24 if rank else 32}) (number, bytes), and this")


def error_of(peers, vector):
    with pytest.raises(RuntimeError) as raised:
        peers.exchange(vector)
    return str(raised.value)


def meetings(*addresses):
    from nn_train.engine.local_peers import Meeting

    return [Meeting(addresses, rank) for rank in range(len(addresses))]


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr("nn_train.engine.local_peers.tempfile.gettempdir", lambda: str(tmp_path))
    return tmp_path / f"nn-train-{os.geteuid()}"


def test_the_workers_of_one_machine_meet_and_leave_nothing_in_its_folder(place):
    of_all = meetings(f"{HOST}:1", f"{HOST}:2", f"{HOST}:3")
    place.mkdir(mode=0o700)
    (place / f"{of_all[0].name}-0").touch()  # of a worker that was killed
    assert all(one.listen() for one in of_all)
    assert place.stat().st_mode & 0o777 == 0o700
    assert all(one.connect() for one in of_all)
    peers = [one.accept() for one in of_all]
    for one in of_all:
        one.end()
    assert not list(place.iterdir())
    given = at_once([partial(peers[rank].exchange, np.array([float(rank)])) for rank in range(3)])
    assert [np.concatenate(vectors).tolist() for vectors in given] == [[1, 2], [0, 2], [0, 1]]


@pytest.mark.parametrize("kind", ["open to others", "a link", "too long a path"])
def test_a_place_that_is_not_ones_own_is_not_used(place, tmp_path, monkeypatch, kind):
    if kind == "open to others":
        place.mkdir()
        place.chmod(0o755)
    elif kind == "a link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        place.symlink_to(tmp_path / "elsewhere")
    else:
        deep = tmp_path / ("d" * 120)
        deep.mkdir()
        monkeypatch.setattr("nn_train.engine.local_peers.tempfile.gettempdir", lambda: str(deep))
    one, other = meetings(f"{HOST}:1", f"{HOST}:2")
    assert not one.listen()
    assert not other.connect()  # one of another container does not find it
    for meeting in (one, other):
        meeting.end()
