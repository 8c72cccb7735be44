"""A pipeline on a real local Ray: what it leaves, and how it goes on."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from nn_train.config import config_from_dict, read_config
from nn_train.errors import RequestError
from nn_train.events import About, EpochEnded, StageStarted, Starting, TrialEnded
from nn_train.pipeline import run_pipeline

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]
SPACE = {"optimizer.learning_rate": {"loguniform": [1e-3, 1e-1]}}
TIMES = ("seconds", "samples_per_second")
RUNS = ["plain_seed0", "plain_seed1", "tuned_seed0", "tuned_seed1"]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """Of the processes of this module, also those of its Ray."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def make(folder, source="user_data:arrays", **pipeline):
    # No scheduler: of two trials at once, who is stopped depends on who is first.
    search = {"space": SPACE, "num_trials": 2, "keep_best": 0, "scheduler": "none"}
    models = {"tuned": {"search": search}, "plain": {"seed": 0}}
    sections = {"data": {"source": source}, "train": {"epochs": 2, "batch_size": 16}}
    sections |= {"run": {"storage_path": str(folder), "loggers": []}, "scaling": {"num_workers": 1}}
    return config_from_dict({"name": "p", "pipeline": {"models": models, "seeds": 2, **pipeline}, **sections})


def kinds(events):
    return [type(event.event if isinstance(event, About) else event) for event in events]


def times(folder):
    """When each run and the search were finished."""
    places = [*RUNS, "search_tuned"]
    files = [
        next(path for name in ("result.json", "search.json") if (path := folder / place / name).exists())
        for place in places
        if (folder / place).exists()
    ]
    return {file.parent.name: file.stat().st_mtime_ns for file in files}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder, events = tmp_path_factory.mktemp("pipeline"), []
    return folder / "p", run_pipeline(make(folder), on_event=events.append), events


def test_every_model_is_trained_from_every_seed_with_what_its_search_found(finished):
    folder, result, events = finished
    assert result.ran
    assert sorted(path.name for path in folder.iterdir()) == sorted([*RUNS, "pipeline.json", "report", "search_tuned"])
    best = read_config(str(folder / "search_tuned" / "best.yaml"), {}).optimizer.learning_rate
    configs = {name: read_config(str(folder / name / "config.yaml"), {}) for name in RUNS}
    assert [configs[name].seed for name in RUNS] == [0, 1, 0, 1]
    assert [configs[name].optimizer.learning_rate for name in RUNS] == [1e-3, 1e-3, best, best]
    assert not (folder / "search_tuned" / "best").exists()  # its models are not needed
    stages = [event.title for event in events if isinstance(event, StageStarted)]
    assert stages == ["search for tuned", "train tuned, plain: 4 runs", "evaluate and report"]
    assert kinds(events).count(Starting) == 1  # the workers of all four runs


def test_a_finished_one_is_not_run_again(finished):
    folder, result, _ = finished
    events = []
    again = run_pipeline(make(folder.parent), on_event=events.append)
    assert not again.ran
    assert (again.report, again.record) == (result.report, result.record)
    assert events == []


@pytest.mark.long
def test_only_what_is_missing_is_run(finished, tmp_path):
    folder = tmp_path / "p"
    shutil.copytree(finished[0], folder)
    before = times(folder)
    # More seeds make it another pipeline, of which most is there.
    result = run_pipeline(make(tmp_path, seeds=3))
    assert result.ran
    assert times(folder) == before
    page = Path(result.report).read_text()
    assert all(name in page for name in [*RUNS, "plain_seed2", "tuned_seed2"])


@pytest.mark.long
def test_interrupted_in_one_stage_after_the_other_or_without_its_report_it_goes_on_there(finished, tmp_path):
    shutil.copytree(finished[0] / "search_tuned", tmp_path / "p" / "search_tuned")  # as if interrupted after it
    before = times(tmp_path / "p")
    for stage in (2, 3):

        def interrupt(event, stage=stage):
            if isinstance(event, StageStarted) and event.number == stage:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt, match="goes on with the same command"):
            run_pipeline(make(tmp_path), on_event=interrupt)
        assert before.items() <= times(tmp_path / "p").items()
        before = times(tmp_path / "p")
        assert set(before) == {"search_tuned", *(RUNS if stage == 3 else [])}
        assert not (tmp_path / "p" / "pipeline.json").exists()
    # As if it had ended, and its report were gone.
    record = (finished[0] / "pipeline.json").read_text().replace(str(finished[0].parent), str(tmp_path))
    (tmp_path / "p" / "pipeline.json").write_text(record)
    events = []
    result = run_pipeline(make(tmp_path), on_event=events.append)
    assert before.items() <= times(tmp_path / "p").items()
    assert not {TrialEnded, EpochEnded} & set(kinds(events))
    assert Path(result.report).exists()
    for name in RUNS:  # and the numbers are those of the one that was not interrupted
        histories = [(place / name / "metrics.jsonl").read_text() for place in (finished[0], tmp_path / "p")]
        assert losses(histories[0]) == losses(histories[1])


def losses(lines):
    return [json.loads(line)["val_loss"] for line in lines.splitlines()]


def test_the_folder_of_a_run_is_not_written_into(finished, tmp_path):
    shutil.copytree(finished[0] / "plain_seed0", tmp_path / "p")
    with pytest.raises(RequestError, match="holds a run or a search, not a pipeline; give another --name"):
        run_pipeline(make(tmp_path))


def test_a_stage_of_another_config_is_refused_with_the_way_out(finished, tmp_path):
    shutil.copytree(finished[0], tmp_path / "p")
    with pytest.raises(RequestError, match=r"holds .* another .*--run.overwrite true"):
        run_pipeline(make(tmp_path), overrides={"train.batch_size": "32"})


@pytest.mark.parametrize(
    ("model", "source", "said"),
    [
        ("own_ways:masked", "own_ways:tagged_tokens", "tuned: evaluation.task: a regression needs a number"),
        ("own_ways:two_outputs", "own_ways:weighted_streams", "tuned: the model has 2 outputs, and only one can be"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_before_anything_is_trained(tmp_path, model, source, said):
    heard = []
    config = make(tmp_path, source)
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, name=model))
    with pytest.raises(RequestError, match=said):
        run_pipeline(config, on_event=heard.append)
    assert not {TrialEnded, EpochEnded, Starting} & set(kinds(heard))
    assert not (tmp_path / "p" / "search_tuned").exists()
