"""``search`` on a real local Ray: what it leaves, how it goes on, and what it survives."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest

from nn_train import train
from nn_train.config import config_from_dict, read_config
from nn_train.errors import RequestError, TrainingError
from nn_train.report.inputs.search_results import load_search
from nn_train.search import plan, search
from nn_train.storage.folder import ResultsFolder

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]
TIMES = ("seconds", "samples_per_second")
LEARNING_RATE = {"optimizer.learning_rate": {"loguniform": [1e-3, 1e-1]}}
UNKEPT = {"keep_best": 0}  # where nobody looks at models, no process writes them


def make(folder, name="s", workers=1, epochs=3, space=None, **sections):
    searched = {"space": space or LEARNING_RATE, "num_trials": 4, "scheduler": "none", **sections.pop("search", {})}
    base = {"data": {"source": "user_data:arrays"}, "scaling": {"num_workers": workers}, **sections}
    base["train"] = {"batch_size": 16, "epochs": epochs, **base.get("train", {})}
    base["run"] = {"storage_path": str(folder), "loggers": [], **base.get("run", {})}
    return config_from_dict({"name": name, "search": searched, **base})


def rows_of(folder, name="s"):
    with open(Path(folder) / name / "trials.csv", newline="") as file:
        return list(csv.DictReader(file))


def numbers(rows):
    return [{key: value for key, value in row.items() if key not in TIMES} for row in rows]


def epochs(record):
    return [row["epoch"] for row in record.rows]


def statuses(folder):
    return [row["status"] for row in rows_of(folder)]


def accuracy_of(folder, config):
    """That of a model that was kept, over the validation examples."""
    import keras
    import numpy as np

    from nn_train.datasets import load_data

    held_out = load_data(config.data).validation
    predicted = keras.models.load_model(folder / "model.keras").predict(held_out.x, verbose=0)
    return np.mean(predicted.argmax(-1) == held_out.y)


@pytest.mark.long
def test_a_search_over_a_folder_is_that_over_the_arrays_in_memory(tmp_path):
    import user_data

    user_data.save_folder(tmp_path / "data", user_data.arrays())
    few, found = {"num_trials": 2}, []
    for name, source in (("memory", "user_data:arrays"), ("folder", str(tmp_path / "data"))):
        config = make(tmp_path, name, workers=2, search={**few, "keep_best": 1}, data={"source": source})
        best = search(config)
        kept = json.loads(next((tmp_path / name / "best").rglob("result.json")).read_text())
        assert kept["data"]["fingerprint"]
        found.append(numbers(rows_of(tmp_path, name)))
        assert best is not None
    assert found[0] == found[1]
    os.utime(tmp_path / "data" / "y_train.npy", ns=(1, 1))
    again = {"search": {"num_trials": 3, "keep_best": 0}, "data": {"source": str(tmp_path / "data")}}
    with pytest.raises(RequestError, match=r"^data\.source: y_train\.npy changed since the run began"):
        search(make(tmp_path, "folder", workers=2, **again))


@pytest.mark.long
def test_trials_are_not_compared_on_validation_examples_that_a_function_draws_each_time(tmp_path):
    """Not where the search goes on, and not where each process calls the function."""
    arrays, rows = ({"source": f"unlike_data:{name}"} for name in ("drawn_order", "drawn_rows"))
    search(make(tmp_path, epochs=1, data=arrays, search={"num_trials": 1}))
    with pytest.raises(RequestError, match=r"^data\.source: training examples, validation examples changed"):
        search(make(tmp_path, epochs=1, data=arrays, search={"num_trials": 2}))
    assert len(rows_of(tmp_path)) == 1
    (tmp_path / "s" / "journal").rename(tmp_path / "journal")  # as if it had been killed before a trial had ended
    begun = ResultsFolder(str(tmp_path), "s")
    begun.write("trials/t00000/standing.json", b"{}")
    with pytest.raises(RequestError, match="validation examples changed since the run began"):
        search(make(tmp_path, epochs=1, data=arrays, search={"num_trials": 1}))
    begun.inside("trials").clear()  # or before one had begun
    search(make(tmp_path, epochs=1, data=arrays, search={"num_trials": 1}))
    with pytest.raises(TrainingError, match=r"no trial has val_accuracy: data\.source: the validation examples of"):
        search(make(tmp_path, "rows", epochs=1, data=rows, search={"num_trials": 2}))


def hparams_of(folder):
    """What TensorBoard's HParams tab shows: trial to its session group."""
    from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
    from tensorboard.context import RequestContext
    from tensorboard.plugins.base_plugin import TBContext
    from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups

    events = plugin_event_multiplexer.EventMultiplexer().AddRunsFromDirectory(str(folder))
    events.Reload()
    provider = data_provider.MultiplexerDataProvider(events, str(folder))
    shown = backend_context.Context(TBContext(data_provider=provider))
    columns = shown.experiment_from_metadata(
        RequestContext(), "", True, shown.hparams_metadata(RequestContext(), ""), None
    )
    asked = [api_pb2.ColParams(hparam=one.name) for one in columns.hparam_infos]
    asked += [api_pb2.ColParams(metric=one.name) for one in columns.metric_infos]
    request = api_pb2.ListSessionGroupsRequest(
        allowed_statuses=api_pb2.Status.values(), col_params=asked, slice_size=1000
    )
    answer = list_session_groups.Handler(RequestContext(), shown, "", request).run()
    return {group.name: group for group in answer.session_groups}


