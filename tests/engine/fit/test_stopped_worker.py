"""A worker of ``nn_train.fit`` that stands still ends the wait of the others, with its name."""

from __future__ import annotations

from pathlib import Path

import pytest
from processes import log_of, start_workers

SCRIPT = Path(__file__).with_name("stopped_worker.py")


@pytest.mark.dist
@pytest.mark.long
def test_a_worker_that_stands_still_is_named_to_those_who_wait_for_it(tmp_path):
    first, last = start_workers(2, tmp_path, SCRIPT, "127.0.0.1")
    try:
        assert first.wait(timeout=120) == 0, log_of(tmp_path, 0).read_text()[-3000:]
    finally:
        for process in (first, last):
            process.kill()
            process.wait()
    said = (tmp_path / "said-0").read_text()
    assert said.startswith("True (1,) ")
    assert "/task:1 broke (its process has not answered for 2 s)" in said
