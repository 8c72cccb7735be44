"""Keras' own tests of its trainer and callbacks, after ``nn_train.install()``; docs/parity.md names those left out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from keras_suite import Workers

pytestmark = [pytest.mark.dist, pytest.mark.long, pytest.mark.limit(3600)]
CHECKOUT = os.environ.get("NN_TRAIN_KERAS")
PARITY = Path(__file__).parents[3] / "docs" / "parity.md"
CALLBACKS = "backup_and_restore csv_logger early_stopping lambda_callback learning_rate_scheduler model_checkpoint"
CALLBACKS += " monitor_callback reduce_lr_on_plateau swap_ema_weights tensorboard terminate_on_nan"
FILES = ["trainers/trainer_test.py", *(f"callbacks/{name}_test.py" for name in CALLBACKS.split())]
OTHERS = re.compile("jax|torch|grain", re.IGNORECASE)


def left_out():
    """``Class::test`` of the table."""
    return set(re.findall(r"^\| `(\w+::\w+)` \|", PARITY.read_text(), flags=re.MULTILINE))


if CHECKOUT:  # otherwise the tier says that it was not run, which is no error

    @pytest.mark.parametrize(("size", "least"), [(1, 215), (2, 212)])
    def test_keras_own_tests_pass(tmp_path, size, least):
        workers, outcomes = Workers(size, Path(CHECKOUT), tmp_path), {}
        try:
            for test in all_names(Path(CHECKOUT)):
                outcomes[test] = workers.run(test)
        finally:
            workers.end()
        failed = {test.partition("::")[2] for test, found in outcomes.items() if found[0] not in ("passed", "skipped")}
        assert failed <= (left_out() if size > 1 else set())
        assert sum(found[0] == "passed" for found in outcomes.values()) >= least


def all_names(checkout):
    """``file::Class::test`` of all, as the files write them; parametrised ones by asking pytest."""
    code = (
        "import sys, types, keras, pytest\n"
        "sys.modules.setdefault('jax', types.ModuleType('jax'))\n"
        "sys.exit(pytest.main(['-q', '-o', 'addopts=', '--collect-only', '-p', 'no:cacheprovider', *sys.argv[1:]]))"
    )
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    command = [sys.executable, "-c", code, *(f"keras/src/{file}" for file in FILES)]
    said = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=True).stdout
    return [line for line in said.splitlines() if "::" in line and not OTHERS.search(line)]
