"""What a cluster of several nodes does to workers in the middle of an epoch: the result does not change."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading

import pytest
from failing_runs import PATIENCE, run, settings, what_must_not_differ
from process_tree import descendants

from nn_train import train
from nn_train.config import dump_yaml
from nn_train.errors import RequestError, TrainingError
from nn_train.events import EpochEnded, Started, Starting, WorkersLost
from nn_train.prediction.driver import evaluate_runs
from nn_train.training import trainer

pytestmark = [pytest.mark.ray, pytest.mark.long, pytest.mark.usefixtures("nodes")]
TIMEOUT = 300  # seconds


def job(folder, model, nodes):
    """The same as a command; what ``subprocess`` needs to start it."""
    file = folder / "job.yaml"
    file.write_text(dump_yaml(settings(folder, model, hang_timeout=PATIENCE)))
    command = [sys.executable, "-m", "jobs.train", "--config", str(file)]
    environment = {**os.environ, "RAY_ADDRESS": nodes.address}
    return {"args": command, "env": environment, "text": True, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}


def test_a_worker_that_hangs_or_stands_still_where_nobody_knows_the_pace_changes_nothing(tmp_path, whole, monkeypatch):
    def workers():
        return {pid for pid, name in descendants(os.getpid()).items() if name.startswith("ray::RayTrainWorker")}

    events, stopped, of_others = [], [], workers()  # which end just now

    def stop_one():
        while not stopped:
            for pid in list(workers() - of_others)[:1]:
                os.kill(pid, signal.SIGSTOP)
                stopped.append(pid)

    def listen(event):
        events.append(event)
        if isinstance(event, Starting) and len(events) == 1:
            threading.Thread(target=stop_one, daemon=True).start()

    monkeypatch.setattr(trainer, "PATIENT", 2)  # else it is found after ten times the time-out
    callbacks = "failing_models:waiting_callback"
    config = settings(tmp_path, "waiting_again_and_again", callbacks=callbacks, hang_timeout=PATIENCE, max_failures=4)
    train(config, on_event=listen)
    at_the_start, *failures = [event.what for event in events if isinstance(event, WorkersLost)]
    assert re.search("lost while it started|worker [01] was lost: ", at_the_start)
    assert len(failures) == 3
    assert all("lost: its training has stopped moving (nothing of it has ended for " in what for what in failures)
    starts = [(event.resumed_after, event.resumed_step) for event in events if isinstance(event, Started)]
    # In the first step; in the validation after an epoch; in a callback. An epoch is kept once the latter have run.
    assert starts == [(0, 0), (0, 0), (0, 8), (0, 8)]
    assert what_must_not_differ(tmp_path, "waiting_again_and_again") == whole


def test_workers_that_are_killed_or_stand_still_again_and_again_change_nothing(tmp_path, whole):
    """One that hangs: ``test_train_on_ray.py``."""
    events = run(tmp_path, "struck_again_and_again", hang_timeout=40, max_failures=4)
    failures = [event.what for event in events if isinstance(event, WorkersLost)]
    # Whoever notices first names the one that stands still: TensorFlow's heartbeats, or Ray Train's question.
    expected = [(1, "killed"), (1, ""), (0, "killed"), (1, "killed")]
    assert len(failures) == len(expected)
    for what, (rank, how) in zip(failures, expected, strict=True):
        assert what.startswith(f"worker {rank} was lost: {how}")
    starts = [(event.resumed_after, event.resumed_step) for event in events if isinstance(event, Started)]
    # In the first step; within the first epoch; while its checkpoint was written; in the last epoch.
    within = starts[2]
    assert starts == [(0, 0), (0, 0), within, within, (2, 0)]
    assert within[0] == 0
    assert within[1] >= 8
    assert what_must_not_differ(tmp_path, "struck_again_and_again") == whole
    assert not list(tmp_path.rglob("*.part"))  # of the file that was being written


def test_without_a_restart_left_or_interrupted_or_without_its_driver_the_run_ends_and_goes_on(tmp_path, nodes, whole):
    import ray

    model = "ended_again_and_again"
    folder = tmp_path / model

    def result():
        return json.loads((folder / "result.json").read_text())

    with pytest.raises(TrainingError, match=r"worker 1 was lost.*no restart is left.*goes on from the last checkpoint"):
        run(tmp_path, model, max_failures=0)
    assert result()["status"] == "failed"
    assert result()["cause"].startswith("worker 1 was lost: killed")
    assert "the same command goes on" in result()["next"]
    with pytest.raises(RequestError, match="the run failed and is not finished"):
        evaluate_runs([folder], tmp_path / "report")

    # It goes on past a damaged checkpoint, until it is interrupted, which leaves nothing to wait for.
    *_, newest = sorted((folder / "checkpoints").iterdir())
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    starts = []

    def interrupt(event):
        starts.extend([event] if isinstance(event, Started) else [])
        if isinstance(event, EpochEnded):
            os.kill(os.getpid(), signal.SIGINT)

    kept = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt, match="goes on from the last checkpoint"):
            train(settings(tmp_path, model), on_event=interrupt)
    finally:
        signal.signal(signal.SIGINT, kept)
    (start,) = starts
    assert [newest.name in warning for warning in start.warnings] == [True]
    assert (start.resumed_after, start.resumed_step) == (0, 0)  # there was none before it
    states = {group["state"] for group in ray.util.placement_group_table().values()}
    assert states <= {"REMOVED"}

    (folder / "struck_1").touch()  # from now on the chief waits in its first step
    command = job(tmp_path, model, nodes)
    with subprocess.Popen(**command) as process:
        assert any(re.match(r"continuing after epoch [12]", line) for line in process.stdout)
        process.kill()
    (folder / "struck_2").touch()  # no more, also if it did not come so far
    assert result()["status"] == "failed"
    again = subprocess.run(**command, timeout=TIMEOUT)
    assert again.returncode == 0, again.stderr
    assert "continuing " in again.stdout
    assert result()["status"] == "finished"
    assert what_must_not_differ(tmp_path, model) == whole


def test_a_mistake_of_the_user_is_shown_once_with_rank_and_file(tmp_path, nodes):
    done = subprocess.run(**job(tmp_path, "mistaken", nodes), timeout=TIMEOUT)
    assert done.returncode == 1
    assert done.stderr.startswith("error: worker 1 failed:\n")
    assert "failing_models.py" in done.stderr
    assert done.stderr.count("KeyError: 'a mistake of the user'") == 1
    assert (done.stdout + done.stderr).count("Traceback") == 1
    assert "/ray/" not in done.stderr
    assert done.stdout.count("starting 2 workers") == 1  # no second try
