"""A model that is ready for its first step: built, checked and compiled in the strategy's scope."""

from __future__ import annotations

import warnings
import zlib
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.src.utils.naming import reset_uids

from nn_train.config import Config
from nn_train.config.options import is_entry_point
from nn_train.config.schema import BUILT_IN_DATA, BUILT_IN_LOSSES
from nn_train.datasets import SplitData
from nn_train.datasets.examples import evenly
from nn_train.datasets.fingerprints import CONTRACT, PARTS, fingerprint, look_at_stream
from nn_train.engine.batches import may_be_without_rows, steps_per_epoch
from nn_train.engine.collectives import equal_on_all, sum_over_all
from nn_train.engine.fit.checks import own_loss
from nn_train.engine.fit.rows_apart import MOST, RowsApart
from nn_train.engine.fit.steps import is_overridden
from nn_train.engine.fit.trials import ROWS, at_rest, plain_variables, values_of
from nn_train.engine.labels import label_form, one_hot
from nn_train.engine.models import build_model, check_outputs
from nn_train.engine.optimizers import compile_model
from nn_train.engine.seeds import seed_states, separate_seeds
from nn_train.engine.spreadable import adds_up, part_of, rows_apart
from nn_train.engine.steps import Batch, call, norms_of
from nn_train.engine.strategy import Replicas
from nn_train.engine.tensors import Nest, as_input, rows_of
from nn_train.engine.whole_steps import WholeSteps, trains_its_own_way
from nn_train.errors import RequestError

PLACES = 4  # of data that are read by their numbers, from which rows are tried


@dataclass(frozen=True)
class PreparedModel:
    """A model with all its variables (weights, optimizer, metrics): under MWMS none can be made in a step.

    Attributes:
        one_hot_depth: C, where its loss is given whole-number labels as one-hot [N, C].
        whole: its steps, where its parts do not add up, or somebody is told of each batch; see ``loops.py``.
        rows_apart: rows with which a user's is tried again, on several workers.
        compiled_by_user: whether the function that built it has compiled it too.
    """

    model: keras.Model
    one_hot_depth: int | None
    whole: WholeSteps | None
    rows_apart: RowsApart | None
    compiled_by_user: bool


def build_new(config: Config, data: SplitData) -> keras.Model:
    """The model before anything is compiled here.

    Raises:
        RequestError: it does not take the examples.
    """
    keras.utils.set_random_seed(config.seed)
    keras.config.set_dtype_policy(config.train.precision)
    return build_for(config, data, sample_rows(data, 1))


def build_for(config: Config, data: SplitData, rows: Batch) -> keras.Model:
    """The model for examples such as ``rows``."""
    reset_uids()  # a metric without a name is ``auc`` in every trial of a process, not ``auc_1`` in the second
    model = build_model(config, map_shapes(rows[0]), data.num_classes)
    if not model.built:
        build_by_calling(model, part_of(rows, 0, 1)[0])
    return model


