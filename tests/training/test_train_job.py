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

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).parents[2]


def command(folder, *words):
    return [sys.executable, "-m", "jobs.train", "--run.storage_path", str(folder), *words]


def run(folder, *words):
    return subprocess.run(command(folder, *words), cwd=ROOT, capture_output=True, text=True, timeout=240)


def test_the_default_job_trains_mnist_and_says_so_in_a_few_plain_lines(tmp_path):
    done = run(tmp_path, "--train.epochs", "1")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) <= 8
    assert done.stderr == ""
    assert lines[2].startswith("epoch 1/1  loss 0.")
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


def test_the_driver_never_imports_tensorflow(tmp_path):
    script = (
        "import sys\nfrom nn_train.config import config_from_dict\nfrom nn_train import train\n"
        f"run = {{'storage_path': {str(tmp_path)!r}, 'loggers': []}}\n"
        "sections = {'data': {'source': 'user_code:arrays'}, 'train': {'epochs': 1, 'batch_size': 16}, 'run': run}\n"
        "train(config_from_dict({'name': 'light', **sections}))\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT, env=environment, timeout=240)


def test_interrupted_and_started_again_it_goes_on(tmp_path):
    words = ["--train.epochs", "40", "--train.batch_size", "2000"]
    process = subprocess.Popen(
        command(tmp_path, *words), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("epoch 2/40"):
            process.send_signal(signal.SIGINT)
            break
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "goes on from its last epoch with the same command" in errors
    assert "Traceback" not in errors
    continued = run(tmp_path, *words)
    assert continued.returncode == 0, continued.stderr
    assert "continuing after epoch" in continued.stdout
    rows = [json.loads(line) for line in (tmp_path / "mnist_mlp" / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == list(range(1, 41))


def test_a_model_and_data_of_ones_own_are_found_in_the_folder_the_job_is_started_in(tmp_path):
    write_npz(tmp_path, x_train=np.random.default_rng(0).integers(0, 256, (20, 8, 8)).astype(np.uint8))
    (tmp_path / "my_module.py").write_text(
        "import keras\n\n"
        "def build(input_shape, num_classes):\n"
        "    layers = [keras.layers.Flatten(), keras.layers.Dense(num_classes)]\n"
        "    return keras.Sequential([keras.Input(input_shape), *layers])\n"
    )
    words = ["--model.name", "my_module:build", "--data.source", "data.npz", "--train.batch_size", "4"]
    done = subprocess.run(
        command("out", *words, "--train.epochs", "1"), cwd=tmp_path, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "out" / "data_build" / "result.json").read_text())
    assert record["model"] == {"name": "my_module:build", "parameters": 8 * 8 * 2 + 2}


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
        (["--run.loggers", "tensorboard,wandb"], "not known"),
    ],
)
def test_a_wrong_request_ends_with_code_2_and_leaves_nothing(tmp_path, words, said):
    refused = run(tmp_path / "out", *words)
    assert refused.returncode == 2
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "out").exists()


def test_bad_arrays_are_refused_before_ray_starts(tmp_path):
    source = write_npz(tmp_path, y_train=np.arange(19) % 2)
    refused = run(tmp_path / "out", "--data.source", source)
    assert refused.returncode == 2
    assert "unequal lengths" in refused.stderr
    assert not (tmp_path / "out").exists()
