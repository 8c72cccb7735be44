"""A folder of Parquet files: the rows that the arrays in memory have, made into ``.npy`` files once, and what is not
taken."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nn_train.config import DataConfig
from nn_train.datasets import load_data, load_test, parquet_folder, parquet_groups
from nn_train.errors import RequestError, TrainingError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "nn_train" / "parquet"


def table(count=30, seed=0, **columns):
    generator = np.random.default_rng(seed)
    given = {"width": generator.random(count), "height": generator.integers(0, 9, count), "label": np.arange(count) % 3}
    return pa.table({**given, **columns})


def save(path, rows, **options):
    path.parent.mkdir(exist_ok=True, parents=True)
    pq.write_table(rows, path, **{"row_group_size": 7, **options})


@pytest.fixture
def folder(tmp_path):
    save(tmp_path / "data" / "train.parquet", table())
    save(tmp_path / "data" / "test.parquet", table(9, seed=1))
    return tmp_path / "data"


def load(folder, **settings):
    return load_data(DataConfig(source=str(folder), **{"validation_fraction": 0, **settings}))


def everything(part):
    return part.take(np.arange(part.size))


def test_columns_of_numbers_are_features_in_their_order(folder):
    save(folder / "train.parquet", table().append_column("__index_level_0__", pa.array(range(30))))
    data, given = load(folder), table()
    order = np.array([29, 3, 3, 14])
    taken = data.train.take(order)
    expected = np.stack([given["width"].to_numpy(), given["height"].to_numpy()], axis=1).astype(np.float32)
    np.testing.assert_array_equal(taken.x, expected[order])
    np.testing.assert_array_equal(taken.y, order % 3)
    assert (taken.x.dtype, taken.y.dtype, taken.weight) == (np.float32, np.int32, None)
    assert (data.train.size, data.test.size, data.num_classes, data.divisor) == (30, 9, 3, None)


def lists(array, fixed):
    """An array ``[N, …]`` as a column of lists in lists."""
    made = pa.array(array.reshape(-1))
    for size in array.shape[:0:-1]:
        ends = pa.array(np.arange(0, len(made) + 1, size), pa.int32())
        made = pa.FixedSizeListArray.from_arrays(made, size) if fixed else pa.ListArray.from_arrays(ends, made)
    return made


@pytest.mark.parametrize("fixed", [True, False])
@pytest.mark.parametrize(("dtype", "becomes"), [("u1", "u1"), ("f8", "f4"), ("i4", "i4")])
def test_a_column_x_of_lists_is_an_array_of_their_shape(folder, dtype, becomes, fixed):
    images = np.random.default_rng(0).integers(0, 256, (30, 4, 5)).astype(dtype)
    for name in ("train", "test"):
        save(folder / f"{name}.parquet", pa.table({"id": ["a"] * 30, "x": lists(images, fixed), "y": [1] * 30}))
    data = load(folder)
    taken = everything(data.train).x
    np.testing.assert_array_equal(taken.reshape(images.shape), images)
    assert (taken.dtype, taken.ndim) == (np.dtype(becomes), 4 if dtype == "u1" else 3)
    assert data.divisor == (255 if dtype == "u1" else None)


def test_files_of_a_part_follow_their_names_and_may_lie_in_folders(folder):
    os.rename(folder / "train.parquet", folder / "train-1.parquet")
    save(folder / "train-0.parquet", table(5, label=[2] * 5, sample_weight=[0.5] * 5))
    save(folder / "train-1.parquet", table(4, label=[1] * 4, sample_weight=[2] * 4))
    save(folder / "train" / "0.parquet", table(3, label=[0] * 3, sample_weight=[3.0] * 3))
    save(folder / "train" / "_other.parquet", table(3))
    save(folder / "val" / "0.parquet", table(6))
    data = load(folder)
    train = everything(data.train)
    assert train.y.tolist() == [2] * 5 + [1] * 4 + [0] * 3 or train.y.tolist() == [0] * 3 + [2] * 5 + [1] * 4
    assert dict(zip(train.y.tolist(), train.weight.tolist(), strict=True)) == {2: 0.5, 1: 2, 0: 3}
    assert train.weight.dtype == np.float32
    assert (data.validation.size, everything(data.validation).weight) == (6, None)


def test_the_rows_are_made_once_and_anew_where_a_file_is_another(folder, cache, monkeypatch):
    made = []
    monkeypatch.setattr(
        parquet_folder, "convert", lambda *words: (made.append(words), parquet_groups.convert(*words))[1]
    )
    first = everything(load(folder).train)
    assert len(made) == 2
    assert load_test(DataConfig(source=str(folder))).test.size == 9
    np.testing.assert_array_equal(everything(load(folder).train).x, first.x)
    assert len(made) == 2
    save(folder / "test.parquet", table(11))
    assert load(folder).test.size == 11
    assert len(made) == 3
    assert not list(cache.glob("*.part"))


def test_only_the_test_part_is_needed_to_test(folder, cache):
    os.unlink(folder / "train.parquet")
    data = load_test(DataConfig(source=str(folder)))
    assert everything(data.test).y.tolist() == [0, 1, 2] * 3
    assert set(data.fingerprint) == {"test*.parquet", "test.parquet"}
    with pytest.raises(RequestError, match=r"^data\.source: .*data lacks train\*\.parquet; expected"):
        load(folder)


def test_the_fingerprint_is_that_of_the_parquet_files(folder):
    data = load(folder, validation_fraction=0.2)
    about = os.stat(folder / "train.parquet")
    assert data.fingerprint["train.parquet"] == f"{about.st_size} bytes of {about.st_mtime_ns} ns"
    assert set(data.fingerprint) == {"train*.parquet", "train.parquet", "test*.parquet", "test.parquet"}
    train = pickle.loads(pickle.dumps(data.train))
    train.check_unchanged()
    save(folder / "train-1.parquet", table())
    with pytest.raises(TrainingError, match=r"train\*\.parquet changed since the run began \(1 files; now 2 files\)"):
        train.check_unchanged()
    os.unlink(folder / "train-1.parquet")
    os.utime(folder / "test.parquet", ns=(1, 1))
    train.check_unchanged()
    with pytest.raises(TrainingError, match=r"^data\.source: test\.parquet changed since the run began"):
        data.test.check_unchanged()


def test_a_file_that_changes_while_it_is_read_is_not_kept(folder, cache, monkeypatch):
    def change(*words):
        columns = parquet_groups.convert(*words)
        save(folder / "train.parquet", table(31))
        return columns

    monkeypatch.setattr(parquet_folder, "convert", change)
    with pytest.raises(TrainingError, match=r"^data\.source: files of train in .*data changed while they were read"):
        load(folder)
    assert not [path for path in cache.iterdir() if path.is_dir()]


LOAD = """
import os, signal, sys
from nn_train.config import DataConfig
from nn_train.datasets import load_data, parquet_folder, parquet_groups

