"""Models and data as a user would write them, named in configs as ``user_code:function``."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

import nn_train

# Before Keras 3.14 activity penalties are sums over the rows, which several workers refuse. Python 3.10 gets 3.12.
AVERAGED_PENALTY = "l2" if tuple(int(part) for part in keras.__version__.split(".")[:2]) >= (3, 14) else None


def streams():
    from user_data import arrays  # here: as `tests.user_code` this module has no other beside it

    (x, y), (x_test, y_test) = arrays()
    train = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(200)  # without a seed, as users write it
    return train, tf.data.Dataset.from_tensor_slices((x_test, y_test))


class Batches(keras.utils.PyDataset):
    """Batches of seven, the last one short."""

    def __init__(self, x, y):
        super().__init__()
        self.x, self.y = x, y

    def __len__(self):
        return (len(self.x) + 6) // 7

    def __getitem__(self, at):
        return self.x[7 * at : 7 * at + 7], self.y[7 * at : 7 * at + 7]


def batches():
    from user_data import arrays

    train, test = arrays()
    return Batches(*train), Batches(*test), ["ash", "birch", "cedar"]


@keras.saving.register_keras_serializable("user_code")
class LargestScore(keras.metrics.Metric):
    """A metric with state of its own: the mean of each row's largest score."""

    def __init__(self, name="largest_score", **kwargs):
        super().__init__(name=name, **kwargs)
        self.total = self.add_variable(shape=(), initializer="zeros", name="total")
        self.count = self.add_variable(shape=(), initializer="zeros", name="count")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.total.assign_add(keras.ops.sum(keras.ops.max(y_pred, axis=-1)))
        self.count.assign_add(keras.ops.cast(keras.ops.shape(y_pred)[0], "float32"))

    def result(self):
        return self.total / self.count


@keras.saving.register_keras_serializable("user_code")
class Scale(keras.layers.Layer):
    """A custom layer with one weight."""

    def build(self, input_shape):
        self.factor = self.add_weight(shape=(), initializer="ones", name="factor")

    def call(self, inputs):
        return inputs * self.factor


def keras_3():
    """Refuses the legacy Keras 2, also as ``tf.keras``."""
    assert keras.__version__.startswith("3.")
    assert tf.keras.Model is keras.Model
    return plain()


def plain_dropout():
    layers = [keras.layers.Dense(8, "tanh"), keras.layers.Dropout(0.3), keras.layers.Dense(3)]
    return keras.Sequential([keras.Input((6,)), *layers])


