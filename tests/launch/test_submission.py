"""``python -m jobs.submit`` and ``ray job submit``, to a cluster on loopback: as if the job ran here."""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from zipfile import ZipFile

import pytest
from tools import need

from nn_train.jobs.command import submit as main

ROOT = Path(__file__).parents[2]
TIMEOUT = 300  # seconds
SUBMIT = [sys.executable, "-m", "jobs.submit"]
RAY_SUBMIT = ["ray", "job", "submit", "--working-dir", "."]
OTHER_CLUSTER = ("RAY_ADDRESS", "RAY_AUTH_TOKEN_PATH")  # of whoever runs the tests
LARGEST = 20 * 2**20  # bytes; MNIST alone is 11 MB


class Cluster:
    """One node of two CPUs with a token, and who submits to it."""

    def __init__(self, folder):
        self.environment = {key: value for key, value in os.environ.items() if key not in OTHER_CLUSTER}
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        self.environment |= {"TMPDIR": folder, "PATH": path, "RAY_AUTH_TOKEN": secrets.token_hex(32)}

    def local(self, *words):
        done = self.run([sys.executable, "-m", "cluster.local", *words])
        assert done.returncode == 0, done.stderr
        return done.stdout

    def up(self):
        exported = dict(re.findall(r"(RAY_\w+)=(\S+)", self.local("up", "--nodes", "1", "--cpus", "2")))
        self.address = exported["RAY_API_SERVER_ADDRESS"]
        self.environment |= {"RAY_AUTH_MODE": "token", "RAY_API_SERVER_ADDRESS": self.address}

    def run(self, command, folder=ROOT, **changes):
        """Run a command to its end; a variable that is changed to None is not set."""
        environment = {key: value for key, value in {**self.environment, **changes}.items() if value is not None}
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT)

    def submit(self, *words, **changes):
        return self.run([*SUBMIT, *words], **changes)

    def start(self, command):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(command, cwd=ROOT, env=self.environment, **pipes)

    def unfinished(self):
        """How many jobs have not ended."""
        from ray.job_submission import JobSubmissionClient

        headers = {"Authorization": f"Bearer {self.environment['RAY_AUTH_TOKEN']}"}
        jobs = JobSubmissionClient(self.address, headers=headers).list_jobs()
        return sum(not job.status.is_terminal() for job in jobs)


def on_cluster(test):
    """What is submitted to real nodes: a minute each."""
    if not sys.platform.startswith("linux"):
        return pytest.mark.skip(reason="cluster.local needs Linux: /proc")(test)
    for mark in (pytest.mark.ray, pytest.mark.e2e, pytest.mark.long):
        test = mark(test)
    return test


@pytest.fixture(scope="module")
def cluster():
    folder = tempfile.mkdtemp(prefix="nn-", dir="/tmp")  # short: Ray's sockets lie below it
    there = Cluster(folder)
    try:
        there.up()
        yield there
    finally:
        there.local("down")
        shutil.rmtree(folder, ignore_errors=True)


def training(folder, *more):
    """A run of five epochs in ``folder``, which waits at the fourth the first time."""
    words = ["--name", "small", "--run.storage_path", str(folder), "--run.loggers", "none"]
    words += ["--scaling.num_workers", "1"]
    words += ["--data.source", "tests.user_data:arrays", "--train.callbacks", "tests.user_callbacks:hang_once"]
    return [*words, "--train.batch_size", "16", "--train.epochs", "5", *more]


