"""What a cluster does to workers in the middle of an epoch: the run goes on and its result does not change."""

from __future__ import annotations

import json
import os
import signal

import pytest

from benchmarks.chaos import descendants
from nn_train import train
from nn_train.config import config_from_dict
from nn_train.errors import RequestError, TrainingError
from nn_train.prediction.driver import evaluate_runs

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]
TIMES = ("seconds", "samples_per_second")


def run(folder, model, **changes):
    """Two workers, twelve steps an epoch, a checkpoint at every pause. Returns the events."""
    events = []
    train(settings(folder, model, **changes), on_event=events.append)
    return events


def settings(folder, model, **changes):
    return config_from_dict(
        {
            "name": model,
            "model": {"name": f"struck_models:{model}"},
            "data": {"source": "user_code:arrays"},
            "train": {"batch_size": 8, "epochs": 3, "checkpoint_every_seconds": 1e-3},
            "run": {"storage_path": str(folder), "loggers": [], "hang_timeout": 5, **changes},
        }
    )


def weights(folder, model):
    from nn_train.checkpoints import unpack

    newest = max((folder / model / "checkpoints").glob("*.ckpt"))
    return [array.tobytes() for array in unpack(newest.read_bytes()).variables]


def history(folder, model):
    lines = (folder / model / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in TIMES} for line in lines]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    run(folder, "unharmed")
    return history(folder, "unharmed"), weights(folder, "unharmed")


@pytest.mark.parametrize(
    ("model", "lost"),
    [
        ("killed_in_a_step", "worker 1 was lost: killed"),
        ("stopped_in_a_step", "worker 1 was lost: the process or its machine does not answer"),
        ("waiting_in_a_step", "lost: its training has stopped moving (no end of a part of an epoch for "),
    ],
)
def test_a_worker_that_is_lost_in_a_step_changes_nothing(tmp_path, whole, model, lost):
    events = run(tmp_path, model)
    assert (tmp_path / model / "struck").exists()
    (failure,) = [event for event in events if event["event"] == "failure"]
    assert lost in failure["what"]
    starts = [(event["resumed_after"], event["resumed_step"]) for event in events if event["event"] == "start"]
    assert starts[0] == (0, 0)
    assert starts[1][0] == 0
    assert starts[1][1] >= 8  # from within the epoch in which it was struck
    assert history(tmp_path, model) == whole[0]
    assert weights(tmp_path, model) == whole[1]


def test_workers_that_are_killed_again_and_again_change_nothing(tmp_path, whole):
    events = run(tmp_path, "killed_again_and_again")
    failures = [event for event in events if event["event"] == "failure"]
    assert [event["what"].partition(" was lost: killed")[0] for event in failures] == [f"worker {n}" for n in (1, 0, 1)]
    starts = [(event["resumed_after"], event["resumed_step"]) for event in events if event["event"] == "start"]
    # In the first step; while the checkpoint of the first epoch was written; in the last epoch.
    assert starts == [(0, 0), (0, 0), (0, 8), (2, 0)]
    assert history(tmp_path, "killed_again_and_again") == whole[0]
    assert weights(tmp_path, "killed_again_and_again") == whole[1]


def test_without_a_restart_left_the_run_says_that_it_failed_and_the_same_command_goes_on(tmp_path, whole):
    with pytest.raises(TrainingError, match=r"worker 1 was lost.*no restart is left.*goes on from the last checkpoint"):
        run(tmp_path, "killed_in_a_step", max_failures=0)
    record = json.loads((tmp_path / "killed_in_a_step" / "result.json").read_text())
    assert record["status"] == "failed"
    assert record["cause"].startswith("worker 1 was lost: killed")
    assert "the same command goes on" in record["next"]
    with pytest.raises(RequestError, match="the run failed and is not finished"):
        evaluate_runs([tmp_path / "killed_in_a_step"], tmp_path / "report")
    run(tmp_path, "killed_in_a_step", max_failures=0)
    assert json.loads((tmp_path / "killed_in_a_step" / "result.json").read_text())["status"] == "finished"
    assert history(tmp_path, "killed_in_a_step") == whole[0]
    assert weights(tmp_path, "killed_in_a_step") == whole[1]


def test_a_killed_controller_leaves_nothing_that_the_next_run_would_wait_for(tmp_path, whole):
    import ray

    def kill_controller(event):
        if event["event"] == "start":
            found = [pid for pid, name in descendants(os.getpid()).items() if name.startswith("ray::Controller")]
            os.kill(*found, signal.SIGKILL)

    with pytest.raises(TrainingError, match="the process that watches the workers failed"):
        train(settings(tmp_path, "unharmed"), on_event=kill_controller)
    states = {group["state"] for group in ray.util.placement_group_table().values()}
    assert states <= {"REMOVED"}
    run(tmp_path, "unharmed")
    assert history(tmp_path, "unharmed") == whole[0]
    assert weights(tmp_path, "unharmed") == whole[1]
