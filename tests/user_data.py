"""Data as a user would write them, named in configs as ``user_data:function``; without TensorFlow, as most are."""

from __future__ import annotations

import os
import re
import runpy
import signal
from pathlib import Path

import numpy as np


def digits(count, classes=3, seed=5):
    """Separable examples [N, 6] float32 with labels [N]."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, count).astype(np.int32)
    centres = np.random.default_rng(0).normal(size=(classes, 6))
    return (centres[labels] + generator.normal(size=(count, 6))).astype(np.float32), labels


def arrays():
    return digits(101), digits(40, seed=6)


def two_classes():
    return digits(101, classes=2), digits(40, classes=2, seed=6)


def telling():
    print("101 examples found")
    return arrays()


def telling_and_failing():
    print("101 examples found")
    raise LookupError("a label is missing")


def first_columns(columns, split=5):
    """The first of the six features of each example; ``split`` is the seed of the validation examples."""
    (x, y), (x_test, y_test) = arrays()
    x_val, y_val = digits(30, seed=split)
    return (x[:, :columns], y), (x_val[:, :columns], y_val), (x_test[:, :columns], y_test)


def noise_added_in_place(x, y, generator):
    x ^= generator.integers(0, 2, x.shape, np.uint8)
    return x, y


def jitter(x, y, generator):
    """An example beside itself."""
    return x + generator.normal(size=x.shape).astype(x.dtype), y


def named(names=("ash", "birch", "cedar")):
    return *arrays(), list(names)


def short_arrays():
    """11 of 108 are held out; 97 = 6 * 16 + 1: the last batch of 16 has one row, other workers get none."""
    return digits(108), digits(40, seed=6)


def weighted_with_validation():
    (x, y), test = arrays()
    return (x, y, np.abs(x[:, 0]) + 0.1), digits(20, seed=7), test


def split_at_random():
    """Other parts for each seed: as users write it, without one of their own."""
    x, y = digits(140)
    order = np.random.permutation(len(x))
    train, validation, test = np.split(order, [80, 110])
    return (x[train], y[train]), (x[validation], y[validation]), (x[test], y[test])


def two_inputs():
    (x, y), (x_test, y_test) = arrays()
    return ({"left": x[:, :2], "right": x[:, 2:]}, y), ({"left": x_test[:, :2], "right": x_test[:, 2:]}, y_test)


def tokens(count=101):
    """Sequences [N, 12] of numbers of words, many of which come again, each of one of three classes."""
    generator = np.random.default_rng(4)
    x, y = generator.integers(0, 50, (count + 40, 12)).astype("float32"), np.arange(count + 40) % 3
    return (x[:count], y[:count]), (x[count:], y[count:])


def short_tokens():
    """As ``short_arrays``: the last batch of 16 has one row."""
    return tokens(108)


class Measured:
    """Examples by their numbers. This is all that PyTorch's protocol asks of a data set."""

    def __init__(self, x, y):
        self.x, self.y = x, y

    def __len__(self):
        return len(self.x)

    def __getitem__(self, at):
        return self.x[at], int(self.y[at])


def objects():
    train, test = arrays()
    return Measured(*train), Measured(*test), ["ash", "birch", "cedar"]


def grain_objects():
    """As ``objects``, of Grain's."""
    from grain import MapDataset

    def part(x, y):
        return MapDataset.source(Measured(2 * x, y)).map(lambda pair: (pair[0] / 2, pair[1]))

    train, test = arrays()
    return part(*train), part(*test), ["ash", "birch", "cedar"]


def images(count=101):
    """Bytes [N, 8, 8] of three classes."""
    generator = np.random.default_rng(8)
    labels = np.arange(count + 40) % 3
    x = (generator.integers(0, 120, (count + 40, 8, 8)) + 60 * labels[:, None, None]).astype(np.uint8)
    return (x[:count], labels[:count]), (x[count:], labels[count:])


def save_folder(folder, parts):
    """The parts of ``(train, test)`` or ``(train, validation, test)`` as a folder of ``.npy`` files."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ("train", "test") if len(parts) == 2 else ("train", "val", "test")
    for name, arrays in zip(names, parts, strict=True):
        for array, kind in zip(arrays, ("x_{}", "y_{}", "sample_weight"), strict=False):
            np.save(folder / f"{kind.format(name)}.npy", array)


def save_array_records(folder, parts):
    """The images of ``(train, test)`` as ArrayRecord files, and beside them the module ``array_records`` that reads
    them: the one that docs/data.md shows, for these files and shapes."""
    page = (Path(__file__).parents[1] / "docs" / "data.md").read_text()
    (code,) = re.findall(r"```python\n(import grain\n.*?)```", page, re.DOTALL)
    for shown, here in {'"/data/': f'"{folder}/', "(224, 224, 3)": "(8, 8, 1)"}.items():
        assert code.count(shown) == 1
        code = code.replace(shown, here)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "array_records.py").write_text(code)
    module = runpy.run_path(str(folder / "array_records.py"))
    for name, (x, y) in zip(("train", "test"), parts, strict=True):
        module["write"](f"{folder}/{name}.array_record", x, y)


def images_by_class():
    """As ``images``, those of a class together."""
    return tuple((x[np.argsort(y, kind="stable")], np.sort(y)) for x, y in images())


def save_pictures(folder, parts):
    """The images of ``(train, test)`` as files in a folder for each class."""
    from PIL import Image

    for name, (x, y) in zip(("train", "test"), parts, strict=True):
        for number, (image, label) in enumerate(zip(x, y, strict=True)):
            place = folder / name / "abc"[label]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(place / f"{number:03}.png")


def not_an_array():
    return "arrays"


def dies_once():
    """The arrays, but the first process that asks for them dies."""
    return struck_once("dies", signal.SIGKILL)


def stops_once():
    """The arrays, but the first process that asks for them stands still from then on."""
    return struck_once("stops", signal.SIGSTOP)


def struck_once(name, how):
    try:
        Path(os.environ["STRUCK_MARKER"] + name).touch(exist_ok=False)
    except FileExistsError:
        return arrays()
    os.kill(os.getpid(), how)
    return arrays()
