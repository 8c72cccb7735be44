"""The model and the data of this example: 442 patients, ten measurements each (scikit-learn's ``load_diabetes``)."""

import keras
from keras import layers
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split


def load():
    """Return training and test examples; the target is a measure of the disease a year later, from 25 to 346."""
    x, y = load_diabetes(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(20 * x, y, test_size=0.25, random_state=0)
    return (x_train.astype("float32"), y_train), (x_test.astype("float32"), y_test)


def build(input_shape, units=32, middle=150.0):
    """Return a network that begins with the same answer, ``middle``, for everybody."""
    inputs = keras.Input(input_shape)
    hidden = layers.Dense(units, activation="relu")(inputs)
    return keras.Model(inputs, layers.Dense(1, bias_initializer=keras.initializers.Constant(middle))(hidden))
