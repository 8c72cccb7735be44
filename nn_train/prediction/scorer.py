"""One process that predicts: loads the model of a run and the test set of its data, and gives logits.

The test set is cut into blocks of a fixed size, and a block is computed in one piece: how the rows of a
matrix product are grouped decides its last bits, so the blocks must not depend on the number of workers.
No Ray here.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nn_train.config import config_from_dict
from nn_train.config.entry_points import import_module_of
from nn_train.config.given import kept
from nn_train.config.options import is_entry_point
from nn_train.engine.import_tensorflow import import_tensorflow
from nn_train.errors import RequestError
from nn_train.evaluation.predictions import Shard
from nn_train.prediction.mistaken_images import Images, MistakenImages
from nn_train.prediction.outputs import (
    NUMBERS,
    UNKNOWN,
    as_columns,
    class_scores,
    kind_by_loss,
    kind_of_outputs,
    logits_model,
    loss_of,
    settled,
)
from nn_train.prediction.own_modules import changed_since, why_missing
from nn_train.ray_cluster.parcels import used_by

if TYPE_CHECKING:
    from nn_train.config import Config
    from nn_train.config.schema import DataConfig
    from nn_train.datasets import SplitData

RowMark = tuple[int, int]
NO_SCORES = (
    "model.name: the model gives one number for each example, and that is no score of two classes, by the loss or the "
    "number of classes that it was trained with; a report needs class scores: train with BinaryCrossentropy, or with "
    "an output for each class"
)
DRAWS = " (what a function draws, from a generator that it makes with a seed: np.random.default_rng(0))"
BLOCK = 500  # rows; small enough for several workers to share 10,000 examples, large enough to be fast


@dataclass(frozen=True)
class Scored:
    """What one worker predicted for one run.

    Attributes:
        shard: its rows.
        num_examples: size of the whole test set.
        output: what the logits of the shard are, see ``outputs.settled``; ``unknown`` where all rows are to decide it.
        images: by example id, those of the most confident mistakes, where the examples are images.
        order: digest of the labels of all test examples where they are a stream, in their order.
    """

    shard: Shard
    num_examples: int
    output: str
    images: Images
    order: str


def score(model: bytes, settings: dict[str, Any], result: dict[str, Any], rank: int, size: int) -> Scored:
    """Predict this worker's blocks of the test set: those whose index modulo ``size`` is ``rank``.

    Args:
        model: the content of ``model.keras``.
        settings: the content of the run's ``config.yaml``.
        result: of its ``result.json``; ``data.tested_on`` there names another source of the test examples.

    Raises:
        RequestError: the model cannot be opened, the data has no test set of class labels, or another one than when
            the run was trained.
    """
    config = config_from_dict(settings)
    network, by_layer = logits_model(load_model(model, config.model.name, result))
    by_loss = kind_by_loss(loss_of(model))
    from nn_train.datasets import load_test
    from nn_train.datasets.once import load_for_run, seed_function
    from nn_train.engine.tensors import as_input

    about = result.get("data") or {}
    if "tested_on" in about:
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, source=about["tested_on"], args={}))
        seed_function(config)
        data = load_test(config.data)
        refuse_unlike(data, about)
    else:
        data = load_for_run(config)
    if data.test is None:
        source = about.get("tested_on") or config.data.source
        raise RequestError(f"data.source: {source} gives no test set to evaluate on")
    is_stream, is_trainings = not hasattr(data.test, "size"), "tested_on" not in about
    if not is_stream and is_trainings:
        refuse_other_data(data, config.data, result)
    ids, labels, logits, total, mistaken, output = [], [], [], 0, MistakenImages(), UNKNOWN
    order, seen = hashlib.sha256(), []
    for index, (rows, read) in enumerate(blocks(data)):
        start, total = total, total + rows
        if is_stream:  # of which every worker reads all
            order.update(read()[1].tobytes())
            seen += row_marks(*read()) if is_trainings and not rank else []
        if index % size == rank:
            x, y = read()
            ids.append(np.arange(start, total, dtype=np.int64))
            labels.append(y)
            values = np.asarray(network(as_input(x, data.divisor)), dtype=np.float32).reshape(rows, -1)
            output = kind_of_outputs(by_layer, by_loss, values.shape[1], about.get("num_classes") or data.num_classes)
            if output == NUMBERS:
                raise RequestError(NO_SCORES)
            scores = class_scores(settled(output, values), values)
            logits.append(as_columns(values) if output == UNKNOWN else scores)
            mistaken.look_at(x, ids[-1], y, scores)
    del data  # before the function gives them once more
    if seen:
        refuse_drawn(seen, config)
    if not ids:
        empty = np.empty(0, np.int64)
        return Scored(Shard(empty, empty, np.empty((0, 0), np.float32)), total, output, {}, order.hexdigest())
    shard = Shard(np.concatenate(ids), np.concatenate(labels), np.concatenate(logits))
    return Scored(shard, total, output, mistaken.images, order.hexdigest())


def refuse_other_data(data: SplitData, config: DataConfig, result: dict[str, Any]) -> None:
    """Raise RequestError where the test examples are not those that the training was told of."""
    from nn_train.datasets.known_again import noted_test

    before, source = (result.get("data") or {}).get("sha256") or {}, config.source
    now = noted_test(data, config) if before else {}
    changed = [name for name in ("x_test", "y_test") if name in before and now.get(name, "") != before[name]]
    files = (result.get("data") or {}).get("fingerprint") or {}
    changed += [name for name, mark in getattr(data.test, "began", {}).items() if files.get(name, mark) != mark]
    if changed:
        raise RequestError(
            f"data.source: {source}: {' and '.join(changed)} changed since the run was trained; give the examples that "
            f"it had then{DRAWS if is_entry_point(source) else ''}"
        )


def refuse_drawn(marks: Sequence[RowMark], config: Config) -> None:
    """Raise RequestError where the function that gives a test stream gives others when it is called again: a training
    does not read them, so that nothing is known of those that it had. In another order they may come.

    Args:
        marks: of all test examples.
        config: of the run.
    """
    from nn_train.datasets.known_again import SOME
    from nn_train.datasets.once import load_for_run

    again: list[RowMark] = []
    for batch in load_for_run(config).test.batch(SOME):
        is_first = not again
        again += row_marks(*labelled(batch[0], batch[1]))
        if is_first and [label for label, _ in again] == [label for label, _ in marks[: len(again)]]:
            return
    if sorted(again) != sorted(marks):
        raise RequestError(
            f"data.source: {config.data.source}: the test examples are others each time the function is called, and "
            f"may have been trained on; give the same{DRAWS}"
        )


def row_marks(x: Any, labels: NDArray[np.int64]) -> list[RowMark]:
    """Of each example of a block its label, and a CRC-32 of its inputs."""
    from nn_train.datasets.examples import contents, leaves

    arrays = [np.asarray(leaf) for leaf in leaves(x)]
    return [
        (
            label,
            functools.reduce(
                lambda mark, content: zlib.crc32(content, mark), contents(a[at : at + 1] for a in arrays), 0
            ),
        )
        for at, label in enumerate(labels.tolist())
    ]


def refuse_unlike(data: SplitData, about: dict[str, Any]) -> None:
    """Raise RequestError where other test examples cannot be those of the same task.

    Args:
        about: what the result of the run says of its data.
    """
    where = f"data.source: {about['tested_on']}"
    if about.get("divisor", data.divisor) != data.divisor:
        words = ["bytes" if divisor else "numbers that are no bytes" for divisor in (about["divisor"], data.divisor)]
        raise RequestError(f"{where}: the run was trained on {words[0]}, and these examples are {words[1]}")
    classes, names = about.get("num_classes"), about.get("class_names")
    if classes and data.num_classes and data.num_classes > classes:
        raise RequestError(f"{where}: has the label {data.num_classes - 1}, and the run knows 0 to {classes - 1}")
    if names and names != [str(label) for label in range(len(names))] and list(data.class_names or names) != names:
        called = f"its classes are called {', '.join(data.class_names or ())}, those of the run {', '.join(names)}"
        raise RequestError(f"{where}: {called}")


Block = tuple[Any, NDArray[np.int64]]  # inputs as they came, and labels int64 [n]


def blocks(data: SplitData) -> Iterator[tuple[int, Callable[[], Block]]]:
    """The test set in blocks of ``BLOCK`` rows: how many a block has, and what reads it."""
    from nn_train.datasets.examples import leaves

    if not hasattr(data.test, "size"):
        for batch in data.test.batch(BLOCK):
            yield len(next(leaves(batch[0]))), functools.partial(labelled, batch[0], batch[1])
        return

    def read(first: int, last: int) -> Block:
        examples = data.test.take(np.arange(first, last))
        return labelled(examples.x, examples.y)

    for first in range(0, data.test.size, BLOCK):
        last = min(first + BLOCK, data.test.size)
        yield last - first, functools.partial(read, first, last)


def labelled(x: object, y: object) -> Block:
    """A block. RequestError where its targets are no labels."""
    labels = np.asarray(y)
    if labels.dtype.kind not in "ui" or labels.ndim != 1:
        raise RequestError(
            f"data.source: the test targets are {labels.dtype} {labels.shape[1:]}; a report needs class labels [N]"
        )
    return x, labels.astype(np.int64)


def load_model(content: bytes, name: str, result: dict[str, Any]) -> Any:
    """The Keras model of a run; nothing is unpickled. The user's module is asked only for what Keras does not know.

    Args:
        content: of ``model.keras``.
        name: what ``model.name`` says.
        result: of the run.

    Raises:
        RequestError: it cannot be opened, or computes something else than when it was trained.
    """
    model, expected = opened(content, name, result), (result.get("code") or {}).get("outputs")
    others = changed_since(result)
    if expected is not None and others:
        from nn_train.engine.sample_outputs import are_alike, sample_outputs

        if not are_alike(expected, sample_outputs(model)):
            raise RequestError(
                f"model.name: {', '.join(others)} changed since the run was trained, and with it what model.keras "
                "computes. Put back what it was (result.json says of which code it is), or train again under another "
                "--name"
            )
    return model


def opened(content: bytes, name: str, result: dict[str, Any]) -> Any:
    """The model, with the user's code of now where it has such."""
    import keras

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        path.write_bytes(content)
        try:
            return keras.models.load_model(path, compile=False, safe_mode=True)
        except (ValueError, TypeError, OSError) as error:
            if not is_entry_point(name):
                raise RequestError(why_not(error)) from error
        missing = why_missing(name, result)
        if missing:
            raise RequestError(f"model.name: {missing}")
        try:
            return keras.models.load_model(path, custom_objects=own_names(name), compile=False, safe_mode=True)
        except (ValueError, TypeError, OSError) as error:
            raise RequestError(why_not(error)) from error


def why_not(error: Exception) -> str:
    return f"model.keras cannot be opened: {' '.join(str(error).split())[:300]}"


def own_names(name: str) -> dict[str, Any]:
    """The classes and functions that the function of a model can name, or that its module has, by these names and those
    that they are registered with; Keras' own are not among them."""
    import keras

    function = kept(name)
    found = used_by(function) if function is not None else dict(vars(import_module_of("model.name", name)))
    named = {key: one for key, one in found.items() if inspect.isclass(one) or inspect.isfunction(one)}
    own = {key: one for key, one in named.items() if one.__module__.partition(".")[0] not in ("keras", "tensorflow")}
    return own | {keras.saving.get_registered_name(one): one for one in own.values()}


def prepare_process(threads: int, use_gpu: bool) -> None:
    """Give TensorFlow its threads before its first use in this process."""
    import_tensorflow()
    from nn_train.engine.strategy import configure_tensorflow

    configure_tensorflow(threads, use_gpu)
