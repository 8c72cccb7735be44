"""The commands and code of the README and of the first steps, run as they stand there, on small data."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ray_nodes import cluster_of

ROOT = Path(__file__).parents[1]
README, FIRST_STEPS = ((ROOT / name).read_text() for name in ("README.md", "docs/first-steps.md"))
TIMEOUT = 400  # seconds
NOT_OF_USERS = ("RAY_ADDRESS", "PYTHONPATH", "RAY_worker_niceness")  # the last two are of tiers.py
WITHOUT_TENSORFLOW = "\nimport sys; assert not {'tensorflow', 'keras'} & set(sys.modules)"
FENCED = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)
SMALL = ["--data.source", "mnist.npz", "--train.epochs", "1", "--scaling.num_workers", "1"]
# What a command is given besides, so that it takes seconds; nothing for those that are quick as they are.
ADDED = {
    "train": SMALL,
    "tune": [*SMALL, "--search.num_trials", "2", "--search.max_concurrent", "1", "--search.confirm", "none"],
    "evaluate": [],
    "predict": [],
    "run": [],
}
WAS = re.compile(r"^(\s*).*  # was: (.*)$", re.MULTILINE)


def blocks(text, language=None):
    """The fenced blocks, or those in a language."""
    return [block for name, block in FENCED.findall(text) if language is None or name == language]


def commands(text):
    """The words of each ``nn-train`` command, without that."""
    lines = [line for block in blocks(text, "") for line in block.replace("\\\n", " ").splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("nn-train ")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the documents are followed: their files, and small data."""
    folder = tmp_path_factory.mktemp("readme")
    generator = np.random.default_rng(0)
    images, labels = generator.integers(0, 256, (300, 28, 28), np.uint8), generator.integers(0, 10, 300)
    arrays = {"x_train": images[:200], "y_train": labels[:200], "x_test": images[200:], "y_test": labels[200:]}
    np.savez(folder / "mnist.npz", **arrays)
    np.savez(folder / "new.npz", x=images[:7])
    signal, label = generator.normal(size=(8100, 12)), generator.integers(0, 3, 8100)
    np.savez(folder / "measurements.npz", signal=signal, label=label)
    for code in blocks(README + FIRST_STEPS, "python"):
        if named := re.match(r"# (\w+\.py)\n", code):
            (folder / named[1]).write_text(code)
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
    environment["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def followed(text, folder, address):
    """What each command of a document printed, in its order: later ones need what earlier ones leave."""
    shown = []
    for job, *words in commands(text):
        # The best job file of a search is small already, and the user's own data.
        as_it_is = {"--help", "results/tune_mnist_mlp/best.yaml"} & set(words)
        added = [] if as_it_is else SMALL[2:] if "my_job:load" in words else ADDED[job]
        shared = {"RAY_ADDRESS": address} if shown else {}
        shown.append(run(folder, [sys.executable, "-m", "nn_train.jobs", job, *words, *added], **shared))
    return shown


def test_the_readme_is_one_page_and_shows_every_job_that_it_needs():
    assert len(README.splitlines()) <= 120
    assert [words[0] for words in commands(README)] == ["run", "train", "tune", "train", "evaluate"]
    assert {words[0] for words in commands(FIRST_STEPS)} == set(ADDED) - {"run"}


@pytest.mark.e2e
@pytest.mark.long
@pytest.mark.limit(2 * TIMEOUT)
def test_the_commands_of_the_readme_work_one_after_another(folder, address):
    shown = followed(README, folder, address)
    assert "Epoch 2/2" in shown[0]
    assert (folder / shown[-1].splitlines()[-1]).samefile(folder / "report" / "report.html")


@pytest.mark.e2e
@pytest.mark.long
@pytest.mark.limit(2 * TIMEOUT)
def test_the_commands_of_the_first_steps_work_one_after_another(folder, address):
    shown = followed(FIRST_STEPS, folder, address)
    assert "--train.epochs 5" in "".join(shown)  # --help
    last = shown[-1].splitlines()[-1]
    assert last == "predicted.csv"
    assert len((folder / last).read_text().splitlines()) == 1 + 7
    report = Path(folder, shown[-2].splitlines()[-1])
    assert report.name == "report.html"
    assert report.exists()


@pytest.mark.e2e
@pytest.mark.long
@pytest.mark.parametrize("text", [README, FIRST_STEPS], ids=["README", "first steps"])
def test_the_code_for_python_works_and_does_not_import_tensorflow_where_it_is_called(folder, address, text):
    (code,) = [block for block in blocks(text, "python") if not block.startswith("# ")]
    smaller = '{"epochs": 1}, data="mnist.npz", scaling={"num_workers": 1}, run={"overwrite": True}'
    code = code.replace('{"epochs": 3}', smaller) + WITHOUT_TENSORFLOW
    assert smaller in code
    said = run(folder, [sys.executable, "-c", code], RAY_ADDRESS=address).splitlines()
    assert said[0].startswith("mnist_cnn: cnn on mnist.npz, 1 worker of 1 CPU")
    assert [line for line in said if re.fullmatch(r".*/results/mnist_cnn 0\.\d+", line)]
    assert (folder / "report" / "report.html").exists()


def in_two_terminals(folder, script):
    """The exit codes and the output of a script that is started as the first steps say, in two processes."""
    template = json.loads(re.search(r"TF_CONFIG='(.*)'", FIRST_STEPS)[1])
    with socket.create_server(("localhost", 0)) as one, socket.create_server(("localhost", 0)) as other:
        template["cluster"]["worker"] = [f"localhost:{free.getsockname()[1]}" for free in (one, other)]
    processes = []
    for index in range(2):
        template["task"]["index"] = index
        variables = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CONFIG": json.dumps(template)}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        processes.append(subprocess.Popen([sys.executable, script], cwd=folder, env=variables, **pipes))
    try:
        said = [process.communicate(timeout=TIMEOUT)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [process.returncode for process in processes], said


@pytest.mark.e2e
@pytest.mark.long
def test_the_script_trains_on_two_workers_and_fails_as_shown_as_it_was(folder):
    codes, said = in_two_terminals(folder, "two_terminals.py")
    assert codes == [0, 0], said
    assert "Epoch 2/2" in said[0]
    cured = (folder / "two_terminals.py").read_text()
    assert len(WAS.findall(cured)) == 2
    (folder / "as_it_was.py").write_text("import tensorflow as tf\n" + WAS.sub(r"\1\2", cured))
    codes, said = in_two_terminals(folder, "as_it_was.py")
    assert 0 not in codes
    (shown,) = [block for block in blocks(README, "") if block.startswith("ValueError")]
    assert shown.strip() in said[0]
