"""Two networks learn to draw scikit-learn's digits: a ``train_step`` with two optimizers, in ``nn_train.fit``."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops
from PIL import Image
from sklearn.datasets import load_digits

import nn_train

NOISE = 16  # numbers that a drawing is made from


class Gan(keras.Model):
    """A maker of images ``[8, 8, 1]`` from -1 to 1, and a judge who gives a score above 0 to what looks real."""

    def __init__(self):
        super().__init__()
        self.maker = keras.Sequential(
            [layers.Dense(128, activation="gelu"), layers.Dense(256, activation="gelu"), layers.Dense(64, "tanh")]
        )
        self.judge = keras.Sequential(
            [layers.Dense(128, activation="gelu"), layers.Dropout(0.3), layers.Dense(64, activation="gelu")]
        )
        self.score = layers.Dense(1)
        self.of_maker = keras.optimizers.Adam(1e-3, beta_1=0.5)

    def build(self, input_shape):
        """Make the weights of both networks."""
        self.maker.build((None, NOISE))
        self.judge.build((None, 64))
        self.score.build((None, 64))
        self.of_maker.build(self.maker.trainable_variables)

    def call(self, x, training=False):
        """Return the scores of images ``[N, 64]``."""
        return self.score(self.judge(x, training=training))

    def draw(self, noise):
        """Return images ``[N, 64]``."""
        return self.maker(noise)

    def train_step(self, data):
        """Train the judge, then the maker; each loss is a mean over the rows, so it is shared out among workers."""
        real, noise = data
        with tf.GradientTape() as tape:
            drawn = self.draw(noise)
            loss = ops.mean(ops.softplus(-self(real, training=True)) + ops.softplus(self(drawn, training=True)))
        of_judge = self.judge.trainable_variables + self.score.trainable_variables
        self.optimizer.apply(tape.gradient(loss, of_judge), of_judge)
        with tf.GradientTape() as tape:
            fooled = ops.mean(ops.softplus(-self(self.draw(noise), training=True)))
        self.of_maker.apply(tape.gradient(fooled, self.maker.trainable_variables), self.maker.trainable_variables)
        return {"judge": loss, "maker": fooled}


def main():
    keras.utils.set_random_seed(0)
    real = (load_digits().data / 8 - 1).astype("float32")  # [1797, 64]
    noise = np.random.default_rng(0).normal(size=(len(real), NOISE)).astype("float32")
    with nn_train.scope():
        model = Gan()
        model.build((None, 64))
        model.compile(keras.optimizers.Adam(1e-3, beta_1=0.5))
    nn_train.fit(model, real, noise, batch_size=64, epochs=60, verbose=2)
    if nn_train.is_chief():
        drawn = ops.convert_to_numpy(model.draw(noise[:64])).reshape(8, 8, 8, 8)  # 8 rows of 8 drawings of 8 by 8
        sheet = Image.fromarray(((drawn.transpose(0, 2, 1, 3).reshape(64, 64) + 1) * 127.5).astype("uint8"))
        sheet.resize((512, 512), Image.Resampling.NEAREST).save("drawn.png")
        print("64 drawings are in drawn.png")


if __name__ == "__main__":
    main()
