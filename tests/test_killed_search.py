"""``python -m benchmarks.killed_search``: what it calls a fault, and a small one as a whole."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks.killed_search import faults_of


def trial(number, loss=0.5, **changed):
    """A line of a journal."""
    row = {"epoch": 1, "val_loss": loss, "seconds": 0.1}
    draws = {"optimizer.learning_rate": 0.01}
    name = f"t{number:05d}"
    known = {"trial": name, "phase": "search", "status": "completed", "cause": "", "draws": draws, "values": draws}
    return {**known, "rows": [row], "started": 1.0, "finished": 2.0, **changed}


def faults(found, at_kills=(), table=None, whole=None):
    if table is None:
        table = [{"trial_id": one["trial"], "val_loss": repr(one["rows"][0]["val_loss"])} for one in found]
    return faults_of(3, found, at_kills, table, [trial(number) for number in range(3)] if whole is None else whole)


WHOLE = [trial(0), trial(1), trial(2)]


def test_a_search_that_lost_and_repeated_nothing_has_no_fault():
    later = [trial(0, started=7.0, finished=8.0, rows=[{"epoch": 1, "val_loss": 0.5, "seconds": 9.0}]), *WHOLE[1:]]
    assert faults(later, at_kills=[WHOLE[1:2], WHOLE[1:]]) == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"found": WHOLE[:2]}, "t00002: not in the journal"),
        ({"found": [*WHOLE, trial(1)]}, "t00001: 2 times in the journal"),
        ({"found": [*WHOLE, trial(3)]}, "t00003: is no trial of the search, but in the journal"),
        ({"found": WHOLE, "table": []}, "t00000: not in trials.csv"),
        ({"found": WHOLE, "at_kills": [[trial(1, finished=1.5)]]}, "t00001: had ended at kill 1, and is not as it was"),
        ({"found": [trial(0, loss=0.5000001), *WHOLE[1:]]}, "t00000: another result than in the undisturbed search"),
        ({"found": [trial(0, rows=trial(0)["rows"] * 2), *WHOLE[1:]]}, "t00000: 2 epochs"),
        (
            {"found": WHOLE, "table": [{"trial_id": one["trial"], "val_loss": "0.4"} for one in WHOLE]},
            "t00000: another val_loss in trials.csv than in the journal",
        ),
    ],
)
def test_what_was_lost_repeated_or_changed_is_a_fault(given, said):
    assert said in faults(**given)


@pytest.mark.e2e
@pytest.mark.long
def test_a_search_whose_processes_are_all_killed_loses_and_repeats_no_trial():
    command = [sys.executable, "-m", "benchmarks.killed_search", "--trials", "12", "--kills", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "12 trials, 1 kill, 0 faults" in done.stdout
