"""Disks that really fill up, turn read-only or vanish under a training on several Ray nodes. Needs root, to mount."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from ray_nodes import cluster_of

from nn_train import train
from nn_train.config import config_from_dict
from nn_train.errors import TrainingError
from nn_train.runs import RunFolder

pytestmark = [
    pytest.mark.ray,
    pytest.mark.long,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount disks"),
]
TIMES = ("seconds", "samples_per_second")
DAMAGES = {
    "disk_full": "No space left on device",
    "disk_read_only": "Read-only file system",
    "disk_gone": "its folder was there before and is gone",
}


@pytest.fixture(scope="module", autouse=True)
def nodes():
    """A worker on each of two nodes, and a head that has room for none."""
    with cluster_of(head_cpus=0, nodes=2):
        yield


@pytest.fixture
def disk(tmp_path):
    """A disk of 4 MB, mounted on ``results`` and on ``results.kept``."""
    place, kept = tmp_path / "results", tmp_path / "results.kept"
    for folder in (place, kept):
        folder.mkdir()
    mount("-t", "tmpfs", "-o", "size=4m", "none", kept)
    try:
        mount("--bind", kept, place)
        yield place
    finally:
        for folder in (place, kept):
            subprocess.run(["umount", "--lazy", folder], check=False, capture_output=True)  # it may be gone


def mount(*words):
    subprocess.run(["mount", *words], check=True)


def run(place, model, name, **changes):
    """Two workers, twelve steps an epoch, a checkpoint at every pause. Returns the events."""
    events = []
    config = {
        "name": name,
        "model": {"name": f"struck_models:{model}"},
        "data": {"source": "user_data:arrays"},
        "train": {"batch_size": 8, "epochs": 3, "checkpoint_every_seconds": 1e-3},
        "run": {"storage_path": str(place), "loggers": [], **changes},
    }
    train(config_from_dict(config), on_event=events.append)
    return events


def result(place, name):
    """What must not differ: the lines of ``metrics.jsonl`` without times, and all variables."""
    from nn_train.checkpoints import unpack

    lines = (place / name / "metrics.jsonl").read_text().splitlines()
    rows = [{key: value for key, value in json.loads(line).items() if key not in TIMES} for line in lines]
    newest = max((place / name / "checkpoints").glob("*.ckpt"))
    return rows, [array.tobytes() for array in unpack(newest.read_bytes()).variables]


@pytest.fixture(scope="module")
def whole(nodes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    run(folder, "unharmed", "whole")
    return result(folder, "whole")


def test_what_is_well_again_in_a_moment_is_waited_for(disk, whole):
    events = run(disk, "damaged_in_many_ways", "for_a_while")
    assert {file.name for file in (disk / "for_a_while").glob("struck_*")} == {f"struck_{name}" for name in DAMAGES}
    assert [event["event"] for event in events] == ["starting", "start", "epoch", "epoch", "epoch", "done"]
    assert result(disk, "for_a_while") == whole


@pytest.mark.parametrize(("damage", "said"), DAMAGES.items())
def test_what_stays_is_one_message_and_the_run_goes_on_from_its_last_checkpoint(disk, whole, damage, said):
    from nn_train.checkpoints import load_newest

    with pytest.raises(TrainingError, match=rf"cannot be written: {said}.*; tried for \d s") as caught:
        run(disk, damage, "for_good")
    assert "Traceback" not in str(caught.value)
    kept = disk.with_name("results.kept")  # the same disk, which can still be written to
    assert load_newest(RunFolder(str(kept), "for_good"), warn=pytest.fail).partial.step in (8, 9)
    if damage == "disk_gone":
        assert list(disk.iterdir()) == []
    if damage != "disk_full":
        return  # it went on in the same way from the same files
    (kept / "filler").unlink()
    events = run(kept, damage, "for_good")
    (start,) = [event for event in events if event["event"] == "start"]
    assert start["resumed_after"] == 0
    assert start["resumed_step"] in (8, 9)
    assert result(kept, "for_good") == whole


def test_workers_that_start_again_without_the_disk_do_not_begin_anew_on_another(disk, whole):
    kept = disk.with_name("results.kept")
    with pytest.raises(TrainingError, match=r"its folder was there before and is gone"):
        run(disk, "disk_gone_and_killed", "restarted", overwrite=True)  # which would clear what it finds
    assert list(disk.iterdir()) == []
    mount("--bind", kept, disk)
    run(disk, "disk_gone_and_killed", "restarted")
    assert result(disk, "restarted") == whole
