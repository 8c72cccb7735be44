"""What was predicted for new examples, as CSV, Parquet or ``.npz``: the same bytes for any number of workers."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_train.errors import RequestError
from nn_train.evaluation.storage import npz_bytes
from nn_train.storage.atomic import write_whole

SUFFIXES = (".csv", ".parquet", ".npz")


@dataclass(frozen=True)
class Predicted:
    """One row for each example, in their order.

    Attributes:
        ids: what the examples are called, ``[N]``.
        values: probabilities of the classes, float32 ``[N, C]``; of a model without classes its outputs ``[N, K]``.
        class_names: of the classes, or None where there are none.
    """

    ids: NDArray[Any]
    values: NDArray[np.float32]
    class_names: Sequence[str] | None

    def columns(self) -> dict[str, NDArray[Any]]:
        """``id``, ``label`` and ``p_<class>``; or ``id`` and ``output_0`` and so on."""
        if self.class_names is None:
            return {"id": self.ids, **{f"output_{k}": column for k, column in enumerate(self.values.T)}}
        labels = np.array(self.class_names)[self.values.argmax(axis=1)]
        named = {f"p_{name}": column for name, column in zip(self.class_names, self.values.T, strict=True)}
        return {"id": self.ids, "label": labels, **named}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """``id``, ``label`` int64, ``probabilities`` and ``class_names``; or ``id`` and ``outputs``."""
        if self.class_names is None:
            return {"id": self.ids, "outputs": self.values}
        labels = self.values.argmax(axis=1).astype(np.int64)
        return {
            "id": self.ids,
            "label": labels,
            "probabilities": self.values,
            "class_names": np.array(self.class_names),
        }


def check_output(output: str) -> Path:
    """The file to write. RequestError for one of another kind, or whose folder is not there."""
    path = Path(output)
    if path.suffix not in SUFFIXES:
        raise RequestError(f"--output: {output}: is written as its name ends; allowed: {', '.join(SUFFIXES)}")
    if not path.parent.is_dir() or path.is_dir():
        raise RequestError(f"--output: {output}: {path.parent} is not a folder, or {path.name} is one")
    return path


def write(path: Path, predicted: Predicted) -> None:
    """Write the file whole, or leave what was there."""
    kinds = {".csv": csv_bytes, ".parquet": parquet_bytes, ".npz": lambda given: npz_bytes(given.arrays())}
    write_whole(path, kinds[path.suffix](predicted))


def csv_bytes(predicted: Predicted) -> bytes:
    columns = predicted.columns()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    shown = [[f"{value:.6g}" for value in c] if c.dtype.kind == "f" else c.tolist() for c in columns.values()]
    writer.writerows(zip(*shown, strict=True))
    return text.getvalue().encode()


def parquet_bytes(predicted: Predicted) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(pa.table(predicted.columns()), buffer)
    return buffer.getvalue()
