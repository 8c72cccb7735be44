"""How scripts with ``nn_train.fit`` end on several workers: what is refused, and when a worker stands still."""

from __future__ import annotations

from pathlib import Path

import pytest
from processes import log_of, start_workers

HERE = Path(__file__).parent

pytestmark = pytest.mark.dist


def run_to_its_end(script, out):
    """What two workers say, and their exit codes."""
    workers = start_workers(2, out, HERE / script, "127.0.0.1")
    try:
        codes = [worker.wait(timeout=120) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    return [log_of(out, rank).read_text() for rank in range(2)], codes


def test_what_is_refused_ends_a_script_with_one_line_of_the_chief(tmp_path):
    said, codes = run_to_its_end("refused_worker.py", tmp_path)
    assert codes == [2, 2], said
    assert not any("Traceback" in one for one in said)
    assert [one.count("stateful=True keeps a state for each row") for one in said] == [1, 0]
    assert [one.splitlines()[-1].startswith("error: ") for one in said] == [True, True]


def test_the_worker_that_fails_first_is_named_with_its_error_by_the_others(tmp_path):
    said, codes = run_to_its_end("ended_worker.py", tmp_path)
    assert codes == [1, 1], said
    first = "error: worker 1 failed first: it ended with OSError: unable to lock file; its own output says more. "
    assert said[0].splitlines()[-1].startswith(first)
    assert "Traceback" not in said[0]
    assert said[1].splitlines()[-1] == "OSError: unable to lock file"


@pytest.mark.long
def test_a_worker_that_stands_still_is_named_to_those_who_wait_for_it(tmp_path):
    first, last = start_workers(2, tmp_path, HERE / "stopped_worker.py", "127.0.0.1")
    try:
        assert first.wait(timeout=120) == 0, log_of(tmp_path, 0).read_text()[-3000:]
    finally:
        for process in (first, last):
            process.kill()
            process.wait()
    said = (tmp_path / "said-0").read_text()
    assert said.startswith("True (1,) ")
    assert "/task:1 broke (its process has not answered for 2 s)" in said
