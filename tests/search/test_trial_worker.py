"""What a worker of a trial says of it, and why it failed."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

import numpy as np
import pytest

from nn_train.config import config_from_dict
from nn_train.errors import RequestError, TrainingError
from nn_train.search.trial_worker import TrialWorker
from nn_train.storage.folder import ResultsFolder

pytestmark = pytest.mark.tf


def test_causes_are_told_in_words():
    import tensorflow as tf

    from nn_train.search.trial_worker import cause_of

    for error in (MemoryError(), tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")):
        assert cause_of(error).startswith("out of memory; lower train.batch_size")
    assert cause_of(RequestError("model.name: wrong")) == "model.name: wrong"
    assert cause_of(TrainingError("the loss is nan in epoch 1, step 2")) == "the loss is nan in epoch 1, step 2"
    for error in (ValueError("a mistake"), tf.errors.InternalError(None, None, "a mistake")):
        assert cause_of(error).endswith(f"{type(error).__name__}: a mistake")


@pytest.mark.parametrize(
    "kind", ["UnavailableError", "AbortedError", "CancelledError", "InternalError", "DeadlineExceededError"]
)
def test_a_lost_peer_is_no_fault_of_the_trial(kind):
    import tensorflow as tf

    from nn_train.search.trial_worker import cause_of

    error = getattr(tf.errors, kind)
    with pytest.raises(error):
        cause_of(error(None, None, "Collective ops is aborted by: failed to connect"))


def worker_of(rows=(), complete=False):
    """A worker whose trial has one epoch behind it, and ``rows`` to come."""
    worker = TrialWorker(0, 1)
    worker.hooks = SimpleNamespace(alive=lambda: None, watch=SimpleNamespace(end=lambda: None))
    worker.training = SimpleNamespace(history=[{"epoch": 1}], complete=complete, of_best=dict)
    worker.rows = iter(rows)
    worker.printed = SimpleNamespace(listening=contextlib.nullcontext, keep=lambda: None)
    return worker


def fails():
    raise TrainingError("the loss is nan")
    yield


@pytest.mark.parametrize(
    ("rows", "complete", "outcome"),
    [
        ([{}], False, (False, "")),
        ([{}], True, (True, "")),  # that was its last epoch
        ([], False, (True, "")),
        (fails(), False, (True, "the loss is nan")),
    ],
)
def test_a_trial_ends_with_its_last_epoch_or_when_it_fails(rows, complete, outcome):
    found = worker_of(rows, complete).epoch()
    assert (found.done, found.cause) == outcome
    assert found.rows == [{"epoch": 1}]


@pytest.mark.parametrize("source", ["user_code:streams", "user_data:split_at_random"])
def test_what_a_function_draws_for_the_data_is_that_of_the_run_of_the_trial(tmp_path, source):
    """Whatever was drawn before, also where other trials had them: a stream's shuffle goes on from pass to pass."""
    from nn_train.datasets.cache import load_for_run
    from nn_train.search.warm.models import WarmModels

    def rows(data):
        return np.concatenate([x for x, *_ in data.train.as_numpy_iterator()] if data.is_stream else data.train.x)

    def given(seed):
        return config_from_dict({"data": {"source": source}, "seed": seed})

    of_runs = [rows(load_for_run(given(seed).data, seed)) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(of_runs[0], of_runs[1])
    assert not np.array_equal(of_runs[0], of_runs[2])
    own, shared = TrialWorker(0, 1), TrialWorker(0, 1, load_for_run(given(0).data, 0))
    for worker in (own, shared):
        worker.models = WarmModels(None)
        for seed, varied in ((0, ()), (0, ()), (1, ["seed"]), (0, ())):
            found = worker.load(given(seed), varied, ResultsFolder(str(tmp_path)))
            np.testing.assert_array_equal(rows(found), of_runs[2 * seed])
    first = TrialWorker(0, 1, load_for_run(given(0).data, 0))  # with another seed than what the node shares
    first.models = WarmModels(None)
    np.testing.assert_array_equal(rows(first.load(given(1), ["seed"], ResultsFolder(str(tmp_path)))), of_runs[2])


def test_trials_of_other_data_are_compared_on_the_same_validation_examples(tmp_path):
    from nn_train.search.warm.models import WarmModels

    def given(**args):
        return config_from_dict({"data": {"source": "user_data:first_columns", "args": args}})

    worker, fields, search = TrialWorker(0, 1), ["data.args.columns"], ResultsFolder(str(tmp_path))
    worker.models = WarmModels(None)
    widths = [worker.load(given(columns=columns), fields, search).train.x.shape[1] for columns in (3, 6)]
    assert widths == [3, 6]
    with pytest.raises(RequestError, match=r"^data\.source: the validation examples of this trial have other targets"):
        worker.load(given(columns=6, split=7), fields, search)


@pytest.mark.parametrize(
    ("source", "refused"),
    [
        ("unlike_data:drawn_rows", True),
        ("unlike_data:drawn_validation_stream", True),
        ("unlike_data:drawn_test_rows", False),
    ],
)
def test_a_process_that_reads_the_data_itself_has_the_validation_examples_of_the_search(tmp_path, source, refused):
    from nn_train.search.warm.models import WarmModels

    config, search = config_from_dict({"data": {"source": source}}), ResultsFolder(str(tmp_path))
    first, second = TrialWorker(0, 1), TrialWorker(1, 2)
    first.models = second.models = WarmModels(None)
    first.load(config, ["optimizer.learning_rate"], search)
    with pytest.raises(RequestError, match="other targets") if refused else contextlib.nullcontext():
        second.load(config, ["optimizer.learning_rate"], search)
    second.load(config, ["seed"], search)  # by which a function may draw
