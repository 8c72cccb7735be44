"""The README's commands and code, run as they stand there, on small data."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ray_nodes import cluster_of

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()
TIMEOUT = 400  # seconds
NOT_OF_USERS = ("RAY_ADDRESS", "PYTHONPATH", "RAY_worker_niceness")  # the last two are of tiers.py
WITHOUT_TENSORFLOW = "\nimport sys; assert not {'tensorflow', 'keras'} & set(sys.modules)"
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", TEXT, flags=re.DOTALL)
COMMANDS = [
    line for _, block in BLOCKS for line in block.replace("\\\n", " ").splitlines() if line.startswith("python ")
]
SMALL = ["--data.source", "mnist.npz", "--train.epochs", "1", "--scaling.num_workers", "1"]
# What a command is given besides, so that it takes seconds; nothing for those that are quick as they are.
ADDED = {
    "jobs.train": SMALL,
    "jobs.tune": [*SMALL, "--search.num_trials", "2", "--search.max_concurrent", "1", "--search.confirm", "none"],
    "jobs.evaluate": [],
    "jobs.predict": [],
}
ELSEWHERE = {
    "jobs.pipeline": "tests/pipeline/test_pipeline_job.py",
    "jobs.submit": "tests/launch/test_submission.py",
    "pip": "make setup",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the README is followed: its files, and small data."""
    folder = tmp_path_factory.mktemp("readme")
    generator = np.random.default_rng(0)
    images, labels = generator.integers(0, 256, (300, 28, 28), np.uint8), generator.integers(0, 10, 300)
    arrays = {"x_train": images[:200], "y_train": labels[:200], "x_test": images[200:], "y_test": labels[200:]}
    np.savez(folder / "mnist.npz", **arrays)
    np.savez(folder / "new.npz", x=images[:7])
    signal, label = generator.normal(size=(8100, 12)), generator.integers(0, 3, 8100)
    np.savez(folder / "measurements.npz", signal=signal, label=label)
    for _, code in BLOCKS:
        if named := re.match(r"# (\w+\.py)\n", code):
            (folder / named[1]).write_text(code)
    (folder / "jobs").symlink_to(ROOT / "jobs")
    return folder


@pytest.fixture(scope="module")
def address(folder):
    """That of a Ray that commands share; its workers begin in the same folder as those of a command's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        with cluster_of(head_cpus=2) as cluster:
            yield cluster.address


def run(folder, words, **more):
    environment = {name: value for name, value in os.environ.items() if name not in NOT_OF_USERS} | more
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_command_for_python_is_run_here_or_elsewhere():
    assert {shlex.split(command, comments=True)[2] for command in COMMANDS} <= {*ADDED, *ELSEWHERE, "benchmarks"}


@pytest.mark.e2e
@pytest.mark.long
@pytest.mark.limit(2 * TIMEOUT)
def test_the_commands_work_one_after_another(folder, address):
    """In the order of the README: later ones need what earlier ones leave. The first starts a Ray of its own."""
    shown = []
    for command in COMMANDS:
        _, _, job, *words = shlex.split(command, comments=True)
        if job not in ADDED:
            continue
        # The best job file of a search is small already, and the user's own data.
        as_it_is = {"--help", "results/tune_mnist_mlp/best.yaml"} & set(words)
        added = [] if as_it_is else SMALL[2:] if "my_job:load" in words else ADDED[job]
        shared = {"RAY_ADDRESS": address} if shown else {}
        shown.append(run(folder, [sys.executable, "-m", job, *words, *added], **shared))
    assert len(shown) >= 8
    assert "--train.epochs 5" in "".join(shown)  # --help
    last = shown[-1].splitlines()[-1]
    assert last == "predicted.csv"
    assert len((folder / last).read_text().splitlines()) == 1 + 7
    report = Path(folder, shown[-2].splitlines()[-1])
    assert report.name == "report.html"
    assert report.exists()


@pytest.mark.e2e
@pytest.mark.long
def test_the_code_for_python_works_and_does_not_import_tensorflow_where_it_is_called(folder, address):
    (code,) = [block for language, block in BLOCKS if language == "python" and not block.startswith("# ")]
    smaller = '{"epochs": 1}, data="mnist.npz", scaling={"num_workers": 1}'
    code = code.replace('{"epochs": 3}', smaller) + WITHOUT_TENSORFLOW
    assert smaller in code
    said = run(folder, [sys.executable, "-c", code], RAY_ADDRESS=address).splitlines()
    assert said[0].startswith("mnist_cnn: cnn on mnist.npz, 1 worker of 1 CPU")
    assert [line for line in said if re.fullmatch(r".*/results/mnist_cnn 0\.\d+", line)]
    assert (folder / "report" / "report.html").exists()