def prepare_model(config: Config, data: SplitData, replicas: Replicas, by_batches: bool = False) -> PreparedModel:
    """Build the model on all workers with the same weights, and different random draws.

    Args:
        config, data, replicas: of the training.
        by_batches: whether somebody is to be told of each batch.

    Raises:
        RequestError: the model does not fit the data, or several workers would train it otherwise than one.
    """
    keras.utils.set_random_seed(config.seed)
    keras.config.set_dtype_policy(config.train.precision)
    # Read once: each look is a pass of a stream that shuffles anew.
    is_foreign = is_entry_point(config.model.name) or not is_known(config)
    rows = sample_rows(data, min(MOST if is_foreign and replicas.size > 1 else ROWS, config.train.batch_size))
    check_data(config, data)
    if config.data.source not in BUILT_IN_DATA:
        check_same_examples(data, replicas)
    with replicas.strategy.scope():
        model = build_for(config, data, rows)
        compiled_by_user = model.compiled
        form = label_form(config, model, rows[1])
        check_outputs(model, data.num_classes, form.one_hot)
        compile_model(model, config, total_steps(config, data), form.one_hot)
        rows = (rows[0], one_hot(rows[1], form.depth), rows[2])
        build_by_one_example(model, part_of(rows, 0, 1))
        refuse_kept_beside(model, rows[0])
        seed_states(model)  # Keras' generator for everybody is made now, and not where the first one asks for its seed
        if is_entry_point(config.model.name):
            refuse_unsavable(model)
    # A loss that is no mean over the rows would depend on the batches of the validation, also on one worker.
    tried = replicas.size > 1 or (not compiled_by_user and not is_known(config))
    whole = by_batches or trains_its_own_way(model)
    if whole or (tried and not is_spreadable(model, config, data, rows, replicas)):
        example = rows if rows[2] is not None else rows[:2]
        steps = WholeSteps(model, replicas, example)
        apart = RowsApart(model, rows, own_loss) if is_foreign and replicas.size > 1 else None
        return PreparedModel(model, form.depth, steps, apart, compiled_by_user)
    tf.random.set_seed(config.seed + replicas.rank)  # for layers that draw with tf.random instead of Keras' generators
    separate_seeds(model, replicas)
    apart = rows_apart(model, rows, replicas) if is_foreign and replicas.size > 1 else None
    return PreparedModel(model, form.depth, None, apart, compiled_by_user)


def is_spreadable(model: keras.Model, config: Config, data: SplitData, rows: Batch, replicas: Replicas) -> bool:
    """Whether ``ReplicaSteps`` are exact for a model on several workers. Collective where that has to be tried: what is
    decided by a hair may come out otherwise on another processor, and all must take the same steps."""
    # One without rows would not take part when the others exchange the moments of a batch.
    if norms_of(model) and may_be_without_rows(data, config.train.batch_size, replicas):
        return False
    known = is_known(config) and not is_entry_point(config.model.name)
    found = adds_up(model, rows, replicas, known)
    return found if known else sum_over_all([float(found)], replicas) == [replicas.size]


def is_known(config: Config) -> bool:
    """Whether the loss and the metrics of a job are those of which this project knows that they add up."""
    return config.train.loss in BUILT_IN_LOSSES and not config.train.metrics


def check_data(config: Config, data: SplitData) -> None:
    """Refuse validation that is asked for and missing, and a stream that does not end. RequestError."""
    if data.validation is None and config.train.early_stopping_patience is not None:
        raise RequestError("train.early_stopping_patience: needs validation examples; set data.validation_fraction")
    for name, part in {"training": data.train, "validation": data.validation}.items():
        if data.is_stream and int(part.cardinality()) == tf.data.INFINITE_CARDINALITY:
            raise RequestError(f"data.source: the {name} dataset has no end (repeat()?); give every example once")
    if data.is_stream and first_of(data, PARTS[1], data.validation) is None:
        raise RequestError("data.source: the validation dataset gives no example")


def first_of(data: SplitData, name: str, part: tf.data.Dataset) -> Any:
    """Return the first examples of a part of a stream; None if it has none."""
    return data.first[name] if name in data.first else look_at_stream(part)


def check_same_examples(data: SplitData, replicas: Replicas) -> None:
    """Raise RequestError, on all workers, where one has other examples than another. Collective."""
    if replicas.size == 1:
        return
    for name, part in zip(PARTS[:2], (data.train, data.validation), strict=True):
        own = "" if part is None else data.fingerprint.get(name) or fingerprint(part)
        if not all(equal_on_all(replicas, *divmod(zlib.crc32(own.encode()), 2**16))):
            raise RequestError(
                f"data.source: the workers do not have the same {name}. {CONTRACT}; keep the same files on all machines"
            )


