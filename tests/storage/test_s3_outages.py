"""S3 that does not answer for a while is waited for; then it is one line, and what was written before is readable."""

from __future__ import annotations

import socket
from threading import Thread

import pytest
from clocks import Clock
from pyarrow import fs
from werkzeug.serving import make_server

from nn_train.config import DataConfig
from nn_train.datasets import load_data
from nn_train.errors import RequestError, StorageError
from nn_train.storage import retry
from nn_train.storage.folder import ResultsFolder


def hasty(endpoint, key="KEY"):
    """A file system that asks once, where pyarrow's from URIs repeats a request for 6 s."""
    once = fs.AwsStandardS3RetryStrategy(max_attempts=1)
    place = {"endpoint_override": endpoint, "scheme": "http", "region": "us-east-1", "request_timeout": 60}
    return fs.S3FileSystem(access_key=key, secret_key="SECRET", retry_strategy=once, **place)


@pytest.fixture
def folder(s3, request):
    made = ResultsFolder(f"s3://bucket/spells/{request.node.name.replace('[', '/').rstrip(']')}")
    made.filesystem = hasty(s3.endpoint)
    yield made
    s3.service.refused = None


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr("nn_train.storage.retry.time", made)
    return made


ACTIONS = {
    "write": (lambda folder: folder.write("a", b"new"), None),
    "read": (lambda folder: folder.read("a"), b"old"),
    "exists": (lambda folder: folder.exists("a"), True),
    "is_empty": (lambda folder: folder.is_empty(), False),
    "names": (lambda folder: folder.names(""), ["a"]),
    "delete": (lambda folder: folder.delete("a"), None),
    "clear": (lambda folder: folder.clear(), None),
}
LEFT = {"write": {"a": b"new"}, "delete": {}, "clear": {}}


def content(folder):
    return {name: folder.read(name) for name in folder.names("")}


@pytest.mark.parametrize("name", ACTIONS)
def test_an_answer_503_is_waited_for_longer_each_time(s3, folder, clock, name):
    action, expected = ACTIONS[name]
    folder.write("a", b"old")
    s3.service.refused = ""  # every path
    clock.then[6] = lambda: setattr(s3.service, "refused", None)
    assert action(folder) == expected
    assert clock.pauses == [1, 2, 4]
    assert content(folder) == LEFT.get(name, {"a": b"old"})


@pytest.mark.parametrize("name", ACTIONS)
def test_an_answer_503_that_stays_is_one_line_and_loses_nothing(s3, folder, clock, name):
    folder.write("a", b"old")
    s3.service.refused = ""
    with pytest.raises(StorageError, match=r"^s3://bucket/spells/\S+ cannot be \w+: .*503.*; tried for \d+ s$"):
        ACTIONS[name][0](folder)
    assert 30 < clock.now <= retry.PATIENCE
    s3.service.refused = None
    assert content(folder) == {"a": b"old"}


def test_a_service_that_is_started_again_is_waited_for(s3, folder, clock):
    with socket.socket() as taken:  # bound, but nobody listens: connections are refused
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    servers = []

    def start():
        servers.append(make_server("127.0.0.1", port, s3.service, threaded=True))
        Thread(target=servers[0].serve_forever, daemon=True).start()

    folder.filesystem = hasty(f"127.0.0.1:{port}")
    clock.then[3] = start
    folder.write("a", b"x")
    assert clock.pauses == [1, 2]
    assert folder.read("a") == b"x"
    servers[0].shutdown()
    servers[0].server_close()


@pytest.mark.parametrize("status", [400, 403, 404])
def test_what_will_not_pass_fails_at_once(answers, clock, status):
    seen = answers(lambda number: status)
    with pytest.raises(StorageError, match=r"cannot be written: (?!.*tried for)"):
        ResultsFolder("s3://bucket/refused", "run").write("a", b"x")
    assert (len(seen), clock.pauses) == (1, [])


def test_a_hasty_folder_does_not_wait(s3, folder, clock):
    s3.service.refused, folder.patient = "", False
    with pytest.raises(StorageError, match=r"503"):
        folder.read("a")
    assert clock.pauses == []


def test_data_are_waited_for_as_well(answers, clock):
    seen = answers(lambda number: 503 if number <= 40 else 404)
    with pytest.raises(RequestError, match=r"^data.source: s3://bucket/none.npz cannot be read: .*not exist"):
        load_data(DataConfig(source="s3://bucket/none.npz"))
    assert clock.pauses == [1.0]
    assert len(seen) > 40


@pytest.mark.tf
def test_the_last_checkpoint_stays_readable(s3, folder, clock):
    import keras

    from nn_train.runs import checkpoints

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    checkpoints.save(folder, model, [{"epoch": 1}])
    clock.then[3] = lambda: setattr(s3.service, "refused", None)
    s3.service.refused = "epoch-000002"
    checkpoints.save(folder, model, [{"epoch": 1}, {"epoch": 2}])
    assert checkpoints.load_newest(folder, warn=pytest.fail).epochs == 2
    s3.service.refused = "epoch-000003"
    with pytest.raises(StorageError, match=r"epoch-000003-step-000000000.ckpt cannot be written: .*503"):
        checkpoints.save(folder, model, [{"epoch": epoch} for epoch in (1, 2, 3)])
    s3.service.refused = None
    assert checkpoints.load_newest(folder, warn=pytest.fail).epochs == 2
