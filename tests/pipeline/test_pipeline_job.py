"""``python -m jobs.pipeline`` as a person runs it: real MNIST, a Ray of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from process_tree import descendants

from nn_train.jobs.pipeline import main

ROOT = Path(__file__).parents[2]
TIMEOUT = 600  # seconds; it takes 80 on a quiet machine of two cores
FILE = ["--config", "mnist"]
JOB = [sys.executable, "-m", "jobs.pipeline", *FILE]
SMALL = ["--search.num_trials", "1", "--data.validation_fraction", "0.9"]  # 6,000 images to train with
# The processes of Ray that train or predict: workers of a run, trials of a search, those that predict; those that wait
# to be one of them, and what they are forks of.
MAY_USE_TENSORFLOW = ("ray::RayTrainWorker", "ray::TrialRunner", "ray::ResourceTrainable", "ray::Scorer", "ray::IDLE")
MAY_USE_TENSORFLOW += ("fork_server",)


def users_of_tensorflow(root, known):
    """``known``, and the names of further processes below ``root`` that have loaded it."""
    names = set(known)
    for pid, title in descendants(root).items():
        try:
            is_server = "fork_server.py" in Path(f"/proc/{pid}/cmdline").read_text()
            name = "fork_server" if is_server else title.split("(")[0]
            if name in names:
                continue  # what it has loaded takes long to read, and is known
            if "libtensorflow" in Path(f"/proc/{pid}/maps").read_text():
                names.add(name)
        except OSError:
            continue  # it ended
    return names


@pytest.mark.e2e
@pytest.mark.long
@pytest.mark.limit(2 * TIMEOUT)
def test_the_quick_pipeline_reports_on_mnist_and_only_those_who_train_use_tensorflow(tmp_path):
    words = [*JOB, "--quick", *SMALL, "--run.storage_path", str(tmp_path)]
    names = set()
    with open(tmp_path / "out.txt", "w") as out, open(tmp_path / "err.txt", "w") as err:
        process = subprocess.Popen(words, cwd=ROOT, stdout=out, stderr=err)
        for _ in range(TIMEOUT):
            names = users_of_tensorflow(process.pid, names)
            try:
                process.wait(timeout=1)  # less than the import of TensorFlow takes
                break
            except subprocess.TimeoutExpired:
                continue
    assert process.returncode == 0, (tmp_path / "err.txt").read_text()
    assert (tmp_path / "err.txt").read_text() == ""
    lines = (tmp_path / "out.txt").read_text().splitlines()
    page = tmp_path / "mnist_quick" / "report" / "report.html"
    assert lines[-1] == str(page)
    for name in ("mlp_seed0", "cnn_seed0"):
        assert name in page.read_text()
        assert json.loads((page.parents[1] / name / "result.json").read_text())["world_size"] == 2
    stages = [line for line in lines if line.startswith("[")]
    assert [line.split("]")[0] for line in stages] == ["[1/4", "[2/4", "[3/4", "[4/4"]
    assert all(line.endswith(" left in all") for line in stages)
    assert names
    assert sorted(name for name in names if not name.startswith(MAY_USE_TENSORFLOW)) == []
    again = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT)
    assert again.returncode == 0
    assert again.stdout.splitlines()[-1] == str(page)
    assert "already finished" in again.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--pipeline.seed", "3"], "--pipeline.seed: no such field; did you mean 'pipeline.seeds'"),
        (["--train.epochs", "0"], "train.epochs: 0 is out of range"),
        (["--pipeline.models", "{a: {train: {epoch: 3}}}"], "pipeline.models.a: train.epoch: no such field"),
        (["--pipeline.models", "{}"], "pipeline.models: is empty"),
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


@pytest.mark.e2e
def test_a_wrong_request_ends_the_job_with_code_2_and_leaves_nothing(tmp_path):
    words = ["--quick", "--search.num_trials", "3", "--pipeline.models", "{}", "--run.storage_path", str(tmp_path)]
    done = subprocess.run([*JOB, *words], cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT)
    assert done.returncode == 2
    assert "pipeline.models: is empty" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())
