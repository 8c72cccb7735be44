"""The model and the data of this example: 569 tumours, 30 measurements each (scikit-learn's ``load_breast_cancer``)."""

import keras
from keras import layers
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler


def load():
    """Return training and test examples and the names of the classes; a fifth is for the test, always the same."""
    data = load_breast_cancer()
    x_train, x_test, y_train, y_test = train_test_split(
        data.data, data.target, test_size=0.2, stratify=data.target, random_state=0
    )
    scaler = StandardScaler().fit(x_train)
    train, test = (scaler.transform(x).astype("float32") for x in (x_train, x_test))
    return (train, y_train), (test, y_test), [str(name) for name in data.target_names]


def build(input_shape, num_classes, units=32, depth=1, dropout=0.2):
    """Return a network of dense layers; what follows ``num_classes`` are ``model.args``."""
    model = keras.Sequential([keras.Input(input_shape)])
    for _ in range(depth):
        model.add(layers.Dense(units, activation="relu"))
        model.add(layers.Dropout(dropout))
    model.add(layers.Dense(num_classes, name="logits"))
    return model
