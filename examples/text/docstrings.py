"""The model and the data of this example: docstrings of Python's standard library, and the package each is from."""

import ast
import sysconfig
from pathlib import Path

import keras
import numpy as np
from keras import layers
from sklearn.model_selection import train_test_split

PACKAGES = ("asyncio", "concurrent", "email", "importlib", "multiprocessing", "unittest", "xml")
WORDS = 60  # of a docstring that are read
VOCABULARY = 4000


def read():
    """Return the texts and the numbers of their packages, each text once."""
    found = {}
    for label, package in enumerate(PACKAGES):
        for file in sorted(Path(sysconfig.get_path("stdlib"), package).rglob("*.py")):
            if "test" in file.parts:
                continue
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.Module):
                    text = ast.get_docstring(node)
                    if text and len(text.split()) >= 5:
                        found.setdefault(text, label)
    return np.array(list(found)), np.array(list(found.values()))


def load():
    """Return training and test examples as numbers of words ``[N, WORDS]``; the words are those of the training."""
    texts, labels = read()
    train, test, y_train, y_test = train_test_split(texts, labels, test_size=0.2, stratify=labels, random_state=0)
    words = layers.TextVectorization(max_tokens=VOCABULARY, output_sequence_length=WORDS)
    words.adapt(train)
    x_train, x_test = (np.asarray(words(x), "int32") for x in (train, test))
    return (x_train, y_train), (x_test, y_test), list(PACKAGES)


def build(input_shape, num_classes, width=64):
    """Return a network that averages the vectors of the words; empty places do not count."""
    words = keras.Input(input_shape, dtype="int32")
    vectors = layers.Embedding(VOCABULARY, width, mask_zero=True)(words)
    mean = layers.Dropout(0.3)(layers.GlobalAveragePooling1D()(vectors))
    return keras.Model(words, layers.Dense(num_classes, name="logits")(layers.Dense(width, activation="relu")(mean)))
