"""A model that is ready for its first step: built, checked and compiled in the strategy's scope."""

from __future__ import annotations

import inspect
import pickle
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.src.utils.naming import reset_uids

from nn_train.config import Config
from nn_train.config.entry_points import call_entry_point
from nn_train.config.options import is_entry_point
from nn_train.config.schema import BUILT_IN_DATA, TrainConfig
from nn_train.datasets import SplitData
from nn_train.datasets.fingerprints import CONTRACT, PARTS, fingerprint, look_at_stream
from nn_train.engine.batches import may_be_without_rows, steps_per_epoch
from nn_train.engine.collectives import equal_on_all, same_on_all, told_by_chief
from nn_train.engine.decomposition import decomposes, is_judged_by_keras, is_of_keras
from nn_train.engine.labels import label_form, number_form, one_hot
from nn_train.engine.loop import Loop
from nn_train.engine.model_state import make_plain, unchanged
from nn_train.engine.models import build_model, check_outputs
from nn_train.engine.optimizers import compile_model
from nn_train.engine.probe import EACH, adds_up
from nn_train.engine.seeds import seed_states, separate_seeds
from nn_train.engine.spread import is_overridden
from nn_train.engine.steps import ExactSteps, FastSteps, Steps, trains_its_own_way
from nn_train.engine.strategy import Replicas
from nn_train.engine.tensors import Nest, as_input, rows_of
from nn_train.errors import RequestError

Batch = tuple[Any, Any, Any]  # x, y, sample_weight (or None)


@dataclass(frozen=True)
class PreparedModel:
    """A model with all its variables (weights, optimizer, metrics): under MWMS none can be made in a step.

    Attributes:
        steps: the fast ones where what they sum adds up and nobody is told of single batches, else the exact ones.
        one_hot_depth: C, where its loss is given whole-number labels as one-hot [N, C].
        compiled_by_user: whether the function that built it has compiled it too.
        loop: makes the loop that a job asks for.
    """

    steps: Steps
    one_hot_depth: int | None
    compiled_by_user: bool
    loop: Callable[[], Loop]

    @property
    def model(self) -> keras.Model:
        return self.steps.model


def build_new(config: Config, data: SplitData) -> keras.Model:
    """The model before anything is compiled here.

    Raises:
        RequestError: it does not take the examples.
    """
    keras.utils.set_random_seed(config.seed)
    keras.config.set_dtype_policy(config.train.precision)
    return build_for(config, data, sample_rows(data, 1))


def build_for(config: Config, data: SplitData, rows: Batch) -> keras.Model:
    """Return the model for examples such as ``rows``: a built-in one, or that of the user's function."""
    reset_uids()  # a metric without a name is ``auc`` in every trial of a process, not ``auc_1`` in the second
    settings, input_shape = config.model, map_shapes(rows[0])
    if is_entry_point(settings.name):
        offered = {"config": config, "input_shape": input_shape, "num_classes": data.num_classes}
        model = call_entry_point("model.name", settings.name, settings.args, **offered)
        if not isinstance(model, keras.Model):
            raise RequestError(f"model.name: {settings.name} returned {type(model).__name__}, not a keras.Model")
    else:
        model = build_model(settings, input_shape, data.num_classes)
    if not model.built:
        build_by_calling(model, rows_of(rows[0], 0, 1))
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
    rows = sample_rows(data, min(EACH * replicas.size, config.train.batch_size))
    check_data(data, config.train)
    if config.data.source not in BUILT_IN_DATA:
        check_same_examples(data, replicas)
    if data.is_stream:
        rows = rows_of_chief(rows, replicas)
    with replicas.strategy.scope():
        model = build_for(config, data, rows)
        compiled_by_user = model.compiled
        form_of = number_form if config.evaluation.task == "regression" else label_form
        form = form_of(config.train, model, rows[1])
        check_outputs(model, None if form.numbers else data.num_classes, form.one_hot)
        compile_model(
            model, config.optimizer, config.train, total_steps(config.train, data), form.one_hot, form.numbers
        )
        rows = (rows[0], one_hot(rows[1], form.depth), rows[2])
        build_by_one_example(model, first_row(rows))
        seed_states(model)  # Keras' generator for everybody is made now, and not where the first one asks for its seed
        if is_entry_point(config.model.name):
            refuse_unsavable(model)
    make_plain(model)
    steps: Steps
    if not by_batches and takes_parts(model, rows, replicas):
        tf.random.set_seed(config.seed + replicas.rank)  # for layers that draw with tf.random, not Keras' generators
        separate_seeds(model, replicas)
        steps = FastSteps(model, replicas, may_be_without_rows(data, config.train.batch_size, replicas))
    else:
        steps = ExactSteps(model, replicas, rows if rows[2] is not None else rows[:2])
    wanted = data, replicas, config.train.batch_size, config.seed, form.depth, by_batches
    return PreparedModel(steps, form.depth, compiled_by_user, lambda: Loop(steps, *wanted))


