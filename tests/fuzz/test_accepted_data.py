"""Mutated data files that are not refused are really trained on: a whole run comes of each, or a message."""

from __future__ import annotations

import pytest
from npz_mutations import data_file
from outcomes import ending, quarters

from nn_train.config import config_from_dict
from nn_train.errors import RequestError, TrainingError
from nn_train.storage.folder import ResultsFolder

pytestmark = pytest.mark.tf
CASES = 150
NOT_FINITE = ("the loss is ", "the validation loss is ", "weights are NaN or infinite")  # of huge numbers


@pytest.mark.parametrize("numbers", quarters(CASES))
def test_what_is_taken_ends_in_a_whole_run_or_in_a_message(elsewhere, numbers):
    import tensorflow as tf

    from nn_train.engine.strategy import Replicas
    from nn_train.runs.worker import Job, WorkerContext, train_replica

    replicas = Replicas(strategy=tf.distribute.get_strategy(), rank=0, size=1)
    finished, failed, faults = 0, 0, []
    for number in numbers:
        content, change = data_file(number)
        (elsewhere / "data.npz").write_bytes(content)
        if ending("train", ["--data.source", "data.npz"])[0] != 0:
            continue
        sections = {"model": {"hidden_units": 4}, "train": {"epochs": 1, "batch_size": 8}}
        run = {"storage_path": str(elsewhere), "loggers": []}
        config = config_from_dict({"name": f"run{number}", "data": {"source": "data.npz"}, "run": run, **sections})
        folder = ResultsFolder(str(elsewhere), config.job_name)
        try:
            train_replica(Job(config, folder, ("python",), 0.0), replicas, WorkerContext())
            finished += (folder.read_json("result.json") or {})["status"] == "finished"
        except RequestError:
            failed += 1
            problem = f"a refused run left {folder.names('')}" if folder.exists() else ""
        except TrainingError as error:
            failed += 1
            problem = "" if str(error).startswith(NOT_FINITE) else str(error)
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
        else:
            problem = ""
        if problem:
            faults.append(f"data_file({number}), {change}: {problem[:500]}")
    assert not faults, "\n".join([f"{len(faults)} faults; the first:", *faults[:5]])
    assert finished > len(numbers) / 20
