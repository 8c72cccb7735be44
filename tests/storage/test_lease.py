"""A second job with the same name is refused; who was killed goes on at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from clocks import Clock
from storage.conftest import s3  # noqa: F401 - a fixture

from nn_train.errors import RequestError, StorageError, TrainingError
from nn_train.jobs.command import train as main
from nn_train.storage import lease
from nn_train.storage.folder import ResultsFolder
from nn_train.storage.lease import Lease, hold, identity, is_alive, started

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["local", "s3"])
def target(request, tmp_path):
    """The folder of a run that is not there yet, on a disk and on S3."""
    if request.param == "local":
        return ResultsFolder(str(tmp_path / "results"), "run")
    request.getfixturevalue("s3")
    return ResultsFolder(f"s3://bucket/{request.node.name.partition('[')[0]}", "run")


@pytest.fixture
def clock(monkeypatch):
    """Time passes only while the job that waits sleeps; ``clock.then`` says what happens when."""

    made = Clock()
    monkeypatch.setattr(lease, "time", made)
    return made


@pytest.fixture
def interruptible():
    """A shell that starts tests in the background lets them ignore this signal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def never(text):
    pytest.fail(f"waits for {text}")


def left_by(target, **changes):
    """The lease of a holder that is not in this process."""
    held = Lease(target)
    held.record |= {"owner": "other", **changes}
    held.write()
    return held


def take(target):
    """Another job takes the lease, again where the holder has renewed it just then.

    It does not write each time: pyarrow ends a write that is interrupted with Python's lock held, for which the S3
    service of this process waits in turn.
    """
    if (Lease(target).read() or {}).get("owner") != "other":
        left_by(target, **ELSEWHERE)


def files(folder):
    return [name for name in folder.names("") if name.endswith(".lease")]


def dead_process():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    found = {**identity(), "pid": process.pid, "started": started(process.pid)}
    process.kill()
    process.wait()
    return found


@pytest.fixture
def living():
    """What another process that lives can be known by."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield {**identity(), "pid": process.pid, "started": started(process.pid)}
    process.kill()
    process.wait()


def test_a_lease_is_there_while_the_job_works_and_then_no_more(target, clock):
    with hold([target], never):
        assert files(target.parent) == [".run.lease"]
        assert target.is_empty()  # the folder looks as new as it is
        target.write("config.yaml", b"x")
        target.clear()  # run.overwrite
        assert files(target.parent) == [".run.lease"]
    assert files(target.parent) == []
    with hold([target], never):
        pass


def test_a_living_holder_is_named_and_nothing_changes(target, clock, living):
    left_by(target, **living)
    before = target.parent.read(".run.lease")
    words = rf"^name: \S+/run is in use by another job, process {living['pid']} on {living['host']}, since 2\S+Z; "
    with pytest.raises(RequestError, match=words + "wait for its end, or give another --name$"), hold([target], never):
        pytest.fail("both work")
    assert target.parent.read(".run.lease") == before
    assert clock.now == 0.0


def test_a_killed_holder_is_followed_at_once(target, clock):
    left_by(target, **dead_process())
    with hold([target], never):
        assert Lease(target).read()["pid"] == os.getpid()
    assert clock.now <= 1.0


ELSEWHERE = {"machine": "host boot pid:[1]", "host": "node7", "pid": 12}


def test_a_holder_elsewhere_that_gives_no_sign_of_life_is_waited_for_then_followed(target, clock):
    left_by(target, **ELSEWHERE)
    said = []
    with hold([target], said.append):
        assert 30.0 <= clock.now <= 33.0
    assert said == ["another job, process 12 on node7, which may be gone: 30 s for a sign of life"]


def test_two_that_begin_at_the_same_moment_are_not_both_let_in(target, clock):
    clock.then[0.05] = lambda: left_by(target, **ELSEWHERE)  # it had looked before this one wrote
    with pytest.raises(RequestError, match="process 12 on node7"), hold([target], never):
        pytest.fail("both work")
    assert Lease(target).read()["owner"] == "other"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"pid": "x", "machine": 7}'])
def test_a_damaged_lease_is_one_of_a_holder_that_gives_no_sign_of_life(tmp_path, clock, content):
    target = ResultsFolder(str(tmp_path), "run")
    target.parent.write(".run.lease", content)
    said = []
    with hold([target], said.append):
        pass
    assert len(said) == 1


def test_what_this_process_could_not_delete_is_not_waited_for(target, clock, monkeypatch):
    def refuse(folder, name):
        raise StorageError("busy")

    with monkeypatch.context() as failing:
        failing.setattr(ResultsFolder, "delete", refuse)
        with hold([target], never):
            pass
    assert files(target.parent) == [".run.lease"]
    with hold([target], never):
        pass
    assert files(target.parent) == []


def renewals(monkeypatch):
    """Renewals come one after the other, without waiting."""
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.001)


def until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it does not happen"
        threading.Event().wait(0.01)


def test_the_holder_renews_and_writes_a_lease_anew_that_was_deleted(target, monkeypatch):
    renewals(monkeypatch)
    with hold([target], never):
        first = Lease(target).read()
        until(lambda: (Lease(target).read() or first)["renewed"] > first["renewed"])
        target.parent.delete(".run.lease")
        until(lambda: Lease(target).read() is not None)
    assert files(target.parent) == []


def test_a_lease_is_not_written_to_the_disk_below_one_that_was_unmounted(tmp_path, monkeypatch):
    held = Lease(ResultsFolder(str(tmp_path), "run"))
    held.write()
    kept = (tmp_path / ".run.lease").read_text()
    (tmp_path / ".run.lease").unlink()
    monkeypatch.setattr(held, "device_now", lambda: -1)
    held.renew()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / ".run.lease").write_text(kept)  # it is mounted again, as another device
    held.renew()
    assert held.read()["renewed"] > json.loads(kept)["renewed"]


def test_a_storage_that_fails_for_a_while_does_not_end_the_renewals(tmp_path, monkeypatch):
    target, failures = ResultsFolder(str(tmp_path), "run"), []
    whole = ResultsFolder.write

    def write(folder, name, content):
        if len(failures) < 3 and renewing:
            failures.append(folder.patient)
            raise StorageError("busy")
        whole(folder, name, content)

    renewing = False
    monkeypatch.setattr(ResultsFolder, "write", write)
    renewals(monkeypatch)
    with hold([target], never):
        renewing = True
        until(lambda: len(failures) == 3)
        known = Lease(target).read()["renewed"]
        until(lambda: Lease(target).read()["renewed"] > known)
    assert failures == [False] * 3  # none was tried again for a while instead
    assert files(target.parent) == []


@pytest.mark.usefixtures("interruptible")
def test_a_holder_whose_lease_was_taken_stops_and_leaves_it(target, monkeypatch):
    renewals(monkeypatch)
    words = r"/run was taken over by another job, process 12 on node7, because this job did not renew"
    with pytest.raises(TrainingError, match=words), hold([target], never):
        until(lambda: take(target))  # until it is interrupted
    assert Lease(target).read()["owner"] == "other"


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("how", ["ignored", "blocked"])
def test_it_stops_also_where_interrupts_do_not_come_through(tmp_path, monkeypatch, how):
    """As in a job of Ray's job server, and in one that a script put into the background."""
    renewals(monkeypatch)
    target = ResultsFolder(str(tmp_path), "run")

    def is_taken():
        signal.raise_signal(signal.SIGINT)  # a person's goes on to have no effect
        return left_by(target, **ELSEWHERE) is None

    handler = signal.getsignal(signal.SIGINT)
    try:
        if how == "ignored":
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        else:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        with pytest.raises(TrainingError, match="taken over"), hold([target], never):
            until(is_taken)
        if how == "ignored":
            assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        else:
            assert signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the keeper's may wait, where this test's own came just before it
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        signal.signal(signal.SIGINT, handler)


