"""``python -m jobs.tune`` as a user runs it: killed at any moment, it goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nn_train.config.wording import counted
from nn_train.jobs.command import tune as main

HERE = Path(__file__).parents[1]


def settings(folder, *words):
    return [
        *("--name", "killed", "--run.storage_path", str(folder)),
        *("--data.source", "user_data:arrays", "--scaling.num_workers", "1", "--train.batch_size", "16"),
        *("--train.epochs", "2", "--search.scheduler", "none", "--search.num_trials", "3"),
        *("--search.space", "optimizer.learning_rate: {loguniform: [1e-3, 1e-1]}", *words),
    ]


def start(words):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)])}
    command = [sys.executable, "-m", "jobs.tune", *words]
    return subprocess.Popen(
        command, cwd=HERE.parent, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def journal(folder):
    lines = []
    for part in sorted((folder / "killed" / "journal").glob("*.jsonl")):
        lines += [json.loads(line) for line in part.read_text().splitlines()]
    return lines


@pytest.mark.e2e
def test_a_killed_search_goes_on_where_it_was(tmp_path):
    words = settings(tmp_path, "--train.callbacks", "user_callbacks:one_until_told")
    first = start(words)
    for line in first.stdout:
        if line.startswith("trial "):
            break
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=60)
    before = journal(tmp_path)
    assert len(before) == 1  # the others wait
    assert not (tmp_path / "killed" / "search.json").exists()
    (tmp_path / "go_on").touch()
    second = start(words)
    out, err = second.communicate(timeout=400)
    assert second.returncode == 0, err
    after = journal(tmp_path)
    assert after[: len(before)] == before
    assert sorted(record["trial"] for record in after) == [f"t{index:05d}" for index in range(3)]
    assert f"{counted(len(before), 'trial')} ended before; not run again" in out
    assert out.rstrip().endswith(f"results in {tmp_path / 'killed'}")
    assert "Traceback" not in err
    assert len(out.splitlines()) < 40


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--search.space", "optimizer.lr: {choice: [1]}"], "did you mean 'optimizer.name'?"),
        (["--search.space", "train.batch_size: {choice: []}"], "needs a list of values"),
        (["--search.space", "model.dropout: {uniform: [0.5, 0.1]}"], "low 0.5 is not below high 0.1"),
        (["--search.space", "{}"], "search.space: is empty"),
        (["--search.algorithm", "annealing"], "'annealing' is not known"),
        (["--search.metric", "val_accuracy", "--data.validation_fraction", "0", "--data.source", "mnist"], "needs val"),
        (["--data.source", "missing.npz"], "cannot be read"),
    ],
)
@pytest.mark.parametrize("flags", [[], ["--dry-run"]], ids=["search", "dry run"])
def test_a_wrong_request_is_refused_in_one_line_before_ray_starts(tmp_path, monkeypatch, capfd, words, said, flags):
    monkeypatch.setattr("nn_train.search.ray_tune.ray_session", lambda verbose: pytest.fail("Ray is started"))
    assert main(settings(tmp_path, *words, *flags)) == 2
    captured = capfd.readouterr()
    assert said in captured.err
    assert len(captured.err.splitlines()) == 1
    assert "searching" not in captured.out
    assert not list(tmp_path.iterdir())
