"""TFRecord files of which single records are read: the same examples as tf.data's, and faults by their names."""

from __future__ import annotations

import os
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from nn_train.config import DataConfig
from nn_train.datasets import load_data
from nn_train.datasets.tf_records import TfRecords, index_of, masked
from nn_train.errors import RequestError, TrainingError


def record(content):
    """A record as the format has it, made here by itself."""
    length = len(content).to_bytes(8, "little")
    checksums = [masked(part).to_bytes(4, "little") for part in (length, content)]
    return length + checksums[0] + content + checksums[1]


def write(path, contents):
    path.write_bytes(b"".join(map(record, contents)))
    return path


def contents(count, first=0):
    """Records of unequal lengths: a label, and then its number as bytes."""
    return [
        bytes([number % 3]) + bytes(4 + number % 5) + number.to_bytes(4, "big")
        for number in range(first, first + count)
    ]


def parse(content):
    """x float32 [2], y int64: the number of a record, and its label."""
    import tensorflow as tf

    content = tf.io.decode_raw(content, tf.uint8)
    number = tf.cast(content[-2], tf.int32) * 256 + tf.cast(content[-1], tf.int32)
    return tf.cast(tf.stack([number, -number]), tf.float32), tf.cast(content[0], tf.int64)


@pytest.fixture
def shards(tmp_path):
    """Two files, of 300 and of 5 records; the pattern that names both."""
    write(tmp_path / "train-0.tfrecord", contents(300))
    write(tmp_path / "train-1.tfrecord", contents(5, first=300))
    return tmp_path / "train-*.tfrecord"


@pytest.mark.tf
def test_files_of_tensorflow_are_read_in_any_order(tmp_path):
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(tmp_path / "a.tfrecord")) as writer:
        for content in contents(70):
            writer.write(content)
    assert (tmp_path / "a.tfrecord").read_bytes() == b"".join(map(record, contents(70)))
    x, y = TfRecords(tmp_path / "*.tfrecord", parse).read([69, 0, 69, 5])
    np.testing.assert_array_equal(x, [[69, -69], [0, 0], [69, -69], [5, -5]])
    assert y.tolist() == [0, 0, 0, 2]


@pytest.mark.tf
def test_records_are_counted_through_the_files_and_threads_may_ask_at_once(shards):
    records = TfRecords(shards, parse)
    assert len(records) == 305
    assert [int(part) for part in records[304][0]] == [304, -304]
    indices = np.random.default_rng(0).integers(0, 305, (30, 9))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda index: records.read(index.tolist())[0][:, 0], indices))
    np.testing.assert_array_equal(found, indices)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(records)).read([302])[0], [[302, -302]])


def test_the_index_is_made_once_and_anew_when_the_file_is_another(shards, monkeypatch):
    from nn_train.datasets import tf_records

    path, scanned = str(shards.parent / "train-1.tfrecord"), []
    scan = tf_records.scan
    monkeypatch.setattr(tf_records, "scan", lambda *file: scanned.append(file) or scan(*file))
    before = [index_of(path).starts.tolist() for _ in range(2)]
    assert before[0] == before[1] == np.cumsum([0, *map(len, map(record, contents(5, 300)))]).tolist()
    assert len(scanned) == 1
    write(shards.parent / "train-1.tfrecord", contents(6, first=1))
    assert len(index_of(path)) == 6
    assert len(scanned) == 2
    (shards.parent / ".nn_train" / "train-1.tfrecord.npy").write_bytes(b"cut")
    assert len(index_of(path)) == 6
    assert sorted(os.listdir(shards.parent)) == [".nn_train", "train-0.tfrecord", "train-1.tfrecord"]


def flipped(place):
    def flip(path):
        content = bytearray(path.read_bytes())
        content[place] ^= 4
        path.write_bytes(content)

    return flip


FRAMED = len(record(contents(1, 300)[0]))
BROKEN = {
    "a damaged length": (flipped(FRAMED + 1), r"train-1\.tfrecord, record 1: its length is damaged"),
    "no TFRecord file": (lambda path: path.write_text("x,y\n" * 90), r"record 0: .*; or this is no TFRecord file"),
    "cut in a content": (lambda path: path.write_bytes(path.read_bytes()[:-6]), r"record 4: is cut short: it ends at"),
    "empty": (lambda path: path.write_bytes(b""), r"train-1\.tfrecord has no record"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_damaged_file_is_named_with_the_record(shards, case):
    damage, message = BROKEN[case]
    damage(shards.parent / "train-1.tfrecord")
    with pytest.raises(RequestError, match=rf"^data\.source: .*{message}"):
        TfRecords(shards, parse)


@pytest.mark.tf
@pytest.mark.parametrize("place", [FRAMED + 15, 2 * FRAMED - 2], ids=["content", "checksum"])
def test_a_damaged_content_is_named_when_it_is_read(shards, place):
    flipped(place)(shards.parent / "train-1.tfrecord")
    records = TfRecords(shards, parse)
    with pytest.raises(RequestError, match=r"^data\.source: .*train-1\.tfrecord, record 1: is damaged"):
        records.read([5, 301])
    assert records.read([300, 302])[1].tolist() == [0, 2]


@pytest.mark.tf
def test_a_record_that_cannot_be_parsed_or_is_not_alike_is_named(tmp_path):
    import tensorflow as tf

    write(tmp_path / "a.tfrecord", [b"12", b"34", b"x", b"567"])
    as_number = TfRecords([str(tmp_path / "a.tfrecord")], lambda one: (tf.strings.to_number(one), 0))
    with pytest.raises(RequestError, match=r"a\.tfrecord, record 2: cannot be parsed: .*x"):
        as_number.read([1, 2])
    as_bytes = TfRecords([str(tmp_path / "a.tfrecord")], lambda one: (tf.io.decode_raw(one, tf.uint8), 0))
    with pytest.raises(
        RequestError, match=r"record 3: has the shapes \[\[3\], \[\]\], the first record \[\[2\], \[\]\]"
    ):
        as_bytes.read([1, 3])
    with pytest.raises(RequestError, match=r"parse gives .*; expected \(x, y\)"):
        TfRecords([str(tmp_path / "a.tfrecord")], lambda one: one).read([0])


CHANGED = {
    "gone": (os.remove, "is gone since the run began"),
    "written again": (lambda path: os.utime(path, ns=(5, 5)), "changed since the run began"),
}


@pytest.mark.parametrize("case", CHANGED)
def test_a_file_that_changed_since_its_index_was_read_is_named(shards, case):
    change, message = CHANGED[case]
    records, path = TfRecords(shards, parse), shards.parent / "train-1.tfrecord"
    before = records.fingerprint()
    change(path)
    with pytest.raises(TrainingError, match=rf"train-1\.tfrecord {message} \(record 2 "):
        records.records(np.array([302]))
    after = records.fingerprint()
    assert [name for name in before if before[name] != after[name]] == [str(path)]


def test_a_folder_of_records_needs_a_function(shards):
    with pytest.raises(RequestError, match=r"holds TFRecord files, .* returns nn_train\.TfRecords"):
        load_data(DataConfig(source=str(shards.parent)))
