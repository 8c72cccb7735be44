"""Images in folders of classes: their order, labels and pixels, and what is refused."""

from __future__ import annotations

import os
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from nn_train.config import DataConfig, config_from_dict
from nn_train.datasets import load_data, load_test
from nn_train.datasets.augmentation import with_augmentation
from nn_train.datasets.image_folder import image_folder, is_image_folder
from nn_train.errors import RequestError, TrainingError


def write(path, shape=(8, 6, 3), seed=0):
    """A picture of noise, of which a lossless format keeps every pixel."""
    pixels = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels[..., 0] if shape[2] == 1 else pixels).save(path)
    return pixels


@pytest.fixture
def flowers(tmp_path):
    """Two classes, two images each to train on and one to test."""
    places = ("train/rose/b.png", "train/rose/a.jpg", "train/aster/1.png", "train/aster/deeper/0.png")
    for seed, place in enumerate((*places, "test/rose/x.png", "test/aster/y.png")):
        write(tmp_path / "flowers" / place, seed=seed)
    return tmp_path / "flowers"


def names(rows):
    return [name.decode() for name in rows.names.tolist()]


def test_classes_are_the_sorted_folders_and_their_images_come_in_order(flowers):
    (flowers / "train" / ".ipynb_checkpoints").mkdir()
    (flowers / "train" / "rose" / "notes.txt").write_text("")
    (flowers / "train" / "rose" / "._a.jpg").write_text("")
    assert is_image_folder(flowers)
    parts, classes = image_folder(flowers)
    train, test = parts["train"], parts["test"]
    assert classes == ("aster", "rose")
    assert list(parts) == ["train", "test"]
    assert names(train) == ["aster/1.png", "aster/deeper/0.png", "rose/a.jpg", "rose/b.png"]
    assert train.labels.tolist() == [0, 0, 1, 1]
    assert test.labels.tolist() == [0, 1]