def told(*words):
    print("converts", flush=True)
    if sys.argv[2] == "wait":
        sys.stdin.read(1)
    if sys.argv[2] == "die":
        (words[1] / "x_train.npy").write_bytes(b"a part")
        os.kill(os.getpid(), signal.SIGKILL)
    return parquet_groups.convert(*words)

parquet_folder.convert = told
config = DataConfig(source=sys.argv[1], validation_fraction=0)
print(load_data(config, lambda line: print(line.split()[0], flush=True)).train.size, flush=True)
"""


PARTS = [("train", "5 row groups"), ("test", "2 row groups")]


def start(folder, how):
    command = [sys.executable, "-c", LOAD, str(folder), how]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_where_the_process_that_converts_is_killed_the_one_that_waits_does_it(folder, cache):
    with start(folder, "wait") as one:
        assert one.stdout.readline() == "converts\n"
        with start(folder, "now") as other:
            assert other.stdout.readline() == "waiting\n"
            one.kill()
            said = other.communicate(timeout=60)[0].split()
    assert said == ["converts", "converting", "converts", "converting", "30"]  # both parts
    assert not list(cache.glob("*.part"))


def test_what_a_killed_process_left_is_not_taken_for_the_rows(folder, cache):
    with start(folder, "die") as killed:
        assert killed.communicate(timeout=60)[0] == "converts\n"
    (left,) = cache.glob("*.part")
    assert [path.name for path in left.iterdir()] == ["x_train.npy"]
    assert everything(load(folder).train).y.tolist() == [0, 1, 2] * 10
    assert not list(cache.glob("*.part"))


def test_what_is_converted_is_told_and_how_far_it_is(folder, cache, monkeypatch):
    config, said = DataConfig(source=str(folder)), []
    load_data(config, said.append)
    what = "converting the {} part of {} into the cache {}: {}"
    expected = [what.format(part, folder, cache, groups) for part, groups in PARTS]
    assert said == expected
    load_data(config, said.append)
    assert said == expected  # they are there
    monkeypatch.setattr(parquet_groups, "TOLD_SECONDS", 0)
    save(folder / "test.parquet", table(11))
    load_data(config, said.append)
    assert [line.rpartition(": ")[2] for line in said[2:]] == [
        "2 row groups",
        "1 of 2 row groups",
        "2 of 2 row groups",
    ]


def with_value(name, row, value):
    values = table()[name].to_pylist()
    values[row] = value
    return table(**{name: pa.array(values)})


def with_x(values, kind):
    return pa.table({"x": pa.array(values, kind), "y": [0] * len(values)})


TEXT = pa.array(["a"] * 30)
PAIRS = pa.list_(pa.float32())
REFUSED = {
    "a null": (with_value("width", 8, None), "train.parquet: row group 1, column width holds a null"),
    "NaN": (with_value("width", 15, np.nan), r"row group 2, column width holds NaN or infinity, first at index \(1,\)"),
    "negative label": (with_value("label", 7, -1), "row group 1, column label holds label -1"),
    "text": (table(name=TEXT), "train.parquet: column name has type string; expected numbers: convert it or leave"),
    "text labels": (table(label=TEXT), "column label has type string; expected whole numbers from 0: write the"),
    "no label": (table().drop_columns("label"), "has the columns width, height; expected one of y and label"),
    "x a number": (table(x=[1] * 30), "column x has type int64; expected lists of numbers"),
    "ragged": (with_x([[1, 2]] * 8 + [[1]], PAIRS), "row group 1, column x has lists of several lengths"),
    "ragged groups": (
        with_x([[1, 2]] * 7 + [[1]], PAIRS),
        r"row group 1, column x has lists of shape \(1,\), those before it \(2,\)",
    ),
    "a null in a list": (with_x([[1, 2]] * 8 + [[1, None]], PAIRS), "row group 1, column x holds a null"),
    "no rows": (table(0), "the Parquet files of train have no rows"),
}


@pytest.mark.parametrize(("rows", "said"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_example_is_named_with_file_group_and_column(folder, cache, rows, said):
    save(folder / "train.parquet", rows)
    with pytest.raises(RequestError, match=rf"^data\.source: .*{said}"):
        load(folder)
    assert not [path for path in cache.iterdir() if path.is_dir()]


def test_other_columns_are_refused_in_a_file_and_in_a_part(folder):
    save(folder / "train-2.parquet", table().rename_columns(["width", "depth", "label"]))
    with pytest.raises(
        RequestError, match=r"columns of .*train\.parquet are .*height.*, those of train-2\.parquet .*depth"
    ):
        load(folder)
    os.unlink(folder / "train-2.parquet")
    save(folder / "test.parquet", table().select(["height", "width", "label"]))
    with pytest.raises(
        RequestError, match=r"columns of test are .*'height', 'width'.*, those of train .*'width', 'height'"
    ):
        load(folder)


def damage(path, place, count=10):
    content = bytearray(path.read_bytes())
    content[place : place + count] = bytes(byte ^ 255 for byte in content[place : place + count])
    path.write_bytes(content)


def test_a_damaged_group_is_named_with_its_file(folder):
    path = folder / "train.parquet"
    for options, inside in (({}, 0), ({"compression": "none", "write_page_checksum": True}, 30)):
        save(path, table(), use_dictionary=False, **options)
        damage(path, pq.ParquetFile(path).metadata.row_group(2).column(0).data_page_offset + inside)
        with pytest.raises(
            RequestError, match=r"train\.parquet, row group 2 cannot be read: .*; if it is damaged, copy it"
        ):
            load(folder)


def test_a_cache_that_cannot_be_written_is_named(folder, tmp_path):
    (tmp_path / "cache").write_text("where a folder would be")
    with pytest.raises(RequestError, match=r"cannot be written: .*; set XDG_CACHE_HOME to a folder with room"):
        load(folder)


def test_arrays_in_the_folder_are_preferred(folder):
    for name, array in {"x": np.ones((4, 2)), "y": np.arange(4)}.items():
        np.save(folder / f"{name}_train.npy", array)
        np.save(folder / f"{name}_test.npy", array)
    assert load(folder).num_classes == 4
