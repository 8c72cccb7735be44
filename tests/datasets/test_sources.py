"""Reading data: what is taken, what is split off, and what is refused with a message."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys

import numpy as np
import pytest

from nn_train.config import DataConfig
from nn_train.datasets import load_data
from nn_train.errors import RequestError


def good():
    generator = np.random.default_rng(0)
    return {
        "x_train": generator.integers(0, 256, (30, 8, 8)).astype(np.uint8),
        "y_train": (np.arange(30) % 3).astype(np.uint8),
        "x_test": generator.integers(0, 256, (9, 8, 8)).astype(np.uint8),
        "y_test": (np.arange(9) % 3).astype(np.uint8),
    }


def saved(tmp_path, arrays):
    np.savez(tmp_path / "data.npz", **arrays)
    return str(tmp_path / "data.npz")


def test_mnist_is_the_real_one_split_into_three():
    data = load_data(DataConfig(validation_fraction=1 / 6))
    assert data.train.x.shape == (50_000, 28, 28, 1)
    assert (data.train.size, data.validation.size, data.test.size) == (50_000, 10_000, 10_000)
    assert data.train.x.dtype == np.uint8
    assert (data.divisor, data.num_classes) == (255.0, 10)
    assert data.sha256["x_train"].startswith("741c9888")


def test_bytes_reach_the_model_from_0_to_255_where_it_scales_by_itself():
    from nn_train.engine.tensors import as_input

    shares, whole = (load_data(DataConfig(scale=scale)) for scale in ("auto", "none"))
    assert (shares.divisor, whole.divisor) == (255.0, 1.0)
    some = whole.test.x[:3]
    np.testing.assert_array_equal(as_input(some, whole.divisor), some.astype(np.float32))
    np.testing.assert_allclose(255 * as_input(some, shares.divisor), some, rtol=1e-6)


def test_the_split_holds_every_example_once(tmp_path):
    data = load_data(DataConfig(source=saved(tmp_path, good()), validation_fraction=0.25))
    both = np.concatenate([data.train.x, data.validation.x])[..., 0]
    assert data.validation.size == 8  # round(30 * 0.25), to even
    assert sorted(map(bytes, both)) == sorted(map(bytes, good()["x_train"]))


def test_validation_examples_and_weights_of_ones_own(tmp_path):
    more = {"x_val": np.full((5, 8, 8), 9, np.uint8), "y_val": np.full(5, 11), "sample_weight": np.arange(30) / 7}
    data = load_data(DataConfig(source=saved(tmp_path, {**good(), **more}), validation_fraction=0.5))
    assert (data.train.size, data.validation.size, data.num_classes) == (30, 5, 12)
    assert (data.validation.x == 9).all()
    assert data.validation.weight is None
    np.testing.assert_allclose(data.train.weight, more["sample_weight"], rtol=1e-6)
    assert {"x_val", "sample_weight"} <= set(data.sha256)


def test_weights_are_held_out_with_their_examples(tmp_path):
    arrays = {**good(), "sample_weight": np.arange(30)}
    data = load_data(DataConfig(source=saved(tmp_path, arrays), validation_fraction=0.5))
    for part in (data.train, data.validation):
        np.testing.assert_array_equal(part.x[..., 0], arrays["x_train"][part.weight.astype(int)])


def test_classes_have_the_names_of_the_source_also_those_without_an_example(tmp_path):
    arrays = {**good(), "class_names": np.array(["bird", "cat", "dog", "fish"])}
    data = load_data(DataConfig(source=saved(tmp_path, arrays)))
    assert (data.class_names, data.num_classes) == (("bird", "cat", "dog", "fish"), 4)
    assert "class_names" not in data.sha256
    assert load_data(DataConfig(source=saved(tmp_path, good()))).class_names is None


@pytest.mark.parametrize("kind", [">i4", ">f4", ">f8", "<i2"])
def test_numbers_come_in_the_byte_order_of_the_machine(tmp_path, kind):
    arrays = {key: array.astype(kind) if key[0] == "x" else array for key, array in good().items()}
    data = load_data(DataConfig(source=saved(tmp_path, arrays), validation_fraction=0))
    assert data.train.x.dtype.isnative
    assert (data.divisor, data.validation) == (None, None)
    np.testing.assert_array_equal(data.train.x, arrays["x_train"])


def change(**arrays):
    return lambda: {**good(), **arrays}


def without(name):
    return lambda: {key: value for key, value in good().items() if key != name}


BROKEN = {
    "a missing array": (without("y_test"), "lacks y_test"),
    "unequal lengths": (change(y_train=np.zeros(29, np.uint8)), "unequal lengths"),
    "NaN pixels": (change(x_train=np.full((30, 8, 8), np.nan), x_test=np.zeros((9, 8, 8))), "NaN or infinity"),
    "negative labels": (change(y_train=np.full(30, -1)), "label -1"),
    "absurd labels": (change(y_test=np.full(9, 10**9)), "label 1000000000"),
    "float labels": (change(y_train=np.zeros(30)), "whole-number labels"),
    "one-hot labels": (change(y_train=np.zeros((30, 3), np.uint8)), "one label an example"),
    "no examples": (change(x_train=np.zeros((0, 8, 8)), y_train=np.zeros(0, int)), "with N > 0"),
    "other shapes in the test part": (change(x_test=np.zeros((9, 4, 4), np.uint8)), r"\(4, 4\)"),
    "bytes in one part only": (change(x_test=np.zeros((9, 8, 8))), "x_train is uint8 and x_test float64; uint8 is"),
    "numbers too large": (
        change(x_train=np.full((30, 8, 8), 1e39), x_test=np.zeros((9, 8, 8))),
        r"too large for float32, first at index \(0, 0, 0\)",
    ),
    "too few weights": (change(sample_weight=np.ones(29)), r"sample_weight has shape \(29,\)"),
    "weights that are none": (change(sample_weight=np.full(30, np.nan)), "a number of at least 0 for each of 30"),
    "weights of nothing": (change(sample_weight_val=np.ones(3)), "given without x_val and y_val"),
    "too few names": (change(class_names=np.array(["a", "b"])), r"\(2,\).* a text for each of the 3 classes"),
    "a name twice": (change(class_names=np.array(["a", "b", "a"])), "holds a name twice"),
    "pickles": (change(x_train=np.array([{}] * 30, dtype=object)), "never loaded"),
}


@pytest.mark.parametrize(("make", "said"), BROKEN.values(), ids=BROKEN)
def test_data_that_cannot_be_learned_from_is_refused(tmp_path, make, said):
    with pytest.raises(RequestError, match=f"^data.source: .*{said}"):
        load_data(DataConfig(source=saved(tmp_path, make())))


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 torn", b"\x93NUMPY"])
def test_a_damaged_file_is_refused(tmp_path, content):
    (tmp_path / "data.npz").write_bytes(content)
    with pytest.raises(RequestError, match=r"^data.source: "):
        load_data(DataConfig(source=str(tmp_path / "data.npz")))


def test_a_flipped_byte_is_refused(tmp_path):
    path = saved(tmp_path, good())
    content = bytearray((tmp_path / "data.npz").read_bytes())
    content[200] ^= 0xFF
    (tmp_path / "data.npz").write_bytes(bytes(content))
    with pytest.raises(RequestError, match=r"^data.source: "):
        load_data(DataConfig(source=path))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("no/such/file.npz", "No such file"),
        ("mnits", "did you mean 'mnist'"),
        ("ftp-like://x/y.npz", "cannot be used: Unrecognized"),
    ],
)
def test_a_source_that_is_not_there_is_refused(source, said):
    with pytest.raises(RequestError, match=said):
        load_data(DataConfig(source=source))


def test_arrays_of_the_users_own(monkeypatch):
    import user_data  # as from a job's working directory

    data = load_data(DataConfig(source="user_data:arrays"))
    assert (data.train.size, data.validation.size, data.num_classes) == (91, 10, 3)
    (x, y), test = user_data.arrays()
    monkeypatch.setattr(user_data, "arrays", lambda: ((x, y[:, None]), test))
    assert load_data(DataConfig(source="user_data:arrays")).train.y.shape == (91,)
    data = load_data(DataConfig(source="user_data:two_inputs"))
    assert set(data.train.x) == {"left", "right"}
    data = load_data(DataConfig(source="user_data:weighted_with_validation"))
    assert (data.train.size, data.validation.size, data.test.size) == (101, 20, 40)
    assert data.train.weight.shape == (101,)
    assert data.validation.weight is None
    data = load_data(DataConfig(source="user_data:named"))
    assert (data.class_names, data.num_classes) == (("ash", "birch", "cedar"), 3)
    data = load_data(DataConfig(source="user_data:named", args={"names": ["ash", "birch", "cedar", "elm"]}))
    assert data.num_classes == 4
    with pytest.raises(RequestError, match="must return"):
        load_data(DataConfig(source="user_data:not_an_array"))


@pytest.mark.tf
def test_fashion_mnist_is_what_keras_loads_with_its_names(tmp_path):
    """From the files that Keras keeps once they are downloaded: here small ones of the same form."""
    kept = tmp_path / "datasets" / "fashion-mnist"
    kept.mkdir(parents=True)
    for part, count in (("train", 30), ("t10k", 20)):
        labels, images = np.arange(count, dtype=np.uint8) % 10, np.full((count, 28, 28), 7, np.uint8)
        (kept / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(bytes(8) + labels.tobytes()))
        (kept / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(bytes(16) + images.tobytes()))
    code = (
        "from nn_train.config import DataConfig\nfrom nn_train.datasets import load_data\n"
        "data = load_data(DataConfig(source='fashion_mnist'))\n"
        "print(data.train.size, data.validation.size, data.test.size, data.divisor, data.class_names[9])\n"
    )
    environment = {**os.environ, "KERAS_HOME": str(tmp_path)}
    said = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert said.stdout == "27 3 20 255.0 Ankle boot\n", said.stderr
