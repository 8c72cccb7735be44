"""What the workers of a strategy share and what they do not, on real processes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from tiers import long

pytestmark = pytest.mark.dist


@pytest.mark.parametrize("size", [1, 2])
def test_every_worker_runs_keras_3_under_a_strategy_of_the_asked_size(outcome, size):
    for worker in outcome(size).returned("describe"):
        assert worker["keras"].startswith("3.")
        assert worker["tf_keras_is_keras_3"]
        assert worker["strategy"] == "CollectiveAllReduceStrategy"  # the class behind MultiWorkerMirroredStrategy
        assert worker["replicas"] == size


def test_what_only_the_workers_can_see_is_refused_by_all_of_them_and_nothing_is_written(outcome):
    differs = "train_step: 2 workers, of which each computes its rows of a batch, do not come to what one does"
    for worker in outcome(2).returned("refused"):
        said, left = zip(*worker, strict=True)
        assert "2 outputs, but the labels need 3" in said[0]
        assert "not a keras.Model" in said[1]
        assert "needs images [N, H, W, C]" in said[2]
        assert "train_step gives error, and no loss" in said[3]
        assert said[4].startswith(differs)
        assert "no function 'no_such_function'" in said[5]
        assert said[6].startswith("model.name: Keras cannot save the model")
        assert "implement `get_config()`" in said[6]
        assert said[7].startswith(differs)
        assert not any(left)


UNLIKE = {
    "drawn_order": "training examples",
    "drawn_inputs": "training examples",
    "other_number": "training examples",
    "drawn_validation": "validation examples",
    "drawn_rows": "training examples",
    "changed_rows": "",  # of which each is read by one worker alone
    "drawn_stream": "training examples",
    "drawn_validation_stream": "validation examples",
    "longer_validation_stream": "workers do not have as many examples",
    "changed_stream": "",
}


@pytest.mark.parametrize("name", UNLIKE)
def test_workers_that_have_other_examples_than_the_others_say_so(outcome, name):
    for worker in outcome(2).returned("unlike"):
        runs = [run for run in worker if run in (f"{name}_plain", f"{name}_averages")]
        assert runs
        for run in runs:
            said, is_kept = worker[run]
            assert UNLIKE[name] in said
            assert said.startswith("RequestError: data.source: the workers do not have" if UNLIKE[name] else "none")
            assert is_kept == (said == "none")


AGAIN = {
    "drawn_parts": "training examples, validation examples, test examples",
    "drawn_rows": "training examples, validation examples",
    "split_stream": "training examples, validation examples",
    "changed_rows": "",
    "nothing_trained": "",  # it was interrupted before its first epoch
}


@pytest.mark.parametrize("name", AGAIN)
def test_a_run_does_not_resume_with_other_examples(outcome, name):
    ((first, again, noted),) = [worker[name] for worker in outcome(1).returned("drawn_again")]
    assert first == "InterruptedTrainingError: "
    refusal = f"RequestError: data.source: {AGAIN[name]} changed since the run began"
    assert again.startswith(refusal if AGAIN[name] else "none")
    assert ("test examples" in noted) == (not AGAIN[name])  # for the evaluation


def test_workers_notice_that_they_do_not_have_the_same_value(outcome):
    assert [worker["agreed"] for worker in outcome(2).returned("describe")] == [[True, False, False]] * 2


@pytest.mark.parametrize(("size", "small"), [(2, ["CollectiveGatherV2", 3.0]), long(3, ["CollectiveReduceV2", 6.0])])
def test_only_two_workers_and_only_little_is_exchanged_instead_of_passed_round(outcome, size, small):
    """Of workers on several machines; those on one send all to all others."""
    for worker in outcome(size).returned("describe"):
        assert worker["sums_of_machines"] == [small, ["CollectiveReduceV2", small[1]]]
        assert worker["sums"] == [["PyFunc", small[1]]] * 2


@pytest.mark.parametrize(("size", "count", "by"), [(2, 10, "peers"), (16, 10, "peers"), (16, 30_000_000, "ring")])
def test_what_all_others_on_a_machine_would_send_has_room_in_memory(monkeypatch, size, count, by):
    from types import SimpleNamespace

    import tensorflow as tf

    from nn_train.engine.collectives import sum_of_vector

    def given(by):
        return lambda own, *_: tf.fill([1], by)

    monkeypatch.setattr(tf, "cast", lambda value, dtype: value)
    launchers = SimpleNamespace(_launchers=[SimpleNamespace(all_reduce=given("ring"))], _options=None)
    extended = SimpleNamespace(worker_devices=["/device:CPU:0"], _get_cross_device_ops=lambda _: launchers)
    strategy = SimpleNamespace(extended=extended)
    replicas = SimpleNamespace(size=size, strategy=strategy, peers=SimpleNamespace(sum=given("peers")))
    assert sum_of_vector(tf.constant([0.0]), count, replicas).numpy() == [by.encode()]


def test_last_layers_are_sent_between_machines_while_those_before_are_computed(outcome):
    ((_, weights),) = [worker["parts"] for worker in outcome(1).returned("describe")]
    for worker in outcome(2).returned("describe"):
        waits, by_several = worker["parts"]
        assert waits == [4, 6, 8]  # of the products of matrices; all together would wait for eight
        np.testing.assert_allclose(by_several, weights, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("device", "parts"), [("CPU", [[4, 3], [2, 1], [0]]), ("GPU", [[4, 3, 2, 1, 0]])])
def test_parts_of_a_sum_are_larger_on_gpus_and_begin_with_the_last_layer(device, parts):
    from types import SimpleNamespace

    import tensorflow as tf

    from nn_train.engine.collectives import in_parts

    extended = SimpleNamespace(worker_devices=[f"/job:worker/replica:0/task:1/device:{device}:0"])
    replicas = SimpleNamespace(strategy=SimpleNamespace(extended=extended), peers=None, size=2)
    tensors = [SimpleNamespace(dtype=tf.float32, shape=tf.TensorShape([600_000])) for _ in range(5)]  # 2.4 MB each
    assert in_parts([0, 1, 2, 3, 4], tensors, replicas) == parts


@pytest.mark.parametrize("size", [2, long(3)])
def test_sums_in_a_loop_are_those_of_the_same_step_and_of_equal_bits_on_all_workers(outcome, size):
    results, given = zip(*(worker["looped"] for worker in outcome(size).returned("describe")), strict=True)
    assert len(set(results)) == 1
    vectors = [np.frombuffer(bytes.fromhex(one), np.float32).astype(np.float64) for one in given]
    last = np.zeros(1000)
    for i in range(20):
        last = sum(last / 8 + vector + i for vector in vectors) - sum((last / 8 + vector) * 0.5 for vector in vectors)
    np.testing.assert_allclose(np.frombuffer(bytes.fromhex(results[0]), np.float32), last, rtol=1e-4, atol=1e-5)


def test_replicas_draw_different_dropout_masks(outcome):
    masks = [np.array(worker["mask"]) for worker in outcome(2).returned("describe")]
    for one, other in itertools.combinations(masks, 2):
        assert 0 < np.count_nonzero(one) < one.size
        assert (one != other).any()


def test_the_first_replica_draws_as_without_a_strategy(outcome):
    assert outcome(1).returned("describe")[0]["mask"] == outcome(2).returned("describe")[0]["mask"]


def test_moving_statistics_and_weights_are_equal_on_all_workers(outcome):
    first, *others = outcome(2).returned("describe")
    assert np.abs(np.array(first["statistics"][0])).max() > 0.01  # they moved from their initial zeros
    for other in others:
        assert other["statistics"] == first["statistics"]
        assert other["weights"] == first["weights"]


def test_what_a_layer_keeps_is_put_together_of_changes(outcome):
    for number in (1, 2):
        ends = ("by", "never", "int8", "bfloat16")
        kept = {end: variable_of(outcome(number), "batch_norm", f"shifts/{end}") for end in ends}
        assert np.array_equal(kept.pop("by"), np.full(6, 3 / 7, np.float32))  # to the bit: nothing has changed
        assert {end: float(value) for end, value in kept.items()} == {"never": -np.inf, "int8": 1, "bfloat16": 1}
    one, several = (variable_of(outcome(number), "batch_norm", "of_hidden/moving_mean") for number in (1, 2))
    assert np.abs(one).max() > 0.01
    np.testing.assert_allclose(several, one, rtol=1e-4, atol=1e-6)


def variable_of(outcome, run, path):
    """Its value after the run."""
    import user_code

    weights = getattr(user_code, run)().weights
    return outcome.variables(run)[next(i for i, weight in enumerate(weights) if weight.path.endswith(path))]
