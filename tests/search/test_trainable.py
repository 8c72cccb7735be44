"""What Ray Tune hears of a trial, and which models are written at the end."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from trial_records import job, record

from nn_train.config.space import parse_space
from nn_train.ray_cluster.serialization import pack
from nn_train.search import export, trainable
from nn_train.search.trainable import RemoteTrial, TrialSettings, for_search
from nn_train.search.trial_worker import Outcome
from nn_train.storage.folder import ResultsFolder


class Workers:
    """Workers that train nothing: they give what they were made with."""

    broken = False

    def __init__(self, *outcomes, refused=""):
        self.outcomes, self.begun, self.refused = list(outcomes), [], refused

    def begin(self, config, folder, values, draws):
        self.begun.append((config, folder.name, values))
        return self.refused

    def epoch(self):
        return self.outcomes.pop(0)

    def wear(self):
        return ""


def runner(folder, workers, space=None, **search):
    """A ``TrialRunner`` that Tune did not start."""
    config = job(folder, **search, **({"space": space} if space else {}))
    settings = TrialSettings(
        base=config,
        space=parse_space(config.search.space, config),
        folder=ResultsFolder(str(folder)),
        data=None,
        parcel=None,
    )
    made = object.__new__(for_search(settings))
    made.workers = workers
    return made


def epochs(*pairs):
    return [
        {"epoch": epoch, "val_loss": loss, "val_accuracy": value} for epoch, (loss, value) in enumerate(pairs, start=1)
    ]


def test_a_trial_that_its_workers_refuse_has_failed_and_is_not_trained(tmp_path):
    one = runner(tmp_path, Workers(refused="the model does not fit"))
    one.start({"trial": "t00000", "draws": {"optimizer.learning_rate": 0.01}})
    result = one.step()
    assert (result["cause"], result["done"], result["rows"]) == ("the model does not fit", True, [])


def workers_that_answer(*answers):
    """The workers of a trial, without their processes."""
    made = object.__new__(RemoteTrial)
    made.workers, made.answers = [], lambda calls, failed: list(answers)
    return made


@pytest.mark.parametrize("failed", [0, 1])
def test_the_outcome_of_a_trial_is_that_of_the_worker_that_failed_else_the_chiefs(failed):
    outcomes = [Outcome(rows=epochs((0.2, 0.7)), done=False), Outcome(rows=[], done=True)]
    assert workers_that_answer(*outcomes).epoch() is outcomes[0]
    outcomes[failed] = Outcome(rows=[], done=True, cause="out of memory")
    assert workers_that_answer(*outcomes).epoch() is outcomes[failed]


@pytest.mark.parametrize("in_time", [True, False])
def test_workers_that_wait_for_one_that_failed_are_ended_and_take_no_other_trial(monkeypatch, in_time):
    killed = []

    def wait(calls, num_returns, timeout=None):
        ready = len(calls) if timeout is None or in_time else 0
        return calls[: min(ready, num_returns)], calls[min(ready, num_returns) :]

    here = SimpleNamespace(wait=wait, get=lambda answered: answered, kill=killed.append)
    monkeypatch.setattr(trainable, "ray", here)
    group = object.__new__(RemoteTrial)
    group.workers, group.broken = ["chief", "other"], False
    assert group.answers(["", "fine"], bool) == ["", "fine"]
    assert group.answers(["why", ""], bool) == (["why", ""] if in_time else ["why"])
    assert group.broken is not in_time
    assert killed == ([] if in_time else group.workers)


def test_a_result_holds_the_metric_at_the_best_epoch_so_far(tmp_path):
    rows = epochs((0.2, 0.7), (0.3, 0.9))
    one = runner(tmp_path, Workers(Outcome(rows=rows, done=False)))
    one.start({"trial": "t00000", "draws": {"optimizer.learning_rate": 0.01}})
    result = one.step()
    assert (result["value"], result["epoch"], result["done"], result["cause"]) == (0.7, 2, False, "")
    ((config, folder, values),) = one.workers.begun
    assert (config.optimizer.learning_rate, folder) == (0.01, "t00000")
    assert values == {"optimizer.learning_rate": 0.01}


@pytest.mark.parametrize(("mode", "worst"), [("max", -1e30), ("min", 1e30)])
def test_a_failed_trial_is_the_worst_and_ends(tmp_path, mode, worst):
    one = runner(tmp_path, Workers(Outcome(rows=epochs((0.2, 0.7)), done=True, cause="the loss is nan")), mode=mode)
    one.start({"trial": "t00000", "values": {"seed": 1}})
    result = one.step()
    assert (result["value"], result["done"], result["ended"], result["cause"]) == (worst, True, True, "the loss is nan")


def test_a_metric_that_is_not_there_fails_the_trial_and_names_those_that_are(tmp_path):
    one = runner(tmp_path, Workers(Outcome(rows=epochs((0.2, 0.7)), done=False)), metric="val_auc")
    one.start({"trial": "t00000", "values": {"seed": 1}})
    result = one.step()
    assert result["done"]
    there = "epoch, val_loss, val_accuracy; set search.metric to one of them"
    assert result["cause"] == f"search.metric: no val_auc in the epochs' rows; there: {there}"
    assert result["ended"]


def test_values_that_do_not_go_together_fail_their_trial_alone(tmp_path):
    space = {"optimizer.schedule": {"choice": ["exponential", "cosine"]}, "optimizer.warmup_steps": {"choice": [0, 9]}}
    workers = Workers(Outcome(rows=epochs((0.2, 0.7)), done=True))
    one = runner(tmp_path, workers, space=space)
    one.start({"trial": "t0", "draws": {"optimizer.schedule": "exponential", "optimizer.warmup_steps": 9}})
    result = one.step()
    assert result["done"]
    assert result["cause"].startswith("optimizer.warmup_steps: works with the schedules constant and cosine")
    assert workers.begun == []
    assert one.reset_config({"trial": "t1", "draws": {"optimizer.schedule": "cosine", "optimizer.warmup_steps": 9}})
    assert one.step()["cause"] == ""


@pytest.mark.parametrize("state", ["broken", "wear"])
def test_a_process_that_is_broken_or_worn_takes_no_other_trial(tmp_path, state):
    workers = Workers()
    one = runner(tmp_path, workers)
    setattr(workers, state, True if state == "broken" else lambda: "many traced models")
    assert one.reset_config({"trial": "t00000", "values": {}}) is False
    assert workers.begun == []


@pytest.mark.tf
def test_models_are_written_in_order_but_of_other_code_only_those_that_were_made_with_it(tmp_path, monkeypatch):
    """The weights of a trial in the model of now would be another model."""
    folder, ranked = ResultsFolder(str(tmp_path)), [record(f"t0000{index}", 0.9 - index / 10) for index in range(4)]
    for trial in ("t00000", "t00001", "t00002"):  # the last has no weights
        folder.write(f"trials/{trial}/best.weights", b"")

    def write(run, said):
        for name in export.FILES:
            run.write_json(name, said)

    write(folder.inside("best/1_t00001"), "then")
    folder.write("best/1_t00002/config.yaml", b"")  # of a process that was killed
    monkeypatch.setattr(export, "export_model", lambda config, folder, run, *rest: write(run, "now"))
    monkeypatch.setattr("nn_train.runs.own_code.own_code", lambda config: {"modules": {"mine": "b"}})
    codes = [{"modules": {"mine": code}} for code in "aabb"]
    for _ in range(2):
        assert export.export_models(job(tmp_path), folder, ranked, codes, (), pack([])) == ["t00000"]
        found = {path.parent.name: json.loads(path.read_text()) for path in (tmp_path / "best").glob("*/model.keras")}
        assert found == {"2_t00001": "then", "3_t00002": "now"}
