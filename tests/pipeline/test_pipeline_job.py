"""``python -m jobs.pipeline`` as a person runs it: real MNIST, a Ray of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from nn_train.jobs.command import pipeline as main

ROOT = Path(__file__).parents[2]
TIMEOUT = 600  # seconds; it takes 80 on a quiet machine of two cores
FILE = ["--config", "mnist"]
JOB = [sys.executable, "-m", "jobs.pipeline", *FILE]
SMALL = ["--search.num_trials", "1", "--data.validation_fraction", "0.9"]  # 6,000 images to train with


@pytest.mark.e2e
@pytest.mark.long
@pytest.mark.limit(2 * TIMEOUT)
def test_the_quick_pipeline_reports_on_mnist(tmp_path):
    words = [*JOB, "--quick", *SMALL, "--run.storage_path", str(tmp_path)]
    first = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT)
    assert (first.returncode, first.stderr) == (0, "")
    lines = first.stdout.splitlines()
    page = tmp_path / "mnist_quick" / "report" / "report.html"
    assert lines[-1] == str(page)
    for name in ("mlp_seed0", "cnn_seed0"):
        assert name in page.read_text()
        assert json.loads((page.parents[1] / name / "result.json").read_text())["world_size"] == 2
    stages = [line for line in lines if line.startswith("[")]
    assert [line.split("]")[0] for line in stages] == ["[1/4", "[2/4", "[3/4", "[4/4"]
    assert all(line.endswith(" left in all") for line in stages)
    again = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT)
    assert again.returncode == 0
    assert again.stdout.splitlines()[-1] == str(page)
    assert "already finished" in again.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--pipeline.seed", "3"], "--pipeline.seed: no such field; did you mean 'pipeline.seeds'"),
        (["--pipeline.models", "{a: {train: {epoch: 3}}}"], "pipeline.models.a: train.epoch: no such field"),
        (["--data.source", "missing.npz"], "cannot be read"),
    ],
)
def test_a_wrong_request_is_refused_in_one_line_before_ray_starts(tmp_path, monkeypatch, capfd, words, said):
    monkeypatch.setattr("nn_train.ray_cluster.session.ray_session", lambda verbose: pytest.fail("Ray is started"))
    monkeypatch.chdir(tmp_path)
    assert main([*FILE, *words]) == 2
    captured = capfd.readouterr()
    assert said in captured.err
    assert len(captured.err.splitlines()) == 1
    assert captured.out == ""
    assert not list(tmp_path.iterdir())
