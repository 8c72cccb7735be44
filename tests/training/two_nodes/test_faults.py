"""What a cluster of several nodes does to workers in the middle of an epoch: the result does not change."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from failing_runs import PATIENCE, run, settings, what_must_not_differ

from benchmarks.chaos import descendants
from nn_train import train
from nn_train.config import dump_yaml
from nn_train.errors import RequestError, TrainingError
from nn_train.events import EpochEnded, Started, Starting, WorkersLost
from nn_train.prediction.driver import evaluate_runs

pytestmark = [pytest.mark.ray, pytest.mark.long, pytest.mark.usefixtures("nodes")]
TIMEOUT = 300  # seconds


def job(folder, model, nodes):
    """The same as a command; what ``subprocess`` needs to start it."""
    file = folder / "job.yaml"
    file.write_text(dump_yaml(settings(folder, model, hang_timeout=PATIENCE)))
    command = [sys.executable, "-m", "jobs.train", "--config", str(file)]
    environment = {**os.environ, "RAY_ADDRESS": nodes.address}
    return {"args": command, "env": environment, "text": True, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}


def test_a_worker_that_stands_still_in_a_step_changes_nothing(tmp_path, whole):
    """One that hangs, and one that is killed: ``test_train_on_ray.py``."""
    events = run(tmp_path, "stopped_in_a_step", hang_timeout=40)
    assert (tmp_path / "stopped_in_a_step" / "struck").exists()
    (failure,) = [event for event in events if isinstance(event, WorkersLost)]
    # Whoever notices first names it: TensorFlow's heartbeats, or Ray Train's question.
    assert failure.what.startswith("worker 1 was lost: ")
    starts = [(event.resumed_after, event.resumed_step) for event in events if isinstance(event, Started)]
    assert starts[0] == (0, 0)
    assert starts[1][0] == 0
    assert starts[1][1] >= 8  # from within the epoch in which it was struck
    assert what_must_not_differ(tmp_path, "stopped_in_a_step") == whole


def test_a_worker_that_hangs_where_nobody_knows_the_pace_changes_nothing(tmp_path, whole):
    events = run(
        tmp_path, "waiting_again_and_again", hang_timeout=PATIENCE, callbacks="failing_models:waiting_callback"
    )
    failures = [event.what for event in events if isinstance(event, WorkersLost)]
    assert len(failures) == 3
    assert all("lost: its training has stopped moving (nothing of it has ended for " in what for what in failures)
    starts = [(event.resumed_after, event.resumed_step) for event in events if isinstance(event, Started)]
    # In the first step; in the validation after an epoch; in a callback. An epoch is kept once the latter have run.
    assert starts == [(0, 0), (0, 0), (0, 8), (0, 8)]
    assert what_must_not_differ(tmp_path, "waiting_again_and_again") == whole


def test_a_worker_that_stands_still_while_it_starts_changes_nothing(tmp_path, whole):
    def workers():
        return {pid for pid, name in descendants(os.getpid()).items() if name.startswith("ray::RayTrainWorker")}

    stopped, failures, of_others = [], [], workers()  # which end just now

    def stop_one_that_has_its_guard(event):
        failures.extend([event.what] if isinstance(event, WorkersLost) else [])
        give_up = time.monotonic() + TIMEOUT
        while isinstance(event, Starting) and not stopped and time.monotonic() < give_up:
            for pid in [pid for pid in workers() - of_others if descendants(pid)][:1]:
                os.kill(pid, signal.SIGSTOP)
                stopped.append(pid)

    train(settings(tmp_path, "unharmed", hang_timeout=PATIENCE), on_event=stop_one_that_has_its_guard)
    assert len(failures) == 1
    assert re.search("lost while it started|worker [01] was lost: ", failures[0])
    assert what_must_not_differ(tmp_path, "unharmed") == whole


def test_workers_that_are_killed_again_and_again_change_nothing(tmp_path, whole):
    events = run(tmp_path, "killed_again_and_again")
    failures = [event for event in events if isinstance(event, WorkersLost)]
    assert [event.what.partition(" was lost: killed")[0] for event in failures] == [f"worker {n}" for n in (1, 0, 1)]
    starts = [(event.resumed_after, event.resumed_step) for event in events if isinstance(event, Started)]
    # In the first step; while the checkpoint of the first epoch was written; in the last epoch.
    assert starts == [(0, 0), (0, 0), (0, 8), (2, 0)]
    assert what_must_not_differ(tmp_path, "killed_again_and_again") == whole
    assert not list(tmp_path.rglob("*.part"))  # of the file that was being written


def test_without_a_restart_left_the_run_says_that_it_failed_and_goes_on_past_a_damaged_checkpoint(tmp_path, whole):
    with pytest.raises(TrainingError, match=r"worker 1 was lost.*no restart is left.*goes on from the last checkpoint"):
        run(tmp_path, "killed_in_a_step", max_failures=0)
    record = json.loads((tmp_path / "killed_in_a_step" / "result.json").read_text())
    assert record["status"] == "failed"
    assert record["cause"].startswith("worker 1 was lost: killed")
    assert "the same command goes on" in record["next"]
    with pytest.raises(RequestError, match="the run failed and is not finished"):
        evaluate_runs([tmp_path / "killed_in_a_step"], tmp_path / "report")
    *_, newest = sorted((tmp_path / "killed_in_a_step" / "checkpoints").iterdir())
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    events = run(tmp_path, "killed_in_a_step", max_failures=0)
    (start,) = [event for event in events if isinstance(event, Started)]
    assert [newest.name in warning for warning in start.warnings] == [True]
    assert (start.resumed_after, start.resumed_step) == (0, 0)  # there was none before it
    assert json.loads((tmp_path / "killed_in_a_step" / "result.json").read_text())["status"] == "finished"
    assert what_must_not_differ(tmp_path, "killed_in_a_step") == whole


def test_a_killed_controller_leaves_nothing_that_the_next_run_would_wait_for(tmp_path, whole):
    import ray

    def kill_controller(event):
        if isinstance(event, EpochEnded):
            found = [pid for pid, name in descendants(os.getpid()).items() if name.startswith("ray::Controller")]
            os.kill(*found, signal.SIGKILL)

    with pytest.raises(TrainingError, match="the process that watches the workers failed"):
        train(settings(tmp_path, "unharmed"), on_event=kill_controller)
    states = {group["state"] for group in ray.util.placement_group_table().values()}
    assert states <= {"REMOVED"}
    events = run(tmp_path, "unharmed")
    (start,) = [event for event in events if isinstance(event, Started)]
    assert start.resumed_after >= 1
    assert what_must_not_differ(tmp_path, "unharmed") == whole


def test_a_killed_driver_is_continued_by_the_same_command(tmp_path, nodes, whole):
    model = "waiting_in_the_second_epoch"  # until it is killed, the first time
    command = job(tmp_path, model, nodes)
    with subprocess.Popen(**command) as process:
        assert any(line.startswith("epoch 1/3") for line in process.stdout)
        process.kill()
    assert not (tmp_path / model / "result.json").exists()
    again = subprocess.run(**command, timeout=TIMEOUT)
    assert again.returncode == 0, again.stderr
    assert "continuing " in again.stdout
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
