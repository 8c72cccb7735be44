"""What a notebook does, in one go; given to Python by its standard input, so that no function has a file."""

import json
import os
import pathlib
import sys

import keras
import numpy as np
import ray

import nn_train
import nn_train.errors

rng = np.random.default_rng(0)
x = rng.normal(size=(300, 6)).astype("float32")
y = (x[:, 0] + x[:, 1] > 0).astype("int64")
os.chdir(sys.argv[1])
FOLDER = sys.argv[1]


@keras.saving.register_keras_serializable("mine")
class Gate(keras.layers.Layer):
    def build(self, shape):
        self.gate = self.add_weight(shape=(shape[-1],), initializer="ones")

    def call(self, x):
        return x * self.gate


def build(units=8):
    return keras.Sequential([keras.Input((6,)), Gate(), keras.layers.Dense(units, "relu"), keras.layers.Dense(2)])


def load():
    return (x[:200], y[:200]), (x[200:], y[200:])


class Counts(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        with open(f"{FOLDER}/epochs", "a") as file:
            file.write(f"{epoch} ")


def without_times(row):
    return {key: row[key] for key in ("loss", "accuracy", "val_loss", "val_accuracy")}


compiled = keras.Sequential(
    [keras.Input((6,)), Gate(), keras.layers.Dense(4, "tanh"), keras.layers.Dense(2, "softmax")]
)
compiled.compile(keras.optimizers.Lion(1e-2), "sparse_categorical_crossentropy", metrics=["accuracy"])
given = [value.copy() for value in compiled.get_weights()]

ray.init(num_cpus=2, address="local", include_dashboard=False, log_to_driver=False)
short, two, one = {"epochs": 2, "batch_size": 32}, {"num_workers": 2}, {"num_workers": 1}
by_function = nn_train.train(model=build, data=load, train={**short, "callbacks": [Counts()]}, scaling=two)
by_arrays = nn_train.train(model=build, data=load(), train=short, scaling=one)
by_model = nn_train.train(model=compiled, data=load, name="by_model", train=short, scaling=one)
search = {"space": {"model.args.units": {"choice": [2, 8]}}, "algorithm": "grid", "max_concurrent": 1, "keep_best": 1}
found = nn_train.tune(model=build, data=load, name="found", search=search, train=short, scaling=one)
again = nn_train.train(model=build, data=load, train={**short, "callbacks": [Counts()]}, scaling=two)
page = nn_train.evaluate([by_function, by_arrays.folder, by_model, found], "report")
still = keras.models.clone_model(compiled)
still.set_weights(given)
still.compile(keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
unmoved = nn_train.train(model=still, data=load, name="unmoved", train=short, scaling=two)
left = keras.models.load_model(f"{unmoved.folder}/model.keras").get_weights()


def error_of(call, *args, **named):
    try:
        call(*args, **named)
    except nn_train.errors.RequestError as error:
        return str(error)
    return "none"


def load():
    return (x[:200], y[:200]), (x[200:], 1 - y[200:])


of_before = error_of(nn_train.evaluate, by_function, "same")  # what a run was trained with is kept
callbacks = {**short, "callbacks": [Counts()]}
other_code = error_of(nn_train.train, model=build, data=load, train=callbacks, scaling=two)
other_data = error_of(nn_train.evaluate, by_function, "other")
other_arrays = error_of(nn_train.train, model=build, data=load(), train=short, scaling=one)
predicted = nn_train.predict(by_model, x[200:])
in_keras = keras.models.load_model(f"{by_model.folder}/model.keras")
np.testing.assert_allclose(predicted.values, in_keras.predict(x[200:], verbose=0), rtol=1e-5, atol=1e-6)
written = nn_train.predict(found, lambda: (x[200:203], ["a", "b", "c"]), "three.csv")
told = {
    "functions": without_times(by_function.metrics),
    "arrays": without_times(by_arrays.metrics),
    "folders": [os.path.relpath(result.folder) for result in (by_function, by_arrays, by_model, found)],
    "again": again.trained,
    "code": by_function.record["code"],
    "trials": len(found.records),
    "accuracy": float((predicted.values.argmax(1) == y[200:]).mean()),
    "of the model": nn_train.evaluate(in_keras, x[200:], y[200:], verbose=0),
    "page": str(page),
    "epochs": pathlib.Path("epochs").read_text(),
    "begins with the model's": all(np.array_equal(*pair) for pair in zip(given, left, strict=True)),
    "of before": of_before,
    "other code": other_code,
    "other data": other_data,
    "other arrays": other_arrays,
    "written": str(written),
    "unchanged": all(np.array_equal(*pair) for pair in zip(given, compiled.get_weights(), strict=True)),
}
with open("told.json", "w") as file:
    json.dump(told, file)
