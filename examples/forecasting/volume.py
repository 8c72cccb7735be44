"""The model and the data of this example: how many shares of a company change hands on each of the next five days.

The series are 1,047 days of prices and volumes that travel with Matplotlib (``goog.npz``).
"""

import keras
import matplotlib
import numpy as np
from keras import layers

PAST, AHEAD = 30, 5  # days that are seen, days that are forecast


def read():
    """Return a row for each day: the logarithm of the volume, the return, and the span between high and low."""
    with np.load(f"{matplotlib.get_data_path()}/sample_data/goog.npz") as file:
        days = file["price_data"]
    volume, close = np.log(days["volume"]), np.log(days["close"])
    return np.stack([volume, np.diff(close, prepend=close[0]), np.log(days["high"] / days["low"])], axis=1)


def windows(days, first, last):
    """Return the days before each of ``first`` to ``last``, and the volumes from there on."""
    starts = range(first, last - AHEAD + 1)
    x = np.stack([days[start - PAST : start] for start in starts]).astype("float32")
    y = np.stack([days[start : start + AHEAD, 0] for start in starts]).astype("float32")
    return x, y


def load():
    """Return training, validation and test windows in the order of time: nobody forecasts the past from the future."""
    days = read()
    train, validation = int(0.7 * len(days)), int(0.85 * len(days))
    days = (days - days[:train].mean(axis=0)) / days[:train].std(axis=0)
    return windows(days, PAST, train), windows(days, train, validation), windows(days, validation, len(days))


def build(input_shape, config, units=16):
    """Return a network that says how much the volume moves away from that of the last day; at first not at all."""
    days = keras.Input(input_shape)
    seen = layers.Concatenate()([days[:, -5:, 0], layers.GRU(units)(days)])
    moves = layers.Dense(AHEAD, kernel_initializer="zeros")(layers.Dropout(0.2)(seen))
    model = keras.Model(days, layers.Add()([days[:, -1:, 0], moves]))
    model.compile(keras.optimizers.Adam(config.optimizer.learning_rate), "mse", metrics=["mae"])
    return model


def main():
    """Print the error of the trained model on the test days beside that of two simple rules."""
    _, _, (x, y) = load()
    model = keras.models.load_model("results/volume/model.keras")
    last, mean = x[:, -1:, 0], x[:, :, 0].mean(axis=1, keepdims=True)
    forecasts = {"the model": model.predict(x, verbose=0), "as on the last day": last, f"mean of {PAST} days": mean}
    for name, forecast in forecasts.items():
        print(f"{name:<20} mean absolute error {np.abs(forecast - y).mean():.3f}")


if __name__ == "__main__":
    main()
