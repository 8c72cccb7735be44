"""``predict_run``: what a finished run says of new examples, each predicted once by one of several workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_train.config import config_from_dict
from nn_train.config.entry_points import check_function
from nn_train.config.function_digest import HERE
from nn_train.config.options import is_entry_point, word_of
from nn_train.config.schema import ScalingConfig
from nn_train.errors import RequestError, TrainingError
from nn_train.evaluation.predictions import REGRESSION
from nn_train.prediction.driver import read_model
from nn_train.prediction.new_examples import NOT_SAID, Predicted, as_trained, check_output, read_new, write
from nn_train.prediction.outputs import (
    LOGITS,
    NUMBERS,
    UNKNOWN,
    class_probabilities,
    kind_by_loss,
    kind_of_outputs,
    logits_model,
    loss_of,
    settled,
)
from nn_train.prediction.saved_models import load_model
from nn_train.prediction.scored_examples import BLOCK
from nn_train.prediction.workers import answers, start_workers
from nn_train.report.inputs.run_folders import find_runs, read_run
from nn_train.storage.folder import ResultsFolder

Say = Callable[[str], None]
Outputs = Callable[[Any], tuple[NDArray[np.float32], str]]


@dataclass(frozen=True)
class Part:
    """What one worker predicted.

    Attributes:
        rows: where its examples are among all, int64 ``[n]``.
        ids: what they are called, ``[n]``.
        values: what the model gives, float32 ``[n, K]``.
        kind: what that is, see ``outputs.kind_of_outputs``.
        total: how many examples there are in all.
        digest: of all examples and their names, as this worker has read them.
    """

    rows: NDArray[np.int64]
    ids: NDArray[Any]
    values: NDArray[np.float32]
    kind: str
    total: int
    digest: str


def predict_run(
    run: str | Path,
    source: str,
    output: str,
    scaling: ScalingConfig | None = None,
    say: Say = lambda line: None,
    verbose: bool = False,
) -> Path:
    """Predict new examples with a finished run.

    Args:
        run: its path or URI; the folder of a finished search stands for its best run.
        source: the examples, see ``read_new``. They are made ready as those of the training were: bytes are divided by
            255 and get a channel axis.
        output: the file to write, ``.csv``, ``.parquet`` or ``.npz``.
        scaling: the workers; the default is one. Their number does not change a byte.
        say: called with a line of progress.
        verbose: let the logs of Ray and TensorFlow through.

    Returns:
        The path of the file.

    Raises:
        RequestError: the run is not finished, the examples cannot be read or do not fit its model.
        TrainingError: workers died too often.
    """
    path = check_output(output)
    predicted = predict_examples(run, source, scaling, say, verbose)
    write(path, predicted)
    say(f"{len(predicted.ids):,} examples predicted")
    return path


def predict_examples(
    run: str | Path,
    source: str,
    scaling: ScalingConfig | None = None,
    say: Say = lambda line: None,
    verbose: bool = False,
) -> Predicted:
    """What ``predict_run`` writes."""
    from nn_train.prediction.own_modules import parcel_for, warn_of_changes

    folder = min(find_runs([run])[0], key=place_in_search)
    model, files = read_model(folder, "--run"), read_run(folder)
    about = files.result.get("data") or {}
    warn_of_changes(files.result, say)
    if is_entry_point(source):
        check_function("--data", source)
    else:
        read_new(source)  # what is wrong with it is said before anything starts
    from nn_train.ray_cluster.placement import check_placeable, size_for_room
    from nn_train.ray_cluster.session import preload_for, ray_session

    parcel = parcel_for([files], sources=[source])
    workers_of = scaling or ScalingConfig(num_workers=1)
    with ray_session(verbose, preload=preload_for(workers_of)):
        import ray

        check_placeable(workers_of)
        workers = start_workers(workers_of, size_for_room(workers_of), parcel)
        say(f"predicting {source if not source.startswith(f'{HERE}:') else word_of(source)} with {folder.location}")
        given = ray.put(model), files.config, files.result, source
        calls = [worker.run(predict_part, *given, rank, len(workers)) for rank, worker in enumerate(workers)]
        return joined(answers(calls, folder.location), about)


def place_in_search(folder: ResultsFolder) -> int:
    """1 for the best run of a search, which is ``1_<trial>`` there."""
    place = folder.location.rstrip("/").rpartition("/")[2].partition("_")[0]
    return int(place) if place.isdecimal() else 0


def predict_part(
    model: bytes, settings: dict[str, Any], result: dict[str, Any], source: str, rank: int, size: int
) -> Part:
    """Predict this worker's blocks of the examples: those whose index modulo ``size`` is ``rank``.

    Args:
        model, settings: the content of the run's ``model.keras`` and ``config.yaml``.
        result: of its ``result.json``.
        source: of the examples.
    """
    from nn_train.engine.tensors import as_input

    about = result.get("data") or {}
    config = config_from_dict(settings)
    network = load_model(model, config.model.name, result)
    loss, classes = loss_of(model), about.get("num_classes")
    if config.evaluation.task == REGRESSION:
        classes = None
    elif classes is None and not loss.name.startswith("binary"):  # which judges each output by itself
        classes = len(about.get("class_names") or ()) or None
    forward = outputs_of(network, kind_by_loss(loss), classes)
    examples = read_new(source, len(getattr(network, "inputs", None) or [None]))
    rows, values, kind = [np.empty(0, np.int64)], [], UNKNOWN
    for index, part in enumerate(examples.blocks(BLOCK)):
        if index % size == rank:
            block, divisor = as_trained(examples.take(part), about.get("divisor", NOT_SAID), source)
            refuse_several(network, block, source)
            rows.append(np.arange(part.start, part.stop, dtype=np.int64))
            found, kind = outputs_for(forward, as_input(block, divisor), source)
            refuse_not_finite(found, examples.ids[part], source)
            values.append(found)
    place = np.concatenate(rows)
    given = np.concatenate(values) if values else np.empty((0, 0), np.float32)
    return Part(place, examples.ids[place], given, kind, len(examples.ids), examples.digest())


def outputs_for(forward: Outputs, x: Any, source: str) -> tuple[NDArray[np.float32], str]:
    """What the model says of a block. RequestError where it does not take such examples."""
    import tensorflow as tf

    try:
        return forward(x)
    except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
        said = " ".join(str(error).split())[:400]
        raise RequestError(f"--data: {source}: the model does not take these examples: {said}") from error


def outputs_of(network: Any, by_loss: str, classes: int | None) -> Outputs:
    """From a batch of inputs what the model gives, ``[n, K]``, and what that is, see ``outputs.kind_of_outputs``.

    Args:
        network: the model.
        by_loss: of ``kind_by_loss``.
        classes: how many the run was trained on; None: it has none, and its own outputs are told.
    """
    if classes is None:
        if len(getattr(network, "outputs", None) or [None]) > 1:
            raise RequestError(f"the model has {len(network.outputs)} outputs; only one can be predicted")
        return lambda x: (np.asarray(network(x, training=False), np.float32).reshape(len_of(x), -1), NUMBERS)
    forward, by_layer = logits_model(network)

    def scores(x: Any) -> tuple[NDArray[np.float32], str]:
        values = np.asarray(forward(x), np.float32).reshape(len_of(x), -1)
        kind = kind_of_outputs(by_layer, by_loss, values.shape[1], classes)
        if kind == NUMBERS and by_layer == LOGITS:  # the sigmoid that was left out
            values = class_probabilities(LOGITS, values)[:, 1:]
        return values, kind

    return scores


def refuse_not_finite(values: NDArray[np.float32], ids: NDArray[Any], source: str) -> None:
    """RequestError where a model gives NaN or infinity, which is no answer. Of logits some may be -inf, for 0."""
    broken = ids[(np.isnan(values) | np.isposinf(values)).any(axis=1) | np.isneginf(values).all(axis=1)]
    if len(broken):
        some = ", ".join(map(str, broken[:3])) + (", …" if len(broken) > 3 else "")
        raise RequestError(
            f"--data: {source}: the model gives NaN or infinity for {some}; look for extreme values there"
        )


def len_of(x: Any) -> int:
    import tensorflow as tf

    return int(tf.nest.flatten(x)[0].shape[0])


def refuse_several(network: Any, x: Any, source: str) -> None:
    """RequestError for several arrays where the model has one input: Keras would take the first one."""
    if isinstance(x, tuple | list) and len(x) > 1 and len(getattr(network, "inputs", None) or x) == 1:
        raise RequestError(
            f"--data: {source}: gives {len(x)} arrays, and the model takes one; ids beside it are whole numbers or "
            "texts, one for each example: (x, ids)"
        )


def joined(parts: Sequence[Part], about: dict[str, Any]) -> Predicted:
    """The parts of all workers in the order of the examples, each once."""
    if len({part.digest for part in parts}) > 1:
        raise TrainingError(
            "--data: the workers have read different examples; let the function give all of them the same, or take one "
            "worker"
        )
    order = np.argsort(np.concatenate([part.rows for part in parts]), kind="stable")
    parts = [part for part in parts if len(part.rows)]
    values, ids = (np.concatenate(of_parts)[order] for of_parts in ([p.values for p in parts], [p.ids for p in parts]))
    if parts[0].kind == NUMBERS:
        return Predicted(ids, values, None)
    shares = class_probabilities(settled(parts[0].kind, values), values)
    names = about.get("class_names")
    if names is None or len(names) != shares.shape[1]:
        names = [str(label) for label in range(shares.shape[1])]
    return Predicted(ids, shares, names)
