"""JPEGs a second: rows of an image folder, and ``tf.data`` with its autotuning, on the same cores, in turns.

    python -m benchmarks.decode_speed [--rounds 9] [--images 4096] [--json FILE]

The images are gradients with noise, made here; their files are in the cache of the system. ``tf.data`` reads paths,
decodes and resizes each image and makes batches; the rows are read as a training reads them. Both take the images in
the same shuffled order and give the same bytes, which is looked at first. Printed are the fastest of the rounds (other
work on the machine only slows a round down) and their median. A round ends when its iterator is gone: autotuning has a
thread that often sleeps over that, up to as long as the round took, as it does in every epoch of a training.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from nn_train.datasets import IndexedExamples
from nn_train.datasets.image_folder import ImageRows, image_folder
from nn_train.engine.fetched import Fetcher

BATCH = 64
CASES = {"128x128": (128, ()), "224x224": (224, ()), "256x256 resized to 128x128": (256, (128, 128))}


@dataclass(frozen=True)
class Row:
    """Images a second of one case.

    Attributes:
        tf_data, rows: in the fastest of the rounds.
        tf_data_median, rows_median: in the median one.
        tf_data_cpu, rows_cpu: a second of one processor, in the round that took least of it.
    """

    case: str
    bytes_an_image: int
    tf_data: float
    rows: float
    tf_data_median: float
    rows_median: float
    tf_data_cpu: float
    rows_cpu: float

    def pairs(self) -> Iterator[tuple[float, float, float]]:
        """``tf.data``, rows and their ratio: fastest, median, of a processor."""
        for kind in ("", "_median", "_cpu"):
            before, ours = getattr(self, f"tf_data{kind}"), getattr(self, f"rows{kind}")
            yield before, ours, ours / before


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="passes of each, after one that is not counted")
    parser.add_argument("--images", type=int, default=4096)
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    arguments = parser.parse_args()
    rows = [measure(case, *CASES[case], arguments.images, arguments.rounds) for case in CASES]
    kinds = "fastest round, a second", "median round", "a second of a processor"
    print(f"{'images':28} {'bytes each':>10} " + "".join(f"| {kind:^23} " for kind in kinds))
    print(f"{'':28} {'':10} " + len(kinds) * f"| {'tf.data':>7} {'rows':>8} {'ratio':>6} ")
    for row in rows:
        shown = "".join(f"| {before:7.0f} {ours:8.0f} {ratio:6.3f} " for before, ours, ratio in row.pairs())
        print(f"{row.case:28} {row.bytes_an_image:10} {shown}")
    if arguments.json:
        machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
        cases = [{**asdict(row), "ratios": [ratio for _, _, ratio in row.pairs()]} for row in rows]
        arguments.json.write_text(json.dumps({"machine": machine, "batch": BATCH, "cases": cases}, indent=2) + "\n")
    return 0 if all(ratio >= 1 for row in rows for _, _, ratio in list(row.pairs())[:2]) else 1


def measure(case: str, side: int, resized: tuple[int, ...], images: int, rounds: int) -> Row:
    with tempfile.TemporaryDirectory() as name:
        make_images(Path(name), side, images)
        rows = image_folder(Path(name), resized)[0]["train"]
        order = np.random.default_rng(0).permutation(images)
        readers = [by_tf_data(rows, order, resized), by_rows(rows, order)]
        np.testing.assert_array_equal(*[next(iter(reader)).numpy() for reader in readers])
        taken: list[list[tuple[float, float]]] = [[], []]
        for number in range(rounds + 1):
            for which in (0, 1) if number % 2 else (1, 0):
                taken[which].append(timed(readers[which]))
        wall, cpu = ([[one[kind] for one in part[1:]] for part in taken] for kind in (0, 1))
        seconds = *map(min, wall), *map(statistics.median, wall), *map(min, cpu)
        return Row(case, int(rows.sizes.mean()), *(images / one for one in seconds))


def make_images(folder: Path, side: int, count: int) -> None:
    generator = np.random.default_rng(0)
    down, right = np.mgrid[0:side, 0:side] / side * 255
    for number in range(count):
        slopes = generator.random((3, 2))
        image = np.stack([a * down + b * right for a, b in slopes], -1) / 2 + generator.normal(0, 12, (side, side, 3))
        path = folder / "train" / "ab"[number % 2] / f"{number:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(tf.io.encode_jpeg(np.clip(image, 0, 255).astype(np.uint8)).numpy())


def by_tf_data(rows: ImageRows, order: NDArray[np.int64], resized: tuple[int, ...]) -> tf.data.Dataset:
    """As Keras' ``image_dataset_from_directory`` does it, and then bytes again."""
    shape = rows.shape.whole

    def load(path: Any) -> Any:
        image = tf.io.decode_image(tf.io.read_file(path), channels=shape[2], expand_animations=False)
        if resized:
            image = tf.cast(tf.round(tf.image.resize(image, resized)), tf.uint8)
        return tf.ensure_shape(image, shape)

    paths = tf.data.Dataset.from_tensor_slices([rows.path(row) for row in order.tolist()])
    return paths.map(load, num_parallel_calls=tf.data.AUTOTUNE).batch(BATCH).prefetch(tf.data.AUTOTUNE)


def by_rows(rows: ImageRows, order: NDArray[np.int64]) -> Iterable[Any]:
    """As a training reads them."""
    fetcher = Fetcher(IndexedExamples(rows))
    count = -(-len(order) // BATCH)
    return Epoch(lambda: islice(fetcher.batches(lambda n: order[n * BATCH : (n + 1) * BATCH], 0, count), count))


@dataclass(frozen=True)
class Epoch:
    """Begins anew whenever it is gone through."""

    begin: Callable[[], Any]

    def __iter__(self) -> Iterator[Any]:
        return (batch for batch, _ in self.begin())


def timed(batches: Iterable[Any]) -> tuple[float, float]:
    """Seconds of one pass, and those of a processor."""
    began = time.perf_counter(), time.process_time()
    for _ in batches:
        pass
    return time.perf_counter() - began[0], time.process_time() - began[1]


if __name__ == "__main__":
    sys.exit(main())
