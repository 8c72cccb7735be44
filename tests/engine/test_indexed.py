"""Rows that are read by index: the same training, bit for bit, as with the arrays in memory."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest
from tiers import long

pytestmark = pytest.mark.dist

RUNS = ("one_row_left", "weighted", "by_class", "pictures", "augmented")
CASES = [("one_row_left", 1), *((run, 2) for run in RUNS), long("one_row_left", 3)]


@pytest.mark.parametrize(("run", "size"), CASES)
def test_a_folder_trains_bit_for_bit_as_the_arrays_in_memory(outcome, run, size):
    assert_same_bits(outcome(size), f"indexed_{run}", run)


@pytest.mark.parametrize("run", ["by_objects", "by_batches", "indexed_records"])
def test_objects_with_an_index_train_bit_for_bit_as_the_arrays_in_memory(outcome, run):
    assert_same_bits(outcome(2), run, "uneven")


if sys.version_info >= (3, 11):  # which Grain needs

    @pytest.mark.parametrize(("run", "memory"), [("by_grain", "uneven"), ("indexed_array_records", "images")])
    def test_sources_of_grain_train_bit_for_bit_as_the_arrays_in_memory(outcome, run, memory):
        pytest.importorskip("grain", reason="needs Grain, which the extra dev brings")
        assert_same_bits(outcome(2), run, memory)


def assert_same_bits(outcome, run, other):
    assert outcome.history(run) == outcome.history(other)
    for one, expected in zip(outcome.variables(run), outcome.variables(other), strict=True):
        np.testing.assert_array_equal(one, expected)


def test_examples_that_are_changed_each_time_train_otherwise(outcome):
    losses = [[row["loss"] for row in outcome(1).history(run)] for run in ("augmented", "unchanged")]
    assert all(changed != plain for changed, plain in zip(*losses, strict=True))


@pytest.mark.parametrize(
    ("run", "size"), [("indexed", 2), ("indexed_averages", 2), ("augmented", 2), long("indexed", 3)]
)
def test_going_on_within_an_epoch_gives_the_same_bits(outcome, run, size):
    memory = {"indexed": "dropout", "indexed_averages": "averages"}.get(run, run)
    assert all(one == [1, 2] for one in outcome(size).returned(f"within_{run}"))
    assert_same_bits(outcome(size), f"within_{run}", memory)


def test_a_file_that_changed_is_named_before_a_run_goes_on_and_between_epochs(outcome):
    for rank, (before, within) in enumerate(outcome(2).returned("changed_files")):
        assert before[0] == "InterruptedTrainingError: "
        refusal = "RequestError: data.source: y_train.npy changed since the run began" if rank == 0 else "OtherWorker"
        assert before[1].startswith(refusal)
        assert within[0].startswith("TrainingError: data.source: y_train.npy changed since the run began")


def test_a_file_that_becomes_shorter_within_an_epoch_is_named_with_its_row(outcome):
    (said,) = outcome(1).returned("shorter_file")
    assert said.startswith("TrainingError: data.source: ")
    assert re.search(r"/x_train.npy ends in row \d+ of 101: it became shorter since the run began", said)


def test_a_worker_reads_its_share_of_the_file_and_needs_no_memory_for_the_rest(outcome):
    for told in outcome(2).returned("large_data"):
        assert told["examples"] == 12800
        assert 0.9 / 2 <= told["share"] <= 1.1 / 2
        assert told["rest"] <= 1.1 / 4 / 2  # of an epoch that goes on: nothing before is read
        assert "MemoryError" in told["at_once"]  # under the same limit
