"""Data files with mistakes of every kind."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from npz_mutations import data_file
from outcomes import Tally, quarters

CASES = 1000


@pytest.mark.parametrize("numbers", quarters(CASES))
def test_a_mutated_data_file_is_taken_or_refused_in_one_line(tmp_path, monkeypatch, numbers):
    monkeypatch.chdir(tmp_path)
    file, tally = tmp_path / "data.npz", Tally()
    for number in numbers:
        content, change = data_file(number)
        file.write_bytes(content)
        tally.add(f"data_file({number}): {change}", "train", ["--data.source", "data.npz"])
    tally.check()
    assert len(numbers) / 10 < tally.taken < len(numbers) / 2  # what is refused always, or never, would prove nothing
    assert list(tmp_path.iterdir()) == [file]


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
