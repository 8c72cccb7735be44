"""Model functions whose parts keep what they were made with, or are made of what is neither Keras' nor a number."""

from __future__ import annotations

import enum
import functools
import logging
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from own_code_trials import LOSS, of_layers
from user_data import arrays

log = logging.getLogger(__name__)


@keras.saving.register_keras_serializable("trials")
class Block(keras.layers.Layer):
    """As Keras' guides write a layer: with its arguments as attributes, for ``get_config``."""

    def __init__(self, rate, l2=0.01, **named):
        super().__init__(**named)
        self.rate, self.l2 = rate, l2
        self.dense = keras.layers.Dense(8, "relu", kernel_regularizer=keras.regularizers.L2(l2))
        self.dropped = keras.layers.Dropout(rate)

    def build(self, shape):
        self.dense.build(shape)

    def call(self, inputs, training=None):
        return self.dropped(self.dense(inputs), training=training)

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "l2": self.l2}


class ByName(Block):
    """Computes with the number that it keeps."""

    def call(self, inputs, training=None):
        return super().call(inputs, training=training) * self.rate


class ByAnyName(Block):
    def call(self, inputs, training=None):
        return super().call(inputs, training=training) * getattr(self, "ra" + "te")


class ByDescription(Block):
    def call(self, inputs, training=None):
        return super().call(inputs, training=training) * self.get_config()["l2"]


class Scale(keras.layers.Layer):
    def __init__(self, of):
        super().__init__()
        self.factor = of.rate * 3

    def call(self, inputs):
        return inputs * self.factor


class MakesInSteps(Block):
    """What it makes reads the number while it is made."""

    def call(self, inputs, training=None):
        return Scale(self)(super().call(inputs, training=training))


class MakesByAttribute(Block):
    kind = Scale

    def call(self, inputs, training=None):
        return self.kind(self)(super().call(inputs, training=training))


class OfKeras(keras.layers.AlphaDropout):
    """Keras' code computes with the number that this keeps."""


class Logging(Block):
    def call(self, inputs, training=None):
        log.debug("called")
        return super().call(inputs, training=training)


@tf.custom_gradient
def bounded(x):
    return x, lambda upstream: tf.clip_by_value(upstream, -0.01, 0.01)


@keras.ops.custom_gradient
def bounded_too(x):
    return x, lambda *args, upstream=None: keras.ops.clip(args[0] if args else upstream, -0.01, 0.01)


class OwnGradient(Block):
    def call(self, inputs, training=None):
        return bounded_too(bounded(super().call(inputs, training=training)))


class Traced(Block):
    """Keeps the graph of its first call, with the rate that it had then."""

    @tf.function
    def call(self, inputs, training=None):
        return self.dropped(self.dense(inputs), training=training)


class TracedOnce(Traced):
    """Computes what its first graph does, which Keras makes when it builds the model."""

    factor = 2.0

    @tf.function
    def call(self, inputs):
        factor, self.factor = self.factor, 1.0
        return self.dropped(self.dense(inputs), training=True) * factor


class Inferring(Block):
    """Has a tf.function that no training calls, and that computes what its first graph does."""

    factor = 2.0

    @tf.function
    def infer(self, hidden):
        factor, self.factor = self.factor, 1.0
        return hidden * factor

    def call(self, inputs, training=None):
        hidden = super().call(inputs, training=training)
        return hidden if training else self.infer(hidden)


class WithProperty(Block):
    """Computes what it needs once."""

    @functools.cached_property
    def factor(self):
        return 1.5

    def call(self, inputs, training=None):
        return super().call(inputs, training=training) * self.factor


class Kind(enum.Enum):
    HALVED = 0.5
    WHOLE = 1.0


class Options(NamedTuple):
    kind: Kind
    scale: float = 1.5

    def factor(self):
        return self.scale * self.kind.value


class ByOptions(Block):
    def __init__(self, rate, l2):
        super().__init__(rate, l2)
        self.options = Options(Kind.HALVED)

    def call(self, inputs, training=None):
        return super().call(inputs, training=training) * self.options.factor()


class ByKind(Block):
    """The options say what it computes."""

    def __init__(self, rate, l2):
        super().__init__(rate, l2)
        self.options = Options(Kind.HALVED if rate < 0.3 else Kind.WHOLE)

    def call(self, inputs, training=None):
        return super().call(inputs, training=training) * self.options.factor()


