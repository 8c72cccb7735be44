"""The most confident mistakes of the shown run as pictures."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nn_train.report.formats import percent
from nn_train.report.summary import ReportSummary
from nn_train.report.tables import data_source, is_doubtful

LONGEST_SIDE = 96  # pixels; larger images are scaled down, or 24 of them would fill the page's 2 MB


@dataclass(frozen=True)
class MistakeCard:
    """One mistake as shown: texts, picture (None without an image) and how many runs share it."""

    example_id: int
    true: str
    predicted: str
    confidence: str
    true_probability: str
    doubtful: bool
    shared: str
    png: bytes | None

    @property
    def data_uri(self) -> str:
        """The picture inside the page."""
        return "data:image/png;base64," + base64.b64encode(self.png or b"").decode()


def mistake_cards(summary: ReportSummary, images: Mapping[int, NDArray[Any]]) -> list[MistakeCard]:
    """The shown run's mistakes, the surest first."""
    if summary.shown is None or summary.is_regression:
        return []
    runs = summary.evaluated()
    source = data_source(summary.shown.record)
    names = summary.class_names
    cards = []
    for mistake in summary.shown.its.mistakes:
        wrong = sum(not is_correct(run.its.correct_bits, mistake.row) for run in runs)
        image = images.get(mistake.example_id)
        cards.append(
            MistakeCard(
                example_id=mistake.example_id,
                true=names[mistake.true],
                predicted=names[mistake.predicted],
                confidence=percent(mistake.confidence, 1),
                true_probability=f"{mistake.true_probability:.2g}",
                doubtful=is_doubtful(source, mistake.example_id),
                shared=f"wrong in {wrong} of {len(runs)} runs" if len(runs) > 1 else "",
                png=None if image is None else to_png(image),
            )
        )
    return cards


def is_correct(bits: NDArray[np.uint8], row: int) -> bool:
    """One bit of what ``np.packbits`` made."""
    return bool(bits[row // 8] >> (7 - row % 8) & 1)


def to_png(image: NDArray[Any]) -> bytes:
    """A PNG file no larger than ``LONGEST_SIDE``."""
    picture = Image.fromarray(as_pixels(image))
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, "png", optimize=True)
    return buffer.getvalue()


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
