"""Training and evaluation with everything on S3, on a real Ray: as on a local disk, and nothing secret is told."""

from __future__ import annotations

import io
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from ray_nodes import cluster_of

from nn_train import train
from nn_train.config import config_from_dict, config_to_dict
from nn_train.config.parse import parse_yaml
from nn_train.errors import StorageError
from nn_train.events import EpochEnded, Finished, Started, Starting, WorkersLost
from nn_train.jobs import command
from nn_train.pipeline import run_pipeline
from nn_train.storage.folder import ResultsFolder

ROOT = Path(__file__).parents[2]
TIMES = ("seconds", "samples_per_second")
RUNS = ("plain_seed0", "plain_seed1")  # of a pipeline


def on_ray(test):
    return pytest.mark.ray(pytest.mark.usefixtures("ray")(test))


@pytest.fixture(scope="module")
def ray(s3, tmp_path_factory):
    """A cluster of two nodes for workers; these inherit the credentials and where S3 is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KILL_ONCE_MARKER", str(tmp_path_factory.mktemp("marker") / "killed"))
        with cluster_of(head_cpus=0, nodes=2):
            yield


def make(name, workers=1, storage="s3://bucket/results", **sections):
    sections = {"data": {"source": "user_data:arrays"}, **sections}
    sections["train"] = {"batch_size": 16, "epochs": 3, **sections.get("train", {})}
    run = {"storage_path": storage, "loggers": [], **sections.pop("run", {})}
    return config_from_dict({"name": name, "scaling": {"num_workers": workers}, "run": run, **sections})


def history(folder):
    lines = folder.read("metrics.jsonl").decode().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in TIMES} for line in lines]


def resumed(events):
    """After how many epochs the run went on, at each start of its workers."""
    return [event.resumed_after for event in events if isinstance(event, Started)]


@pytest.fixture(scope="module")
def source(s3):
    """An .npz of images in the bucket."""
    generator = np.random.default_rng(0)
    parts = {"train": 60, "test": 700}
    arrays = {f"x_{part}": generator.integers(0, 256, (n, 8, 8)).astype(np.uint8) for part, n in parts.items()}
    arrays |= {f"y_{part}": (np.arange(n) % 3).astype(np.uint8) for part, n in parts.items()}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return s3.put("data/images.npz", buffer.getvalue())


@pytest.fixture(scope="module")
def pipeline(ray, source):
    """The config and the result of a pipeline of two runs, whose results and data are in the bucket."""
    sections = {"data": {"source": source}, "train": {"epochs": 1, "batch_size": 16}, "scaling": {"num_workers": 1}}
    sections["run"] = {"storage_path": "s3://bucket/results", "loggers": []}
    models = {"plain": {"model": {"hidden_units": 4}}}
    config = config_from_dict({"name": "all", "pipeline": {"models": models, "seeds": 2}, **sections})
    return config, run_pipeline(config)


@pytest.fixture(scope="module")
def whole(ray):
    """A run on two workers: its config, its events, its result."""
    events = []
    config = make("whole", workers=2, run={"loggers": ["tensorboard"]})
    return config, events, train(config, on_event=events.append)


def assert_equal_runs(ours, theirs):
    from nn_train.runs.checkpoints import load_newest

    assert history(ours) == history(theirs)
    pairs = zip(*(load_newest(one, warn=pytest.fail).variables for one in (ours, theirs)), strict=True)
    for our, their in pairs:
        np.testing.assert_array_equal(our, their)


@on_ray
def test_a_run_is_complete_readable_and_not_repeated(s3, whole, tmp_path):
    import keras

    from nn_train.runs.checkpoints import load_newest

    config, events, result = whole
    assert [type(event) for event in events] == [Starting, Started, *[EpochEnded] * 3, Finished]
    assert result.folder == "s3://bucket/results/whole"
    found = s3.objects("results/whole")
    names = {name.removeprefix("results/whole/") for name in found}
    boards = {name for name in names if name.startswith("tensorboard/")}
    assert {name.split("/")[1] for name in boards} == {"train", "validation"}
    files = {"config.yaml", "code.json", "data.json", "metrics.jsonl", "model.keras", "result.json"}
    assert names - boards == files | {
        "checkpoints/epoch-000002-step-000000000.ckpt",
        "checkpoints/epoch-000003-step-000000000.ckpt",
    }

    folder = ResultsFolder(result.folder)
    assert parse_yaml(folder.read("config.yaml").decode(), "config.yaml") == config_to_dict(config)
    assert [row["epoch"] for row in history(folder)] == [1, 2, 3]
    assert folder.read_json("result.json") == result.record
    assert load_newest(folder, warn=pytest.fail).epochs == 3
    (tmp_path / "model.keras").write_bytes(folder.read("model.keras"))
    assert keras.models.load_model(tmp_path / "model.keras").count_params() == result.record["model"]["parameters"]
    again = train(config)
    assert not again.trained
    assert again.record == result.record


@on_ray
@pytest.mark.long
def test_a_killed_worker_and_a_spell_of_503_change_nothing(s3, whole):
    events = []
    s3.service.refused, s3.service.left = "struck/checkpoints/epoch-000002", 12  # pyarrow gives up after 3, in workers
    config = make("struck", workers=2, train={"callbacks": "user_callbacks:kill_once_marked"})
    result = train(config, on_event=events.append)
    s3.service.refused, left, s3.service.left = None, s3.service.left, math.inf
    assert left == 0
    assert [type(event) for event in events].count(WorkersLost) == 1  # the worker's; the service was waited for
    assert resumed(events) == [0, 1]
    assert_equal_runs(ResultsFolder(result.folder), ResultsFolder(whole[2].folder))


@on_ray
@pytest.mark.long
def test_a_service_that_fails_is_one_line_and_the_run_goes_on_when_it_is_back(s3):
    from nn_train.runs.checkpoints import load_newest

    events, again = [], []
    config = make("gone", train={"epochs": 4, "callbacks": "user_callbacks:impatient"})
    s3.service.refused = "gone/checkpoints/epoch-000003"
    with pytest.raises(StorageError) as caught:
        train(config, on_event=events.append)
    said = str(caught.value)
    assert said.startswith("s3://bucket/results/gone/checkpoints/epoch-000003-step-000000000.ckpt cannot be written: ")
    assert "HTTP status 503" in said
    assert "\n" not in said
    assert WorkersLost not in [type(event) for event in events]  # the worker has tried again; no restart on top
    s3.service.refused = None
    assert load_newest(ResultsFolder("s3://bucket/results/gone"), warn=pytest.fail).epochs == 2
    train(config, on_event=again.append)
    assert resumed(again) == [2]
    assert [row["epoch"] for row in history(ResultsFolder("s3://bucket/results/gone"))] == [1, 2, 3, 4]


def job(module, *words, folder, **more):
    """A job by its command line, on a Ray of its own; credentials and address come from the environment."""
    command = [sys.executable, "-m", f"jobs.{module}", *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests"))), **more}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240)


@on_ray
@pytest.mark.long
def test_a_pipeline_leaves_its_report_in_the_bucket(s3, pipeline):
    config, result = pipeline
    assert result.report == "s3://bucket/results/all/report/report.html"
    found = s3.objects("results/all")
    assert RUNS[0].encode() in found["results/all/report/report.html"]
    assert {"results/all/pipeline.json", "results/all/report/metrics.json"} <= set(found)
    assert not run_pipeline(config).ran


@pytest.fixture
def no_ray(monkeypatch):
    """Whoever asks for a Ray has failed."""
    monkeypatch.setattr("nn_train.ray_cluster.session.ray_session", lambda verbose: pytest.fail("Ray is started"))


@pytest.fixture
def logs():
    """A folder for what Ray writes; short, since sockets lie in it."""
    with tempfile.TemporaryDirectory(prefix="nn-", dir="/tmp") as folder:
        yield Path(folder)


@pytest.mark.ray
@pytest.mark.e2e
@pytest.mark.long
def test_jobs_on_s3_tell_nobody_the_credentials(s3, source, tmp_path, logs):
    words = ["--run.storage_path", "s3://bucket/told", "--data.source", source, "--name", "run"]
    words += ["--train.epochs", 1, "--train.batch_size", 16, "--scaling.num_workers", 1]
    trained = job("train", *words, folder=tmp_path, RAY_TMPDIR=str(logs))
    assert trained.returncode == 0, trained.stderr
    assert trained.stdout.splitlines()[-1] == "results in s3://bucket/told/run"
    words = ["--runs", "s3://bucket/told/run", "--output", "report"]
    reported = job("evaluate", *words, folder=tmp_path, RAY_TMPDIR=str(logs))
    assert reported.returncode == 0, reported.stderr
    assert (trained.stderr, reported.stderr) == ("", "")

    local = {str(path): path.read_bytes() for top in (tmp_path, logs) for path in top.rglob("*") if path.is_file()}
    screens = {f"screen of {done.args[2]}": (done.stdout + done.stderr).encode() for done in (trained, reported)}
    written = {**s3.objects("told"), **local, **screens}
    assert len(written) > 20
    for part in ("tensorboard", "/logs/raylet.out", "/logs/worker-"):
        assert any(part in name for name in written)
    for name, content in written.items():
        for secret in (s3.key, s3.secret):
            assert secret.encode() not in content, name


def run_here(module, words):
    """The exit code of a job that is refused: in this process."""
    return (command.train if module == "train" else command.evaluate)(words)


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("train", ["--run.storage_path", "s3://{key}:{secret}@bucket/embedded"]),
        ("evaluate", ["--runs", "s3://bucket/run", "--output", "s3://{key}:{secret}@bucket/report"]),
    ],
)
def test_credentials_in_a_uri_are_refused_and_not_repeated(s3, no_ray, tmp_path, monkeypatch, capfd, module, words):
    monkeypatch.chdir(tmp_path)
    assert run_here(module, [word.format(key=s3.key, secret=s3.secret) for word in words]) == 2
    captured = capfd.readouterr()
    assert "the URI holds credentials" in captured.err
    assert len(captured.err.splitlines()) == 1
    for secret in (s3.key, *s3.secret.split("/")):
        assert secret not in captured.out + captured.err
    assert not list(tmp_path.iterdir())
    assert not [name for name in s3.objects() if "embedded" in name]


@pytest.mark.parametrize(
    ("module", "words", "said"),
    [
        ("train", ["--run.storage_path", "s3://bucket/x"], "s3://bucket/x/mnist_mlp/config.yaml cannot be read: "),
        ("evaluate", ["--runs", "s3://bucket/x", "--output", "out"], "s3://bucket/x/search.json cannot be read: "),
    ],
)
def test_a_service_that_answers_503_ends_a_job_with_code_1_and_one_line(
    answers, no_ray, tmp_path, monkeypatch, capfd, module, words, said
):
    answers(lambda number: 503)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("nn_train.storage.retry.PATIENCE", 0)
    assert run_here(module, words) == 1
    failed = capfd.readouterr().err
    assert said in failed
    assert "HTTP status 503" in failed
    assert len(failed.splitlines()) == 1