@pytest.mark.usefixtures("interruptible")
def test_a_job_that_is_interrupted_gives_the_lease_back(target):
    with pytest.raises(KeyboardInterrupt), hold([target], never):
        signal.raise_signal(signal.SIGINT)
    assert files(target.parent) == []


def test_what_cannot_be_seen_is_not_guessed(monkeypatch, living):
    assert is_alive(living)
    assert is_alive({**living, "machine": "another"}) is None
    assert is_alive({}) is None
    monkeypatch.setattr("nn_train.storage.lease.started", lambda pid: None)  # /proc that hides others' processes
    assert is_alive(living) is None


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_searches_pipelines_and_reports_are_refused_too(tmp_path, living):
    from nn_train.config import config_from_dict
    from nn_train.pipeline import run_pipeline
    from nn_train.prediction.driver import evaluate_runs
    from nn_train.search import search
    from nn_train.training import train

    sections = {"data": {"source": "user_data:arrays"}, "train": {"epochs": 1, "batch_size": 16}}
    sections |= {"run": {"storage_path": str(tmp_path), "loggers": []}, "name": "job"}
    space = {"search": {"space": {"optimizer.learning_rate": {"loguniform": [1e-4, 1e-2]}}}}
    other = left_by(ResultsFolder(str(tmp_path), "job"), **living)
    report = left_by(ResultsFolder(str(tmp_path), "report.html"), **living)
    refused = [
        lambda: train(config_from_dict(sections)),
        lambda: search(config_from_dict({**sections, **space})),
        lambda: run_pipeline(config_from_dict({**sections, "pipeline": {"models": {"mlp": {}}}})),
        lambda: evaluate_runs([tmp_path / "job"], tmp_path),
    ]
    for action in refused:
        with pytest.raises(RequestError, match=f"process {living['pid']}.*another --(name|output)$"):
            action()
    assert {path.name for path in tmp_path.iterdir()} == {".job.lease", ".report.html.lease"}
    other.give_back()
    report.give_back()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
@pytest.mark.ray
@pytest.mark.e2e
@pytest.mark.usefixtures("local_ray")
def test_the_second_of_two_jobs_is_refused_and_goes_on_once_the_first_is_killed(tmp_path, capsys):
    import ray

    run = ["--run.storage_path", str(tmp_path), "--name", "run", "--train.callbacks", "user_callbacks:hang_once"]
    data = ["--data.source", "user_data:arrays", "--train.batch_size", "16", "--train.epochs", "5"]
    words = [*run, *data, "--scaling.num_workers", "1"]
    here = {"PYTHONPATH": str(ROOT / "tests"), "RAY_ADDRESS": ray.get_runtime_context().gcs_address}
    command = [sys.executable, "-m", "jobs.train", *words]
    shared = {"cwd": ROOT, "env": {**os.environ, **here}, "text": True, "stdout": subprocess.PIPE}
    first = subprocess.Popen(command, stderr=subprocess.STDOUT, **shared)
    assert any(line.startswith("epoch 3/5") for line in first.stdout)
    second = subprocess.run(command, stderr=subprocess.PIPE, timeout=300, **shared)
    assert second.returncode == 2
    assert f"run is in use by another job, process {first.pid} on " in second.stderr
    assert len(second.stderr.splitlines()) == 1
    first.kill()
    first.communicate(timeout=300)
    assert json.loads((tmp_path / ".run.lease").read_text())["pid"] == first.pid
    code = main(words)
    said, errors = capsys.readouterr()
    assert code == 0, errors
    assert "waiting for" not in said
    assert "continuing after epoch" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]
