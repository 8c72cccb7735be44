"""The models and the data of this example: the blocks of a MobileNet learn the digits 0 to 4, and then see 5 to 9."""

import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

SIZE = 32  # pixels


def load(first=0, train_size=None):
    """Return five digits from ``first`` on as colour images, bytes from 0 to 255."""
    digits = load_digits()
    rows = (digits.target >= first) & (digits.target < first + 5)
    images = (digits.images[rows] * 255 / 16).repeat(SIZE // 8, axis=1).repeat(SIZE // 8, axis=2)
    x, y = np.stack([images] * 3, axis=-1).round().astype("uint8"), digits.target[rows] - first
    x_train, x_test, y_train, y_test = train_test_split(
        x, y, train_size=train_size, test_size=0.3, stratify=y, random_state=0
    )
    return (x_train, y_train), (x_test, y_test), [str(first + digit) for digit in range(5)]


def pretrain(input_shape, num_classes):
    """Return the first five blocks of a MobileNet, with a last layer; what follows them is for larger images.

    It has no weights yet. Where the machine may download, ``weights="imagenet"`` spares this step.
    """
    images = keras.Input(input_shape)
    mobilenet = keras.applications.MobileNet(input_shape=input_shape, alpha=0.5, weights=None, include_top=False)
    body = keras.Model(mobilenet.input, mobilenet.get_layer("conv_pw_5_relu").output)
    for layer in body.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.9  # 0.99 is for more steps than these
    features = layers.GlobalAveragePooling2D()(body(keras.applications.mobilenet.preprocess_input(images)))
    return keras.Model(images, layers.Dense(num_classes, name="logits")(features))


def transfer(num_classes, body, frozen=False):
    """Return the network of the run in the folder ``body`` with a new last layer, which is trained alone if frozen."""
    trained = keras.models.load_model(f"{body}/model.keras")
    trained.trainable = not frozen
    features = trained.layers[-1].input
    return keras.Model(trained.input, layers.Dense(num_classes, name="logits")(features))
