"""One process that predicts: loads the model of a run and the test set of its data, and gives logits.

The test set is cut into blocks of a fixed size, and a block is computed in one piece: how the rows of a
matrix product are grouped decides its last bits, so the blocks must not depend on the number of workers.
No Ray here.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_train.config import config_from_dict
from nn_train.errors import RequestError
from nn_train.evaluation.predictions import REGRESSION, Shard
from nn_train.prediction.outputs import (
    LOGITS,
    NUMBERS,
    UNKNOWN,
    UNSETTLED,
    as_columns,
    class_probabilities,
    class_scores,
    kind_by_loss,
    kind_of_outputs,
    logits_model,
    loss_of,
    settled,
)
from nn_train.prediction.saved_models import load_model
from nn_train.prediction.scored_examples import Images, MistakenImages, blocks, is_stream, read_test_set
from nn_train.prediction.tasks import as_targets, task_of

NO_SCORES = (
    "model.name: the model gives one number for each example, and that is no score of two classes, by the loss or the "
    "number of classes that it was trained with; a report of classes needs class scores: train with "
    "BinaryCrossentropy, or with an output for each class; a number that is to be near the target is a regression "
    "(evaluation.task: regression)"
)

DIFFERING_TASKS = "evaluation.task: the test targets look like classes in one part and like numbers in another; set it"

NOT_FINITE = "model.name: the model gives NaN or infinity for a test example; look for extreme values in the data"


@dataclass(frozen=True)
class Scored:
    """What one worker predicted for one run.

    Attributes:
        shard: its rows.
        num_examples: size of the whole test set.
        task: of all its blocks; empty where it had none.
        output: what the outputs of the shard are, see ``outputs.kind_of_outputs``.
        images: by example id, those of the most confident mistakes, where the examples are images.
        order: digest of the labels of all test examples where they are a stream, in their order.
    """

    shard: Shard
    num_examples: int
    task: str
    output: str
    images: Images
    order: str


def score(
    model: bytes,
    settings: dict[str, Any],
    result: dict[str, Any],
    rank: int,
    size: int,
    most: int | None = None,
) -> Scored:
    """Predict this worker's blocks of the test set: those whose index modulo ``size`` is ``rank``.

    Args:
        model: the content of ``model.keras``.
        settings: the content of the run's ``config.yaml``.
        result: of its ``result.json``; ``data.tested_on`` there names another source of the test examples.
        most: blocks that are looked at; None: all.

    Raises:
        RequestError: the model cannot be opened, the data has no test set that fits the task, or another one than
            when the run was trained.
    """
    config, about = config_from_dict(settings), result.get("data") or {}
    scorer = Scorer(model, config.model.name, result)
    from nn_train.engine.tensors import as_input

    data = read_test_set(config, result)
    num_classes = about.get("num_classes") or data.num_classes
    order = hashlib.sha256()  # of the targets of a stream, which every worker reads whole
    shards, total, mistaken, tasks = [], 0, MistakenImages(), []
    for index, (rows, read) in enumerate(itertools.islice(blocks(data), most)):
        ids = np.arange(total, total + rows, dtype=np.int64)
        total += rows
        if index % size == rank or is_stream(data):
            x, y = read()
            order.update(y.tobytes() if is_stream(data) else b"")
        if index % size == rank:
            values = scorer.outputs(as_input(x, data.divisor), rows)
            columns = values.shape[1]
            tasks.append(task_of(config.evaluation.task, y, columns, scorer.by_layer, scorer.by_loss))
            y = as_targets(tasks[-1], y, columns)
            if tasks[-1] == REGRESSION:
                shards.append(Shard(ids, y, scorer.numbers(values)))
                continue
            kept, scores = scorer.scores(values, num_classes)
            shards.append(Shard(ids, y, kept))
            mistaken.look_at(x, ids, y, scores)
    if len(set(tasks)) > 1:
        raise RequestError(DIFFERING_TASKS)
    return Scored(joined(shards), total, "".join(tasks[:1]), scorer.output, mistaken.images, order.hexdigest())


class Scorer:
    """A model that is asked for the scores of classes, or for numbers.

    Args:
        content: of ``model.keras``.
        name: what ``model.name`` says.
        result: of the run.

    Attributes:
        output: what its outputs are, see ``outputs.kind_of_outputs``; ``unknown`` before the first are seen.
    """

    def __init__(self, content: bytes, name: str, result: dict[str, Any]) -> None:
        self.network, self.by_layer = logits_model(load_model(content, name, result))
        self.by_loss = kind_by_loss(loss_of(content))
        self.output = UNKNOWN

    def outputs(self, inputs: Any, rows: int) -> NDArray[Any]:
        """Return what the model gives for a block, float32 [rows, K]."""
        values = np.asarray(self.network(inputs), dtype=np.float32).reshape(rows, -1)
        if (np.isnan(values) | np.isposinf(values)).any():
            raise RequestError(NOT_FINITE)
        return values

    def numbers(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return what the whole model gives, from outputs of which a sigmoid or softmax may have been left out."""
        self.output = NUMBERS
        if self.by_layer != LOGITS:
            return values
        return class_probabilities(LOGITS, values)[:, -values.shape[1] :]

    def scores(self, values: NDArray[Any], num_classes: int | None) -> tuple[NDArray[Any], NDArray[Any]]:
        """Of a block's outputs what is kept, which are these where all rows are to decide what they are, and the scores
        of its classes as far as this block tells; float32 [rows, C] both. RequestError where they are no scores."""
        self.output = kind_of_outputs(self.by_layer, self.by_loss, values.shape[1], num_classes)
        if self.output == NUMBERS:
            raise RequestError(NO_SCORES)
        scores = class_scores(settled(self.output, values), values)
        return (as_columns(values) if self.output in UNSETTLED else scores), scores


def joined(shards: Sequence[Shard]) -> Shard:
    """One of the blocks of a worker, which may have none."""
    if not shards:
        return Shard(np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, 0), np.float32))
    columns = zip(*shards, strict=True)
    return Shard(*(np.concatenate(column) for column in columns))