@on_cluster
@pytest.mark.limit(2 * TIMEOUT)
def test_a_run_that_is_stopped_either_way_goes_on_and_is_shown_as_if_it_ran_here(cluster, tmp_path):
    words, waited = training(tmp_path), tmp_path / "small" / "waited"
    process = cluster.start([*SUBMIT, "train", *words])
    until(process, "epoch 3/5  loss ")
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 130, said
    assert "goes on from the last checkpoint with the same command" in said  # the job's own words: it was not killed
    assert said.endswith("stopped; a run that was not finished goes on with the same command\n")
    assert "Traceback" not in said
    assert cluster.unfinished() == 0

    waited.unlink(missing_ok=True)  # so that it waits again
    process = cluster.start([*RAY_SUBMIT, "--submission-id", "stopped", "--", "python", "-m", "jobs.train", *words])
    until(process, "continuing after epoch 3")
    stopped = cluster.run(["ray", "job", "stop", "stopped"])
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr
    process.communicate(timeout=TIMEOUT)
    assert cluster.unfinished() == 0

    waited.touch()
    done = cluster.submit("train", *words)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"submitted as raysubmit_\w+; Ctrl-C stops it\n", done.stderr)
    _, _, shown = done.stdout.partition("python -m nn_train.jobs train")  # before that the job server speaks
    _, *lines = [re.sub(r"  loss .*", "", line) for line in shown.splitlines()]
    assert lines[1] == "starting 1 worker"
    assert lines[3:6] == ["continuing after epoch 3", "epoch 4/5", "epoch 5/5"]
    assert lines[-1] == f"results in {tmp_path}/small"
    rows = [json.loads(line) for line in (tmp_path / "small" / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5]


OWN_JOB = """
import nn_train
import numpy as np

def load():
    assert "/py_modules_files/" in nn_train.__file__, nn_train.__file__
    x = np.random.default_rng(0).normal(size=(60, 6)).astype("float32")
    y = (x[:, 0] > 0).astype("int64")
    return (x[:40], y[:40]), (x[40:], y[40:])
"""


@on_cluster
def test_a_job_of_ones_own_folder_takes_it_and_this_package_along(cluster, tmp_path):
    """Also where the cluster has another nn_train, as here."""
    folder, results = tmp_path / "own", tmp_path / "results"
    folder.mkdir()
    (folder / "mine.py").write_text(OWN_JOB)
    submit = [sys.executable, "-m", "nn_train.jobs", "submit"]
    words = ["--data.source", "mine:load", "--run.storage_path", str(results), "--train.epochs", "1"]
    words += ["--scaling.num_workers", "1", "--model.hidden_units", "4"]
    done = cluster.run([*submit, "train", *words], folder, PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith(f"results in {results}/load_mlp\n")
    done = cluster.run([*submit, "train", *words, "--train.epoch", "3"], folder, PYTHONPATH=str(ROOT))
    assert done.returncode == 2


def until(process, wanted):
    """Read what a process says until a line begins with ``wanted``."""
    said = []
    for line in process.stdout:
        said.append(line)
        if line.startswith(wanted):
            return
    raise AssertionError("".join(said))


@on_cluster
def test_a_job_that_fails_ends_with_its_own_code(cluster, tmp_path):
    done = cluster.submit("train", *training(tmp_path, "--model.name", "tests.user_code:broken_model"))
    assert done.returncode == 1
    assert "a mistake in the user's own code" in done.stdout


@on_cluster
def test_a_request_that_the_job_refuses_ends_with_2(cluster):
    done = cluster.submit("train", "--train.epoch", "3")
    assert done.returncode == 2
    assert "\nerror: --train.epoch: no such field; did you mean 'train.epochs'?\n" in done.stdout


@on_cluster
def test_a_cluster_that_refuses_the_token_is_one_message_with_the_way_out(cluster):
    done = cluster.submit("train", RAY_AUTH_TOKEN="f" * 64)
    assert done.returncode == 2
    assert done.stdout == ""
    said = "refuses the token; set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH"
    assert re.fullmatch(f"error: .*{said}.*\n", done.stderr), done.stderr


@pytest.fixture
def kept_logging():
    """A submission silences the process that it has for itself."""
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        (None, "RAY_API_SERVER_ADDRESS: is not set; set it to .* http://HEAD:8265"),
        ("http://127.0.0.1:1", "no Ray answers at http://127.0.0.1:1 "),
    ],
    ids=["no address", "nothing answers"],
)
def test_without_a_cluster_one_message_says_the_way_out(kept_logging, monkeypatch, capfd, address, said):
    for name in ("RAY_AUTH_MODE", "RAY_API_SERVER_ADDRESS", *OTHER_CLUSTER):
        monkeypatch.delenv(name, raising=False)
    if address is not None:
        monkeypatch.setenv("RAY_API_SERVER_ADDRESS", address)
    assert main(["train"]) == 2
    captured = capfd.readouterr()
    assert captured.out == ""
    assert re.fullmatch(f"error: .*{said}.*\n", captured.err), captured.err


@pytest.mark.parametrize(("words", "code"), [(["--help"], 0), (["trian"], 2)])
def test_the_job_is_named(capfd, words, code):
    assert main(words) == code
    captured = capfd.readouterr()
    assert "train, tune, evaluate, predict, pipeline, doctor" in (captured.err if code else captured.out)


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    made = tmp_path_factory.mktemp("fresh") / "clone"
    subprocess.run([need("git", "git"), "clone", "--quiet", str(ROOT), str(made)], check=True)
    return made


def test_little_is_uploaded_from_a_fresh_clone(clone, tmp_path):
    from ray._private.runtime_env.packaging import create_package
    from ray._private.runtime_env.working_dir import upload_working_dir_if_needed

    from nn_train.ray_cluster.submission import LEFT_HERE

    package = tmp_path / "package.zip"
    for made in (".venv/bin/python", "results/mnist/model.keras", "mlruns/0", "nn_train.egg-info/PKG-INFO"):
        (clone / made).parent.mkdir(parents=True, exist_ok=True)
        (clone / made).write_text("not for the cluster")

    def upload(folder, excludes, is_file=False):
        create_package(folder, package, include_gitignore=True, excludes=excludes)

    upload_working_dir_if_needed({"working_dir": str(clone), "excludes": LEFT_HERE}, True, upload_fn=upload)
    assert package.stat().st_size < LARGEST
    names = ZipFile(package).namelist()
    assert {"jobs/train.py", "nn_train/datasets/data/mnist.npz"} <= set(names)
    assert not [name for name in names if re.match(r"\.git/|\.venv|results/|mlruns|.*egg-info|.*__pycache__", name)]
