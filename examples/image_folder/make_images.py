"""Write scikit-learn's 1,797 handwritten digits as PNG files: ``digits/train/3/0012.png``, ``digits/test/…``."""

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


def main():
    digits = load_digits()
    images = (digits.images * 255 / 16).astype("uint8")  # [N, 8, 8], from 0 to 16
    train, test = train_test_split(np.arange(len(images)), test_size=0.25, stratify=digits.target, random_state=0)
    for part, rows in (("train", train), ("test", test)):
        for row in rows:
            folder = Path("digits", part, str(digits.target[row]))
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(images[row]).resize((16, 16), Image.Resampling.BICUBIC).save(folder / f"{row:04}.png")
    print(f"{len(train)} images in digits/train, {len(test)} in digits/test")


if __name__ == "__main__":
    main()
