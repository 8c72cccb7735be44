"""``benchmarks.search_speed``: the trials that it simulates are those of a search as it is now."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.ray
@pytest.mark.long
def test_trials_whose_training_is_a_formula_are_searched(tmp_path):
    counts = ["--trials", "0", "--overhead_trials", "0", "--simulated_trials", "20"]
    command = [sys.executable, "-m", "benchmarks.search_speed", *counts, "--json", str(tmp_path / "numbers.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.stdout.startswith("simulated (20 trials): driver_bytes "), done.stderr[-3000:]
    measured = json.loads((tmp_path / "numbers.json").read_text())["results"]["simulated"]
    assert 0 < measured["slot_seconds_a_trial"] < 20
    assert measured["driver_bytes"] > 0