def plain():
    return keras.Sequential([keras.Input((6,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(3)])


def wide():
    return keras.Sequential([keras.Input((16384,)), keras.layers.Dense(8)])


def save_records(folder, parts):
    """The parts of ``(train, test)`` as TFRecord files of 40 examples."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (x, y) in zip(("train", "test"), parts, strict=True):
        for first in range(0, len(x), 40):
            with tf.io.TFRecordWriter(str(folder / f"{name}-{first:03}.tfrecord")) as writer:
                for values, label in zip(x[first : first + 40], y[first : first + 40], strict=True):
                    feature = {
                        "x": tf.train.Feature(float_list=tf.train.FloatList(value=values)),
                        "y": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
                    }
                    writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())


def records(folder):
    def parse(record):
        features = {"x": tf.io.FixedLenFeature([6], tf.float32), "y": tf.io.FixedLenFeature([], tf.int64)}
        example = tf.io.parse_single_example(record, features)
        return example["x"], example["y"]

    parts = (nn_train.TfRecords(f"{folder}/{name}-*.tfrecord", parse) for name in ("train", "test"))
    return *parts, ["ash", "birch", "cedar"]


def convolution():
    layers = [keras.layers.Conv2D(4, 3, activation="relu"), keras.layers.Flatten(), keras.layers.Dense(3)]
    return keras.Sequential([keras.Input((8, 8, 1)), *layers])


@keras.saving.register_keras_serializable("user_code")
class Shifts(keras.layers.Layer):
    """By numbers that it keeps, of which thirds do not add up to the last bit; and by others of few bits."""

    def build(self, shape):
        self.by = self.add_weight(shape[1:], keras.initializers.Constant(3 / 7), trainable=False, name="by")
        self.never = self.add_weight((), keras.initializers.Constant(-np.inf), trainable=False, name="never")
        kinds = ("int8", "uint32", "bfloat16")
        self.others = [self.add_weight((), "ones", dtype=kind, trainable=False, name=kind) for kind in kinds]

    def call(self, x):
        return keras.ops.maximum(x, self.never) + self.by + sum(keras.ops.cast(one, x.dtype) for one in self.others)


def batch_norm():
    """Not compiled, in logits, with BatchNormalization, behind which a bias would be nothing but roundings."""
    dense = keras.layers.Dense(8, use_bias=False)
    norms = [Shifts(name="shifts"), dense, keras.layers.BatchNormalization(name="of_hidden")]
    layers = [*norms, keras.layers.ReLU(), keras.layers.Dense(3)]
    return keras.Sequential([keras.Input((6,)), *layers])


class MixesRows(keras.layers.Layer):
    """While it trains."""

    def call(self, x, training=False):
        return 0.8 * x + 0.2 * keras.random.shuffle(x) if training else x


def mixes_rows():
    return keras.Sequential([keras.Input((6,)), MixesRows(), keras.layers.Dense(3)])


def input_norm():
    """BatchNormalization of the examples themselves: its moving mean does not depend on any weight."""
    layers = [keras.layers.BatchNormalization(name="of_the_examples"), keras.layers.Dense(3)]
    return keras.Sequential([keras.Input((6,)), *layers])


def compiled_two_inputs():
    """Several inputs, a custom layer and metric, a clipped optimizer and its own loss."""
    left, right = keras.Input((2,), name="left"), keras.Input((4,), name="right")
    joined = Scale()(keras.layers.Concatenate()([left, right]))
    outputs = keras.layers.Dense(3, activation="softmax", activity_regularizer=AVERAGED_PENALTY)(joined)
    model = keras.Model({"left": left, "right": right}, outputs)
    optimizer = keras.optimizers.SGD(0.5, momentum=0.9, global_clipnorm=0.1)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy", LargestScore()])
    return model


def too_few_outputs():
    return keras.Sequential([keras.Input((6,)), keras.layers.Dense(2, activation="softmax")])


def embedding():
    """Its gradients are rows of a table, other ones on each worker."""
    layers = [keras.layers.Embedding(50, 8), keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(3)]
    return keras.Sequential([keras.Input((12,)), *layers])


class Positions(keras.layers.Layer):
    """Adds a row of a table to each place of a text: the same rows for all examples."""

    def build(self, shape):
        self.table = keras.layers.Embedding(*shape[1:])
        self.table.build(())

    def call(self, x):
        return x + self.table(keras.ops.arange(x.shape[1]))


def positions():
    """The gradient of one of its tables has an entry for each position, whose squares Adam takes of the sum."""
    model = embedding()
    return keras.Sequential([keras.Input((12,)), model.layers[0], Positions(), *model.layers[1:]])


class Given(keras.layers.Layer):
    """Has an object of which Keras does not know how to write it down."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, inputs):
        return self.function(inputs)


def unsavable():
    return keras.Sequential([keras.Input((6,)), Given(keras.ops.tanh), keras.layers.Dense(3)])


def not_a_model():
    return "model"


def broken_model():
    raise KeyError("a mistake in the user's own code")


def breaks_with_five_units(config, input_shape, num_classes):
    """A model that a search finds to fail for some of its settings."""
    print(f"asked for {config.model.hidden_units} units")
    if config.model.hidden_units == 5:
        raise ValueError("five units are not supported")
    layers = [keras.layers.Dense(config.model.hidden_units), keras.layers.Dense(num_classes, activation="softmax")]
    return keras.Sequential([keras.Input(input_shape), *layers])