def sample_rows(data: SplitData, count: int) -> Batch:
    """``count`` examples, or those that there are, as the model will see them: ``(x, y, sample_weight or None)``. The
    first one, and others from all over the data, which may be sorted: where these are read by their numbers, as with
    their batch, from ``PLACES``. Of a stream the first ones."""
    if not data.is_stream:
        size, run = data.train.size, 1 if data.in_memory else -(-count // PLACES)
        begins = evenly(max(size - run, 0) + 1, -(-count // run))
        rows = np.unique((begins[:, np.newaxis] + np.arange(run)).clip(max=size - 1))[:count]
        first = data.train.take(rows)
        x, y, weight = (*first.parts, None)[:3]
    else:
        batch = first_of(data, PARTS[0], data.train)
        if batch is None or not isinstance(batch, tuple) or len(batch) not in (2, 3):
            raise RequestError("data.source: the training dataset must give examples (x, y) or (x, y, sample_weight)")
        x, y, weight = (*rows_of(batch, 0, count), None)[:3]
    y, weight = (as_seen(part, data) if part is not None else None for part in (y, weight))
    return as_input(x, data.divisor), y, weight


def as_seen(part: Nest, data: SplitData) -> Nest:
    return tf.nest.map_structure(tf.convert_to_tensor, part) if data.is_stream else as_input(part, None)


def build_by_one_example(model: keras.Model, row: Batch) -> None:
    """Make all variables of a compiled model, from one example ``(x, y, sample_weight or None)``."""
    try:
        model._symbolic_build(data_batch=row if row[2] is not None else row[:2])
    except (ValueError, TypeError) as error:
        if not is_overridden(model, "train_step"):  # which may need nothing of what Keras tries here
            raise RequestError(f"model.name: the model does not fit the data: {first_lines(error)}") from error


def refuse_kept_beside(model: keras.Model, x: Nest) -> None:
    """Raise RequestError for a layer that keeps what it has seen where neither ``model.keras`` nor a checkpoint has it.

    One that never changes is let pass, such as a table that its layer makes again.
    """
    beside = plain_variables(model)
    if not beside:
        return
    before = values_of(list(beside.values()))
    with at_rest(model):
        try:
            call(model, x, training=True)
        except Exception:
            return  # its first step says why
        after = values_of(list(beside.values()))
    for name, one, other in zip(beside, before, after, strict=True):
        if not np.array_equal(one, other, equal_nan=one.dtype.kind == "f"):
            raise RequestError(
                f"model.name: {name} is a tf.Variable that changes while the model trains, and Keras saves none; make "
                "it with self.add_weight(…, trainable=False)"
            )


def refuse_unsavable(model: keras.Model) -> None:
    """Raise RequestError, before anything is trained, for a model of which Keras can write no ``model.keras``."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they come again when it is saved
            keras.saving.serialize_keras_object(model)
    except Exception as error:  # of ``get_config`` methods, which may be the user's
        why = first_lines(error).partition(" Example: ")[0]
        raise RequestError(
            f"model.name: Keras cannot save the model, which every run leaves as model.keras: {why}"
        ) from error


def build_by_calling(model: keras.Model, x: Nest) -> None:
    """Make the weights of a model that learns its input shape from the first batch."""
    try:
        model(x)
    except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
        raise RequestError(f"model.name: the model does not take these examples: {first_lines(error)}") from error


def map_shapes(x: Nest) -> Any:
    """The shape of one example, without N, in the structure of ``x``."""
    if isinstance(x, dict):
        return {key: map_shapes(branch) for key, branch in x.items()}
    if isinstance(x, tuple | list):
        return [map_shapes(branch) for branch in x]
    return tuple(x.shape[1:])


def total_steps(config: Config, data: SplitData) -> int | None:
    """Steps of the whole training, where the number of examples is known."""
    steps = steps_per_epoch(data, config.train.batch_size)
    return steps * config.train.epochs if steps is not None else None


def first_lines(error: Exception) -> str:
    """The part of a Keras message that says what is wrong, on one line."""
    return " ".join(str(error).split())[:400]