LAYERS = {kind.__name__: kind for kind in (Block, ByName, ByAnyName, ByDescription, MakesInSteps, Logging)}
LAYERS |= {
    kind.__name__: kind
    for kind in (OwnGradient, Traced, TracedOnce, Inferring, WithProperty, ByOptions, ByKind, MakesByAttribute)
}


def layered(config, input_shape, num_classes, what):
    return of_layers(input_shape, num_classes, LAYERS[what](config.model.dropout, config.model.l2))


def of_keras(config, input_shape, num_classes):
    layers = [OfKeras(config.model.dropout), Block(0.2, config.model.l2)]
    return of_layers(input_shape, num_classes, *layers)


def normalised(config, input_shape, num_classes, what):
    """``what``: whether the layer has learned from data, or was given what it knows."""
    given = {"mean": [0.1] * 6, "variance": [0.5] * 6} if what == "given" else {}
    first = keras.layers.Normalization(**given)
    if what != "given":
        first.adapt(arrays()[0][0] * (1.0 if what == "learned" else np.float32(config.model.dropout)))
    return of_layers(input_shape, num_classes, first, Block(config.model.dropout, config.model.l2))


def looking_up(config, input_shape, num_classes, what):
    """Columns that are categories. ``what``: of how many it knows, or of as many as the config says."""
    known = int(10 * config.model.dropout) if what == "some" else 3
    start = keras.Input(input_shape)
    whole = keras.ops.cast(start * 2, "int64")
    found = keras.layers.IntegerLookup(vocabulary=[*range(known)])(whole)
    hidden = Block(config.model.dropout, config.model.l2)(keras.layers.Flatten()(keras.layers.Embedding(9, 2)(found)))
    return keras.Model(start, keras.layers.Dense(num_classes)(hidden))


def attending(config, input_shape, num_classes):
    start = keras.Input(input_shape)
    hidden = keras.layers.Reshape((3, 2))(start)
    hidden = keras.layers.MultiHeadAttention(2, 2, dropout=config.model.dropout)(hidden, hidden)
    return keras.Model(start, keras.layers.Dense(num_classes)(keras.layers.Flatten()(hidden)))


def recurrent_rates(config, input_shape, num_classes):
    rate = config.model.dropout
    start = keras.Input(input_shape)
    hidden = keras.layers.SpatialDropout1D(rate)(keras.layers.Reshape((3, 2))(start))
    hidden = keras.layers.Attention(dropout=rate)([hidden, hidden])
    hidden = keras.layers.Dropout(rate, noise_shape=(None, 1, 2))(hidden)
    hidden = keras.layers.LSTM(4, dropout=rate, recurrent_dropout=rate, return_sequences=True)(hidden)
    hidden = keras.layers.Bidirectional(keras.layers.GRU(4, dropout=rate))(hidden)
    return keras.Model(start, keras.layers.Dense(num_classes)(hidden))


def both_factors(config, input_shape, num_classes):
    """Of a regulariser that two layers have."""
    both = keras.regularizers.L1L2(config.model.l2 / 3, config.model.l2)
    layers = [
        keras.layers.Dense(8, kernel_regularizer=both, activity_regularizer=keras.regularizers.L1(config.model.l2))
    ]
    return of_layers(input_shape, num_classes, *layers, keras.layers.Dense(8, bias_regularizer=both))


def dropping_all(config, input_shape, num_classes):
    """In a branch."""
    start = keras.Input(input_shape)
    hidden = keras.layers.Dropout(config.model.dropout)(keras.layers.Dense(8)(start))
    hidden = keras.layers.Add()([hidden, keras.layers.Dropout(1.0)(hidden)])
    return keras.Model(start, keras.layers.Dense(num_classes)(hidden))


def recurrent_step(config, input_shape, num_classes):
    model = recurrent_rates(config, input_shape, num_classes)
    return OwnStep(model.input, model.output)


