"""Trainings as a user would write them with Keras; ``python keras_scripts.py RANK SIZE OUT`` runs them.

Each is a function that builds a model in ``nn_train.scope()``, calls ``nn_train.fit`` and gives what came out. It knows
nothing of workers. All is float64, so that roundings are far below what would be a mistake.
"""

from __future__ import annotations

import contextlib
import functools
import os
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np

from nn_train.engine.import_tensorflow import import_tensorflow
from nn_train.errors import RequestError

import_tensorflow()

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402
from keras import layers, ops  # noqa: E402
from overriding_models import (  # noqa: E402
    ComparesInPredict,
    DoublesInFit,
    FitsOnAll,
    Holds,
    Late,
    MakesItsFunction,
    Penalty,
    PredictsInTraining,
    Updates,
)
from own_models import (  # noqa: E402
    CLASSES,
    DRAWN,
    WIDTH,
    Adversaries,
    AttendsToNeighbours,
    Chooses,
    ClipsInStep,
    ComparesWhileTraining,
    Draws,
    Largest,
    OwnLoss,
    OwnLossStep,
    OwnMetrics,
    OwnStep,
    Passes,
    Positions,
    Remembers,
    Shuffles,
    StepOf,
    SumOfRows,
    SumsInTest,
    SumsUp,
    UpdatesAll,
    Views,
    mean_loss,
)

from nn_train.engine.fit.workers import join  # noqa: E402

ROWS = 37
random = np.random.default_rng(5)
X = random.normal(size=(ROWS, WIDTH))
Y = random.integers(0, CLASSES, ROWS)
ONE_HOT = np.eye(CLASSES)[Y]
TOKENS = random.integers(0, 9, (ROWS, 5))
WEIGHTS = random.uniform(0.1, 2.0, ROWS)
FIT = {"batch_size": 8, "epochs": 3, "verbose": 0}  # the last batch has 5 rows
ADAM = "adam"
SPARSE = "sparse_categorical_crossentropy"


def mlp(*more, out=CLASSES, activation="softmax"):
    return keras.Sequential(
        [keras.Input((WIDTH,)), layers.Dense(8, activation="relu"), *more, layers.Dense(out, activation=activation)]
    )


def compiled(model, optimizer=ADAM, loss=SPARSE, **more):
    model.compile(optimizer=optimizer, loss=loss, jit_compile=False, **more)  # XLA draws other random numbers
    return model


def outcome_of(model, history, **more):
    return {
        "history": history.history,
        "weights": [np.asarray(v.value) for v in model.variables if "seed" not in v.name],
        "optimizer": [np.asarray(v.value) for v in model.optimizer.variables],
        **more,
    }


def run(model, x=X, y=Y, **named):
    import nn_train

    return outcome_of(model, nn_train.fit(model, x, y, **{**FIT, **named}))


def on_few_rows(model, x):
    """The last of two workers, then of three, has no row of the last batch."""
    return [run(model, x=x[:rows], y=Y[:rows]) for rows in (17, 18)]


def plain():
    return run(compiled(mlp(), metrics=["accuracy", "sparse_categorical_crossentropy"]))


def validated():
    return run(compiled(mlp(), metrics=["accuracy"]), validation_split=0.2, validation_freq=2)


def sampled():
    return run(compiled(mlp(), weighted_metrics=["accuracy"]), sample_weight=WEIGHTS)


def class_weighted():
    return run(compiled(mlp(), metrics=["accuracy"]), class_weight={0: 1.0, 1: 0.3, 2: 2.0})