BROKEN = {
    "no training part": (lambda root: os.rename(root / "train", root / "val"), "expected train"),
    "another folder": (lambda root: (root / "valid").mkdir(), "holds the folders test, train, valid; expected"),
    "a class of the test part alone": (lambda root: (root / "test" / "lily").mkdir(), "train has no folder 'lily'"),
    "a class of training alone": (lambda root: write(root / "train/lily/a.png"), "test has no folder 'lily'"),
    "a class without images": (
        lambda root: [(root / part / "lily").mkdir() for part in ("train", "test")],
        "train/lily holds no image",
    ),
    "a part without images": (
        lambda root: [(root / "val" / name).mkdir(parents=True) for name in ("aster", "rose")],
        "val holds no image",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_folders_that_do_not_fit_are_refused_by_name(flowers, case):
    change, message = BROKEN[case]
    change(flowers)
    with pytest.raises(RequestError, match=rf"^data\.source: .*{message}"):
        image_folder(flowers)


def test_the_fingerprint_says_which_class_has_another_file(flowers):
    before = image_folder(flowers)[0]["train"].fingerprint()
    assert before == image_folder(flowers)[0]["train"].fingerprint()
    os.utime(flowers / "train" / "rose" / "b.png", ns=(5, 5))
    after = image_folder(flowers)[0]["train"].fingerprint()
    assert [name for name in before if before[name] != after[name]] == [str(flowers / "train" / "rose")]


@pytest.mark.tf
def test_rows_come_in_the_order_asked_for_with_the_pixels_of_their_files(flowers):
    train = image_folder(flowers)[0]["train"]
    x, y = train.take(np.array([3, 0, 3]))
    assert (x.shape, x.dtype, y.dtype) == ((3, 8, 6, 3), np.uint8, np.int32)
    assert y.tolist() == [1, 0, 1]
    expected = [np.asarray(Image.open(flowers / "train" / name)) for name in ("rose/b.png", "aster/1.png")]
    np.testing.assert_array_equal(x, [expected[0], expected[1], expected[0]])
    assert train.take(np.array([], np.int64))[0].shape == (0, 8, 6, 3)


@pytest.mark.tf
@pytest.mark.parametrize(
    ("size", "mode", "more"),
    [((5, 7, 3), "rgb", "c.bmp"), ((5, 7, 1), "grayscale", "c.png"), ((8, 6, 3), "rgb", "c.gif")],
)
def test_values_are_those_of_keras_rounded(flowers, size, mode, more):
    import keras

    write(flowers / "train" / "rose" / more, (20, 30, 1), seed=9)
    expected = keras.utils.image_dataset_from_directory(
        flowers / "train", image_size=size[:2], color_mode=mode, shuffle=False, batch_size=None, verbose=False
    )
    parts, classes = image_folder(flowers, size)
    rows = parts["train"]
    x, y = rows.take(np.arange(5))
    assert expected.class_names == list(classes)
    np.testing.assert_array_equal(x, np.rint([image for image, _ in expected]))
    assert y.tolist() == [int(label) for _, label in expected]


@pytest.mark.tf
def test_threads_may_ask_at_once_and_a_copy_gives_the_same(flowers):
    train = image_folder(flowers)[0]["train"]
    indices = [np.array([i % 4, (i + 1) % 4]) for i in range(40)]
    with ThreadPoolExecutor(4) as pool:
        at_once = list(pool.map(train.take, indices))
    copy = pickle.loads(pickle.dumps(train))
    for index, (x, y) in zip(indices, at_once, strict=True):
        np.testing.assert_array_equal(x, copy.take(index)[0])
        assert y.tolist() == train.labels[index].tolist()


@pytest.mark.tf
def test_a_function_that_changes_images_may_do_so_in_place(flowers):
    data = with_augmentation(load_data(DataConfig(source=str(flowers))), "user_data:noise_added_in_place")
    index = np.array([2, 0])
    plain, changed = data.train.rows.take(index)[0], data.train.take(index, (0, 0)).x
    assert (plain != changed).any(axis=(1, 2, 3)).all()
    assert (np.abs(plain.astype(int) - changed) <= 1).all()


def cut(path):
    """Half of the file, which is as old as before."""
    content, time = path.read_bytes(), os.stat(path).st_mtime_ns
    path.write_bytes(content[: len(content) // 2])
    os.utime(path, ns=(time, time))


DAMAGED = {
    "cut short": cut,
    "no image at all": lambda path: path.write_text("text"),
    "another size": lambda path: write(path, (9, 6, 3)),
    "grey": lambda path: write(path, (8, 6, 1)),
}


@pytest.mark.tf
@pytest.mark.parametrize("case", DAMAGED)
def test_an_image_that_cannot_be_used_is_named_with_its_row(flowers, case):
    DAMAGED[case](flowers / "train" / "rose" / "b.png")
    train = image_folder(flowers)[0]["train"]
    with pytest.raises(RequestError, match=r"rose/b\.png \(row 3\) cannot be decoded as \[8, 6, 3\], .*image_size"):
        train.take(np.array([1, 3]))
    assert len(train.take(np.array([1, 2]))[0]) == 2


@pytest.mark.tf
def test_a_first_image_that_is_damaged_is_named(flowers):
    cut(flowers / "train" / "aster" / "1.png")
    with pytest.raises(RequestError, match=r"aster/1\.png.* cannot be decoded"):
        image_folder(flowers)[0]["train"].take(np.array([2]))


CHANGED = {
    "gone": (os.remove, "is gone"),
    "shorter": (cut, "changed since the run began"),
    "written again": (lambda path: os.utime(path, ns=(5, 5)), "changed since the run began"),
}


@pytest.mark.parametrize("case", CHANGED)
def test_a_file_that_changed_since_it_was_listed_is_named_with_its_row(flowers, case):
    change, message = CHANGED[case]
    train = image_folder(flowers)[0]["train"]
    change(flowers / "train" / "rose" / "b.png")
    with pytest.raises(TrainingError, match=rf"rose/b\.png \(row 3\) {message}"):
        train.take(np.array([3]))


def test_a_folder_of_images_is_a_source(flowers):
    config = DataConfig(source=str(flowers), validation_fraction=0.25)
    data = load_data(config)
    assert (data.train.size, data.validation.size, data.test.size) == (3, 1, 2)
    assert (data.divisor, data.num_classes, data.class_names) == (255.0, 2, ("aster", "rose"))
    assert sorted(data.fingerprint) == sorted(
        str(flowers / p / c) for p in ("train", "test") for c in ("aster", "rose")
    )


def test_for_an_evaluation_the_test_images_are_enough(flowers):
    shutil.rmtree(flowers / "train")
    with pytest.raises(RequestError, match="holds the folders test; expected train"):
        load_data(DataConfig(source=str(flowers)))
    assert load_test(DataConfig(source=str(flowers))).test.rows.labels.tolist() == [0, 1]


SIZES = {
    "mnist": ("28,28", r"is for the images of a folder, not for mnist"),
    "flowers": ("28", r"28 is no size; expected H,W or H,W,C"),
    "./flowers": ("28,28,2", r"28,28,2 is no size"),
    "my flowers": ("28,x", r"'28,x' is not a list of whole numbers"),
}


@pytest.mark.parametrize("source", SIZES)
def test_a_size_that_cannot_be_is_refused(source):
    size, message = SIZES[source]
    with pytest.raises(RequestError, match=rf"^data\.image_size: {message}"):
        config_from_dict({"data": {"source": source, "image_size": size}})