SCHEDULES = {
    "CosineDecay": lambda rate: keras.optimizers.schedules.CosineDecay(rate, 11, alpha=0.23),
    "CosineDecayRestarts": lambda rate: keras.optimizers.schedules.CosineDecayRestarts(rate, 5, m_mul=0.7, alpha=0.1),
    "ExponentialDecay": lambda rate: keras.optimizers.schedules.ExponentialDecay(rate, 7, 0.9),
    "InverseTimeDecay": lambda rate: keras.optimizers.schedules.InverseTimeDecay(rate, 5, 0.3),
    "PolynomialDecay": lambda rate: keras.optimizers.schedules.PolynomialDecay(rate, 9, 0.001, power=1.7),
    "warmup": lambda rate: keras.optimizers.schedules.CosineDecay(0.0, 10, warmup_target=rate, warmup_steps=3),
    "steps": lambda rate: keras.optimizers.schedules.PiecewiseConstantDecay([5], [rate, rate / 3]),
}


def scheduled(config, input_shape, num_classes, what):
    model = layered(config, input_shape, num_classes, "Block")
    model.compile(keras.optimizers.Adam(SCHEDULES[what](config.optimizer.learning_rate)), LOSS, metrics=["accuracy"])
    return model


class ReadsSchedule(keras.optimizers.SGD):
    def update_step(self, gradient, variable, learning_rate):
        factor = 2.0 if self._learning_rate.initial_learning_rate > 0.01 else 1.0
        super().update_step(gradient * factor, variable, learning_rate)


def reads_schedule(config, input_shape, num_classes):
    model = of_layers(input_shape, num_classes)
    schedule = SCHEDULES["ExponentialDecay"](config.optimizer.learning_rate)
    model.compile(ReadsSchedule(schedule), LOSS, metrics=["accuracy"])
    return model


def scaling_with(config, input_shape, num_classes, what):
    model = own_step_of(config, input_shape, num_classes, "Scaling")
    model.compile(keras.optimizers.SGD(SCHEDULES[what](config.optimizer.learning_rate)), LOSS)
    return model


class Halving(keras.optimizers.SGD):
    def update_step(self, gradient, variable, learning_rate):
        super().update_step(gradient, variable, learning_rate * 0.1)


def halving(config, input_shape, num_classes):
    model = of_layers(input_shape, num_classes, keras.layers.Dense(8, "relu"))
    model.compile(Halving(SCHEDULES["ExponentialDecay"](config.optimizer.learning_rate)), LOSS, metrics=["accuracy"])
    return model


class LooksUpValues(keras.optimizers.SGD):
    def update_step(self, gradient, variable, learning_rate):
        super().update_step(gradient * (100 * self._learning_rate.values[0]), variable, learning_rate)


def looks_up_values(config, input_shape, num_classes):
    model = of_layers(input_shape, num_classes)
    model.compile(LooksUpValues(SCHEDULES["steps"](config.optimizer.learning_rate)), LOSS, metrics=["accuracy"])
    return model


def decaying(config, input_shape, num_classes, what):
    """Keras computes in the dtype of the rate, and the decay of the weights is another factor of it."""
    model = of_layers(input_shape, num_classes, keras.layers.Dense(8, "relu"))
    rate = np.float64(config.optimizer.learning_rate) if what == "float64" else config.optimizer.learning_rate
    schedule = SCHEDULES["steps" if what == "steps" else "ExponentialDecay"](rate)
    decay = 0.01 if what in ("decay", "steps") else None
    model.compile(keras.optimizers.SGD(schedule, weight_decay=decay), LOSS, metrics=["accuracy"])
    return model


OF_ALL = SCHEDULES["CosineDecay"](0.05)


def one_schedule(config, input_shape, num_classes):
    """All models have it."""
    model = layered(config, input_shape, num_classes, "Block")
    model.compile(keras.optimizers.Adam(OF_ALL), LOSS, metrics=["accuracy"])
    return model


# Models of which a worker takes whole batches.


class OwnStep(keras.Model):
    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x, y, self(x, training=True))
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        self._loss_tracker.update_state(loss, sample_weight=keras.ops.shape(x)[0])
        return {"loss": self._loss_tracker.result()}


class Drawing(OwnStep):
    """Of which nobody sets back what it draws with."""

    def train_step(self, data):
        x, y = data
        return super().train_step((x + 0.1 * tf.random.normal(tf.shape(x)), y))


class DrawingOnce(OwnStep):
    def train_step(self, data):
        x, y = data
        return super().train_step((x * np.random.uniform(0.5, 1.5, 6).astype("float32"), y))


class Helper(keras.layers.Layer):
    """Is built in a step."""

    def __init__(self, rate):
        super().__init__()
        self.rate = rate

    def build(self, shape):
        self.amount = self.rate * 2

    def call(self, inputs):
        return inputs * (1 + self.amount)