def check_tensorboard(folder, outcome):
    """Each trial has its curve, its values and its metric."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    groups = hparams_of(folder)
    assert set(groups) == {record.trial for record in outcome.records}
    for record in outcome.records:
        curves = EventAccumulator(str(folder / record.trial / "validation"))
        curves.Reload()
        shown = [(event.step, event.value) for event in curves.Scalars("epoch_accuracy")]
        assert shown == [(row["epoch"], pytest.approx(row["val_accuracy"])) for row in record.rows]
        group = groups[record.trial]
        values = {name: value.number_value for name, value in group.hparams.items()}
        assert values == record.values
        best = next(one for one in group.metric_values if one.name.tag == "best_epoch/val_accuracy")
        assert best.value == pytest.approx(record.value("val_accuracy"))


def check_mlflow(outcome):
    """Each trial has a run within that of the search."""
    import mlflow

    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("nn_train").experiment_id
    named = {run.info.run_name: run for run in client.search_runs([experiment])}
    parent = named.pop("s")
    assert parent.info.status == "FINISHED"
    assert set(named) == {record.trial for record in outcome.records}
    for record in outcome.records:
        run = named[record.trial]
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.params == {name: str(value) for name, value in record.values.items()}
        assert run.info.status == {"completed": "FINISHED", "stopped": "KILLED"}[record.status]
        logged = client.get_metric_history(run.info.run_id, "val_accuracy")
        assert [one.value for one in logged] == [row["val_accuracy"] for row in record.rows]


def test_a_search_leaves_its_files_and_its_best_trains_to_the_same_numbers(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlflow").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    space = {**LEARNING_RATE, "model.dropout": {"uniform": [0.0, 0.5]}, "train.batch_size": {"choice": [8, 16]}}
    space["data.args.columns"] = {"by": {"train.batch_size": {8: 6, 16: {"choice": [4, 6]}}}}
    searched = {"num_trials": 6, "scheduler": "asha", "keep_best": 2}
    loggers, data = {"loggers": ["tensorboard", "mlflow"]}, {"source": "user_data:first_columns"}
    config = make(tmp_path, space=space, search=searched, run=loggers, data=data)
    outcome = search(config)
    check_tensorboard(tmp_path / "s" / "tensorboard", outcome)
    check_mlflow(outcome)
    assert outcome.ran == 6
    found = load_search(tmp_path / "s")
    assert {trial.status for trial in found.trials} <= {"completed", "stopped"}
    assert found.params == sorted(space)
    assert found.rungs == (1,)
    assert len(list((tmp_path / "s" / "trials").iterdir())) == 2  # no more weights than models are kept
    kept = sorted(path.name for path in (tmp_path / "s" / "best").iterdir())
    assert kept[0] == f"1_{outcome.best.trial}"
    assert len(kept) == 2
    best = read_config(str(tmp_path / "s" / "best.yaml"), {"run.loggers": "none"})
    assert accuracy_of(tmp_path / "s" / "best" / kept[0], best) == pytest.approx(
        outcome.best.value("val_accuracy"), abs=1e-6
    )
    trained = train(best)
    again = [json.loads(line) for line in (Path(trained.folder) / "metrics.jsonl").read_text().splitlines()]
    assert numbers(again) == numbers(outcome.best.rows)
    assert trained.metrics["val_accuracy"] == outcome.best.value("val_accuracy")


@pytest.mark.long
def test_a_finished_search_is_not_run_again_and_can_be_extended(tmp_path, monkeypatch):
    import nn_train.search.algorithms as algorithms

    def tpe(trials):
        return {"search": {"algorithm": "tpe", "num_trials": trials, "max_concurrent": 1, "keep_best": 2}}

    first = search(make(tmp_path, **tpe(3)))
    assert search(make(tmp_path, **tpe(3))).ran == 0
    learned, learn = [], algorithms.OptunaSearcher.learn

    def note(self, draws, value):
        learned.append((draws, value))
        learn(self, draws, value)

    monkeypatch.setattr(algorithms.OptunaSearcher, "learn", note)
    wider = {"optimizer.learning_rate": {"loguniform": [1e-4, 1e-1]}}
    more = search(make(tmp_path, space=wider, **tpe(5)))
    assert more.ran == 2
    assert more.records[:3] == first.records
    assert len({record.trial for record in more.records}) == len({str(record.draws) for record in more.records}) == 5
    # Optuna knows the trials of the session before.
    assert learned == [(record.draws, record.value("val_accuracy")) for record in first.records]
    longer = search(make(tmp_path, space=wider, epochs=5, **tpe(5)))
    assert [record.trial.partition("-")[2] for record in longer.records[5:]] == ["e5", "e5"]
    assert [len(record.rows) for record in longer.records[5:]] == [5, 5]
    with pytest.raises(RequestError, match=r"train.batch_size: 16 → 8.*--run.overwrite true"):
        search(make(tmp_path, epochs=5, train={"batch_size": 8}))


@pytest.mark.long
def test_trials_that_hyperband_pauses_go_on_or_end(tmp_path):
    outcome = search(make(tmp_path, epochs=4, search={"scheduler": "hyperband", **UNKEPT}))
    assert len(outcome.records) == 4
    assert max(len(record.rows) for record in outcome.records) == 4
    assert all(epochs(record) == list(range(1, len(record.rows) + 1)) for record in outcome.records)


def test_a_trial_takes_over_the_weights_of_a_better_one_and_changes_its_numbers(tmp_path):
    # The lower learning rate is the worse by definition, and the better of two trials that run cannot end before
    # the other has been compared with it.
    found_better = {"scheduler": "pbt", "num_trials": 2, "metric": "learning_rate"}
    sections = {"train": {"callbacks": "user_callbacks:two_abreast"}, "run": {"loggers": ["tensorboard"]}}
    outcome = search(make(tmp_path, epochs=4, search=found_better, **sections))
    assert [epochs(record) for record in outcome.records] == [[1, 2, 3, 4]] * 2
    rates = [{row["learning_rate"] for row in record.rows} for record in outcome.records]
    assert max(len(rate) for rate in rates) > 1, "no trial went on with other numbers"
    beginnings = [json.dumps(numbers(record.rows)[0]) for record in outcome.records]
    assert len(set(beginnings)) < len(beginnings), "no trial took over another's weights"
    check_tensorboard(tmp_path / "s" / "tensorboard", outcome)


@pytest.mark.long
def test_failed_trials_of_a_grid_are_recorded_with_their_cause_and_stop_nothing(tmp_path):
    space = {"model.hidden_units": {"choice": [5, 4]}, "optimizer.learning_rate": {"grid": [0.01, 1e38]}}
    config = make(
        tmp_path,
        epochs=1,
        space=space,
        model={"name": "user_code:breaks_with_five_units"},
        optimizer={"name": "sgd"},
        train={"callbacks": "user_callbacks:note_threads"},
        search={"algorithm": "grid", **UNKEPT},
        data={"source": "user_data:telling"},
    )
    outcome = search(config)
    assert (tmp_path / "s" / "logs" / "data.txt").read_text() == "101 examples found\n"
    assert {file.read_text() for file in tmp_path.glob("threads-*")} == {"(1, 1)"}
    causes = {
        (record.values["model.hidden_units"], record.values["optimizer.learning_rate"]): record.cause
        for record in outcome.records
    }
    assert len(causes) == 4
    assert all("five units" in causes[5, rate] for rate in (0.01, 1e38))
    assert "the loss is" in causes[4, 1e38]
    assert causes[4, 0.01] == ""
    assert sorted(failure["trials"] for failure in outcome.summary["failures"])[-1] == 2
    assert outcome.summary["trials"] == {"completed": 1, "stopped": 0, "failed": 3}
    printed = {
        file.parents[1].name: file.read_text() for file in Path(outcome.folder).glob("trials/*/logs/worker-0.txt")
    }
    assert {name for name, text in printed.items() if "asked for 5 units\n" in text} == {
        record.trial for record in outcome.records if record.values["model.hidden_units"] == 5
    }


@pytest.mark.long
def test_a_data_function_that_fails_is_shown_with_what_it_had_printed(tmp_path):
    with pytest.raises(TrainingError) as raised:
        search(make(tmp_path, data={"source": "user_data:telling_and_failing"}))
    said = str(raised.value).splitlines()
    assert said[0] == "data.source: user_data:telling_and_failing failed:"
    assert "user_data.py" in said[2]
    assert said[-3:] == ["LookupError: a label is missing", "It had printed:", "101 examples found"]


@pytest.mark.long
def test_the_search_ends_at_its_target(tmp_path):
    config = make(tmp_path, "target", search={"num_trials": 50, "target": 0.34, **UNKEPT})
    reached = search(config)
    assert reached.ran < 50
    assert "reached the target" in reached.summary["ended"]
    assert search(config).ran == 0


@pytest.mark.parametrize("function", ["plain", pytest.param("own_step", marks=pytest.mark.long)])
def test_trials_of_two_workers_train_as_jobs_train_does(tmp_path, function):
    """The second trial of a user's model has the first one's graph, on both workers."""
    model = {"name": f"reuse_models:{function}", "l2": 0.01}
    space = {**LEARNING_RATE, "model.dropout": {"uniform": [0.2, 0.4]}}
    searched = {"num_trials": 2, "reuse_graph": True, **UNKEPT}
    last = search(make(tmp_path, space=space, workers=2, model=model, search=searched)).records[-1]
    model["dropout"] = last.values["model.dropout"]
    trained = train(make(tmp_path, "again", workers=2, model=model, optimizer=optimizer_of(last)))
    again = [json.loads(line) for line in (Path(trained.folder) / "metrics.jsonl").read_text().splitlines()]
    assert numbers(again) == numbers(last.rows)
    assert {row["world_size"] for row in last.rows} == {2}


@pytest.mark.long
def test_two_workers_of_a_trial_take_a_stream_in_one_order_and_that_of_its_run(tmp_path):
    """It shuffles without a seed, and this is the second trial of its processes."""
    sections = {"workers": 2, "data": {"source": "user_code:streams"}, "model": {"name": "user_code:plain"}}
    last = search(make(tmp_path, search={"num_trials": 2, **UNKEPT}, **sections)).records[-1]
    trained = train(make(tmp_path, "again", optimizer=optimizer_of(last), **sections))
    again = [json.loads(line) for line in (Path(trained.folder) / "metrics.jsonl").read_text().splitlines()]
    assert numbers(again) == numbers(last.rows)


def optimizer_of(record):
    return {"learning_rate": record.values["optimizer.learning_rate"]}


@pytest.mark.long
def test_the_best_are_confirmed_with_other_seeds(tmp_path):
    searched = {"num_trials": 3, "max_concurrent": 1, "confirm": {"top": 2, "seeds": 2}}
    outcome = search(make(tmp_path, epochs=1, search=searched))
    seeds = [record for record in outcome.records if record.phase == "confirm"]
    assert sorted(record.values["seed"] for record in seeds) == [1, 1, 2, 2]
    means = {group["trial"]: group["mean"] for group in outcome.summary["confirmed"]}
    assert len(means) == 2
    assert means[outcome.best.trial] == max(means.values())
    names = {path.name.partition("_")[2] for path in (tmp_path / "s" / "best").iterdir()}
    assert names == {f"{outcome.best.trial}-s1", f"{outcome.best.trial}-s2"}


@pytest.mark.long
@pytest.mark.parametrize("workers", [1, 2])
def test_a_trial_that_hangs_or_stands_still_is_run_again(tmp_path, workers):
    sections = {"model": {"name": "failing_models:trial_struck_twice"}, "run": {"hang_timeout": 15}}
    outcome = search(make(tmp_path, workers=workers, epochs=2, search={"num_trials": 1, **UNKEPT}, **sections))
    assert {file.name for file in (tmp_path / "s").glob("struck_*")} == {"struck_0", "struck_1"}
    assert outcome.ran == 1
    assert statuses(tmp_path) == ["completed"]


@pytest.mark.long
def test_a_trial_whose_worker_is_killed_is_run_again(tmp_path):
    searched = {"num_trials": 2, **UNKEPT}
    config = make(tmp_path, epochs=2, train={"callbacks": "user_callbacks:kill_trial_once"}, search=searched)
    outcome = search(config)
    assert (tmp_path / "killed").exists()
    assert [record.status for record in outcome.records] == ["completed", "completed"]


def test_a_broken_promise_ends_the_search_which_goes_on_without_it(tmp_path):
    def asked(reuse_graph):
        searched = {"num_trials": 3, "reuse_graph": reuse_graph, **UNKEPT}
        space = {name: {"uniform": [0.1, 0.4]} for name in ("model.dropout", "model.l2")}
        return make(tmp_path, epochs=1, space=space, search=searched, model={"name": "reuse_models:wider_each_time"})

    with pytest.raises(RequestError, match=r"^search\.reuse_graph: two models that reuse_models:"):
        search(asked(True))
    assert [record.status for record in search(asked(False)).records] == ["completed"] * 3


def test_data_that_only_a_worker_can_see_to_be_wrong_is_refused_in_one_message(tmp_path):
    with pytest.raises(RequestError, match=r"data.source: .*not_an_array") as caught:
        search(make(tmp_path, data={"source": "user_data:not_an_array"}))
    assert "ray::" not in str(caught.value)
    assert not (tmp_path / "s").exists()


def test_what_cannot_be_placed_is_refused_at_once(tmp_path):
    config = make(tmp_path, workers=9999, train={"batch_size": 20000})
    with pytest.raises(RequestError, match="9999 workers of 1 CPU need"):
        search(config)
    assert not (tmp_path / "s").exists()


def test_the_plan_is_told_without_running_it(tmp_path):
    lines = plan(make(tmp_path, epochs=4, search={"num_trials": 16, "scheduler": "asha"}))
    assert lines[0] == "16 trials to run, 2 at a time"
    assert lines[1] == "trials expected at each rung of asha: epoch 1: 16, epoch 4: 4"
    assert lines[2] == "epochs: about 28, at most 64"
    assert "a short probe" in lines[3]
    assert not (tmp_path / "s").exists()
