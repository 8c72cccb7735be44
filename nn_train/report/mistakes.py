"""How mistakes are shown: as pixels, and with a word where the label itself is in doubt."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# MNIST test labels that people doubt: C. Northcutt, A. Athalye, J. Mueller, "Pervasive Label Errors in Test
# Sets Destabilize Machine Learning Benchmarks", 2021.
DOUBTFUL_MNIST = frozenset((947, 1621, 1901, 2130, 2462, 2597, 2654, 3520, 3558, 5937, 6651, 6783, 8527, 9679, 9729))


def is_doubtful(source: str, example_id: int) -> bool:
    """Whether the true label of a test example is itself in doubt; known for MNIST only."""
    return source == "mnist" and example_id in DOUBTFUL_MNIST


def as_pixels(image: NDArray[Any]) -> NDArray[np.uint8]:
    """A picture uint8 [H, W] or [H, W, 3] of an image [H, W] or [H, W, C].

    Floats are taken as 0 to 1 if they stay in that range, else stretched from their least to their
    largest value. Of two channels the first is shown, of more than three the first three.
    """
    pixels = np.asarray(image)
    if pixels.ndim == 3:
        pixels = pixels[..., :3] if pixels.shape[-1] >= 3 else pixels[..., 0]
    if pixels.dtype == np.uint8:
        return pixels
    values = np.nan_to_num(pixels.astype(np.float64))
    low, high = min(values.min(), 0.0), max(values.max(), 1.0)
    if low < 0 or high > 1:
        low, high = values.min(), values.max()
    return np.rint((values - low) / ((high - low) or 1.0) * 255).astype(np.uint8)