class Helped(OwnStep):
    def __init__(self, *given, helper, **named):
        super().__init__(*given, **named)
        self.helper = helper

    def train_step(self, data):
        x, y = data
        return super().train_step((self.helper(x), y))


class MakesLater(OwnStep):
    helpers = None

    def train_step(self, data):
        x, y = data
        if not self.helpers:
            self.helpers = [Helper(0.3)]
        return super().train_step((self.helpers[0](x), y))


class Counting(OwnStep):
    """What it computes depends on how often it was traced."""

    traces = 0

    def train_step(self, data):
        self.traces += 1
        x, y = data
        return super().train_step((x * self.traces, y))


class Flagging(OwnStep):
    """The first graph is another than those of later."""

    is_traced = False

    def train_step(self, data):
        x, y = data
        factor, self.is_traced = 1.0 if self.is_traced else 2.0, True
        return super().train_step((x * factor, y))


class Validating(OwnStep):
    """Computes in validation what training was traced to."""

    traces = 0

    def train_step(self, data):
        self.traces += 1
        return super().train_step(data)

    def test_step(self, data):
        x, y = data
        return {"loss": self.traces * self.compute_loss(x, y, self(x))}


class Switching(OwnStep):
    """The first graph reads another variable than those of later, of the same shape."""

    second = False

    def __init__(self, *given, **named):
        super().__init__(*given, **named)
        self.scales = [self.add_weight(shape=(6,), initializer="ones") for _ in range(2)]
        self.scales[1].assign([2.0] * 6)

    def train_step(self, data):
        x, y = data
        scale, self.second = self.scales[self.second], True
        return super().train_step((x * scale, y))


class Weighing(OwnStep):
    """Takes the penalty times a number, which TensorFlow would multiply with the factor of that."""

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return keras.ops.mean(LOSS(y, y_pred)) + 0.3 * sum(self.losses)


class Scaling(OwnStep):
    """The same of the learning rate."""

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x, y, self(x, training=True))
        for weight, gradient in zip(self.trainable_weights, tape.gradient(loss, self.trainable_variables), strict=True):
            weight.assign_sub(0.1 * self.optimizer.learning_rate * gradient)
        self.optimizer.iterations.assign_add(1)
        return {"loss": loss}


class TracedStep(OwnStep):
    @tf.function
    def train_step(self, data):
        return super().train_step(data)


class ReadsRates(OwnStep):
    def train_step(self, data):
        x, y = data
        return super().train_step((x * self.layers[1].dropped.rate, y))


STEPS = {kind.__name__: kind for kind in (Drawing, DrawingOnce, Helped, MakesLater, Counting, Flagging, TracedStep)}
STEPS |= {kind.__name__: kind for kind in (ReadsRates, Validating, Switching, Weighing, Scaling)}


def own_step_of(config, input_shape, num_classes, what):
    start, rate = keras.Input(input_shape), config.model.dropout
    named = {"helper": Helper(rate)} if what == "Helped" else {}
    return STEPS[what](start, keras.layers.Dense(num_classes)(Block(rate, config.model.l2)(start)), **named)


def own_step(config, input_shape, num_classes):
    start = keras.Input(input_shape)
    return OwnStep(start, keras.layers.Dense(num_classes)(Block(config.model.dropout, config.model.l2)(start)))


class UsedOnce(OwnStep):
    """Of which no other test makes a model."""


def used_once(config, input_shape, num_classes):
    start = keras.Input(input_shape)
    return UsedOnce(start, keras.layers.Dense(num_classes)(Block(config.model.dropout, config.model.l2)(start)))


def averaged_schedule(config, input_shape, num_classes):
    model = layered(config, input_shape, num_classes, "Block")
    schedule = SCHEDULES["warmup"](config.optimizer.learning_rate)
    model.compile(keras.optimizers.SGD(schedule, gradient_accumulation_steps=2), LOSS, metrics=["accuracy"])
    return model


def averaged(config, input_shape, num_classes):
    model = layered(config, input_shape, num_classes, "Block")
    optimizer = keras.optimizers.Adam(config.optimizer.learning_rate, use_ema=True, ema_overwrite_frequency=3)
    model.compile(optimizer, LOSS, metrics=["accuracy"])
    return model
