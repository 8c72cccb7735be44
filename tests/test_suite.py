"""The suite watches over itself: time limits, budgets of processes, and what it could not run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent
ROW = re.compile(r"^\| (`[^|]+`) \| ([^|]*tests/[^|]+) \| [\d.]+ / [\d.]+ \|$", re.MULTILINE)


def test_the_table_in_contributing_names_the_tests_of_every_module_and_every_test():
    rows = ROW.findall((ROOT / "CONTRIBUTING.md").read_text())
    changed = [pattern for row, _ in rows for pattern in re.findall(r"`([^`]+)`", row)]
    run = [ROOT / path for _, row in rows for path in re.findall(r"tests/[\w/.]+", row)]
    assert [path for path in run if not path.exists()] == []
    modules = [path.relative_to(ROOT) for path in (ROOT / "nn_train").rglob("*.py")]
    assert [module for module in modules if not any(module.match(pattern) for pattern in changed)] == []
    files = HERE.rglob("test_*.py")
    assert [file for file in files if not any(file.is_relative_to(path) for path in run)] == []


@pytest.fixture
def suite(tmp_path):
    """``suite(code, words)``: a suite of one file under the plugins of this one; its exit code and what it says."""

    def run(code, *words, **environment):
        (tmp_path / "test_it.py").write_text(code)
        command = [sys.executable, "-m", "pytest", "-p", "tiers", "-p", "time_limit", "-p", "costs", *words]
        variables = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_") and key != "CI"}
        variables |= {"PYTHONPATH": str(HERE), **environment}
        done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=120)
        return done.returncode, done.stdout + done.stderr

    return run


HANGING = """
import subprocess, sys, threading
import pytest

CHILD = "import threading\\ndef child_waits(): threading.Event().wait()\\nchild_waits()"

@pytest.mark.limit(3)
def test_hangs():
    child = subprocess.Popen([sys.executable, "-c", CHILD])
    try:
        threading.Event().wait()
    finally:
        child.kill()

def test_passes():
    pass
"""


def test_a_test_that_hangs_fails_with_the_stacks_of_its_processes_and_the_others_go_on(suite):
    code, said = suite(HANGING, "-n", "1")
    assert code == 1
    assert "1 failed, 1 passed" in said
    assert "it has not ended within 3 s" in said
    assert "failed: test_it.py::test_hangs" in said.partition("= FAILURES =")[0]  # told at once
    assert "test_hangs (test_it.py" in said
    assert "child_waits (<string>" in said


SKIPPED = (
    "import pytest\ndef test_passes():\n    pass\n@pytest.mark.skip('needs a browser')\ndef test_page():\n    pass\n"
)


@pytest.mark.parametrize(("environment", "expected"), [({}, 0), ({"CI": "true"}, 1)], ids=["at home", "CI"])
def test_what_was_not_run_is_said_and_an_error_under_ci(suite, environment, expected):
    code, said = suite(SKIPPED, **environment)
    assert code == expected
    assert "not run: 1 tests: needs a browser" in said
    assert ("CI is set: nothing may be left out" in said) == bool(expected)


@pytest.mark.parametrize(("tier", "expected"), [("quick", 1)])
def test_a_tier_that_starts_more_than_its_budget_fails(suite, tmp_path, tier, expected):
    (tmp_path / "tensorflow.py").write_text("")
    start = "import subprocess, sys\ndef test_starts():\n"
    start += "    subprocess.run([sys.executable, '-c', 'import tensorflow, tensorflow'], check=True)\n"
    code, said = suite(start, "--tier", tier)
    assert code == expected
    assert "1 that import TensorFlow" in said
    assert ("tensorflow 1, not 0" in said) == bool(expected)


def test_the_processor_seconds_of_a_test_are_those_of_its_processes_too(suite):
    work = "import time\nwhile time.process_time() < 3: pass"
    code = f"import subprocess, sys\ndef test_works():\n    subprocess.run([sys.executable, '-c', {work!r}])\n"
    _, said = suite(code)
    (line,) = [line for line in said.splitlines() if "call     test_it.py::test_works" in line]
    assert float(line.split()[2]) >= 1.5  # seen once a second
