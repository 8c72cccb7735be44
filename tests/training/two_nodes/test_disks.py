"""Disks that really fill up, turn read-only or vanish under a training on several Ray nodes. Needs root, to mount."""

from __future__ import annotations

import os
import subprocess

import pytest
from failing_runs import run, what_must_not_differ

from nn_train.errors import TrainingError
from nn_train.events import EpochEnded, Finished, Started, Starting
from nn_train.storage.folder import ResultsFolder

pytestmark = [
    pytest.mark.ray,
    pytest.mark.long,
    pytest.mark.usefixtures("nodes"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount disks"),
]
DAMAGES = {
    "disk_full": "No space left on device",
    "disk_read_only": "Read-only file system",
    "disk_gone": "its folder was there before and is gone",
}


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


def test_what_is_well_again_in_a_moment_is_waited_for(disk, whole):
    events = run(disk, "damaged_in_many_ways", "for_a_while")
    assert {file.name for file in (disk / "for_a_while").glob("struck_*")} == {f"struck_{name}" for name in DAMAGES}
    assert [type(event) for event in events] == [Starting, Started, EpochEnded, EpochEnded, EpochEnded, Finished]
    assert what_must_not_differ(disk, "for_a_while") == whole


@pytest.mark.parametrize(("damage", "said"), DAMAGES.items())
def test_what_stays_is_one_message_and_the_run_goes_on_from_its_last_checkpoint(disk, whole, damage, said):
    from nn_train.runs.checkpoints import load_newest

    workers = 2 if damage == "disk_full" else 1
    with pytest.raises(TrainingError, match=rf"cannot be written: {said}.*; tried for \d s") as caught:
        run(disk, damage, "for_good", workers=workers)
    assert "Traceback" not in str(caught.value)
    kept = disk.with_name("results.kept")  # the same disk, which can still be written to
    assert load_newest(ResultsFolder(str(kept), "for_good"), warn=pytest.fail).partial.step in (8, 9)
    if damage == "disk_gone":
        assert list(disk.iterdir()) == []
    if damage != "disk_full":
        return  # it went on in the same way from the same files
    (kept / "filler").unlink()
    events = run(kept, damage, "for_good")
    (start,) = [event for event in events if isinstance(event, Started)]
    assert start.resumed_after == 0
    assert start.resumed_step in (8, 9)
    assert what_must_not_differ(kept, "for_good") == whole


def test_workers_that_start_again_without_the_disk_do_not_begin_anew_on_another(disk):
    kept = disk.with_name("results.kept")
    with pytest.raises(TrainingError, match=r"its folder was there before and is gone"):
        run(disk, "disk_gone_and_killed", "restarted", workers=1, overwrite=True)  # which would clear what it finds
    assert list(disk.iterdir()) == []
    mount("--bind", kept, disk)
    events = run(disk, "disk_gone_and_killed", "restarted", workers=1)
    (start,) = [event for event in events if isinstance(event, Started)]
    assert start.resumed_after == 1  # it was struck in the second epoch
    assert [row["epoch"] for row in what_must_not_differ(disk, "restarted")[0]] == [1, 2, 3]