def embedding():
    table = [keras.Input((5,), dtype="int32"), layers.Embedding(9, 4), layers.Flatten()]
    model = keras.Sequential([*table, layers.Dense(CLASSES)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return on_few_rows(compiled(model, loss=loss), TOKENS)


def positions():
    table = [keras.Input((5,), dtype="int32"), layers.Embedding(9, 4), Positions(), layers.Flatten()]
    return on_few_rows(compiled(keras.Sequential([*table, layers.Dense(CLASSES, activation="softmax")])), TOKENS)


def masked():
    model = keras.Sequential(
        [
            keras.Input((5,), dtype="int32"),
            layers.Embedding(9, 4, mask_zero=True),
            layers.GRU(4, return_sequences=True),
            layers.Dense(CLASSES, activation="softmax"),
        ]
    )
    targets = np.repeat(Y[:, None], 5, axis=1)
    return run(compiled(model, metrics=["accuracy"]), x=TOKENS, y=targets)


def averaged_at_the_end():
    return run(compiled(mlp(), keras.optimizers.SGD(0.1, use_ema=True)), validation_split=0.2)


def accumulated():
    return run(compiled(mlp(), keras.optimizers.Adam(0.01, gradient_accumulation_steps=2)))


def rmse():
    def root(y_true, y_pred):
        return ops.sqrt(ops.mean(ops.square(y_pred - y_true)))

    return run(compiled(mlp(out=1, activation=None), loss=root), y=X[:, :1])


def two_outputs():
    inputs = keras.Input((WIDTH,))
    hidden = layers.Dense(8, activation="tanh")(inputs)
    one = layers.Dense(CLASSES, activation="softmax", name="kind")(hidden)
    other = layers.Dense(2, name="place")(hidden)
    model = keras.Model(inputs, {"kind": one, "place": other})
    losses = {"kind": SPARSE, "place": keras.losses.Huber(reduction="sum")}
    weights, metrics = {"kind": 1.0, "place": 0.3}, {"kind": ["accuracy"], "place": "mae"}
    model.compile("adam", losses, loss_weights=weights, metrics=metrics)
    return run(model, y={"kind": Y, "place": X[:, :2]})


def penalised():
    class Adds(layers.Layer):
        def call(self, x):
            self.add_loss(0.01 * ops.mean(ops.square(x)))
            return x

    hidden = layers.Dense(8, kernel_regularizer="l2", activity_regularizer="l1")
    model = mlp(hidden, Adds(), layers.Dropout(0.5), layers.GaussianNoise(0.1))
    return run(compiled(model), validation_split=0.2)


def normalised():
    return on_few_rows(compiled(mlp(layers.BatchNormalization())), X)


def normalised_with_mask():
    model = keras.Sequential(
        [
            keras.Input((5,), dtype="int32"),
            layers.Embedding(9, 4, mask_zero=True),
            layers.BatchNormalization(),
            layers.GRU(3),
            layers.Dense(CLASSES, activation="softmax"),
        ]
    )
    return run(compiled(model), x=TOKENS, y=Y)


def chosen():
    return run(compiled(mlp(Chooses())))


def drawn():
    """By even batches: TensorFlow draws anew for a graph of another size."""
    model = mlp(*map(Draws, DRAWN))
    return [run(compiled(model), X[:32], Y[:32])["history"] for _ in range(2)]


def counted():
    class Counts(layers.Layer):
        def build(self, shape):
            self.steps = self.add_weight(shape=(), dtype="int64", initializer="zeros", trainable=False)

        def call(self, x, training=False):
            if training:
                self.steps.assign_add(1)
            return x

    return run(compiled(mlp(layers.BatchNormalization(), Counts())), x=X[:17], y=Y[:17])


def spectral():
    hidden = layers.SpectralNormalization(layers.Dense(8, kernel_constraint="max_norm"))
    return run(compiled(mlp(hidden)))


def any_metric():
    optimizer = keras.optimizers.AdamW(0.01, global_clipnorm=0.1, use_ema=True, ema_overwrite_frequency=3)
    metrics = [keras.metrics.F1Score(), Largest(), "auc"]
    model = compiled(mlp(), optimizer, loss="categorical_crossentropy", metrics=metrics)
    return run(model, y=ONE_HOT, validation_split=0.2)


def own(kind, *more, **named):
    inputs = keras.Input((WIDTH,))
    hidden = layers.Dense(8, activation="relu")(inputs)
    for layer in more:
        hidden = layer(hidden)
    return compiled(kind(inputs, layers.Dense(CLASSES, activation="softmax")(hidden)), **named)


def stepping(loss_of, kind=StepOf, **named):
    return own(functools.partial(kind, loss_of=loss_of, **named), layers.Dropout(0.3))


def own_step():
    return run(own(OwnStep, layers.BatchNormalization(), metrics=["accuracy"]), x=X[:17], y=Y[:17])


def own_loss_step():
    return run(own(OwnLossStep), x=X[:17], y=Y[:17], validation_data=(X[17:], Y[17:]))


def own_loss():
    return run(own(OwnLoss, layers.Dense(4, kernel_regularizer="l2")), x=X[:17], y=Y[:17])


def own_metrics():
    return run(own(OwnMetrics, metrics=["accuracy"]), validation_split=0.2)


def saturated():
    """Probabilities below Keras' epsilon: the loss is computed from what the softmax or the sigmoid was given."""
    binary = compiled(mlp(out=1, activation="sigmoid"), loss="binary_crossentropy")
    return [run(compiled(mlp()), x=90 * X), run(binary, x=90 * X, y=Y % 2)]


def of_guides():
    """All metrics updated alike; a graph whose nodes the model holds, the batch being numbers of some of them."""
    nodes, edges = np.arange(ROWS), np.arange(ROWS)[:, None] + [[0, 1, 2]]
    graph = compiled(AttendsToNeighbours(X, edges % ROWS, CLASSES), metrics=["accuracy"])
    updating = own(UpdatesAll, loss="categorical_crossentropy", metrics=["accuracy"])
    return [run(updating, x=X[:17], y=np.eye(CLASSES)[Y[:17]]), run(graph, x=nodes[:21], y=Y[:21])]


def two_optimizers():
    model = Adversaries()
    model.compile(keras.optimizers.SGD(0.1), keras.optimizers.Adam(0.01))
    model.build((None, WIDTH))
    return run(model, y=None)


def two_views():
    model = Views()
    model.compile("adam")
    return run(model, x=X[:17], y=Y[:17])


def fitted_twice():
    """The functions of the first call are used again; in between the chief alone changes the weights and evaluates."""
    import nn_train

    model = compiled(mlp(), metrics=["accuracy"])
    nn_train.fit(model, X, Y, **FIT)
    if join().is_chief:
        model.set_weights([0.9 * value for value in model.get_weights()])
        alone = model.evaluate(X, Y, verbose=0)
    results = nn_train.evaluate(model, X, Y, verbose=0)
    if join().is_chief:
        np.testing.assert_allclose(results, alone)
    model.compile("sgd", SPARSE, jit_compile=False)
    return run(model) | {"results": results}


class Listens(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append((batch, logs["loss"]))
        if batch == 2:
            self.model.optimizer.learning_rate = 0.5 * float(self.model.optimizer.learning_rate)

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(self.model.evaluate(X, Y, verbose=0, return_dict=True)["loss"])


def listening():
    import nn_train

    model, listens = compiled(mlp()), Listens()
    others = [keras.callbacks.ReduceLROnPlateau("loss", patience=0, min_delta=1.0)]
    history = nn_train.fit(model, X, Y, callbacks=[listens, *others], **FIT)
    return outcome_of(model, history, chief_saw=listens.seen)


def stopped():
    best = keras.callbacks.EarlyStopping("val_loss", patience=1, min_delta=9.0, restore_best_weights=True)
    return run(compiled(mlp()), validation_split=0.2, callbacks=[best], epochs=9)


def entered():
    """Of how many batches each graph call was: where nobody listens, where a callback does, and the progress bar."""
    from nn_train.engine.fit.graphs import Graphs

    whole, counts = Graphs.run, []

    def noted(self, batches, specs):
        counts.append(len(batches))
        return whole(self, batches, specs)

    Graphs.run = noted
    found = {}
    for name, more in {"nobody": {}, "callback": {"callbacks": [Listens()]}, "bar": {"verbose": 1}}.items():
        run(compiled(mlp()), **more, epochs=2)
        found[name], counts[:] = list(counts), []
    Graphs.run = whole
    return found


def several_steps():
    return run(compiled(mlp(), steps_per_execution=3, metrics=["accuracy"]))


def eager():
    return run(compiled(mlp(layers.BatchNormalization()), run_eagerly=True, metrics=["accuracy"]), x=X[:17], y=Y[:17])


def generator():
    def batches():
        while True:
            order = np.random.permutation(ROWS)[:7]
            yield X[order], Y[order]

    return run(compiled(mlp()), x=batches(), y=None, batch_size=None, steps_per_epoch=4)


def dataset():
    data = tf.data.Dataset.from_tensor_slices((X, Y, WEIGHTS)).shuffle(ROWS).batch(8)
    return run(compiled(mlp()), x=data, y=None, batch_size=None)


def unbuilt_and_unseeded():
    """Workers whose random states differ; only that all are alike can be said."""
    keras.utils.set_random_seed(os.getpid())
    layer = layers.Dense(8)
    model = compiled(keras.Sequential([layer, layers.Dropout(0.1), layers.Dense(CLASSES, activation="softmax")]))
    return {**run(model), "drawn next": np.random.random()}


def evaluated():
    import nn_train

    model = compiled(mlp(), metrics=["accuracy"])
    results = nn_train.evaluate(model, X, Y, batch_size=8, verbose=0, sample_weight=WEIGHTS)
    outputs = nn_train.predict(model, X, batch_size=8, verbose=0)
    return {"results": results, "outputs": outputs, "scores": nn_train.predict(two(), X, verbose=0)}


def two():
    inputs = keras.Input((WIDTH,))
    return keras.Model(inputs, [layers.Dense(1)(inputs), layers.Dense(2)(inputs)])


def installed():
    """A script that cannot be changed, but for one line at its top."""
    import nn_train

    nn_train.install()
    model = compiled(mlp(), metrics=["accuracy"])
    history = model.fit(X, Y, **FIT)
    scores = model.evaluate(X, Y, batch_size=8, verbose=0)
    return outcome_of(model, history, scores=scores, outputs=model.predict(X, batch_size=8, verbose=0))


def overridden():
    """A ``fit`` and a ``predict`` of the class are the model's, and call Keras' own."""
    import nn_train

    model = own(DoublesInFit)
    found = [run(model) | {"outputs": nn_train.predict(model, X, batch_size=8, verbose=0)}, run(own(FitsOnAll))]
    model = own(PredictsInTraining, layers.BatchNormalization(), layers.Dropout(0.3))
    outputs = nn_train.predict(model, X, batch_size=8, verbose=0)
    return [
        *found,
        {"outputs": outputs, "weights": [np.asarray(v.value) for v in model.weights if "seed" not in v.name]},
    ]


def inner_metrics():
    """Of a layer within a layer, and of a model within the model."""
    updates, seen = Updates(ops.mean, keras.metrics.Mean("seen")), Updates(ops.mean, keras.metrics.Mean("inner"))
    inner = keras.Sequential([keras.Input((8,)), layers.Dense(4), seen])
    outcome = run(compiled(mlp(Holds(Holds(updates)), inner), metrics=["accuracy"]))
    return outcome | {"inner": [np.asarray(variable.value) for variable in seen.seen.variables]}


def compiled_again():
    """With the same optimizer and no loss that would be another: what does not train any more is known all the same."""
    optimizer = keras.optimizers.SGD(0.1)
    model = keras.Sequential([keras.Input((WIDTH,)), layers.Dense(3), Penalty()])
    found = []
    for trainable in (True, False):
        model.layers[0].trainable = trainable
        model.compile(optimizer, jit_compile=False)
        found.append(run(model, y=None))
    return found


def none_given():
    """An optional input, a target of an output that is not compared, and outputs of a model that nothing has built."""
    import nn_train

    first, second = keras.Input((WIDTH,), name="first"), keras.Input((WIDTH,), name="second", optional=True)
    hidden = layers.Dense(4)(first)
    model = keras.Model({"first": first, "second": second}, [layers.Dense(1)(hidden), layers.Dense(2)(hidden)])
    model.compile("adam", [None, "mse"], jit_compile=False)
    outcome = run(model, {"first": X, "second": None}, [None, ONE_HOT[:, :2]])
    return outcome | {"shape": nn_train.predict(Late(), X, batch_size=8, verbose=0).shape}


def own_scope():
    """The model, its optimizer and its metrics are in a strategy that the script makes itself."""
    with tf.distribute.MultiWorkerMirroredStrategy().scope():
        inner = [layers.BatchNormalization(), layers.Dropout(0.3)]
        metrics = [Largest()]
        optimizer = keras.optimizers.AdamW(0.01, global_clipnorm=0.5, use_ema=True, ema_overwrite_frequency=3)
        model = compiled(mlp(*inner), optimizer, loss="categorical_crossentropy", metrics=metrics)
        model.build((None, WIDTH))
        optimizer.build(model.trainable_variables)
    return run(model, y=ONE_HOT, validation_split=0.2)


def stateful():
    """Made for batches of eight."""
    of_steps = [layers.Reshape((WIDTH, 1)), layers.LSTM(4, stateful=True), layers.Dense(CLASSES, activation="softmax")]
    return compiled(keras.Sequential([keras.Input(batch_shape=(8, WIDTH)), *of_steps]))


def refused():
    """What is said of models that several workers would train otherwise than one."""
    part = slice(join().rank, None, 2) if join().size > 1 else slice(None)  # as one deals out rows for Keras' own fit
    models = {
        "add_loss": compiled(mlp(SumsUp())),
        "state": compiled(mlp(Remembers())),
        "rows in training": compiled(mlp(ComparesWhileTraining())),
        "shuffled rows": compiled(mlp(Shuffles())),
        "compute_loss": own(SumOfRows),
        "clipped as in guides": own(ClipsInStep, metrics=["accuracy"]),
    }
    shorter = slice(0, ROWS - 8 * join().rank)
    return {name: error_of(model) for name, model in models.items()} | {
        "stateful": error_of(stateful(), X[:32], Y[:32]),
        "all rows": error_of(compiled(mlp(Passes())), X[:32], Y[:32]),
        "data": error_of(compiled(mlp()), X[part], Y[part]),
        "rows of others": error_of(compiled(mlp()), X[:36][part], Y[:36][part]),  # as many for each
        "length": error_of(compiled(mlp()), X[shorter], Y[shorter], shuffle=False),
        "validation": error_of(compiled(mlp()), validation_data=(X[shorter], Y[shorter])),
        "test": error_of(stepping(mean_loss, SumsInTest), validation_data=(X, Y)),
        "mirrored": error_of_mirrored(),
        "scope": error_in_scope(),
        "metric of a layer": error_of(compiled(mlp(Updates(ops.sum, keras.metrics.Sum())))),
        "metric of a mean": error_of(compiled(mlp(Updates(ops.mean, keras.metrics.Mean())))),
        "predict_step": error_of(own(ComparesInPredict), method="predict"),
        "make_train_function": error_of(own(MakesItsFunction)),
        "epochs": error_of(compiled(mlp()), epochs=1 + join().rank),
        "three for each": error_of(mlp(layers.Lambda(lambda x: ops.concatenate([x, x, x], 0))), method="predict"),
        "texts": error_of(keras.Sequential([layers.Lambda(lambda x: tf.strings.as_string(x))]), method="predict"),
    }


def error_of(model, x=X, y=Y, method="fit", **named):
    import nn_train

    before = [np.asarray(v.value) for v in model.variables]
    try:
        if method == "predict":
            nn_train.predict(model, x, batch_size=8, verbose=0)
        else:
            run(model, x, y, **named)
    except RequestError as error:
        same = all(np.array_equal(a, b.value) for a, b in zip(before, model.variables, strict=True))
        return f"{error}{'' if same else ' (the model has changed)'}"
    return "trained"


def error_in_scope():
    with tf.distribute.MultiWorkerMirroredStrategy().scope() if join().size > 1 else contextlib.nullcontext():
        return error_of(compiled(mlp()))


def error_of_mirrored():
    try:
        tf.distribute.MirroredStrategy()
    except RequestError as error:
        return str(error)
    return "trained"


def failing_callback():
    """A callback that fails on the chief; what each worker is told, and that they can train afterwards."""

    class Fails(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise KeyError("no such thing")

    model = compiled(mlp())
    try:
        run(model, callbacks=[Fails()])
    except KeyError as error:
        return {"error": str(error), **run(model)}


SCRIPTS = [
    plain, validated, sampled, class_weighted, embedding, positions, masked, averaged_at_the_end,
    accumulated, rmse, two_outputs, penalised, normalised,
    normalised_with_mask, chosen, drawn, counted, spectral, any_metric, own_step, own_loss_step, own_loss, own_metrics,
    saturated, of_guides, two_optimizers, two_views, fitted_twice,
    listening, stopped, several_steps, eager, generator, dataset, unbuilt_and_unseeded,
    evaluated, overridden, inner_metrics, compiled_again, none_given, entered, installed,
    refused, failing_callback, own_scope,
]  # fmt: skip


OWN_SCOPES = [own_scope]


def perform(script, out: Path, rank: int) -> None:
    import nn_train

    keras.backend.clear_session()
    keras.config.set_dtype_policy("float64")
    keras.backend.set_floatx("float64")
    keras.utils.set_random_seed(3)
    with contextlib.nullcontext() if script in OWN_SCOPES else nn_train.scope():
        result: dict[str, Any] = script()
    (out / f"{script.__name__}-{rank}.pickle").write_bytes(pickle.dumps(result))


if __name__ == "__main__":
    place, folder = int(sys.argv[1]), Path(sys.argv[3])
    wanted = os.environ.get("SCRIPTS", "").split()
    if sys.argv[2] == "1":
        os.environ.pop("TF_CONFIG", None)  # a process that knows of no others
    for one in SCRIPTS:
        if not wanted or one.__name__ in wanted:
            perform(one, folder, place)