def takes_parts(model: keras.Model, rows: Batch, replicas: Replicas) -> bool:
    """Return whether ``FastSteps``, which sum what each worker computes of its rows, are exact for a model.

    A loss or metric of the user's may be anything of a batch, and is computed from whole ones. Collective where a layer
    is not Keras' own: on several workers that is probed.
    """
    if trains_its_own_way(model) or not is_judged_by_keras(model):
        return False
    known = is_of_keras(model)
    kept = [] if known else [*model.non_trainable_variables, *model.metrics_variables, *seed_states(model)]
    with unchanged(kept):
        outputs = call(model, rows_of(rows[0], 0, 2), training=False)
    return decomposes(model, outputs) and (known or replicas.size == 1 or adds_up(model, rows, replicas))


def call(model: keras.Model, x: Nest, training: bool) -> Any:
    """The model's outputs; ``training`` is passed only to models that take it, as Keras does."""
    takes = "training" in inspect.signature(model.call).parameters
    return model(x, training=training) if takes else model(x)


def check_data(data: SplitData, train: TrainConfig) -> None:
    """Refuse validation that is asked for and missing, and a stream that does not end. RequestError."""
    if data.validation is None and train.early_stopping_patience is not None:
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


def rows_of_chief(rows: Batch, replicas: Replicas) -> Batch:
    """Return the chief's rows on every worker: a stream may change its inputs at random. Collective."""
    leaves = [None if leaf is None else np.asarray(leaf) for leaf in tf.nest.flatten(rows)]
    if same_on_all(replicas, *divmod(zlib.crc32(pickle.dumps(leaves)), 2**16)):
        return rows
    told = told_by_chief(leaves, replicas)
    kept: Batch = tf.nest.pack_sequence_as(
        rows, [None if leaf is None else tf.convert_to_tensor(leaf) for leaf in told]
    )
    return kept


def sample_rows(data: SplitData, count: int) -> Batch:
    """The first ``count`` examples, or those that there are, as the model will see them: ``(x, y, weight or None)``."""
    if not data.is_stream:
        x, y, weight = (*data.train.take(np.arange(min(count, data.train.size))).parts, None)[:3]
    else:
        batch = first_of(data, PARTS[0], data.train)
        if batch is None or not isinstance(batch, tuple) or len(batch) not in (2, 3):
            raise RequestError("data.source: the training dataset must give examples (x, y) or (x, y, sample_weight)")
        x, y, weight = (*rows_of(batch, 0, count), None)[:3]
    y, weight = (as_seen(part, data) if part is not None else None for part in (y, weight))
    return as_input(x, data.divisor), y, weight


def as_seen(part: Nest, data: SplitData) -> Nest:
    return tf.nest.map_structure(tf.convert_to_tensor, part) if data.is_stream else as_input(part, None)


def first_row(rows: Batch) -> Batch:
    x, y, weight = rows
    return *rows_of((x, y), 0, 1), None if weight is None else rows_of(weight, 0, 1)


def build_by_one_example(model: keras.Model, row: Batch) -> None:
    """Make all variables of a compiled model, from one example ``(x, y, sample_weight or None)``."""
    try:
        model._symbolic_build(data_batch=row if row[2] is not None else row[:2])
    except (ValueError, TypeError) as error:
        if not is_overridden(model, "train_step"):  # which may need nothing of what Keras tries here
            raise RequestError(f"model.name: the model does not fit the data: {first_lines(error)}") from error


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


def total_steps(train: TrainConfig, data: SplitData) -> int | None:
    """Steps of the whole training, where the number of examples is known."""
    steps = steps_per_epoch(data, train.batch_size)
    return steps * train.epochs if steps is not None else None


def first_lines(error: Exception) -> str:
    """The part of a Keras message that says what is wrong, on one line."""
    return " ".join(str(error).split())[:400]
