"""Data files with mistakes of every kind."""

from __future__ import annotations

import io
import zipfile

import numpy as np
from outcomes import Tally


def test_a_file_that_would_run_code_when_unpickled_does_not(tmp_path):
    class Runs:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    arrays = {key: np.array([Runs()], dtype=object) for key in ("x_train", "y_train", "x_test", "y_test")}
    np.savez(tmp_path / "data.npz", **arrays)
    source = str(tmp_path / "data.npz")
    Tally(refused="Python objects").add("pickles", "train", ["--data.source", source]).check()
    member = io.BytesIO()
    np.lib.format.write_array(member, arrays["x_train"])
    (tmp_path / "data.npz").write_bytes(member.getvalue())  # a single .npy
    Tally(refused="is not an .npz file").add("a pickle", "train", ["--data.source", source]).check()
    with zipfile.ZipFile(tmp_path / "data.npz", "w") as archive:
        for key in arrays:
            archive.writestr(f"{key}.npy", b"\x80\x04K\x05.")
    Tally(refused="x_train is not an array").add("bare pickles", "train", ["--data.source", source]).check()
    assert not (tmp_path / "ran").exists()
