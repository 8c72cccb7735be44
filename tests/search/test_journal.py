"""The journal: every trial once, in order, whatever happens to the process that writes it."""

from __future__ import annotations

import pytest
from trial_records import journal_of, record

from nn_train.search.journal import PART_ROWS, Journal, ranked
from nn_train.storage.folder import ResultsFolder


def lines_of(folder):
    return {path.name: path.read_text().splitlines() for path in sorted((folder / "journal").iterdir())}


def test_what_was_added_is_read_back_in_the_order_of_its_end(tmp_path):
    ended = [
        record("t00003", 0.5, 0.6, draws={"optimizer.learning_rate": 0.25}, started=1.5, finished=2.5),
        record("t00001", status="failed", cause="two\nlines"),
        record("t00002", 0.1, status="stopped", phase="extend"),
    ]
    journal_of(ResultsFolder(str(tmp_path)), *ended)
    assert Journal(ResultsFolder(str(tmp_path))).records == ended


def test_a_record_is_on_disk_when_it_was_added(tmp_path):
    journal = Journal(ResultsFolder(str(tmp_path)))
    assert list(tmp_path.iterdir()) == []
    for count in range(1, 4):
        journal.add(record(f"t{count:05d}"))
        assert len(Journal(ResultsFolder(str(tmp_path))).records) == count


def test_a_file_holds_so_many_records_and_no_more(tmp_path):
    count = 2 * PART_ROWS + 1
    journal_of(ResultsFolder(str(tmp_path)), *(record(f"t{index:05d}") for index in range(count)))
    parts = lines_of(tmp_path)
    assert {name: len(lines) for name, lines in parts.items()} == {
        "part-000001.jsonl": PART_ROWS,
        "part-000002.jsonl": PART_ROWS,
        "part-000003.jsonl": 1,
    }
    assert [one.trial for one in Journal(ResultsFolder(str(tmp_path))).records] == [f"t{i:05d}" for i in range(count)]


def test_a_file_that_was_not_finished_is_not_read(tmp_path):
    journal_of(ResultsFolder(str(tmp_path)), record("t00000"))
    whole = tmp_path / "journal" / "part-000001.jsonl"
    (tmp_path / "journal" / "part-000002.jsonl.abc.part").write_bytes(whole.read_bytes()[:40])
    assert [one.trial for one in Journal(ResultsFolder(str(tmp_path))).records] == ["t00000"]


@pytest.mark.parametrize(
    ("one", "value"),
    [
        (record("t", 0.5, 0.7, 0.6), 0.6),  # the losses fall: the last epoch is the best
        (record("t", 0.5, 0.7, 0.6, losses=[0.3, 0.2, 0.4]), 0.7),
        (record("t", 0.5, 0.7, losses=[0.2, 0.2]), 0.5),  # the first of equals
        (record("t", 0.5, status="failed"), None),
    ],
)
def test_the_value_of_a_trial_is_the_metric_at_its_lowest_validation_loss(one, value):
    assert one.value("val_accuracy") == value
    assert one.value("val_auc") is None


@pytest.mark.parametrize(("lower", "order"), [(False, ["c", "a", "b", "d"]), (True, ["d", "a", "b", "c"])])
def test_the_best_come_first_and_equals_by_name(lower, order):
    ended = [record("b", 0.5), record("a", 0.5), record("c", 0.9), record("d", 0.1), record("x", status="failed")]
    assert [one.trial for one in ranked(ended, "val_accuracy", lower)] == order
