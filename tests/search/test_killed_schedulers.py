"""``python -m jobs.tune`` with trials that wait for each other: killed in the middle, HyperBand and PBT go on."""

from __future__ import annotations

import json
import os
import signal

import pytest
from test_tune_job import start

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.limit(300)]
RATE = "optimizer.learning_rate"


def words(folder, name, *more):
    return [
        *("--name", name, "--run.storage_path", str(folder), "--train.callbacks"),
        *("user_callbacks:tells_before_it_is_killed", "--data.source", "user_data:arrays"),
        *("--scaling.num_workers", "1", "--train.batch_size", "16", "--search.keep_best", "0"),
        *("--search.space", f"{RATE}: {{loguniform: [1e-3, 1e-1]}}", *more),
    ]


def run(given):
    process = start(given)
    _, err = process.communicate(timeout=400)
    assert process.returncode == 0, err


def kill_in_the_middle(folder, given):
    """The standings of trials when the driver was killed, by their names."""
    os.mkfifo(folder / "now")
    process = start(given)
    assert (folder / "now").read_text() == "now"
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    (folder / "now").unlink()
    found = (folder / "s" / "trials").glob("*/standing.json")
    return {path.parent.name: json.loads(path.read_text()) for path in found}


def records(folder, name="s"):
    """What the journal has, by the names of the trials, each of which ended once."""
    lines = [
        json.loads(line)
        for part in (folder / name / "journal").glob("*.jsonl")
        for line in part.read_text().splitlines()
    ]
    found = {line["trial"]: line for line in lines}
    assert len(found) == len(lines)
    return found


def test_hyperband_resumes_after_a_kill_and_trains_no_epoch_twice(tmp_path):
    given = ("--search.scheduler", "hyperband", "--search.num_trials", "12", "--search.reduction_factor", "3")
    given += ("--train.epochs", "9")
    standings = kill_in_the_middle(tmp_path, words(tmp_path, "s", *given))
    before = records(tmp_path)
    run(words(tmp_path, "s", *given))
    after = records(tmp_path)
    assert len(after) == 12
    assert {one["status"] for one in after.values()} == {"completed", "stopped"}
    assert {name: after[name] for name in before} == before
    assert standings
    for name, standing in standings.items():
        rows = standing["rows"]
        assert after[name]["rows"][: len(rows)] == rows, "an epoch was trained twice"


def test_a_population_goes_on_after_a_kill(tmp_path):
    # The lower learning rate is the worse by definition.
    given = ("--search.scheduler", "pbt", "--search.num_trials", "6", "--search.grace_epochs", "2")
    given += ("--train.epochs", "8", "--search.metric", "learning_rate", "--search.mode", "max")
    standings = kill_in_the_middle(tmp_path, words(tmp_path, "s", *given))
    run(words(tmp_path, "s", *given))
    after = records(tmp_path)
    assert [[row["epoch"] for row in one["rows"]] for one in after.values()] == [[*range(1, 9)]] * 6
    assert len(standings) == 6
    # Rows have their seconds: what is equal is the same epoch, of the trial itself or of one that it took over.
    known = [row for standing in standings.values() for row in standing["rows"]]
    shortest = min(len(standing["rows"]) for standing in standings.values())
    assert shortest >= 2
    assert all(row in known for one in after.values() for row in one["rows"][:shortest])
    for name, standing in standings.items():
        rows, count = after[name]["rows"], len(standing["rows"])
        if rows[:count] == standing["rows"]:  # else it took over another's after that
            assert rows[count]["learning_rate"] == pytest.approx(standing["draws"][RATE])
