"""Evaluation on a real Ray: the same bytes for any number of workers, also when one dies."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from check_report import check_report

from nn_train.config import config_from_dict, dump_yaml
from nn_train.config.schema import ScalingConfig
from nn_train.errors import RequestError
from nn_train.jobs.command import evaluate as main
from nn_train.prediction.driver import evaluate_runs
from nn_train.prediction.predict_run import predict_run
from nn_train.ray_cluster.session import ray_session
from nn_train.report import load_inputs

ROOT = Path(__file__).parents[2]
EXACT = ("metrics.json", "confusion.csv", "curves.csv")


def on_ray(test):
    return pytest.mark.ray(pytest.mark.usefixtures("ray")(test))


@pytest.fixture(scope="module")
def ray(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT / "tests"))
        patch.setenv("STRUCK_MARKER", str(tmp_path_factory.mktemp("marker") / "struck_"))
        with ray_session(verbose=False):
            yield


@pytest.fixture
def no_ray(monkeypatch):
    """Whoever asks for a Ray has failed."""
    monkeypatch.setattr("nn_train.ray_cluster.session.ray_session", lambda verbose: pytest.fail("Ray is started"))


def write_run(folder, name, source, input_shape, seed):
    """A finished run as training leaves it, with a model that was not trained."""
    import keras

    from nn_train.engine.models import build_model

    config = config_from_dict({"name": name, "seed": seed, "data": {"source": source}})
    keras.utils.set_random_seed(seed)
    run = folder / name
    run.mkdir()
    build_model(config.model, input_shape, 3).save(run / "model.keras")
    (run / "config.yaml").write_text(dump_yaml(config))
    row = {"epoch": 1, "loss": 1.0, "accuracy": 0.5, "val_loss": 1.0 + seed, "val_accuracy": 0.5}
    (run / "metrics.jsonl").write_text(json.dumps(row) + "\n")
    record = {"schema": 1, "name": name, "status": "finished", "best_epoch": 1, "epochs": 1, "seed": seed}
    record |= {"metrics": {"best": row, "final": row}, "data": {"source": source, "num_classes": 3}}
    (run / "result.json").write_text(json.dumps(record))
    return run


@pytest.fixture(scope="module")
def image_runs(tmp_path_factory):
    """Two runs on 1,234 test images: three blocks, the last one short."""
    folder = tmp_path_factory.mktemp("runs")
    generator = np.random.default_rng(0)
    parts = {"train": 40, "test": 1234}
    arrays = {f"x_{k}": generator.integers(0, 256, (n, 12, 12)).astype(np.uint8) for k, n in parts.items()}
    arrays |= {f"y_{k}": generator.integers(0, 3, n) for k, n in parts.items()}
    np.savez(folder / "images.npz", **arrays)
    return [write_run(folder, f"run{seed}", str(folder / "images.npz"), (12, 12, 1), seed) for seed in (0, 1)]


@on_ray
def test_a_test_stream_in_another_order_on_each_worker_is_refused(tmp_path):
    """Of which some examples would be counted twice, and some never."""
    run = write_run(tmp_path, "run", "unlike_data:drawn_test_stream", (6,), 0)
    with pytest.raises(RequestError, match=r"run: data\.source: the test examples are a stream that gives each worker"):
        evaluate_runs([run], tmp_path / "report", ScalingConfig(num_workers=2))
    evaluate_runs([run], tmp_path / "report", ScalingConfig(num_workers=1))


@pytest.fixture(scope="module")
def report(ray, image_runs, tmp_path_factory):
    """What one worker finds out about them."""
    output = tmp_path_factory.mktemp("report")
    evaluate_runs(image_runs, output, ScalingConfig(num_workers=1))
    return output


def exact(output):
    """The files of a report that hold no times."""
    files = [*(output / "predictions").glob("*.npz"), *(output / name for name in EXACT)]
    assert len(files) == 5
    return {file.name: file.read_bytes() for file in files}


@on_ray
def test_any_number_of_workers_gives_the_same_bytes(report, image_runs, tmp_path):
    """Of four one has nothing to predict. Two: the job below. A run that is given again is left out."""
    said, scaling = [], ScalingConfig(num_workers=4, cpus_per_worker=0.25)
    evaluate_runs([*image_runs, image_runs[0]], tmp_path / "out", scaling, said.append)
    assert exact(tmp_path / "out") == exact(report)
    same = f"{image_runs[0]} is left out: the same training as {image_runs[0]}, with the same seed"
    assert said[0] == same


@on_ray
def test_new_examples_are_predicted_once(image_runs, tmp_path):
    """By any number of workers: ``test_predict_run.py``."""
    with np.load(image_runs[0].parent / "images.npz") as file:
        np.savez(tmp_path / "new.npz", x=file["x_test"])
    said, scaling = [], ScalingConfig(num_workers=2)
    predict_run(image_runs[0], str(tmp_path / "new.npz"), str(tmp_path / "new.csv"), scaling, said.append)
    lines = (tmp_path / "new.csv").read_text().splitlines()
    assert lines[0] == "id,label,p_0,p_1,p_2"
    assert [line.split(",")[0] for line in lines[1:]] == [str(row) for row in range(1234)]
    assert said == [f"predicting {tmp_path}/new.npz with {image_runs[0]}", "1,234 examples predicted"]


@on_ray
@pytest.mark.long
def test_workers_that_are_lost_are_started_again_and_change_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("nn_train.prediction.workers.HANG_TIMEOUT", 30.0)  # while TensorFlow loads nobody is told
    strikes = ("dies", "stops")
    runs = [write_run(tmp_path, strike, f"user_data:{strike}_once", (6,), 0) for strike in strikes]
    markers = [Path(os.environ["STRUCK_MARKER"] + strike) for strike in strikes]
    assert [marker.exists() for marker in markers] == [False] * 2
    evaluate_runs(runs, tmp_path / "first", ScalingConfig(num_workers=2, cpus_per_worker=0.5))
    assert [marker.exists() for marker in markers] == [True] * 2
    evaluate_runs(runs, tmp_path / "second", ScalingConfig(num_workers=1))
    for strike in strikes:
        first, second = (tmp_path / name / "predictions" / f"{strike}.npz" for name in ("first", "second"))
        assert first.read_bytes() == second.read_bytes()


@on_ray
def test_the_page_is_written_again_without_the_runs(report, no_ray, tmp_path):
    page = shutil.copytree(report, tmp_path / "out") / "report.html"
    before = page.read_bytes()
    page.unlink()
    assert evaluate_runs([], tmp_path / "out") == page
    assert page.read_bytes() == before


@on_ray
def test_every_number_is_the_one_that_scikit_learn_gives(report):
    assert check_report(report).failures == []


def job(*words, folder):
    """The job by its command line, on a Ray of its own."""
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    command = [sys.executable, "-m", "jobs.evaluate", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def write_search(folder, best=None):
    """A finished search of two trials; ``best`` becomes the run of its best model."""
    folder.mkdir()
    about = {"name": folder.name, "metric": "val_accuracy", "mode": "max"}
    (folder / "search.json").write_text(json.dumps(about))
    rows = "".join(f"t{i},completed,,0.{i + 3},3,1.5,0.{i + 1}\n" for i in range(2))
    header = "trial_id,status,cause,val_accuracy,epochs,seconds,config/optimizer.learning_rate\n"
    (folder / "trials.csv").write_text(header + rows)
    if best:
        shutil.copytree(best, folder / "best" / "1_t1")
    return folder


@on_ray
def test_another_test_set_is_predicted_and_named(report, image_runs, tmp_path):
    out = tmp_path / "out"
    with np.load(image_runs[0].parent / "images.npz") as file:
        np.savez(tmp_path / "later.npz", x_test=file["x_test"][600:], y_test=file["y_test"][600:])
    assert main(["--runs", str(image_runs[0]), "--output", str(out), "--data.source", str(tmp_path / "later.npz")]) == 0
    with np.load(report / "predictions" / "run0.npz") as first, np.load(out / "predictions" / "run0.npz") as other:
        np.testing.assert_array_equal(other["y_true"], first["y_true"][600:])
        np.testing.assert_allclose(other["logits"], first["logits"][600:], rtol=1e-5, atol=1e-5)
    assert f"1 configuration · {tmp_path}/later.npz · 634 test examples" in (out / "report.html").read_text()


@on_ray
@pytest.mark.e2e
def test_the_job_takes_several_searches_and_two_workers(report, image_runs, tmp_path):
    places = [str(write_search(tmp_path / f"search{seed}", run)) for seed, run in enumerate(image_runs)]
    done = job("--runs", *places, "--output", "out", "--scaling.num_workers", "2", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == str(Path("out") / "report.html")
    assert exact(tmp_path / "out") == exact(report)
    inputs = load_inputs(tmp_path / "out")
    assert [record.name for record in inputs.runs] == ["run0", "run1"]
    assert [search.name for search in inputs.searches] == ["search0", "search1"]


def test_searches_without_a_run_are_refused(no_ray, tmp_path):
    with pytest.raises(RequestError, match="at least one run"):
        evaluate_runs([], tmp_path / "out", searches=[write_search(tmp_path / "search")])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--output", "out", "--runs", "nowhere"], "has no model.keras"),
        (["--runs", "nowhere"], "--output"),
        (["--output", "nowhere"], "nowhere the folder of an evaluation"),
        (["--output", "out", "--runs", "x", "--scaling.num_workers", "no"], "scaling.num_workers: 'no'"),
        (["--output", "out", "--runz", "x"], "--runz"),
        (["--output", "out", "--data.source", "mnist"], "--data.source: nothing is predicted without --runs"),
        (
            ["--output", "out", "--runs", "x", "--data.source", "user_data:arays"],
            "user_data.py has no function 'arays'",
        ),
    ],
)
def test_a_wrong_command_line_is_refused_in_one_line_before_ray_starts(
    no_ray, tmp_path, monkeypatch, capfd, words, said
):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    captured = capfd.readouterr()
    assert said in captured.err
    assert len(captured.err.splitlines()) == 1
    assert not list(tmp_path.iterdir())
