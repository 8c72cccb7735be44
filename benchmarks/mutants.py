"""Breaks the code in small ways, one at a time, and sees whether the tests notice.

``python -m benchmarks.mutants`` does every mutant of ``tests/mutants/*.json``: it replaces a text of a module in this
working tree, runs the tests that are likely to fail, then their whole files, and puts the text back. A mutant that no
test has noticed shows what is not tested, or cannot be. Name mutants or modules to do only those. ``--marks`` is
pytest's ``-m``: ``"not (long or launch)"`` asks what `make test` notices. The result is ``--json FILE``; what stands
in it already is not done again.

A mutant: ``id``; ``file``; ``old``, which must occur in it once; ``new``; ``breaks``, what goes wrong; ``tests``.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
TABLES = ROOT / "tests" / "mutants"
PYTEST = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=line", "-p", "no:cacheprovider"]
FAILED = (1, 2, 3)  # exit codes of pytest: a test, the collection or pytest itself has failed
UNKNOWN, TIME_OUT = 4, "time-out"
LIMIT = 3600  # seconds for the tests of one call; what hangs fails by the limit of a test


def read_mutants(wanted: list[str]) -> list[dict[str, Any]]:
    """The mutants whose id or file is wanted; all, where nothing is."""
    found = [mutant for table in sorted(TABLES.glob("*.json")) for mutant in json.loads(table.read_text())]
    return [mutant for mutant in found if not wanted or {mutant["id"], mutant["file"]} & set(wanted)]


def noticed_by(mutant: dict[str, Any], marks: str) -> str | None:
    """The test that fails with a mutant. None: no test does.

    "stale": its text does not occur exactly once; "time-out": nothing is known.
    """
    path = ROOT / mutant["file"]
    text = path.read_text() if path.exists() else ""
    if text.count(mutant["old"]) != 1:
        return "stale"
    path.write_text(text.replace(mutant["old"], mutant["new"]))
    try:
        files = [test.partition("::")[0] for test in mutant["tests"]]
        for test in dict.fromkeys([*mutant["tests"], *files]):
            code, said = run([*PYTEST, "-m", marks, test])
            if code == TIME_OUT:
                return TIME_OUT
            if code == UNKNOWN and "::" in test:
                print(f"{mutant['id']}: there is no test {test}")
            if code in FAILED:
                failed = [line.split()[1] for line in said.splitlines() if line.startswith(("FAILED ", "ERROR "))]
                return failed[0] if failed else test
        return None
    finally:
        path.write_text(text)


def run(command: list[str]) -> tuple[int | str, str]:
    """The exit code and what was printed; processes that are left after the limit are ended."""
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        said, _ = process.communicate(timeout=LIMIT)
        return process.returncode, said
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return TIME_OUT, process.communicate()[0]
    except KeyboardInterrupt:
        os.killpg(process.pid, signal.SIGKILL)
        raise


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wanted", nargs="*", help="ids of mutants, or modules such as nn_train/storage/lease.py")
    parser.add_argument("--marks", default="not launch", help="which tests may be run, as for pytest -m")
    parser.add_argument("--json", type=Path, help="the result: which test has noticed which mutant")
    arguments = parser.parse_args()
    changed = subprocess.run(["git", "status", "--porcelain", "nn_train"], cwd=ROOT, capture_output=True, text=True)
    if changed.stdout:
        print(f"error: nn_train has changes that are not committed; commit them first:\n{changed.stdout}", end="")
        return 2
    mutants = read_mutants(arguments.wanted)
    if unknown := set(arguments.wanted) - {mutant[key] for mutant in mutants for key in ("id", "file")}:
        print(f"error: no mutant and no module that has one: {', '.join(sorted(unknown))}")
        return 2
    result = json.loads(arguments.json.read_text()) if arguments.json and arguments.json.exists() else {}
    for mutant in mutants:
        if mutant["id"] not in result:
            result[mutant["id"]] = noticed_by(mutant, arguments.marks)
            print(f"{mutant['id']}: {result[mutant['id']] or 'NOT NOTICED: ' + mutant['breaks']}", flush=True)
            if arguments.json:
                arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    missed = [name for name, test in result.items() if test is None]
    print(f"{len(result)} mutants, {len(missed)} not noticed, {list(result.values()).count('stale')} stale")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
