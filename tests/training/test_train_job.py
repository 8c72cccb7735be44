"""``python -m jobs.train`` as a person runs it: real MNIST, two workers, a Ray of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiers import long

from nn_train.jobs.command import train as main

ROOT = Path(__file__).parents[2]
TIMEOUT = 400  # seconds; a job takes 20 on a quiet machine
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}  # where user_code is


def command(folder, *words):
    return [sys.executable, "-m", "jobs.train", "--run.storage_path", str(folder), *words]


def run(folder, *words):
    return subprocess.run(
        command(folder, *words), cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=TIMEOUT
    )


@pytest.mark.e2e
def test_the_default_job_trains_mnist_and_says_so_in_a_few_plain_lines(tmp_path):
    done = run(tmp_path, "--train.epochs", "1")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) <= 8
    assert done.stderr == ""
    assert lines[1] == "starting 2 workers"
    assert lines[3].startswith("epoch 1/1  loss 0.")
    assert lines[-1] == f"results in {tmp_path}/mnist_mlp"
    assert "\033" not in done.stdout
    assert "\r" not in done.stdout
    record = json.loads((tmp_path / "mnist_mlp" / "result.json").read_text())
    assert record["data"]["examples"] == {"train": 54000, "validation": 6000, "test": 10000}
    assert record["metrics"]["best"]["val_accuracy"] > 0.93
    assert record["command"][:3] == ["python", "-m", "jobs.train"]
    again = run(tmp_path, "--train.epochs", "1")
    assert again.returncode == 0
    assert "already finished" in again.stdout


@pytest.mark.e2e
@pytest.mark.long
def test_verbose_brings_the_logs_of_ray_and_tensorflow(tmp_path):
    words = ["--data.source", write_npz(tmp_path), "--train.batch_size", "4", "--train.epochs", "1"]
    done = run(tmp_path / "out", *words, "--verbose")
    assert done.returncode == 0, done.stderr
    shown = done.stdout + done.stderr
    assert "Started a local Ray instance" in shown
    assert "(RayTrainWorker pid=" in shown
    assert "coordination_service" in shown  # TensorFlow's own, in C++


@pytest.mark.e2e
@pytest.mark.parametrize("how", [signal.SIGINT, long(signal.SIGTERM)])
def test_interrupted_and_started_again_it_goes_on(tmp_path, how):
    words = ["--name", "run", "--data.source", write_npz(tmp_path), "--train.epochs", "5", "--train.batch_size", "4"]
    words += ["--scaling.num_workers", "1", "--train.callbacks", "user_callbacks:hang_once"]
    process = subprocess.Popen(
        command(tmp_path, *words),
        # A shell that starts tests in the background lets them ignore this signal; the job must not inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        **{"cwd": ROOT, "env": ENVIRONMENT, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True},
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("epoch 2/5"):
            process.send_signal(how)
            break
    _, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 130, errors
    assert "goes on from the last checkpoint with the same command" in errors
    assert len(errors.split("\n")) == 3  # an empty line, the message and its end: nothing of Ray's
    (tmp_path / "run" / "waited").touch()  # it may have been interrupted before it was there
    continued = run(tmp_path, *words)
    assert continued.returncode == 0, continued.stderr
    assert "continuing after epoch" in continued.stdout
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5]


@pytest.mark.e2e
def test_a_model_and_data_of_ones_own_are_found_in_the_folder_the_job_is_started_in(tmp_path):
    """By two workers: ``test_readme.py``."""
    write_npz(tmp_path, x_train=np.random.default_rng(0).integers(0, 256, (20, 8, 8)).astype(np.uint8))
    (tmp_path / "my_module.py").write_text(
        "import keras\n\n"
        "def build(input_shape, num_classes, units):\n"
        "    layers = [keras.layers.Flatten(), keras.layers.Dense(units), keras.layers.Dense(num_classes)]\n"
        "    return keras.Sequential([keras.Input(input_shape), *layers])\n"
    )
    words = ["--model.name", "my_module:build", "--data.source", "data.npz", "--train.batch_size", "4"]
    words += ["--train.epochs", "1", "--scaling.num_workers", "1", "--model.args.units", "5"]
    # As a user has it, and not as tiers.py sets it for the tests.
    environment = {
        name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "RAY_worker_niceness")
    }
    pipes = {"capture_output": True, "text": True, "timeout": TIMEOUT}
    done = subprocess.run(command("out", *words), cwd=tmp_path, env=environment, **pipes)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "out" / "data_build" / "result.json").read_text())
    assert record["model"] == {"name": "my_module:build", "parameters": 8 * 8 * 5 + 5 + 5 * 2 + 2}


def write_npz(folder, **changes):
    arrays = {"x_train": np.zeros((20, 8, 8), np.uint8), "y_train": np.arange(20) % 2}
    arrays |= {"x_test": np.zeros((4, 8, 8), np.uint8), "y_test": np.arange(4) % 2, **changes}
    np.savez(folder / "data.npz", **arrays)
    return str(folder / "data.npz")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--train.epoch", "3"], "did you mean"),
        (["--data.source", "missing.npz"], "cannot be read"),
        (["--data.source", "data.npz"], "unequal lengths"),
    ],
)
def test_a_wrong_request_is_refused_in_one_line_before_ray_starts(tmp_path, monkeypatch, capfd, words, said):
    monkeypatch.setattr("nn_train.ray_cluster.session.ray_session", lambda verbose: pytest.fail("Ray is started"))
    write_npz(tmp_path, y_train=np.arange(19) % 2)
    monkeypatch.chdir(tmp_path)
    assert main(["--run.storage_path", "out", *words]) == 2
    captured = capfd.readouterr()
    assert said in captured.err
    assert len(captured.err.splitlines()) == 1
    assert "starting" not in captured.out
    assert not (tmp_path / "out").exists()
