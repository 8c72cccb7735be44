"""A change that each training image gets whenever it is taken."""

import numpy as np


def shift(x, y, generator):
    """Return the image moved by at most one pixel each way; bytes ``[H, W, C]``, as in the folder."""
    down, right = generator.integers(-1, 2, size=2)
    return np.roll(x, (down, right), axis=(0, 1)), y
